//! The gateway's HTTP behaviour, against services that are fakes: what they were asked is recorded.
#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, these are their helpers")]

mod admin;
mod auth;
mod bulk;
mod fairness;
mod fake;
mod groups;
mod log;
mod oauth;
mod protocol;
mod schemas;
mod search;
mod serve;
mod settings;
mod users;
