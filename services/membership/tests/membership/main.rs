//! The membership service through its gRPC contract, on SQLite and PostgreSQL.

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
mod support;
