//! The identity service through its gRPC contract, on SQLite and PostgreSQL.

mod concurrency;
mod filters;
mod isolation;
mod lists;
mod random;
mod support;
mod users;
mod watch;
