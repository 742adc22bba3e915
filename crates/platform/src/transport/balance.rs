//! One client for all replicas of a service: finds them by DNS, spreads calls over them, goes around those that are
//! gone, and tries again what may be tried again.
//!
//! What may be: a call that reached nobody (no connection, or the replica refused it unread because it is full or
//! stopping), whatever it is; and a call that does no
//! harm twice (mostly: that only reads), when its replica was lost or said UNAVAILABLE. A write whose
//! answer was lost is never repeated here: nobody but the client knows whether it wants that.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::uri::{Scheme, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::ServiceExt;

use super::{Options, REFUSED_UNREAD, is_repeatable};
use crate::error::{Error, Result};
use crate::metrics;
use crate::tls::Tls;

/// How often one call is sent at most.
const ATTEMPTS: u32 = 4;
/// A replica that could not be reached is left alone for this long, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many UNAVAILABLE in a row, and the replica is treated like one that cannot be reached.
const FAILURES_IN_A_ROW: u32 = 5;
/// A name is not asked for more often than this, however many replicas are lost.
const RESOLVE_AT_MOST: Duration = Duration::from_millis(500);

/// What the user of this module names: `http://host:port`, or `https://` for TLS.
struct Target {
    origin: Uri,
    host: String,
    port: u16,
}

type Replicas = Arc<Vec<Arc<Replica>>>;

#[derive(Clone)]
pub(super) struct Balanced {
    shared: Arc<Shared>,
}

struct Shared {
    /// Of the service, for people.
    name: &'static str,
    replicas: watch::Receiver<Replicas>,
    look_again: Arc<Notify>,
    budget: Budget,
    patience: Duration,
    random: AtomicU64,
}

struct Replica {
    address: SocketAddr,
    origin: Uri,
    channel: Channel,
    under_way: AtomicUsize,
    standing: Mutex<Standing>,
}

/// How a replica has behaved.
#[derive(Default)]
struct Standing {
    pauses: u32,
    unavailable_in_a_row: u32,
    left_alone_until: Option<Instant>,
}

/// How a call went, as far as trying again is concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The replica answered, whatever it said.
    Answered,
    /// The replica is there and cannot do it now.
    Unavailable,
    /// The replica is there and did not look at it.
    Refused,
    /// It did not leave this process: there is no connection.
    NeverSent,
    /// The connection was lost on the way there or back.
    Lost,
}

impl Balanced {
    /// Must be called within a runtime: it starts the task that follows the names. The task ends with the last clone.
    pub(super) fn new(
        name: &'static str,
        addresses: &[String],
        options: &Options,
        tls: Option<&Tls>,
    ) -> Result<Self> {
        let mut targets = Vec::new();
        for address in addresses {
            targets.push(target(address, tls.is_some())?);
        }
        if targets.is_empty() {
            return Err(Error::invalid_value(format!("no address of the service {name} is given")));
        }
        // A name that cannot be called must stop the start, not the first call.
        for target in &targets {
            channel(target, SocketAddr::from(([127, 0, 0, 1], 1)), options, tls)?;
        }
        let (sender, replicas) = watch::channel(Replicas::default());
        let look_again = Arc::new(Notify::new());
        let follow = Follow { name, targets, options: options.clone(), tls: tls.cloned() };
        tokio::spawn(follow.run(sender, look_again.clone()));
        let shared = Shared {
            name,
            replicas,
            look_again,
            budget: Budget::default(),
            patience: options.connect_timeout,
            random: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl tower::Service<http::Request<Body>> for Balanced {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move { shared.send(request).await })
    }
}

impl Shared {
    async fn send(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let (head, body) = request.into_parts();
        // No call of ours streams towards the service, so this is one message, encoded already.
        let body = body.collect().await?.to_bytes();
        let repeatable = is_repeatable(head.uri.path());
        self.budget.deposit();
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut attempt = 1;
        loop {
            let Some(replica) = self.pick(&mut tried).await else {
                self.look_again.notify_one();
                return Err(Status::unavailable(format!("no replica of {} is known", self.name)));
            };
            let (verdict, outcome) = replica.send(&head, &body).await;
            if matches!(verdict, Verdict::NeverSent | Verdict::Lost) {
                self.look_again.notify_one();
            }
            let may_repeat = match verdict {
                Verdict::Answered => return outcome,
                Verdict::NeverSent | Verdict::Refused => true,
                Verdict::Lost | Verdict::Unavailable => repeatable && self.budget.withdraw(),
            };
            if !may_repeat || attempt == ATTEMPTS {
                return outcome;
            }
            metrics::metrics().rpc_retry(self.name);
            tried.push(replica.address);
            attempt += 1;
        }
    }

