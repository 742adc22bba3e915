//! The schema of an extension with role and teams.

use platform::{Error, Result};
use scim::Limits;
use scim::schema::{Attribute, Kind, Mutability, Schema};
use serde_json::Value;

use super::{ROLE, SLUG, TEAMS, UUID, VALUE};
use crate::domain::Definition;

/// The ready-made schema, but for its URN.
const READY_MADE: &str = include_str!("../../../schemas/role_and_teams.json");

/// The ready-made extension under this URN.
///
/// # Errors
/// `InvalidValue` when it is no URN for an extension.
pub(crate) fn ready_made(urn: &str, limits: &Limits) -> Result<Definition> {
    let mut document: Value = serde_json::from_str(READY_MADE).map_err(Error::internal)?;
    document["id"] = urn.into();
    let definition = Definition::parse(document.to_string().as_bytes(), false, limits)?;
    Ok(Definition { role_and_teams: Some(true), ..definition })
}

/// Whether an extension can have role and teams.
///
/// # Errors
/// `InvalidValue` that names the attribute and says what it must be.
pub(crate) fn check_schema(schema: &Schema) -> Result<()> {
    let refused = |attribute: &str, expected: &str| {
        let detail = format!("{attribute}: with role_and_teams, the schema needs it as {expected}");
        Err(Error::invalid_value(detail).with_attribute(attribute))
    };
    let is_text = |attribute: &Attribute| attribute.kind == Kind::String && is_open(attribute);
    if !schema.attribute(ROLE).is_some_and(|role| role.name == ROLE && is_text(role)) {
        return refused(ROLE, "a single-valued string that is readWrite and not required");
    }
    let holds = |teams: &Attribute| {
        [UUID, SLUG, VALUE]
            .iter()
            .all(|name| teams.sub_attribute(name).is_some_and(|sub| sub.name == *name && is_text(sub)))
    };
    let is_list = |teams: &Attribute| {
        let open = Attribute { multi_valued: false, ..teams.clone() };
        teams.name == TEAMS && teams.kind == Kind::Complex && teams.multi_valued && is_open(&open)
    };
    if !schema.attribute(TEAMS).is_some_and(|teams| is_list(teams) && holds(teams)) {
        return refused(
            TEAMS,
            "a multi-valued complex attribute of the strings uuid, slug and value, readWrite and not required",
        );
    }
    Ok(())
}

fn is_open(attribute: &Attribute) -> bool {
    !attribute.multi_valued && !attribute.required && attribute.mutability == Mutability::ReadWrite
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZEEG: &str = "urn:ietf:params:scim:schemas:extension:zeeg:2.0:User";

    #[test]
    fn the_ready_made_schema_can_have_role_and_teams() {
        let definition = ready_made(ZEEG, &Limits::DEFAULT).unwrap();
        assert_eq!(definition.schema.id, ZEEG);
        check_schema(&definition.schema).unwrap();
        assert!(ready_made("urn:ietf:params:scim:schemas:core:2.0:User", &Limits::DEFAULT).is_err());
    }

    #[test]
    fn what_the_rules_need_must_be_there() {
        let good = ready_made(ZEEG, &Limits::DEFAULT).unwrap().schema;
        let spoiled = |spoil: fn(&mut Vec<Attribute>)| {
            let mut schema = good.clone();
            spoil(&mut schema.attributes);
            check_schema(&schema).unwrap_err().attribute.unwrap()
        };
        assert_eq!(spoiled(|attributes| attributes.retain(|attribute| attribute.name != ROLE)), ROLE);
        assert_eq!(spoiled(|attributes| attributes.retain(|attribute| attribute.name != TEAMS)), TEAMS);
        assert_eq!(spoiled(|attributes| attributes[0].required = true), ROLE);
        assert_eq!(spoiled(|attributes| attributes[0].multi_valued = true), ROLE);
        assert_eq!(spoiled(|attributes| attributes[1].multi_valued = false), TEAMS);
        assert_eq!(spoiled(|attributes| attributes[1].sub_attributes.truncate(2)), TEAMS);
        assert_eq!(spoiled(|attributes| attributes[1].mutability = Mutability::Immutable), TEAMS);
    }
}
