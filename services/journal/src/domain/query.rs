//! Which exchanges are wanted.

use std::collections::BTreeSet;

use platform::clock::Timestamp;
use platform::{Error, Result};
use uuid::Uuid;

use super::exchange::Outcome;
use super::page::Place;
use super::subject::{Kind, external_name_id, name_id};

/// More references than this in one question are not asked by anybody.
pub(crate) const MOST_REFERENCES: usize = 5;

/// Which exchanges are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// About any of these; everything when empty.
    pub(crate) users: Vec<Reference>,
    /// And about any of these; everything when empty.
    pub(crate) groups: Vec<Reference>,
    pub(crate) outcomes: BTreeSet<Outcome>,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// Empty: of any.
    pub(crate) request_id: String,
    /// Only what comes after it, in the order of the answer.
    pub(crate) after: Option<Place>,
    /// At least 1.
    pub(crate) limit: usize,
}

/// Somebody, as whoever asks calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// When it reads as an id.
    pub(crate) id: Option<Uuid>,
    /// It may be a userName or displayName, or an externalId.
    pub(crate) names: [Uuid; 2],
}

impl Reference {
    fn new(kind: Kind, text: &str) -> Self {
        let id = Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text);
        Self { id, names: [name_id(kind, text), external_name_id(kind, text)] }
    }

    /// # Errors
    /// `InvalidValue` when there are too many.
    pub(crate) fn all(kind: Kind, texts: &[String]) -> Result<Vec<Self>> {
        if texts.len() > MOST_REFERENCES {
            let detail = format!(
                "at most {MOST_REFERENCES} users and {MOST_REFERENCES} groups can be asked for at once"
            );
            return Err(Error::invalid_value(detail));
        }
        Ok(texts.iter().map(|text| Self::new(kind, text)).collect())
    }
}

/// The outcomes that are wanted: all of them when none is named.
pub(crate) fn outcomes(named: &[Outcome], only_notable: bool) -> BTreeSet<Outcome> {
    let named = if named.is_empty() { Outcome::ALL.as_slice() } else { named };
    named.iter().copied().filter(|outcome| !only_notable || *outcome != Outcome::Unchanged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notable_is_all_but_what_went_well_and_changed_nothing() {
        assert_eq!(outcomes(&[], false).len(), 5);
        assert!(!outcomes(&[], true).contains(&Outcome::Unchanged));
        assert_eq!(outcomes(&[], true).len(), 4);
        assert_eq!(outcomes(&[Outcome::Failed], true), BTreeSet::from([Outcome::Failed]));
        assert_eq!(outcomes(&[Outcome::Unchanged], true), BTreeSet::new());
    }

    #[test]
    fn a_reference_is_an_id_or_a_name() {
        let id = "01990000-0000-7000-8000-000000000001";
        assert!(Reference::new(Kind::User, id).id.is_some());
        assert_eq!(Reference::new(Kind::User, "01990000000070008000000000000001").id, None);
        assert_eq!(Reference::new(Kind::User, "ANNA").names[0], Reference::new(Kind::User, "anna").names[0]);
        assert!(Reference::all(Kind::User, &vec![String::new(); 6]).is_err());
    }
}
