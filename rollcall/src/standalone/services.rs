//! Wires the services together: each behind its layers, each called through an in-process transport.

use anyhow::Context;
use axum::Router;
use platform::auth::Verifier;
use platform::cache::Invalidations;
use platform::clock::Clock;
use platform::db::Database;
use platform::db::cursor::Cursors;
use platform::{server, transport};
use proto::token::v1::keys_client::KeysClient;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use super::data_dir::DataDir;
use crate::build::{self, LogWriter, Surroundings, Transports};
use crate::settings::Settings;

/// What is ready to be served.
pub(super) struct Built {
    /// HTTP.
    pub(super) router: Router,
    /// gRPC for internal services: the read APIs, health and reflection. Nothing that provisions or administers.
    pub(super) internal_api: Routes,
    pub(super) verifier: Verifier,
    pub(super) databases: Vec<Database>,
    /// To be flushed before the databases are closed.
    pub(super) token: token::Service,
    /// To be ended after the gateway and before the databases.
    pub(super) log: LogWriter,
    /// Whether this start made the admin token.
    pub(super) new_admin_token: bool,
}

pub(super) async fn build(
    data_dir: &DataDir,
    settings: &Settings,
    clock: Clock,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<Built> {
    let token_db = database(data_dir, migrations::Service::Token).await?;
    let identity_db = database(data_dir, migrations::Service::Identity).await?;
    let membership_db = database(data_dir, migrations::Service::Membership).await?;
    let journal_db = database(data_dir, migrations::Service::Journal).await?;
    let invalidations = Invalidations::default();

    let around = Surroundings { settings, clock: clock.clone(), stop: stop.clone(), tasks: tasks.clone() };
    // The services prove to each other who they are with a secret that is made anew at each start and kept in memory only.
    let platform_secret = SecretString::from(token::SecretKey::generate()?.to_text().as_str());

    let key = key_encryption_key(data_dir)?;
    let token = build::token(token_db.clone(), key, &platform_secret, invalidations.clone(), &around).await?;
    let new_admin_token = bootstrap_admin(&token, data_dir).await?;
    let own_keys = Verifier::new(token.key_source(), clock.clone());
    let token_routes = server::with_health_and_reflection(token.routes(), &token::Service::NAMES).await?;
    let to_token = transport::in_process(server::stack(token_routes, own_keys));
    let tokens_of = |name| build::tokens_of(name, &platform_secret, to_token.clone(), clock.clone());

    // Everybody else learns the public keys as when distributed: from the token service.
    let verifier = Verifier::new(KeysClient::new(to_token.clone()), clock.clone());
    let cursors = Cursors::new(&cursor_key(data_dir)?);

    let identity = build::identity(identity_db.clone(), cursors.clone(), &around);
    let identity_routes =
        server::with_health_and_reflection(identity.routes(), &identity::Service::NAMES).await?;
    let to_identity = transport::in_process(server::stack(identity_routes, verifier.clone()));

    let tokens = tokens_of("membership")?;
    let membership = build::membership(membership_db.clone(), cursors, to_identity.clone(), tokens, &around);
    let membership_routes =
        server::with_health_and_reflection(membership.routes(), &membership::SERVICES).await?;
    let to_membership = transport::in_process(server::stack(membership_routes, verifier.clone()));

    let journal = build::journal(journal_db.clone(), &around);
    let journal_routes = server::with_health_and_reflection(journal.routes(), &journal::SERVICES).await?;
    let to_journal = transport::in_process(server::stack(journal_routes, verifier.clone()));

    // The gateway writes the log as itself, not as the tenant's client.
    let tokens = tokens_of("gateway")?;
    let transports =
        Transports { identity: to_identity, membership: to_membership, token: to_token, journal: to_journal };
    let gateway = build::gateway(transports, invalidations, &around);
    let router = gateway.router();
    let log = LogWriter::start(gateway, tokens);

    let consumer_routes = membership.add_consumer_services(identity.add_consumer_services(Routes::default()));
    let consumer_services =
        [membership::CONSUMER_SERVICES.as_slice(), identity::CONSUMER_SERVICES.as_slice()].concat();
    let internal_api = server::with_health_and_reflection(consumer_routes, &consumer_services).await?;
    let databases = vec![token_db, identity_db, membership_db, journal_db];
    Ok(Built { router, internal_api, verifier, databases, token, log, new_admin_token })
}

async fn database(data_dir: &DataDir, service: migrations::Service) -> anyhow::Result<Database> {
    let path = data_dir.database(service)?;
    let config = platform::db::Config::Sqlite { path: path.clone() };
    let database = Database::connect(&config)
        .await
        .with_context(|| format!("cannot open the database {}", path.display()))?;
    migrations::up(database.migrator(), service)
        .await
        .with_context(|| format!("cannot migrate the database {}", path.display()))?;
    Ok(database)
}

/// The key that encrypts the signing keys: a file of its own, so that a copy of the database alone opens nothing.
fn key_encryption_key(data_dir: &DataDir) -> anyhow::Result<token::SecretKey> {
    const FILE: &str = "key-encryption-key";
    let key = match data_dir.read(FILE)? {
        Some(bytes) => token::SecretKey::from_text(&String::from_utf8_lossy(&bytes))
            .with_context(|| format!("the file {FILE} in the data directory is damaged"))?,
        None => {
            let key = token::SecretKey::generate()?;
            data_dir.write(FILE, key.to_text().as_bytes())?;
            key
        }
    };
    Ok(key)
}

/// Signs the cursors of paged lists. Kept, so that a walk survives a restart.
fn cursor_key(data_dir: &DataDir) -> anyhow::Result<SecretString> {
    const FILE: &str = "cursor-key";
    if let Some(bytes) = data_dir.read(FILE)? {
        let text = String::from_utf8(bytes)
            .with_context(|| format!("the file {FILE} in the data directory is damaged"))?;
        return Ok(text.trim().to_owned().into());
    }
    let key = token::SecretKey::generate()?.to_text();
    data_dir.write(FILE, key.as_bytes())?;
    Ok(key.as_str().into())
}

async fn bootstrap_admin(token: &token::Service, data_dir: &DataDir) -> anyhow::Result<bool> {
    let kept = data_dir.admin_token()?.map(SecretString::from);
    let keep = |secret: &SecretString| {
        data_dir
            .write("admin-token", format!("{}\n", secret.expose_secret()).as_bytes())
            .map_err(|error| std::io::Error::other(format!("{error:#}")))
    };
    Ok(token.bootstrap_admin(kept, keep).await?.is_some())
}
