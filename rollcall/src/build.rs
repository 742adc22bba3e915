//! How each service is built, whichever process it is in: standalone has all of them in one and calls them directly,
//! distributed has one in each process and calls the others over the network. Only the databases, secrets and transports differ.
//!
//! # Adding a service
//! A function here, its verb in `distributed/`, its place in `standalone/services.rs`, its addresses in `[services]`.

use std::time::Duration;

use anyhow::Context;
use platform::auth::{Scope, TokenSource};
use platform::cache::Invalidations;
use platform::clock::Clock;
use platform::db::Database;
use platform::db::cursor::Cursors;
use platform::db::retention::{self, Retention};
use platform::transport::Transport;
use proto::identity::v1::changes_client::ChangesClient;
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::Settings;

/// Services of the platform that call others of their own accord, and what they may do there.
const SYSTEM_CLIENTS: [(&str, &[Scope]); 2] =
    [("membership", &[Scope::Internal]), ("gateway", &[Scope::Internal])];

/// What every service is built with.
#[derive(Clone)]
pub(crate) struct Surroundings<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) clock: Clock,
    /// Background work ends when it is cancelled.
    pub(crate) stop: CancellationToken,
    /// Where background work is counted.
    pub(crate) tasks: TaskTracker,
}

impl Surroundings<'_> {
    fn log_kept(&self) -> Duration {
        Duration::from_secs(24 * 3600 * u64::from(self.settings.server.change_log_days))
    }
}

/// The token service. It knows the platform's own services as the clients that they derive from `platform_secret`.
pub(crate) async fn token(
    database: Database,
    key: token::SecretKey,
    platform_secret: &SecretString,
    invalidations: Invalidations,
    around: &Surroundings<'_>,
) -> anyhow::Result<token::Service> {
    let clock = around.clock.clone();
    let discovery = around.settings.token.discovery.clone();
    let service = token::Service::new(token::Deps { database, clock, key, invalidations, discovery }).await?;
    for (name, scopes) in SYSTEM_CLIENTS {
        service
            .ensure_system_client(name, scopes, platform_secret)
            .await
            .with_context(|| format!("cannot register {name} as a client of the token service"))?;
    }
    Ok(service)
}

/// The access tokens of one of [`SYSTEM_CLIENTS`].
pub(crate) fn tokens_of(
    name: &str,
    platform_secret: &SecretString,
    to_token: Transport,
    clock: Clock,
) -> anyhow::Result<TokenSource> {
    let client = token::SystemClient::derive(name, platform_secret)?;
    Ok(TokenSource::client_credentials(to_token, client.id.to_string(), client.secret, clock))
}

/// The identity service and its housekeeping.
pub(crate) fn identity(database: Database, cursors: Cursors, around: &Surroundings<'_>) -> identity::Service {
    let service =
        identity::Service::new(database, around.clock.clone(), cursors).ending_with(around.stop.clone());
    around.tasks.spawn(service.clone().maintain(around.log_kept(), around.stop.clone()));
    service
}

/// The membership service, which follows identity's change log.
pub(crate) fn membership(
    database: Database,
    cursors: Cursors,
    to_identity: Transport,
    tokens: TokenSource,
    around: &Surroundings<'_>,
) -> membership::Service {
    let service = membership::Service::new(database.clone(), around.clock.clone(), cursors)
        .with_stop(around.stop.clone())
        .with_index(around.settings.membership.index());
    let index = service.index();
    index.observe();
    around.tasks.spawn(index.follow(around.stop.clone()));
    let retention = Retention { keep: around.log_kept(), compact: None };
    around.tasks.spawn(retention::retain(
        "membership_log",
        database.clone(),
        around.clock.clone(),
        retention,
        around.stop.clone(),
    ));
    around.tasks.spawn(membership::follower::follow(
        database,
        around.clock.clone(),
        ChangesClient::new(to_identity),
        tokens,
        around.stop.clone(),
    ));
    service
}

/// The journal and its housekeeping.
pub(crate) fn journal(database: Database, around: &Surroundings<'_>) -> journal::Service {
    let service = journal::Service::new(database, around.clock.clone());
    around.tasks.spawn(journal::retention::run(service.clone(), around.stop.clone()));
    service
}

/// Where each service is called.
pub(crate) struct Transports {
    pub(crate) identity: Transport,
    pub(crate) membership: Transport,
    pub(crate) token: Transport,
    pub(crate) journal: Transport,
}

/// The gateway. `Gateway::write_log` is to be run beside its server, until after that has stopped.
pub(crate) fn gateway(
    transports: Transports,
    invalidations: Invalidations,
    around: &Surroundings<'_>,
) -> gateway::Gateway {
    let Transports { identity, membership, token, journal } = transports;
    let clients = gateway::Clients::new(identity, membership, token, journal);
    gateway::Gateway::new(clients, around.settings.gateway.clone(), invalidations, around.clock.clone())
}

/// The task that writes the provisioning log: to be ended after the gateway.
pub(crate) struct LogWriter {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl LogWriter {
    pub(crate) fn start(gateway: gateway::Gateway, tokens: TokenSource) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { gateway.write_log(tokens, stopped).await });
        Self { stop, task }
    }

    /// Lets it write what is left; what is not written within `patience` is lost, and said.
    pub(crate) async fn finish(self, patience: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(patience, self.task).await.is_err() {
            tracing::error!("the journal did not take the end of the provisioning log, which is lost");
        }
    }
}
