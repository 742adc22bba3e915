//! Tenant A's token can neither see nor touch anything of tenant B, at any endpoint, tried with B's own ids.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;

use proto::membership::v1::{CheckRequest, ListGroupMembersRequest, ListUserGroupsRequest};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::Client;
use testkit::memberships::{Memberships, group, user};
use testkit::server::{Standalone, Tenant};
use tonic::Code;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn server() -> &'static Standalone {
    Standalone::shared(Path::new(env!("CARGO_BIN_EXE_rollcall")))
}

/// A tenant with one user in one group. All tenants use the same names: only ids differ.
struct Populated {
    tenant: Tenant,
    client: Client,
    user: String,
    group: String,
}

async fn populated(name: &str) -> Populated {
    let tenant = server().tenant(name, "entra").await.unwrap();
    let client = tenant.client();
    let user = json!({
        "schemas": [USER], "userName": "same@example.com", "externalId": "same", "active": true,
        "displayName": format!("User of {name}"), "emails": [{"type": "work", "value": "same@example.com"}],
    });
    let user = client.post("/Users", &user).await.unwrap().id().unwrap();
    let group = json!({"schemas": [GROUP], "displayName": "Same", "externalId": "same", "members": [{"value": user}]});
    let group = client.post("/Groups", &group).await.unwrap().id().unwrap();
    Populated { tenant, client, user, group }
}

async fn two_tenants(test: &str) -> (Populated, Populated) {
    (populated(&format!("{test} A")).await, populated(&format!("{test} B")).await)
}

fn patch(operation: Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]})
}

/// What B's own token sees of B: nothing that A does may change it.
async fn all_of(tenant: &Populated) -> (Value, Value) {
    let users = tenant.client.get("/Users").await.unwrap();
    let groups = tenant.client.get("/Groups").await.unwrap();
    assert_eq!((users.status, groups.status), (200, 200));
    assert_eq!(users.body["totalResults"], 1, "{}", users.text);
    (users.body, groups.body)
}

#[tokio::test]
async fn ids_of_another_tenant_are_not_found() {
    let (a, b) = two_tenants("ids").await;
    let before = all_of(&b).await;
    let user = format!("/Users/{}", b.user);
    let group = format!("/Groups/{}", b.group);
    let requests = [
        (Method::GET, &user, None),
        (Method::PUT, &user, Some(json!({"schemas": [USER], "userName": "stolen@example.com"}))),
        (Method::PATCH, &user, Some(patch(json!({"op": "replace", "path": "active", "value": false})))),
        (Method::DELETE, &user, None),
        (Method::GET, &group, None),
        (Method::PUT, &group, Some(json!({"schemas": [GROUP], "displayName": "Stolen"}))),
        (
            Method::PATCH,
            &group,
            Some(patch(json!({"op": "replace", "path": "displayName", "value": "Stolen"}))),
        ),
        (
            Method::PATCH,
            &group,
            Some(patch(json!({"op": "add", "path": "members", "value": [{"value": a.user}]}))),
        ),
        (
            Method::PATCH,
            &group,
            Some(patch(json!({"op": "remove", "path": "members", "value": [{"value": b.user}]}))),
        ),
        (Method::DELETE, &group, None),
    ];
    for (method, path, body) in requests {
        let answer = a.client.call(method.clone(), path, body.as_ref()).await.unwrap();
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        answer.check_scim_error().unwrap();
    }
    assert_eq!(all_of(&b).await, before);
}

