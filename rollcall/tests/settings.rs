//! A tenant's settings, over HTTP and on the command line: what a preset refuses, that a change is in force at once, that
//! `auto` recognises the client.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::{Answer, Client};
use testkit::server::{Standalone, Tenant, data_dir};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rollcall"))
}

fn server() -> &'static Standalone {
    Standalone::shared(binary())
}

/// Runs a verb with `--json` against `server` and reads what it prints.
fn rollcall(server: &Standalone, arguments: &[&str]) -> Value {
    let (succeeded, out, err) = try_rollcall(server, &server.admin_token, arguments);
    assert!(succeeded, "rollcall {arguments:?}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("rollcall {arguments:?}: {error}: {out}"))
}

fn try_rollcall(server: &Standalone, admin_token: &str, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(binary())
        .args(arguments)
        .arg("--json")
        .env("ROLLCALL_SERVER", &server.http)
        .env("ROLLCALL_ADMIN_TOKEN", admin_token)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn user(name: &str) -> Value {
    json!({"schemas": [USER], "userName": name, "active": true})
}

fn deactivation() -> Value {
    json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": false}]})
}

/// A refusal in the SCIM form that names the setting.
#[track_caller]
fn assert_refused(answer: &Answer, setting: &str) {
    assert_eq!(answer.status, 403, "{}", answer.text);
    answer.check_scim_error().unwrap();
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("`{setting}`")), "{detail}");
}

