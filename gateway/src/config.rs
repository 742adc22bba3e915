//! Settings of the gateway.

use std::time::Duration;

use http::Uri;
use scim::discovery::Bulk;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::Semaphore;

/// Access tokens live no longer, so nothing is gained by remembering longer.
const LONGEST_TTL_SECONDS: u64 = 300;

/// Settings of the gateway. What is not named keeps its default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Scheme, host and port under which clients reach the gateway, e.g. `https://scim.example.com`; it stands in
    /// every `location` and `$ref`. Empty: taken from each request's `Host`.
    #[serde(deserialize_with = "public_url")]
    pub public_url: String,
    /// Believe `X-Forwarded-Proto` and `X-Forwarded-Host`. Only behind a proxy that sets them itself.
    pub trust_forwarded: bool,
    /// Largest request body, bytes. Larger ones get 413.
    pub body_limit_bytes: usize,
    /// Serve /metrics, without a token like the probes: it tells of routes and load, not of tenants. Off: 404.
    pub metrics: bool,
    /// Most connections at once. Further clients wait to be accepted.
    pub max_connections: u32,
    /// How long the head of a request may take to arrive, and how long a connection of HTTP/1.1 may be idle, milliseconds.
    pub header_timeout_ms: u64,
    /// Most operations of a bulk request. More get 413.
    pub bulk_max_operations: u32,
    /// Largest bulk request, bytes; never more than `body_limit_bytes`. Larger ones get 413.
    pub bulk_max_payload_bytes: usize,
    /// Refuse requests above a tenant's rate. Off: there is no limit, whatever a tenant's settings say.
    pub rate_limit: bool,
    /// Requests per second that a tenant may make for long, where its settings do not say otherwise; 1 to 1,000,000. Each operation
    /// of a bulk is one.
    pub rate_limit_per_second: u32,
    /// Requests that a tenant may make at once after a pause, where its settings do not say otherwise; 1 to 1,000,000.
    pub rate_limit_burst: u32,
    /// No tenant's rate is below this, whatever is set: Entra ID must be able to send 25 requests per second.
    pub rate_limit_floor_per_second: u32,
    /// Requests of a tenant that are under way at a time; more wait for their turn, a few seconds. Where its settings do
    /// not say otherwise.
    pub requests_under_way: u32,
    /// How long a resolved bearer token is remembered, seconds. The backstop where a revocation does not arrive.
    pub context_cache_ttl_seconds: u64,
    /// Resources in a page of a list when the client does not say how many.
    pub default_page_size: u32,
    /// Most resources in a page of a list; at most 1000.
    pub max_page_size: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_url: String::new(),
            trust_forwarded: false,
            body_limit_bytes: 4 * 1024 * 1024,
            metrics: true,
            max_connections: 10_000,
            header_timeout_ms: 10_000,
            bulk_max_operations: 1000,
            bulk_max_payload_bytes: 1024 * 1024,
            rate_limit: true,
            rate_limit_per_second: 300,
            rate_limit_burst: 1000,
            rate_limit_floor_per_second: 25,
            requests_under_way: 64,
            context_cache_ttl_seconds: 30,
            default_page_size: 100,
            max_page_size: 1000,
        }
    }
}

impl Config {
    pub(crate) fn context_cache_ttl(&self) -> Duration {
        Duration::from_secs(self.context_cache_ttl_seconds.min(LONGEST_TTL_SECONDS))
    }

    /// Never more than membership answers in one batch of `ListGroupsOfUsers`.
    pub(crate) fn max_page_size(&self) -> i64 {
        i64::from(self.max_page_size.clamp(1, 1000))
    }

    pub(crate) fn max_connections(&self) -> usize {
        usize::try_from(self.max_connections).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS)
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms.max(1))
    }

    /// The limits of bulk, as /ServiceProviderConfig publishes them.
    pub(crate) fn bulk(&self) -> Bulk {
        let bytes = self.bulk_max_payload_bytes.min(self.body_limit_bytes);
        Bulk {
            max_operations: u64::from(self.bulk_max_operations),
            max_payload_size: u64::try_from(bytes).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn default_page_size(&self) -> i64 {
        i64::from(self.default_page_size).clamp(1, self.max_page_size())
    }
}

/// A wrong one would be found out only by the clients that follow a `location`.
fn public_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let uri: Option<Uri> = text.parse().ok();
    let good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some()
            && uri.query().is_none()
    });
    if text.is_empty() || good {
        return Ok(text);
    }
    Err(D::Error::custom("public_url must be like `https://scim.example.com`, or empty"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_keeps_its_default_and_what_is_misspelt_is_refused() {
        let read = |json: &str| serde_json::from_str::<Config>(json);
        assert_eq!(read("{}").unwrap(), Config::default());
        assert_eq!(read(r#"{"rate_limit_burst":7}"#).unwrap().rate_limit_burst, 7);
        assert!(read(r#"{"rate_limits":7}"#).is_err());
        assert!(read(r#"{"public_url":"https://scim.example.com"}"#).is_ok());
        for bad in ["scim.example.com", "ftp://a", "https://", "https://a?b", "not a url"] {
            let error = read(&format!(r#"{{"public_url":"{bad}"}}"#)).unwrap_err().to_string();
            assert!(error.contains("public_url must be"), "{bad}: {error}");
        }
    }
}
