//! Numbers about this process, as Prometheus reads them. One registry for all of it: in standalone that is every service.
//!
//! # Adding one
//! An instrument in [`Metrics`] and a method that records it. Labels are bounded: routes and classes, never tenants, ids or
//! what a client can choose. Names follow OpenTelemetry's semantic conventions.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;

/// Upper bounds, seconds: those that the semantic conventions advise.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The metrics of this process.
pub struct Metrics {
    registry: prometheus::Registry,
    /// Keeps the instruments alive.
    _provider: Option<SdkMeterProvider>,
    http_requests: Option<Histogram<f64>>,
}

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::new)
}

impl Metrics {
    fn new() -> Self {
        let registry = prometheus::Registry::new();
        // Prometheus knows by itself whom it asks, and there is one scope.
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build();
        let provider = match exporter {
            Ok(exporter) => SdkMeterProvider::builder().with_reader(exporter).build(),
            // No numbers are no reason not to serve.
            Err(error) => {
                tracing::error!(%error, "metrics cannot be set up: {error}");
                return Self { registry, _provider: None, http_requests: None };
            }
        };
        let http_requests = provider
            .meter("rollcall")
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("How long requests took, by method, route and class of the answer's status.")
            .with_boundaries(SECONDS.to_vec())
            .build();
        Self { registry, _provider: Some(provider), http_requests: Some(http_requests) }
    }

    /// One HTTP request: its rate, its errors and its duration in one. `route` is the template (`/scim/v2/Users/{id}`), never
    /// the path.
    pub fn http_request(&self, method: &http::Method, route: &str, status: http::StatusCode, took: Duration) {
        let Some(http_requests) = &self.http_requests else { return };
        let labels = [
            KeyValue::new("http.request.method", method_label(method)),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("status_class", class(status)),
        ];
        http_requests.record(took.as_secs_f64(), &labels);
    }

    /// All of them in the text form of Prometheus (`text/plain; version=0.0.4`).
    ///
    /// # Errors
    /// When a metric cannot be written: a bug.
    pub fn text(&self) -> crate::Result<String> {
        prometheus::TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(crate::Error::internal)
    }
}

/// A client can make methods up.
fn method_label(method: &http::Method) -> &'static str {
    for known in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        if method == known {
            return known;
        }
    }
    "_OTHER"
}

fn class(status: http::StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_in_the_text() {
        let metrics = Metrics::new();
        let (get, odd) = (http::Method::GET, http::Method::from_bytes(b"X-123").unwrap());
        metrics.http_request(&get, "/a/{id}", http::StatusCode::OK, Duration::from_millis(30));
        metrics.http_request(&get, "/a/{id}", http::StatusCode::NO_CONTENT, Duration::from_millis(60));
        metrics.http_request(&odd, "/a/{id}", http::StatusCode::BAD_GATEWAY, Duration::from_secs(60));
        let text = metrics.text().unwrap();
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("http_server_request_duration_seconds")).collect();
        let value = |part: &[&str]| {
            let line = lines.iter().find(|line| part.iter().all(|part| line.contains(part)));
            line.unwrap_or_else(|| panic!("{part:?} in {text}")).rsplit(' ').next().unwrap().to_owned()
        };
        assert_eq!(value(&["_count", r#"http_request_method="GET""#, r#"status_class="2xx""#]), "2");
        assert_eq!(value(&["_bucket", r#"http_request_method="GET""#, r#"le="0.05""#]), "1");
        assert_eq!(value(&["_count", r#"http_request_method="_OTHER""#, r#"status_class="5xx""#]), "1");
        assert!(lines.iter().all(|line| line.contains(r#"http_route="/a/{id}""#)), "{text}");
    }
}
