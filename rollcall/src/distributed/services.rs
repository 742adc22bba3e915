//! What each process consists of: its own service, built as everywhere (`build.rs`), and transports to the others.

use std::time::Duration;

use anyhow::Context;
use axum::Router;
use platform::auth::Verifier;
use platform::cache::Invalidations;
use platform::db::Database;
use platform::db::cursor::Cursors;
use platform::redis::{Redis, share_invalidations};
use platform::server::{self, Health};
use platform::tls::{self, Tls};
use platform::transport::{self, Transport};
use proto::token::v1::keys_client::KeysClient;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::open;
use crate::build::{self, LogWriter, Surroundings, Transports};
use crate::settings::{Role, Settings};

/// What is ready to be served.
pub(super) enum Built {
    Service(Box<Service>),
    Gateway(Box<Gateway>),
}

/// A process with a database.
pub(super) struct Service {
    pub(super) routes: Routes,
    pub(super) verifier: Verifier,
    pub(super) options: server::Options,
    pub(super) health: Health,
    pub(super) database: Database,
    /// To be flushed before the database is closed.
    token: Option<token::Service>,
}

/// A gateway.
pub(super) struct Gateway {
    pub(super) router: Router,
    /// Cancelled once it is about to stop.
    pub(super) draining: CancellationToken,
    log: LogWriter,
}

impl Built {
    /// Says that this process is about to stop.
    pub(super) async fn drain(&self) {
        match self {
            Self::Service(service) => service.health.drain().await,
            Self::Gateway(gateway) => gateway.draining.cancel(),
        }
    }

    /// Puts away what is in memory. After the server has stopped.
    pub(super) async fn close(self, patience: Duration) {
        match self {
            Self::Service(service) => {
                if let Some(token) = service.token {
                    token.flush().await;
                }
                if let Err(error) = service.database.close().await {
                    tracing::warn!(%error, "the database did not close in good order: {error}");
                }
            }
            Self::Gateway(gateway) => gateway.log.finish(patience).await,
        }
    }
}

/// Builds the service of `role`: with its database open, and its transports to others, which connect when they are used.
pub(super) async fn build(role: Role, around: &Surroundings<'_>) -> anyhow::Result<Built> {
    let tls = around.settings.grpc.tls()?;
    if let Some(tls) = &tls {
        let following = tls.clone().follow(tls::LOOK_EVERY, around.clock.clone(), around.stop.clone());
        around.tasks.spawn(following);
    }
    match role.service() {
        Some(migrations::Service::Token) => token(tls, around).await,
        Some(service) => other(service, tls, around).await,
        None => gateway(tls, around),
    }
}

async fn token(tls: Option<Tls>, around: &Surroundings<'_>) -> anyhow::Result<Built> {
    let settings = around.settings;
    let database = open(settings, migrations::Service::Token).await?;
    let key = settings.secrets.key_encryption_key().map_err(anyhow::Error::msg)?;
    let platform_secret = settings.secrets.platform_secret().map_err(anyhow::Error::msg)?;
    let invalidations = Invalidations::default();
    redis(around, &invalidations)?;
    let service = build::token(database.clone(), key, &platform_secret, invalidations, around).await?;
    let admin_token = settings.secrets.admin_token().map_err(anyhow::Error::msg)?;
    if admin_token.is_some() {
        let nothing_new = |_: &_| Err(std::io::Error::other("a given token is not made anew"));
        service.bootstrap_admin(admin_token, nothing_new).await.context("secrets.admin_token")?;
    }
    let verifier = Verifier::new(service.key_source(), around.clock.clone());
    let (routes, health) = server::with_changing_health(service.routes(), &token::Service::NAMES).await?;
    let options = settings.grpc.server(tls);
    Ok(Built::Service(Box::new(Service {
        routes,
        verifier,
        options,
        health,
        database,
        token: Some(service),
    })))
}

