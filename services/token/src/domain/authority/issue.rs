//! The client credentials grant (RFC 6749, section 4.4).

use secrecy::SecretString;

use platform::Error;
use platform::auth::ACCESS_TOKEN_TTL_S;

use super::Authority;
use crate::domain::client::{granted, join};
use crate::domain::secret::{self, Hash, Kind};
use crate::domain::tenant::State;
use platform::ids::ClientId;

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
    /// `invalid_request`: something is missing; says what.
    InvalidRequest(&'static str),
    /// `invalid_client`: unknown, wrong secret, or its tenant is not in service.
    InvalidClient,
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
    pub async fn issue(
        &self,
        client_id: &str,
        secret: &SecretString,
        scope: &str,
    ) -> Result<Issued, IssueError> {
        if client_id.is_empty() {
            return Err(IssueError::InvalidRequest("client_id is missing"));
        }
        let presented = secret::parse(secret).filter(|presented| presented.kind == Kind::Client);
        let presented = presented.ok_or(IssueError::InvalidClient)?;
        let id = ClientId::from_uuid(presented.id);
        if id.to_string() != client_id {
            return Err(IssueError::InvalidClient);
        }
        let found = self.store.find_client(id).await?;
        let stored = found.as_ref().map_or(Hash::OF_NOTHING, |found| found.hash);
        let proven = stored.matches(&presented.hash);
        let found = found.filter(|_| proven).ok_or(IssueError::InvalidClient)?;
        let in_service = found.tenant.is_some_and(|tenant| tenant.state == State::Active);
        if found.client.tenant.is_some() && !in_service {
            return Err(IssueError::InvalidClient);
        }
        let allowed = found.client.scopes;
        let scopes = granted(&allowed, scope).ok_or_else(|| IssueError::InvalidScope(join(&allowed)))?;
        let token = self.signer.access_token(client_id.to_owned(), found.client.tenant, &scopes, None).await;
        let (access_token, _) = token?;
        Ok(Issued { access_token, expires_in_s: ACCESS_TOKEN_TTL_S, scope: join(&scopes) })
    }
}
