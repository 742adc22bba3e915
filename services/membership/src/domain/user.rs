//! What membership knows of a user.

use platform::Result;
use platform::ids::{TenantId, UserId};

/// A user after a change. The change of the highest version wins, in whatever order they arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserState {
    /// Whose.
    pub tenant: TenantId,
    /// Who.
    pub id: UserId,
    /// Counts the user's changes.
    pub version: i64,
    /// What is known; `None` when the user was deleted.
    pub facts: Option<UserFacts>,
}

/// A user that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFacts {
    /// As provisioned; found in any case.
    pub user_name: String,
    /// Found exactly.
    pub external_id: Option<String>,
    /// To show.
    pub display_name: Option<String>,
    /// A deactivated user keeps its memberships and is, effectively, in no group.
    pub active: bool,
    /// Where the tenant has roles.
    pub role: Option<String>,
    /// Ids in identity's registry, in the order in which the user lists them.
    pub team_ids: Vec<String>,
    /// The slugs of those teams, in the same order; empty when identity did not tell.
    pub team_slugs: Vec<String>,
}

impl UserState {
    /// From the texts of a change.
    ///
    /// # Errors
    /// `InvalidValue` for ids that are none, or a version below 1.
    pub fn new(tenant: &str, id: &str, version: i64, facts: Option<UserFacts>) -> Result<Self> {
        let tenant = tenant.parse().map_err(|_| invalid("tenant_id must be a UUID in lower case"))?;
        let id = id.parse().map_err(|_| invalid("user_id must be a UUID in lower case"))?;
        if version < 1 {
            return Err(invalid("version must be 1 or more"));
        }
        Ok(Self { tenant, id, version, facts })
    }
}

fn invalid(detail: &str) -> platform::Error {
    platform::Error::invalid_value(detail)
}
