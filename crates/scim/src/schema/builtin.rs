//! The built-in schemas and resource types.

use std::sync::{Arc, LazyLock};

use super::{Extension, ResourceType, Schema, document};

/// URN of the core User schema.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// URN of the EnterpriseUser extension.
pub const ENTERPRISE_USER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// URN of the core Group schema.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

static COMMON: LazyLock<Arc<Schema>> = LazyLock::new(|| load(include_str!("../../schemas/common.json")));
static USER_SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| load(include_str!("../../schemas/user.json")));
static ENTERPRISE_SCHEMA: LazyLock<Arc<Schema>> =
    LazyLock::new(|| load(include_str!("../../schemas/enterprise_user.json")));
static GROUP_SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| load(include_str!("../../schemas/group.json")));

fn load(text: &str) -> Arc<Schema> {
    let document = serde_json::from_str(text).expect("a built-in schema is JSON");
    Arc::new(document::read_trusted(&document).expect("a built-in schema is well-formed"))
}

impl ResourceType {
    /// The User of RFC 7643, with the EnterpriseUser extension.
    pub fn user() -> ResourceType {
        ResourceType {
            name: "User".into(),
            endpoint: "/Users".into(),
            description: "User account".into(),
            schema: USER_SCHEMA.clone(),
            extensions: vec![Extension { schema: ENTERPRISE_SCHEMA.clone(), required: false }],
            common: COMMON.clone(),
        }
    }

    /// The Group of RFC 7643.
    pub fn group() -> ResourceType {
        ResourceType {
            name: "Group".into(),
            endpoint: "/Groups".into(),
            description: "Group of users and groups".into(),
            schema: GROUP_SCHEMA.clone(),
            extensions: Vec::new(),
            common: COMMON.clone(),
        }
    }

    /// The same resource type with one more extension. One of the same URN is replaced.
    #[must_use]
    pub fn with_extension(self, schema: Arc<Schema>, required: bool) -> ResourceType {
        let mut with = self.without_extension(&schema.id);
        with.extensions.push(Extension { schema, required });
        with
    }

    /// The same resource type without that extension.
    #[must_use]
    pub fn without_extension(mut self, urn: &str) -> ResourceType {
        self.extensions.retain(|extension| !extension.schema.id.eq_ignore_ascii_case(urn));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Mutability, Returned};
    use super::*;

    #[test]
    fn user_is_the_user_of_the_rfc() {
        let user = ResourceType::user();
        let names: Vec<_> = user.schema.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
        assert_eq!(
            names.join(" "),
            "userName name displayName nickName profileUrl title userType preferredLanguage locale timezone active \
             password emails phoneNumbers ims photos addresses groups entitlements roles x509Certificates"
        );
        let password = user.schema.attribute("PASSWORD").unwrap();
        assert_eq!((password.mutability, password.returned), (Mutability::WriteOnly, Returned::Never));
        assert_eq!(user.schema.attribute("x509certificates").unwrap().sub_attributes[0].kind, Kind::Binary);
    }

    #[test]
    fn an_extension_of_the_same_urn_replaces() {
        let again = ResourceType::user().with_extension(ENTERPRISE_SCHEMA.clone(), true);
        assert_eq!(again.extensions.len(), 1);
        assert!(again.extensions[0].required);
    }
}
