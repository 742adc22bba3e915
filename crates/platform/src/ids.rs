//! Every id has a type, so that a group's id cannot be passed where a tenant's is meant.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::clock::Clock;
use crate::error::Error;

/// A new UUIDv7 of the clock's time, to the microsecond (RFC 9562, section 6.2, method 3), so that ids stand in the order
/// in which they were made: lists show that order. The other 62 bits are random.
pub fn new_uuid(clock: &Clock) -> Uuid {
    let micros = clock.now().micros().unsigned_abs();
    // The fraction of the millisecond in the 12 bits behind the version, then random bytes.
    let [high, low] = u16::try_from(micros % 1000 * 4096 / 1000).unwrap_or(0).to_be_bytes();
    let [a, b, c, d, e, f, _version, g, _variant, h, ..] = Uuid::new_v4().into_bytes();
    let rest = [high, low, a, b, c, d, e, f, g, h];
    uuid::Builder::from_unix_timestamp_millis(micros / 1000, &rest).into_uuid()
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
    /// A team of a tenant.
    TeamId, "team";
    /// A provisioning or admin secret.
    CredentialId, "credential";
    /// An OAuth client.
    ClientId, "client";
    /// A trusted issuer of a tenant.
    IssuerId, "trusted issuer";
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
    fn ids_stand_in_the_order_of_the_microseconds_they_were_made_in() {
        let clock = Clock::manual(crate::clock::Timestamp::from_micros(1_762_000_000_000_000));
        let mut last = new_uuid(&clock);
        for _ in 0..5_000 {
            clock.advance(std::time::Duration::from_micros(1));
            let next = new_uuid(&clock);
            assert!(next > last, "{next} after {last}");
            assert_eq!((next.get_version_num(), next.get_variant()), (7, uuid::Variant::RFC4122));
            last = next;
        }
    }

    #[test]
    fn ids_of_one_instant_differ() {
        let clock = Clock::manual(crate::clock::Timestamp::from_micros(1_000_000));
        assert_ne!(UserId::new(&clock), UserId::new(&clock));
    }
}
