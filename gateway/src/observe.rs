//! One span, one log line and one measurement per request: method, route, status, tenant, request id, time taken.
//! Never the query string, a header or a body: they hold tokens and personal data. A trace that the client has begun
//! (`traceparent`, W3C Trace Context) goes on here and in the services.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use platform::metrics;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::App;
use crate::headers::{self, ANSWERED_ID, REQUEST_ID, RequestId};

/// Outermost of all: gives the request its id and writes down how it went.
pub(crate) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers(), &app.clock);
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| "(none)".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "http",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        http.request.method = %method,
        http.route = %route,
        http.response.status_code = Empty,
        request.id = %id.0,
        tenant.id = Empty,
    );
    platform::telemetry::continue_trace(&span, request.headers());
    request.extensions_mut().insert(id.clone());
    let started = Instant::now();
    // Also over when the client hangs up and this is dropped.
    let _under_way = metrics::metrics().http_request_under_way();
    let mut response = next.run(request).instrument(span.clone()).await;

    if let Some(value) = headers::value(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value.clone());
        response.headers_mut().insert(ANSWERED_ID, value);
    }
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    let took = started.elapsed();
    metrics::metrics().http_request(&method, &route, response.status(), took);
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        metrics::metrics().rate_limited();
    }
    let took_ms = took.as_secs_f64() * 1000.0;
    let _entered = span.enter();
    // Probes come every few seconds for ever.
    if matches!(route.as_str(), "/healthz" | "/readyz" | "/metrics") {
        tracing::debug!(status, took_ms, "{method} {route} {status}");
    } else {
        tracing::info!(status, took_ms, "{method} {route} {status}");
    }
    response
}

/// Notes the tenant on the request's span, once it is known.
pub(crate) fn note_tenant(tenant: platform::ids::TenantId) {
    Span::current().record("tenant.id", tracing::field::display(tenant));
}
