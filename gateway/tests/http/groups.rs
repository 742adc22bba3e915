//! /Groups: who gets which answer, and members that stream.

use std::sync::atomic::Ordering;

use axum::body::Body;
use gateway::Config;
use http::StatusCode;
use http_body_util::BodyExt;
use proto::common::v1::Dialect;
use serde_json::json;
use tower::ServiceExt;

use crate::fake::{Fixture, GROUP, SECRET, member_id};

fn path() -> String {
    format!("/scim/v2/Groups/{GROUP}")
}

#[tokio::test]
async fn members_are_shown_with_what_they_are() {
    let fixture = Fixture::new();
    *fixture.world.members.lock().unwrap() = (3, 2);
    let body = fixture.send("GET", &path(), "").await.json();
    let reference = |kind: &str, index| format!("http://scim.test/scim/v2/{kind}/{}", member_id(index));
    assert_eq!(
        body["members"],
        json!([
            {"value": member_id(0), "type": "User", "$ref": reference("Users", 0)},
            {"value": member_id(1), "type": "Group", "$ref": reference("Groups", 1)},
            {"value": member_id(2)},
        ])
    );
    assert_eq!(body["meta"]["resourceType"], "Group");
    *fixture.world.members.lock().unwrap() = (0, 1);
    assert!(fixture.send("GET", &path(), "").await.json().get("members").is_none());
}

#[tokio::test]
async fn members_that_are_not_shown_are_not_fetched() {
    for query in ["excludedAttributes=members", "attributes=displayName"] {
        for uri in [path(), "/scim/v2/Groups".to_owned()] {
            let fixture = Fixture::new();
            let answer = fixture.send("GET", &format!("{uri}?{query}"), "").await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(!answer.body.contains("members"), "{}", answer.body);
            assert_eq!(fixture.world.chunks_pulled.load(Ordering::SeqCst), 0);
        }
    }
    let fixture = Fixture::new();
    let body = fixture.send("GET", &format!("{}?attributes=members.value", path()), "").await.json();
    assert_eq!(body["members"], json!([{"value": member_id(0)}, {"value": member_id(1)}]));
}

#[tokio::test]
async fn lists_are_the_same_with_and_without_members() {
    let fixture = Fixture::new();
    let uri = "/scim/v2/Groups?filter=displayName+eq+%22Sales%22&startIndex=2";
    let mut with = fixture.send("GET", uri, "").await.json();
    let without = fixture.send("GET", &format!("{uri}&excludedAttributes=members"), "").await.json();
    for group in with["Resources"].as_array_mut().unwrap() {
        let members = group.as_object_mut().unwrap().remove("members").unwrap();
        assert_eq!(members.as_array().unwrap().len(), 2);
    }
    assert_eq!(with, without);
    assert_eq!(
        (&with["totalResults"], &with["itemsPerPage"], &with["startIndex"]),
        (&json!(5), &json!(2), &json!(2))
    );
}

#[tokio::test]
async fn a_hundred_thousand_members_pass_through_in_pieces() {
    let fixture = Fixture::new();
    *fixture.world.members.lock().unwrap() = (100_000, 500);
    let request =
        http::Request::get(path()).header("host", "h").header("authorization", format!("Bearer {SECRET}"));
    let response = fixture.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let mut whole = Vec::new();
    let mut largest = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        largest = largest.max(data.len());
        whole.extend_from_slice(&data);
        if whole.len() < 1_000_000 {
            // Membership is asked for no more than a few pieces beyond what the client has taken.
            let pulled = fixture.world.chunks_pulled.load(Ordering::SeqCst);
            let taken = whole.len() / (500 * 100);
            assert!(pulled <= taken + 20, "{pulled} pieces were read ahead of {taken}");
        }
    }
    let group: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    let members = group["members"].as_array().unwrap();
    assert_eq!(members.len(), 100_000);
    assert_eq!(members[99_999]["value"], member_id(99_999));
    assert!(largest < 200_000, "a piece of {largest} bytes");
}

