//! Every id has a type, so that a group's id cannot be passed where a tenant's is meant.

use std::fmt;
use std::str::FromStr;

use uuid::{NoContext, Uuid};

use crate::clock::Clock;
use crate::error::Error;

/// A new UUIDv7 of the clock's time. Unique also within one microsecond: its 74 other bits are random.
pub fn new_uuid(clock: &Clock) -> Uuid {
    let micros = clock.now().micros().unsigned_abs();
    let nanos = u32::try_from((micros % 1_000_000) * 1000).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, nanos))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id (UUIDv7 of the clock's time).
            pub fn new(clock: &Clock) -> Self {
                Self(new_uuid(clock))
            }

            /// Wraps what was read from this type's own column.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// For a column.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                // Only the form that Display prints: one id, one spelling (ids are caseExact, RFC 7643 section 3.1).
                let id = Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text);
                id.map(Self).ok_or_else(|| Error::not_found(concat!("no ", $what, " has this id: an id is a UUID in lower case")))
            }
        }
    )*};
}

ids! {
    /// A tenant.
    TenantId, "tenant";
    /// A user of a tenant.
    UserId, "user";
    /// A group of a tenant.
    GroupId, "group";
    /// A provisioning or admin secret.
    CredentialId, "credential";
    /// An OAuth client.
    ClientId, "client";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_only() {
        let id = TenantId::new(&Clock::system());
        assert_eq!(id.to_string().parse::<TenantId>().unwrap(), id);
        assert!(id.to_string().to_uppercase().parse::<TenantId>().is_err());
        assert!(id.uuid().simple().to_string().parse::<TenantId>().is_err());
    }

    #[test]
    fn ids_of_one_instant_differ() {
        let clock = Clock::manual(crate::clock::Timestamp::from_micros(1_000_000));
        assert_ne!(UserId::new(&clock), UserId::new(&clock));
    }
}