async fn resource_types(client: &Client) -> Vec<String> {
    let answer = client.get("/ResourceTypes").await.unwrap();
    let all = answer.body["Resources"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn zeeg_has_users_and_no_groups() {
    let tenant = server().tenant("settings-zeeg", "zeeg").await.unwrap();
    let client = tenant.client();
    let id = client.post("/Users", &user("a@zeeg.example")).await.unwrap().id().unwrap();
    assert_eq!(client.patch(&format!("/Users/{id}"), &deactivation()).await.unwrap().status, 200);
    assert_eq!(client.put(&format!("/Users/{id}"), &user("b@zeeg.example")).await.unwrap().status, 200);

    let group = json!({"schemas": [GROUP], "displayName": "Sales", "members": [{"value": id}]});
    let one = format!("/Groups/{id}");
    let requests = [
        (Method::POST, "/Groups", Some(&group)),
        (Method::GET, "/Groups?filter=displayName+eq+%22x%22", None),
        (Method::GET, &one, None),
        (Method::PUT, &one, Some(&group)),
        (Method::PATCH, &one, Some(&group)),
        (Method::DELETE, &one, None),
    ];
    for (method, path, body) in requests {
        assert_refused(&client.call(method, path, body).await.unwrap(), "groups");
    }
    assert_eq!(resource_types(&client).await, ["User"]);
    assert_eq!(client.get("/ResourceTypes/Group").await.unwrap().status, 404);
    assert_eq!(client.get(&format!("/Schemas/{GROUP}")).await.unwrap().status, 404);
    let schemas = client.get("/Schemas").await.unwrap();
    assert!(
        !schemas.text.contains(GROUP) && !schemas.text.contains(r#""name":"groups""#),
        "{}",
        schemas.text
    );
    assert!(schemas.text.contains(r#""name":"userName""#));

    assert_eq!(client.delete(&format!("/Users/{id}")).await.unwrap().status, 204);
}

#[tokio::test]
async fn ziflow_creates_and_nothing_else() {
    let tenant = server().tenant("settings-ziflow", "ziflow").await.unwrap();
    assert_eq!(tenant.base_url, format!("{}/v1/scim/v2", server().http));
    let client = tenant.client();
    let created = client.post("/Users", &user("a@ziflow.example")).await.unwrap();
    let id = created.id().unwrap();
    let one = format!("/Users/{id}");
    assert_eq!(created.header("location"), format!("{}{one}", tenant.base_url));
    assert_refused(&client.put(&one, &user("b@ziflow.example")).await.unwrap(), "users.update");
    assert_refused(&client.patch(&one, &deactivation()).await.unwrap(), "users.update");
    assert_refused(&client.delete(&one).await.unwrap(), "users.delete");
    assert_refused(&client.get("/Groups").await.unwrap(), "groups");

    // The identity provider finds whom it need not create.
    let found = client.get("/Users?filter=userName+eq+%22A@ziflow.example%22").await.unwrap();
    assert_eq!((&found.body["totalResults"], &found.body["Resources"][0]["id"]), (&json!(1), &json!(id)));
    assert_eq!(found.body["Resources"][0]["active"], true, "what was refused left nothing behind");
    assert_eq!(client.post("/Users", &user("A@ziflow.example")).await.unwrap().status, 409);
    assert_eq!(resource_types(&client).await, ["User"]);
    let config = client.get("/ServiceProviderConfig").await.unwrap();
    assert_eq!(config.body["patch"]["supported"], false, "{}", config.text);
}

#[tokio::test]
async fn a_bulk_and_a_search_over_everything_get_no_further() {
    let tenant = server().tenant("settings-bulk", "ziflow").await.unwrap();
    let client = tenant.client();
    let id = client.post("/Users", &user("a@bulk.example")).await.unwrap().id().unwrap();
    let one = format!("/Users/{id}");
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "POST", "path": "/Users", "bulkId": "1", "data": user("b@bulk.example")},
            {"method": "PATCH", "path": one, "data": deactivation()},
            {"method": "DELETE", "path": one},
            {"method": "POST", "path": "/Groups", "bulkId": "2", "data": {"schemas": [GROUP], "displayName": "Sales"}},
        ],
    });
    let answer = client.post("/Bulk", &bulk).await.unwrap();
    let operations = answer.body["Operations"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    let statuses: Vec<&str> = operations.iter().map(|done| done["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["201", "403", "403", "403"], "{}", answer.text);

    let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
    let found = client.post("/.search", &search).await.unwrap();
    assert_eq!((found.status, &found.body["totalResults"]), (200, &json!(2)), "{}", found.text);
}

#[tokio::test]
async fn the_other_presets_allow_everything() {
    for preset in ["entra", "directory-sync"] {
        let tenant = server().tenant(&format!("settings-{preset}"), preset).await.unwrap();
        let client = tenant.client();
        let id = client.post("/Users", &user("a@all.example")).await.unwrap().id().unwrap();
        let group = json!({"schemas": [GROUP], "displayName": "Sales", "members": [{"value": id}]});
        assert_eq!(client.post("/Groups", &group).await.unwrap().status, 201, "{preset}");
        let shown = client.get(&format!("/Users/{id}")).await.unwrap();
        assert_eq!(shown.body["groups"][0]["display"], "Sales", "{preset}");
        assert_eq!(resource_types(&client).await, ["User", "Group"], "{preset}");

        // Switched off, groups are not shown; switched on again, they were never gone.
        rollcall(server(), &["tenant", "set", &tenant.tenant.name, "--groups", "off"]);
        let shown = client.get(&format!("/Users/{id}")).await.unwrap();
        assert_eq!((shown.status, shown.body.get("groups")), (200, None), "{preset}");
        assert_refused(&client.get("/Groups").await.unwrap(), "groups");
        rollcall(server(), &["tenant", "set", &tenant.tenant.name, "--groups", "on"]);
        let shown = client.get(&format!("/Users/{id}")).await.unwrap();
        assert_eq!(shown.body["groups"][0]["display"], "Sales", "{preset}");
        assert_eq!(client.delete(&format!("/Users/{id}")).await.unwrap().status, 204, "{preset}");
    }
}

#[tokio::test]
async fn a_change_of_the_dialect_is_in_force_with_the_next_request() {
    let tenant = server().tenant("settings-dialect", "entra").await.unwrap();
    let client = tenant.client();
    let id = client.post("/Users", &user("a@dialect.example")).await.unwrap().id().unwrap();
    let entras =
        json!({"schemas": [PATCH], "Operations": [{"op": "Replace", "path": "active", "value": "False"}]});
    let one = format!("/Users/{id}");
    assert_eq!(client.patch(&one, &entras).await.unwrap().status, 200);

    let shown = rollcall(server(), &["tenant", "set", "settings-dialect", "--dialect", "rfc"]);
    assert_eq!((&shown["tenant"]["dialect"], &shown["tenant"]["version"]), (&json!("rfc"), &json!(2)));
    let refused = client.patch(&one, &entras).await.unwrap();
    assert_eq!(refused.status, 400, "{}", refused.text);
    rollcall(server(), &["tenant", "set", "settings-dialect", "--dialect", "entra"]);
    assert_eq!(client.patch(&one, &entras).await.unwrap().status, 200);

    let (status, stale) = server()
        .admin(
            Method::PATCH,
            "/tenants/settings-dialect",
            Some(json!({"expected_version": 2, "dialect": "okta"})),
        )
        .await
        .unwrap();
    assert_eq!(status, 412, "{stale}");
    let wrong = [
        json!({"dialect": "klingon"}),
        json!({"state": "deleting"}),
        json!({"settings": {"group": false}}),
        json!({"name": "other"}),
        json!({"expected_version": 0}),
    ];
    for body in wrong {
        let (status, answer) =
            server().admin(Method::PATCH, "/tenants/settings-dialect", Some(body.clone())).await.unwrap();
        assert_eq!(status, 400, "{body}: {answer}");
    }
    let shown = rollcall(server(), &["tenant", "show", "settings-dialect"]);
    assert_eq!((&shown["tenant"]["dialect"], &shown["tenant"]["version"]), (&json!("entra"), &json!(3)));
}

#[tokio::test]
async fn auto_recognises_the_client_and_keeps_to_it() {
    let cases = [
        ("okta", "user-agent", "Okta SCIM Client 1.0.0", ""),
        ("entra", "adscimversion", "Date:2026-11-22, ActivityId:1", ""),
        ("entra", "x-nothing", "", "?aadOptscim062020"),
    ];
    for (at, (dialect, header, value, query)) in cases.into_iter().enumerate() {
        let name = format!("settings-auto-{at}");
        let tenant = server().tenant(&name, "entra").await.unwrap();
        let client = tenant.client();
        let shown = rollcall(server(), &["tenant", "set", &name, "--dialect", "auto"]);
        assert_eq!(shown["tenant"]["dialect_in_force"], "entra", "{shown}");
        // A client that nobody knows is read with tolerance, and nothing is kept of it.
        assert_eq!(client.get("/Users").await.unwrap().status, 200);
        let shown = rollcall(server(), &["tenant", "show", &name]);
        assert_eq!((&shown["tenant"]["dialect"], shown["tenant"].get("recognised")), (&json!("auto"), None));

        let request = client.request(Method::GET, &format!("/Users{query}")).header(header, value);
        assert_eq!(client.send(request).await.unwrap().status, 200);
        let shown = rollcall(server(), &["tenant", "show", &name]);
        assert_eq!(shown["tenant"]["recognised"]["dialect"], dialect, "{shown}");
        assert_eq!(shown["tenant"]["dialect_in_force"], dialect);
        // What comes later does not change it.
        let other =
            if dialect == "okta" { ("adscimversion", "x") } else { ("user-agent", "Okta SCIM Client 1.0.0") };
        let request = client.request(Method::GET, "/Users").header(other.0, other.1);
        assert_eq!(client.send(request).await.unwrap().status, 200);
        assert_eq!(rollcall(server(), &["tenant", "show", &name]), shown);
        // A PATCH of a group shows the dialect in force: 204 for Entra, the group for others.
        let group = json!({"schemas": [GROUP], "displayName": "Sales"});
        let id = client.post("/Groups", &group).await.unwrap().id().unwrap();
        let rename = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "displayName", "value": "S"}]});
        let status = client.patch(&format!("/Groups/{id}"), &rename).await.unwrap().status;
        assert_eq!(status, if dialect == "okta" { 200 } else { 204 });
    }
}

