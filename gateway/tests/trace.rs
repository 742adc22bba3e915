//! A trace that a client has begun goes on in the services. A process of its own: tracing is set up once.
#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, these are their helpers")]

#[path = "http/fake/mod.rs"]
#[expect(dead_code, reason = "the other tests need more of it")]
mod fake;

use platform::telemetry::{self, LogFormat};

use fake::{Fixture, USER};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_trace_goes_on_in_the_services() {
    // Nobody listens there; traces are made all the same, and nothing waits for them to be sent.
    let config = telemetry::Config {
        log: "warn,gateway=info,platform=info,opentelemetry=off".into(),
        log_format: LogFormat::Text,
        otlp_endpoint: "http://127.0.0.1:1".into(),
    };
    let _guard = telemetry::init(&config, "test").unwrap();
    let fixture = Fixture::new();
    let path = format!("/scim/v2/Users/{USER}");

    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    fixture.send_with("GET", &path, "", &[("traceparent", &traceparent)]).await;
    for rpc in ["GetUser", "ListGroupsOfUsers"] {
        let seen = fixture.one_call(rpc).metadata("traceparent").to_owned();
        assert!(seen.starts_with(&format!("00-{TRACE}-")) && seen.ends_with("-01"), "{rpc}: {seen}");
        assert!(!seen.contains("00f067aa0ba902b7"), "the parent there is our span: {seen}");
    }

    // What is no traceparent begins a trace of ours, and is not handed on.
    for bad in ["", "00-zz-00f067aa0ba902b7-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let fixture = Fixture::new();
        fixture.send_with("GET", &path, "", &[("traceparent", bad)]).await;
        let seen = fixture.one_call("GetUser").metadata("traceparent").to_owned();
        assert!(seen.len() == traceparent.len() && !seen.contains(TRACE), "{bad:?}: {seen}");
    }
}
