//! How request bodies become users: create, replace, patch, with the tenant's schema and the client's dialect.

use platform::Result;
use scim::patch::PatchRequest;
use scim::{Dialect, Limits, Map, Warning};
use serde_json::Value;

use super::is_active;
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
            let decoded = scim::resource::create(&schema.user, dialect, &body)?;
            Ok(settle(None, decoded.resource, &decoded.secrets, decoded.warnings))
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
            let decoded = scim::resource::replace(&schema.user, dialect, current, &body)?;
            let mut attributes = decoded.resource;
            keep_hidden(&schema.user, current, &mut attributes);
            Ok(settle(Some(current), attributes, &decoded.secrets, decoded.warnings))
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
            let outcome = scim::patch::apply(&schema.user, dialect, current, &patch)?;
            Ok(settle(Some(current), outcome.resource, &outcome.secrets, outcome.warnings))
        })
    }
}

/// The service's own rules, the same for every way to write.
///
/// - `active` is never unassigned: a new user is active unless it says otherwise, and a request that leaves `active` out
///   (or clears it) does not thereby bring a deactivated user back.
/// - Passwords are not kept, in any form: nothing here authenticates people. The client is told.
fn settle(current: Option<&Map>, mut attributes: Map, secrets: &Map, mut warnings: Vec<Warning>) -> Edit {
    if is_active(&attributes).is_none() {
        let active = current.and_then(is_active).unwrap_or(true);
        attributes.insert("active".into(), Value::Bool(active));
    }
    for attribute in secrets.keys() {
        let detail =
            "not stored: Rollcall does not authenticate people and keeps no secrets of theirs".to_owned();
        warnings.push(Warning { attribute: attribute.clone(), detail });
    }
    Edit { attributes, warnings }
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
        assert_eq!(edit.attributes["active"], json!(false));
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
