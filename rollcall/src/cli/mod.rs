//! The verbs that talk to a running server.

pub(crate) mod client;
mod table;
pub(crate) mod tenant;
