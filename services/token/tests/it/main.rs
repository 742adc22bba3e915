//! The token service on both databases, called as its clients call it: gRPC in process, with real tokens.

// It always is a test; this tells clippy that helpers may unwrap.
#[cfg(test)]
mod admins;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod resolve;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tenants;
