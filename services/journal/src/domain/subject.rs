//! Whom an exchange is about, and by which names they are found.
//!
//! A subject is the id of a user or group. Where an exchange shows only a name (a POST that was refused), the name's hash
//! stands for it.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::exchange::{Exchange, Facts};

/// The version of UUIDs that are made of names.
const HASHED: usize = 8;

/// What a name names. Users and groups may have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    User,
    Group,
}

impl Kind {
    fn of(resource_type: &str) -> Option<Self> {
        match resource_type {
            "User" => Some(Kind::User),
            "Group" => Some(Kind::Group),
            _ => None,
        }
    }

    /// The attribute that names it.
    fn name_attribute(self) -> &'static str {
        match self {
            Kind::User => "userName",
            Kind::Group => "displayName",
        }
    }
}

/// The hash of a userName or displayName, in any case.
pub(crate) fn name_id(kind: Kind, name: &str) -> Uuid {
    hash(&[kind.name_attribute(), &scim::fold_str(name)])
}

/// The hash of an externalId, which is compared exactly.
pub(crate) fn external_name_id(kind: Kind, external_id: &str) -> Uuid {
    hash(&[kind.name_attribute(), "externalId", external_id])
}

/// Whether this is the hash of a name and no id.
pub(crate) fn is_name(subject: Uuid) -> bool {
    subject.get_version_num() == HASHED
}

/// 122 bits of SHA-256 in the form of a UUIDv8, which no id of ours has (they are v7).
fn hash(parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl Exchange {
    /// Everybody it is about, each once.
    pub(crate) fn subjects(&self) -> BTreeSet<Uuid> {
        let facts = &self.facts;
        let members = facts.members_added.iter().chain(&facts.members_removed);
        let mut subjects: BTreeSet<Uuid> = members.filter_map(|id| Uuid::try_parse(id).ok()).collect();
        match Uuid::try_parse(&facts.resource_id) {
            Ok(id) => _ = subjects.insert(id),
            Err(_) => subjects.extend(names(facts)),
        }
        subjects
    }

    /// The names that the resource had, with its id; nothing when it is not known which resource that is.
    pub(crate) fn names(&self) -> Vec<(Uuid, Uuid)> {
        let Ok(subject) = Uuid::try_parse(&self.facts.resource_id) else { return Vec::new() };
        names(&self.facts).into_iter().map(|name| (name, subject)).collect()
    }
}

/// Every name that is shown: the one it has, and the one it had before this exchange.
fn names(facts: &Facts) -> BTreeSet<Uuid> {
    let Some(kind) = Kind::of(&facts.resource_type) else { return BTreeSet::new() };
    let mut names = BTreeSet::new();
    if !facts.resource_name.is_empty() {
        names.insert(name_id(kind, &facts.resource_name));
    }
    if !facts.resource_external_id.is_empty() {
        names.insert(external_name_id(kind, &facts.resource_external_id));
    }
    for change in &facts.changes {
        for value in [&change.before, &change.after] {
            // Hidden values and other types than text name nobody.
            let Ok(name) = serde_json::from_str::<String>(value) else { continue };
            if change.path.eq_ignore_ascii_case(kind.name_attribute()) {
                names.insert(name_id(kind, &name));
            } else if change.path.eq_ignore_ascii_case("externalId") {
                names.insert(external_name_id(kind, &name));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::exchange::{Change, Outcome};
    use super::*;
    use platform::clock::Timestamp;
    use platform::ids::TenantId;

    fn exchange(facts: Facts) -> Exchange {
        Exchange {
            tenant: TenantId::from_uuid(Uuid::from_u128(1)),
            id: Uuid::from_u128(2),
            at: Timestamp::from_micros(3),
            outcome: Outcome::Changed,
            request_id: String::new(),
            expires_at: Timestamp::from_micros(4),
            facts,
        }
    }

    #[test]
    fn a_renamed_user_is_found_by_both_names() {
        let id = Uuid::from_u128(7);
        let renamed = exchange(Facts {
            resource_type: "User".into(),
            resource_id: id.to_string(),
            resource_name: "New@Example.com".into(),
            changes: vec![Change {
                path: "userName".into(),
                before: r#""old@example.com""#.into(),
                after: r#""New@Example.com""#.into(),
            }],
            ..Facts::default()
        });
        let names = renamed.names();
        for name in ["OLD@example.com", "new@example.com"] {
            assert!(names.contains(&(name_id(Kind::User, name), id)), "{name}");
        }
        assert_eq!(names.len(), 2);
        assert_eq!(renamed.subjects(), BTreeSet::from([id]));
    }

    #[test]
    fn who_was_never_made_is_found_by_name() {
        let facts = Facts { resource_type: "User".into(), resource_name: "Anna".into(), ..Facts::default() };
        let refused = exchange(facts);
        assert_eq!(refused.subjects(), BTreeSet::from([name_id(Kind::User, "anna")]));
        assert!(refused.names().is_empty());
        assert_ne!(name_id(Kind::User, "anna"), name_id(Kind::Group, "anna"));
        assert_ne!(name_id(Kind::User, "anna"), external_name_id(Kind::User, "anna"));
    }

    #[test]
    fn members_are_subjects_and_redacted_values_name_nobody() {
        let [anna, bert, group] = [1, 2, 3].map(Uuid::from_u128);
        let changes =
            vec![Change { path: "displayName".into(), before: String::new(), after: "\"x\"".into() }];
        let patched = exchange(Facts {
            resource_type: "Group".into(),
            resource_id: group.to_string(),
            members_added: vec![anna.to_string()],
            members_removed: vec![bert.to_string(), "not an id".into()],
            changes,
            ..Facts::default()
        });
        assert_eq!(patched.subjects(), BTreeSet::from([anna, bert, group]));
        assert_eq!(patched.names(), [(name_id(Kind::Group, "X"), group)]);
    }
}