#[tokio::test]
async fn lists_and_filters_show_nothing_of_another_tenant() {
    let (a, b) = two_tenants("lists").await;
    let empty = [
        format!("/Users?filter=id+eq+%22{}%22", b.user),
        format!("/Users?filter=displayName+eq+%22{}%22", "User+of+lists+B"),
        format!("/Users?filter=id+eq+%22{}%22+or+id+eq+%22{}%22", b.user, b.group),
        format!("/Groups?filter=id+eq+%22{}%22", b.group),
        format!("/Groups?filter=members+eq+%22{}%22", b.user),
        format!("/Groups?filter=members%5Bvalue+eq+%22{}%22%5D", b.user),
        format!("/Groups?filter=id+eq+%22{}%22+and+members+eq+%22{}%22", b.group, b.user),
    ];
    for path in empty {
        let answer = a.client.get(&path).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body["totalResults"]),
            (200, &json!(0)),
            "{path}: {}",
            answer.text
        );
    }
    // Answered with nobody, or refused: never with anybody.
    let by_group = a.client.get(&format!("/Users?filter=groups.value+eq+%22{}%22", b.group)).await.unwrap();
    assert!(!by_group.text.contains(&b.user) && !by_group.text.contains(&a.user), "{}", by_group.text);
    let own = [
        ("/Users", &a.user),
        ("/Users?filter=userName+eq+%22same%40example.com%22", &a.user),
        ("/Users?filter=externalId+eq+%22same%22", &a.user),
        ("/Users?filter=emails%5Btype+eq+%22work%22%5D.value+eq+%22same%40example.com%22", &a.user),
        ("/Users?filter=active+eq+true", &a.user),
        ("/Groups", &a.group),
        ("/Groups?filter=displayName+eq+%22Same%22", &a.group),
        ("/Groups?filter=externalId+eq+%22same%22", &a.group),
    ];
    for (path, id) in own {
        let answer = a.client.get(path).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body["totalResults"]),
            (200, &json!(1)),
            "{path}: {}",
            answer.text
        );
        assert_eq!(answer.body["Resources"][0]["id"], json!(id), "{path}");
    }
}

#[tokio::test]
async fn a_user_of_another_tenant_does_not_become_a_member() {
    let (a, b) = two_tenants("members").await;
    let before = all_of(&b).await;
    let member = json!([{"value": b.user}]);
    let path = format!("/Groups/{}", a.group);

    let added = patch(json!({"op": "add", "path": "members", "value": member}));
    let answer = a.client.patch(&path, &added).await.unwrap();
    assert!(answer.status < 500, "{}", answer.text);
    let put =
        json!({"schemas": [GROUP], "displayName": "Same", "members": [{"value": a.user}, {"value": b.user}]});
    let answer = a.client.put(&path, &put).await.unwrap();
    assert!(answer.status < 500, "{}", answer.text);
    let group = json!({"schemas": [GROUP], "displayName": "Theirs", "members": member});
    let answer = a.client.post("/Groups", &group).await.unwrap();
    assert!(answer.status < 500, "{}", answer.text);
    let nested =
        patch(json!({"op": "add", "path": "members", "value": [{"value": b.group, "type": "Group"}]}));
    let answer = a.client.patch(&path, &nested).await.unwrap();
    assert!(answer.status < 500, "{}", answer.text);

    let groups = a.client.get("/Groups").await.unwrap();
    assert_eq!(groups.status, 200);
    for id in [&b.user, &b.group] {
        assert!(!groups.text.contains(id.as_str()), "{}", groups.text);
    }
    assert_eq!(all_of(&b).await, before);
}

#[tokio::test]
async fn a_manager_in_another_tenant_tells_nothing() {
    let (a, b) = two_tenants("manager").await;
    let path = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager";
    let manager = patch(json!({"op": "add", "path": path, "value": b.user}));
    let answer = a.client.patch(&format!("/Users/{}", a.user), &manager).await.unwrap();
    assert!(answer.status < 500, "{}", answer.text);
    let answer = a.client.get(&format!("/Users/{}", a.user)).await.unwrap();
    assert!(!answer.text.contains("User of manager B"), "{}", answer.text);
}