#[tokio::test]
async fn an_answer_that_cannot_be_finished_is_broken_off() {
    for uri in [path(), "/scim/v2/Groups".to_owned()] {
        let fixture = Fixture::new();
        *fixture.world.members.lock().unwrap() = (1000, 100);
        *fixture.world.break_after.lock().unwrap() = Some(3);
        let request =
            http::Request::get(&uri).header("host", "h").header("authorization", format!("Bearer {SECRET}"));
        let response = fixture.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(
            response.into_body().collect().await.is_err(),
            "{uri}: the client must not take this for whole"
        );
    }
}

#[tokio::test]
async fn a_list_with_other_groups_than_announced_is_broken_off() {
    for announced in [1, 3] {
        let fixture = Fixture::new();
        *fixture.world.announced.lock().unwrap() = announced;
        let request = http::Request::get("/scim/v2/Groups").header("host", "h");
        let request =
            request.header("authorization", format!("Bearer {SECRET}")).body(Body::empty()).unwrap();
        let response = fixture.router.clone().oneshot(request).await.unwrap();
        assert!(response.into_body().collect().await.is_err(), "{announced} announced, 2 sent");
    }
}

#[tokio::test]
async fn entra_gets_204_for_a_patch_unless_it_names_attributes() {
    let fixture = Fixture::new();
    let answer = fixture.send("PATCH", &path(), "{}").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!((answer.header("etag"), answer.header("rollcall-revision")), ("W/\"3\"", "m.9"));
    assert_eq!(fixture.all_calls(), ["PatchGroup"]);

    let answer = fixture.send("PATCH", &format!("{}?attributes=displayName", path()), "{}").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["displayName"], "Sales");
    assert_eq!(fixture.all_calls(), ["PatchGroup", "PatchGroup"]);
}

#[tokio::test]
async fn others_get_the_group_and_its_members_only_if_they_are_few() {
    for dialect in [Dialect::Okta, Dialect::Rfc, Dialect::Interop] {
        let fixture = Fixture::with(Config::default(), dialect);
        let answer = fixture.send("PATCH", &path(), "{}").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["members"].as_array().unwrap().len(), 2);

        *fixture.world.members.lock().unwrap() = (100_000, 60);
        fixture.world.chunks_pulled.store(0, Ordering::SeqCst);
        let answer = fixture.send("PATCH", &path(), "{}").await;
        assert!(answer.json().get("members").is_none());
        let pulled = fixture.world.chunks_pulled.load(Ordering::SeqCst);
        assert!(pulled < 50, "{pulled} pieces of 60 members were read to show none");

        let asked = fixture.send("PATCH", &format!("{}?attributes=members", path()), "{}").await;
        assert_eq!(asked.json()["members"].as_array().unwrap().len(), 100_000);
    }
}

#[tokio::test]
async fn a_written_group_is_answered_whole() {
    let fixture = Fixture::new();
    let created = fixture.send("POST", "/scim/v2/Groups", "{}").await;
    assert_eq!((created.status, created.header("rollcall-revision")), (StatusCode::CREATED, "m.7"));
    assert_eq!(created.header("location"), format!("http://scim.test{}", path()));
    assert_eq!(created.json()["members"].as_array().unwrap().len(), 2);
    let replaced = fixture.send("PUT", &path(), "{}").await;
    assert_eq!((replaced.status, replaced.json()["members"].as_array().unwrap().len()), (StatusCode::OK, 2));

    fixture.fail("GetGroup", scim::ErrorKind::Unavailable);
    assert_eq!(fixture.send("POST", "/scim/v2/Groups", "{}").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn deletion_and_precondition() {
    let fixture = Fixture::new();
    let answer = fixture.send_with("DELETE", &path(), "", &[("if-match", "*")]).await;
    assert_eq!((answer.status, answer.header("rollcall-revision")), (StatusCode::NO_CONTENT, "m.10"));
    assert!(fixture.one_call("DeleteGroup").message.contains("any: true"));
    let answer = fixture.send_with("GET", &path(), "", &[("if-none-match", "W/\"3\"")]).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
}
