//! How a gRPC service is served: one stack of layers, in process or on a socket; health, reflection, graceful shutdown.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};
use tracing::Instrument;

use crate::auth::{AuthLayer, Verifier};
use crate::telemetry;
use crate::transport::{DEFAULT_DEADLINE, Transport, deadline_of, is_watch};

/// The services behind their layers, for [`crate::transport::in_process`].
pub fn stack(routes: Routes, verifier: Verifier) -> Transport {
    let service = Incoming { inner: AuthLayer::new(verifier).layer(routes) };
    BoxCloneSyncService::new(service.map_err(|never| match never {}))
}

/// Health and reflection (v1, and v1alpha for older tools) of all contracts, besides `routes`.
///
/// # Errors
/// When the embedded descriptors do not decode: a broken build.
pub async fn with_health_and_reflection(
    mut routes: Routes,
    services: &[&'static str],
) -> Result<Routes, tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in services {
        reporter.set_service_status(*service, tonic_health::ServingStatus::Serving).await;
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
    Ok(routes)
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
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_concurrent_streams(Some(1024))
        .layer(IncomingLayer { verifier })
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
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
}

impl Layer<Routes> for IncomingLayer {
    type Service = Incoming<<AuthLayer as Layer<Routes>>::Service>;

    fn layer(&self, inner: Routes) -> Self::Service {
        Incoming { inner: AuthLayer::new(self.verifier.clone()).layer(inner) }
    }
}

/// Continues the caller's trace, keeps its deadline, and turns a panic of one call into an error of that call.
#[derive(Clone)]
struct Incoming<S> {
    inner: S,
}

impl<S> tower::Service<http::Request<Body>> for Incoming<S>
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send,
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
        let span = tracing::info_span!("rpc", otel.name = %method, otel.kind = "server", rpc.system = "grpc");
        telemetry::continue_trace(&span, request.headers());
        let answer = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        let guarded = async move {
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
        Box::pin(guarded.instrument(span))
    }
}
