//! Slashes that administrators paste: a Tenant URL that ends with one makes its client ask for `/scim/v2//Users`, and some
//! write `/scim/v2/Users/`. Both mean `/scim/v2/Users`.
//!
//! It happens before routing, and so before the tenant and its dialect are known: for every dialect. No path here has empty
//! segments, so nothing else is meant by them.

use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;

/// The request without empty segments in its path.
pub(crate) fn normalise(mut request: Request) -> Request {
    if let Some(uri) = normalised(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// `None` when it is as it should be.
fn normalised(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if path == "/" || !(path.contains("//") || path.ends_with('/')) {
        return None;
    }
    let mut clean = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        clean.push('/');
        clean.push_str(segment);
    }
    if clean.is_empty() {
        clean.push('/');
    }
    if let Some(query) = uri.query() {
        clean.push('?');
        clean.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(clean.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_segments_go_and_the_rest_stays() {
        let clean = |uri: &str| normalised(&uri.parse().unwrap()).map(|uri| uri.to_string());
        for good in ["/", "/scim/v2/Users", "/scim/v2/Users?filter=a//b/", "/a%2F%2Fb", "http://h/a"] {
            assert_eq!(clean(good), None, "{good}");
        }
        for (sent, meant) in [
            ("/scim/v2//Users", "/scim/v2/Users"),
            ("/scim/v2/Users/", "/scim/v2/Users"),
            ("//scim///v2/Users//?a=b//", "/scim/v2/Users?a=b//"),
            ("///", "/"),
            ("http://h//a/%2F/", "http://h/a/%2F"),
        ] {
            assert_eq!(clean(sent).as_deref(), Some(meant), "{sent}");
        }
    }
}
