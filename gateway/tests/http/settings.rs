//! What a tenant's settings refuse, how its dialect follows the traffic, and how administrators change both.

use gateway::Config;
use http::StatusCode;
use platform::cache::Invalidation;
use proto::common::v1::Dialect;
use proto::token::v1::{DialectSetting, Settings};
use scim::ErrorKind;
use serde_json::json;

use crate::fake::{ADMIN, Answer, CREDENTIAL, Fixture, SECRET, SETTINGS, USER};

const ALL: Settings = SETTINGS;

fn with(settings: Settings) -> Fixture {
    let fixture = Fixture::new();
    fixture.tenant_of(SECRET, |tenant| tenant.settings = Some(settings));
    fixture
}

fn auto() -> Fixture {
    let fixture = Fixture::with(Config::default(), Dialect::Entra);
    fixture.tenant_of(SECRET, |tenant| tenant.dialect_setting = DialectSetting::Auto.into());
    fixture
}

#[track_caller]
fn assert_refused(answer: &Answer, setting: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    let body = answer.json();
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert!(body["detail"].as_str().unwrap().contains(&format!("`{setting}`")), "{}", answer.body);
}

#[tokio::test]
async fn each_setting_refuses_its_own_and_nothing_else() {
    let one = format!("/scim/v2/Users/{USER}");
    let group = format!("/scim/v2/Groups/{USER}");
    let requests = [
        ("GET", "/scim/v2/Users", ""),
        ("GET", one.as_str(), ""),
        ("POST", "/scim/v2/Users", "users.create"),
        ("PUT", &one, "users.update"),
        ("PATCH", &one, "users.update"),
        ("DELETE", &one, "users.delete"),
        ("GET", "/scim/v2/Groups", "groups"),
        ("GET", &group, "groups"),
        ("POST", "/scim/v2/Groups", "groups"),
        ("PUT", &group, "groups"),
        ("PATCH", &group, "groups"),
        ("DELETE", &group, "groups"),
    ];
    let off = [
        ("users.create", Settings { user_create: false, ..ALL }),
        ("users.update", Settings { user_update: false, ..ALL }),
        ("users.delete", Settings { user_delete: false, ..ALL }),
        ("groups", Settings { groups: false, ..ALL }),
    ];
    for (setting, settings) in off {
        for (method, uri, needs) in requests {
            let fixture = with(settings);
            let answer = fixture.send(method, uri, "{}").await;
            if needs == setting {
                assert_refused(&answer, setting);
                assert!(fixture.all_calls().is_empty(), "{method} {uri}: {:?}", fixture.all_calls());
            } else {
                assert!(answer.status.is_success(), "{method} {uri} without {setting}: {}", answer.body);
            }
        }
    }
}

