//! Who changed what: the change log as administrators read it. It is kept for as long as the tenant is there; what concerns
//! the platform, for good.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use uuid::Uuid;

use platform::clock::Timestamp;
use platform::ids::TenantId;
use platform::{Error, Result};
use scim::ErrorKind;

/// One deed.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Where it stands.
    pub place: Place,
    /// The id of an admin secret or of a client, or `system`.
    pub actor: String,
    /// Whose; `None` for the platform's.
    pub tenant: Option<TenantId>,
    /// E.g. `credential.revoked`.
    pub action: String,
    /// To what.
    pub resource: Uuid,
    /// What was different before; `None` when there was nothing.
    pub before: Option<Value>,
    /// What is different now; `None` when there is nothing left.
    pub after: Option<Value>,
    /// Of the HTTP request; empty when none is known.
    pub request_id: String,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Earlier than the one that stands here: the next page.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: u64,
}

/// Where an event stands in the order of the audit: by time, and within a microsecond by the order of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When.
    pub at: Timestamp,
    /// Its number in the change log.
    pub seq: i64,
}

impl Place {
    /// The event's id: unique, and as text in the order of the audit.
    pub fn id(self) -> String {
        format!("{:016x}{:016x}", self.at.micros(), self.seq)
    }

    /// The token of the page that begins after it, opaque to clients. One that was changed is no more than another place
    /// to begin: what may be seen does not depend on it.
    pub fn token(self) -> String {
        URL_SAFE_NO_PAD.encode([self.at.micros().to_be_bytes(), self.seq.to_be_bytes()].concat())
    }

    /// What [`Place::token`] wrote; `None` for the first page.
    ///
    /// # Errors
    /// `InvalidCursor`.
    pub fn from_token(token: &str) -> Result<Option<Self>> {
        if token.is_empty() {
            return Ok(None);
        }
        let read = || {
            let bytes = <[u8; 16]>::try_from(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
            let (at, seq) = bytes.split_first_chunk::<8>()?;
            let at = Timestamp::from_micros(i64::from_be_bytes(*at));
            Some(Self { at, seq: i64::from_be_bytes(seq.try_into().ok()?) })
        };
        let place = read().ok_or_else(|| {
            let detail =
                "the page token is not one of ours: pass back the next_page_token of the page before, unchanged";
            Error::new(ErrorKind::InvalidCursor, detail).with_attribute("page_token")
        })?;
        Ok(Some(place))
    }
}

/// Of what is known of a resource before and after a change, only what differs. `null`, where there is nothing before or
/// after, leaves the other whole.
pub fn difference(before: Value, after: Value) -> (Value, Value) {
    match (before, after) {
        (Value::Object(mut was), Value::Object(mut is)) => {
            let same = |one: &Value, other: Option<&Value>| other == Some(one);
            let unchanged: Vec<String> = was
                .iter()
                .filter(|(name, value)| same(value, is.get(*name)))
                .map(|(name, _)| name.clone())
                .collect();
            was.retain(|name, _| !unchanged.contains(name));
            is.retain(|name, _| !unchanged.contains(name));
            (was.into(), is.into())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(at: i64, seq: i64) -> Place {
        Place { at: Timestamp::from_micros(at), seq }
    }

    #[test]
    fn ids_stand_in_the_order_of_the_audit_and_tokens_read_back() {
        let places = [place(9, 300), place(10, 2), place(10, 11), place(1_790_000_000_000_000, 1)];
        assert!(places.is_sorted() && places.map(Place::id).is_sorted());
        for place in places {
            assert_eq!(Place::from_token(&place.token()).unwrap(), Some(place));
        }
        assert_eq!(Place::from_token("").unwrap(), None);
        for garbage in ["x", "====", "AAAA", "ä", &format!("{}A", places[0].token())] {
            assert_eq!(Place::from_token(garbage).unwrap_err().kind, ErrorKind::InvalidCursor, "{garbage}");
        }
    }

    #[test]
    fn only_what_differs_is_told() {
        let (before, after) = (json!({"a": 1, "b": 2, "gone": 3}), json!({"a": 1, "b": 4, "new": null}));
        let (was, is) = difference(before.clone(), after.clone());
        assert_eq!((was, is), (json!({"b": 2, "gone": 3}), json!({"b": 4, "new": null})));
        assert_eq!(difference(Value::Null, after.clone()), (Value::Null, after));
        assert_eq!(difference(before.clone(), Value::Null), (before, Value::Null));
    }
}
