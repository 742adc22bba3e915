//! Where Rollcall is and who asks.

use std::time::Duration;

use secrecy::SecretString;

use crate::Error;

/// Where Rollcall is and who asks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Base URL of HTTP, for the token: `https://scim.example.com`.
    pub http: String,
    /// Address of gRPC: `http://rollcall-membership:8081`. `https` needs [`Config::ca_pem`].
    pub grpc: String,
    /// The OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// The tenant to ask about, a UUID; empty when the client is for one tenant.
    pub tenant: String,
    /// How long a question may take, retries included.
    pub deadline: Duration,
    /// PEM of the authority that signed the certificate of gRPC.
    pub ca_pem: Option<String>,
}

impl Config {
    /// For a client of one tenant, with a deadline of one second.
    pub fn new(
        http: impl Into<String>,
        grpc: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<SecretString>,
    ) -> Self {
        Self {
            http: http.into(),
            grpc: grpc.into(),
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            tenant: String::new(),
            deadline: Duration::from_secs(1),
            ca_pem: None,
        }
    }

    /// From `ROLLCALL_HTTP_URL`, `ROLLCALL_GRPC_URL`, `ROLLCALL_CLIENT_ID`, `ROLLCALL_CLIENT_SECRET`, and if it is there
    /// `ROLLCALL_TENANT_ID`.
    ///
    /// # Errors
    /// [`Error::Config`] that names the variable that is missing.
    pub fn from_env() -> Result<Self, Error> {
        let variable = |name: &str| {
            std::env::var(name)
                .map_err(|_| Error::Config(format!("the environment variable {name} is not set")))
        };
        let mut config = Self::new(
            variable("ROLLCALL_HTTP_URL")?,
            variable("ROLLCALL_GRPC_URL")?,
            variable("ROLLCALL_CLIENT_ID")?,
            variable("ROLLCALL_CLIENT_SECRET")?,
        );
        config.tenant = std::env::var("ROLLCALL_TENANT_ID").unwrap_or_default();
        Ok(config)
    }
}