#[tokio::test]
async fn a_disabled_tenant_is_out_within_a_second_and_in_again() {
    let tenant = server().tenant("settings-disabled", "entra").await.unwrap();
    let client = tenant.client();
    let id = client.post("/Users", &user("a@disabled.example")).await.unwrap().id().unwrap();
    let one = format!("/Users/{id}");
    let disable =
        || server().admin(Method::PATCH, "/tenants/settings-disabled", Some(json!({"state": "disabled"})));
    let enable =
        || server().admin(Method::PATCH, "/tenants/settings-disabled", Some(json!({"state": "active"})));
    for _ in 0..2 {
        let asked = Instant::now();
        let (status, shown) = disable().await.unwrap();
        assert_eq!((status, &shown["tenant"]["state"]), (200, &json!("disabled")));
        let answer = client.get(&one).await.unwrap();
        assert_eq!(answer.status, 401, "{}", answer.text);
        assert!(!answer.header("www-authenticate").is_empty());
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());

        let (status, shown) = enable().await.unwrap();
        assert_eq!((status, &shown["tenant"]["state"]), (200, &json!("active")));
        assert_eq!(client.get(&one).await.unwrap().status, 200, "nothing is lost");
    }
    assert_eq!(
        rollcall(server(), &["tenant", "disable", "settings-disabled"])["tenant"]["state"],
        "disabled"
    );
    assert_eq!(client.get(&one).await.unwrap().status, 401);
    assert_eq!(rollcall(server(), &["tenant", "enable", "settings-disabled"])["tenant"]["state"], "active");
    assert_eq!(client.get(&one).await.unwrap().status, 200);
}

