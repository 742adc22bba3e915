//! The main job, end to end: what Entra writes over SCIM is what an internal service reads over gRPC, at once.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;

use proto::membership::v1::{
    CheckRequest, Depth, GroupRef, ListGroupMembersRequest, ListUserGroupsRequest, UserRef, group_ref,
    user_ref,
};
use serde_json::{Value, json};
use testkit::client::Client;
use testkit::memberships::{Memberships, group, user};
use testkit::server::Standalone;
use tonic::Code;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn server() -> &'static Standalone {
    Standalone::shared(Path::new(env!("CARGO_BIN_EXE_rollcall")))
}

/// A fresh tenant: its SCIM client, and its internal service.
async fn tenant(name: &str) -> (Client, Memberships) {
    let tenant = server().tenant(&format!("memberships: {name}"), "entra").await.unwrap();
    let token = server().access_token(name, Some(&tenant.tenant.id), "memberships:read").await.unwrap();
    (tenant.client(), Memberships::connect(&server().grpc, Some(&token)).await.unwrap())
}

async fn new_user(scim: &Client, name: &str) -> String {
    let user = json!({"schemas": [USER], "userName": format!("{name}@example.com"), "externalId": name, "active": true});
    scim.post("/Users", &user).await.unwrap().id().unwrap()
}

async fn new_group(scim: &Client, name: &str, members: &[&str]) -> String {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    let group = json!({"schemas": [GROUP], "displayName": name, "externalId": name, "members": members});
    scim.post("/Groups", &group).await.unwrap().id().unwrap()
}

async fn patch(scim: &Client, path: &str, operation: Value) {
    let body =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]});
    let answer = scim.patch(path, &body).await.unwrap();
    assert!(matches!(answer.status, 200 | 204), "{} {}", answer.status, answer.text);
}

fn is_member(user_id: &str, group_id: &str) -> CheckRequest {
    CheckRequest { user: user(user_id), group: group(group_id), ..Default::default() }
}

#[tokio::test]
async fn a_write_is_read_at_once() {
    let (scim, memberships) = tenant("at once").await;
    let sales = new_group(&scim, "Sales", &[]).await;
    for round in 0..20 {
        let anna = new_user(&scim, &format!("anna{round}")).await;
        assert!(!memberships.check(is_member(&anna, &sales)).await.unwrap(), "round {round}");
        let path = format!("/Groups/{sales}");
        patch(&scim, &path, json!({"op": "Add", "path": "members", "value": [{"value": anna}]})).await;
        assert!(memberships.check(is_member(&anna, &sales)).await.unwrap(), "round {round}");
        patch(&scim, &path, json!({"op": "Remove", "path": "members", "value": [{"value": anna}]})).await;
        assert!(!memberships.check(is_member(&anna, &sales)).await.unwrap(), "round {round}");
    }
}

