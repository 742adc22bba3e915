//! How a tenant's client proves itself: SCIM on and off, rotation, issuers, OAuth clients.

use http::StatusCode;
use platform::cache::Invalidation;
use scim::ErrorKind;
use serde_json::json;

use crate::fake::{CREDENTIAL, Fixture, SECRET, SUCCESSOR};

#[tokio::test]
async fn scim_on_shows_what_to_paste_and_off_stops_everything() {
    let fixture = Fixture::new();
    let mut heard = fixture.invalidations.subscribe();
    let on = "/admin/v1/tenants/contoso/scim/enable";
    let body = r#"{"label":"again","expires_at":"2027-01-31T00:00:00Z"}"#;
    let answer = fixture.send("POST", on, body).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::CREATED, "no-store"));
    let shown = answer.json();
    assert_eq!(
        (&shown["token"], &shown["base_url"]),
        (&json!("rcs_enabled"), &json!("http://scim.test/scim/v2"))
    );
    assert_eq!(shown["credential"]["expires_at"], "2027-01-31T00:00:00.000Z");
    assert_eq!(shown["tenant"]["scim_enabled"], true);
    assert_eq!(heard.try_recv().unwrap(), Invalidation::Tenant(fixture.tenant));
    assert_eq!(fixture.send("POST", on, "").await.status, StatusCode::CREATED, "a body is not needed");

    let off = fixture.send("POST", "/admin/v1/tenants/contoso/scim/disable", "").await;
    assert_eq!((off.status, &off.json()["tenant"]["scim_enabled"]), (StatusCode::OK, &json!(false)));
    assert_eq!(heard.try_recv().unwrap(), Invalidation::Tenant(fixture.tenant));
}