#[tokio::test]
async fn secrets_rotate_without_an_outage() {
    let tenant: Tenant = server().tenant("settings-rotation", "entra").await.unwrap();
    let old = tenant.client();
    let of_tenant = ["--tenant", "settings-rotation"];
    let verb = |arguments: &[&str]| rollcall(server(), &[&["credential"], arguments, &of_tenant].concat());
    let created = verb(&["create", "--label", "2027", "--expires-at", "2099-01-31T00:00:00Z"]);
    let new = old.with_token(created["token"].as_str().unwrap());
    assert_eq!(
        (old.get("/Users").await.unwrap().status, new.get("/Users").await.unwrap().status),
        (200, 200)
    );
    let listed = verb(&["list"]);
    let labels: Vec<&str> =
        listed["credentials"].as_array().unwrap().iter().map(|one| one["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["2027", "first"]);
    let first = listed["credentials"][1]["id"].as_str().unwrap();
    verb(&["revoke", first]);
    assert_eq!(
        (old.get("/Users").await.unwrap().status, new.get("/Users").await.unwrap().status),
        (401, 200)
    );
    assert!(verb(&["list"])["credentials"][1]["revoked_at"].is_string());
    let (succeeded, _, error) = try_rollcall(server(), &server().admin_token, &["credential", "list"]);
    assert!(!succeeded && error.contains("--tenant"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_load_fails_no_request() {
    let tenant = server().tenant("settings-load", "entra").await.unwrap();
    let old = tenant.client();
    assert_eq!(old.post("/Users", &user("a@load.example")).await.unwrap().status, 201);
    let (tell, told) = tokio::sync::watch::channel((old.clone(), false));
    let mut workers = tokio::task::JoinSet::new();
    let (done, mut progress) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..8 {
        let (told, done) = (told.clone(), done.clone());
        workers.spawn(async move {
            loop {
                let (client, stop) = told.borrow().clone();
                if stop {
                    return;
                }
                let status =
                    client.get("/Users?filter=userName+eq+%22a@load.example%22").await.unwrap().status;
                assert!(done.send(status).is_ok());
            }
        });
    }
    let mut some_requests = async || {
        for _ in 0..200 {
            assert_eq!(progress.recv().await, Some(200));
        }
    };
    let rotations = 3;
    let mut in_use = rollcall(server(), &["credential", "list", "--tenant", "settings-load"])["credentials"]
        [0]["id"]
        .clone();
    for _ in 0..rotations {
        some_requests().await;
        let created = rollcall(server(), &["credential", "create", "--tenant", "settings-load"]);
        rollcall(server(), &["key", "rotate"]);
        tell.send_replace((old.with_token(created["token"].as_str().unwrap()), false));
        // More than are under way with the one before.
        some_requests().await;
        rollcall(server(), &["credential", "revoke", in_use.as_str().unwrap(), "--tenant", "settings-load"]);
        in_use = created["credential"]["id"].clone();
    }
    some_requests().await;
    tell.send_replace((old.clone(), true));
    drop(done);
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    while let Some(status) = progress.recv().await {
        assert_eq!(status, 200);
    }
    assert_eq!(old.get("/Users").await.unwrap().status, 401, "and the first secret is dead");
}

#[tokio::test]
async fn a_revoked_admin_token_stays_out_after_a_restart() {
    let dir = data_dir().unwrap();
    let server = Standalone::start(binary(), dir.path(), &[]).unwrap();
    let created = rollcall(&server, &["admin", "create", "--label", "second"]);
    let second = created["token"].as_str().unwrap();
    let listed = rollcall(&server, &["admin", "list"]);
    let first = listed["admins"].as_array().unwrap().iter().find(|one| one["label"] == "first").unwrap();
    let first = first["id"].as_str().unwrap();
    let (succeeded, _, error) = try_rollcall(&server, second, &["admin", "revoke", first]);
    assert!(succeeded, "{error}");
    assert!(
        !try_rollcall(&server, &server.admin_token, &["tenant", "list"]).0,
        "the revoked one is out at once"
    );
    let second_id = created["admin"]["id"].as_str().unwrap();
    let (succeeded, _, error) = try_rollcall(&server, second, &["admin", "revoke", second_id]);
    assert!(!succeeded && error.contains("last"), "{error}");
    let rotated = try_rollcall(&server, second, &["key", "rotate"]);
    assert!(rotated.0 && rotated.1.contains("started"), "{rotated:?}");
    server.terminate().unwrap();

    // Its file is still there.
    let server = Standalone::start(binary(), dir.path(), &[]).unwrap();
    assert!(!try_rollcall(&server, &server.admin_token, &["tenant", "list"]).0);
    let (succeeded, _, error) = try_rollcall(&server, second, &["tenant", "list"]);
    assert!(succeeded, "{error}");
    server.terminate().unwrap();
}
