//! SCIM 2.0 (RFC 7643, 7644, 9865) as pure functions: no I/O, no async, no clock, no database, no HTTP.
//!
//! One clean engine, driven by [`schema`]s; what real clients send beside the RFC is a [`Dialect`]: a data table and a
//! list of named rewrites (`quirks/`) that run in front of the engine.
//!
//! | to | use |
//! |---|---|
//! | read a request body | [`resource::parse_json`], then [`resource::create`], [`resource::replace`] or [`patch`] |
//! | answer a filter | [`filter::Filter::parse`], [`filter::resolve`], then SQL, or [`filter::eval`] over a [`fold`]ed resource |
//! | run many operations | [`bulk::Request::parse`], [`bulk::Job`] |
//! | search by POST | [`search::SearchRequest::parse`] |
//! | tell what a write changed | [`difference()`] |
//! | shape an answer | [`project::Projection`], [`discovery`], [`Error::to_json`], [`render::to_string`] |
//!
//! # Adding an attribute
//! Edit the JSON document in `schemas/`; nothing else knows attribute names.
//!
//! # Adding a quirk
//! 1. One function in `quirks/<client>.rs`, its doc comment showing the request as it comes and as it should be.
//! 2. Name it in the `Dialect` table in `dialect.rs` (and in `docs/scim.md`, a test compares the two).
//! 3. One test with the JSON that is really sent.

pub mod bulk;
pub mod date;
mod decode;
pub mod dialect;
mod difference;
pub mod discovery;
mod error;
pub mod filter;
mod fold;
mod limits;
mod message;
pub mod patch;
pub mod path;
pub mod project;
mod quirks;
pub mod render;
pub mod resource;
pub mod schema;
pub mod search;
pub mod sort;

pub use dialect::Dialect;
pub use difference::{Difference, MOST_DIFFERENCES, REDACTED, difference};
pub use discovery::list_response;
pub use error::{Error, ErrorKind, Result};
pub use fold::{fold, fold_str};
pub use limits::Limits;

/// A JSON object: a SCIM resource or one of its complex values.
pub type Map = serde_json::Map<String, serde_json::Value>;

/// Something in a request that was skipped instead of refused, for an administrator to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where: the attribute path as the client wrote it or as the schema spells it, for example `emails[0].foo`.
    pub attribute: String,
    /// What was skipped and why, without the value.
    pub detail: String,
}
