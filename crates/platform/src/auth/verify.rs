//! Verifies access tokens: signature by `kid`, algorithm, issuer, audience, times. A verified token is remembered by its
//! hash until it expires, so that the signature is checked once and not per call.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use sha2::{Digest, Sha256};
use tonic::Status;
use tonic::body::Body;

use super::{AUDIENCE, Caller, Claims, ISSUER, Reach};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};

/// Clocks of several machines differ; a token is taken this long before its `iat`.
const LEEWAY_S: i64 = 30;
/// An unknown `kid` makes us ask for the keys again, at most this often: forged ones must not become a flood.
const REFETCH_AFTER: Duration = Duration::from_secs(5);
const REMEMBERED_TOKENS: u64 = 100_000;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where public keys come from: the token service over gRPC, or, inside it, its own store.
pub trait KeySource: Send + Sync + 'static {
    /// The current key set.
    fn fetch(&self) -> BoxFuture<'_, Result<JwkSet>>;
}

impl KeySource for proto::token::v1::keys_client::KeysClient<crate::transport::Transport> {
    fn fetch(&self) -> BoxFuture<'_, Result<JwkSet>> {
        let mut client = self.clone();
        Box::pin(async move {
            let answer = client.list_keys(proto::token::v1::ListKeysRequest {}).await?;
            serde_json::from_slice(&answer.get_ref().jwks).map_err(Error::internal)
        })
    }
}

/// Verifies access tokens. Clones share keys and memory.
#[derive(Clone)]
pub struct Verifier {
    shared: Arc<Shared>,
}

struct Shared {
    source: Box<dyn KeySource>,
    clock: Clock,
    keys: RwLock<Keys>,
    fetching: tokio::sync::Mutex<()>,
    verified: moka::future::Cache<[u8; 32], Caller>,
}

#[derive(Default)]
struct Keys {
    by_id: HashMap<String, DecodingKey>,
    fetched_at: Option<Timestamp>,
}

impl Verifier {
    /// A verifier that asks `source` for keys when it meets one it does not know.
    pub fn new(source: impl KeySource, clock: Clock) -> Self {
        let verified = moka::future::Cache::builder()
            .max_capacity(REMEMBERED_TOKENS)
            .time_to_live(Duration::from_secs(u64::try_from(super::ACCESS_TOKEN_TTL_S).unwrap_or(300)))
            .build();
        let shared = Shared {
            source: Box::new(source),
            clock,
            keys: RwLock::default(),
            fetching: tokio::sync::Mutex::new(()),
            verified,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Who the token speaks for.
    ///
    /// # Errors
    /// `Unauthenticated` with the reason, `Unavailable` when the keys cannot be had.
    pub async fn verify(&self, token: &str) -> Result<Caller> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now_s = self.shared.clock.now().seconds();
        if let Some(caller) = self.shared.verified.get(&hash).await {
            if now_s < caller.expires_at_s {
                return Ok(caller);
            }
            return Err(Error::unauthenticated("the access token has expired: get a new one"));
        }
        let caller = self.verify_afresh(token, now_s).await?;
        self.shared.verified.insert(hash, caller.clone()).await;
        Ok(caller)
    }

    async fn verify_afresh(&self, token: &str, now_s: i64) -> Result<Caller> {
        let invalid = || Error::unauthenticated("the access token is not valid");
        let header = decode_header(token).map_err(|_| invalid())?;
        if header.alg != Algorithm::EdDSA {
            return Err(invalid());
        }
        let kid = header.kid.ok_or_else(invalid)?;
        let key = self.key(&kid).await?.ok_or_else(invalid)?;

        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        // Times are compared below, against the clock that was passed in.
        validation.validate_exp = false;
        let claims = decode::<Claims>(token, &key, &validation).map_err(|_| invalid())?.claims;
        if now_s >= claims.exp {
            return Err(Error::unauthenticated("the access token has expired: get a new one"));
        }
        if claims.iat > now_s + LEEWAY_S {
            return Err(Error::unauthenticated(
                "the access token is from the future: compare the machines' clocks",
            ));
        }
        Caller::from_claims(&claims)
    }

    async fn key(&self, kid: &str) -> Result<Option<DecodingKey>> {
        if let Some(key) = self.known(kid) {
            return Ok(Some(key));
        }
        let _one_at_a_time = self.shared.fetching.lock().await;
        if let Some(key) = self.known(kid) {
            return Ok(Some(key));
        }
        let now = self.shared.clock.now();
        let fetched_at = self.shared.keys.read().map_or(None, |keys| keys.fetched_at);
        if fetched_at.is_some_and(|at| now < at.plus(REFETCH_AFTER) && now >= at) {
            return Ok(None);
        }
        let set = self.shared.source.fetch().await?;
        let mut by_id = HashMap::new();
        for jwk in &set.keys {
            if let (Some(kid), Ok(key)) = (&jwk.common.key_id, DecodingKey::from_jwk(jwk)) {
                by_id.insert(kid.clone(), key);
            }
        }
        let found = by_id.get(kid).cloned();
        if let Ok(mut keys) = self.shared.keys.write() {
            *keys = Keys { by_id, fetched_at: Some(now) };
        }
        Ok(found)
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.shared.keys.read().ok()?.by_id.get(kid).cloned()
    }
}

/// Puts the verified [`Caller`] into each request. A request without a token passes on without one: the few calls that
/// need none are served, every other handler refuses it in [`super::caller`].
#[derive(Clone)]
pub struct AuthLayer {
    verifier: Verifier,
}

impl AuthLayer {
    /// Verifies with `verifier`.
    pub fn new(verifier: Verifier) -> Self {
        Self { verifier }
    }
}

impl<S> tower::Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        AuthService { inner, verifier: self.verifier.clone() }
    }
}

/// See [`AuthLayer`].
#[derive(Clone)]
pub struct AuthService<S> {
    inner: S,
    verifier: Verifier,
}

impl<S> tower::Service<http::Request<Body>> for AuthService<S>
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let spare = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, spare);
        let verifier = self.verifier.clone();
        Box::pin(async move {
            // A caller can only come from a token: never from whoever built the request in this process.
            request.extensions_mut().remove::<Caller>();
            let header = request.headers().get(http::header::AUTHORIZATION);
            let Some(header) = header else { return inner.call(request).await };
            let token = header.to_str().ok().and_then(|value| {
                let (scheme, token) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
            });
            let verified = match token {
                Some(token) => verifier.verify(&token).await,
                None => Err(Error::unauthenticated("the authorization metadata must be `Bearer <token>`")),
            };
            match verified {
                Ok(caller) => {
                    if let Reach::One(tenant) = caller.reach {
                        tracing::Span::current().record("tenant.id", tracing::field::display(tenant));
                    }
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}
