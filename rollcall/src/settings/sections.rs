//! The sections of the settings, each turned into what the code that it is for asks for.

use std::net::SocketAddr;
use std::path::PathBuf;
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
    pub(crate) min_connections: u32,
    pub(crate) max_connections: u32,
    pub(crate) acquire_timeout_ms: u64,
    pub(crate) connect_timeout_ms: u64,
    pub(crate) statement_timeout_ms: u64,
    pub(crate) write_timeout_ms: u64,
    pub(crate) idle_timeout_seconds: u64,
    pub(crate) max_lifetime_seconds: u64,
    pub(crate) start_timeout_seconds: u64,
    pub(crate) identity: Access,
    pub(crate) membership: Access,
    pub(crate) token: Access,
    pub(crate) journal: Access,
}

/// Who to be to which database.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Access {
    pub(crate) url: Secret,
    pub(crate) url_file: PathBuf,
    pub(crate) password_file: PathBuf,
}

/// `rollcall migrate`.
pub(crate) type Migrate = Access;

impl Access {
    fn is_empty(&self) -> bool {
        self.url.is_empty() && self.url_file.as_os_str().is_empty()
    }

    /// The URL with its password, and nothing when none is set. `section` is for errors.
    fn read(&self, section: &str) -> Result<Option<SecretString>, String> {
        let Self { url, url_file, password_file } = self;
        let Some(url) = secret(&format!("{section}.url"), url, url_file)? else { return Ok(None) };
        let parsed = url::Url::parse(url.expose_secret()).ok();
        let parsed = parsed.filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
        let Some(mut parsed) = parsed else {
            return Err(format!(
                "{section}.url is no URL of PostgreSQL: it must be like `postgres://user:password@host:5432/rollcall`"
            ));
        };
        let key = format!("{section}.password");
        if let Some(password) = secret(&key, &Secret::default(), password_file)? {
            if parsed.password().is_some() {
                return Err(format!(
                    "{section}.password_file is set although {section}.url has a password: remove one"
                ));
            }
            parsed
                .set_password(Some(password.expose_secret()))
                .map_err(|()| format!("{section}.url has no host, so it can have no password"))?;
        }
        Ok(Some(String::from(parsed).into()))
    }
}

impl Database {
    fn shared(&self) -> Access {
        let Self { url, url_file, password_file, .. } = self;
        Access { url: url.clone(), url_file: url_file.clone(), password_file: password_file.clone() }
    }

    /// What `service` connects with.
    pub(crate) fn url(&self, service: migrations::Service) -> Result<SecretString, String> {
        let own = match service {
            migrations::Service::Identity => &self.identity,
            migrations::Service::Membership => &self.membership,
            migrations::Service::Token => &self.token,
            migrations::Service::Journal => &self.journal,
        };
        let name = service.name();
        let found = if own.is_empty() {
            self.shared().read("database")?
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
        Ok(db::Config::Postgres { url: self.url(service)?, schema: Some(service.name().to_owned()), pool })
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
    pub(crate) prefix: String,
    pub(crate) timeout_ms: u64,
}

impl Redis {
    /// What to connect with; `None` when no URL is set.
    pub(crate) fn options(&self) -> Result<Option<platform::redis::Options>, String> {
        let Self { kind, urls, urls_file, sentinel_master, ca_file, prefix, timeout_ms } = self;
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
        let ca = if ca_file.as_os_str().is_empty() {
            None
        } else {
            let read = std::fs::read(ca_file);
            let unreadable =
                |error| format!("redis.ca_file: the file {} cannot be read: {error}", ca_file.display());
            Some(read.map_err(unreadable)?)
        };
        Ok(Some(platform::redis::Options {
            kind: *kind,
            urls,
            sentinel_master: sentinel_master.clone(),
            ca,
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
