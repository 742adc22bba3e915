//! The gateway's HTTP behaviour, against services that are fakes: what they were asked is recorded.

mod admin;
mod auth;
mod fake;
mod groups;
mod logs;
mod oauth;
mod protocol;
mod users;