async fn other(
    service: migrations::Service,
    tls: Option<Tls>,
    around: &Surroundings<'_>,
) -> anyhow::Result<Built> {
    let (settings, clock) = (around.settings, &around.clock);
    let to_token = call(migrations::Service::Token, settings, tls.as_ref())?;
    let verifier = Verifier::new(KeysClient::new(to_token.clone()), clock.clone());
    let database = open(settings, service).await?;
    let cursors =
        || Ok::<_, anyhow::Error>(Cursors::new(&settings.secrets.cursor_key().map_err(anyhow::Error::msg)?));
    let (routes, names) = match service {
        migrations::Service::Identity => {
            let built = build::identity(database.clone(), cursors()?, around);
            (built.routes(), identity::Service::NAMES.as_slice())
        }
        migrations::Service::Membership => {
            let platform_secret = settings.secrets.platform_secret().map_err(anyhow::Error::msg)?;
            let tokens = build::tokens_of("membership", &platform_secret, to_token, clock.clone())?;
            let to_identity = call(migrations::Service::Identity, settings, tls.as_ref())?;
            let built = build::membership(database.clone(), cursors()?, to_identity, tokens, around);
            (built.routes(), membership::SERVICES.as_slice())
        }
        migrations::Service::Journal => {
            (build::journal(database.clone(), around).routes(), journal::SERVICES.as_slice())
        }
        migrations::Service::Token => anyhow::bail!("the token service is built otherwise"),
    };
    let (routes, health) = server::with_changing_health(routes, names).await?;
    let options = settings.grpc.server(tls);
    Ok(Built::Service(Box::new(Service { routes, verifier, options, health, database, token: None })))
}

fn gateway(tls: Option<Tls>, around: &Surroundings<'_>) -> anyhow::Result<Built> {
    let (settings, clock) = (around.settings, &around.clock);
    let call = |service| call(service, settings, tls.as_ref());
    let transports = Transports {
        identity: call(migrations::Service::Identity)?,
        membership: call(migrations::Service::Membership)?,
        token: call(migrations::Service::Token)?,
        journal: call(migrations::Service::Journal)?,
    };
    let platform_secret = settings.secrets.platform_secret().map_err(anyhow::Error::msg)?;
    let tokens = build::tokens_of("gateway", &platform_secret, transports.token.clone(), clock.clone())?;
    let invalidations = Invalidations::default();
    let redis = redis(around, &invalidations)?;
    let mut gateway = build::gateway(transports, invalidations, around);
    if let Some(redis) = redis {
        gateway = gateway.with_redis(&redis);
    }
    let router = gateway.router();
    let log = LogWriter::start(gateway, tokens);
    Ok(Built::Gateway(Box::new(Gateway { router, draining: CancellationToken::new(), log })))
}

/// Redis, and the broadcast of invalidations over it.
fn redis(around: &Surroundings<'_>, invalidations: &Invalidations) -> anyhow::Result<Option<Redis>> {
    let options = around.settings.redis.options().map_err(anyhow::Error::msg)?;
    let Some(options) = options else {
        tracing::warn!(
            "redis.urls is empty: a revocation reaches other processes only when what they remember expires, after {} s",
            platform::redis::MEMORY_WITHOUT_REDIS.as_secs()
        );
        invalidations.reach_this_process_only();
        return Ok(None);
    };
    // Revocations that come in while the process finishes its calls still count: it ends with the process.
    let redis = Redis::start(&options, CancellationToken::new()).context("redis")?;
    tokio::spawn(share_invalidations(redis.clone(), invalidations.clone(), CancellationToken::new()));
    Ok(Some(redis))
}

fn call(service: migrations::Service, settings: &Settings, tls: Option<&Tls>) -> anyhow::Result<Transport> {
    let addresses = settings.services.of(service);
    transport::balanced(service.name(), addresses, &settings.grpc.client(), tls)
        .with_context(|| format!("services.{}", service.name()))
}
