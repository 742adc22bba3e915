//! What a group is: the attributes that its columns are made of.

use std::sync::LazyLock;

use platform::{Error, Result};
use scim::Map;
use scim::schema::ResourceType;
use serde_json::Value;

/// Both databases index these texts; PostgreSQL's b-tree takes about 2,700 bytes per entry.
const LONGEST_KEY: usize = 1024;

/// The Group of RFC 7643.
pub fn resource_type() -> &'static ResourceType {
    static GROUP: LazyLock<ResourceType> = LazyLock::new(ResourceType::group);
    &GROUP
}

/// A group's attributes, checked, with what is derived from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributes {
    /// As provisioned.
    pub display_name: String,
    /// As compared.
    pub display_name_key: String,
    /// As provisioned; compared exactly.
    pub external_id: Option<String>,
    /// The SCIM object without `id`, `meta` and `members`.
    pub json: Value,
    /// Its folded copy.
    pub search: Value,
}

impl Attributes {
    /// From a resource that `scim` decoded and `members` were taken out of.
    ///
    /// # Errors
    /// `InvalidValue` without a displayName, or with one that is too long.
    pub fn new(resource: Map) -> Result<Self> {
        let display_name = text(&resource, "displayName").unwrap_or_default();
        if display_name.is_empty() {
            let detail = "displayName is required: give the group a name";
            return Err(Error::invalid_value(detail).with_attribute("displayName"));
        }
        let external_id = text(&resource, "externalId").filter(|id| !id.is_empty());
        let display_name_key = scim::fold_str(&display_name);
        within_limit("displayName", &display_name_key)?;
        within_limit("externalId", external_id.as_deref().unwrap_or_default())?;
        let json = Value::Object(resource);
        let search = scim::fold(resource_type(), &json);
        Ok(Self { display_name, display_name_key, external_id, json, search })
    }
}

fn text(resource: &Map, attribute: &str) -> Option<String> {
    resource.get(attribute).and_then(Value::as_str).map(str::to_owned)
}

fn within_limit(attribute: &str, text: &str) -> Result<()> {
    if text.len() <= LONGEST_KEY {
        return Ok(());
    }
    let detail = format!("{attribute} is too long: at most {LONGEST_KEY} bytes, these are {}", text.len());
    Err(Error::invalid_value(detail).with_attribute(attribute))
}
