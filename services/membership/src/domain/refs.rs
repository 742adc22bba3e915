//! How a question names a user or a group.

use platform::Result;
use platform::ids::{GroupId, UserId};

/// A user, by one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserRef {
    /// Rollcall's id.
    Id(UserId),
    /// The identity provider's id, exactly.
    ExternalId(String),
    /// userName, in any case.
    UserName(String),
}

/// A group, by one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRef {
    /// Rollcall's id.
    Id(GroupId),
    /// The identity provider's id, exactly.
    ExternalId(String),
    /// displayName, in any case.
    DisplayName(String),
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
