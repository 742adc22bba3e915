//! The admin API.

mod audit;
mod credentials;
mod export;
mod idempotency;
mod openapi;
mod users;
mod verify;

use gateway::Config;
use http::StatusCode;
use platform::cache::Invalidation;
use proto::common::v1::Dialect;
use scim::ErrorKind;
use serde_json::json;

use crate::fake::{ADMIN, CREDENTIAL, Fixture, SECRET};

#[tokio::test]
async fn a_new_tenant_comes_with_url_and_token() {
    let fixture = Fixture::new();
    let answer = fixture.send("POST", "/admin/v1/tenants", r#"{"name":"fabrikam"}"#).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let id = fixture.tenant.to_string();
    assert_eq!(
        answer.json(),
        json!({
            "tenant": {
                "id": id, "name": "fabrikam", "state": "active", "preset": "entra", "created_at": "2020-09-13T12:26:40.000Z",
                "version": 1, "dialect": "entra", "dialect_in_force": "entra", "scim_enabled": true,
                "settings": {
                    "groups": true, "users": {"create": true, "update": true, "delete": true},
                    "lock_local_changes": false, "keep_deleted_days": 0, "log_retention_days": 30,
                    "limits": {"requests_per_second": 0, "burst": 0, "concurrent": 0},
                },
            },
            "base_url": "http://scim.test/scim/v2",
            "token": "rcs_first",
        })
    );
    assert_eq!(answer.header("location"), format!("/admin/v1/tenants/{id}"));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(fixture.one_call("CreateTenant").metadata("authorization"), format!("Bearer jwt-for-{ADMIN}"));

    let id = answer.header("x-request-id");
    assert!(
        !id.is_empty() && fixture.one_call("CreateTenant").metadata("x-request-id") == id,
        "for the audit"
    );

    let ziflow = fixture.send("POST", "/admin/v1/tenants", r#"{"name":"z","preset":"ziflow"}"#).await;
    assert_eq!(ziflow.json()["base_url"], "http://scim.test/v1/scim/v2");
}

#[tokio::test]
async fn a_tenant_is_found_by_id_or_name() {
    let fixture = Fixture::new();
    for key in [fixture.tenant.to_string(), "contoso".to_owned()] {
        let answer = fixture.send("GET", &format!("/admin/v1/tenants/{key}"), "").await;
        assert_eq!((answer.status, &answer.json()["tenant"]["name"]), (StatusCode::OK, &json!("contoso")));
    }
    let answer = fixture.send("GET", "/admin/v1/tenants/nobody", "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!((&answer.json()["status"], &answer.json()["kind"]), (&json!(404), &json!("NotFound")));

    let list = fixture.send("GET", "/admin/v1/tenants?page_size=7&page_token=t", "").await.json();
    assert_eq!((list["tenants"].as_array().unwrap().len(), &list["next_page_token"]), (1, &json!("more")));
    assert!(fixture.one_call("ListTenants").message.contains("page_size: 7, page_token: \"t\""));
}

#[tokio::test]
async fn deletion_stops_the_tokens_first_and_forgets_the_tenant_last() {
    let fixture = Fixture::new();
    assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, StatusCode::OK);
    let mut heard = fixture.invalidations.subscribe();
    let answer = fixture.send("DELETE", "/admin/v1/tenants/contoso", "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    let steps = [
        "GetTenant",
        "DeleteTenant",
        "identity.PurgeTenant",
        "membership.PurgeTenant",
        "journal.PurgeTenant",
        "token.PurgeTenant",
    ];
    assert_eq!(fixture.all_calls()[2..], steps);
    for step in &steps[1..] {
        assert!(fixture.one_call(step).message.contains(&fixture.tenant.to_string()), "{step}");
    }
    assert_eq!(heard.try_recv().unwrap(), Invalidation::Tenant(fixture.tenant));
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_is_finished_by_the_next() {
    let fixture = Fixture::new();
    fixture.fail("membership.PurgeTenant", ErrorKind::Unavailable);
    let answer = fixture.send("DELETE", "/admin/v1/tenants/contoso", "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        fixture.calls("token.PurgeTenant").is_empty(),
        "the tenant must stay known until its data is gone"
    );
    fixture.world.failing.lock().unwrap().clear();
    assert_eq!(fixture.send("DELETE", "/admin/v1/tenants/contoso", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(fixture.calls("token.PurgeTenant").len(), 1);
}

#[tokio::test]
async fn credentials_are_made_listed_and_revoked() {
    let fixture = Fixture::new();
    let body = r#"{"label":"second","expires_at":"2027-01-31T00:00:00Z"}"#;
    let made = fixture.send("POST", "/admin/v1/tenants/contoso/credentials", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.json()["token"], "rcs_new");
    assert_eq!(made.json()["credential"]["expires_at"], "2027-01-31T00:00:00.000Z");
    assert!(made.json()["credential"].get("last_used_at").is_none());
    let list = fixture.send("GET", "/admin/v1/tenants/contoso/credentials", "").await.json();
    assert_eq!(list["credentials"][0]["id"], CREDENTIAL);

    let mut heard = fixture.invalidations.subscribe();
    let uri = format!("/admin/v1/tenants/contoso/credentials/{CREDENTIAL}");
    assert_eq!(fixture.send("DELETE", &uri, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(heard.try_recv().unwrap(), Invalidation::Credential(CREDENTIAL.parse().unwrap()));

    for bad in ["tomorrow", "1969-01-01T00:00:00Z", ""] {
        let body = json!({"expires_at": bad}).to_string();
        let answer = fixture.send("POST", "/admin/v1/tenants/contoso/credentials", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn clients_are_for_a_tenant_named_either_way() {
    let fixture = Fixture::new();
    let body = r#"{"name":"billing","tenant":"contoso","scopes":["memberships:read"]}"#;
    let answer = fixture.send("POST", "/admin/v1/clients", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert_eq!(
        (&answer.json()["client_id"], &answer.json()["client_secret"]),
        (&json!("c-1"), &json!("shh"))
    );
    assert_eq!(answer.json()["tenant_id"], fixture.tenant.to_string());
    fixture.send("POST", "/admin/v1/clients", r#"{"name":"all","scopes":[]}"#).await;
    assert!(fixture.calls("CreateClient")[1].message.contains("tenant_id: \"\""));
    let clients = fixture.send("GET", "/admin/v1/clients", "").await.json();
    assert_eq!((&clients["clients"][1]["name"], clients.get("next_page_token")), (&json!("everybody"), None));
    assert_eq!(
        fixture.send("DELETE", &format!("/admin/v1/clients/{CREDENTIAL}"), "").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(fixture.send("DELETE", "/admin/v1/clients/other", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_that_does_not_fit_is_told_why() {
    let fixture = Fixture::with(Config::default(), Dialect::Entra);
    for (body, why) in [
        ("{", "EOF"),
        ("{}", "`name`"),
        (r#"{"name":"a","presett":"zeeg"}"#, "`presett`"),
        (r#"{"name":7}"#, "string"),
    ] {
        let answer = fixture.send("POST", "/admin/v1/tenants", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(why), "{}", answer.body);
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = fixture.send_with("POST", "/admin/v1/tenants", "name=a", &form).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        fixture.send("GET", "/admin/v1/tenants?page_size=-1", "").await.status,
        StatusCode::BAD_REQUEST
    );
    let answer = fixture.send("PUT", "/admin/v1/tenants", "{}").await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD,POST"));
    for nothing in ["nothing", "tenants/%FF"] {
        let answer = fixture.send("GET", &format!("/admin/v1/{nothing}"), "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert!(fixture.all_calls().is_empty());
}

#[tokio::test]
async fn nothing_is_open() {
    let fixture = Fixture::new();
    let tenant = format!("Bearer {SECRET}");
    for (header, status) in [("", 401), ("Bearer wrong", 401), (tenant.as_str(), 403)] {
        for (method, uri) in [
            ("GET", "tenants"),
            ("POST", "tenants"),
            ("DELETE", "tenants/x"),
            ("GET", "clients"),
            ("GET", "nothing"),
            ("PUT", "tenants"),
        ] {
            let answer = fixture
                .send_with(method, &format!("/admin/v1/{uri}"), "{}", &[("authorization", header)])
                .await;
            assert_eq!(answer.status.as_u16(), status, "{method} {uri}");
            assert_eq!(answer.header("www-authenticate").is_empty(), status == 403);
        }
    }
    assert!(fixture.all_calls().is_empty());
}
