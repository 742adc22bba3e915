//! The headers of our own, in and out.

use http::{HeaderMap, HeaderName, HeaderValue};
use platform::clock::Clock;
use platform::ids::new_uuid;
use proto::common::v1::Warning;

/// Media type of every SCIM answer (RFC 7644, section 3.1).
pub(crate) const SCIM_JSON: &str = "application/scim+json";

/// Correlates a request with log lines, traces and the change log. Taken from the client if it is sane.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The same in every answer, under a name that says whose it is: what the provisioning log is searched by.
pub(crate) const ANSWERED_ID: HeaderName = HeaderName::from_static("rollcall-request-id");
/// The revision of the directory that includes the write this answers.
pub(crate) const REVISION: HeaderName = HeaderName::from_static("rollcall-revision");
/// One per thing that was skipped instead of refused: `attribute: what and why`.
pub(crate) const WARNING: HeaderName = HeaderName::from_static("rollcall-warning");

const MAX_REQUEST_ID_LENGTH: usize = 64;
const MAX_WARNINGS: usize = 10;
const MAX_WARNING_LENGTH: usize = 200;

/// The correlation id of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(pub(crate) String);

impl RequestId {
    /// The client's own id if it is 1 to 64 printable characters without spaces, else a new one.
    pub(crate) fn of(headers: &HeaderMap, clock: &Clock) -> Self {
        let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let sane = sent.filter(|id| {
            (1..=MAX_REQUEST_ID_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        Self(sane.map_or_else(|| new_uuid(clock).to_string(), str::to_owned))
    }
}

/// A value of ASCII as a header; `None` for what no header can carry.
pub(crate) fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}

/// Adds the warnings, bounded in number and length: proxies refuse answers with huge headers.
pub(crate) fn add_warnings(headers: &mut HeaderMap, warnings: &[Warning]) {
    for warning in warnings.iter().take(MAX_WARNINGS) {
        let text: String = format!("{}: {}", warning.attribute, warning.detail)
            .chars()
            .map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' })
            .take(MAX_WARNING_LENGTH)
            .collect();
        headers.extend(value(&text).map(|value| (WARNING, value)));
    }
    if warnings.len() > MAX_WARNINGS {
        let text = format!("and {} more", warnings.len() - MAX_WARNINGS);
        headers.extend(value(&text).map(|value| (WARNING, value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(sent: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(sent.as_bytes()).unwrap());
        RequestId::of(&headers, &Clock::system()).0
    }

    #[test]
    fn only_a_sane_request_id_is_taken_over() {
        assert_eq!(id_of("abc-123"), "abc-123");
        assert_eq!(id_of(&"x".repeat(64)), "x".repeat(64));
        for bad in ["", "with space", "ünïcode", &"x".repeat(65)] {
            let made = id_of(bad);
            assert_ne!(made, bad);
            assert_eq!(made.len(), 36, "a UUID: {made}");
        }
    }

    #[test]
    fn warnings_are_bounded_and_ascii() {
        let warning =
            Warning { attribute: "teams".into(), detail: format!("Müller\r\n{}", "x".repeat(500)) };
        let mut headers = HeaderMap::new();
        add_warnings(&mut headers, &vec![warning; 12]);
        let values: Vec<&HeaderValue> = headers.get_all(WARNING).iter().collect();
        assert_eq!(values.len(), 11);
        assert!(values[0].to_str().unwrap().starts_with("teams: M?ller??xxx"));
        assert_eq!(values[0].len(), MAX_WARNING_LENGTH);
        assert_eq!(values[10], "and 2 more");
    }
}