    /// At the start the names have to be looked up first.
    async fn known(&self) -> Option<Replicas> {
        let mut receiver = self.replicas.clone();
        let found = tokio::time::timeout(self.patience, receiver.wait_for(|known| !known.is_empty())).await;
        found.ok()?.ok().map(|known| known.clone())
    }

    /// Of two replicas taken at random the less busy one, among those in good standing that were not tried yet. When all
    /// were tried, anew after a short wait. When none is in good standing, any: it may be our network that is bad.
    async fn pick(&self, tried: &mut Vec<SocketAddr>) -> Option<Arc<Replica>> {
        let known = self.known().await?;
        if tried.len() >= known.len() {
            // Not all callers at the same moment.
            let round = tried.len() as u64;
            tokio::time::sleep(Duration::from_millis(10 * round + self.random() % (20 * round))).await;
            tried.clear();
        }
        let fresh: Vec<&Arc<Replica>> =
            known.iter().filter(|replica| !tried.contains(&replica.address)).collect();
        let now = Instant::now();
        let good: Vec<&Arc<Replica>> = fresh.iter().copied().filter(|replica| replica.is_good(now)).collect();
        let choices = if good.is_empty() { fresh } else { good };
        let random = usize::try_from(self.random() >> 32).unwrap_or(0);
        let one = choices.get(random % choices.len().max(1))?;
        let other = choices.get((random / 7 + 1) % choices.len()).unwrap_or(one);
        let busy = |replica: &Replica| replica.under_way.load(Ordering::Relaxed);
        let chosen = if busy(other) < busy(one) { other } else { one };
        chosen.claim(now);
        Some(Arc::clone(chosen))
    }

