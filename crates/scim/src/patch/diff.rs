//! What a change changed.

use serde_json::Value;

use crate::Map;
use crate::resource::SCHEMAS;
use crate::schema::ResourceType;

/// Attributes that differ, sorted: `active`, `name.givenName`, `emails`, `urn:…:User:department`.
pub(super) fn changed_paths(rt: &ResourceType, before: &Map, after: &Map) -> Vec<String> {
    let mut paths = Vec::new();
    for key in keys(before, after).filter(|key| *key != SCHEMAS) {
        let (old, new) = (before.get(key), after.get(key));
        if old == new {
            continue;
        }
        // A single complex value is told by its sub-attributes, an extension by its attributes.
        let separator = if rt.extension(key).is_some() { ':' } else { '.' };
        let nothing = Map::new();
        let members =
            |value: Option<&Value>| value.map_or(Some(nothing.clone()), |value| value.as_object().cloned());
        let (Some(old), Some(new)) = (members(old), members(new)) else {
            paths.push(key.to_owned());
            continue;
        };
        for sub in keys(&old, &new) {
            if old.get(sub) != new.get(sub) {
                paths.push(format!("{key}{separator}{sub}"));
            }
        }
    }
    paths.sort();
    paths
}

fn keys<'a>(before: &'a Map, after: &'a Map) -> impl Iterator<Item = &'a str> {
    let added = after.keys().filter(|key| !before.contains_key(*key));
    before.keys().chain(added).map(String::as_str)
}
