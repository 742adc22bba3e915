//! The sections of the settings, each turned into what the code that it is for asks for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use platform::config::{List, Secret, Secrets as SecretList, secret};
use platform::db::{self, Patience, Pool};
use platform::redis::Kind;
use platform::tls::{self, Tls};
use platform::{server, transport};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// The process as a whole.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) shutdown_grace_seconds: u64,
    pub(crate) drain_delay_seconds: u64,
    pub(crate) change_log_days: u32,
}

/// Where a process listens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) ops: SocketAddr,
}

/// Where the others listen.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Services {
    pub(crate) identity: List,
    pub(crate) membership: List,
    pub(crate) token: List,
    pub(crate) journal: List,
}

impl Services {
    pub(crate) fn of(&self, service: migrations::Service) -> &[String] {
        match service {
            migrations::Service::Identity => &self.identity.0,
            migrations::Service::Membership => &self.membership.0,
            migrations::Service::Token => &self.token.0,
            migrations::Service::Journal => &self.journal.0,
        }
    }
}

/// The token service.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    pub(crate) discovery: token::DiscoveryConfig,
}

/// The membership service.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Membership {
    pub(crate) index_memory_mib: u32,
    pub(crate) index_loads: u32,
}

impl Membership {
    pub(crate) fn index(&self) -> membership::index::Settings {
        membership::index::Settings {
            budget: usize::try_from(self.index_memory_mib).unwrap_or(usize::MAX).saturating_mul(1 << 20),
            loads: usize::try_from(self.index_loads).unwrap_or(1),
            ..membership::index::Settings::default()
        }
    }
}

/// Calls between processes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grpc {
    pub(crate) max_calls: usize,
    pub(crate) max_connection_age_seconds: u64,
    pub(crate) connect_timeout_ms: u64,
    pub(crate) keep_alive_interval_ms: u64,
    pub(crate) keep_alive_timeout_ms: u64,
    pub(crate) resolve_every_seconds: u64,
    pub(crate) tls: tls::Config,
}

impl Grpc {
    pub(crate) fn tls(&self) -> platform::Result<Option<Tls>> {
        Tls::load(&self.tls, "grpc.tls")
    }

    pub(crate) fn server(&self, tls: Option<Tls>) -> server::Options {
        let age = self.max_connection_age_seconds;
        server::Options {
            max_calls: self.max_calls,
            max_connection_age: (age > 0).then(|| Duration::from_secs(age)),
            tls,
        }
    }

    pub(crate) fn client(&self) -> transport::Options {
        transport::Options {
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            keep_alive_interval: Duration::from_millis(self.keep_alive_interval_ms),
            keep_alive_timeout: Duration::from_millis(self.keep_alive_timeout_ms),
            resolve_every: Duration::from_secs(self.resolve_every_seconds),
        }
    }
}

/// The databases of the services.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) url: Secret,
    pub(crate) url_file: PathBuf,
    pub(crate) password_file: PathBuf,
    pub(crate) replica_url: Secret,
    pub(crate) replica_url_file: PathBuf,
    pub(crate) replica_max_lag_seconds: u64,
    pub(crate) min_connections: u32,
    pub(crate) max_connections: u32,
    pub(crate) acquire_timeout_ms: u64,
    pub(crate) connect_timeout_ms: u64,
    pub(crate) statement_timeout_ms: u64,
    pub(crate) write_timeout_ms: u64,
    pub(crate) idle_timeout_seconds: u64,
    pub(crate) max_lifetime_seconds: u64,
    pub(crate) start_timeout_seconds: u64,
    pub(crate) identity: Replicated,
    pub(crate) membership: Access,
    pub(crate) token: Replicated,
    pub(crate) journal: Replicated,
}

/// Who to be to which database.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Access {
    pub(crate) url: Secret,
    pub(crate) url_file: PathBuf,
    pub(crate) password_file: PathBuf,
}

/// The same of a service that has questions for a replica too.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replicated {
    pub(crate) url: Secret,
    pub(crate) url_file: PathBuf,
    pub(crate) password_file: PathBuf,
    pub(crate) replica_url: Secret,
    pub(crate) replica_url_file: PathBuf,
}

/// `rollcall migrate`.
pub(crate) type Migrate = Access;

impl Access {
    fn is_empty(&self) -> bool {
        self.url.is_empty() && self.url_file.as_os_str().is_empty()
    }

    /// The URL with its password, and nothing when none is set. `section` is for errors.
    fn read(&self, section: &str) -> Result<Option<SecretString>, String> {
        read_url(section, "url", &self.url, &self.url_file, &self.password_file)
    }
}

