//! Presets: what a new tenant starts with. Each is one commented file in `presets/`.
//!
//! To add one: write the file, name it in [`FILES`]. The tests check that every file reads.

use serde::Deserialize;

use super::settings::Settings;
use platform::{Error, Result};

const FILES: [(&str, &str); 4] = [
    ("entra", include_str!("../../presets/entra.toml")),
    ("zeeg", include_str!("../../presets/zeeg.toml")),
    ("ziflow", include_str!("../../presets/ziflow.toml")),
    ("directory-sync", include_str!("../../presets/directory-sync.toml")),
];

/// The preset of a tenant for which none was named.
const DEFAULT: &str = "entra";

/// What a tenant starts with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// A dialect that `scim` knows.
    pub dialect: String,
    /// Where the client expects SCIM.
    pub scim_path: String,
    /// Copied into the tenant's row.
    pub settings: Settings,
}

/// The preset of that name; empty means the default, `entra`.
///
/// # Errors
/// `InvalidValue` that lists the names there are.
pub fn by_name(name: &str) -> Result<Preset> {
    let wanted = if name.is_empty() { DEFAULT } else { name };
    let Some((name, file)) = FILES.into_iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        return Err(Error::invalid_value(format!(
            "there is no such preset; the presets are {}",
            names.join(", ")
        ))
        .with_attribute("preset"));
    };
    let mut preset: Preset = toml::from_str(file).map_err(Error::internal)?;
    preset.name = name.to_owned();
    Ok(preset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settings::{UserActions, check_keep_deleted_days, check_log_retention_days};

    #[test]
    fn every_file_reads_and_names_a_dialect_that_exists() {
        for (name, _) in FILES {
            let preset = by_name(name).unwrap_or_else(|error| panic!("{name}: {:?}", error.cause));
            assert_eq!(preset.name, name);
            assert!(scim::Dialect::by_name(&preset.dialect).is_some(), "{name}");
            assert!(preset.scim_path.starts_with('/') && preset.scim_path.ends_with("scim/v2"), "{name}");
        }
    }

    /// What is not written has a default; what is written must be read.
    #[test]
    fn no_file_has_a_setting_that_nobody_reads() {
        for (name, file) in FILES {
            let written: toml::Table = toml::from_str(file).unwrap();
            let read = toml::Table::try_from(by_name(name).unwrap().settings).unwrap();
            assert_read("settings", written["settings"].as_table().unwrap(), &read, name);
        }
    }

    fn assert_read(path: &str, written: &toml::Table, read: &toml::Table, file: &str) {
        for (key, value) in written {
            let path = format!("{path}.{key}");
            match (value, read.get(key)) {
                (toml::Value::Table(written), Some(toml::Value::Table(read))) => {
                    assert_read(&path, written, read, file);
                }
                (value, found) => assert_eq!(Some(value), found, "{file}: {path}"),
            }
        }
    }

    #[test]
    fn what_a_preset_sets_an_administrator_could_set() {
        for (name, _) in FILES {
            let settings = by_name(name).unwrap().settings;
            settings.limits.check().unwrap();
            check_keep_deleted_days(settings.keep_deleted_days).unwrap();
            check_log_retention_days(settings.log_retention_days).unwrap();
        }
    }

    #[test]
    fn presets_are_what_design_says() {
        assert_eq!(by_name("").unwrap().name, "entra");
        let zeeg = by_name("zeeg").unwrap().settings;
        assert!(!zeeg.groups && zeeg.lock_local_changes && zeeg.role_and_teams.is_some());
        let ziflow = by_name("ziflow").unwrap();
        assert_eq!(ziflow.scim_path, "/v1/scim/v2");
        assert_eq!(ziflow.settings.users, UserActions { create: true, update: false, delete: false });
        assert!(by_name("directory-sync").unwrap().settings.groups);
    }

    #[test]
    fn a_wrong_name_is_told_the_right_ones() {
        let error = by_name("Entra").unwrap_err();
        assert_eq!(error.kind, scim::ErrorKind::InvalidValue);
        assert!(error.detail.contains("entra, zeeg, ziflow, directory-sync"), "{error}");
    }
}
