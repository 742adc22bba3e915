//! The verbs that talk to a running server.

pub(crate) mod admin;
pub(crate) mod client;
pub(crate) mod credential;
pub(crate) mod key;
mod settings;
mod table;
pub(crate) mod tenant;
