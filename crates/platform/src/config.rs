//! Configuration: embedded defaults < file < environment, with errors that name the key and where it stood.

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::de::DeserializeOwned;

/// Loads `T` from `defaults` (TOML shipped in the binary), then the file, then `ROLLCALL_SECTION__KEY`.
///
/// `T` should be `deny_unknown_fields` throughout, so that a misspelt key is an error rather than ignored.
///
/// # Errors
/// Names the key, what is wrong with it, and the source it came from.
pub fn load<T: DeserializeOwned>(defaults: &str, file: Option<&Path>) -> Result<T, Box<figment::Error>> {
    let mut figment = Figment::from(Toml::string(defaults));
    if let Some(file) = file {
        figment = figment.merge(Toml::file_exact(file));
    }
    // Keys of the command line's own (ROLLCALL_SERVER, ROLLCALL_ADMIN_TOKEN) are no settings of a section.
    let env = Env::prefixed("ROLLCALL_").filter(|key| key.as_str().contains("__")).split("__");
    figment.merge(env).extract().map_err(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        http: Http,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Http {
        body_limit_bytes: usize,
    }

    #[test]
    fn a_file_wins_over_defaults_and_a_misspelt_key_is_named() {
        let file = std::env::temp_dir().join(format!("rollcall-config-{}.toml", std::process::id()));
        std::fs::write(&file, "[http]\nbody_limit_bytes = 7\n").unwrap();
        let settings: Settings = load("[http]\nbody_limit_bytes = 1\n", Some(&file)).unwrap();
        assert_eq!(settings.http.body_limit_bytes, 7);

        std::fs::write(&file, "[http]\nbody_limit = 7\n").unwrap();
        let error = load::<Settings>("[http]\nbody_limit_bytes = 1\n", Some(&file)).unwrap_err().to_string();
        std::fs::remove_file(&file).unwrap();
        assert!(error.contains("body_limit"), "{error}");
    }
}
