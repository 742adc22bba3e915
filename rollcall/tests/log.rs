//! The provisioning log, as an administrator asks it: why did this person lose access?
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::{Answer, Client};
use testkit::server::{Standalone, Tenant, data_dir};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rollcall"))
}

fn server() -> &'static Standalone {
    Standalone::shared(binary())
}

/// What the log says of a tenant, latest first. It is written behind the answer, so this waits until it is `count`.
async fn log(server: &Standalone, tenant: &Tenant, query: &str, count: usize) -> Vec<Value> {
    let path = format!("/tenants/{}/log?{query}", tenant.tenant.id);
    let mut last = Value::Null;
    for _ in 0..500 {
        let (status, page) = server.admin(Method::GET, &path, None).await.unwrap();
        assert_eq!(status, 200, "{page}");
        let exchanges = page["exchanges"].as_array().unwrap();
        if exchanges.len() >= count {
            assert_eq!(exchanges.len(), count, "{query}: {page:#}");
            return exchanges.clone();
        }
        last = page;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{query}: {count} exchanges were expected: {last:#}");
}

async fn new_user(client: &Client, name: &str) -> String {
    let user =
        json!({"schemas": [USER], "userName": name, "externalId": format!("ext-{name}"), "active": true});
    client.post("/Users", &user).await.unwrap().id().unwrap()
}

async fn new_group(client: &Client, name: &str, members: &[&str]) -> String {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    let group = json!({"schemas": [GROUP], "displayName": name, "members": members});
    client.post("/Groups", &group).await.unwrap().id().unwrap()
}

async fn patch(client: &Client, path: &str, operation: Value) -> Answer {
    let schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"];
    let answer = client.patch(path, &json!({"schemas": schemas, "Operations": [operation]})).await.unwrap();
    assert!(answer.status < 300, "{}", answer.text);
    answer
}

fn ids<'a>(exchange: &'a Value, field: &str) -> Vec<&'a str> {
    exchange[field]
        .as_array()
        .map_or_else(Vec::new, |ids| ids.iter().map(|id| id.as_str().unwrap()).collect())
}

#[tokio::test]
async fn why_did_this_person_lose_access() {
    let tenant = server().tenant("log-why", "entra").await.unwrap();
    let client = tenant.client();
    let anna = new_user(&client, "Anna@Example.com").await;
    let bert = new_user(&client, "bert@example.com").await;
    let sales = new_group(&client, "Sales", &[&anna, &bert]).await;
    let team = new_group(&client, "Team", &[&anna]).await;
    let remove = json!({"op": "Remove", "path": "members", "value": [{"value": anna}]});
    patch(&client, &format!("/Groups/{sales}"), remove).await;
    patch(&client, &format!("/Users/{anna}"), json!({"op": "Replace", "path": "active", "value": false}))
        .await;
    assert_eq!(client.delete(&format!("/Groups/{team}")).await.unwrap().status, 204);
    assert_eq!(client.delete(&format!("/Users/{anna}")).await.unwrap().status, 204);

    // By name although she is gone, in any case; by the identity provider's id; by id.
    for user in ["anna%40example.com", "ext-Anna%40Example.com", anna.as_str()] {
        let story = log(server(), &tenant, &format!("user={user}&notable=true"), 7).await;
        let told: Vec<(&str, &str)> = story
            .iter()
            .rev()
            .map(|exchange| {
                assert_eq!(exchange["outcome"], "changed", "{exchange:#}");
                (exchange["action"].as_str().unwrap(), exchange["resource"]["name"].as_str().unwrap_or("-"))
            })
            .collect();
        assert_eq!(
            told,
            [
                ("user.create", "Anna@Example.com"),
                ("group.create", "Sales"),
                ("group.create", "Team"),
                ("group.patch", "Sales"),
                ("user.patch", "Anna@Example.com"),
                ("group.delete", "Team"),
                ("user.delete", "Anna@Example.com"),
            ]
        );
        let [_, deleted_group, deactivated, left, ..] = story.as_slice() else { panic!("{story:#?}") };
        assert_eq!((ids(left, "members_removed"), ids(left, "members_added")), (vec![anna.as_str()], vec![]));
        assert_eq!(ids(deleted_group, "members_removed"), [anna.as_str()]);
        let changes = deactivated["changes"].as_array().unwrap();
        assert!(changes.contains(&json!({"path": "active", "before": true, "after": false})), "{changes:?}");
        assert!(!deactivated["actor"]["id"].as_str().unwrap().is_empty());
    }
    // The other one is still in Sales: the log knows it from there, and who has the name is asked of identity.
    let of_bert = log(server(), &tenant, "user=bert%40example.com&group=sales", 1).await;
    assert_eq!(of_bert[0]["action"], "group.create");

    let (code, story, error) =
        rollcall(&["log", "--tenant", "log-why", "--user", "anna@example.com", "--notable"]);
    assert_eq!(code, Some(0), "{error}");
    let lines: Vec<&str> = story.lines().collect();
    assert!(lines[0].starts_with("TIME") && lines[0].contains("WHAT"), "{story}");
    for part in [
        "create user Anna@Example.com",
        "joined group Sales",
        "left group Sales ",
        "active: true -> false",
        "left group Team, which was deleted",
        "delete user Anna@Example.com",
    ] {
        assert!(story.contains(part), "{part}: {story}");
    }
    let place = |part: &str| lines.iter().position(|line| line.contains(part));
    assert!(place("joined group Sales") < place("left group Sales"), "oldest first: {story}");
}

