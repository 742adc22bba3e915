//! How a gRPC service is served: one stack of layers, in process or on a socket; health, reflection, graceful shutdown.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};
use tracing::Instrument;

use crate::auth::{AuthLayer, Verifier};
use crate::tls::Tls;
use crate::transport::{DEFAULT_DEADLINE, REFUSED_UNREAD, Transport, deadline_of, is_watch};
use crate::{metrics, telemetry};

/// How long calls under way on a connection that has become too old may take to finish.
const CLOSING_GRACE: Duration = Duration::from_secs(30);

/// What a server puts up with.
#[derive(Clone)]
pub struct Options {
    /// Calls answered at once; more are refused at once, so that the caller tries another replica. Calls that watch do not
    /// count once they stream.
    pub max_calls: usize,
    /// A connection is closed in good order after this long, so that callers spread over replicas that came later.
    pub max_connection_age: Option<Duration>,
    /// Callers must show a certificate, and are shown one.
    pub tls: Option<Tls>,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_calls: 1024, max_connection_age: None, tls: None }
    }
}

/// The services behind their layers, for [`crate::transport::in_process`].
pub fn stack(routes: Routes, verifier: Verifier) -> Transport {
    let service = Incoming { inner: AuthLayer::new(verifier).layer(routes), room: None };
    BoxCloneSyncService::new(service.map_err(|never| match never {}))
}

/// What `grpc.health.v1` answers of this server. Clones share it.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    services: Arc<[&'static str]>,
    ready: Arc<AtomicBool>,
    draining: Arc<AtomicBool>,
}

impl Health {
    /// Whether calls are to be sent here. The server as a whole (the empty name) and each of its services answer alike.
    /// After [`Health::drain`] it stays no.
    pub async fn set(&self, ready: bool) {
        let ready = ready && !self.draining.load(Ordering::SeqCst);
        if self.ready.swap(ready, Ordering::SeqCst) == ready {
            return;
        }
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in std::iter::once(&"").chain(self.services.iter()) {
            self.reporter.set_service_status(*service, status).await;
        }
    }

    /// Says that this server is about to stop; what arrives is still answered.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.set(false).await;
    }

    /// Whether it is said that calls are to be sent here.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }
}

/// Health and reflection (v1, and v1alpha for older tools) of all contracts, besides `routes`.
///
/// # Errors
/// When the embedded descriptors do not decode: a broken build.
pub async fn with_health_and_reflection(
    routes: Routes,
    services: &[&'static str],
) -> Result<Routes, tonic_reflection::server::Error> {
    Ok(with_changing_health(routes, services).await?.0)
}

/// As [`with_health_and_reflection`], and the health can change. It begins as ready.
///
/// # Errors
/// As there.
pub async fn with_changing_health(
    mut routes: Routes,
    services: &[&'static str],
) -> Result<(Routes, Health), tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in services {
        reporter.set_service_status(*service, ServingStatus::Serving).await;
    }
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut named = services.to_vec();
    named.push("grpc.health.v1.Health");
    let mut v1 = builder();
    let mut v1alpha = builder();
    for name in named {
        v1 = v1.with_service_name(name);
        v1alpha = v1alpha.with_service_name(name);
    }
    routes = routes.add_service(health).add_service(v1.build_v1()?).add_service(v1alpha.build_v1alpha()?);
    let health = Health {
        reporter,
        services: services.into(),
        ready: Arc::new(AtomicBool::new(true)),
        draining: Arc::default(),
    };
    Ok((routes, health))
}

/// Serves on a socket until `stop` is cancelled, then lets calls under way finish.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    verifier: Verifier,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    serve_with(listener, routes, verifier, &Options::default(), stop).await
}

