//! Everything there is of a tenant, as lines of JSON.

use axum::body::Body;
use http::StatusCode;
use http_body_util::BodyExt;
use scim::ErrorKind;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::fake::{ADMIN, Fixture};

const EXPORT: &str = "/admin/v1/tenants/contoso/export";

#[tokio::test]
async fn an_export_says_everything_and_that_it_is_complete() {
    let fixture = Fixture::new();
    let answer = fixture.send("GET", EXPORT, "").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/x-ndjson"));
    let lines: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["type"], &lines[0]["data"]["name"]), (&json!("tenant"), &json!("contoso")));
    let clients: Vec<&Value> = lines.iter().filter(|line| line["type"] == "client").collect();
    assert_eq!(clients.len(), 1, "that of another tenant, or of all, is not the tenant's");
    assert_eq!(clients[0]["data"]["name"], "billing");
    let last = lines.last().unwrap();
    let counts = json!({
        "tenant": 1, "credential": 1, "client": 1, "issuer": 1, "team": 1, "user": 2001, "group": 1, "member": 1,
    });
    assert_eq!(last, &json!({"type": "end", "data": {"counts": counts}}));
    assert_eq!(lines.len(), 2009, "one line for each, and the end");
}

#[tokio::test]
async fn an_export_that_breaks_off_does_not_look_complete() {
    let fixture = Fixture::new();
    *fixture.world.break_after.lock().unwrap() = Some(0);
    let request = http::Request::builder()
        .uri(EXPORT)
        .header("host", "scim.test")
        .header("authorization", format!("Bearer {ADMIN}"));
    let response = fixture.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let mut text = Vec::new();
    let broke = loop {
        match body.frame().await {
            Some(Ok(frame)) => text.extend_from_slice(&frame.into_data().unwrap()),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broke, "the connection must not end as if all had been said");
    assert!(!String::from_utf8(text).unwrap().contains(r#""type":"end""#));
}

#[tokio::test]
async fn what_fails_at_once_is_an_error() {
    let fixture = Fixture::new();
    fixture.fail("identity.ExportTenant", ErrorKind::Unavailable);
    let answer = fixture.send("GET", EXPORT, "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("content-type"), "application/problem+json");
}
