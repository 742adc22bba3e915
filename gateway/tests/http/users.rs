//! /Users.

use gateway::Config;
use http::StatusCode;
use proto::common::v1::{Dialect, Warning};
use scim::ErrorKind;
use serde_json::json;

use crate::fake::{Fixture, GROUP, USER};

fn path() -> String {
    format!("/scim/v2/Users/{USER}")
}

#[tokio::test]
async fn a_user_is_shown_with_its_groups() {
    let answer = Fixture::new().send("GET", &path(), "").await;
    let tag = answer.header("etag");
    assert!(tag.starts_with("W/\"3.") && tag.len() == "W/\"3.0123456789ab\"".len(), "{tag}");
    assert_eq!(
        answer.json()["groups"],
        json!([
            {"value": GROUP, "$ref": format!("http://scim.test/scim/v2/Groups/{GROUP}"), "display": "Sales", "type": "direct"},
            {"value": "parent", "$ref": "http://scim.test/scim/v2/Groups/parent", "display": "Sales", "type": "indirect"},
        ])
    );
}

#[tokio::test]
async fn a_created_user_is_complete_and_known_to_membership() {
    let fixture = Fixture::new();
    let body = r#"{"userName":"anna@contoso.com"}"#;
    let answer = fixture.send("POST", "/scim/v2/Users", body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let location = format!("http://scim.test/scim/v2/Users/{USER}");
    assert_eq!(answer.header("location"), location);
    // Of membership, whose queries compare with it.
    assert_eq!(answer.header("rollcall-revision"), "m.11");
    let tag = answer.header("etag");
    // It is in no group, whatever membership would say: its id is new.
    assert_eq!(tag, "W/\"3\"");
    assert_eq!(
        answer.json(),
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": USER,
            "userName": "anna@contoso.com",
            "displayName": "Anna",
            "meta": {
                "resourceType": "User",
                "created": "2020-09-13T12:26:40.000Z",
                "lastModified": "2020-09-13T12:26:41.500Z",
                "location": location,
                "version": tag,
            },
        })
    );
    assert_eq!(fixture.all_calls(), ["CreateUser", "ApplyUserChange"]);
    assert!(fixture.one_call("CreateUser").message.contains("anna@contoso.com"));
}

#[tokio::test]
async fn a_write_that_is_done_is_not_reported_as_failed() {
    let fixture = Fixture::new();
    fixture.fail("ApplyUserChange", ErrorKind::Unavailable);
    fixture.fail("ListGroupsOfUsers", ErrorKind::Unavailable);
    let created = fixture.send("POST", "/scim/v2/Users", "{}").await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert!(created.json().get("groups").is_none());
    assert!(!created.headers.contains_key("rollcall-revision"), "membership does not have it yet");
    assert_eq!(fixture.send("PUT", &path(), "{}").await.status, StatusCode::OK);
    assert_eq!(fixture.send("PATCH", &path(), "{}").await.status, StatusCode::OK);
    assert_eq!(fixture.send("DELETE", &path(), "").await.status, StatusCode::NO_CONTENT);
    // A read that leaves groups out would be untrue.
    assert_eq!(fixture.send("GET", &path(), "").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_refused_write_tells_membership_nothing() {
    let fixture = Fixture::new();
    fixture.fail("CreateUser", ErrorKind::Uniqueness);
    let answer = fixture.send("POST", "/scim/v2/Users", "{}").await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.json()["scimType"], "uniqueness");
    assert_eq!(fixture.all_calls(), ["CreateUser"]);
}

#[tokio::test]
async fn no_change_is_not_applied() {
    let fixture = Fixture::new();
    let answer = fixture.send("PATCH", &path(), "{}").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["id"], USER);
    assert!(!answer.headers.contains_key("rollcall-revision"), "nothing was written");
    assert_eq!(fixture.all_calls(), ["PatchUser", "ListGroupsOfUsers"]);
}

