//! The membership service through its gRPC contract, on SQLite and PostgreSQL.
#![cfg(test)] // it always is; this tells clippy that it may unwrap

mod batch;
mod changelog;
mod concurrency;
mod counts;
mod details;
mod export;
mod follower;
mod graph;
mod groups;
mod index;
mod isolation;
mod lists;
mod members;
mod memberships;
mod projection;
mod purge;
mod replay;
mod support;
mod verify;
mod watch;
