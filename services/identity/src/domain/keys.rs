//! What a user is found by: the folded copy, and the parts of it that rest in indexed columns.

use scim::Map;
use scim::schema::ResourceType;
use serde_json::Value;

/// The searchable form of a user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Keys {
    /// The folded copy of the whole.
    pub(crate) search: Value,
    pub(crate) user_name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) active: bool,
    /// In the order of the user's e-mails.
    pub(crate) emails: Vec<EmailKeys>,
}

/// The searchable form of an e-mail.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EmailKeys {
    pub(crate) value: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) primary: Option<bool>,
}

impl Keys {
    pub(crate) fn of(schema: &ResourceType, attributes: &Map) -> Self {
        let search = scim::fold(schema, &Value::Object(attributes.clone()));
        let mut emails = Vec::new();
        for email in search.get("emails").and_then(Value::as_array).into_iter().flatten() {
            let primary = email.get("primary").and_then(Value::as_bool);
            emails.push(EmailKeys { value: text(email, "value"), kind: text(email, "type"), primary });
        }
        Self {
            user_name: text(&search, "userName").unwrap_or_default(),
            external_id: text(&search, "externalId"),
            display_name: text(&search, "displayName"),
            active: super::is_active(attributes).unwrap_or(true),
            emails,
            search,
        }
    }
}

fn text(object: &Value, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}
