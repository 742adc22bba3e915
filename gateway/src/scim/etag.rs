//! Versions as weak entity tags (RFC 7644, section 3.14; RFC 9110, section 13).
//!
//! A group has `W/"<version>"`. A user that is shown with groups has `W/"<version>.<hash of the groups>"`: who is in which
//! group is no part of the user's own version, and a client that revalidates must learn of it. A precondition of a write
//! is about the resource alone, so `If-Match` looks at the version and not at the hash.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};
use proto::common::v1::Precondition;
use proto::membership::v1::UserGroup;
use sha2::{Digest, Sha256};

/// No resource ever has this version: they count from 1.
const NO_VERSION: i64 = 0;
/// Digits of the hash, each four bits: two sets of groups that one user has had share a tag once in 10^14.
const HASH_DIGITS: usize = 12;

/// The entity tag of a version.
pub(crate) fn of(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// The entity tag of a version of a user that is shown with these groups: that of the version when there are none.
pub(crate) fn with_groups(version: i64, groups: &[UserGroup]) -> String {
    if groups.is_empty() {
        return of(version);
    }
    let mut shown: Vec<&UserGroup> = groups.iter().collect();
    shown.sort_by(|a, b| a.id.cmp(&b.id));
    let mut hash = Sha256::new();
    for UserGroup { id, display, direct } in shown {
        // Lengths, so that no two sets of texts run together to the same bytes.
        for text in [id, display] {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        hash.update([u8::from(*direct)]);
    }
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{version}.{}\"", &digits[..HASH_DIGITS])
}

/// `If-Match`, when there is one. A tag that is not of our making matches no version.
pub(crate) fn if_match(headers: &HeaderMap) -> Option<Precondition> {
    let mut precondition = Precondition { any: false, versions: Vec::new() };
    for tag in tags(headers, &IF_MATCH)? {
        add(&mut precondition, tag);
    }
    Some(precondition)
}

/// The `version` of an operation of a bulk, which is what `If-Match` would say (RFC 7644, section 3.7).
pub(crate) fn if_match_one(tag: &str) -> Precondition {
    let mut precondition = Precondition { any: false, versions: Vec::new() };
    add(&mut precondition, tag.trim());
    precondition
}

fn add(precondition: &mut Precondition, tag: &str) {
    if tag == "*" {
        precondition.any = true;
    }
    precondition.versions.push(version(tag).unwrap_or(NO_VERSION));
}

/// Whether the client already has what this tag stands for: then 304.
pub(crate) fn if_none_match(headers: &HeaderMap, current: &str) -> bool {
    let strong = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let current = strong(current);
    tags(headers, &IF_NONE_MATCH).is_some_and(|mut tags| tags.any(|tag| tag == "*" || strong(tag) == current))
}

/// The tags of a header; `None` when there is no such header. A tag with a comma in it is not ours, nor are its pieces.
fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<impl Iterator<Item = &'a str>> {
    let values = headers.contains_key(name).then(|| headers.get_all(name).iter())?;
    Some(values.flat_map(|value| value.to_str().unwrap_or_default().split(',').map(str::trim)))
}

/// Weak comparison: `W/"3"` and `"3"` are the same. `None` for what [`of`] and [`with_groups`] did not make.
fn version(tag: &str) -> Option<i64> {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    let (digits, hash) = opaque.split_once('.').map_or((opaque, None), |(digits, hash)| (digits, Some(hash)));
    let is_hash = |hash: &str| {
        hash.len() == HASH_DIGITS && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let version: i64 = digits.parse().ok()?;
    (version.to_string() == digits && hash.is_none_or(is_hash)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Precondition {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, value.parse().unwrap());
        if_match(&headers).unwrap()
    }

    fn group(id: &str, display: &str, direct: bool) -> UserGroup {
        UserGroup { id: id.into(), display: display.into(), direct }
    }

    #[test]
    fn lists_stars_and_foreign_tags() {
        assert_eq!(if_match(&HeaderMap::new()), None);
        assert_eq!(parsed(&of(7)), Precondition { any: false, versions: vec![7] });
        assert_eq!(parsed(r#""3", W/"12""#), Precondition { any: false, versions: vec![3, 12] });
        assert!(parsed("*").any);
        for foreign in [
            r#""abc""#,
            "3",
            r#"W/"03""#,
            r#"w/"3""#,
            "",
            r#"W/"3.""#,
            r#"W/"3.0123456789aG""#,
            r#"W/".0123456789ab""#,
        ] {
            assert_eq!(parsed(foreign), Precondition { any: false, versions: vec![NO_VERSION] }, "{foreign}");
            assert_eq!(parsed(foreign), if_match_one(foreign));
        }
    }

    #[test]
    fn groups_are_part_of_the_tag_and_not_of_the_precondition() {
        let sales = || group("a", "Sales", true);
        let tag = with_groups(3, &[sales(), group("b", "All", false)]);
        assert_eq!(tag, with_groups(3, &[group("b", "All", false), sales()]), "in any order");
        assert_eq!(parsed(&tag).versions, [3]);
        assert_eq!(with_groups(3, &[]), of(3));
        let others = [
            vec![sales()],
            vec![sales(), group("b", "All", true)],
            vec![sales(), group("b", "Alle", false)],
            vec![sales(), group("c", "All", false)],
        ];
        for other in others {
            assert_ne!(tag, with_groups(3, &other), "{other:?}");
        }
    }

    #[test]
    fn not_modified() {
        let mut headers = HeaderMap::new();
        assert!(!if_none_match(&headers, &of(3)));
        headers.insert(IF_NONE_MATCH, r#"W/"1", W/"3""#.parse().unwrap());
        assert!(if_none_match(&headers, &of(3)));
        assert!(!if_none_match(&headers, &of(4)));
        assert!(!if_none_match(&headers, &with_groups(3, &[group("a", "Sales", true)])));
        headers.insert(IF_NONE_MATCH, "*".parse().unwrap());
        assert!(if_none_match(&headers, &of(4)));
    }
}
