//! What the gateway and the services share, so that there is one way to do each of it.
//!
//! - [`auth`]: access tokens, scopes, who is calling
//! - [`cache`]: the broadcast that drops cached credentials at once
//! - [`clock`], [`ids`]: time and identity are passed in, never taken from the air
//! - [`config`]: defaults, file, environment
//! - [`db`] (feature `db`): one database handle on SQLite and PostgreSQL, the change log, filters to SQL
//! - [`error`]: the one error type and its two mappings to and from gRPC
//! - [`fairness`]: one tenant's slow questions leave room for the others'
//! - [`metrics`]: numbers about this process, for Prometheus
//! - [`redis`]: what replicas tell and lend each other: invalidations, rates, resolved tokens
//! - [`server`], [`transport`]: gRPC over a socket or in process, with the same layers
//! - [`telemetry`]: logs, traces, propagation
//! - [`tls`]: certificates between our own processes
#![warn(missing_docs)]

pub mod auth;
pub mod cache;
pub mod clock;
pub mod config;
#[cfg(feature = "db")]
pub mod db;
pub mod error;
pub mod fairness;
pub mod ids;
pub mod metrics;
mod process;
pub mod redis;
pub mod server;
pub mod telemetry;
pub mod tls;
pub mod transport;

pub use error::{Error, Result};