#[tokio::test]
async fn a_tenant_without_groups_hears_nothing_of_them() {
    let fixture = with(Settings { groups: false, ..ALL });
    let user = fixture.send("GET", &format!("/scim/v2/Users/{USER}"), "").await.json();
    assert_eq!((&user["userName"], user.get("groups")), (&json!("anna@contoso.com"), None));
    assert!(fixture.calls("ListGroupsOfUsers").is_empty());
    let types = fixture.send("GET", "/scim/v2/ResourceTypes", "").await.json();
    assert_eq!((&types["totalResults"], &types["Resources"][0]["name"]), (&json!(1), &json!("User")));
    assert_eq!(fixture.send("GET", "/scim/v2/ResourceTypes/Group", "").await.status, StatusCode::NOT_FOUND);
    let schemas = fixture.send("GET", "/scim/v2/Schemas", "").await;
    assert!(schemas.body.contains(r#""name":"emails""#));
    assert!(!schemas.body.contains("core:2.0:Group") && !schemas.body.contains(r#""name":"groups""#));
    let config = fixture.send("GET", "/scim/v2/ServiceProviderConfig", "").await.json();
    assert_eq!(config["patch"]["supported"], true, "of users");
    let filter = "/scim/v2/Users?filter=groups.value+eq+%22a%22";
    assert_refused(&fixture.send("GET", filter, "").await, "groups");

    let create_only = with(Settings { groups: false, user_update: false, user_delete: false, ..ALL });
    let config = create_only.send("GET", "/scim/v2/ServiceProviderConfig", "").await.json();
    assert_eq!(config["patch"]["supported"], false);
}

#[tokio::test]
async fn a_tenant_without_settings_is_a_fault_and_not_a_tenant_without_limits() {
    let fixture = Fixture::new();
    fixture.tenant_of(SECRET, |tenant| tenant.settings = None);
    let answer = fixture.send("GET", "/scim/v2/Users", "").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.body);
}

#[tokio::test]
async fn auto_reads_the_first_recognised_request_as_its_client_and_tells_once() {
    let fixture = auto();
    fixture.send("GET", "/scim/v2/Users", "").await;
    assert!(fixture.calls("PinDialect").is_empty(), "nobody was recognised");
    let okta = [("user-agent", "Okta SCIM Client 1.0.0")];
    for _ in 0..3 {
        assert_eq!(fixture.send_with("GET", "/scim/v2/Users", "", &okta).await.status, StatusCode::OK);
    }
    let pin = fixture.one_call("PinDialect");
    assert_eq!(pin.metadata("authorization"), format!("Bearer jwt-for-{SECRET}"));
    assert!(
        pin.message.contains("Okta") && pin.message.contains(&fixture.tenant.to_string()),
        "{}",
        pin.message
    );
    let read_as: Vec<bool> =
        fixture.calls("ListUsers").iter().map(|call| call.message.contains("dialect: Okta")).collect();
    assert_eq!(read_as, [false, true, true, true]);
    assert_eq!(fixture.calls("Resolve").len(), 2, "what was remembered is dropped, once");

    // Another sign later is no news.
    let entra = [("adscimversion", "x")];
    fixture.send_with("GET", "/scim/v2/Users", "", &entra).await;
    assert!(fixture.calls("ListUsers").last().unwrap().message.contains("dialect: Okta"));
    assert_eq!(fixture.calls("PinDialect").len(), 1);
}

#[tokio::test]
async fn signs_say_nothing_of_a_tenant_whose_dialect_was_chosen() {
    let fixture = Fixture::with(Config::default(), Dialect::Rfc);
    let okta = [("user-agent", "Okta SCIM Client 1.0.0")];
    fixture.send_with("GET", "/scim/v2/Users?aadOptscim062020", "", &okta).await;
    assert!(fixture.calls("PinDialect").is_empty());
    assert!(fixture.one_call("ListUsers").message.contains("dialect: Rfc"));
}

#[tokio::test]
async fn a_recognition_that_cannot_be_kept_serves_the_request_and_is_tried_again() {
    let fixture = auto();
    fixture.fail("PinDialect", ErrorKind::Unavailable);
    let okta = [("user-agent", "Okta SCIM Client 1.0.0")];
    assert_eq!(fixture.send_with("GET", "/scim/v2/Users", "", &okta).await.status, StatusCode::OK);
    assert!(fixture.one_call("ListUsers").message.contains("dialect: Okta"));
    fixture.world.failing.lock().unwrap().clear();
    fixture.send_with("GET", "/scim/v2/Users", "", &okta).await;
    assert_eq!(fixture.calls("PinDialect").len(), 2);
}

#[tokio::test]
async fn without_a_good_token_nobody_is_recognised() {
    let fixture = auto();
    let headers = [("user-agent", "Okta SCIM Client 1.0.0"), ("authorization", "Bearer wrong")];
    let answer = fixture.send_with("GET", "/scim/v2/Users", "", &headers).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(fixture.all_calls().is_empty());
}

#[tokio::test]
async fn a_tenant_that_is_enabled_again_is_let_in_at_once() {
    let fixture = Fixture::new();
    for (state, status) in [
        ("active", StatusCode::OK),
        ("disabled", StatusCode::UNAUTHORIZED),
        ("active", StatusCode::OK),
        ("disabled", StatusCode::UNAUTHORIZED),
    ] {
        let body = json!({"state": state}).to_string();
        let answer = fixture.send("PATCH", "/admin/v1/tenants/contoso", &body).await;
        assert_eq!((answer.status, &answer.json()["tenant"]["state"]), (StatusCode::OK, &json!(state)));
        // The clock stands still: no answer of before has expired.
        for _ in 0..2 {
            assert_eq!(fixture.send("GET", "/scim/v2/Users", "").await.status, status, "{state}");
        }
    }
}

#[tokio::test]
async fn an_administrator_changes_what_is_named() {
    let fixture = Fixture::new();
    let mut heard = fixture.invalidations.subscribe();
    let body =
        r#"{"expected_version":1,"dialect":"auto","settings":{"groups":false,"users":{"delete":false}}}"#;
    let answer = fixture.send("PATCH", "/admin/v1/tenants/contoso", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.json()["tenant"]["settings"]["groups"], false);
    assert_eq!(
        (&answer.json()["tenant"]["version"], &answer.json()["base_url"]),
        (&json!(2), &json!("http://scim.test/scim/v2"))
    );
    let call = fixture.one_call("UpdateTenant");
    assert_eq!(call.metadata("authorization"), format!("Bearer jwt-for-{ADMIN}"));
    for part in [
        "expected_version: 1",
        "dialect_setting: Auto",
        "state: Unspecified",
        "groups: Some(false), user_create: None, user_update: None, user_delete: Some(false)",
    ] {
        assert!(call.message.contains(part), "{part} in {}", call.message);
    }
    assert_eq!(heard.try_recv().unwrap(), Invalidation::Tenant(fixture.tenant));

    fixture.fail("UpdateTenant", ErrorKind::VersionMismatch);
    let answer = fixture.send("PATCH", "/admin/v1/tenants/contoso", body).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "{}", answer.body);
    assert!(heard.try_recv().is_err(), "nothing changed");
}

#[tokio::test]
async fn a_change_that_does_not_fit_is_told_why() {
    let fixture = Fixture::new();
    for (body, why) in [
        (r#"{"dialect":"Entra"}"#, "expected one of `entra`, `okta`, `rfc`, `interop`, `auto`"),
        (r#"{"state":"deleting"}"#, "expected `active` or `disabled`"),
        (r#"{"settings":{"group":true}}"#, "`group`"),
        (r#"{"settings":{"users":{"create":"on"}}}"#, "boolean"),
        (r#"{"name":"other"}"#, "`name`"),
        (r#"{"expected_version":0}"#, "expected_version"),
        (r#"{"settings":{"limits":{"rps":7}}}"#, "`rps`"),
    ] {
        let answer = fixture.send("PATCH", "/admin/v1/tenants/contoso", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(why), "{}", answer.body);
    }
    assert!(fixture.calls("UpdateTenant").is_empty());
}

#[tokio::test]
async fn admin_tokens_and_signing_keys() {
    let fixture = Fixture::new();
    let made = fixture.send("POST", "/admin/v1/admins", r#"{"label":"second"}"#).await;
    assert_eq!((made.status, made.header("cache-control")), (StatusCode::CREATED, "no-store"));
    assert_eq!(made.json(), json!({"admin": {"id": CREDENTIAL, "label": "second"}, "token": "rca_new"}));
    let listed = fixture.send("GET", "/admin/v1/admins", "").await.json();
    assert_eq!(listed["admins"][0]["id"], CREDENTIAL);
    let mut heard = fixture.invalidations.subscribe();
    let uri = format!("/admin/v1/admins/{CREDENTIAL}");
    assert_eq!(fixture.send("DELETE", &uri, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(heard.try_recv().unwrap(), Invalidation::Credential(CREDENTIAL.parse().unwrap()));
    assert_eq!(fixture.send("DELETE", "/admin/v1/admins/x", "").await.status, StatusCode::NOT_FOUND);

    let rotated = fixture.send("POST", "/admin/v1/signing-keys", "").await;
    assert_eq!(rotated.status, StatusCode::CREATED);
    assert_eq!(rotated.json(), json!({"rotation": "started", "signs_from": "2023-11-14T22:23:20.000Z"}));
    let refused = fixture
        .send_with("POST", "/admin/v1/admins", "{}", &[("authorization", &format!("Bearer {SECRET}"))])
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}
