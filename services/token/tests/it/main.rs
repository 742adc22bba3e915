//! The token service on both databases, called as its clients call it: gRPC in process, with real tokens.

// It always is a test; this tells clippy that helpers may unwrap.
#[cfg(test)]
mod admins;
#[cfg(test)]
mod assertions;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod issuers;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod provisioning;
#[cfg(test)]
mod resolve;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod support;
#[cfg(test)]
mod system_clients;
#[cfg(test)]
mod tenants;
