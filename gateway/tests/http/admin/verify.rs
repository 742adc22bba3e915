//! Comparing what membership keeps of a tenant with identity's users.

use http::StatusCode;
use scim::ErrorKind;

use crate::fake::Fixture;

const VERIFY: &str = "/admin/v1/tenants/contoso/verify";

#[tokio::test]
async fn identitys_users_are_passed_on_a_run_at_a_time() {
    let fixture = Fixture::new();
    let answer = fixture.send("POST", VERIFY, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let found = answer.json();
    assert_eq!(
        (&found["users"], &found["groups"], &found["memberships"]),
        (&2001.into(), &1.into(), &2.into())
    );
    assert_eq!((&found["index_compared"], &found["truncated"]), (&true.into(), &false.into()));
    assert_eq!(found["differences"][0]["what"], "user.missing");
    assert!(found["differences"][0].get("group_id").is_none());

    // One before identity is asked, five of at most 500 users, each behind the one before.
    let calls = fixture.calls("VerifyTenant");
    assert_eq!(found["differences"].as_array().unwrap().len(), calls.len());
    assert_eq!(calls.len(), 6);
    assert_eq!(fixture.all_calls().iter().filter(|rpc| **rpc == "identity.ExportTenant").count(), 1);
    let before = fixture.all_calls().iter().position(|rpc| *rpc == "VerifyTenant").unwrap();
    assert!(before < fixture.all_calls().iter().position(|rpc| *rpc == "identity.ExportTenant").unwrap());
    assert!(calls[0].message.contains("since: \"\"") && calls[0].message.contains("users: []"));
    assert!(calls[2].message.contains("since: \"7.7\"") && calls[2].message.contains("after_id: \"498\""));
    assert!(calls.iter().take(5).all(|call| call.message.contains("is_last: false")));
    assert!(calls[5].message.contains("is_last: true"));
}

#[tokio::test]
async fn what_could_not_be_compared_is_an_error() {
    for rpc in ["VerifyTenant", "identity.ExportTenant"] {
        let fixture = Fixture::new();
        fixture.fail(rpc, ErrorKind::Unavailable);
        assert_eq!(fixture.send("POST", VERIFY, "").await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
