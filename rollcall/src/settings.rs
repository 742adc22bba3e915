//! Settings: `defaults.toml` < `--config` file < `ROLLCALL_SECTION__KEY`. The comments in `defaults.toml` are their documentation;
//! here they get types, and `check.rs` says what is wrong with them.

mod check;
mod sections;

use std::path::Path;

use anyhow::Context;
use platform::telemetry;
use serde::{Deserialize, Serialize};

pub(crate) use sections::{
    Database, Grpc, Listen, Membership, Migrate, Redis, Secrets, Server, Services, Token,
};

pub(crate) const DEFAULTS: &str = include_str!("../defaults.toml");

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) telemetry: telemetry::Config,
    pub(crate) server: Server,
    pub(crate) listen: Listen,
    pub(crate) services: Services,
    pub(crate) grpc: Grpc,
    pub(crate) database: Database,
    pub(crate) migrate: Migrate,
    pub(crate) redis: Redis,
    pub(crate) secrets: Secrets,
    pub(crate) token: Token,
    pub(crate) membership: Membership,
    pub(crate) gateway: gateway::Config,
}

/// A verb that runs with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    Standalone,
    Gateway,
    Identity,
    Membership,
    Token,
    Journal,
    Migrate,
}

impl Role {
    /// Of the verb.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Gateway => "gateway",
            Self::Identity => "identity",
            Self::Membership => "membership",
            Self::Token => "token",
            Self::Journal => "journal",
            Self::Migrate => "migrate",
        }
    }

    /// The service that the verb runs, if it has a database.
    pub(crate) fn service(self) -> Option<migrations::Service> {
        match self {
            Self::Identity => Some(migrations::Service::Identity),
            Self::Membership => Some(migrations::Service::Membership),
            Self::Token => Some(migrations::Service::Token),
            Self::Journal => Some(migrations::Service::Journal),
            Self::Standalone | Self::Gateway | Self::Migrate => None,
        }
    }
}

/// Loads the settings.
pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Settings> {
    platform::config::load(DEFAULTS, file).context("the configuration is not valid")
}

/// Loads the settings and checks all that `role` needs.
pub(crate) fn load_for(role: Role, file: Option<&Path>) -> anyhow::Result<Settings> {
    let settings = load(file)?;
    let faults = settings.faults(role);
    anyhow::ensure!(faults.is_empty(), "the configuration is not valid:\n  {}", faults.join("\n  "));
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_defaults_are_complete() {
        let settings = load(None).unwrap();
        assert_eq!(settings.gateway, gateway::Config::default());
    }

    /// That each key there is read is what `deny_unknown_fields` sees to, when the defaults are loaded.
    #[test]
    fn every_field_stands_in_the_defaults() {
        let documented: Value = figment::Figment::from(
            <figment::providers::Toml as figment::providers::Format>::string(DEFAULTS),
        )
        .extract()
        .unwrap();
        let read = serde_json::to_value(load(None).unwrap()).unwrap();
        assert_eq!(keys(&documented, ""), keys(&read, ""));
    }

    #[test]
    fn every_key_has_a_comment() {
        let mut commented = false;
        for line in DEFAULTS.lines() {
            if line.contains(" = ") && !line.starts_with('#') {
                // Companions share one: `<key>_file`, or the second of a pair that the comment tells of together.
                assert!(commented, "no comment is above `{line}`");
            } else {
                commented = line.contains('#') || line.starts_with("[database.");
            }
        }
    }

    fn keys(value: &Value, path: &str) -> BTreeSet<String> {
        let Value::Object(object) = value else { return BTreeSet::from([path.to_owned()]) };
        object.iter().flat_map(|(key, value)| keys(value, &format!("{path}.{key}"))).collect()
    }
}
