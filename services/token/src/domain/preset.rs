//! Presets: what a new tenant starts with. Each is one commented file in `presets/`.
//!
//! To add one: write the file, name it in [`FILES`]. The tests check that every file reads.

use serde::{Deserialize, Serialize};

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

/// A tenant's settings, as they rest in its row (JSON). What a later version wrote beside is read over, so that replicas
/// of two versions can run on one database; that presets have nothing beside, a test checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Whether `/Groups` is offered.
    pub groups: bool,
    /// Whether adding and deleting people elsewhere than by SCIM is refused.
    pub lock_local_changes: bool,
    /// What the client may do to users.
    pub users: UserActions,
    /// The extension with role and teams, where the tenant has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_and_teams: Option<RoleAndTeams>,
}

/// What a client may do to users; reading is always allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserActions {
    /// POST.
    pub create: bool,
    /// PUT and PATCH.
    pub update: bool,
    /// DELETE.
    pub delete: bool,
}

/// Where role and teams of a user stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAndTeams {
    /// The URN of the extension schema that has `role` and `teams`.
    pub extension: String,
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

    #[test]
    fn every_file_reads_and_names_a_dialect_that_exists() {
        for (name, _) in FILES {
            let preset = by_name(name).unwrap_or_else(|error| panic!("{name}: {:?}", error.cause));
            assert_eq!(preset.name, name);
            assert!(scim::Dialect::by_name(&preset.dialect).is_some(), "{name}");
            assert!(preset.scim_path.starts_with('/') && preset.scim_path.ends_with("scim/v2"), "{name}");
        }
    }

    #[test]
    fn no_file_has_a_setting_that_nobody_reads() {
        for (name, file) in FILES {
            let written: toml::Table = toml::from_str(file).unwrap();
            let read = toml::Value::try_from(by_name(name).unwrap().settings).unwrap();
            assert_eq!(written["settings"], read, "{name}");
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
