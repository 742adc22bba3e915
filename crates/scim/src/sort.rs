//! sortBy (RFC 7644, section 3.4.2.3).

use crate::decode::VALUE;
use crate::filter::AttrRef;
use crate::schema::{Kind, Name, ResourceType};
use crate::{Error, Result};

/// What to sort by. With `multi_valued` the first segments lead to an array: the key is that of the element with
/// `primary` true, else of the first; the last segment (`value`) is relative to the element, unless the array is simple
/// (`kind` of the attribute is then not complex, and the first segments are all there are).
/// `invalidPath` for an unknown attribute or one without an order.
pub fn resolve(sort_by: &str, rt: &ResourceType) -> Result<AttrRef> {
    let wrong =
        |detail: &str| Err(Error::invalid_path(format!("sortBy {sort_by}: {detail}")).about("sortBy"));
    let mut located = match rt.find(sort_by.trim()) {
        Some(Name::Attribute(located)) => located,
        Some(Name::Resource | Name::Extension(_)) => return wrong("a schema, not an attribute"),
        None => return wrong("no such attribute (see /Schemas)"),
    };
    if located.attribute.is_secret() || located.leaf().is_secret() {
        return wrong("never returned, so nothing is sorted by it");
    }
    if located.leaf().kind == Kind::Complex {
        let Some(value) = located.attribute.sub_attribute(VALUE) else {
            return wrong("complex; name one of its sub-attributes");
        };
        located.sub = Some(value);
    }
    let leaf = located.leaf();
    if leaf.kind == Kind::Binary {
        return wrong("type binary has no order");
    }
    Ok(AttrRef {
        segments: located.segments(),
        kind: leaf.kind,
        multi_valued: located.attribute.multi_valued || leaf.multi_valued,
        case_exact: leaf.case_exact,
        name: located.name(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_to_the_value_that_has_an_order() {
        let rt = ResourceType::user();
        let key = |name| resolve(name, &rt).map(|attr| (attr.segments.join("/"), attr.multi_valued));
        assert_eq!(key("username"), Ok(("userName".into(), false)));
        assert_eq!(key("meta.lastmodified"), Ok(("meta/lastModified".into(), false)));
        assert_eq!(key("emails"), Ok(("emails/value".into(), true)));
        assert_eq!(
            key("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager").unwrap().0,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager/value"
        );
        for name in
            ["nope", "name", "password", "x509Certificates", "urn:ietf:params:scim:schemas:core:2.0:User"]
        {
            assert_eq!(key(name).unwrap_err().kind, crate::ErrorKind::InvalidPath, "{name}");
        }
    }
}
