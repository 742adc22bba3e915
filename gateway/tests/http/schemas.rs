//! A tenant's extension schemas: in the admin API, in discovery, in what is shown of a user.

use std::time::Duration;

use http::StatusCode;
use proto::identity::v1::Extension;
use scim::ErrorKind;
use serde_json::{Value, json};

use crate::fake::{Fixture, USER};

const URN: &str = "urn:ietf:params:scim:schemas:extension:hr:2.0:User";

fn document() -> Value {
    json!({ "id": URN, "name": "HR", "attributes": [
        { "name": "badge" }, { "name": "level", "type": "integer", "returned": "request" },
    ] })
}

fn define(fixture: &Fixture) {
    let extension =
        Extension { urn: URN.into(), document: document().to_string().into(), ..Extension::default() };
    *fixture.world.extensions.lock().unwrap() = vec![extension];
}

/// The user as stored: with the extension, and with one that is not defined any more.
fn store(fixture: &Fixture) {
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:gone:User"], "userName": "anna",
        URN: { "badge": "B", "level": 7, "hidden": true }, "urn:gone:User": { "x": 1 },
    });
    fixture.world.user.lock().unwrap().json = user.to_string().into();
}

async fn shown(fixture: &Fixture, query: &str) -> Value {
    let answer = fixture.send("GET", &format!("/scim/v2/Users/{USER}{query}"), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()
}

#[tokio::test]
async fn a_user_is_shown_by_the_tenants_schema() {
    let fixture = Fixture::new();
    define(&fixture);
    store(&fixture);
    let user = shown(&fixture, "").await;
    assert_eq!(user["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:User", URN]));
    assert_eq!((&user[URN], user.get("urn:gone:User")), (&json!({ "badge": "B" }), None));
    assert_eq!(shown(&fixture, &format!("?attributes={URN}:level")).await[URN], json!({ "level": 7 }));
    assert_eq!(shown(&fixture, &format!("?excludedAttributes={URN}:badge")).await.get(URN), None);
    assert_eq!(shown(&fixture, &format!("?attributes={}", URN.to_uppercase())).await[URN]["badge"], "B");
    assert_eq!(fixture.calls("ListExtensions").len(), 1, "it is remembered");
}

#[tokio::test]
async fn discovery_tells_what_the_tenant_has() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.send("GET", &format!("/scim/v2/Schemas/{URN}"), "").await.status,
        StatusCode::NOT_FOUND
    );
    let body = json!({ "schema": document(), "required": true }).to_string();
    let answer = fixture.send("PUT", &format!("/admin/v1/tenants/contoso/schemas/{URN}"), &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    // At once, though the tenant was asked about a moment ago.
    let schema = fixture.send("GET", &format!("/scim/v2/Schemas/{}", URN.to_lowercase()), "").await.json();
    assert_eq!((&schema["id"], &schema["attributes"][1]["returned"]), (&json!(URN), &json!("request")));
    let all = fixture.send("GET", "/scim/v2/Schemas", "").await.json();
    assert_eq!(all["totalResults"], 4);
    let user = fixture.send("GET", "/scim/v2/ResourceTypes/User", "").await.json();
    assert_eq!(user["schemaExtensions"][1], json!({ "schema": URN, "required": true }));

    let answer = fixture.send("DELETE", &format!("/admin/v1/tenants/contoso/schemas/{URN}"), "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(fixture.send("GET", "/scim/v2/Schemas", "").await.json()["totalResults"], 3);
}

#[tokio::test]
async fn another_replicas_change_is_seen_after_seconds() {
    let fixture = Fixture::new();
    store(&fixture);
    assert_eq!(shown(&fixture, "").await.get(URN), None);
    define(&fixture);
    assert_eq!(shown(&fixture, "").await.get(URN), None);
    fixture.clock.advance(Duration::from_secs(3));
    assert_eq!(shown(&fixture, "").await[URN]["badge"], "B");
}

#[tokio::test]
async fn the_admin_api_says_what_it_wants() {
    let fixture = Fixture::new();
    let path = format!("/admin/v1/tenants/contoso/schemas/{URN}");
    let other = json!({ "schema": { "id": "urn:other:x" } }).to_string();
    let answer = fixture.send("PUT", &path, &other).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.json()["detail"].as_str().unwrap().contains(URN));
    assert_eq!(
        fixture.send("PUT", &path, r#"{"schema":{},"requird":true}"#).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        fixture.send("DELETE", &format!("{path}?expected_version=x"), "").await.status,
        StatusCode::BAD_REQUEST
    );
    assert!(fixture.calls("PutExtension").is_empty() && fixture.calls("DeleteExtension").is_empty());

    let body = json!({ "schema": document(), "expected_version": 7 }).to_string();
    let put = fixture.send("PUT", &path, &body).await.json();
    assert_eq!((&put["version"], &put["schema"]["id"]), (&json!(1), &json!(URN)));
    assert!(fixture.one_call("PutExtension").message.contains("expected_version: Some(7)"));
    let list = fixture.send("GET", "/admin/v1/tenants/contoso/schemas", "").await.json();
    assert_eq!(list["schemas"][0], put);
    assert_eq!(fixture.send("GET", &path, "").await.json(), put);
    fixture.fail("DeleteExtension", ErrorKind::VersionMismatch);
    let answer = fixture.send("DELETE", &format!("{path}?expected_version=2"), "").await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn without_identity_there_is_no_guess() {
    let fixture = Fixture::new();
    fixture.fail("ListExtensions", ErrorKind::Unavailable);
    for path in ["/scim/v2/Schemas", "/scim/v2/Users"] {
        let answer = fixture.send("GET", path, "").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
}
