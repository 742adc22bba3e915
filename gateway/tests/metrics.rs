//! What Prometheus reads. A process of its own: the numbers are the process's.
#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, these are their helpers")]

#[path = "http/fake/mod.rs"]
#[expect(dead_code, reason = "the other tests need more of it")]
mod fake;

use gateway::Config;
use http::StatusCode;
use proto::common::v1::Dialect;

use fake::{Fixture, USER};

#[tokio::test]
async fn requests_are_counted_by_method_route_and_class_and_nothing_else() {
    let fixture = Fixture::new();
    let bare = [("authorization", "")];
    for uri in
        [format!("/scim/v2/Users/{USER}"), "/scim/v2/Users/unknown".to_owned(), "/nowhere/secret".to_owned()]
    {
        fixture.send("GET", &uri, "").await;
    }
    fixture.send_with("GET", "/scim/v2/Users", "", &bare).await;
    fixture.send("BREW", "/scim/v2/Users", "").await;
    let answer = fixture.send_with("GET", "/metrics", "", &bare).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let count = |method: &str, route: &str, class: &str| {
        let mut lines =
            answer.body.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count"));
        let labels = [
            format!(r#"http_request_method="{method}""#),
            format!(r#"http_route="{route}""#),
            format!(r#"status_class="{class}""#),
        ];
        let line = lines.find(|line| labels.iter().all(|label| line.contains(label.as_str())));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or("none").to_owned()
    };
    assert_eq!(count("GET", "/scim/v2/Users/{id}", "2xx"), "1", "{}", answer.body);
    assert_eq!(count("GET", "/scim/v2/Users/{id}", "4xx"), "1");
    assert_eq!(count("GET", "/scim/v2/Users", "4xx"), "1");
    assert_eq!(count("_OTHER", "/scim/v2/Users", "4xx"), "1");
    assert_eq!(count("GET", "(none)", "4xx"), "1");
    for private in [USER, "secret", "unknown", &fixture.tenant.to_string(), "BREW"] {
        assert!(!answer.body.contains(private), "{private}: {}", answer.body);
    }

    let silent = Fixture::with(Config { metrics: false, ..Config::default() }, Dialect::Entra);
    assert_eq!(silent.send_with("GET", "/metrics", "", &bare).await.status, StatusCode::NOT_FOUND);
}
