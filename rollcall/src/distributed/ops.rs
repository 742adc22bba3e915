//! The port of every distributed process that is for the operator: probes, metrics, the log filter. It asks for no token, so it must
//! not be reachable from outside (the chart's NetworkPolicies see to that).
//!
//! | | |
//! |---|---|
//! | `GET /healthz` | 200 as long as the process lives |
//! | `GET /readyz` | 200 when it takes calls: its database answers, and it is not about to stop |
//! | `GET /metrics` | for Prometheus |
//! | `GET`, `PUT /debug/log` | what is logged: filter directives, as text |

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use platform::{metrics, telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Whether the process takes calls. Not, as long as nobody has said how that is found out.
#[derive(Clone, Default)]
pub(super) struct Readiness {
    tell: Arc<OnceLock<Box<dyn Fn() -> bool + Send + Sync>>>,
}

impl Readiness {
    /// From now on it is what `tell` says.
    pub(super) fn is(&self, tell: impl Fn() -> bool + Send + Sync + 'static) {
        if self.tell.set(Box::new(tell)).is_err() {
            tracing::error!("readiness was set twice; the first stays");
        }
    }

    fn get(&self) -> bool {
        self.tell.get().is_some_and(|tell| tell())
    }
}

/// Serves until `stop`.
pub(super) async fn serve(listener: TcpListener, readiness: Readiness, stop: CancellationToken) {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(prometheus))
        .route("/debug/log", get(log_filter).put(set_log_filter))
        .with_state(readiness);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the ops server failed: {error}");
    }
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    if readiness.get() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
}

async fn prometheus() -> Response {
    let content_type = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match metrics::metrics().text() {
        Ok(text) => (content_type, text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn log_filter() -> String {
    format!("{}\n", telemetry::log_filter().unwrap_or_default())
}

async fn set_log_filter(directives: String) -> Response {
    match telemetry::set_log_filter(directives.trim()) {
        Ok(()) => format!("{}\n", directives.trim()).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}
