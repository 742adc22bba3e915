//! Naming a user.

use proto::membership::v1::UserRef;
use proto::membership::v1::user_ref::Ref;

/// By Rollcall's id.
pub fn id(id: impl Into<String>) -> UserRef {
    UserRef { r#ref: Some(Ref::Id(id.into())) }
}

/// By the identity provider's id, compared exactly.
pub fn external_id(id: impl Into<String>) -> UserRef {
    UserRef { r#ref: Some(Ref::ExternalId(id.into())) }
}

/// By userName, in any case.
pub fn name(name: impl Into<String>) -> UserRef {
    UserRef { r#ref: Some(Ref::UserName(name.into())) }
}