    /// SplitMix64: evenly spread is all it needs to be.
    fn random(&self) -> u64 {
        let mut z = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Replica {
    async fn send(&self, head: &Parts, body: &Bytes) -> (Verdict, Result<http::Response<Body>, Status>) {
        let request = http::Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
        let under_way = UnderWay::new(self);
        let outcome = self.channel.clone().oneshot(request).await;
        drop(under_way);
        let (verdict, outcome) = match outcome {
            Ok(answer) => (judge(&answer), Ok(answer)),
            Err(error) if was_never_sent(&error) => {
                (Verdict::NeverSent, Err(unreachable(Status::from_error(Box::new(error)))))
            }
            Err(error) => (Verdict::Lost, Err(unreachable(Status::from_error(Box::new(error))))),
        };
        self.note(verdict);
        (verdict, outcome)
    }

    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_good(&self, now: Instant) -> bool {
        self.standing().left_alone_until.is_none_or(|until| until <= now)
    }

    /// After its pause a replica gets one call to show that it is back; the others wait for how that goes.
    fn claim(&self, now: Instant) {
        let mut standing = self.standing();
        if standing.left_alone_until.is_some() {
            standing.left_alone_until = Some(now + pause(standing.pauses));
        }
    }

    fn note(&self, verdict: Verdict) {
        let mut standing = self.standing();
        match verdict {
            Verdict::Answered => *standing = Standing::default(),
            Verdict::Unavailable | Verdict::Refused => {
                standing.unavailable_in_a_row += 1;
                if standing.unavailable_in_a_row >= FAILURES_IN_A_ROW {
                    standing.leave_alone();
                }
            }
            Verdict::NeverSent | Verdict::Lost => standing.leave_alone(),
        }
    }
}

impl Standing {
    fn leave_alone(&mut self) {
        self.left_alone_until = Some(Instant::now() + pause(self.pauses));
        self.pauses = self.pauses.saturating_add(1);
    }
}

fn pause(pauses: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << pauses.min(10)).min(LONGEST_PAUSE)
}

struct UnderWay<'a>(&'a Replica);

impl<'a> UnderWay<'a> {
    fn new(replica: &'a Replica) -> Self {
        replica.under_way.fetch_add(1, Ordering::Relaxed);
        Self(replica)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

fn judge(answer: &http::Response<Body>) -> Verdict {
    if answer.headers().contains_key(REFUSED_UNREAD) {
        return Verdict::Refused;
    }
    let code = answer.headers().get("grpc-status").and_then(|code| code.to_str().ok());
    match code {
        Some("14") => Verdict::Unavailable,
        _ => Verdict::Answered,
    }
}

/// Whether the call cannot have reached anybody: there was no connection, or it ended before the call was written.
fn was_never_sent(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whatever the broken connection is called further down: to the caller the service is unavailable.
fn unreachable(status: Status) -> Status {
    if status.code() == Code::DeadlineExceeded { status } else { Status::unavailable(status.message()) }
}

/// Trying again must not double the load of services that are down: one try in ten calls, for long.
struct Budget {
    /// In tenths of a try.
    tokens: AtomicI64,
}

impl Budget {
    const FULL: i64 = 1000;

    fn deposit(&self) {
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
            (tokens < Self::FULL).then_some(tokens + 1)
        });
    }

    fn withdraw(&self) -> bool {
        self.tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                (tokens >= 10).then_some(tokens - 10)
            })
            .is_ok()
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { tokens: AtomicI64::new(Self::FULL) }
    }
}

pub(super) fn check(address: &str, tls: bool) -> Result<()> {
    target(address, tls).map(|_| ())
}

