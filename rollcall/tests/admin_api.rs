//! The admin API of the real binary: local users and the lock, suspended users, repeated requests, audit and export.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::Client;
use testkit::server::Standalone;

fn server() -> &'static Standalone {
    Standalone::shared(Path::new(env!("CARGO_BIN_EXE_rollcall")))
}

fn administrator() -> Client {
    Client::new(&format!("{}/admin/v1", server().http), &server().admin_token)
}

async fn admin(method: Method, path: &str, body: Value) -> (u16, Value) {
    server().admin(method, path, Some(body)).await.unwrap()
}

async fn get(path: &str) -> Value {
    let (status, answer) = server().admin(Method::GET, path, None).await.unwrap();
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

#[tokio::test]
async fn local_users_are_locked_out_while_the_identity_provider_is_in() {
    let tenant = server().tenant("admin-local", "entra").await.unwrap();
    let base = format!("/tenants/{}", tenant.tenant.id);
    let users = format!("{base}/users");
    let user = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "anna"});
    let lock = json!({"settings": {"lock_local_changes": true, "keep_deleted_days": 30}});
    assert_eq!(admin(Method::PATCH, &base, lock).await.0, 200);
    let (status, problem) = admin(Method::POST, &users, user.clone()).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("`lock_local_changes`"));

    assert_eq!(admin(Method::POST, &format!("{base}/scim/disable"), json!({})).await.0, 200);
    let (status, made) = admin(Method::POST, &users, user.clone()).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap();
    let (status, taken) = admin(Method::POST, &users, user).await;
    assert_eq!((status, &taken["kind"]), (409, &json!("Uniqueness")));

    let (status, _) = server().admin(Method::DELETE, &format!("{users}/{id}"), None).await.unwrap();
    assert_eq!(status, 204);
    assert_eq!(get(&users).await["totalResults"], 0);
    let suspended = get(&format!("{base}/suspended-users")).await;
    assert_eq!(
        (&suspended["users"][0]["id"], &suspended["users"][0]["user_name"]),
        (&json!(id), &json!("anna"))
    );
    let restore = format!("{base}/suspended-users/{id}/restore");
    assert_eq!(admin(Method::POST, &restore, json!({})).await.0, 200);
    assert_eq!(get(&format!("{users}/{id}")).await["userName"], "anna");

    // The client finds whom the administrator made.
    let (_, on) = admin(Method::POST, &format!("{base}/scim/enable"), json!({})).await;
    let client = tenant.client().with_token(on["token"].as_str().unwrap());
    let found = client.get("/Users?filter=userName%20eq%20%22anna%22").await.unwrap();
    assert_eq!((found.status, &found.body["totalResults"]), (200, &json!(1)));
}

#[tokio::test]
async fn a_repeated_request_mints_one_token() {
    let tenant = server().tenant("admin-idempotent", "entra").await.unwrap();
    let path = format!("/tenants/{}/credentials", tenant.tenant.id);
    let client = administrator();
    let send = async |label: &str| {
        let request = client.request(Method::POST, &path).header("idempotency-key", "k-1");
        client.send(request.json(&json!({"label": label}))).await.unwrap()
    };
    let (one, other) = tokio::join!(send("spring"), send("spring"));
    let first = if one.status == 201 { &one } else { &other };
    assert_eq!(first.status, 201, "{} {}", one.text, other.text);
    for answer in [&one, &other] {
        assert!(matches!(answer.status, 201 | 409), "{}", answer.text);
        assert!(answer.status == 409 || answer.text == first.text, "one token, shown twice");
    }
    let again = send("spring").await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(send("autumn").await.status, 422);
    assert_eq!(get(&path).await["credentials"].as_array().unwrap().len(), 2, "the tenant's first, and one");
}

#[tokio::test]
async fn what_was_done_stands_in_the_audit_and_what_there_is_in_the_export() {
    let tenant = server().tenant("admin-audit", "entra").await.unwrap();
    let base = format!("/tenants/{}", tenant.tenant.id);
    admin(Method::POST, &format!("{base}/teams"), json!({"slug": "sales"})).await;
    admin(Method::PATCH, &base, json!({"settings": {"groups": false}})).await;
    admin(Method::PATCH, &base, json!({"settings": {"groups": true}})).await;
    admin(Method::POST, &format!("{base}/teams"), json!({"slug": "support"})).await;

    let all = get(&format!("{base}/audit")).await["events"].as_array().unwrap().clone();
    let services: Vec<&str> = all.iter().map(|event| event["service"].as_str().unwrap()).collect();
    assert!(services.contains(&"token") && services.contains(&"identity"), "{services:?}");
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = get(&format!("{base}/audit?page_size=2&page_token={token}")).await;
        seen.extend(page["events"].as_array().unwrap().clone());
        let Some(next) = page["next_page_token"].as_str() else { break };
        token = next.to_owned();
    }
    assert_eq!(seen, all, "page by page as at once");
    let change = all.iter().find(|event| event["action"] == "tenant.updated").unwrap();
    assert!(
        change["before"].is_object() && change["after"].is_object() && change["request_id"].is_string(),
        "{change}"
    );

    let client = tenant.client();
    let user = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "anna"});
    let id = client.post("/Users", &user).await.unwrap().id().unwrap();
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Sales", "members": [{"value": id}],
    });
    client.post("/Groups", &group).await.unwrap().id().unwrap();
    let admin = administrator();
    let export = admin.send(admin.request(Method::GET, &format!("{base}/export"))).await.unwrap();
    assert_eq!((export.status, export.header("content-type")), (200, "application/x-ndjson"));
    let lines: Vec<Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counts = json!({"tenant": 1, "credential": 1, "team": 2, "user": 1, "group": 1, "member": 1});
    assert_eq!(lines.last().unwrap(), &json!({"type": "end", "data": {"counts": counts}}));
    assert!(!export.text.contains(&tenant.token), "never a secret");
}