impl Replicated {
    fn primary(&self) -> Access {
        let Self { url, url_file, password_file, replica_url: _, replica_url_file: _ } = self.clone();
        Access { url, url_file, password_file }
    }

    /// The URL of the replica with its password, which is the primary's.
    fn read_replica(&self, section: &str) -> Result<Option<SecretString>, String> {
        let Self { replica_url, replica_url_file, password_file, .. } = self;
        let url = read_url(section, "replica_url", replica_url, replica_url_file, password_file)?;
        if url.is_some() && self.primary().is_empty() {
            return Err(format!(
                "{section}.replica_url is set and {section}.url is not: a replica is named beside its primary"
            ));
        }
        Ok(url)
    }
}

fn read_url(
    section: &str,
    name: &str,
    url: &Secret,
    url_file: &Path,
    password_file: &Path,
) -> Result<Option<SecretString>, String> {
    let key = format!("{section}.{name}");
    let Some(url) = secret(&key, url, url_file)? else { return Ok(None) };
    let parsed = url::Url::parse(url.expose_secret()).ok();
    let parsed = parsed.filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let Some(mut parsed) = parsed else {
        return Err(format!(
            "{key} is no URL of PostgreSQL: it must be like `postgres://user:password@host:5432/rollcall`"
        ));
    };
    let password = secret(&format!("{section}.password"), &Secret::default(), password_file)?;
    if let Some(password) = password {
        if parsed.password().is_some() {
            return Err(format!("{section}.password_file is set although {key} has a password: remove one"));
        }
        parsed
            .set_password(Some(password.expose_secret()))
            .map_err(|()| format!("{key} has no host, so it can have no password"))?;
    }
    Ok(Some(String::from(parsed).into()))
}

impl Database {
    fn shared(&self) -> Replicated {
        let Self { url, url_file, password_file, replica_url, replica_url_file, .. } = self;
        Replicated {
            url: url.clone(),
            url_file: url_file.clone(),
            password_file: password_file.clone(),
            replica_url: replica_url.clone(),
            replica_url_file: replica_url_file.clone(),
        }
    }

    /// What `service` connects with.
    pub(crate) fn url(&self, service: migrations::Service) -> Result<SecretString, String> {
        let own = match service {
            migrations::Service::Identity => self.identity.primary(),
            migrations::Service::Membership => self.membership.clone(),
            migrations::Service::Token => self.token.primary(),
            migrations::Service::Journal => self.journal.primary(),
        };
        let name = service.name();
        let found = if own.is_empty() {
            self.shared().primary().read("database")?
        } else {
            own.read(&format!("database.{name}"))?
        };
        found.ok_or_else(|| {
            format!(
                "database.url is empty: set it (or url_file, or those of [database.{name}]) to a URL like \
                 `postgres://user:password@host:5432/rollcall`"
            )
        })
    }

    /// What `service` connects to its read replica with, if there is one: that which is named beside the URL it uses.
    pub(crate) fn replica(&self, service: migrations::Service) -> Result<Option<db::Replica>, String> {
        let own = match service {
            migrations::Service::Identity => &self.identity,
            migrations::Service::Token => &self.token,
            migrations::Service::Journal => &self.journal,
            // What it answers must be true now.
            migrations::Service::Membership => return Ok(None),
        };
        let own_url = own.read_replica(&format!("database.{}", service.name()))?;
        let url = if own.primary().is_empty() { self.shared().read_replica("database")? } else { own_url };
        let max_lag = Duration::from_secs(self.replica_max_lag_seconds);
        Ok(url.map(|url| db::Replica::at(url, max_lag)))
    }

    /// What the migrator connects with for `service`: its own user where there is one.
    pub(crate) fn owner_url(
        &self,
        migrate: &Migrate,
        service: migrations::Service,
    ) -> Result<SecretString, String> {
        match migrate.read("migrate")? {
            Some(url) => Ok(url),
            None => self.url(service),
        }
    }

    /// The configuration of a pool for `service`.
    pub(crate) fn config(&self, service: migrations::Service) -> Result<db::Config, String> {
        let pool = Pool {
            min_connections: self.min_connections,
            max_connections: self.max_connections,
            acquire_timeout: Duration::from_millis(self.acquire_timeout_ms),
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            idle_timeout: Duration::from_secs(self.idle_timeout_seconds),
            max_lifetime: Duration::from_secs(self.max_lifetime_seconds),
        };
        let (url, replica) = (self.url(service)?, self.replica(service)?);
        Ok(db::Config::Postgres { url, schema: Some(service.name().to_owned()), pool, replica })
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience {
            statement: Duration::from_millis(self.statement_timeout_ms),
            write: Duration::from_millis(self.write_timeout_ms),
        }
    }
}