#[tokio::test]
async fn membership_questions_stay_within_the_tenant() {
    let (a, b) = two_tenants("grpc").await;
    let token = server().access_token("grpc A", Some(&a.tenant.tenant.id), "memberships:read").await.unwrap();
    let memberships = Memberships::connect(&server().grpc, Some(&token)).await.unwrap();
    let (own, other) = (a.tenant.tenant.id.as_str(), b.tenant.tenant.id.as_str());

    // Its own tenant, named or not: answered.
    for tenant in [own, ""] {
        assert!(memberships.check(check(tenant, &a.user, &a.group)).await.unwrap());
        let members = memberships.group_members(group_members(tenant, &a.group)).await.unwrap();
        let members: Vec<&str> = members.iter().map(|member| member.user_id.as_str()).collect();
        assert_eq!(members, [a.user.as_str()]);
    }
    // The other tenant: refused before anything is looked at.
    let refused = memberships.check(check(other, &b.user, &b.group)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let refused = memberships.user_groups(user_groups(other, &b.user)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let refused = memberships.group_members(group_members(other, &b.group)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    // The other tenant's ids: unknown.
    for tenant in [own, ""] {
        for (user, group) in [(&b.user, &a.group), (&a.user, &b.group), (&b.user, &b.group)] {
            let refused = memberships.check(check(tenant, user, group)).await.unwrap_err();
            assert_eq!(refused.code(), Code::NotFound, "{refused}");
        }
        let refused = memberships.user_groups(user_groups(tenant, &b.user)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused}");
        let refused = memberships.group_members(group_members(tenant, &b.group)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused}");
    }
    // Nobody, a provisioning secret, another scope: refused.
    let question = check(other, &b.user, &b.group);
    let nobody = memberships.with_token(None).check(question.clone()).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated, "{nobody}");
    let secret = memberships.with_token(Some(&a.tenant.token)).check(question.clone()).await.unwrap_err();
    assert_eq!(secret.code(), Code::Unauthenticated, "{secret}");
    let directory = server().access_token("grpc directory", None, "directory:read").await.unwrap();
    let scope = memberships.with_token(Some(&directory)).check(question).await.unwrap_err();
    assert_eq!(scope.code(), Code::PermissionDenied, "{scope}");
}

#[tokio::test]
async fn each_credential_opens_only_its_own_door() {
    let (a, b) = two_tenants("doors").await;
    let oauth = server().access_token("doors", None, "memberships:read").await.unwrap();
    let http = testkit::http_client();
    let tenant = format!("/tenants/{}", b.tenant.tenant.id);
    let admin = [
        (Method::GET, "/tenants"),
        (Method::POST, "/tenants"),
        (Method::GET, tenant.as_str()),
        (Method::DELETE, tenant.as_str()),
        (Method::GET, "/clients"),
        (Method::POST, "/clients"),
    ];
    for token in [a.tenant.token.as_str(), oauth.as_str(), "", "garbage"] {
        for (method, path) in &admin {
            let request = http.request(method.clone(), format!("{}/admin/v1{path}", server().http));
            let answer = request.bearer_auth(token).json(&json!({"name": "doors C"})).send().await.unwrap();
            let status = answer.status().as_u16();
            assert!(matches!(status, 401 | 403), "{method} {path} was answered {status}");
            assert!(!answer.text().await.unwrap().contains(&b.tenant.tenant.name));
        }
    }
    for token in [server().admin_token.as_str(), oauth.as_str()] {
        for path in ["/Users", "/Groups", "/Schemas", "/ServiceProviderConfig"] {
            let answer = a.client.with_token(token).get(path).await.unwrap();
            assert!(
                matches!(answer.status, 401 | 403),
                "{path} was answered {}: {}",
                answer.status,
                answer.text
            );
            answer.check_scim_error().unwrap();
        }
    }
    all_of(&b).await;
}

fn check(tenant: &str, user_id: &str, group_id: &str) -> CheckRequest {
    CheckRequest {
        tenant_id: tenant.to_owned(),
        user: user(user_id),
        group: group(group_id),
        ..Default::default()
    }
}

fn user_groups(tenant: &str, user_id: &str) -> ListUserGroupsRequest {
    ListUserGroupsRequest { tenant_id: tenant.to_owned(), user: user(user_id), ..Default::default() }
}

fn group_members(tenant: &str, group_id: &str) -> ListGroupMembersRequest {
    ListGroupMembersRequest { tenant_id: tenant.to_owned(), group: group(group_id), ..Default::default() }
}
