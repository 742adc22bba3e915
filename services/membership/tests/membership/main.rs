//! The membership service through its gRPC contract, on SQLite and PostgreSQL.
#![cfg(test)] // it always is; this tells clippy that it may unwrap

mod changelog;
mod concurrency;
mod follower;
mod graph;
mod groups;
mod isolation;
mod lists;
mod members;
mod memberships;
mod projection;
mod purge;
mod support;
