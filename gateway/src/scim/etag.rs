//! Versions as weak entity tags (RFC 7644, section 3.14; RFC 9110, section 13).

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};
use proto::common::v1::Precondition;

/// No resource ever has this version: they count from 1.
const NO_VERSION: i64 = 0;

/// The entity tag of a version.
pub(crate) fn of(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// `If-Match`, when there is one. A tag that is not of our making matches no version.
pub(crate) fn if_match(headers: &HeaderMap) -> Option<Precondition> {
    tags(headers, IF_MATCH)
}

/// Whether the client already has this version: then 304.
pub(crate) fn if_none_match(headers: &HeaderMap, version: i64) -> bool {
    tags(headers, IF_NONE_MATCH).is_some_and(|tags| tags.any || tags.versions.contains(&version))
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Precondition> {
    if !headers.contains_key(&name) {
        return None;
    }
    let mut tags = Precondition { any: false, versions: Vec::new() };
    for value in headers.get_all(name) {
        // A tag with a comma in it is not ours, nor are its pieces.
        for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            if tag == "*" {
                tags.any = true;
            }
            tags.versions.push(version(tag).unwrap_or(NO_VERSION));
        }
    }
    Some(tags)
}

/// Weak comparison: `W/"3"` and `"3"` are the same. `None` for what [`of`] did not make.
fn version(tag: &str) -> Option<i64> {
    let digits = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    let version: i64 = digits.parse().ok()?;
    (version.to_string() == digits).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Precondition {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, value.parse().unwrap());
        if_match(&headers).unwrap()
    }

    #[test]
    fn lists_stars_and_foreign_tags() {
        assert_eq!(if_match(&HeaderMap::new()), None);
        assert_eq!(parsed(&of(7)), Precondition { any: false, versions: vec![7] });
        assert_eq!(parsed(r#""3", W/"12""#), Precondition { any: false, versions: vec![3, 12] });
        assert!(parsed("*").any);
        for foreign in [r#""abc""#, "3", r#"W/"03""#, r#"w/"3""#, ""] {
            assert_eq!(parsed(foreign), Precondition { any: false, versions: vec![NO_VERSION] }, "{foreign}");
        }
    }

    #[test]
    fn not_modified() {
        let mut headers = HeaderMap::new();
        assert!(!if_none_match(&headers, 3));
        headers.insert(IF_NONE_MATCH, r#"W/"3""#.parse().unwrap());
        assert!(if_none_match(&headers, 3));
        assert!(!if_none_match(&headers, 4));
        headers.insert(IF_NONE_MATCH, "*".parse().unwrap());
        assert!(if_none_match(&headers, 4));
    }
}