#[tokio::test]
async fn a_rotation_is_started_completed_and_cancelled() {
    let fixture = Fixture::new();
    let of = |id: &str, verb: &str| format!("/admin/v1/tenants/contoso/credentials/{id}/rotation{verb}");
    let started = fixture.send("POST", &of(CREDENTIAL, ""), r#"{"label":"next"}"#).await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.body);
    let shown = started.json();
    assert_eq!(
        (&shown["token"], &shown["credential"]["replaces"]),
        (&json!("rcs_successor"), &json!(CREDENTIAL))
    );
    assert_eq!(shown["credential"]["id"], SUCCESSOR);

    let mut heard = fixture.invalidations.subscribe();
    let completed = fixture.send("POST", &of(SUCCESSOR, "/complete"), "").await;
    assert_eq!(
        (completed.status, &completed.json()["credential"]["id"]),
        (StatusCode::OK, &json!(SUCCESSOR))
    );
    assert_eq!(heard.try_recv().unwrap(), Invalidation::Tenant(fixture.tenant));
    let cancelled = fixture.send("POST", &of(SUCCESSOR, "/cancel"), "").await;
    assert!(cancelled.json()["credential"]["revoked_at"].is_string(), "{}", cancelled.body);
    assert_eq!(heard.try_recv().unwrap(), Invalidation::Tenant(fixture.tenant));

    fixture.fail("CancelRotation", ErrorKind::Conflict);
    let refused = fixture.send("POST", &of(SUCCESSOR, "/cancel"), "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(heard.try_recv().is_err(), "nothing changed");
}

#[tokio::test]
async fn issuers_are_trusted_and_no_more() {
    let fixture = Fixture::new();
    let body =
        json!({"issuer": "https://sts.windows.net/t/", "audience": "a", "directory_id": "t"}).to_string();
    let mut heard = fixture.invalidations.subscribe();
    let made = fixture.send("POST", "/admin/v1/tenants/contoso/issuers", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!((&made.json()["directory_id"], made.json().get("app_id")), (&json!("t"), None));
    assert!(fixture.one_call("CreateIssuer").message.contains(&fixture.tenant.to_string()));
    let list = fixture.send("GET", "/admin/v1/tenants/contoso/issuers", "").await.json();
    assert_eq!(list["issuers"][0]["id"], CREDENTIAL);
    let uri = format!("/admin/v1/tenants/contoso/issuers/{CREDENTIAL}");
    assert_eq!(fixture.send("DELETE", &uri, "").await.status, StatusCode::NO_CONTENT);
    for _ in 0..2 {
        assert_eq!(heard.try_recv().unwrap(), Invalidation::Tenant(fixture.tenant));
    }
    let answer = fixture.send("POST", "/admin/v1/tenants/contoso/issuers", r#"{"issuer":"x"}"#).await;
    assert!(answer.json()["detail"].as_str().unwrap().contains("`audience`"), "{}", answer.body);
}

#[tokio::test]
async fn clients_prove_themselves_by_keys_by_federation_or_by_secret() {
    let fixture = Fixture::new();
    let federation = json!({"issuer": "https://login.test/v2.0", "audience": "api://x", "subject": "s"});
    let body = json!({"name": "entra", "tenant": "contoso", "scopes": ["scim"], "federation": federation});
    let made = fixture.send("POST", "/admin/v1/clients", &body.to_string()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!((&made.json()["federation"], made.json().get("client_secret")), (&federation, None));
    let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]});
    let body = json!({"name": "keys", "scopes": ["memberships:read"], "jwks": jwks}).to_string();
    assert_eq!(fixture.send("POST", "/admin/v1/clients", &body).await.json()["jwks"], jwks);

    let uri = format!("/admin/v1/clients/{CREDENTIAL}");
    let mut heard = fixture.invalidations.subscribe();
    for (change, sent) in [
        (json!({}), ["jwks: None", "federation: None", "remove_federation: false"]),
        (json!({"jwks": null}), ["jwks: Some(b\"\")", "federation: None", "remove_federation: false"]),
        (json!({"federation": null}), ["jwks: None", "federation: None", "remove_federation: true"]),
        (json!({"jwks": {"keys": []}}), ["jwks: Some(b\"{", "federation: None", "remove_federation: false"]),
        (json!({"federation": federation}), ["jwks: None", "federation: Some(", "remove_federation: false"]),
    ] {
        let answer = fixture.send("PATCH", &uri, &change.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let call = fixture.calls("UpdateClient").pop().unwrap();
        assert!(sent.iter().all(|part| call.message.contains(part)), "{change}: {}", call.message);
        assert_eq!(heard.try_recv().unwrap(), Invalidation::Client(CREDENTIAL.parse().unwrap()));
    }

    let rotated = fixture.send("POST", &format!("{uri}/secrets"), r#"{"overlap_seconds":60}"#).await;
    assert_eq!((rotated.status, rotated.header("cache-control")), (StatusCode::CREATED, "no-store"));
    assert_eq!(rotated.json()["client_secret"], "next");
    fixture.send("POST", &format!("{uri}/secrets"), "").await;
    let overlaps = ["overlap_s: 60", "overlap_s: 86400"];
    for (call, overlap) in fixture.calls("RotateClientSecret").iter().zip(overlaps) {
        assert!(call.message.contains(overlap), "{}", call.message);
    }
}

#[tokio::test]
async fn limits_change_one_by_one() {
    let fixture = Fixture::new();
    let set = async |limits: serde_json::Value| {
        let body = json!({"settings": {"keep_deleted_days": 30, "limits": limits}}).to_string();
        let answer = fixture.send("PATCH", "/admin/v1/tenants/contoso", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()["tenant"]["settings"].clone()
    };
    set(json!({"requests_per_second": 50})).await;
    let settings = set(json!({"burst": 7})).await;
    assert_eq!(settings["limits"], json!({"requests_per_second": 50, "burst": 7, "concurrent": 0}));
    assert_eq!(settings["keep_deleted_days"], 30);
}

/// What DELETE means is a setting, which goes along with it.
#[tokio::test]
async fn a_deletion_says_for_how_long_the_user_is_kept() {
    let fixture = Fixture::new();
    fixture.tenant_of(SECRET, |tenant| tenant.settings.as_mut().unwrap().keep_deleted_days = 30);
    let uri = format!("/scim/v2/Users/{}", crate::fake::USER);
    assert_eq!(fixture.send("DELETE", &uri, "").await.status, StatusCode::NO_CONTENT);
    assert!(fixture.one_call("DeleteUser").message.contains("keep_days: 30"));
}
