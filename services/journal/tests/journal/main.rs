//! The journal service through its gRPC contract, on SQLite and PostgreSQL.
#![cfg(test)] // it always is; this tells clippy that it may unwrap

mod append;
mod isolation;
mod purge;
mod random;
mod replica;
mod retention;
mod search;
mod support;
