//! From the bearer token to the tenant: the first thing that happens to a request, before anything else of it is read.
//!
//! A secret is resolved by the token service and remembered for some seconds under its SHA-256, never in clear. One
//! lookup at a time per secret; revocations drop what is remembered at once ([`platform::cache::Invalidations`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ::scim::ErrorKind;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use platform::auth::{self, Scope};
use platform::cache::{Invalidation, Invalidations};
use platform::clock::{Clock, Timestamp};
use platform::ids::TenantId;
use platform::metrics::metrics;
use platform::redis::{Looked, MEMORY_WITHOUT_REDIS, Redis, SharedCache, Ticket};
use platform::transport::Transport;
use prost::Message as _;
use proto::common::v1::Dialect;
use proto::token::v1::credentials_client::CredentialsClient;
use proto::token::v1::{DialectSetting, PinDialectRequest, ResolveRequest, ResolveResponse, TenantState};
use sha2::{Digest, Sha256};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use crate::App;
use crate::error::{Error, Problem, Result};
use crate::headers::RequestId;
use crate::journal::{Asker, Note};
use crate::observe;
use crate::policy::Policy;
use crate::recognise::{self, Sign};

const MAX_REMEMBERED: u64 = 100_000;
/// An unknown secret is remembered this long: enough to blunt a flood of one wrong secret.
const REFUSAL_TTL: Duration = Duration::from_secs(1);
/// An access token is not used in the last seconds of its life: it must survive the call, and clocks differ.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);
/// No secret and no JWT of ours comes near.
const MAX_SECRET_LENGTH: usize = 8 * 1024;

/// What a bearer secret stands for. Not `Debug`: it holds an access token.
pub(crate) struct Session {
    credential_id: String,
    /// Of the secret or trusted issuer, or the name of the OAuth client.
    label: String,
    tenant: Option<Tenant>,
    scopes: Vec<Scope>,
    access_token: String,
}

/// The tenant of a request, how its client speaks SCIM, and what it may do.
#[derive(Clone, Copy)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) dialect: Dialect,
    pub(crate) policy: Policy,
    /// For how many days its provisioning log is kept.
    retention_days: i32,
    /// The dialect goes by the traffic, and no client was recognised yet.
    is_open: bool,
}

/// Somebody who may provision a tenant. A SCIM handler cannot be reached without one.
#[derive(Clone)]
pub(crate) struct Provisioner {
    pub(crate) tenant: Tenant,
    session: Arc<Session>,
}

/// Somebody who may administer the platform. An admin handler cannot be reached without one.
#[derive(Clone)]
pub(crate) struct Administrator {
    session: Arc<Session>,
    /// For the audit of the services.
    request_id: Option<RequestId>,
}

impl Session {
    /// For the provisioning log.
    fn asker(&self, tenant: &Tenant) -> Asker {
        Asker {
            tenant: tenant.id,
            dialect: tenant.dialect,
            retention_days: tenant.retention_days,
            actor_id: self.credential_id.clone(),
            actor_label: self.label.clone(),
        }
    }
}

impl Provisioner {
    /// The message with the tenant's access token.
    pub(crate) fn call<T>(&self, message: T) -> Result<tonic::Request<T>> {
        Ok(auth::with_token(message, &self.session.access_token)?)
    }
}

impl Administrator {
    /// The administrator as somebody who provisions this tenant, and a note on what comes of it.
    pub(crate) fn within(&self, tenant: &proto::token::v1::Tenant) -> Result<(Provisioner, Note)> {
        let mut tenant = provisioned(tenant)?;
        tenant.policy = tenant.policy.of_administrators();
        tenant.dialect = Dialect::Rfc;
        tenant.is_open = false;
        let note = Note::default();
        note.by(self.session.asker(&tenant));
        Ok((Provisioner { tenant, session: self.session.clone() }, note))
    }

    /// The message with the administrator's access token and the id of the HTTP request.
    pub(crate) fn call<T>(&self, message: T) -> Result<tonic::Request<T>> {
        let mut request = auth::with_token(message, &self.session.access_token)?;
        if let Some(id) = self.request_id.as_ref().and_then(|id| id.0.parse().ok()) {
            request.metadata_mut().insert("x-request-id", id);
        }
        Ok(request)
    }
}

