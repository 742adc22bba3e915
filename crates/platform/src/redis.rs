//! Redis: what replicas tell and lend each other. Nothing rests there that cannot be had without it.
//!
//! - [`share_invalidations`]: a revocation reaches every gateway
//! - [`Gcra`]: one rate per tenant for all gateways together
//! - [`SharedCache`]: what one gateway learnt of a bearer token, sealed for whoever presents the same token
//!
//! Redis may be slow or gone at any time. Each use has a short time limit and something else to do instead, and says in the
//! metrics that it did (`rollcall_redis_up`, `rollcall_redis_fallbacks_total`).

mod gcra;
mod invalidations;
mod link;
mod shared_cache;

pub use gcra::Gcra;
pub use invalidations::{MEMORY_WITHOUT_REDIS, share_invalidations};
pub use shared_cache::{Looked, SharedCache, Ticket};

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::RedisError;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::metrics;
use link::{Dialer, Link};

/// How Redis is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One server; what happens when it fails is the operator's business.
    #[default]
    Single,
    /// Sentinels that know which server is the master.
    Sentinel,
    /// A Redis Cluster.
    Cluster,
}

/// Where Redis is and how long we wait for it.
#[derive(Clone, Debug)]
pub struct Options {
    /// How it is set up.
    pub kind: Kind,
    /// `redis://user:password@host:port/db`, or `rediss://` for TLS: the server, the sentinels, or some nodes of the cluster.
    pub urls: Vec<SecretString>,
    /// The name under which the sentinels know the master. User and password of the first URL are the master's too.
    pub sentinel_master: String,
    /// The authority of the servers' certificates, PEM; `None`: those public ones that Mozilla trusts.
    pub ca: Option<Vec<u8>>,
    /// What we show to servers that ask for a certificate.
    pub identity: Option<Identity>,
    /// Before every key and channel.
    pub prefix: String,
    /// For one question; then it is answered without Redis.
    pub timeout: Duration,
}

/// Our certificate, and the chain behind it, and its private key; both PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub cert: Vec<u8>,
    /// The key.
    pub key: SecretString,
}

/// Whether [`Redis::start`] would take the options.
///
/// # Errors
/// `InvalidValue` that says what would be right.
pub fn check(options: &Options) -> Result<()> {
    Dialer::new(options).map(|_| ())
}

/// So many questions in a row without an answer, and none is asked for [`REST`]: waiting for each would slow down every request.
const FAILURES_IN_A_ROW: u32 = 3;
const REST: Duration = Duration::from_millis(500);
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_PATIENCE: Duration = Duration::from_secs(1);
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// A connection to Redis that comes back by itself. Clones share it.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    dialer: Dialer,
    prefix: String,
    timeout: Duration,
    link: RwLock<Option<Link>>,
    failures: AtomicU32,
    rests_until: RwLock<Option<Instant>>,
    broken: Notify,
}

impl Redis {
    /// Connects in the background, and again whenever the connection is lost, until `stop`. Must be called within a runtime.
    ///
    /// # Errors
    /// `InvalidValue` for URLs that are none.
    pub fn start(options: &Options, stop: CancellationToken) -> Result<Self> {
        let shared = Arc::new(Shared {
            dialer: Dialer::new(options)?,
            prefix: options.prefix.clone(),
            timeout: options.timeout,
            link: RwLock::default(),
            failures: AtomicU32::new(0),
            rests_until: RwLock::default(),
            broken: Notify::new(),
        });
        metrics::metrics().redis_up("commands", false);
        let keeping = shared.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keeping.keep_connected() => {}
            }
        });
        Ok(Self { shared })
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        self.shared.link().is_some()
    }

    fn key(&self, rest: &str) -> String {
        format!("{}:{rest}", self.shared.prefix)
    }

    /// Asks Redis, within its time limit. `None` when it cannot tell: do without.
    async fn ask<T, F>(&self, usage: &'static str, question: impl FnOnce(Link) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let answer = self.ask_within(self.shared.timeout, question).await;
        if answer.is_none() {
            metrics::metrics().redis_fallbacks(usage, 1);
        }
        answer
    }

    async fn ask_within<T, F>(&self, patience: Duration, question: impl FnOnce(Link) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let shared = &self.shared;
        if shared.rests() {
            return None;
        }
        let link = shared.link()?;
        match tokio::time::timeout(patience, question(link)).await {
            Ok(Ok(answer)) => {
                shared.failures.store(0, Ordering::Relaxed);
                return Some(answer);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "Redis answered with an error: {error}");
                // Also READONLY of a master that is none any more: connecting again finds the new one.
                shared.broken.notify_one();
            }
            Err(_) => tracing::debug!("Redis did not answer within {} ms", patience.as_millis()),
        }
        if shared.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_IN_A_ROW {
            shared.failures.store(0, Ordering::Relaxed);
            *shared.rests_until.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
        }
        None
    }
}

impl Shared {
    fn link(&self) -> Option<Link> {
        self.link.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_link(&self, link: Option<Link>) {
        metrics::metrics().redis_up("commands", link.is_some());
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = link;
    }

    fn rests(&self) -> bool {
        let until = *self.rests_until.read().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    async fn keep_connected(&self) {
        let mut said = false;
        loop {
            match tokio::time::timeout(CONNECT_PATIENCE, self.dialer.connect()).await {
                Ok(Ok(link)) => {
                    tracing::info!("connected to Redis");
                    said = false;
                    self.set_link(Some(link.clone()));
                    self.until_broken(link).await;
                    self.set_link(None);
                    tracing::warn!("the connection to Redis is lost; going on without");
                }
                Ok(Err(error)) if !said => {
                    let why = self.dialer.explain(&error);
                    tracing::warn!(%error, "going on without Redis: {why}");
                    said = true;
                }
                Err(_) if !said => {
                    tracing::warn!("Redis does not answer, going on without");
                    said = true;
                }
                Ok(Err(_)) | Err(_) => {}
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    }

    async fn until_broken(&self, mut link: Link) {
        loop {
            tokio::select! {
                () = self.broken.notified() => {}
                () = tokio::time::sleep(PROBE_EVERY) => {}
            }
            let ping = redis::cmd("PING");
            let pong = tokio::time::timeout(PROBE_PATIENCE, ping.query_async::<String>(&mut link)).await;
            if !matches!(pong, Ok(Ok(_))) || !link.is_master().await {
                return;
            }
        }
    }
}