/// Runs a verb against the shared server: exit code, output, errors.
fn rollcall(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(binary())
        .args(arguments)
        .env("ROLLCALL_SERVER", &server().http)
        .env("ROLLCALL_ADMIN_TOKEN", &server().admin_token)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn what_went_wrong_is_found_by_outcome_and_request() {
    let tenant = server().tenant("log-wrong", "entra").await.unwrap();
    let client = tenant.client();
    new_user(&client, "anna").await;
    let again = client.post("/Users", &json!({"schemas": [USER], "userName": "ANNA"})).await.unwrap();
    assert_eq!(again.status, 409, "{}", again.text);
    let request_id = again.header("rollcall-request-id").to_owned();
    for _ in 0..3 {
        assert_eq!(client.get("/Users?filter=userName+eq+%22anna%22").await.unwrap().status, 200);
    }
    let refused = log(server(), &tenant, "outcome=refused,failed", 1).await;
    assert_eq!(refused[0]["error"], "uniqueness");
    assert_eq!(refused[0]["detail"], again.body["detail"]);
    assert_eq!(refused[0]["request_id"], *request_id);
    assert_eq!(log(server(), &tenant, &format!("request_id={request_id}"), 1).await, refused);
    // The search that found her is about her; so is the refusal, by the name it gave.
    let about = log(server(), &tenant, "user=anna", 5).await;
    assert_eq!(about.iter().filter(|exchange| exchange["action"] == "user.list").count(), 3);
    assert_eq!(log(server(), &tenant, "user=anna&notable=true", 2).await.len(), 2);

    let (code, table, error) =
        rollcall(&["log", "--tenant", "log-wrong", "--outcome", "refused", "--since", "1h"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(table.contains("refused 409") && table.contains(&request_id), "{table}");
    let (_, nothing, _) = rollcall(&["log", "--tenant", "log-wrong", "--until", "1h"]);
    assert_eq!(nothing, "Nothing was found.\n");
    let (_, as_json, _) = rollcall(&["log", "--tenant", "log-wrong", "--limit", "2", "--json"]);
    let as_json: Value = serde_json::from_str(&as_json).unwrap();
    assert_eq!(as_json["exchanges"].as_array().unwrap().len(), 2);
    let (code, _, error) = rollcall(&["log", "--tenant", "log-wrong", "--since", "soon"]);
    assert!(code != Some(0) && error.contains("--since") && error.contains("2h"), "{error}");
    let (code, _, error) = rollcall(&["log", "--tenant", "log-wrong", "--outcome", "odd"]);
    assert!(code != Some(0) && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_deleted_tenant_leaves_no_log() {
    let tenant = server().tenant("log-gone", "entra").await.unwrap();
    let client = tenant.client();
    new_user(&client, "anna").await;
    log(server(), &tenant, "", 1).await;
    let path = format!("/tenants/{}", tenant.tenant.id);
    let (status, answer) = server().admin(Method::DELETE, &path, None).await.unwrap();
    assert_eq!(status, 204, "{answer}");
    let (status, _) = server().admin(Method::GET, &format!("{path}/log"), None).await.unwrap();
    assert_eq!(status, 404);
}

/// Thousands of exchanges, of which the last were answered just before: a server that stops writes them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_loses_nothing() {
    let dir = data_dir().unwrap();
    let unlimited = dir.path().join("config.toml");
    std::fs::write(&unlimited, "[gateway]\nrate_limit_burst = 100000\n").unwrap();
    let arguments = ["--config", unlimited.to_str().unwrap()];
    let server = Standalone::start(binary(), dir.path(), &arguments).unwrap();
    let tenant = server.tenant("log-stop", "entra").await.unwrap();
    const CLIENTS: usize = 8;
    const EACH: usize = 300;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let client = tenant.client();
        clients.spawn(async move {
            for _ in 0..EACH {
                assert_eq!(client.get("/ServiceProviderConfig").await.unwrap().status, 200);
            }
        });
    }
    clients.join_all().await;
    new_user(&tenant.client(), "last").await;
    server.terminate().unwrap();

    let server = Standalone::start(binary(), dir.path(), &arguments).unwrap();
    let (mut count, mut token) = (0, String::new());
    loop {
        let path = format!("/tenants/log-stop/log?page_size=1000&page_token={token}");
        let (status, page) = server.admin(Method::GET, &path, None).await.unwrap();
        assert_eq!(status, 200, "{page}");
        count += page["exchanges"].as_array().unwrap().len();
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(count, CLIENTS * EACH + 1);
    assert_eq!(log(&server, &tenant, "user=last", 1).await[0]["action"], "user.create");
    server.terminate().unwrap();
}
