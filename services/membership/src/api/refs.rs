//! How questions name users, groups and teams, and how fresh an answer they want.

use platform::ids::TeamId;
use platform::{Error, Result};
use proto::membership::v1::{self as v1, consistency::Requirement, group_ref, team_ref, user_ref};

use crate::answers::Consistency;
use crate::domain::refs::{GroupRef, TeamRef, UserRef};

pub(super) fn user_ref(named: Option<v1::UserRef>) -> Result<UserRef> {
    match named.and_then(|named| named.r#ref) {
        Some(user_ref::Ref::Id(id)) => UserRef::id(&id),
        Some(user_ref::Ref::ExternalId(id)) => Ok(UserRef::ExternalId(given(id, "user.external_id")?)),
        Some(user_ref::Ref::UserName(name)) => Ok(UserRef::UserName(given(name, "user.user_name")?)),
        None => Err(Error::invalid_value("user is missing: name it by id, external_id or user_name")
            .with_attribute("user")),
    }
}

pub(super) fn group_ref(named: Option<v1::GroupRef>) -> Result<GroupRef> {
    match named.and_then(|named| named.r#ref) {
        Some(group_ref::Ref::Id(id)) => GroupRef::id(&id),
        Some(group_ref::Ref::ExternalId(id)) => Ok(GroupRef::ExternalId(given(id, "group.external_id")?)),
        Some(group_ref::Ref::DisplayName(name)) => {
            Ok(GroupRef::DisplayName(given(name, "group.display_name")?))
        }
        None => {
            let detail = "group is missing: name it by id, external_id or display_name";
            Err(Error::invalid_value(detail).with_attribute("group"))
        }
    }
}

pub(super) fn team_ref(named: v1::TeamRef) -> Result<TeamRef> {
    match named.r#ref {
        Some(team_ref::Ref::Id(id)) => {
            let id: TeamId = id.parse().map_err(|error: Error| error.with_attribute("team"))?;
            Ok(TeamRef::Id(id.to_string()))
        }
        Some(team_ref::Ref::Slug(slug)) => Ok(TeamRef::Slug(given(slug, "team.slug")?)),
        None => Err(Error::invalid_value("team is missing: name it by id or slug").with_attribute("team")),
    }
}

pub(super) fn consistency(asked: Option<&v1::Consistency>) -> Result<Consistency> {
    match asked.and_then(|asked| asked.requirement.as_ref()) {
        None | Some(Requirement::MinimizeLatency(_) | Requirement::FullyConsistent(false)) => {
            Ok(Consistency::MinimizeLatency)
        }
        Some(Requirement::FullyConsistent(true)) => Ok(Consistency::Fully),
        Some(Requirement::AtLeastAsFresh(revision)) => match revision.parse() {
            // Nothing was meant to be something: without it the answer may be older than the caller thinks.
            Ok(position) if !revision.is_empty() => Ok(Consistency::AtLeastAsFresh(position)),
            _ => {
                let detail =
                    "at_least_as_fresh is no revision of ours: pass back what a write answered, unchanged";
                Err(Error::invalid_value(detail).with_attribute("consistency"))
            }
        },
    }
}

/// A name that can be looked up: PostgreSQL knows no text with a NUL character.
fn given(text: String, field: &str) -> Result<String> {
    if text.is_empty() || text.contains('\0') {
        return Err(Error::invalid_value(format!("{field} must be a non-empty text")).with_attribute(field));
    }
    Ok(text)
}
