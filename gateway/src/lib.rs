//! The gateway: HTTP in, gRPC out. It knows who asks ([`tenant`]), how often they may ([`rate_limit`]), what the settings of
//! their tenant allow ([`policy`]), and how SCIM, the admin API and OAuth look over HTTP. It has no database and no rules of
//! its own: those live in the services.
//!
//! # Adding an endpoint
//! 1. A handler in the file of its resource (`scim/users.rs`, `admin/tenants.rs`, ...): extract, one call, render.
//! 2. Its route in the `routes()` (of the admin API: `operations()`) of the same folder's `mod.rs`. Whatever is mounted there is
//!    behind the bearer token.
//! 3. A test in `tests/` against a fake service.
#![warn(missing_docs)]

mod admin;
mod base_url;
mod clients;
mod config;
mod error;
mod headers;
mod health;
mod journal;
mod normalise;
mod oauth;
mod observe;
mod policy;
mod rate_limit;
mod recognise;
mod schemas;
mod scim;
mod serve;
mod tenant;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use platform::auth::TokenSource;
use platform::cache::Invalidations;
use platform::clock::Clock;
use platform::redis::Redis;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

pub use clients::Clients;
pub use config::Config;
pub use serve::serve;

/// The HTTP side of Rollcall. Clones share caches and limits.
#[derive(Clone)]
pub struct Gateway {
    app: App,
}

/// What every handler has at hand.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    clients: Clients,
    config: Config,
    clock: Clock,
    invalidations: Invalidations,
    sessions: tenant::Sessions,
    limiter: rate_limit::Limiter,
    discovery: scim::discovery::Documents,
    schemas: schemas::Schemas,
    /// What is to be written into the provisioning log.
    journal: Arc<journal::Queue>,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Gateway {
    /// A gateway in front of these services. `invalidations` is what the token service publishes revocations to.
    pub fn new(clients: Clients, config: Config, invalidations: Invalidations, clock: Clock) -> Self {
        let sessions = tenant::Sessions::new(
            clients.credentials.clone(),
            config.context_cache_ttl(),
            &invalidations,
            clock.clone(),
        );
        let shared = Shared {
            sessions,
            limiter: rate_limit::Limiter::new(&config),
            discovery: scim::discovery::Documents::new(&config),
            schemas: schemas::Schemas::new(clients.schemas.clone(), &invalidations, clock.clone()),
            journal: Arc::default(),
            clients,
            config,
            clock,
            invalidations,
        };
        Self { app: App(Arc::new(shared)) }
    }

    /// Counts rates, and learns what bearer tokens stand for, together with the other gateways on this Redis. While it does not
    /// answer, each does so for itself.
    #[must_use]
    pub fn with_redis(self, redis: &Redis) -> Self {
        self.app.limiter.share(redis);
        self.app.sessions.share(redis);
        self
    }

    /// Writes what was answered into the provisioning log, as this client of the token service, until `stop` is cancelled, and
    /// then what is left: when it returns everything is written. To be run beside the server, and stopped after it. While the
    /// journal is away this keeps trying, also after `stop`: how long that may take is the caller's to decide.
    pub async fn write_log(&self, tokens: TokenSource, stop: CancellationToken) {
        self.app.journal.observe(&self.app.clock);
        journal::write(self.app.journal.clone(), self.app.clients.log.clone(), tokens, stop).await;
    }

    /// All routes, ready to be served.
    pub fn router(&self) -> Router {
        let app = &self.app;
        let mut router = Router::new();
        for mount in scim::MOUNTS {
            router = router.nest(mount, scim::routes(app, mount));
        }
        let router = router
            .nest("/admin/v1", admin::routes(app))
            .merge(oauth::routes())
            .merge(health::routes())
            .fallback(error::no_such_endpoint)
            .layer(CatchPanicLayer::custom(error::panicked))
            .layer(from_fn_with_state(app.clone(), observe::observe))
            .with_state(app.clone());
        // Around it all: the path must be clean before it is matched.
        Router::new().fallback_service(router.map_request(normalise::normalise))
    }
}
