//! How gRPC calls travel: over a socket, or straight into a service of this process. A client cannot tell.
//!
//! A tonic client is generic over its transport and a tonic server is a tower service, so standalone needs no second
//! code path. What tonic does only for sockets (deadlines) or not at all (trace context) are layers here and in
//! [`crate::server`], around both kinds alike.

mod balance;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderValue;
use opentelemetry::propagation::Injector;
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use crate::error::Result;
use crate::tls::Tls;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// What every generated client runs on: `UsersClient::new(transport)`. Its error is a `Status`, which tonic hands
/// through to the caller (a `BoxError` here defeats rustc's `Send` inference in every caller).
pub type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// The largest message on the wire, bytes. Above the HTTP body limit, so that what the gateway admits fits.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;

/// The deadline of a call for which nobody set another.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(20);

/// Calls a service of this process: `service` is what [`crate::server::stack`] made.
pub fn in_process(service: Transport) -> Transport {
    client_stack(service)
}

/// Calls a service over the network: `http://host:port`. Connects on first use and again when the connection is lost.
///
/// # Errors
/// When the address is not a URI.
pub fn remote(address: &str) -> Result<Transport, tonic::transport::Error> {
    let channel = tonic::transport::Endpoint::from_shared(address.to_owned())?
        .connect_timeout(Duration::from_secs(3))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy();
    Ok(client_stack(BoxCloneSyncService::new(channel.map_err(|error| Status::from_error(Box::new(error))))))
}

/// How replicas are found and reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// For a new connection.
    pub connect_timeout: Duration,
    /// A silent connection is asked whether it is still there this often, and
    pub keep_alive_interval: Duration,
    /// is given up when it does not say so for this long.
    pub keep_alive_timeout: Duration,
    /// Names are looked up again this often, and when a replica is lost.
    pub resolve_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(3),
            resolve_every: Duration::from_secs(10),
        }
    }
}

/// Calls the replicas of a service: every address that the host of each of `addresses` (`http://host:port`, with `tls`
/// `https://host:port`) stands for is one. `name` is the service's, for logs and metrics. Connects on first use. Must be called
/// within a runtime.
///
/// # Errors
/// `InvalidValue` for an address that is none, or certificates that cannot be used.
pub fn balanced(
    name: &'static str,
    addresses: &[String],
    options: &Options,
    tls: Option<&Tls>,
) -> Result<Transport> {
    let replicas = balance::Balanced::new(name, addresses, options, tls)?;
    Ok(client_stack(BoxCloneSyncService::new(replicas)))
}

/// Whether [`balanced`] would take the address.
///
/// # Errors
/// `InvalidValue` that says what would be right.
pub fn check_address(address: &str, tls: bool) -> Result<()> {
    balance::check(address, tls)
}

/// A header of answers to calls that were refused before anybody looked at them: safe to send to another replica.
pub(crate) const REFUSED_UNREAD: &str = "rollcall-refused-unread";

/// Whether the RPC may be repeated when nobody knows how it went: it changes nothing, or (`Apply...`, `Purge...`) does the same
/// however often it is done. By its name, as contracts are written here.
pub(crate) fn is_repeatable(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    [
        "Get",
        "List",
        "Lookup",
        "Check",
        "BatchCheck",
        "Explain",
        "Resolve",
        "Watch",
        "Export",
        "Apply",
        "Purge",
    ]
    .iter()
    .any(|begins| method.starts_with(begins))
}

fn client_stack(inner: Transport) -> Transport {
    BoxCloneSyncService::new(Outgoing { inner })
}

/// Gives each call a deadline and the trace it belongs to.
#[derive(Clone)]
struct Outgoing {
    inner: Transport,
}

impl tower::Service<http::Request<Body>> for Outgoing {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let deadline = deadline_of(request.headers());
        if deadline.is_none() && !is_watch(request.uri().path()) {
            let value = HeaderValue::from_str(&format!("{}m", DEFAULT_DEADLINE.as_millis()));
            request
                .headers_mut()
                .insert("grpc-timeout", value.expect("digits and a letter are a header value"));
        }
        let context = tracing::Span::current().context();
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut Headers(request.headers_mut()));
        });
        let patience = deadline_of(request.headers());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let Some(patience) = patience else { return answer.await };
            match tokio::time::timeout(patience, answer).await {
                Ok(answer) => answer,
                Err(_) => Ok(Status::deadline_exceeded("the call took longer than its deadline").into_http()),
            }
        })
    }
}

/// A stream that is meant to stay open has no deadline: its RPC is named `Watch…`.
pub(crate) fn is_watch(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|method| method.starts_with("Watch"))
}

/// The `grpc-timeout` header: up to eight digits and a unit.
pub(crate) fn deadline_of(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

struct Headers<'a>(&'a mut http::HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(key), HeaderValue::from_str(&value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_in_every_unit() {
        let read = |text: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            deadline_of(&headers)
        };
        assert_eq!(read("20000m"), Some(Duration::from_secs(20)));
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("123456789S"), None);
        assert_eq!(read("S"), None);
        assert_eq!(read("5x"), None);
    }

    #[test]
    fn only_what_does_no_harm_is_repeated() {
        for method in ["Users/GetUser", "Users/ListUsers", "Memberships/BatchCheck", "Credentials/Resolve"] {
            assert!(is_repeatable(&format!("/rollcall.x.v1.{method}")), "{method}");
        }
        for method in ["Users/CreateUser", "Users/PatchUser", "OAuth/IssueToken", "Users/Listen/", ""] {
            assert!(!is_repeatable(&format!("/rollcall.x.v1.{method}")), "{method}");
        }
    }

    #[test]
    fn only_watches_are_without_a_deadline() {
        assert!(is_watch("/rollcall.identity.v1.Changes/WatchChanges"));
        assert!(!is_watch("/rollcall.identity.v1.Users/GetUser"));
    }
}
