//! An extension schema end to end: defined on the command line, provisioned as Entra ID does it, searched for, told of by
//! discovery, tightened, taken away.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::server::Standalone;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const URN: &str = "urn:ietf:params:scim:schemas:extension:hr:2.0:User";

fn server() -> &'static Standalone {
    Standalone::shared(Path::new(env!("CARGO_BIN_EXE_rollcall")))
}

/// Runs `rollcall schema …` with this standard input; whether it succeeded, and what it printed.
fn schema(tenant: &str, arguments: &[&str], input: &Value) -> (bool, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .arg("schema")
        .args(arguments)
        .args(["--tenant", tenant])
        .env("ROLLCALL_SERVER", &server().http)
        .env("ROLLCALL_ADMIN_TOKEN", &server().admin_token)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who reads no input may have hung up.
    let _ = child.stdin.take().unwrap().write_all(input.to_string().as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn json_of(tenant: &str, arguments: &[&str], input: &Value) -> Value {
    let (succeeded, text) = schema(tenant, &[arguments, &["--json"]].concat(), input);
    assert!(succeeded, "rollcall schema {arguments:?}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn document(exact: bool) -> Value {
    json!({ "id": URN, "name": "HR", "attributes": [
        { "name": "badge", "caseExact": exact },
        { "name": "level", "type": "integer" },
        { "name": "desks", "type": "complex", "multiValued": true, "subAttributes": [{ "name": "value" }, { "name": "type" }] },
    ] })
}

#[tokio::test]
async fn an_extension_works_from_the_command_line_to_the_filter() {
    let name = "extensions";
    let tenant = server().tenant(name, "entra").await.unwrap();
    let other = server().tenant("extensions-other", "entra").await.unwrap();
    let client = tenant.client();
    // Asked before, so that what the server remembers is dropped by the change.
    assert_eq!(client.get(&format!("/Schemas/{URN}")).await.unwrap().status, 404);
    let put = json_of(name, &["put", "-"], &document(false));
    assert_eq!((&put["version"], &put["reindexing"]), (&json!(1), &json!(false)));
    assert_eq!(client.get(&format!("/Schemas/{URN}")).await.unwrap().body["attributes"][0]["name"], "badge");
    let types = client.get("/ResourceTypes/User").await.unwrap();
    assert!(types.text.contains(URN), "{}", types.text);
    assert!(!other.client().get("/Schemas").await.unwrap().text.contains(URN));

    // Entra does not list the URN in `schemas`.
    let user = json!({
        "schemas": [USER], "userName": "anna@hr.example", "active": "True",
        URN: { "badge": "Ab1", "level": 7, "desks": [{ "value": "D1", "type": "quiet" }] },
    });
    let created = client.post("/Users", &user).await.unwrap();
    assert_eq!((created.status, &created.body["schemas"]), (201, &json!([USER, URN])), "{}", created.text);
    let id = created.id().unwrap();
    let one = format!("/Users/{id}");
    let foreign = other.client().post("/Users", &user).await.unwrap();
    assert_eq!((foreign.status, foreign.body.get(URN)), (201, None), "not a schema of that tenant");

    let found = async |filter: &str| {
        let query: String = form(filter);
        let answer = client.get(&format!("/Users?filter={query}")).await.unwrap();
        assert_eq!(answer.status, 200, "{filter}: {}", answer.text);
        answer.body["totalResults"].as_i64().unwrap()
    };
    for filter in [r#"badge eq "AB1""#, "level ge 7", r#"desks[type eq "Quiet"].value eq "d1""#] {
        assert_eq!(found(&format!("{URN}:{filter}")).await, 1, "{filter}");
    }
    let patch = json!({ "schemas": [PATCH], "Operations": [
        { "op": "Replace", "path": format!("{URN}:level"), "value": 8 },
        { "op": "Add", "path": format!("{URN}:desks[type eq \"loud\"].value"), "value": "D2" },
    ] });
    let patched = client.patch(&format!("{one}?attributes={URN}:level"), &patch).await.unwrap();
    assert_eq!((patched.status, &patched.body[URN]), (200, &json!({ "level": 8 })), "{}", patched.text);
    let without = client.get(&format!("{one}?excludedAttributes={URN}:desks")).await.unwrap();
    assert_eq!(without.body[URN], json!({ "badge": "Ab1", "level": 8 }));
    let sorted = client.get(&format!("/Users?sortBy={URN}:level&sortOrder=descending")).await.unwrap();
    assert_eq!(sorted.body["Resources"][0]["id"], json!(id), "{}", sorted.text);

    // caseExact from now on: filters follow, the user stays as it is.
    let changed = json_of(name, &["put", "-", "--expected-version", "1"], &document(true));
    assert_eq!((&changed["version"], &changed["reindexing"]), (&json!(2), &json!(false)));
    assert_eq!(found(&format!(r#"{URN}:badge eq "AB1""#)).await, 0);
    assert_eq!(found(&format!(r#"{URN}:badge eq "Ab1""#)).await, 1);
    let (succeeded, text) = schema(name, &["put", "-", "--expected-version", "1"], &document(false));
    assert!(!succeeded && text.contains("version 2"), "{text}");
    let mut unique = document(true);
    unique["attributes"][0]["uniqueness"] = json!("server");
    let (succeeded, text) = schema(name, &["put", "-"], &unique);
    assert!(!succeeded && text.contains("uniqueness must be none"), "{text}");

    let listed = json_of(name, &["list"], &Value::Null);
    assert_eq!(listed["schemas"].as_array().map(Vec::len), Some(1));
    let (succeeded, text) = schema(name, &["show", URN], &Value::Null);
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert!(succeeded && shown == changed["schema"], "{text}");

    // Gone, and back with what was stored.
    json_of(name, &["delete", URN], &Value::Null);
    let user = client.get(&one).await.unwrap();
    assert_eq!((user.body.get(URN), &user.body["schemas"]), (None, &json!([USER])), "{}", user.text);
    assert!(!client.get("/Schemas").await.unwrap().text.contains(URN));
    assert_eq!(found(&format!(r#"{URN}:badge eq "Ab1""#)).await, 0);
    json_of(name, &["put", "-"], &document(true));
    assert_eq!(client.get(&one).await.unwrap().body[URN]["level"], 8);
    assert_eq!(found(&format!(r#"{URN}:badge eq "Ab1""#)).await, 1);
}

/// As it stands in a query string.
fn form(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b':' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
