//! The access token that a service uses when it calls another of its own accord.

use std::sync::Arc;
use std::time::Duration;

use proto::token::v1::IssueTokenRequest;
use proto::token::v1::o_auth_client::OAuthClient;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::clock::{Clock, Timestamp};
use crate::error::Result;
use crate::transport::Transport;

/// A new token is fetched this long before the old one expires.
const EARLY: Duration = Duration::from_secs(60);

/// Access tokens by the client credentials grant, kept until shortly before they expire. Clones share one.
#[derive(Clone)]
pub struct TokenSource {
    shared: Arc<Shared>,
}

struct Shared {
    client: OAuthClient<Transport>,
    client_id: String,
    client_secret: SecretString,
    clock: Clock,
    current: Mutex<Option<(String, Timestamp)>>,
}

impl TokenSource {
    /// Asks the token service on this transport, as this client, for all the scopes the client has.
    pub fn client_credentials(
        transport: Transport,
        client_id: impl Into<String>,
        client_secret: SecretString,
        clock: Clock,
    ) -> Self {
        let shared = Shared {
            client: OAuthClient::new(transport),
            client_id: client_id.into(),
            client_secret,
            clock,
            current: Mutex::new(None),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A token that is good for a while yet. Concurrent callers wait for one fetch.
    ///
    /// # Errors
    /// What the token service answers: `Unauthenticated` when the client is not known there, `Unavailable`.
    pub async fn token(&self) -> Result<String> {
        let mut current = self.shared.current.lock().await;
        let now = self.shared.clock.now();
        if let Some((token, good_until)) = current.as_ref()
            && now < *good_until
        {
            return Ok(token.clone());
        }
        let request = IssueTokenRequest {
            client_id: self.shared.client_id.clone(),
            client_secret: self.shared.client_secret.expose_secret().to_owned(),
            ..IssueTokenRequest::default()
        };
        let answer = self.shared.client.clone().issue_token(request).await?.into_inner();
        let lifetime = Duration::from_secs(u64::try_from(answer.expires_in_s).unwrap_or(0));
        let good_until = now.plus(lifetime.saturating_sub(EARLY));
        *current = Some((answer.access_token.clone(), good_until));
        Ok(answer.access_token)
    }
}
