//! Numbers about this process, as Prometheus reads them. One registry for all of it: in standalone that is every service.
//!
//! # Adding one
//! An instrument in [`Metrics`] and a method that records it. Labels are bounded: routes and classes, never tenants, ids or
//! what a client can choose. Names follow OpenTelemetry's semantic conventions.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};

/// Upper bounds, seconds: those that the semantic conventions advise.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The metrics of this process.
pub struct Metrics {
    registry: prometheus::Registry,
    /// Keeps the instruments alive.
    provider: Option<SdkMeterProvider>,
    instruments: Option<Instruments>,
    /// There once somebody serves HTTP.
    http_under_way: OnceLock<Arc<AtomicI64>>,
}

/// A request that is being answered, until it is dropped.
#[must_use = "the request is over when this is dropped"]
pub struct UnderWay(Arc<AtomicI64>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Something that is done regularly, and told when it went well.
pub struct Housekeeping {
    last: Arc<Mutex<Instant>>,
}

impl Housekeeping {
    /// It went well, now.
    pub fn done(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

struct Instruments {
    meter: Meter,
    http_requests: Histogram<f64>,
    rpc_calls: Histogram<f64>,
    rpc_refused: Counter<u64>,
    rpc_retries: Counter<u64>,
    rpc_replicas: Gauge<u64>,
    redis_up: Gauge<u64>,
    redis_fallbacks: Counter<u64>,
    shared_cache: Counter<u64>,
    context_cache: Counter<u64>,
    rate_limited: Counter<u64>,
    provisioning_log_dropped: Counter<u64>,
    tls_reload_failures: Counter<u64>,
}

/// Set before the first metric is recorded: where they are sent besides being there to be fetched.
static OTLP_ENDPOINT: OnceLock<String> = OnceLock::new();

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::new)
}

fn key_values(labels: &[(&'static str, String)]) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| KeyValue::new(*name, value.clone())).collect()
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
        let exporter = match exporter {
            Ok(exporter) => exporter,
            // No numbers are no reason not to serve.
            Err(error) => {
                tracing::error!(%error, "metrics cannot be set up: {error}");
                return Self { registry, provider: None, instruments: None, http_under_way: OnceLock::new() };
            }
        };
        let mut builder = SdkMeterProvider::builder().with_reader(exporter);
        if let Some(endpoint) = OTLP_ENDPOINT.get() {
            let sender =
                opentelemetry_otlp::MetricExporter::builder().with_tonic().with_endpoint(endpoint).build();
            match sender {
                Ok(sender) => builder = builder.with_reader(PeriodicReader::builder(sender).build()),
                Err(error) => tracing::error!(%error, "metrics cannot be sent to {endpoint}: {error}"),
            }
        }
        let provider = builder.build();
        let meter = provider.meter("rollcall");
        crate::process::observe(&meter);
        let instruments = Instruments::new(meter);
        // Prometheus sees no increase in what was not there before.
        for counter in
            [&instruments.rpc_refused, &instruments.rate_limited, &instruments.provisioning_log_dropped]
        {
            counter.add(0, &[]);
        }
        let instruments = Some(instruments);
        Self { registry, provider: Some(provider), instruments, http_under_way: OnceLock::new() }
    }

    /// Sends metrics to this OTLP/gRPC endpoint too. Without effect once a metric was recorded.
    pub(crate) fn export_to(endpoint: &str) {
        let _ = OTLP_ENDPOINT.set(endpoint.to_owned());
    }

    /// Sends what is not sent yet, when there is somebody to send it to.
    pub(crate) fn flush(&self) {
        if OTLP_ENDPOINT.get().is_some()
            && let Some(provider) = &self.provider
            && let Err(error) = provider.force_flush()
        {
            tracing::warn!(%error, "the last metrics could not be sent: {error}");
        }
    }

    /// A number that is read whenever somebody asks for the metrics: `read` must be quick. Once for each `name` and `labels`.
    pub fn observe(
        &self,
        name: &'static str,
        description: &'static str,
        labels: &[(&'static str, String)],
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let Some(instruments) = &self.instruments else { return };
        let labels = key_values(labels);
        instruments
            .meter
            .u64_observable_gauge(name)
            .with_description(description)
            .with_callback(move |observer| observer.observe(read(), &labels))
            .build();
    }

    /// As [`Metrics::observe`], of what only grows; Prometheus is told of it as `…_total`.
    pub fn observe_total(
        &self,
        name: &'static str,
        description: &'static str,
        labels: &[(&'static str, String)],
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let Some(instruments) = &self.instruments else { return };
        let labels = key_values(labels);
        instruments
            .meter
            .u64_observable_counter(name)
            .with_description(description)
            .with_callback(move |observer| observer.observe(read(), &labels))
            .build();
    }

    /// As [`Metrics::observe`], of a time; Prometheus is told of it in seconds, as `…_seconds`.
    pub fn observe_seconds(
        &self,
        name: &'static str,
        description: &'static str,
        labels: &[(&'static str, String)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let Some(instruments) = &self.instruments else { return };
        let labels = key_values(labels);
        instruments
            .meter
            .f64_observable_gauge(name)
            .with_unit("s")
            .with_description(description)
            .with_callback(move |observer| observer.observe(read(), &labels))
            .build();
    }

    /// Tells for how long the housekeeping called `task` has not gone well; from now on, and again from each time that it did.
    pub fn housekeeping(&self, task: &'static str) -> Housekeeping {
        let last = Arc::new(Mutex::new(Instant::now()));
        let observed = last.clone();
        self.observe_seconds(
            "rollcall.housekeeping.silence",
            "Since when the removal of what is past its time has not gone well, by task.",
            &[("task", task.to_owned())],
            move || observed.lock().unwrap_or_else(PoisonError::into_inner).elapsed().as_secs_f64(),
        );
        Housekeeping { last }
    }

    /// Counts one HTTP request among those under way for as long as what it returns is held.
    pub fn http_request_under_way(&self) -> UnderWay {
        let count = self.http_under_way.get_or_init(|| {
            let count = Arc::new(AtomicI64::new(0));
            let observed = count.clone();
            if let Some(instruments) = &self.instruments {
                instruments
                    .meter
                    .i64_observable_up_down_counter("http.server.active_requests")
                    .with_description("HTTP requests under way, until their answer begins.")
                    .with_callback(move |observer| observer.observe(observed.load(Ordering::Relaxed), &[]))
                    .build();
            }
            count
        });
        count.fetch_add(1, Ordering::Relaxed);
        UnderWay(count.clone())
    }

    /// One gRPC call that was answered here. `method` is `package.Service/Method`.
    pub fn rpc_call(&self, method: &str, code: &str, took: Duration) {
        let Some(instruments) = &self.instruments else { return };
        // A caller can make methods up; those are UNIMPLEMENTED.
        let method = if code == "12" { "(unknown)" } else { method };
        let labels = [
            KeyValue::new("rpc.method", method.to_owned()),
            KeyValue::new("rpc.grpc.status_code", code.to_owned()),
        ];
        instruments.rpc_calls.record(took.as_secs_f64(), &labels);
    }

    /// One gRPC call that was refused because too many were under way.
    pub fn rpc_refused(&self) {
        if let Some(instruments) = &self.instruments {
            instruments.rpc_refused.add(1, &[]);
        }
    }

    /// One call to `service` that was sent again.
    pub fn rpc_retry(&self, service: &'static str) {
        if let Some(instruments) = &self.instruments {
            instruments.rpc_retries.add(1, &[KeyValue::new("service", service)]);
        }
    }

    /// How many replicas of `service` are known.
    pub fn rpc_replicas(&self, service: &'static str, count: usize) {
        if let Some(instruments) = &self.instruments {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            let labels = [KeyValue::new("service", service)];
            instruments.rpc_replicas.record(count, &labels);
            instruments.rpc_retries.add(0, &labels);
        }
    }

    /// Whether Redis answers, for this use of it: `invalidations`, `limits`, `cache`.
    pub fn redis_up(&self, usage: &'static str, up: bool) {
        if let Some(instruments) = &self.instruments {
            instruments.redis_up.record(u64::from(up), &[KeyValue::new("use", usage)]);
        }
    }

    /// So many times something was done without Redis that is done with it otherwise. None, to begin with.
    pub fn redis_fallbacks(&self, usage: &'static str, count: u64) {
        if let Some(instruments) = &self.instruments {
            instruments.redis_fallbacks.add(count, &[KeyValue::new("use", usage)]);
        }
    }

    /// One question to the cache that gateways share.
    pub fn shared_cache(&self, hit: bool) {
        if let Some(instruments) = &self.instruments {
            let outcome = if hit { "hit" } else { "miss" };
            instruments.shared_cache.add(1, &[KeyValue::new("outcome", outcome)]);
        }
    }

    /// One bearer token that this gateway was shown: whether it remembered what that stands for.
    pub fn context_cache(&self, hit: bool) {
        if let Some(instruments) = &self.instruments {
            let outcome = if hit { "hit" } else { "miss" };
            instruments.context_cache.add(1, &[KeyValue::new("outcome", outcome)]);
        }
    }

    /// One request refused because its tenant asked too much.
    pub fn rate_limited(&self) {
        if let Some(instruments) = &self.instruments {
            instruments.rate_limited.add(1, &[]);
        }
    }

    /// So many exchanges are missing from the provisioning log.
    pub fn provisioning_log_dropped(&self, count: u64) {
        if let Some(instruments) = &self.instruments {
            instruments.provisioning_log_dropped.add(count, &[]);
        }
    }

    /// So many times certificates on disk were not those in use, and could not be used.
    pub fn tls_reload_failed(&self, count: u64) {
        if let Some(instruments) = &self.instruments {
            instruments.tls_reload_failures.add(count, &[]);
        }
    }

    /// One HTTP request: its rate, its errors and its duration in one. `route` is the template (`/scim/v2/Users/{id}`), never
    /// the path.
    pub fn http_request(&self, method: &http::Method, route: &str, status: http::StatusCode, took: Duration) {
        let Some(instruments) = &self.instruments else { return };
        let labels = [
            KeyValue::new("http.request.method", method_label(method)),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("status_class", class(status)),
        ];
        instruments.http_requests.record(took.as_secs_f64(), &labels);
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

impl Instruments {
    fn new(meter: Meter) -> Self {
        let seconds = |name: &'static str, description: &'static str| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description)
                .with_boundaries(SECONDS.to_vec())
                .build()
        };
        let count = |name: &'static str, description: &'static str| {
            meter.u64_counter(name).with_description(description).build()
        };
        let gauge = |name: &'static str, description: &'static str| {
            meter.u64_gauge(name).with_description(description).build()
        };
        Self {
            http_requests: seconds(
                "http.server.request.duration",
                "How long requests took, by method, route and class of the answer's status.",
            ),
            rpc_calls: seconds(
                "rpc.server.duration",
                "How long gRPC calls took that were answered here, by method and code.",
            ),
            rpc_refused: count(
                "rollcall.rpc.server.refused",
                "gRPC calls refused because too many were under way.",
            ),
            rpc_retries: count("rollcall.rpc.client.retries", "gRPC calls sent again, by service called."),
            rpc_replicas: gauge("rollcall.rpc.client.replicas", "Replicas known, by service called."),
            redis_up: gauge("rollcall.redis.up", "Whether Redis answers (1) or not (0), by use."),
            redis_fallbacks: count(
                "rollcall.redis.fallbacks",
                "Times that something was done without Redis, by use.",
            ),
            shared_cache: count(
                "rollcall.shared_cache.requests",
                "Questions to the cache of resolved tokens that gateways share, by outcome.",
            ),
            context_cache: count(
                "rollcall.context_cache.requests",
                "Bearer tokens shown to this gateway, by whether it remembered what they stand for.",
            ),
            rate_limited: count(
                "rollcall.rate_limited",
                "Requests refused because their tenant asked too much (429).",
            ),
            provisioning_log_dropped: count(
                "rollcall.provisioning_log.dropped",
                "Exchanges that are missing from the provisioning log, for want of room or because the journal refused them.",
            ),
            tls_reload_failures: count(
                "rollcall.tls.reload.failures",
                "Looks at the certificates' files that found others than those in use, which cannot be used.",
            ),
            meter,
        }
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

    #[test]
    fn what_is_under_way_is_counted_until_it_is_over() {
        let metrics = Metrics::new();
        assert!(!metrics.text().unwrap().contains("active_requests"));
        let one = metrics.http_request_under_way();
        let other = metrics.http_request_under_way();
        assert!(metrics.text().unwrap().contains("\nhttp_server_active_requests 2\n"));
        drop((one, other));
        assert!(metrics.text().unwrap().contains("\nhttp_server_active_requests 0\n"));
    }

    #[test]
    fn housekeeping_is_silent_since_it_last_went_well() {
        let metrics = Metrics::new();
        let log = metrics.housekeeping("log");
        let _other = metrics.housekeeping("other");
        let silence = |task: &str| -> f64 {
            let text = metrics.text().unwrap();
            let begins = format!("rollcall_housekeeping_silence_seconds{{task=\"{task}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&begins));
            line.unwrap_or_else(|| panic!("{task} in {text}")).parse().unwrap()
        };
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        *log.last.lock().unwrap() = long_ago;
        assert!(silence("log") >= 60.0 && silence("other") < 60.0);
        log.done();
        assert!(silence("log") < 60.0);
    }
}
