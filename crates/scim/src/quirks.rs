//! Named rewrites: what real clients send, into what the RFC asks for. `dialect.rs` says who gets which.
//!
//! Each is one function that knows types, not attribute names, and leaves alone what it is not about.

pub(crate) mod common;
pub(crate) mod entra;
pub(crate) mod okta;
