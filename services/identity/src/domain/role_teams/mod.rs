//! Role and teams of a user: what provisioning may make of them, for tenants that have the extension.
//!
//! | action | role | teams |
//! |---|---|---|
//! | POST | from the payload, else `user` | those listed |
//! | PUT, PATCH | set if it can be provisioned and the current one is not protected | exactly those listed |
//! | not sent | `user` on POST, else unchanged | unchanged |
//! | sent empty (`""`, null, `[]`, remove) | `user`, unless the current one is protected | none |
//!
//! Two steps. [`tidy`](self) runs before the protocol's engine and turns every way in which clients write teams into the
//! schema's; [`Settle`] runs behind it, inside the transaction, where the registry can be asked. What cannot be is skipped
//! with a warning; the strict dialects (`rfc`, `interop`) get 400 instead, and their `add` of teams adds.

mod document;
mod settle;
#[cfg(test)]
mod tests;
mod tidy;

pub(crate) use document::{check_schema, ready_made};
pub(crate) use settle::{Settle, Wanted};

use platform::ids::TeamId;
use scim::dialect::Unknown;
use scim::{Dialect, Map};
use serde_json::Value;
use uuid::Uuid;

/// The attributes that a role-and-teams extension must have.
pub(crate) const ROLE: &str = "role";
pub(crate) const TEAMS: &str = "teams";
/// How an element of `teams` names a team; `value` may hold either.
pub(crate) const UUID: &str = "uuid";
pub(crate) const SLUG: &str = "slug";
pub(crate) const VALUE: &str = "value";

/// What a user is without being told.
pub(crate) const DEFAULT_ROLE: &str = "user";
/// What provisioning can give.
const PROVISIONED: [&str; 3] = ["admin", DEFAULT_ROLE, "external"];
/// What only the admin API gives and takes.
const PROTECTED: [&str; 2] = ["owner", "partner"];

/// A tenant's role-and-teams extension, read with a dialect's patience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleTeams {
    /// The URN of the extension, in the schema's spelling.
    urn: String,
    /// Whether what cannot be is refused.
    strict: bool,
}

/// Which of the two a request speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) role: bool,
    pub(crate) teams: bool,
}

impl Sent {
    pub(crate) const BOTH: Sent = Sent { role: true, teams: true };
    pub(crate) const NEITHER: Sent = Sent { role: false, teams: false };
}

impl RoleTeams {
    pub(crate) fn new(urn: &str, dialect: &Dialect) -> Self {
        Self { urn: urn.to_owned(), strict: dialect.unknown_attributes == Unknown::Reject }
    }

    pub(crate) fn urn(&self) -> &str {
        &self.urn
    }

    /// `urn:…:User:role`
    fn name(&self, attribute: &str) -> String {
        format!("{}:{attribute}", self.urn)
    }
}

/// The proper spelling of a role that there is.
pub(crate) fn role_named(text: &str) -> Option<&'static str> {
    PROVISIONED.into_iter().chain(PROTECTED).find(|role| role.eq_ignore_ascii_case(text.trim()))
}

/// Every role, for messages.
pub(crate) fn roles() -> String {
    [PROVISIONED.as_slice(), PROTECTED.as_slice()].concat().join(", ")
}

/// The role of a stored user.
pub(crate) fn role_of<'a>(urn: &str, user: &'a Map) -> Option<&'a str> {
    user.get(urn)?.get(ROLE)?.as_str()
}

/// The teams of a stored user, in its order.
pub(crate) fn teams_of(urn: &str, user: &Map) -> Vec<TeamId> {
    let elements = user.get(urn).and_then(|extension| extension.get(TEAMS)).and_then(Value::as_array);
    elements.into_iter().flatten().filter_map(team_id).collect()
}

/// How the teams of a stored user are called, in the order of [`teams_of`].
pub(crate) fn slugs_of(urn: &str, user: &Map) -> Vec<String> {
    let elements = user.get(urn).and_then(|extension| extension.get(TEAMS)).and_then(Value::as_array);
    let teams = elements.into_iter().flatten().filter(|element| team_id(element).is_some());
    let slug = |element: &Value| element.get(SLUG).and_then(Value::as_str).unwrap_or_default().to_owned();
    teams.map(slug).collect()
}

fn team_id(element: &Value) -> Option<TeamId> {
    Uuid::try_parse(element.get(UUID)?.as_str()?).ok().map(TeamId::from_uuid)
}

/// Puts the extension's object in its place, or away when nothing is in it, and keeps `schemas` true.
fn put_extension(user: &mut Map, urn: &str, extension: Map) {
    let is_there = !extension.is_empty();
    if is_there {
        user.insert(urn.to_owned(), Value::Object(extension));
    } else {
        user.remove(urn);
    }
    let Some(Value::Array(schemas)) = user.get_mut("schemas") else { return };
    let is_listed = schemas.iter().any(|listed| listed == urn);
    if is_there && !is_listed {
        schemas.push(urn.into());
    } else if !is_there && is_listed {
        schemas.retain(|listed| listed != urn);
    }
}

/// A user of whom a team was renamed (`slug`), or taken away (no slug). `None` when that changes nothing.
pub(crate) fn with_team(urn: &str, user: &Map, team: TeamId, slug: Option<&str>) -> Option<Map> {
    let mut extension = user.get(urn)?.as_object()?.clone();
    let Some(Value::Array(mut elements)) = extension.remove(TEAMS) else { return None };
    for element in elements.iter_mut().filter(|element| team_id(element) == Some(team)) {
        *element = slug.map_or(Value::Null, |slug| shown(team, slug));
    }
    elements.retain(|element| !element.is_null());
    if !elements.is_empty() {
        extension.insert(TEAMS.to_owned(), elements.into());
    }
    let mut changed = user.clone();
    put_extension(&mut changed, urn, extension);
    (&changed != user).then_some(changed)
}

/// A user with this role, whoever had it before: for the admin API.
pub(crate) fn with_role(urn: &str, user: &Map, role: &'static str) -> Map {
    let mut changed = user.clone();
    let mut extension = user.get(urn).and_then(Value::as_object).cloned().unwrap_or_default();
    extension.insert(ROLE.to_owned(), role.into());
    put_extension(&mut changed, urn, extension);
    changed
}

/// A team as it stands in a user.
fn shown(team: TeamId, slug: &str) -> Value {
    serde_json::json!({ UUID: team.to_string(), SLUG: slug })
}

/// A word for a warning. What does not look like a slug could be anything, a person's address for instance, and is not
/// repeated.
fn word(text: &str) -> String {
    match crate::domain::team::is_slug(text) {
        true => format!("{text:?}"),
        false => "what was sent".to_owned(),
    }
}
