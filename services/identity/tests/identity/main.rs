//! The identity service through its gRPC contract, on SQLite and PostgreSQL.
#![cfg(test)] // it always is; this tells clippy that it may unwrap

mod audit;
mod concurrency;
mod counts;
mod export;
mod filters;
mod isolation;
mod lists;
mod purge;
mod random;
mod role_teams;
mod schemas;
mod support;
mod suspended;
mod users;
mod watch;
mod watch_users;
