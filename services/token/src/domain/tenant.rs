//! A tenant: its name and its life.

use platform::clock::Timestamp;
use platform::ids::TenantId;
use platform::{Error, Result};

use super::dialect::Dialect;
use super::preset::Preset;
use super::settings::Settings;

/// The most characters of a name or label.
const MAX_NAME_CHARS: usize = 100;

/// What people and scripts call a tenant or a client: 1 to 100 characters, no control characters, no white space at
/// either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    text: String,
    key: String,
}

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// `InvalidValue` that says what a name is.
    pub fn parse(text: &str) -> Result<Self> {
        let length = text.chars().count();
        let fine = (1..=MAX_NAME_CHARS).contains(&length)
            && text.trim() == text
            && !text.chars().any(char::is_control);
        if !fine {
            return Err(Error::invalid_value(format!(
                "a name has 1 to {MAX_NAME_CHARS} characters, no control characters, and no white space at either end"
            ))
            .with_attribute("name"));
        }
        Ok(Self { text: text.to_owned(), key: scim::fold_str(text) })
    }

    /// As it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What makes it unique: the name in lower case.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Checks a label: at most 100 characters, no control characters; it may be empty.
///
/// # Errors
/// `InvalidValue` that says what a label is.
pub fn check_label(label: &str) -> Result<()> {
    if label.chars().count() <= MAX_NAME_CHARS && !label.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid_value(format!(
        "a label has at most {MAX_NAME_CHARS} characters and no control characters"
    ))
    .with_attribute("label"))
}

/// Life of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In service.
    Active,
    /// Switched off: every credential answers 401.
    Disabled,
    /// Being deleted: there is no way back.
    Deleting,
}

impl State {
    const ALL: [State; 3] = [State::Active, State::Disabled, State::Deleting];

    /// As it stands in the column.
    pub const fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Disabled => "disabled",
            State::Deleting => "deleting",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its unique name.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// The preset its settings came from.
    pub preset: String,
    /// How its client's requests are read.
    pub dialect: Dialect,
    /// Where its client expects SCIM.
    pub scim_path: String,
    /// What its client may do.
    pub settings: Settings,
    /// Whether provisioning is on. While it is off nothing of the tenant's lets a client in for SCIM.
    pub scim_enabled: bool,
    /// When provisioning was last switched on: what was issued for SCIM before is dead.
    pub scim_enabled_at: Timestamp,
    /// Counts changes from 1.
    pub version: i64,
    /// Creation.
    pub created_at: Timestamp,
}

impl Tenant {
    /// A new tenant.
    pub fn new(id: TenantId, name: &Name, preset: &Preset, now: Timestamp) -> Self {
        Self {
            id,
            name: name.text().to_owned(),
            state: State::Active,
            preset: preset.name.clone(),
            dialect: Dialect::fixed(&preset.dialect),
            scim_path: preset.scim_path.clone(),
            settings: preset.settings.clone(),
            scim_enabled: true,
            scim_enabled_at: now,
            version: 1,
            created_at: now,
        }
    }

    /// Whether its clients get in for SCIM, whatever they prove themselves with.
    pub fn takes_scim(&self) -> bool {
        self.state == State::Active && self.scim_enabled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_in_characters() {
        assert_eq!(Name::parse("Ärzte GmbH").unwrap().key(), "ärzte gmbh");
        assert!(Name::parse(&"ä".repeat(100)).is_ok());
        for wrong in ["", " ", "a ", "\ta", "a\nb", "\u{0}", "a\u{7f}", &"ä".repeat(101)] {
            let error = Name::parse(wrong).unwrap_err();
            assert_eq!(error.kind, scim::ErrorKind::InvalidValue, "{wrong:?}");
        }
    }

    #[test]
    fn every_state_reads_back() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
    }
}
