//! `If-Match` (RFC 7644, section 3.14).

use platform::{Error, Result};
use scim::ErrorKind;

/// Which versions a write may start from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Precondition {
    /// Whatever the version, if the user is there.
    Any,
    /// One of these.
    OneOf(Vec<i64>),
}

impl Precondition {
    /// Whether a user at `version` may be written.
    pub(crate) fn check(&self, version: i64) -> Result<()> {
        match self {
            Self::Any => Ok(()),
            Self::OneOf(versions) if versions.contains(&version) => Ok(()),
            Self::OneOf(_) => Err(Error::new(
                ErrorKind::VersionMismatch,
                format!(
                    "If-Match: the user is at version W/\"{version}\" by now; read it again and repeat the change"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_versions_pass() {
        assert!(Precondition::Any.check(3).is_ok());
        assert!(Precondition::OneOf(vec![2, 3]).check(3).is_ok());
        assert_eq!(Precondition::OneOf(vec![2]).check(3).unwrap_err().kind, ErrorKind::VersionMismatch);
        assert!(Precondition::OneOf(Vec::new()).check(1).is_err());
    }
}