/// As [`serve`], with these options.
///
/// # Errors
/// When the listener fails.
pub async fn serve_with(
    listener: TcpListener,
    routes: Routes,
    verifier: Verifier,
    options: &Options,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let mut server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_concurrent_streams(Some(1024));
    if let Some(age) = options.max_connection_age {
        server = server.max_connection_age(age).max_connection_age_grace(CLOSING_GRACE);
    }
    let (room, max_calls) = (Arc::new(Semaphore::new(options.max_calls)), options.max_calls);
    let left = room.clone();
    metrics::metrics().observe(
        "rollcall.rpc.server.under_way",
        "gRPC calls under way here, of the most that are answered at once.",
        &[],
        move || u64::try_from(max_calls.saturating_sub(left.available_permits())).unwrap_or(u64::MAX),
    );
    let router = server.layer(IncomingLayer { verifier, room }).add_routes(routes);
    let stopped = stop.cancelled_owned();
    match &options.tls {
        Some(tls) => router.serve_with_incoming_shutdown(tls.incoming(listener), stopped).await,
        None => {
            let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, stopped).await
        }
    }
}

/// Binds, with an error that names the address.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

#[derive(Clone)]
struct IncomingLayer {
    verifier: Verifier,
    room: Arc<Semaphore>,
}

impl Layer<Routes> for IncomingLayer {
    type Service = Incoming<<AuthLayer as Layer<Routes>>::Service>;

    fn layer(&self, inner: Routes) -> Self::Service {
        Incoming { inner: AuthLayer::new(self.verifier.clone()).layer(inner), room: Some(self.room.clone()) }
    }
}

/// Continues the caller's trace, keeps its deadline, and turns a panic of one call into an error of that call.
#[derive(Clone)]
struct Incoming<S> {
    inner: S,
    /// For calls at once; a process that calls itself needs no bound.
    room: Option<Arc<Semaphore>>,
}

impl<S> tower::Service<http::Request<Body>> for Incoming<S>
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let patience = match deadline_of(request.headers()) {
            Some(deadline) => Some(deadline),
            None if is_watch(&method) => None,
            None => Some(DEFAULT_DEADLINE),
        };
        let place = match self.place(&method) {
            Ok(place) => place,
            Err(NoRoom) => return Box::pin(std::future::ready(Ok(refusal()))),
        };
        let span = tracing::info_span!(
            "rpc",
            otel.name = %method,
            otel.kind = "server",
            rpc.system = "grpc",
            rpc.method = %method,
            tenant.id = tracing::field::Empty,
        );
        let started = Instant::now();
        telemetry::continue_trace(&span, request.headers());
        let called = method.clone();
        let answer = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        let guarded = async move {
            let _place = place;
            let outcome = match patience {
                Some(patience) => match tokio::time::timeout(patience, answer).await {
                    Ok(outcome) => outcome,
                    Err(_) => {
                        return Ok(
                            Status::deadline_exceeded("the call took longer than its deadline").into_http()
                        );
                    }
                },
                None => answer.await,
            };
            match outcome {
                Ok(answer) => answer,
                Err(_) => {
                    tracing::error!(rpc.method = %method, "{method} panicked; the call was answered with INTERNAL");
                    Ok(Status::internal("internal error").into_http())
                }
            }
        };
        let measured = async move {
            let outcome = guarded.await;
            if let Ok(answer) = &outcome {
                let code = answer.headers().get("grpc-status").and_then(|code| code.to_str().ok());
                metrics::metrics().rpc_call(&called, code.unwrap_or("0"), started.elapsed());
            }
            outcome
        };
        Box::pin(measured.instrument(span))
    }
}

impl<S> Incoming<S> {
    /// Room for one more call, or at once the answer that there is none: waiting in line would only make everybody late.
    /// Probes are always let in, or a busy server would be taken for a dead one.
    fn place(&self, method: &str) -> Result<Option<OwnedSemaphorePermit>, NoRoom> {
        match &self.room {
            Some(room) if !method.starts_with("grpc.health.") => {
                room.clone().try_acquire_owned().map(Some).map_err(|_| NoRoom)
            }
            _ => Ok(None),
        }
    }
}

struct NoRoom;

fn refusal() -> http::Response<Body> {
    metrics::metrics().rpc_refused();
    let mut refusal = Status::unavailable("this replica has too many calls under way").into_http();
    refusal.headers_mut().insert(REFUSED_UNREAD, http::HeaderValue::from_static("1"));
    refusal
}
