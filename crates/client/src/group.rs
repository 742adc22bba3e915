//! Naming a group.

use proto::membership::v1::GroupRef;
use proto::membership::v1::group_ref::Ref;

/// By Rollcall's id.
pub fn id(id: impl Into<String>) -> GroupRef {
    GroupRef { r#ref: Some(Ref::Id(id.into())) }
}

/// By the identity provider's id, compared exactly.
pub fn external_id(id: impl Into<String>) -> GroupRef {
    GroupRef { r#ref: Some(Ref::ExternalId(id.into())) }
}

/// By displayName, in any case.
pub fn name(name: impl Into<String>) -> GroupRef {
    GroupRef { r#ref: Some(Ref::DisplayName(name.into())) }
}
