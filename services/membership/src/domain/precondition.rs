//! `If-Match` (RFC 7644, section 3.14).

use platform::{Error, Result};
use scim::ErrorKind;

/// Which current versions a change may start from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// The client did not say: any.
    #[default]
    None,
    /// One of these.
    Versions(Vec<i64>),
}

impl Precondition {
    /// # Errors
    /// `VersionMismatch` when the current version is not among those the client knows.
    pub fn check(&self, current: i64) -> Result<()> {
        match self {
            Precondition::Versions(versions) if !versions.contains(&current) => Err(Error::new(
                ErrorKind::VersionMismatch,
                format!(
                    r#"the group was changed meanwhile and is now at version W/"{current}": read it again"#
                ),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listed_version_passes() {
        assert!(Precondition::None.check(7).is_ok());
        assert!(Precondition::Versions(vec![6, 7]).check(7).is_ok());
        assert_eq!(Precondition::Versions(vec![]).check(7).unwrap_err().kind, ErrorKind::VersionMismatch);
        assert_eq!(Precondition::Versions(vec![6]).check(7).unwrap_err().kind, ErrorKind::VersionMismatch);
    }
}
