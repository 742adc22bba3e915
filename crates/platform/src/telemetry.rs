//! Logs and traces, set up once. Nothing else in the code names an exporter or a subscriber.

use std::io::IsTerminal;
use std::sync::OnceLock;

use opentelemetry::propagation::Extractor;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::error::{Error, Result};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// What to log and where traces go.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `tracing` filter directives, e.g. `info,identity=debug`.
    pub log: String,
    /// Form of the log lines on standard error.
    pub log_format: LogFormat,
    /// OTLP/gRPC endpoint for traces and metrics, e.g. `http://collector:4317`; empty means no export.
    pub otlp_endpoint: String,
}

/// The filter that is set, and whether it lets the spans of SQL statements through.
static FILTER: OnceLock<(reload::Handle<EnvFilter, Registry>, bool)> = OnceLock::new();

/// A span for each SQL statement is of use only in traces that are sent somewhere.
fn filter(directives: &str, statements: bool) -> Result<EnvFilter, ParseError> {
    let filter = EnvFilter::try_new(directives)?;
    let are_named = directives.split(',').any(|directive| {
        let target = directive.trim().split('=').next().unwrap_or_default();
        target == "sql" || target.starts_with("sea_orm::")
    });
    if statements || are_named {
        return Ok(filter);
    }
    Ok(filter.add_directive("sea_orm::database=warn".parse()?).add_directive("sql=warn".parse()?))
}

/// Keeps the exporter alive; [`Guard::shutdown`] flushes it.
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Guard {
    /// Sends what is still queued. To be called last.
    pub fn shutdown(self) {
        crate::metrics::metrics().flush();
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces could not be sent: {error}");
        }
    }
}

/// What is wrong with the configuration, with its key.
///
/// # Errors
/// A filter that does not parse, an endpoint that is no URI.
pub fn check(config: &Config) -> Result<(), String> {
    EnvFilter::try_new(&config.log).map_err(|error| format!("telemetry.log: {error}"))?;
    let endpoint = &config.otlp_endpoint;
    let uri: Option<http::Uri> = endpoint.parse().ok();
    if endpoint.is_empty() || uri.is_some_and(|uri| uri.scheme().is_some() && uri.authority().is_some()) {
        return Ok(());
    }
    Err(format!("telemetry.otlp_endpoint: `{endpoint}` must be like `http://collector:4317`, or empty"))
}

/// Sets up logging, tracing and W3C propagation for this process.
///
/// # Errors
/// A filter that does not parse, an endpoint that is no URI, or a second call in one process.
pub fn init(
    config: &Config,
    service: &'static str,
) -> std::result::Result<Guard, Box<dyn std::error::Error + Send + Sync>> {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let statements = !config.otlp_endpoint.is_empty();
    let filter = filter(&config.log, statements).map_err(|error| format!("telemetry.log: {error}"))?;
    let (filter, handle) = reload::Layer::new(filter);
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let lines = match config.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = match config.otlp_endpoint.as_str() {
        "" => None,
        endpoint => {
            crate::metrics::Metrics::export_to(endpoint);
            let exporter =
                opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
            let resource = Resource::builder().with_service_name(service).build();
            Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
        }
    };
    let spans = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("rollcall")));
    tracing_subscriber::registry().with(filter).with(lines).with(spans).try_init()?;
    let _ = FILTER.set((handle, statements));
    Ok(Guard { provider })
}

/// What is logged now, as filter directives; `None` when logging was not set up here.
pub fn log_filter() -> Option<String> {
    FILTER.get()?.0.with_current(ToString::to_string).ok()
}

/// Changes what is logged (and traced) from now on, until the process ends.
///
/// # Errors
/// `InvalidValue` for directives that do not parse.
pub fn set_log_filter(directives: &str) -> Result<()> {
    let (handle, statements) =
        FILTER.get().ok_or_else(|| Error::unavailable("logging was not set up in this process"))?;
    let filter = filter(directives, *statements)
        .map_err(|error| Error::invalid_value(format!("`{directives}` is no log filter: {error}")))?;
    handle.reload(filter).map_err(Error::internal)?;
    tracing::warn!("the log filter was changed to `{directives}`");
    Ok(())
}

/// Makes the span a part of the trace that the headers tell of (W3C `traceparent`), if they do. To be called before the
/// span is entered.
pub fn continue_trace(span: &Span, headers: &http::HeaderMap) {
    let parent =
        opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
    // An error means that tracing is off: then there is no trace to continue.
    let _ = span.set_parent(parent);
}

struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
