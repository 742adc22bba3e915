//! The rules of the token service; neither tonic nor sea-orm.

pub mod authority;
pub mod cipher;
pub mod client;
pub mod credential;
pub mod keys;
pub mod preset;
pub mod secret;
pub mod tenant;
