//! /Bulk.

use gateway::Config;
use http::StatusCode;
use proto::common::v1::{Dialect, Warning};
use scim::ErrorKind;
use serde_json::{Value, json};

use crate::fake::{Answer, Fixture, GROUP, USER};

fn bulk(operations: Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
}

async fn send(fixture: &Fixture, operations: Value) -> Answer {
    fixture.send("POST", "/scim/v2/Bulk", &bulk(operations).to_string()).await
}

fn statuses(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let operations = body["Operations"].as_array().unwrap();
    operations.iter().map(|operation| operation["status"].as_str().unwrap().to_owned()).collect()
}

/// The group is asked for before its member is there.
fn group_and_user() -> Value {
    json!([
        {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {"displayName": "Sales", "members": [{"value": "bulkId:u"}]}},
        {"method": "POST", "path": "/Users", "bulkId": "u", "data": {"userName": "anna"}},
    ])
}

#[tokio::test]
async fn operations_refer_to_what_others_create() {
    let fixture = Fixture::new();
    let answer = send(&fixture, group_and_user()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/scim+json");
    let location = |kind: &str, id: &str| format!("http://scim.test/scim/v2/{kind}/{id}");
    assert_eq!(
        answer.json(),
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"],
            "Operations": [
                {"method": "POST", "bulkId": "g", "location": location("Groups", GROUP), "version": "W/\"3\"", "status": "201"},
                {"method": "POST", "bulkId": "u", "location": location("Users", USER), "version": "W/\"3\"", "status": "201"},
            ],
        })
    );
    assert_eq!(fixture.all_calls(), ["CreateUser", "ApplyUserChange", "CreateGroup"]);
    assert!(fixture.one_call("CreateGroup").message.contains(USER));
    // That of the last write, which includes those before.
    assert_eq!(answer.header("rollcall-revision"), "m.7");
}

#[tokio::test]
async fn each_method_is_the_same_as_alone() {
    let fixture = Fixture::new();
    let user = format!("/Users/{USER}");
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": []});
    let answer = send(
        &fixture,
        json!([
            {"method": "PUT", "path": user, "version": "W/\"3.0123456789ab\"", "data": {"userName": "anna"}},
            {"method": "patch", "path": format!("/Groups/{GROUP}"), "version": "W/\"8\"", "data": patch},
            {"method": "DELETE", "path": user, "version": "\"9\""},
            {"method": "DELETE", "path": format!("/Groups/{GROUP}")},
        ]),
    )
    .await;
    assert_eq!(statuses(&answer), ["200", "204", "204", "204"], "{}", answer.body);
    for (rpc, precondition) in [
        ("ReplaceUser", "Some(Precondition { any: false, versions: [3] })"),
        ("PatchGroup", "Some(Precondition { any: false, versions: [8] })"),
        ("DeleteUser", "Some(Precondition { any: false, versions: [9] })"),
        ("DeleteGroup", "precondition: None"),
    ] {
        let call = fixture.one_call(rpc);
        assert!(call.message.contains(precondition), "{}", call.message);
    }
    assert_eq!(fixture.calls("ApplyUserChange").len(), 2);
    let body = answer.json();
    assert!(body["Operations"][2].get("version").is_none());
    assert_eq!(body["Operations"][2]["location"], format!("http://scim.test/scim/v2{user}"));

    let rfc = Fixture::with(Config::default(), Dialect::Rfc);
    let patch = json!([{"method": "PATCH", "path": format!("/Groups/{GROUP}"), "data": patch}]);
    assert_eq!(statuses(&send(&rfc, patch).await), ["200"], "as a PATCH of a group is answered there");
}

