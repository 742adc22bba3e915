//! The rules of groups and memberships. Neither gRPC nor SQL: a change of either does not show here.

pub mod group;
pub mod members;
pub mod nesting;
pub mod paths;
pub mod precondition;
pub mod refs;
pub mod user;
pub mod verify;
