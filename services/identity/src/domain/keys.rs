//! What a user is found by: the folded copy, and the parts of it that rest in indexed columns.

use platform::{Error, Result};
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

/// Both databases index these texts; PostgreSQL's b-tree takes about 2,700 bytes per entry.
const LONGEST_KEY: usize = 1024;
/// Elements of one multi-valued attribute. Real directories stay below ten.
const MOST_ELEMENTS: usize = 1000;
/// Bytes of a whole user as JSON: room for a portrait or some certificates, and a page of users stays sendable.
const LARGEST_USER: usize = 256 * 1024;

impl Keys {
    /// Whether a user with these keys may be stored.
    ///
    /// # Errors
    /// `InvalidValue` that names the attribute that is too long or has too many elements.
    pub(crate) fn check(&self) -> Result<()> {
        let emails = self.emails.iter().map(|email| ("emails.value", email.value.as_deref()));
        let texts = [
            ("userName", Some(self.user_name.as_str())),
            ("externalId", self.external_id.as_deref()),
            ("displayName", self.display_name.as_deref()),
        ];
        for (attribute, text) in texts.into_iter().chain(emails) {
            if text.is_some_and(|text| text.len() > LONGEST_KEY) {
                let detail = format!("{attribute}: longer than {LONGEST_KEY} bytes");
                return Err(Error::invalid_value(detail).with_attribute(attribute));
            }
        }
        for (attribute, value) in self.search.as_object().into_iter().flatten() {
            if value.as_array().is_some_and(|elements| elements.len() > MOST_ELEMENTS) {
                let detail = format!("{attribute}: more than {MOST_ELEMENTS} values");
                return Err(Error::invalid_value(detail).with_attribute(attribute));
            }
        }
        if self.search.to_string().len() > LARGEST_USER {
            return Err(Error::invalid_value(format!("the user is larger than {} KiB", LARGEST_USER / 1024)));
        }
        Ok(())
    }

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
            active: super::is_active(attributes),
            emails,
            search,
        }
    }
}

fn text(object: &Value, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(user: Value) -> Option<Option<String>> {
        let Value::Object(user) = user else { panic!("a user is an object") };
        Keys::of(&ResourceType::user(), &user).check().err().map(|error| error.attribute)
    }

    #[test]
    fn what_no_index_can_hold_is_refused_by_name() {
        let long = "x".repeat(LONGEST_KEY + 1);
        assert_eq!(check(json!({"userName": "x".repeat(LONGEST_KEY)})), None);
        assert_eq!(check(json!({"userName": long})), Some(Some("userName".to_owned())));
        assert_eq!(check(json!({"userName": "a", "externalId": long})), Some(Some("externalId".to_owned())));
        assert_eq!(
            check(json!({"userName": "a", "displayName": long})),
            Some(Some("displayName".to_owned()))
        );
        assert_eq!(
            check(json!({"userName": "a", "emails": [{"value": long}]})),
            Some(Some("emails.value".to_owned()))
        );
    }

    #[test]
    fn a_user_has_a_size() {
        let many: Vec<_> = (0..=MOST_ELEMENTS).map(|n| json!({"value": n.to_string()})).collect();
        assert_eq!(
            check(json!({"userName": "a", "phoneNumbers": many})),
            Some(Some("phoneNumbers".to_owned()))
        );
        assert_eq!(check(json!({"userName": "a", "title": "x".repeat(LARGEST_USER)})), Some(None));
    }
}