#[tokio::test]
async fn operations_fail_alone() {
    let fixture = Fixture::new();
    fixture.fail("CreateUser", ErrorKind::Uniqueness);
    let answer = send(&fixture, group_and_user()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(statuses(&answer), ["409", "409"]);
    let body = answer.json();
    assert_eq!(body["Operations"][1]["response"]["scimType"], "uniqueness");
    assert_eq!(body["Operations"][1]["response"]["detail"], "CreateUser says no");
    assert!(body["Operations"][0]["response"]["detail"].as_str().unwrap().contains("bulkId:u"));
    assert_eq!(fixture.all_calls(), ["CreateUser"], "the group could not be tried");
    assert!(!answer.headers.contains_key("rollcall-revision"));

    fixture.fail("DeleteUser", ErrorKind::VersionMismatch);
    fixture.fail("DeleteGroup", ErrorKind::Internal);
    let delete = |path: &str| json!({"method": "DELETE", "path": path});
    let answer = send(&fixture, json!([delete("/Users/x"), delete("/Groups/x"), delete("/Devices/x")])).await;
    assert_eq!(statuses(&answer), ["412", "500", "404"]);
}

#[tokio::test]
async fn fail_on_errors_stops_the_rest() {
    let fixture = Fixture::new();
    fixture.fail("DeleteUser", ErrorKind::NotFound);
    let delete = |kind: &str| json!({"method": "DELETE", "path": format!("/{kind}/x")});
    let mut request = bulk(json!([delete("Users"), delete("Groups"), delete("Users"), delete("Groups")]));
    request["failOnErrors"] = 2.into();
    let answer = fixture.send("POST", "/scim/v2/Bulk", &request.to_string()).await;
    assert_eq!(statuses(&answer), ["404", "204", "404"]);
    assert_eq!(fixture.calls("DeleteGroup").len(), 1);
}

#[tokio::test]
async fn a_change_that_membership_does_not_have_yet_is_in_no_revision() {
    let fixture = Fixture::new();
    fixture.fail("ApplyUserChange", ErrorKind::Unavailable);
    let answer = send(&fixture, group_and_user()).await;
    assert_eq!(statuses(&answer), ["201", "201"]);
    assert!(!answer.headers.contains_key("rollcall-revision"), "m.7 does not include the user");
}

#[tokio::test]
async fn what_was_skipped_says_in_which_operation() {
    let fixture = Fixture::new();
    *fixture.world.warnings.lock().unwrap() =
        vec![Warning { attribute: "teams".into(), detail: "unknown, skipped".into() }];
    let answer = send(&fixture, group_and_user()).await;
    let told: Vec<_> = answer.headers.get_all("rollcall-warning").iter().collect();
    assert_eq!(told, ["Operations[1]: teams: unknown, skipped", "Operations[0]: teams: unknown, skipped"]);
}

#[tokio::test]
async fn a_tenant_s_settings_hold_for_each_operation() {
    let fixture = Fixture::new();
    fixture.tenant_of(crate::fake::SECRET, |tenant| tenant.settings.as_mut().unwrap().groups = false);
    let answer = send(&fixture, group_and_user()).await;
    assert_eq!(statuses(&answer), ["403", "201"]);
}

#[tokio::test]
async fn limits_are_those_that_are_published() {
    let config = Config { bulk_max_operations: 2, bulk_max_payload_bytes: 300, ..Config::default() };
    let fixture = Fixture::with(config, Dialect::Entra);
    let published = fixture.send("GET", "/scim/v2/ServiceProviderConfig", "").await.json()["bulk"].clone();
    assert_eq!(published, json!({"supported": true, "maxOperations": 2, "maxPayloadSize": 300}));
    let delete = json!({"method": "DELETE", "path": "/Users/x"});
    assert_eq!(send(&fixture, json!([delete, delete])).await.status, StatusCode::OK);
    let refused = send(&fixture, json!([delete, delete, delete])).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(refused.json()["detail"].as_str().unwrap().contains("maxOperations is 2"), "{}", refused.body);
    let refused =
        send(&fixture, json!([{"method": "DELETE", "path": format!("/Users/{}", "x".repeat(200))}])).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        refused.json()["detail"].as_str().unwrap().contains("maxPayloadSize, 300 bytes"),
        "{}",
        refused.body
    );
    assert_eq!(fixture.calls("DeleteUser").len(), 2);

    let within = Config { body_limit_bytes: 400, ..Config::default() };
    let fixture = Fixture::with(within, Dialect::Entra);
    let published = fixture.send("GET", "/scim/v2/ServiceProviderConfig", "").await.json();
    assert_eq!(published["bulk"]["maxPayloadSize"], 400);
}

#[tokio::test]
async fn what_is_no_bulk_request_is_refused_as_a_whole() {
    let fixture = Fixture::new();
    for bad in ["", "[]", "{}", r#"{"schemas":["urn:other"],"Operations":[]}"#] {
        let answer = fixture.send("POST", "/scim/v2/Bulk", bad).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert_eq!(answer.json()["scimType"], "invalidSyntax", "{bad}");
    }
    let answer = fixture.send_with("POST", "/scim/v2/Bulk", "{}", &[("content-type", "text/plain")]).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(fixture.send("GET", "/scim/v2/Bulk", "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(fixture.all_calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn operations_wait_for_the_tenant_s_rate() {
    let config = Config { rate_limit_per_second: 200, rate_limit_burst: 1, ..Config::default() };
    let fixture = Fixture::with(config, Dialect::Entra);
    let delete = json!({"method": "DELETE", "path": "/Users/x"});
    let begun = tokio::time::Instant::now();
    let answer = send(&fixture, vec![delete; 11].into()).await;
    assert_eq!(statuses(&answer), ["204"; 11]);
    assert!(begun.elapsed().as_millis() >= 50, "ten at 200 a second: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn operations_do_not_wait_for_ever() {
    let config = Config {
        rate_limit_per_second: 1,
        rate_limit_floor_per_second: 1,
        rate_limit_burst: 1,
        ..Config::default()
    };
    let fixture = Fixture::with(config, Dialect::Entra);
    let delete = json!({"method": "DELETE", "path": "/Users/x"});
    let answer = send(&fixture, vec![delete; 14].into()).await;
    let expected = [vec!["204"; 11], vec!["429"; 3]].concat();
    assert_eq!(statuses(&answer), expected, "the request itself, and one a second for ten seconds");
    assert_eq!(fixture.calls("DeleteUser").len(), 11);
}
