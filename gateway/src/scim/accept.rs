//! `Accept` (RFC 7644, section 3.8). The answer is `application/scim+json` in any case: clients name all sorts of types and
//! take it. Only dialect `rfc` answers 406 where the client rules it out.

use ::scim::ErrorKind;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::ACCEPT;
use proto::common::v1::Dialect;

use crate::error::Error;
use crate::tenant::Provisioner;

/// Runs behind `tenant::require_tenant`, which knows the dialect.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let strict = request
        .extensions()
        .get::<Provisioner>()
        .is_some_and(|provisioner| provisioner.tenant.dialect == Dialect::Rfc);
    if strict && !is_acceptable(request.headers()) {
        let detail =
            "Accept must include application/scim+json or application/json: nothing else is spoken here";
        return Error::new(ErrorKind::NotAcceptable, detail).into_response();
    }
    next.run(request).await
}

/// No Accept at all accepts everything (RFC 9110, section 12.5.1).
fn is_acceptable(headers: &HeaderMap) -> bool {
    let mut ranges = headers.get_all(ACCEPT).iter().peekable();
    if ranges.peek().is_none() {
        return true;
    }
    ranges.flat_map(|value| value.to_str().unwrap_or_default().split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let known = ["application/scim+json", "application/json", "application/*", "*/*"];
        let refused = parts.any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            name.eq_ignore_ascii_case("q") && value.parse::<f32>() == Ok(0.0)
        });
        known.contains(&essence.as_str()) && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_rules_json_out_is_not_acceptable() {
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, value.parse().unwrap());
            is_acceptable(&headers)
        };
        assert!(is_acceptable(&HeaderMap::new()));
        for good in [
            "*/*",
            "application/*;q=0.1",
            "text/html, Application/SCIM+JSON; charset=utf-8",
            "application/json",
            "application/scim+json;q=0, */*",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in ["text/html", "application/xml, text/*", "application/json;q=0", ""] {
            assert!(!check(bad), "{bad}");
        }
    }
}
