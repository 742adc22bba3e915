//! Teams: what users of a tenant are sorted into by name.

use platform::clock::Timestamp;
use platform::ids::TeamId;
use platform::{Error, Result};
use scim::ErrorKind;
use uuid::Uuid;

const LONGEST_SLUG: usize = 64;
const LONGEST_NAME: usize = 200;

/// A team of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Team {
    pub(crate) id: TeamId,
    /// As it was registered.
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// How an administrator names a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Id(TeamId),
    /// Folded.
    Slug(String),
}

impl Named {
    /// From an id or a slug.
    pub(crate) fn read(text: &str) -> Self {
        match Uuid::try_parse(text) {
            Ok(id) => Self::Id(TeamId::from_uuid(id)),
            Err(_) => Self::Slug(scim::fold_str(text)),
        }
    }
}

/// Whether this can be the slug of a team.
pub(crate) fn is_slug(text: &str) -> bool {
    text.len() <= LONGEST_SLUG
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        // One could not tell whether a uuid or a slug is meant.
        && Uuid::try_parse(text).is_err()
}

/// The slug that was asked for.
///
/// # Errors
/// `InvalidValue`.
pub(crate) fn slug(text: &str) -> Result<String> {
    let text = text.trim();
    if !is_slug(text) {
        let detail = format!(
            "slug: expected 1 to {LONGEST_SLUG} letters, digits, `-`, `_` or `.`, beginning with a letter or digit, and no UUID"
        );
        return Err(Error::invalid_value(detail).with_attribute("slug"));
    }
    Ok(text.to_owned())
}

/// The name that was asked for; the slug when it is empty.
///
/// # Errors
/// `InvalidValue`.
pub(crate) fn name(text: &str, slug: &str) -> Result<String> {
    let text = text.trim();
    if text.chars().count() > LONGEST_NAME || text.chars().any(char::is_control) {
        let detail = format!("name: expected at most {LONGEST_NAME} characters on one line");
        return Err(Error::invalid_value(detail).with_attribute("name"));
    }
    Ok(if text.is_empty() { slug.to_owned() } else { text.to_owned() })
}

pub(crate) fn no_such_team() -> Error {
    Error::not_found("no team has this id or slug")
}

pub(crate) fn slug_taken() -> Error {
    let detail =
        "slug: taken by another team of this tenant (upper and lower case are the same); choose another";
    Error::new(ErrorKind::Uniqueness, detail).with_attribute("slug")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_words_and_no_uuids() {
        for good in ["sales", "R-and-D", "team_1.de", "7"] {
            assert_eq!(slug(good).unwrap(), good);
        }
        let long = "x".repeat(LONGEST_SLUG + 1);
        for bad in
            ["", "-x", "a b", "ä", "a,b", "[\"a\"]", "a@b", "018f3c0e-9d0c-7b53-9b1c-0a4f35a7f7a1", &long]
        {
            assert_eq!(slug(bad).unwrap_err().attribute.as_deref(), Some("slug"), "{bad}");
        }
    }

    #[test]
    fn a_team_without_a_name_goes_by_its_slug() {
        assert_eq!(name("  ", "sales").unwrap(), "sales");
        assert_eq!(name("Vertrieb Süd", "sales").unwrap(), "Vertrieb Süd");
        assert!(name("a\nb", "sales").is_err());
    }
}
