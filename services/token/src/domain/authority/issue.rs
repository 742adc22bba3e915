//! The client credentials grant (RFC 6749, section 4.4).

use secrecy::{ExposeSecret, SecretString};

use platform::Error;
use platform::auth::{ACCESS_TOKEN_TTL_S, SCIM_TOKEN_TTL_S, Scope};
use platform::ids::ClientId;

use super::Authority;
use crate::domain::client::{granted, join};
use crate::domain::secret::{self, Hash, Kind};
use crate::domain::tenant::State;
use crate::store::FoundClient;

/// A request for a token.
pub struct Grant {
    /// The `client_id`; may be empty beside an assertion.
    pub client_id: String,
    /// The `client_secret`, or empty.
    pub secret: SecretString,
    /// Wanted scopes, space-separated; empty for all.
    pub scope: String,
    /// The `client_assertion`, or empty.
    pub assertion: SecretString,
    /// Of what kind it is said to be.
    pub assertion_type: String,
    /// What we are called as the audience of an assertion.
    pub audiences: Vec<String>,
}

/// An access token for a client.
pub struct Issued {
    /// The token.
    pub access_token: String,
    /// Seconds until it expires.
    pub expires_in_s: i64,
    /// Scopes granted, space-separated.
    pub scope: String,
}

/// Why there is no token (RFC 6749, section 5.2).
#[derive(Debug)]
pub enum IssueError {
    /// `invalid_request`: something is missing or too much; says what.
    InvalidRequest(&'static str),
    /// `invalid_client`: unknown, wrong secret, or its tenant is not in service.
    InvalidClient,
    /// `invalid_client`: the assertion is signed by the client's own key, and this is wrong with it.
    InvalidAssertion(&'static str),
    /// `invalid_scope`: one of them is unknown or not the client's; says which it may have.
    InvalidScope(String),
    /// Not the client's fault.
    Failed(Error),
}

impl From<Error> for IssueError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Authority {
    /// A token for the client that proves itself, with the scopes it asks for (space-separated; none = all it has).
    ///
    /// # Errors
    /// See [`IssueError`].
    pub async fn issue(&self, grant: Grant) -> Result<Issued, IssueError> {
        let by_secret = !grant.secret.expose_secret().is_empty();
        let by_assertion = !grant.assertion.expose_secret().is_empty();
        let (found, once) = match (by_secret, by_assertion) {
            (true, true) => {
                return Err(IssueError::InvalidRequest("send client_secret or client_assertion, not both"));
            }
            (_, false) => (self.client_by_secret(&grant).await?, None),
            (false, true) => self.client_by_assertion(&grant).await?,
        };
        let FoundClient { client, hashes: _, tenant } = found;
        if client.tenant.is_some() && tenant.as_ref().is_none_or(|tenant| tenant.state != State::Active) {
            return Err(IssueError::InvalidClient);
        }
        if let Some(once) = once {
            self.use_up(client.id, once).await?;
        }
        let scopes = granted(&client.scopes, &grant.scope);
        let scopes = scopes.ok_or_else(|| IssueError::InvalidScope(join(&client.scopes)))?;
        let scope = join(&scopes);
        if scopes.contains(&Scope::Scim) {
            let tenant = tenant.filter(|tenant| tenant.takes_scim()).ok_or(IssueError::InvalidClient)?;
            let access_token = self.signer.scim_token(&client, &tenant).await?;
            return Ok(Issued { access_token, expires_in_s: SCIM_TOKEN_TTL_S, scope });
        }
        let token = self.signer.access_token(client.id.to_string(), client.tenant, &scopes, None).await;
        let (access_token, _) = token?;
        Ok(Issued { access_token, expires_in_s: ACCESS_TOKEN_TTL_S, scope })
    }

    async fn client_by_secret(&self, grant: &Grant) -> Result<FoundClient, IssueError> {
        if grant.client_id.is_empty() {
            return Err(IssueError::InvalidRequest("client_id is missing"));
        }
        let presented = secret::parse(&grant.secret).filter(|presented| presented.kind == Kind::Client);
        let presented = presented.ok_or(IssueError::InvalidClient)?;
        let id = ClientId::from_uuid(presented.id);
        if id.to_string() != grant.client_id {
            return Err(IssueError::InvalidClient);
        }
        let found = self.store.find_client(id, self.clock.now()).await?;
        // Every one is compared, and one that is none where there is no client.
        let mut proven = Hash::OF_NOTHING.matches(&presented.hash);
        for stored in found.iter().flat_map(|found| &found.hashes) {
            proven |= stored.matches(&presented.hash);
        }
        found.filter(|_| proven).ok_or(IssueError::InvalidClient)
    }
}