#[tokio::test]
async fn a_deletion_reaches_membership() {
    let fixture = Fixture::new();
    let answer = fixture.send("DELETE", &path(), "").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(answer.header("rollcall-revision"), "m.11");
    assert!(fixture.one_call("ApplyUserChange").message.contains("deleted: true"));
}

#[tokio::test]
async fn groups_are_fetched_only_to_be_shown() {
    for query in ["attributes=userName", "excludedAttributes=groups"] {
        let fixture = Fixture::new();
        let answer = fixture.send("GET", &format!("/scim/v2/Users?{query}"), "").await;
        assert_eq!(fixture.all_calls(), ["ListUsers"], "{query}");
        let user = &answer.json()["Resources"][0];
        assert_eq!((&user["id"], &user["userName"]), (&json!(USER), &json!("anna@contoso.com")));
        assert_eq!(user.get("displayName").is_some(), query.starts_with("excluded"));
        assert!(user.get("groups").is_none());
    }
    let fixture = Fixture::new();
    let both = fixture.send("POST", "/scim/v2/Users?attributes=id&excludedAttributes=groups", "{}").await;
    assert_eq!(both.status, StatusCode::BAD_REQUEST);
    assert!(fixture.all_calls().is_empty(), "refused before anything was written");
}

#[tokio::test]
async fn attributes_shape_the_answers_to_writes() {
    let fixture = Fixture::new();
    for (method, uri) in [("POST", "/scim/v2/Users".to_owned()), ("PUT", path()), ("PATCH", path())] {
        let body = fixture.send(method, &format!("{uri}?attributes=displayName"), "{}").await.json();
        assert_eq!(body["displayName"], "Anna", "{method}");
        assert!(body.get("userName").is_none() && body.get("meta").is_none(), "{method}: {body}");
    }
}

