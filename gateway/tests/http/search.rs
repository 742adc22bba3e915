//! Searches by POST over one type and over both, and filters that two services answer together.

use http::StatusCode;
use proto::common::v1::Dialect;
use scim::ErrorKind;
use serde_json::{Value, json};

use crate::fake::{Answer, Fixture, GROUP, USER};

async fn search(fixture: &Fixture, path: &str, mut body: Value) -> Answer {
    body["schemas"] = json!(["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]);
    fixture.send("POST", &format!("/scim/v2{path}"), &body.to_string()).await
}

fn types(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let resources = body["Resources"].as_array().unwrap();
    resources.iter().map(|one| one["meta"]["resourceType"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_root_is_searched_users_first() {
    let fixture = Fixture::new();
    for members in ["", "members"] {
        let answer =
            search(&fixture, "/.search", json!({"excludedAttributes": [members], "startIndex": 7})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(types(&answer), ["User", "Group", "Group"]);
        let body = answer.json();
        // Seven users, five groups.
        assert_eq!(
            (&body["totalResults"], &body["itemsPerPage"], &body["startIndex"]),
            (&json!(12), &json!(3), &json!(7))
        );
        assert_eq!(body["Resources"][0]["groups"].as_array().unwrap().len(), 2);
        assert_eq!(body["Resources"][1].get("members").is_some(), members.is_empty());
    }
    assert!(
        fixture.calls("ListGroups")[0].message.contains("start_index: 1, count: Some(99)"),
        "the last user, then groups"
    );
}

#[tokio::test]
async fn pages_run_from_the_users_into_the_groups() {
    // Seven users; the fake sends one of them whatever is asked for.
    for (start, count, groups) in [
        (1, 5, "start_index: 1, count: Some(0)"),
        (1, 7, "start_index: 1, count: Some(0)"),
        // There is room for groups, and yet they are not due: more users follow.
        (1, 8, "start_index: 1, count: Some(0)"),
        (7, 3, "start_index: 1, count: Some(2)"),
        (8, 3, "start_index: 1, count: Some(2)"),
        (10, 3, "start_index: 3, count: Some(2)"),
        (1, 0, "start_index: 1, count: Some(0)"),
    ] {
        let fixture = Fixture::new();
        let answer = search(&fixture, "/.search", json!({"startIndex": start, "count": count})).await;
        assert_eq!(answer.json()["startIndex"], start);
        let message = fixture.one_call("ListGroups").message;
        assert!(message.contains(groups), "{start} {count}: {message}");
    }
}

#[tokio::test]
async fn a_walk_by_cursor_sees_all_users_and_then_all_groups() {
    let fixture = Fixture::new();
    let page = async |cursor: &str| search(&fixture, "/.search", json!({"cursor": cursor, "count": 1})).await;
    let first = page("").await;
    assert_eq!((types(&first), first.json()["totalResults"].clone()), (vec!["User".to_owned()], json!(12)));
    assert!(first.json().get("startIndex").is_none());
    assert_eq!(first.json()["nextCursor"], "u.next");
    let second = page("u.next").await;
    assert_eq!(types(&second), ["User"]);
    let asked = fixture.calls("ListUsers").pop().unwrap();
    assert!(asked.message.contains(r#"cursor: Some("next")"#), "{}", asked.message);
    let third = page("g.").await;
    assert_eq!(
        (types(&third), third.json()["totalResults"].clone()),
        (vec!["Group".to_owned(); 2], json!(12))
    );
    assert!(third.json().get("nextCursor").is_none());
    let asked = fixture.calls("ListGroups").pop().unwrap();
    assert!(asked.message.contains(r#"count: Some(1), cursor: Some("")"#), "{}", asked.message);

    for (cursor, kind) in [("next", "invalidCursor"), ("x.next", "invalidCursor")] {
        let refused = page(cursor).await;
        assert_eq!((refused.status, &refused.json()["scimType"]), (StatusCode::BAD_REQUEST, &json!(kind)));
    }
    let both = search(&fixture, "/.search", json!({"cursor": "", "startIndex": 2})).await;
    assert_eq!(both.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn each_type_is_asked_what_it_has() {
    let fixture = Fixture::with(gateway::Config::default(), Dialect::Rfc);
    let filter = r#"displayName sw "a" or userName eq "b""#;
    let body = json!({"filter": filter, "sortBy": "userName", "sortOrder": "descending", "attributes": ["displayName", "meta"]});
    let answer = search(&fixture, "/.search", body).await;
    assert_eq!(types(&answer), ["User", "Group", "Group"]);
    let users = fixture.one_call("ListUsers").message;
    for part in [r#"or userName eq \"b\""#, r#"sort_by: "userName""#, "Descending"] {
        assert!(users.contains(part), "{part} in {users}");
    }
    let groups = fixture.one_call("ListGroups").message;
    for part in [r#"or not (id pr)"#, r#"sort_by: """#, "Descending", "with_members: false"] {
        assert!(groups.contains(part), "{part} in {groups}");
    }
    fixture.fail("ListGroups", ErrorKind::InvalidFilter);
    let refused = search(&fixture, "/.search", json!({"filter": "nonsense pr"})).await;
    assert_eq!(
        (refused.status, &refused.json()["scimType"]),
        (StatusCode::BAD_REQUEST, &json!("invalidFilter"))
    );
}

#[tokio::test]
async fn membership_says_who_is_in_the_groups_of_a_filter() {
    let fixture = Fixture::new();
    let filter = format!(r#"active eq true and groups.value eq "{GROUP}""#);
    let query = filter.replace(' ', "+").replace('"', "%22");
    for answer in [
        fixture.send("GET", &format!("/scim/v2/Users?filter={query}"), "").await,
        search(&fixture, "/Users/.search", json!({"filter": filter})).await,
        search(&fixture, "/.search", json!({"filter": filter})).await,
    ] {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    assert_eq!(fixture.calls("ListUserIdsOfGroups").len(), 3);
    for call in fixture.calls("ListUsers") {
        let term = format!(
            r#"ResolvedTerm {{ attribute: "groups.value", value: "{GROUP}", user_ids: ["{USER}"] }}"#
        );
        assert!(call.message.contains(&term), "{}", call.message);
    }

    fixture.fail("ListUserIdsOfGroups", ErrorKind::TooMany);
    let refused = search(&fixture, "/Users/.search", json!({"filter": filter})).await;
    assert_eq!((refused.status, &refused.json()["scimType"]), (StatusCode::BAD_REQUEST, &json!("tooMany")));
    assert_eq!(fixture.calls("ListUsers").len(), 3);
}
