//! What Okta sends.

use crate::Result;
use crate::dialect::Scene;
use crate::patch::Operation;
use crate::quirks::common::plain_target;
use crate::schema::Mutability;

/// The value of an operation without path repeats what only the server may set. Okta renames groups like this.
///
/// ```json
/// {"op": "replace", "value": {"id": "abf4dd94", "displayName": "New name"}}
///   →  {"op": "replace", "value": {"displayName": "New name"}}
/// ```
pub(crate) fn read_only_key_ignored(scene: &Scene<'_>, operation: Operation) -> Result<Option<Operation>> {
    let is_read_only = plain_target(scene, &operation)
        .is_some_and(|located| located.leaf().mutability == Mutability::ReadOnly);
    Ok(if operation.from_key && is_read_only { None } else { Some(operation) })
}