/// Lets a request through to SCIM with a [`Provisioner`].
pub(crate) async fn require_tenant(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let provisioner = async {
        let session = app.sessions.of(&parts.headers).await?;
        let note = parts.extensions.get::<Note>();
        if let (Some(note), Some(tenant)) = (note, &session.tenant) {
            note.by(session.asker(tenant));
        }
        let Some(mut tenant) = session.tenant.filter(|_| session.scopes.contains(&Scope::Scim)) else {
            let detail =
                "this token is not for SCIM: use the token that was shown when the tenant was created";
            return Err(Error::new(ErrorKind::Forbidden, detail));
        };
        observe::note_tenant(tenant.id);
        if let Some(sign) = recognise::sign(&parts).filter(|_| tenant.is_open) {
            tenant.dialect = pin(&app, &session, tenant.id, sign).await;
            if let Some(note) = note {
                note.by(session.asker(&tenant));
            }
        }
        Ok(Provisioner { tenant, session })
    };
    let provisioner = provisioner.await;
    match provisioner {
        Ok(provisioner) => {
            parts.extensions.insert(provisioner);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    }
}

/// Tells the token service what this tenant's client was recognised by, and says how to read the request: as the client
/// that was recognised first. That it could not be noted is no reason to fail the request: the next one tries again.
async fn pin(app: &App, session: &Session, tenant: TenantId, sign: &Sign) -> Dialect {
    let pinned = async {
        let message = PinDialectRequest {
            tenant_id: tenant.to_string(),
            dialect: sign.dialect.into(),
            sign: sign.name.to_owned(),
        };
        let request = auth::with_token(message, &session.access_token)?;
        let answer = app.clients.tenants.clone().pin_dialect(request).await?.into_inner();
        app.invalidations.publish(Invalidation::Tenant(tenant));
        Ok(answer.tenant.map_or(sign.dialect, |tenant| tenant.dialect()))
    };
    let pinned: Result<Dialect, platform::Error> = pinned.await;
    match pinned {
        Ok(dialect) => {
            tracing::info!(
                dialect.sign = sign.name,
                "recognised the client of tenant {tenant} by `{}`",
                sign.name
            );
            dialect
        }
        Err(error) => {
            tracing::warn!(
                error.kind = error.kind.name(),
                "could not note what the client of tenant {tenant} was recognised by: {error}"
            );
            sign.dialect
        }
    }
}

/// Lets a request through to the admin API with an [`Administrator`].
pub(crate) async fn require_admin(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match administrator(&app, request.headers()).await {
        Ok(administrator) => {
            let request_id = request.extensions().get::<RequestId>().cloned();
            request.extensions_mut().insert(Administrator { request_id, ..administrator });
            next.run(request).await
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

/// The administrator whose token a request bears.
pub(crate) async fn administrator(app: &App, headers: &HeaderMap) -> Result<Administrator> {
    let session = app.sessions.of(headers).await?;
    if session.tenant.is_some() || !session.scopes.contains(&Scope::Admin) {
        let detail = "this token is not for the admin API: use the admin token";
        return Err(Error::new(ErrorKind::Forbidden, detail));
    }
    Ok(Administrator { session, request_id: None })
}

/// Remembers what secrets stand for.
pub(crate) struct Sessions {
    credentials: CredentialsClient<Transport>,
    clock: Clock,
    ttl: Duration,
    entries: moka::future::Cache<[u8; 32], Entry>,
    /// What other gateways learnt.
    shared: OnceLock<SharedCache>,
    invalidations: Invalidations,
    inbox: Mutex<Inbox>,
}

struct Inbox {
    invalidations: broadcast::Receiver<Invalidation>,
    /// The lookups under way; true as soon as an invalidation overtook it.
    flights: Vec<Arc<AtomicBool>>,
}

type Outcome = Result<Arc<Session>, ::scim::Error>;

#[derive(Clone)]
struct Entry {
    outcome: Outcome,
    good_until: Timestamp,
    /// Something was invalidated while it was looked up: it may be from before.
    overtaken: Arc<AtomicBool>,
}

/// A lookup under way, to be kept until what comes of it has its place in the cache: from then on an invalidation finds it there,
/// until then it finds this.
struct Flight<'a> {
    sessions: &'a Sessions,
    overtaken: Arc<AtomicBool>,
}

impl<'a> Flight<'a> {
    fn new(sessions: &'a Sessions) -> Self {
        let overtaken = Arc::new(AtomicBool::new(false));
        lock(&sessions.inbox).flights.push(overtaken.clone());
        Self { sessions, overtaken }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        lock(&self.sessions.inbox).flights.retain(|flight| !Arc::ptr_eq(flight, &self.overtaken));
    }
}

impl Entry {
    fn is_overtaken(&self) -> bool {
        self.overtaken.load(Ordering::SeqCst)
    }
}

fn lock(inbox: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    pub(crate) fn new(
        credentials: CredentialsClient<Transport>,
        ttl: Duration,
        invalidations: &Invalidations,
        clock: Clock,
    ) -> Self {
        // The time to live is kept by `good_until`, on the clock that was passed in; here it only frees memory.
        let entries = moka::future::Cache::builder()
            .max_capacity(MAX_REMEMBERED)
            .time_to_live(ttl.max(REFUSAL_TTL))
            .support_invalidation_closures()
            .build();
        let inbox = Inbox { invalidations: invalidations.subscribe(), flights: Vec::new() };
        let inbox = Mutex::new(inbox);
        let invalidations = invalidations.clone();
        let shared = OnceLock::new();
        Self { credentials, clock, ttl, entries, shared, invalidations, inbox }
    }

    /// Learns from other gateways, and tells them, from now on.
    pub(crate) fn share(&self, redis: &Redis) {
        let _ = self.shared.set(SharedCache::new(redis.clone()));
    }

    /// The session of the request's bearer token.
    ///
    /// # Errors
    /// `Unauthenticated` for none or one that is no good, `Unavailable` when nobody can tell.
    pub(crate) async fn of(&self, headers: &HeaderMap) -> Result<Arc<Session>> {
        let secret = bearer(headers)?;
        self.drop_invalidated();
        let key: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let mut flight = None;
        let mut entry = self.remembered(key, self.look_up(secret, &mut flight)).await;
        if entry.value().is_overtaken() && !entry.is_fresh() {
            // Another request's lookup, which may have begun before a revocation that this one came after. The next one did not.
            entry = self.remembered(key, self.look_up(secret, &mut flight)).await;
        }
        metrics().context_cache(!entry.is_fresh());
        Ok(entry.into_value().outcome?)
    }

    /// What is remembered under the key; what comes of `look_up` if that is nothing.
    async fn remembered(
        &self,
        key: [u8; 32],
        look_up: impl Future<Output = Entry>,
    ) -> moka::Entry<[u8; 32], Entry> {
        let now = self.clock.now();
        let stale = |entry: &Entry| entry.good_until <= now || entry.is_overtaken();
        self.entries.entry(key).or_insert_with_if(look_up, stale).await
    }

    /// Asks anew. Revoked meanwhile, the answer may be from before: it serves those who asked by then, and no one after.
    async fn look_up<'a>(&'a self, secret: &str, flight: &mut Option<Flight<'a>>) -> Entry {
        let overtaken = flight.insert(Flight::new(self)).overtaken.clone();
        let resolved = self.resolve(secret).await;
        let now = self.clock.now();
        let (outcome, good_until) = match resolved {
            // It may have been learnt some time ago; a short memory keeps that from adding up.
            Ok((answer, Source::OtherGateway)) => self.remember(answer, now, MEMORY_WITHOUT_REDIS),
            Ok((answer, Source::TokenService)) => self.remember(answer, now, Duration::MAX),
            Err(error) => refusal(error, now),
        };
        Entry { outcome, good_until, overtaken }
    }

    /// What the secret stands for: from what another gateway learnt, or else from the token service.
    async fn resolve(&self, secret: &str) -> Result<(ResolveResponse, Source), platform::Error> {
        let mut ticket = None;
        if let Some(shared) = self.shared.get() {
            match shared.get(secret).await {
                Looked::Hit(known) => {
                    if let Ok(answer) = ResolveResponse::decode(known.as_slice()) {
                        return Ok((answer, Source::OtherGateway));
                    }
                }
                Looked::Miss(given) => ticket = Some(given),
                Looked::Unavailable => {}
            }
        }
        let request = ResolveRequest { secret: secret.to_owned() };
        let answer = self.credentials.clone().resolve(request).await?.into_inner();
        if let (Some(shared), Some(ticket)) = (self.shared.get(), ticket) {
            self.tell_others(shared.clone(), secret, ticket, &answer);
        }
        Ok((answer, Source::TokenService))
    }

    fn tell_others(&self, shared: SharedCache, secret: &str, ticket: Ticket, answer: &ResolveResponse) {
        let now = self.clock.now();
        let good_until = good_until(answer, now.plus(self.ttl));
        let ttl = good_until.since(now);
        if ttl.is_zero() {
            return;
        }
        let tenant = answer.tenant.as_ref().and_then(|tenant| tenant.id.parse().ok());
        let (secret, credential) = (secret.to_owned(), answer.credential_id.clone());
        let value = answer.encode_to_vec();
        // Nobody waits for it.
        tokio::spawn(async move { shared.put(&secret, ticket, tenant, &credential, &value, ttl).await });
    }

    fn remember(&self, answer: ResolveResponse, now: Timestamp, at_most: Duration) -> (Outcome, Timestamp) {
        let memory = self.ttl.min(at_most).min(self.invalidations.longest_memory());
        let good_until = good_until(&answer, now.plus(memory));
        match session(answer) {
            Ok(session) => (Ok(Arc::new(session)), good_until),
            Err(error) => refusal(error, now),
        }
    }

    /// Takes in what was invalidated since the last look. Done before each lookup, so that whoever asks after a
    /// revocation was published never sees the old answer.
    fn drop_invalidated(&self) {
        let mut inbox = lock(&self.inbox);
        loop {
            match inbox.invalidations.try_recv() {
                Ok(Invalidation::Everything) | Err(TryRecvError::Lagged(_)) => self.entries.invalidate_all(),
                Ok(what) => self.drop_entries(what),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
            for overtaken in &inbox.flights {
                overtaken.store(true, Ordering::SeqCst);
            }
        }
    }

    fn drop_entries(&self, what: Invalidation) {
        let dropped = self.entries.invalidate_entries_if(move |_, entry| {
            // Nobody knows whose secret was refused: perhaps that of this tenant, which is let in again.
            let Ok(session) = &entry.outcome else { return matches!(what, Invalidation::Tenant(_)) };
            match what {
                Invalidation::Credential(id) => session.credential_id == id.to_string(),
                Invalidation::Client(id) => session.credential_id == id.to_string(),
                Invalidation::Tenant(id) => session.tenant.is_some_and(|tenant| tenant.id == id),
                Invalidation::Everything => true,
            }
        });
        if dropped.is_err() {
            self.entries.invalidate_all();
        }
    }
}

/// Who said what a secret stands for.
enum Source {
    OtherGateway,
    TokenService,
}

/// How long the answer may be used, by then at the latest.
fn good_until(answer: &ResolveResponse, latest: Timestamp) -> Timestamp {
    let token_good_until = Timestamp::from_micros(answer.access_token_expires_at_us).minus(TOKEN_MARGIN);
    let good_until = latest.min(token_good_until);
    match answer.credential_expires_at_us {
        0 => good_until,
        expires_at => good_until.min(Timestamp::from_micros(expires_at)),
    }
}

/// The token of `Authorization: Bearer <token>` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str> {
    let missing = || {
        Error::new(
            ErrorKind::Unauthenticated,
            "send the tenant's token in the header `Authorization: Bearer <token>`",
        )
    };
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (sent.next(), sent.next()) else { return Err(missing()) };
    let value = value.to_str().map_err(|_| missing())?;
    let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > MAX_SECRET_LENGTH {
        return Err(missing());
    }
    Ok(token)
}

/// Only a refusal is remembered. That nobody could answer is told to those who wait, and the next one asks again.
fn refusal(error: platform::Error, now: Timestamp) -> (Outcome, Timestamp) {
    let refused = error.kind == ErrorKind::Unauthenticated;
    if let Some(cause) = &error.cause {
        tracing::error!(error.cause = %cause, "a bearer token could not be resolved: {}", error.detail);
    }
    let good_until = if refused { now.plus(REFUSAL_TTL) } else { now };
    (Err(::scim::Error::new(error.kind, error.detail)), good_until)
}

fn session(answer: ResolveResponse) -> Result<Session, platform::Error> {
    let ResolveResponse { tenant, credential_id, scopes, access_token, label, .. } = answer;
    let tenant = match tenant {
        None => None,
        Some(tenant) if tenant.state() != TenantState::Active => {
            return Err(platform::Error::unauthenticated("the tenant of this token is not active"));
        }
        Some(tenant) => Some(provisioned(&tenant)?),
    };
    let scopes = scopes.iter().filter_map(|name| Scope::from_name(name)).collect();
    Ok(Session { credential_id, label, tenant, scopes, access_token })
}

fn provisioned(tenant: &proto::token::v1::Tenant) -> Result<Tenant, platform::Error> {
    let id = tenant
        .id
        .parse()
        .map_err(|_| platform::Error::internal("the token service named a tenant without an id"))?;
    // No settings must not read as no restrictions.
    let settings = tenant
        .settings
        .ok_or_else(|| platform::Error::internal("the token service named a tenant without its settings"))?;
    let is_open = tenant.dialect_setting() == DialectSetting::Auto && tenant.recognised.is_none();
    let retention_days = settings.log_retention_days;
    Ok(Tenant { id, dialect: tenant.dialect(), policy: settings.into(), retention_days, is_open })
}

#[cfg(test)]
mod tests;