fn target(address: &str, tls: bool) -> Result<Target> {
    let wrong = |why: &str| {
        let example = if tls { "https://identity:8081" } else { "http://identity:8081" };
        Error::invalid_value(format!("`{address}` {why}: it must be like `{example}`"))
    };
    let uri: Uri = address.parse().map_err(|_| wrong("is not a URL"))?;
    let scheme = uri.scheme().ok_or_else(|| wrong("has no scheme"))?;
    if scheme == &Scheme::HTTPS && !tls {
        return Err(wrong("needs certificates, and none are configured"));
    }
    if scheme == &Scheme::HTTP && tls {
        return Err(wrong("would not be encrypted although certificates are configured"));
    }
    if scheme != &Scheme::HTTP && scheme != &Scheme::HTTPS {
        return Err(wrong("has a scheme that we do not speak"));
    }
    if uri.path() != "/" && !uri.path().is_empty() {
        return Err(wrong("has a path"));
    }
    let host = uri.host().ok_or_else(|| wrong("has no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().ok_or_else(|| wrong("has no port"))?;
    Ok(Target { origin: uri, host, port })
}

/// A connection to the replica at `address`, made when it is first used and again when it is lost.
fn channel(target: &Target, address: SocketAddr, options: &Options, tls: Option<&Tls>) -> Result<Channel> {
    let invalid = |error: &dyn std::fmt::Display| {
        Error::invalid_value(format!("{} cannot be called: {error}", target.origin))
    };
    // Encrypted or not is what the connector below makes of it; the replica is told the name that it was called by.
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| invalid(&error))?
        .origin(target.origin.clone())
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(options.keep_alive_interval)
        .keep_alive_timeout(options.keep_alive_timeout)
        .keep_alive_while_idle(true);
    let Some(tls) = tls.cloned() else { return Ok(endpoint.connect_lazy()) };
    let name = ServerName::try_from(target.host.clone()).map_err(|error| invalid(&error))?;
    let connector = tower::service_fn(move |_: Uri| {
        let (tls, name) = (tls.clone(), name.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            tls.connect(name, stream).await.map(TokioIo::new)
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}

/// Keeps the set of replicas in step with what the names stand for.
struct Follow {
    name: &'static str,
    targets: Vec<Target>,
    options: Options,
    tls: Option<Tls>,
}

impl Follow {
    async fn run(self, replicas: watch::Sender<Replicas>, look_again: Arc<Notify>) {
        loop {
            let known = replicas.borrow().clone();
            let found = self.resolve(&known).await;
            // Names that stand for nothing at the moment are no reason to forget replicas that may be there yet.
            if !found.is_empty() && !same(&known, &found) {
                tracing::info!(count = found.len(), "{} replicas of {} are known", found.len(), self.name);
                metrics::metrics().rpc_replicas(self.name, found.len());
                replicas.send_replace(Arc::new(found));
            }
            let next = async {
                tokio::time::sleep(RESOLVE_AT_MOST).await;
                tokio::select! {
                    () = look_again.notified() => {}
                    () = tokio::time::sleep(self.options.resolve_every) => {}
                }
            };
            tokio::select! {
                () = replicas.closed() => return,
                () = next => {}
            }
        }
    }

    async fn resolve(&self, known: &[Arc<Replica>]) -> Vec<Arc<Replica>> {
        let mut found: Vec<Arc<Replica>> = Vec::new();
        for target in &self.targets {
            let addresses = match tokio::net::lookup_host((target.host.as_str(), target.port)).await {
                Ok(addresses) => addresses,
                Err(error) => {
                    tracing::debug!(%error, "the name {} is not known: {error}", target.host);
                    // What is known of this name stays.
                    found.extend(known.iter().filter(|replica| replica.origin == target.origin).cloned());
                    continue;
                }
            };
            for address in addresses {
                if found.iter().any(|replica| replica.address == address) {
                    continue;
                }
                let kept = known
                    .iter()
                    .find(|replica| replica.address == address && replica.origin == target.origin);
                match kept {
                    Some(replica) => found.push(replica.clone()),
                    None => found.extend(self.replica(target, address)),
                }
            }
        }
        found
    }

    fn replica(&self, target: &Target, address: SocketAddr) -> Option<Arc<Replica>> {
        match channel(target, address, &self.options, self.tls.as_ref()) {
            Ok(channel) => Some(Arc::new(Replica {
                address,
                origin: target.origin.clone(),
                channel,
                under_way: AtomicUsize::new(0),
                standing: Mutex::default(),
            })),
            Err(error) => {
                tracing::error!(%error, "a replica of {} at {address} cannot be called: {error}", self.name);
                None
            }
        }
    }
}

fn same(known: &[Arc<Replica>], found: &[Arc<Replica>]) -> bool {
    known.len() == found.len()
        && found.iter().all(|replica| known.iter().any(|other| Arc::ptr_eq(replica, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_refused_with_what_would_be_right() {
        assert!(target("http://identity:8081", false).is_ok());
        assert!(target("https://[::1]:8081", true).is_ok());
        for (address, tls) in [
            ("identity:8081", false),
            ("http://identity", false),
            ("https://identity:8081", false),
            ("http://identity:8081", true),
            ("http://identity:8081/path", false),
            ("ftp://identity:8081", false),
        ] {
            let error = target(address, tls).err().unwrap_or_else(|| panic!("{address} was taken"));
            assert!(error.detail.contains(address) && error.detail.contains("it must be like"), "{error}");
        }
    }

    #[test]
    fn the_budget_runs_dry_and_refills_slowly() {
        let budget = Budget::default();
        let tries = std::iter::repeat_with(|| budget.withdraw()).take_while(|granted| *granted).count();
        assert_eq!(tries, 100);
        for _ in 0..10 {
            assert!(!budget.withdraw());
            budget.deposit();
        }
        assert!(budget.withdraw());
    }

    #[test]
    fn pauses_double_and_end() {
        assert_eq!(pause(0), FIRST_PAUSE);
        assert_eq!(pause(1), FIRST_PAUSE * 2);
        assert_eq!(pause(99), LONGEST_PAUSE);
    }
}
