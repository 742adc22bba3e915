//! Local users, and users who were deleted.

use http::StatusCode;
use serde_json::json;

use crate::fake::{ADMIN, Fixture, SECRET, USER};

const USERS: &str = "/admin/v1/tenants/contoso/users";

fn locked(scim_enabled: bool, lock_local_changes: bool) -> Fixture {
    let fixture = Fixture::new();
    fixture.tenant_of(SECRET, |tenant| {
        tenant.scim_enabled = scim_enabled;
        tenant.settings.as_mut().unwrap().lock_local_changes = lock_local_changes;
    });
    fixture
}

#[tokio::test]
async fn a_local_user_is_written_as_scim_writes_it() {
    let fixture = Fixture::new();
    fixture.tenant_of(SECRET, |tenant| tenant.settings.as_mut().unwrap().user_create = false);
    let made = fixture.send("POST", USERS, r#"{"userName":"anna@contoso.com"}"#).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.header("content-type"), "application/scim+json");
    assert_eq!(made.header("location"), format!("http://scim.test/scim/v2/Users/{USER}"));
    assert_eq!(made.header("rollcall-revision"), "m.11", "membership follows at once");
    assert_eq!(made.json()["userName"], "anna@contoso.com");
    let call = fixture.one_call("CreateUser");
    assert_eq!(call.metadata("authorization"), format!("Bearer jwt-for-{ADMIN}"));
    assert!(call.message.contains("Rfc") || call.message.contains("dialect: 3"), "{}", call.message);

    let list = fixture.send("GET", &format!("{USERS}?count=5&filter=userName+pr"), "").await;
    assert_eq!((list.status, &list.json()["totalResults"]), (StatusCode::OK, &json!(7)));
    assert_eq!(*fixture.world.list_filter.lock().unwrap(), "userName pr");
    let one = fixture.send("GET", &format!("{USERS}/{USER}"), "").await;
    assert_eq!((one.status, &one.json()["id"]), (StatusCode::OK, &json!(USER)));
    assert_eq!(fixture.send("DELETE", &format!("{USERS}/{USER}"), "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(fixture.calls("ApplyUserChange").len(), 2);
}

#[tokio::test]
async fn who_comes_and_goes_can_be_locked_to_the_identity_provider() {
    for (scim_enabled, lock, is_refused) in
        [(true, true, true), (true, false, false), (false, true, false), (false, false, false)]
    {
        let fixture = locked(scim_enabled, lock);
        for (method, uri) in [("POST", USERS.to_owned()), ("DELETE", format!("{USERS}/{USER}"))] {
            let answer = fixture.send(method, &uri, r#"{"userName":"anna"}"#).await;
            assert_eq!(answer.status == StatusCode::CONFLICT, is_refused, "{method}: {}", answer.body);
            if is_refused {
                assert!(answer.json()["detail"].as_str().unwrap().contains("`lock_local_changes`"));
                assert_eq!(answer.header("content-type"), "application/problem+json");
            }
        }
        assert_eq!(fixture.calls("CreateUser").is_empty(), is_refused);
        assert_eq!(fixture.calls("DeleteUser").is_empty(), is_refused);
        // To look is always allowed.
        assert_eq!(fixture.send("GET", USERS, "").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn errors_are_problems_whatever_scim_would_say() {
    let fixture = Fixture::new();
    for (method, uri, body, status) in [
        ("GET", format!("{USERS}/nobody"), "", StatusCode::NOT_FOUND),
        ("GET", format!("{USERS}?count=ten"), "", StatusCode::BAD_REQUEST),
        ("GET", "/admin/v1/tenants/nobody/users".to_owned(), "", StatusCode::NOT_FOUND),
    ] {
        let answer = fixture.send(method, &uri, body).await;
        assert_eq!(answer.status, status, "{uri}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{uri}");
    }
    let text = [("content-type", "text/plain")];
    let answer = fixture.send_with("POST", USERS, "{}", &text).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn suspended_users_are_listed_restored_and_purged() {
    let fixture = Fixture::new();
    let base = "/admin/v1/tenants/contoso/suspended-users";
    let list = fixture.send("GET", &format!("{base}?page_size=3"), "").await.json();
    let expected = json!({
        "users": [{
            "id": USER, "user_name": "anna@contoso.com",
            "suspended_at": "2020-09-13T12:26:40.000Z", "purge_at": "2020-09-14T12:26:40.000Z",
        }],
        "next_page_token": "more",
    });
    assert_eq!(list, expected);
    let restored = fixture.send("POST", &format!("{base}/{USER}/restore"), "").await;
    assert_eq!((restored.status, restored.json()), (StatusCode::OK, json!({"id": USER, "version": 3})));
    assert_eq!(fixture.calls("ApplyUserChange").len(), 1, "membership knows at once");
    assert_eq!(fixture.send("DELETE", &format!("{base}/{USER}"), "").await.status, StatusCode::NO_CONTENT);
    assert!(fixture.one_call("PurgeSuspendedUser").message.contains(USER));
}

#[tokio::test]
async fn a_role_is_known_to_membership_at_once() {
    let fixture = Fixture::new();
    let answer = fixture.send("PUT", &format!("{USERS}/{USER}/role"), r#"{"role":"owner"}"#).await;
    assert_eq!(answer.json(), json!({"user_id": USER, "role": "owner", "version": 4}));
    assert_eq!(fixture.calls("ApplyUserChange").len(), 1);
}
