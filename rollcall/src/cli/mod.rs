//! The verbs that talk to a running server.

pub(crate) mod admin;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod credential;
pub(crate) mod key;
pub(crate) mod log;
mod log_story;
pub(crate) mod ready;
pub(crate) mod schema;
mod settings;
mod table;
pub(crate) mod team;
pub(crate) mod tenant;
