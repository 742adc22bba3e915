//! Asks Rollcall who is a member of what.
//!
//! ```no_run
//! use rollcall_client::{Client, Config, group, user};
//!
//! # async fn example() -> Result<(), rollcall_client::Error> {
//! let rollcall = Client::new(Config::from_env()?)?;
//! if rollcall.check(user::name("anna.meier@contoso.com"), group::name("Sales")).await? {
//!     println!("welcome");
//! }
//! # Ok(()) }
//! ```
//!
//! One [`Client`] per process: clones share the connection and the access token. It connects on first use and again when
//! the connection is lost, fetches an access token (OAuth 2.0 client credentials) and a new one in time, gives every question
//! a deadline, and asks again within it when Rollcall was unavailable. All questions read, so asking twice is harmless.
//!
//! The operator registers a service once: `rollcall client create billing --scope memberships:read [--tenant NAME]`.
//! A client for every tenant names one: [`Client::for_tenant`].
#![warn(missing_docs)]

mod config;
mod error;
pub mod group;
mod questions;
mod stream;
mod token;
pub mod user;

use std::time::Duration;

use proto::membership::v1::Consistency;
use proto::membership::v1::consistency::Requirement;
use proto::membership::v1::memberships_client::MembershipsClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

pub use config::Config;
pub use error::Error;
pub use proto::membership::v1::{
    CheckItem, CheckResult, Edge, ExplainResponse, GetUserMembershipResponse, Group, GroupMember, GroupRef,
    Path, UserRef, WatchResponse, check_result, watch_response,
};
pub use questions::Pair;
use token::Tokens;

/// What a page of groups holds at most.
const PAGE: i32 = 1000;

/// Asks. Clones share connection and token.
#[derive(Clone, Debug)]
pub struct Client {
    memberships: MembershipsClient<Channel>,
    tokens: Tokens,
    tenant: String,
    deadline: Duration,
    consistency: Option<Consistency>,
}

impl Client {
    /// Connects on first use.
    ///
    /// # Errors
    /// [`Error::Config`] when an address or certificate is not one.
    pub fn new(config: Config) -> Result<Self, Error> {
        let mut endpoint = Endpoint::from_shared(config.grpc.clone())
            .map_err(|_| {
                Error::Config(format!("grpc: `{}` is not a URL like http://host:8081", config.grpc))
            })?
            .connect_timeout(Duration::from_secs(3))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true);
        if let Some(pem) = &config.ca_pem {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint = endpoint.tls_config(tls).map_err(|error| Error::Config(format!("ca_pem: {error}")))?;
        } else if config.grpc.starts_with("https:") {
            return Err(Error::Config(
                "grpc is https: give the certificate of its authority in ca_pem".to_owned(),
            ));
        }
        Ok(Self {
            memberships: MembershipsClient::new(endpoint.connect_lazy()),
            tokens: Tokens::new(&config)?,
            tenant: config.tenant,
            deadline: config.deadline,
            consistency: None,
        })
    }

    /// The same client asking about this tenant (its id, a UUID). Needed when the client was registered for every tenant.
    #[must_use]
    pub fn for_tenant(&self, id: impl Into<String>) -> Self {
        Self { tenant: id.into(), ..self.clone() }
    }

    /// The same client with another deadline for each question.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The same client whose answers include the write of this revision: the header `Rollcall-Revision` of a SCIM answer, or
    /// `revision` of an earlier answer.
    #[must_use]
    pub fn at_least_as_fresh(&self, revision: impl Into<String>) -> Self {
        self.with(Requirement::AtLeastAsFresh(revision.into()))
    }

    /// The same client whose answers include everything that was committed before the question. Slower: read from the
    /// database.
    #[must_use]
    pub fn fully_consistent(&self) -> Self {
        self.with(Requirement::FullyConsistent(true))
    }

    fn with(&self, requirement: Requirement) -> Self {
        Self { consistency: Some(Consistency { requirement: Some(requirement) }), ..self.clone() }
    }
}