#[tokio::test]
async fn an_inactive_user_is_a_member_of_nothing_and_a_restored_one_of_all_as_before() {
    let (scim, memberships) = tenant("inactive").await;
    let anna = new_user(&scim, "anna").await;
    let bert = new_user(&scim, "bert").await;
    let sales = new_group(&scim, "Sales", &[&anna, &bert]).await;
    let members = async |include_inactive: bool| {
        let question =
            ListGroupMembersRequest { group: group(&sales), include_inactive, ..Default::default() };
        let members = memberships.group_members(question).await.unwrap();
        members.into_iter().map(|member| (member.user_id, member.active)).collect::<Vec<_>>()
    };
    let groups = async || {
        let question = ListUserGroupsRequest { user: user(&anna), ..Default::default() };
        memberships.user_groups(question).await.unwrap().len()
    };
    assert_eq!(members(false).await, [(anna.clone(), true), (bert.clone(), true)]);
    assert_eq!(groups().await, 1);

    let path = format!("/Users/{anna}");
    patch(&scim, &path, json!({"op": "Replace", "path": "active", "value": "False"})).await;
    assert!(!memberships.check(is_member(&anna, &sales)).await.unwrap());
    let anyway = CheckRequest { include_inactive: true, ..is_member(&anna, &sales) };
    assert!(memberships.check(anyway).await.unwrap());
    assert_eq!(members(false).await, [(bert.clone(), true)]);
    assert_eq!(members(true).await, [(anna.clone(), false), (bert.clone(), true)]);
    assert_eq!(groups().await, 0);

    patch(&scim, &path, json!({"op": "Replace", "path": "active", "value": "True"})).await;
    assert!(memberships.check(is_member(&anna, &sales)).await.unwrap());
    assert_eq!(members(false).await, [(anna.clone(), true), (bert.clone(), true)]);
    assert_eq!(groups().await, 1);

    assert_eq!(scim.delete(&path).await.unwrap().status, 204);
    let unknown = memberships.check(is_member(&anna, &sales)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
    assert_eq!(members(true).await, [(bert.clone(), true)]);

    assert_eq!(scim.delete(&format!("/Groups/{sales}")).await.unwrap().status, 204);
    let unknown = memberships.check(is_member(&bert, &sales)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
}

#[tokio::test]
async fn nested_groups_count_and_cycles_do_no_harm() {
    let (scim, memberships) = tenant("nested").await;
    let anna = new_user(&scim, "anna").await;
    let team = new_group(&scim, "Team", &[&anna]).await;
    let department = new_group(&scim, "Department", &[&team]).await;
    let company = new_group(&scim, "Company", &[&department]).await;
    // The company is in the team: a cycle.
    let add = json!({"op": "add", "path": "members", "value": [{"value": company, "type": "Group"}]});
    patch(&scim, &format!("/Groups/{team}"), add).await;

    for id in [&team, &department, &company] {
        assert!(memberships.check(is_member(&anna, id)).await.unwrap());
        let direct = CheckRequest { depth: Depth::Direct.into(), ..is_member(&anna, id) };
        assert_eq!(memberships.check(direct).await.unwrap(), *id == team);
        let question = ListGroupMembersRequest { group: group(id), ..Default::default() };
        let members = memberships.group_members(question).await.unwrap();
        let members: Vec<&str> = members.iter().map(|member| member.user_id.as_str()).collect();
        assert_eq!(members, [anna.as_str()]);
    }
    let groups = memberships.user_groups(ListUserGroupsRequest { user: user(&anna), ..Default::default() });
    let groups: Vec<(String, bool)> =
        groups.await.unwrap().into_iter().map(|group| (group.id, group.direct)).collect();
    assert_eq!(groups, [(team.clone(), true), (department, false), (company, false)]);

    let remove = json!({"op": "remove", "path": "members", "value": [{"value": anna}]});
    patch(&scim, &format!("/Groups/{team}"), remove).await;
    let groups = memberships.user_groups(ListUserGroupsRequest { user: user(&anna), ..Default::default() });
    assert!(groups.await.unwrap().is_empty());
}

#[tokio::test]
async fn users_and_groups_have_other_names_too() {
    let (scim, memberships) = tenant("names").await;
    let anna = new_user(&scim, "anna").await;
    let sales = new_group(&scim, "Sales", &[&anna]).await;
    let users = [
        user_ref::Ref::Id(anna.clone()),
        user_ref::Ref::ExternalId("anna".to_owned()),
        user_ref::Ref::UserName("ANNA@Example.com".to_owned()),
    ];
    let groups = [
        group_ref::Ref::Id(sales.clone()),
        group_ref::Ref::ExternalId("Sales".to_owned()),
        group_ref::Ref::DisplayName("sales".to_owned()),
    ];
    for user in &users {
        for group in &groups {
            let question = CheckRequest {
                user: Some(UserRef { r#ref: Some(user.clone()) }),
                group: Some(GroupRef { r#ref: Some(group.clone()) }),
                ..Default::default()
            };
            assert!(memberships.check(question).await.unwrap(), "{user:?} in {group:?}");
        }
    }
    // External ids are compared exactly; what is not there is not found, never "no".
    for user in [user_ref::Ref::ExternalId("ANNA".to_owned()), user_ref::Ref::UserName("nobody".to_owned())] {
        let question = CheckRequest {
            user: Some(UserRef { r#ref: Some(user) }),
            group: group(&sales),
            ..Default::default()
        };
        assert_eq!(memberships.check(question).await.unwrap_err().code(), Code::NotFound);
    }
    let nothing = CheckRequest { user: None, group: group(&sales), ..Default::default() };
    assert_eq!(memberships.check(nothing).await.unwrap_err().code(), Code::InvalidArgument);
    let no_id = CheckRequest { user: user("no id"), group: group(&sales), ..Default::default() };
    let refused = memberships.check(no_id).await.unwrap_err().code();
    assert!(matches!(refused, Code::NotFound | Code::InvalidArgument), "{refused:?}");

    // A new name holds at once, the old one no more.
    let path = format!("/Users/{anna}");
    patch(&scim, &path, json!({"op": "Replace", "path": "userName", "value": "married@example.com"})).await;
    let named = |name: &str| CheckRequest {
        user: Some(UserRef { r#ref: Some(user_ref::Ref::UserName(name.to_owned())) }),
        group: group(&sales),
        ..Default::default()
    };
    assert!(memberships.check(named("married@example.com")).await.unwrap());
    assert_eq!(memberships.check(named("anna@example.com")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_patches_of_one_group_lose_nothing() {
    let (scim, memberships) = tenant("concurrent").await;
    let mut users = Vec::new();
    for number in 0..60 {
        users.push(new_user(&scim, &format!("u{number}")).await);
    }
    // The first thirty are in it and leave, while the others come.
    let (leaving, coming) = users.split_at(30);
    let first: Vec<&str> = leaving.iter().map(String::as_str).collect();
    let sales = new_group(&scim, "Sales", &first).await;
    let mut writers = Vec::new();
    for (leaves, comes) in leaving.iter().zip(coming) {
        for (op, id) in [("Remove", leaves.clone()), ("Add", comes.clone())] {
            let (scim, path) = (scim.clone(), format!("/Groups/{sales}"));
            writers.push(tokio::spawn(async move {
                patch(&scim, &path, json!({"op": op, "path": "members", "value": [{"value": id}]})).await;
            }));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let question = ListGroupMembersRequest { group: group(&sales), ..Default::default() };
    let members = memberships.group_members(question).await.unwrap();
    let members: Vec<String> = members.into_iter().map(|member| member.user_id).collect();
    assert_eq!(members, coming);
}
