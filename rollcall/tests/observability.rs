//! What the operator sees of a distributed installation: one trace from the HTTP request through gRPC to SQL, sent to a collector over
//! OTLP, metrics of every process, and a log filter that changes while it runs. No personal data in any of it.

use std::path::Path;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use testkit::cluster::{Cluster, ROLES};
use testkit::collector::Collector;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// What must be nowhere but in the directory.
const PERSON: &str = "ada.lovelace@contoso.example";

/// The spans of our trace that have come in.
fn trace(collector: &Collector) -> Vec<(String, Span)> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut spans = collector.spans();
    spans.retain(|(_, span)| hex(&span.trace_id) == TRACE);
    spans
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    match span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value? {
        AnyValue::StringValue(text) => Some(text),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tree_from_http_to_sql_and_metrics_of_every_process() {
    let (collector, endpoint) = Collector::start().await.unwrap();
    let further = format!("telemetry.otlp_endpoint = \"{endpoint}\"\n");
    let binary = Path::new(env!("CARGO_BIN_EXE_rollcall"));
    let cluster =
        tokio::task::spawn_blocking(move || Cluster::start_with(binary, &further)).await.unwrap().unwrap();
    let tenant = cluster.tenant("traced", "entra").await.unwrap();
    let http = testkit::http_client();
    let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": PERSON});
    let answer = http
        .post(format!("{}/Users", tenant.base_url))
        .bearer_auth(&tenant.token)
        .header("content-type", "application/scim+json")
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);

    // From the SQL of identity up to the HTTP request that the gateway was sent.
    let until = Instant::now() + Duration::from_secs(30);
    let path = loop {
        let spans = trace(&collector);
        let parent =
            |span: &Span| spans.iter().find(|(_, other)| other.span_id == span.parent_span_id).cloned();
        let inserts = spans.iter().filter(|(service, span)| {
            service == "rollcall-identity" && attribute(span, "db.system").as_deref() == Some("postgresql")
        });
        let complete = inserts
            .map(|leaf| {
                let mut path = vec![leaf.clone()];
                while let Some(above) = parent(&path.last().unwrap().1) {
                    path.push(above);
                }
                path
            })
            .find(|path| {
                path.last().unwrap().0 == "rollcall-gateway"
                    && path.iter().any(|(_, span)| span.name.ends_with("CreateUser"))
            });
        match complete {
            Some(path) => break path,
            None => {
                let names: Vec<_> = spans.iter().map(|(service, span)| (service, &span.name)).collect();
                assert!(Instant::now() < until, "no path from SQL to HTTP in {names:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    let (_, root) = path.last().unwrap();
    assert_eq!(root.name, "POST /scim/v2/Users");
    let (_, call) = path.iter().find(|(_, span)| span.name.ends_with("CreateUser")).unwrap();
    for span in [root, call] {
        assert_eq!(attribute(span, "tenant.id").as_deref(), Some(tenant.tenant.id.as_str()), "{}", span.name);
    }
    for (service, span) in &collector.spans() {
        let text = format!("{span:?}");
        assert!(!text.contains(PERSON) && !text.contains(&tenant.token), "{service}: {text}");
    }

    for role in ROLES {
        let ops = cluster.ops(role, 0).unwrap();
        let get = async |path: &str| {
            http.get(format!("http://{ops}{path}")).send().await.unwrap().text().await.unwrap()
        };
        let metrics = get("/metrics").await;
        let expected: &[&str] = match role {
            "gateway" => &[
                "rollcall_redis_up{use=\"invalidations\"} 1",
                "rollcall_rpc_client_replicas{service=\"identity\"} 2",
                "\nhttp_server_active_requests ",
                "\nrollcall_provisioning_log_waiting ",
                "\nrollcall_provisioning_log_lag_seconds ",
            ],
            "token" => {
                &["rollcall_redis_up{use=\"commands\"} 1", "rollcall_db_connections_max{service=\"token\"} 8"]
            }
            "identity" => &[
                "rollcall_housekeeping_silence_seconds{task=\"identity_log\"}",
                "rollcall_housekeeping_silence_seconds{task=\"suspended_users\"}",
            ],
            "membership" => &["rollcall_housekeeping_silence_seconds{task=\"membership_log\"}"],
            _ => &["rollcall_housekeeping_silence_seconds{task=\"provisioning_log\"}"],
        };
        let of_services = ["\nrollcall_rpc_server_under_way ", "rollcall_db_connections{", "state=\"idle\""];
        let of_services = if role == "gateway" { &[] } else { of_services.as_slice() };
        for part in expected.iter().chain(of_services) {
            assert!(metrics.contains(part), "{role}: {part} is not in\n{metrics}");
        }
        assert!(
            !metrics.contains(&tenant.tenant.id) && !metrics.contains("traced"),
            "{role}: a tenant in\n{metrics}"
        );

        let put = async |filter: &str| {
            let request = http.put(format!("http://{ops}/debug/log")).body(filter.to_owned());
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(put("info,nonsense=loud").await, 400);
        assert_eq!(put("info,platform=debug").await, 200);
        assert!(get("/debug/log").await.contains("platform=debug"));
    }
    // The calls that were made are there, by method and code.
    let mut seen = String::new();
    for replica in 0..2 {
        let ops = cluster.ops("identity", replica).unwrap();
        seen += &http.get(format!("http://{ops}/metrics")).send().await.unwrap().text().await.unwrap();
    }
    let line = "rpc_grpc_status_code=\"0\",rpc_method=\"rollcall.identity.v1.Users/CreateUser\"";
    assert!(seen.contains(line), "{line} is not in\n{seen}");
}
