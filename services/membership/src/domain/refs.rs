//! How a question names a user, a group or a team.

use platform::Result;
use platform::ids::{GroupId, UserId};

/// A user, by one of its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UserRef {
    /// Rollcall's id.
    Id(UserId),
    /// The identity provider's id, exactly.
    ExternalId(String),
    /// userName, in any case.
    UserName(String),
}

/// A group, by one of its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GroupRef {
    /// Rollcall's id.
    Id(GroupId),
    /// The identity provider's id, exactly.
    ExternalId(String),
    /// displayName, in any case.
    DisplayName(String),
}

/// A team, by one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TeamRef {
    /// Its id, in lower case.
    Id(String),
    /// Its slug, in any case.
    Slug(String),
}

impl TeamRef {
    /// Whether it is one of the teams with these ids and slugs.
    pub fn is_among(&self, ids: &[String], slugs: &[String]) -> bool {
        match self {
            Self::Id(id) => ids.contains(id),
            Self::Slug(slug) => {
                let slug = scim::fold_str(slug);
                slugs.iter().any(|own| scim::fold_str(own) == slug)
            }
        }
    }
}

impl UserRef {
    /// By Rollcall's id.
    ///
    /// # Errors
    /// `NotFound` for what can be no user's id.
    pub fn id(text: &str) -> Result<Self> {
        text.parse().map(Self::Id).map_err(|error: platform::Error| error.with_attribute("user"))
    }
}

impl GroupRef {
    /// By Rollcall's id.
    ///
    /// # Errors
    /// `NotFound` for what can be no group's id.
    pub fn id(text: &str) -> Result<Self> {
        text.parse().map(Self::Id).map_err(|error: platform::Error| error.with_attribute("group"))
    }
}

/// How far a membership reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The group's own members.
    Direct,
    /// Those of the groups nested in it as well.
    Transitive,
}
