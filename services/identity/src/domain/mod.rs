//! What a user is, and what may become of one.

mod edit;
mod keys;
mod precondition;
pub(crate) mod role_teams;
mod schema;
pub(crate) mod team;

pub(crate) use edit::{Edit, Reader};
pub(crate) use keys::{EmailKeys, Keys};
pub(crate) use precondition::Precondition;
pub(crate) use schema::{Definition, MOST_EXTENSIONS, MOST_URNS, Names, Schema};

use std::borrow::Cow;
use std::time::Duration;

use platform::clock::Timestamp;
use platform::ids::UserId;
use platform::{Error, Result};
use scim::Map;
use serde_json::Value;

/// Ten years: whoever wants to keep a user longer does not want it deleted.
const LONGEST_KEEP_DAYS: u64 = 3650;

/// A user as stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct User {
    pub(crate) id: UserId,
    /// Counts changes from 1.
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// The SCIM object, without what others compose (`id`, `meta`, `groups`).
    pub(crate) attributes: Map,
}

impl User {
    /// The unique name, as provisioned.
    pub(crate) fn user_name(&self) -> &str {
        text(&self.attributes, "userName").unwrap_or_default()
    }

    pub(crate) fn external_id(&self) -> Option<&str> {
        text(&self.attributes, "externalId")
    }

    pub(crate) fn display_name(&self) -> Option<&str> {
        text(&self.attributes, "displayName")
    }

    pub(crate) fn active(&self) -> bool {
        is_active(&self.attributes)
    }

    /// The attributes as a client sees them: without the null that keeps a deactivated user so.
    pub(crate) fn shown(&self) -> Cow<'_, Map> {
        let mut shown = Cow::Borrowed(&self.attributes);
        if shown.get("active").is_some_and(Value::is_null) {
            hide_null(shown.to_mut());
        }
        shown
    }

    /// The primary e-mail, or the first.
    pub(crate) fn email(&self) -> Option<&str> {
        let emails = self.attributes.get("emails")?.as_array()?;
        let primary = emails.iter().find(|email| email.get("primary").and_then(Value::as_bool) == Some(true));
        primary.or_else(|| emails.first())?.get("value")?.as_str()
    }
}

/// Removes what is stored and not shown: the null that keeps a deactivated user so.
pub(crate) fn hide_null(attributes: &mut Map) {
    if attributes.get("active").is_some_and(Value::is_null) {
        attributes.remove("active");
    }
}

/// When a change happens. `meta` shows milliseconds, so that is what is stored: what a client read it can compare with.
pub(crate) fn moment(now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.micros().div_euclid(1000) * 1000)
}

/// How long a user that is deleted is kept; not at all when none.
///
/// # Errors
/// `InvalidValue`.
pub(crate) fn keep(days: i32) -> Result<Option<Duration>> {
    match u64::try_from(days) {
        Ok(0) => Ok(None),
        Ok(days) if days <= LONGEST_KEEP_DAYS => Ok(Some(Duration::from_secs(days * 24 * 3600))),
        _ => {
            let detail = format!("keep_days: expected 0 to {LONGEST_KEEP_DAYS}");
            Err(Error::invalid_value(detail).with_attribute("keep_days"))
        }
    }
}

/// The same words for what never was, what is gone, and what is another tenant's.
pub(crate) fn no_such_user() -> Error {
    Error::not_found("no user has this id")
}

/// The same words for what never was, what was purged, restored, and what is another tenant's.
pub(crate) fn no_such_suspended_user() -> Error {
    Error::not_found("no suspended user has this id (any more)")
}

/// The same words for what never was, what is deleted, and what is another tenant's.
pub(crate) fn no_such_extension() -> Error {
    Error::not_found("the tenant has no extension schema of this URN")
}

/// Somebody else has the name. Which user that is, is not said: the client can ask by filter.
pub(crate) fn user_name_taken() -> Error {
    let detail = "userName: taken by another user of this tenant (upper and lower case are the same); choose another, or \
                  change the user that has it";
    Error::new(scim::ErrorKind::Uniqueness, detail).with_attribute("userName")
}

/// Whether the user counts as active. Where `active` is unassigned it does, unless it was deactivated before: then the stored
/// value is null, which no client is shown ([`User::shown`]).
fn is_active(attributes: &Map) -> bool {
    match attributes.get("active") {
        None => true,
        Some(active) => active.as_bool().unwrap_or(false),
    }
}

fn text<'a>(attributes: &'a Map, name: &str) -> Option<&'a str> {
    attributes.get(name).and_then(Value::as_str)
}
