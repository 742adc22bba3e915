//! JSON for people to read: `schemas`, `id` and `externalId` first, then the attributes as the core schemas list them, then
//! extensions, `meta` last. SCIM has no order (RFC 7643, section 2.1); this is what its own examples look like.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::resource::SCHEMAS;
use crate::schema::ResourceType;

/// The list of resources in a ListResponse.
const RESOURCES: &str = "Resources";

/// What stands first, and in messages.
const FIRST: [&str; 8] = [
    SCHEMAS,
    "id",
    "externalId",
    "totalResults",
    "startIndex",
    "itemsPerPage",
    "nextCursor",
    "previousCursor",
];

/// The place of each key at the top of a resource or message; the others stand between these and `meta`, by the alphabet.
static PLACES: LazyLock<HashMap<String, usize>> = LazyLock::new(|| {
    let mut places: HashMap<String, usize> = HashMap::new();
    let (user, group) = (ResourceType::user(), ResourceType::group());
    let attributes = user.schema.attributes.iter().chain(&group.schema.attributes);
    let names =
        FIRST.into_iter().map(str::to_owned).chain(attributes.map(|attribute| attribute.name.clone()));
    for name in names {
        let next = places.len();
        places.entry(name).or_insert(next);
    }
    places.insert("meta".to_owned(), usize::MAX);
    places
});

/// The JSON text of a resource, a list of resources, or any other message.
pub fn to_string(value: &Value) -> String {
    // A Value has text for keys and no other way to fail.
    serde_json::to_string(&Ordered(value)).unwrap_or_else(|_| value.to_string())
}

/// Serializes in that order. The values of attributes are left as they are.
#[derive(Debug, Clone, Copy)]
pub struct Ordered<'a>(pub &'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) if members.contains_key(SCHEMAS) => {
                let places = &*PLACES;
                let others = places.len();
                let mut ordered = Vec::with_capacity(members.len());
                for (key, value) in members {
                    ordered.push((places.get(key).copied().unwrap_or(others), key, value));
                }
                ordered.sort_by_key(|(place, ..)| *place);
                let mut map = serializer.serialize_map(Some(ordered.len()))?;
                for (_, key, value) in ordered {
                    match value {
                        Value::Array(resources) if key == RESOURCES => {
                            map.serialize_entry(key, &List(resources))?;
                        }
                        value => map.serialize_entry(key, value)?,
                    }
                }
                map.end()
            }
            other => other.serialize(serializer),
        }
    }
}

struct List<'a>(&'a [Value]);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Ordered))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_read_as_in_the_rfc() {
        let user = json!({
            "active": true, "displayName": "B", "emails": [{ "value": "b@x", "type": "work" }], "externalId": "e", "id": "7",
            "meta": { "version": "W/\"1\"" }, "schemas": ["s"], "userName": "b", "urn:example:2.0:User": { "floor": 3 },
        });
        let expected = r#"{"schemas":["s"],"id":"7","externalId":"e","userName":"b","displayName":"B","active":true,"emails":[{"type":"work","value":"b@x"}],"urn:example:2.0:User":{"floor":3},"meta":{"version":"W/\"1\""}}"#;
        assert_eq!(to_string(&user), expected);
        let list = json!({ "Resources": [user], "itemsPerPage": 1, "schemas": ["l"], "startIndex": 1, "totalResults": 1 });
        assert_eq!(
            to_string(&list),
            format!(
                r#"{{"schemas":["l"],"totalResults":1,"startIndex":1,"itemsPerPage":1,"Resources":[{expected}]}}"#
            )
        );
    }

    #[test]
    fn nothing_is_lost() {
        for value in [
            json!(null),
            json!([1, { "b": 1, "a": 2 }]),
            json!({ "schemas": 1, "x": { "schemas": [] }, "id": [] }),
        ] {
            assert_eq!(serde_json::from_str::<Value>(&to_string(&value)).unwrap(), value);
        }
    }
}
