//! The life of a standalone server, as its user meets it: first start, the command line, stop, start again.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testkit::client::Client;
use testkit::server::{Standalone, data_dir};

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rollcall"))
}

/// Runs a verb against `server`; returns its exit code, output, and errors.
fn rollcall(server: &Standalone, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(binary())
        .args(arguments)
        .env("ROLLCALL_SERVER", &server.http)
        .env("ROLLCALL_ADMIN_TOKEN", &server.admin_token)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn json_of(server: &Standalone, arguments: &[&str]) -> Value {
    let (code, out, err) = rollcall(server, arguments);
    assert_eq!(code, Some(0), "rollcall {arguments:?}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("rollcall {arguments:?}: {error}: {out}"))
}

#[tokio::test]
async fn stop_and_start_again() {
    let dir = data_dir().unwrap();
    let server = Standalone::start(binary(), dir.path(), &[]).unwrap();
    let mode = std::fs::metadata(dir.path().join("admin-token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the admin token is for its owner only");
    let log = std::fs::read_to_string(dir.path().join("server.log")).unwrap();
    assert!(log.contains("admin-token"), "the first start says where the admin token is: {log}");
    assert!(!log.contains(&server.admin_token), "and does not print it");

    let tenant = server.tenant("kept", "entra").await.unwrap();
    let user =
        json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "kept@example.com"});
    let id = tenant.client().post("/Users", &user).await.unwrap().id().unwrap();
    let admin_token = server.admin_token.clone();
    server.terminate().unwrap();

    let server = Standalone::start(binary(), dir.path(), &[]).unwrap();
    assert_eq!(server.admin_token, admin_token);
    let client = Client::new(&format!("{}/scim/v2", server.http), &tenant.token);
    let answer = client.get(&format!("/Users/{id}")).await.unwrap();
    assert_eq!(answer.body["userName"], "kept@example.com", "{}", answer.text);
    let log = std::fs::read_to_string(dir.path().join("server.log")).unwrap();
    assert!(
        !log.contains("kept@example.com") && !log.contains(&tenant.token),
        "personal data or a secret in the log"
    );
    server.terminate().unwrap();
}

#[test]
fn the_command_line_manages_tenants() {
    let server = Standalone::shared(binary());
    let created = json_of(server, &["tenant", "create", "Contoso AG/Süd", "--preset", "entra", "--json"]);
    let keys: Vec<&String> = created.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["base_url", "tenant", "token"], "{created}");
    assert_eq!(created["tenant"]["name"], "Contoso AG/Süd");
    let id = created["tenant"]["id"].as_str().unwrap();
    let base_url = created["base_url"].as_str().unwrap();
    assert!(base_url.starts_with(&server.http), "{base_url}");
    assert!(created["token"].as_str().unwrap().starts_with("rcs_"));

    let by_name = json_of(server, &["tenant", "show", "Contoso AG/Süd", "--json"]);
    assert_eq!(by_name["tenant"]["id"], id, "{by_name}");
    let listed = json_of(server, &["tenant", "list", "--json"]);
    let listed = listed["tenants"].as_array().unwrap().iter().filter(|tenant| tenant["id"] == id).count();
    assert_eq!(listed, 1);

    let (code, _, error) = rollcall(server, &["tenant", "create", "Contoso AG/Süd"]);
    assert!(code != Some(0) && error.contains("name"), "a name that is taken: {error}");
    let (code, _, error) = rollcall(server, &["tenant", "create", "other", "--preset", "unheard-of"]);
    assert!(
        code != Some(0) && error.contains("unheard-of") && error.contains("entra"),
        "an unknown preset: {error}"
    );
    let (code, _, error) = rollcall(server, &["tenant", "show", "nobody"]);
    assert!(code != Some(0) && error.contains("nobody"), "an unknown tenant: {error}");
    let (code, _, error) = rollcall(server, &["tenant", "list", "--admin-token", "wrong"]);
    assert!(code != Some(0) && error.contains("401"), "a wrong admin token: {error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}\n", server.admin_token)).unwrap();
    let from_file = Command::new(binary())
        .args(["tenant", "list", "--json", "--server", &server.http, "--admin-token-file"])
        .arg(file.path())
        .env_remove("ROLLCALL_ADMIN_TOKEN")
        .output()
        .unwrap();
    assert!(from_file.status.success(), "{}", String::from_utf8_lossy(&from_file.stderr));

    json_of(server, &["tenant", "delete", id, "--json"]);
    let (code, _, _) = rollcall(server, &["tenant", "show", id]);
    assert_ne!(code, Some(0), "a deleted tenant is gone");
}

#[test]
fn the_demo_runs_through() {
    let output = Command::new(binary()).args(["demo", "--once"]).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    for part in ["200", "20", "/scim/v2", "rcs_"] {
        assert!(text.contains(part), "the demo does not show {part:?}: {text}");
    }
}
