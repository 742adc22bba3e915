//! Settings of a standalone server: `defaults.toml` < `--config` file < `ROLLCALL_SECTION__KEY`.

use std::path::Path;

use anyhow::Context;
use platform::telemetry;
use serde::Deserialize;

const DEFAULTS: &str = include_str!("../defaults.toml");

/// Everything that can be set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) telemetry: telemetry::Config,
    pub(crate) gateway: gateway::Config,
    pub(crate) server: Server,
}

/// The process as a whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// How long calls under way may take to finish when the server is told to stop, seconds.
    pub(crate) shutdown_grace_seconds: u64,
}

/// Loads the settings.
pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Settings> {
    platform::config::load(DEFAULTS, file).context("the configuration is not valid")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_defaults_are_complete() {
        let settings = super::load(None).unwrap();
        assert_eq!(settings.gateway, gateway::Config::default());
    }
}
