//! The access token: OAuth 2.0 client credentials (RFC 6749, section 4.4), fetched by one caller while the others wait, and
//! again before it expires or when it was refused.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};

use crate::{Config, Error};

/// A new token is fetched this long before the old one expires.
const EARLY: Duration = Duration::from_secs(60);

/// Clones share one token.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    endpoint: String,
    client_id: String,
    client_secret: SecretString,
    current: Mutex<Option<Token>>,
}

/// Ready to be sent. Its value is marked sensitive, so that it is never printed.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) bearer: MetadataValue<Ascii>,
    good_until: Instant,
}

#[derive(serde::Deserialize)]
struct Answer {
    access_token: String,
    expires_in: u64,
}

#[derive(serde::Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Tokens {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        // An error says that the application installed one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::Config(format!("the HTTP client cannot be set up: {error}")))?;
        let shared = Shared {
            http,
            endpoint: format!("{}/oauth2/token", config.http.trim_end_matches('/')),
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            current: Mutex::new(None),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A token that is good for a while, other than `refused`.
    pub(crate) async fn token(&self, refused: Option<&Token>) -> Result<Token, Error> {
        let mut current = self.shared.current.lock().await;
        if let Some(token) = current.as_ref()
            && Instant::now() < token.good_until
            && refused.is_none_or(|refused| refused.bearer != token.bearer)
        {
            return Ok(token.clone());
        }
        let token = self.fetch().await?;
        *current = Some(token.clone());
        Ok(token)
    }

    async fn fetch(&self) -> Result<Token, Error> {
        let unavailable = |error: reqwest::Error| Error::Unavailable(format!("no access token: {error}"));
        let asked_at = Instant::now();
        let answer = self
            .shared
            .http
            .post(&self.shared.endpoint)
            .basic_auth(&self.shared.client_id, Some(self.shared.client_secret.expose_secret()))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .map_err(unavailable)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unavailable)?;
        if !status.is_success() {
            let what = match serde_json::from_slice::<Refusal>(&body) {
                Ok(Refusal { error, error_description }) => format!("{error}: {error_description}"),
                Err(_) => format!("status {status} of the token endpoint"),
            };
            return Err(if status.is_client_error() && status != reqwest::StatusCode::TOO_MANY_REQUESTS {
                Error::Refused(what)
            } else {
                Error::Unavailable(what)
            });
        }
        let not_a_token =
            || Error::Unavailable(format!("{} did not answer with a token", self.shared.endpoint));
        let Answer { access_token, expires_in } = serde_json::from_slice(&body).map_err(|_| not_a_token())?;
        let mut bearer =
            MetadataValue::try_from(format!("Bearer {access_token}")).map_err(|_| not_a_token())?;
        bearer.set_sensitive(true);
        let lifetime = Duration::from_secs(expires_in);
        // Of a very short life the first half is used.
        let good_for = lifetime.saturating_sub(EARLY).max(lifetime / 2);
        Ok(Token { bearer, good_until: asked_at + good_for })
    }
}
