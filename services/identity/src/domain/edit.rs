//! How request bodies become users: create, replace, patch, with the tenant's schema and the client's dialect.

use std::borrow::Cow;

use platform::Result;
use scim::patch::PatchRequest;
use scim::{Dialect, Limits, Map, Warning};
use serde_json::Value;

use super::is_active;
use super::role_teams::{RoleTeams, Sent, Settle};
use super::schema::{Schema, keep_hidden};

/// Reads bodies of one request. The tenant's schema comes later: as it is inside the transaction that writes.
pub(crate) struct Reader<'a> {
    pub(crate) dialect: &'static Dialect,
    pub(crate) limits: &'a Limits,
}

/// What a request makes of a user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edit {
    pub(crate) attributes: Map,
    pub(crate) warnings: Vec<Warning>,
    /// What the rules of role and teams have to decide yet, where the tenant has them.
    pub(crate) role_teams: Option<Settle>,
}

impl Reader<'_> {
    /// The user that a POST asks for, as a function of the tenant's schema.
    pub(crate) fn create(
        &self,
        body: &[u8],
    ) -> Result<impl Fn(&Schema) -> Result<Edit> + Send + Sync + use<>> {
        let body = scim::resource::parse_json(body, self.limits)?;
        let dialect = self.dialect;
        Ok(move |schema: &Schema| {
            let Tidied { body, role_teams, warnings } = tidied(schema, dialect, &body);
            let decoded = scim::resource::create(&schema.user, dialect, &body)?;
            let warnings = [warnings, decoded.warnings].concat();
            Ok(Edit { role_teams, ..settle(None, decoded.resource, &decoded.secrets, warnings) })
        })
    }

    /// What a PUT asks for, as a function of the tenant's schema and the current user.
    pub(crate) fn replace(
        &self,
        body: &[u8],
    ) -> Result<impl Fn(&Schema, &Map) -> Result<Edit> + Send + Sync + use<>> {
        let body = scim::resource::parse_json(body, self.limits)?;
        let dialect = self.dialect;
        Ok(move |schema: &Schema, current: &Map| {
            let Tidied { body, role_teams, warnings } = tidied(schema, dialect, &body);
            let decoded = scim::resource::replace(&schema.user, dialect, current, &body)?;
            let warnings = [warnings, decoded.warnings].concat();
            let mut attributes = decoded.resource;
            keep_hidden(&schema.user, current, &mut attributes);
            if let (false, Some(active)) = (attributes.contains_key("active"), current.get("active")) {
                attributes.insert("active".into(), active.clone());
            }
            Ok(Edit { role_teams, ..settle(Some(current), attributes, &decoded.secrets, warnings) })
        })
    }

    /// What a PATCH asks for, as a function of the tenant's schema and the current user.
    pub(crate) fn patch(
        &self,
        body: &[u8],
    ) -> Result<impl Fn(&Schema, &Map) -> Result<Edit> + Send + Sync + use<>> {
        let body = scim::resource::parse_json(body, self.limits)?;
        let patch = PatchRequest::parse(&body, self.dialect, self.limits)?;
        let dialect = self.dialect;
        Ok(move |schema: &Schema, current: &Map| {
            let mut warnings = Vec::new();
            let (mut patch, mut role_teams) = (Cow::Borrowed(&patch), None);
            if let Some(urn) = &schema.role_teams {
                let rule = RoleTeams::new(urn, dialect);
                let patch = patch.to_mut();
                patch.operations = rule.tidy_operations(std::mem::take(&mut patch.operations), &mut warnings);
                role_teams = Some(Settle { rule, sent: Sent::BOTH });
            }
            let outcome = scim::patch::apply(&schema.user, dialect, current, &patch)?;
            warnings.extend(outcome.warnings);
            Ok(Edit { role_teams, ..settle(Some(current), outcome.resource, &outcome.secrets, warnings) })
        })
    }
}

/// The service's own rules, the same for every way to write.
///
/// - A new user is active unless it says otherwise. A PUT that leaves `active` out keeps it. A PATCH may remove it: then it is
///   unassigned (RFC 7644, section 3.5.2.2), which does not bring a deactivated user back ([`super::is_active`]).
/// - Passwords are not kept, in any form: nothing here authenticates people. The client is told.
fn settle(current: Option<&Map>, mut attributes: Map, secrets: &Map, mut warnings: Vec<Warning>) -> Edit {
    if !attributes.contains_key("active") {
        match current {
            None => _ = attributes.insert("active".into(), Value::Bool(true)),
            Some(current) if !is_active(current) => _ = attributes.insert("active".into(), Value::Null),
            Some(_) => {}
        }
    }
    for attribute in secrets.keys() {
        let detail =
            "not stored: Rollcall does not authenticate people and keeps no secrets of theirs".to_owned();
        warnings.push(Warning { attribute: attribute.clone(), detail });
    }
    Edit { attributes, warnings, role_teams: None }
}

/// A body whose role and teams are as the schema has them.
struct Tidied<'a> {
    body: Cow<'a, Value>,
    role_teams: Option<Settle>,
    warnings: Vec<Warning>,
}

fn tidied<'a>(schema: &Schema, dialect: &Dialect, body: &'a Value) -> Tidied<'a> {
    let Some(urn) = &schema.role_teams else {
        return Tidied { body: Cow::Borrowed(body), role_teams: None, warnings: Vec::new() };
    };
    let (mut body, mut warnings) = (body.clone(), Vec::new());
    let rule = RoleTeams::new(urn, dialect);
    let sent = rule.tidy_resource(&mut body, &mut warnings);
    Tidied { body: Cow::Owned(body), role_teams: Some(Settle { rule, sent }), warnings }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn leaving_active_out_reactivates_nobody() {
        let inactive = map(json!({ "userName": "a", "active": false }));
        let edit = settle(Some(&inactive), map(json!({ "userName": "a" })), &Map::new(), Vec::new());
        assert!(!is_active(&edit.attributes), "unassigned, and still not active");
        let again = settle(Some(&edit.attributes), map(json!({ "userName": "b" })), &Map::new(), Vec::new());
        assert!(!is_active(&again.attributes));
        let active = map(json!({ "userName": "a", "active": true }));
        let edit = settle(Some(&active), map(json!({ "userName": "a" })), &Map::new(), Vec::new());
        assert!(is_active(&edit.attributes) && !edit.attributes.contains_key("active"));
        let edit = settle(None, map(json!({ "userName": "a" })), &Map::new(), Vec::new());
        assert_eq!(edit.attributes["active"], json!(true));
    }

    #[test]
    fn a_password_is_a_warning_and_nothing_else() {
        let secrets = map(json!({ "password": "hunter2" }));
        let edit = settle(None, map(json!({ "userName": "a" })), &secrets, Vec::new());
        assert_eq!(edit.warnings[0].attribute, "password");
        assert!(!format!("{edit:?}").contains("hunter2"));
    }
}
