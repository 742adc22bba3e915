//! The rules of the token service; neither tonic nor sea-orm.

pub mod admin;
pub mod audit;
pub mod authority;
pub mod change;
pub mod cipher;
pub mod client;
pub mod credential;
pub mod dialect;
pub mod idempotency;
pub mod issuer;
pub mod jwk;
pub mod jwt;
pub mod keys;
pub mod preset;
pub mod secret;
pub mod settings;
pub mod system_client;
pub mod tenant;