#[tokio::test]
async fn preconditions_reach_the_service_and_come_back_as_412() {
    let fixture = Fixture::new();
    for (method, rpc) in [("PUT", "ReplaceUser"), ("PATCH", "PatchUser"), ("DELETE", "DeleteUser")] {
        fixture.send_with(method, &path(), "{}", &[("if-match", "W/\"2.0123456789ab\", \"9\"")]).await;
        let call = fixture.one_call(rpc);
        assert!(call.message.contains("Precondition { any: false, versions: [2, 9] }"), "{}", call.message);
        fixture.fail(rpc, ErrorKind::VersionMismatch);
        let answer = fixture.send_with(method, &path(), "{}", &[("if-match", "W/\"2\"")]).await;
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
    }
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let fixture = Fixture::new();
    let get = async |query: &str, tag: &str| {
        fixture.send_with("GET", &format!("{}{query}", path()), "", &[("if-none-match", tag)]).await
    };
    let whole = fixture.send("GET", &path(), "").await;
    let tag = whole.header("etag").to_owned();
    assert_eq!(whole.json()["meta"]["version"], *tag);
    let answer = get("", &tag).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(answer.header("etag"), tag);
    // A representation without groups has another tag.
    assert_eq!(get("", "W/\"3\"").await.status, StatusCode::OK);
    for query in ["?excludedAttributes=groups", "?attributes=userName,meta"] {
        let answer = get(query, &tag).await;
        assert_eq!((answer.status, answer.header("etag")), (StatusCode::OK, "W/\"3\""));
        assert_eq!(answer.json()["meta"]["version"], "W/\"3\"");
        assert_eq!(get(query, "W/\"3\"").await.status, StatusCode::NOT_MODIFIED);
    }
    // The user itself has not changed, only who is in which group.
    fixture.world.groups_of_users.lock().unwrap().pop();
    let answer = get("", &tag).await;
    assert_eq!(answer.status, StatusCode::OK);
    let fewer = answer.header("etag").to_owned();
    assert_ne!(fewer, tag);
    fixture.world.groups_of_users.lock().unwrap().clear();
    let answer = get("", &fewer).await;
    assert_eq!((answer.status, answer.header("etag")), (StatusCode::OK, "W/\"3\""));
    assert_eq!(get("", "W/\"3\"").await.status, StatusCode::NOT_MODIFIED);
    let listed = fixture.send("GET", "/scim/v2/Users", "").await.json();
    assert_eq!(listed["Resources"][0]["meta"]["version"], "W/\"3\"");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let fixture = Fixture::new();
    let answer = fixture.send("HEAD", &path(), "").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(answer.header("etag"), fixture.send("GET", &path(), "").await.header("etag"));
    assert_eq!(answer.header("content-type"), "application/scim+json");
    assert_eq!(fixture.send("HEAD", "/scim/v2/Users/unknown", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_are_asked_for_within_bounds() {
    let config = Config { default_page_size: 20, max_page_size: 50, ..Config::default() };
    let asked = async |query: &str| {
        let fixture = Fixture::with(config.clone(), Dialect::Entra);
        let answer = fixture.send("GET", &format!("/scim/v2/Users?{query}"), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        (fixture.one_call("ListUsers").message, answer.json())
    };
    for (query, page) in [
        ("", "Page { start_index: 1, count: Some(20), cursor: None }"),
        ("count=5&startIndex=11", "Page { start_index: 11, count: Some(5), cursor: None }"),
        ("count=5000", "Page { start_index: 1, count: Some(50), cursor: None }"),
        ("count=-1&startIndex=-7", "Page { start_index: 1, count: Some(0), cursor: None }"),
        ("cursor&count=5", "Page { start_index: 0, count: Some(5), cursor: Some(\"\") }"),
        ("cursor=abc", "Page { start_index: 0, count: Some(20), cursor: Some(\"abc\") }"),
        // The service refuses this one.
        ("cursor=abc&startIndex=0", "Page { start_index: 1, count: Some(20), cursor: Some(\"abc\") }"),
    ] {
        let (message, _) = asked(query).await;
        assert!(message.contains(page), "{query}: {message}");
    }
    let (_, body) = asked("startIndex=6").await;
    assert_eq!(
        (&body["startIndex"], &body["totalResults"], &body["itemsPerPage"]),
        (&json!(6), &json!(7), &json!(1))
    );
    let (_, body) = asked("cursor=").await;
    assert_eq!(body["nextCursor"], "next");
    assert!(body.get("startIndex").is_none());

    let fixture = Fixture::new();
    for bad in ["count=many", "startIndex=1.5", "sortBy=userName&sortOrder=up"] {
        let answer = fixture.send("GET", &format!("/scim/v2/Users?{bad}"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert_eq!(answer.json()["scimType"], "invalidValue", "{bad}");
    }
}

#[tokio::test]
async fn a_search_is_a_list() {
    let fixture = Fixture::new();
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "attributes": ["userName", "displayName"],
        "filter": "displayName sw \"a\"",
        "sortBy": "userName", "sortOrder": "descending", "startIndex": 2, "count": 10,
    });
    let answer = fixture.send("POST", "/scim/v2/Users/.search", &body.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.json()["startIndex"], 2);
    assert!(answer.json()["Resources"][0].get("meta").is_none());
    let message = fixture.one_call("ListUsers").message;
    for part in
        [r#"displayName sw \"a\""#, "sort_by: \"userName\"", "Descending", "start_index: 2, count: Some(10)"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
    for bad in ["[]", "{", "{}", r#"{"schemas":["urn:other"]}"#] {
        assert_eq!(
            fixture.send("POST", "/scim/v2/Users/.search", bad).await.status,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn what_was_skipped_is_told() {
    let fixture = Fixture::new();
    let warning =
        |attribute: &str| Warning { attribute: attribute.into(), detail: "unknown team, skipped".into() };
    *fixture.world.warnings.lock().unwrap() = vec![warning("teams[0]"), warning("teams[1]")];
    let answer = fixture.send("PUT", &path(), "{}").await;
    let told: Vec<_> = answer.headers.get_all("rollcall-warning").iter().collect();
    assert_eq!(told, ["teams[0]: unknown team, skipped", "teams[1]: unknown team, skipped"]);
}
