//! Probes: does the process live, do the services behind it answer, and how does it fare (for Prometheus).

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use platform::metrics;
use platform::transport::Transport;
use serde_json::{Map, json};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::App;
use crate::error::{self, Result};

/// A probe that waits longer than the prober's own time-out is of no use.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(prometheus))
}

async fn prometheus(State(app): State<App>) -> Result<Response> {
    if !app.config.metrics {
        return Err(error::no_such_endpoint().await);
    }
    let content_type = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, metrics::metrics().text()?).into_response())
}

async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

async fn readyz(State(app): State<App>) -> Response {
    let [a, b, c] = &app.clients.health;
    let answers = futures::join!(answers(&a.1), answers(&b.1), answers(&c.1));
    let mut services = Map::new();
    for (name, answered) in [(a.0, answers.0), (b.0, answers.1), (c.0, answers.2)] {
        services.insert(name.to_owned(), json!(if answered { "ok" } else { "unavailable" }));
    }
    let ready = services.values().all(|state| state == "ok");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let state = if ready { "ready" } else { "not ready" };
    (status, Json(json!({"status": state, "services": services}))).into_response()
}

async fn answers(client: &HealthClient<Transport>) -> bool {
    let mut client = client.clone();
    let check = client.check(HealthCheckRequest { service: String::new() });
    let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, check).await else { return false };
    answer.get_ref().status() == ServingStatus::Serving
}