/// Redis.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    pub(crate) kind: Kind,
    pub(crate) urls: SecretList,
    pub(crate) urls_file: PathBuf,
    pub(crate) sentinel_master: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) cert_file: PathBuf,
    pub(crate) key_file: PathBuf,
    pub(crate) prefix: String,
    pub(crate) timeout_ms: u64,
}

impl Redis {
    /// What to connect with; `None` when no URL is set.
    pub(crate) fn options(&self) -> Result<Option<platform::redis::Options>, String> {
        let Self { kind, urls, urls_file, sentinel_master, ca_file, cert_file, key_file, prefix, timeout_ms } =
            self;
        let mut urls = urls.clone();
        if !urls_file.as_os_str().is_empty() {
            if !urls.0.is_empty() {
                return Err("redis.urls and redis.urls_file are both set: remove one of them".to_owned());
            }
            let text = secret("redis.urls", &Secret::default(), urls_file)?;
            urls = SecretList::from_text(text.as_ref().map_or("", |text| text.expose_secret()));
        }
        let urls: Vec<SecretString> = urls.0.iter().filter_map(Secret::get).cloned().collect();
        if urls.is_empty() {
            return Ok(None);
        }
        let read = |key: &str, path: &Path| {
            if path.as_os_str().is_empty() {
                return Ok(None);
            }
            let unreadable =
                |error| format!("redis.{key}: the file {} cannot be read: {error}", path.display());
            std::fs::read(path).map(Some).map_err(unreadable)
        };
        let identity =
            match (read("cert_file", cert_file)?, secret("redis.key", &Secret::default(), key_file)?) {
                (None, None) => None,
                (Some(cert), Some(key)) => Some(platform::redis::Identity { cert, key }),
                (None, Some(_)) => {
                    return Err("redis.cert_file is empty although redis.key_file is set".to_owned());
                }
                (Some(_), None) => {
                    return Err("redis.key_file is empty although redis.cert_file is set".to_owned());
                }
            };
        Ok(Some(platform::redis::Options {
            kind: *kind,
            urls,
            sentinel_master: sentinel_master.clone(),
            ca: read("ca_file", ca_file)?,
            identity,
            prefix: prefix.clone(),
            timeout: Duration::from_millis(*timeout_ms),
        }))
    }
}

/// What must stay secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secrets {
    pub(crate) key_encryption_key: Secret,
    pub(crate) key_encryption_key_file: PathBuf,
    pub(crate) cursor_key: Secret,
    pub(crate) cursor_key_file: PathBuf,
    pub(crate) platform_secret: Secret,
    pub(crate) platform_secret_file: PathBuf,
    pub(crate) admin_token: Secret,
    pub(crate) admin_token_file: PathBuf,
}

impl Secrets {
    pub(crate) fn key_encryption_key(&self) -> Result<token::SecretKey, String> {
        const KEY: &str = "secrets.key_encryption_key";
        let text = needed(KEY, secret(KEY, &self.key_encryption_key, &self.key_encryption_key_file)?)?;
        token::SecretKey::from_text(text.expose_secret()).map_err(|error| format!("{KEY}: {error}"))
    }

    pub(crate) fn cursor_key(&self) -> Result<SecretString, String> {
        const KEY: &str = "secrets.cursor_key";
        let key = needed(KEY, secret(KEY, &self.cursor_key, &self.cursor_key_file)?)?;
        if key.expose_secret().len() < 32 {
            return Err(format!("{KEY} is too short: it must be random and at least 32 characters long"));
        }
        Ok(key)
    }

    pub(crate) fn platform_secret(&self) -> Result<SecretString, String> {
        const KEY: &str = "secrets.platform_secret";
        let key = needed(KEY, secret(KEY, &self.platform_secret, &self.platform_secret_file)?)?;
        token::SystemClient::derive("membership", &key).map_err(|error| format!("{KEY}: {error}"))?;
        Ok(key)
    }

    pub(crate) fn admin_token(&self) -> Result<Option<SecretString>, String> {
        secret("secrets.admin_token", &self.admin_token, &self.admin_token_file)
    }
}

fn needed(key: &str, secret: Option<SecretString>) -> Result<SecretString, String> {
    secret.ok_or_else(|| {
        format!("{key} is empty: set it or {key}_file (`rollcall config secrets --dir DIR` makes such files)")
    })
}
