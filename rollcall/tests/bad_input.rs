//! Whatever is sent, the answer is a SCIM error that says what is wrong: never a 5xx, never an empty 200, never HTML.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use testkit::client::{Answer, Client};
use testkit::server::{Standalone, Tenant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn server() -> &'static Standalone {
    Standalone::shared(Path::new(env!("CARGO_BIN_EXE_rollcall")))
}

async fn tenant(name: &str) -> Client {
    server().tenant(&format!("bad input: {name}"), "entra").await.unwrap().client()
}

/// What was answered otherwise than it should be, all of it.
#[derive(Default)]
struct Verdict(Vec<String>);

impl Verdict {
    /// The answer is this status, a SCIM error with this scimType, and its detail contains each of these.
    fn error(&mut self, what: &str, answer: &Answer, status: u16, scim_type: Option<&str>, names: &[&str]) {
        let detail = answer.body["detail"].as_str().unwrap_or_default().to_lowercase();
        let missing = names.iter().find(|name| !detail.contains(&name.to_lowercase()));
        if answer.status != status {
            self.0.push(format!("{what}: expected {status}, got {} {}", answer.status, answer.text));
        } else if let Err(error) = answer.check_scim_error() {
            self.0.push(format!("{what}: {error:#}"));
        } else if answer.body.get("scimType").and_then(Value::as_str) != scim_type {
            self.0.push(format!("{what}: expected scimType {scim_type:?}: {}", answer.text));
        } else if let Some(missing) = missing {
            self.0.push(format!("{what}: the detail does not name {missing:?}: {detail}"));
        }
    }

    /// Fails the test if anything was wrong.
    fn done(self) {
        assert!(self.0.is_empty(), "{} wrong answers:\n{}", self.0.len(), self.0.join("\n"));
    }

    fn that(&mut self, holds: bool, otherwise: String) {
        if !holds {
            self.0.push(otherwise);
        }
    }
}

#[tokio::test]
async fn malformed_bodies() {
    let mut verdict = Verdict::default();
    let client = tenant("malformed").await;
    let id = client.post("/Users", &json!({"schemas": [USER], "userName": "u"})).await.unwrap().id().unwrap();
    let user = format!("/Users/{id}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    let targets =
        [(Method::POST, "/Users"), (Method::POST, "/Groups"), (Method::PUT, &user), (Method::PATCH, &user)];
    for (method, path) in targets {
        let bodies = [
            ("nothing", ""),
            ("not JSON", "userName=u"),
            ("cut off", r#"{"schemas":["#),
            ("two documents", "{}{}"),
            ("an array", "[]"),
            ("a text", "\"user\""),
            ("null", "null"),
            ("a lone surrogate", r#"{"userName":"\ud800"}"#),
            ("too deep an array", deep.as_str()),
            ("too deep an object", deep_object.as_str()),
        ];
        for (what, body) in bodies {
            let request = client.request(method.clone(), path).header(CONTENT_TYPE, "application/scim+json");
            let answer = client.send(request.body(body.to_owned())).await.unwrap();
            verdict.error(&format!("{method} {path} with {what}"), &answer, 400, Some("invalidSyntax"), &[]);
        }
        let request = client.request(method.clone(), path).header(CONTENT_TYPE, "application/scim+json");
        let answer = client.send(request.body(b"{\"userName\":\"\xff\xfe\"}".to_vec())).await.unwrap();
        verdict.error(
            &format!("{method} {path} with bytes that are no UTF-8"),
            &answer,
            400,
            Some("invalidSyntax"),
            &[],
        );
    }
    verdict.done();
}

#[tokio::test]
async fn wrong_values() {
    let mut verdict = Verdict::default();
    let client = tenant("values").await;
    let cases = [
        (json!({"schemas": [USER]}), "invalidValue", "userName"),
        (json!({"schemas": [USER], "userName": ""}), "invalidValue", "userName"),
        (json!({"schemas": [USER], "userName": {"a": 1}}), "invalidValue", "userName"),
        (json!({"schemas": [USER], "userName": ["u", "v"]}), "invalidValue", "userName"),
        (json!({"schemas": [USER], "userName": "u", "active": "perhaps"}), "invalidValue", "active"),
        (json!({"schemas": [USER], "userName": "u", "name": "Anna"}), "invalidValue", "name"),
        (json!({"schemas": [USER], "userName": "u", "emails": [[1], [2]]}), "invalidValue", "emails"),
        (
            json!({"schemas": [USER], "userName": "u", "emails": [{"value": {"a": 1}}]}),
            "invalidValue",
            "emails",
        ),
    ];
    for (body, scim_type, attribute) in cases {
        let answer = client.post("/Users", &body).await.unwrap();
        verdict.error(&body.to_string(), &answer, 400, Some(scim_type), &[attribute]);
    }
    let two_primaries = json!([{"value": "a", "primary": true}, {"value": "b", "primary": true}]);
    let body = json!({"schemas": [USER], "userName": "primaries", "emails": two_primaries});
    let answer = client.post("/Users", &body).await.unwrap();
    if answer.status != 201 {
        verdict.error("two primary addresses", &answer, 400, Some("invalidValue"), &["emails", "primary"]);
    }
    let listed = client.get("/Users?filter=userName+eq+%22u%22").await.unwrap();
    let nothing = listed.body["totalResults"] == 0;
    verdict.that(nothing, format!("something of what was refused is there: {}", listed.text));
    verdict.done();
}

#[tokio::test]
async fn wrong_patches() {
    let mut verdict = Verdict::default();
    let client = tenant("patches").await;
    let user = json!({"schemas": [USER], "userName": "u", "displayName": "before", "active": true});
    let id = client.post("/Users", &user).await.unwrap().id().unwrap();
    let path = format!("/Users/{id}");
    let before = client.get(&path).await.unwrap().body;
    let operations = |operations: Value| json!({"schemas": [PATCH_OP], "Operations": operations});
    let cases = [
        (json!({"schemas": [PATCH_OP]}), "invalidSyntax", "Operations"),
        (operations(json!({})), "invalidSyntax", "Operations"),
        (operations(json!(["replace"])), "invalidSyntax", "Operations"),
        (operations(json!([{"path": "displayName", "value": "x"}])), "invalidSyntax", "op"),
        (
            operations(json!([{"op": "upsert", "path": "displayName", "value": "x"}])),
            "invalidSyntax",
            "upsert",
        ),
        (operations(json!([{"op": 1, "path": "displayName", "value": "x"}])), "invalidSyntax", "op"),
        (operations(json!([{"op": "replace", "path": 1, "value": "x"}])), "invalidPath", "path"),
        (operations(json!([{"op": "replace", "path": "emails[", "value": "x"}])), "invalidPath", "emails["),
        (
            operations(json!([{"op": "replace", "path": "emails[type eq]", "value": "x"}])),
            "invalidPath",
            "emails",
        ),
        (
            operations(
                json!([{"op": "replace", "path": "emails[type eq \"work\"].value.more", "value": "x"}]),
            ),
            "invalidPath",
            "emails",
        ),
        (operations(json!([{"op": "replace", "path": "", "value": "x"}])), "invalidValue", "path"),
        (
            operations(json!([{"op": "replace", "path": "name.givenName", "value": {"a": 1}}])),
            "invalidValue",
            "givenName",
        ),
        (
            operations(json!([{"op": "replace", "path": "active", "value": "perhaps"}])),
            "invalidValue",
            "active",
        ),
        (operations(json!([{"op": "replace", "path": "id", "value": "x"}])), "mutability", "id"),
        (operations(json!([{"op": "replace", "value": "x"}])), "invalidValue", "value"),
        (operations(json!([{"op": "remove"}])), "noTarget", "path"),
    ];
    for (body, scim_type, names) in cases {
        let answer = client.patch(&path, &body).await.unwrap();
        verdict.error(&body.to_string(), &answer, 400, Some(scim_type), &[names]);
    }
    // Good operations before a bad one do not take effect.
    let mixed =
        operations(json!([{"op": "replace", "path": "displayName", "value": "after"}, {"op": "remove"}]));
    assert_eq!(client.patch(&path, &mixed).await.unwrap().status, 400);
    let after = client.get(&path).await.unwrap();
    verdict.that(after.body == before, format!("a refused PATCH took effect: {}", after.text));
    verdict.done();
}

fn with_filter(path: &str, filter: &str) -> String {
    let url = reqwest::Url::parse_with_params("http://any", [("filter", filter)])
        .expect("a constant and a parameter");
    format!("{path}?{}", url.query().unwrap_or_default())
}

#[tokio::test]
async fn wrong_queries() {
    let mut verdict = Verdict::default();
    let client = tenant("queries").await;
    let deep = format!("{}id pr{}", "(".repeat(500), ")".repeat(500));
    let negated = format!("{}id pr{}", "not (".repeat(500), ")".repeat(500));
    let malformed = [
        "id",
        "id eq",
        "id eq x",
        "id is \"x\"",
        "eq \"x\"",
        "id eq \"x",
        "(id eq \"x\"",
        "id eq \"x\")",
        "id eq \"x\" and",
        "meta[",
        "id eq \"x\" id eq \"y\"",
        "meta.created gt \"yesterday\"",
    ];
    for filter in malformed {
        for path in ["/Users", "/Groups"] {
            let what = format!("{path}?filter={}", filter.chars().take(60).collect::<String>());
            let answer = client.get(&with_filter(path, filter)).await.unwrap();
            verdict.error(&what, &answer, 400, Some("invalidFilter"), &[]);
        }
    }
    let answer = client.get(&with_filter("/Users", "active gt true")).await.unwrap();
    verdict.error("booleans have no order", &answer, 400, Some("invalidFilter"), &["active"]);
    let answer = client.get(&with_filter("/Users", "userName\u{0} eq \"x\"")).await.unwrap();
    verdict.error("NUL in a filter", &answer, 400, Some("invalidValue"), &["NUL"]);

    let many = vec!["userName eq \"x\""; 2_000].join(" or ");
    let long = format!("userName eq \"{}\"", "x".repeat(60_000));
    let limits =
        [("2,000 terms", &many), ("60 kB", &long), ("500 brackets", &deep), ("500 negations", &negated)];
    for (what, filter) in limits {
        let answer = client.get(&with_filter("/Users", filter)).await.unwrap();
        verdict.error(&format!("a filter of {what}"), &answer, 400, Some("tooMany"), &["filter"]);
    }
    for (query, scim_type, names) in [
        ("startIndex=one", "invalidValue", "startIndex"),
        ("count=many", "invalidValue", "count"),
        ("sortBy=emails%5B", "invalidPath", "sortBy"),
        ("sortBy=userName&sortOrder=sideways", "invalidValue", "sortOrder"),
    ] {
        let answer = client.get(&format!("/Users?{query}")).await.unwrap();
        verdict.error(query, &answer, 400, Some(scim_type), &[names]);
    }
    // More than a page holds, and more than a number holds, are no mistakes: the page is smaller.
    for query in ["count=100000000", "count=99999999999999999999"] {
        let answer = client.get(&format!("/Users?{query}")).await.unwrap();
        verdict.that(answer.status == 200, format!("{query}: {}", answer.text));
    }
    verdict.done();
}

/// The answer to a POST that announces `length` bytes, before they are sent: a client that sent them all would race the
/// server, which closes the connection.
async fn announce(tenant: &Tenant, path: &str, length: usize) -> String {
    let authority = server().http.trim_start_matches("http://");
    let prefix = tenant.base_url.trim_start_matches(&server().http);
    let head = format!(
        "POST {prefix}{path} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {}\r\n\
         content-type: application/scim+json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{{",
        tenant.token
    );
    let mut connection = TcpStream::connect(authority).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), connection.read_to_end(&mut answer)).await;
    // A connection that is reset behind the answer is as good as one that is closed.
    assert!(read.is_ok(), "no answer in 10 s to a body that is too large");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn sizes_and_content_types() {
    let mut verdict = Verdict::default();
    let tenant = server().tenant("bad input: sizes", "entra").await.unwrap();
    let client = tenant.client();
    for path in ["/Users", "/Groups"] {
        let answer = announce(&tenant, path, 20_000_000).await;
        verdict.that(answer.starts_with("HTTP/1.1 413 "), format!("{path} with 20 MB: {answer}"));
        let says = answer.contains("application/scim+json") && answer.contains(r#""status":"413""#);
        verdict.that(says, format!("{path} with 20 MB: no SCIM error: {answer}"));
    }
    let body = json!({"schemas": [USER], "userName": "typed"}).to_string();
    for content_type in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let request = client.request(Method::POST, "/Users").header(CONTENT_TYPE, content_type);
        let answer = client.send(request.body(body.clone())).await.unwrap();
        verdict.error(content_type, &answer, 415, None, &["application/scim+json"]);
    }
    for (name, content_type) in [
        ("scim", "application/scim+json"),
        ("json", "application/json; charset=utf-8"),
        ("case", "Application/SCIM+JSON"),
    ] {
        let request = client.request(Method::POST, "/Users").header(CONTENT_TYPE, content_type);
        let answer = client.send(request.body(body.replace("typed", name))).await.unwrap();
        verdict.that(answer.status == 201, format!("{content_type}: {}", answer.text));
    }
    verdict.done();
}

#[tokio::test]
async fn routes_and_methods() {
    let mut verdict = Verdict::default();
    let client = tenant("routes").await;
    for path in [
        "",
        "/",
        "/User",
        "/users2",
        "/Users/a/b",
        "/Schema",
        "/Nothing?filter=x",
        "/Users/../../../etc/passwd",
    ] {
        let answer = client.get(path).await.unwrap();
        verdict.error(&format!("GET {path:?}"), &answer, 404, None, &[]);
    }
    let wrong = [
        (Method::DELETE, "/Users"),
        (Method::PUT, "/Users"),
        (Method::PATCH, "/Groups"),
        (Method::POST, "/Schemas"),
        (Method::PUT, "/ServiceProviderConfig"),
        (Method::DELETE, "/ResourceTypes"),
        (Method::POST, "/Users/01890a5d-ac96-774b-bcce-b302099a8057"),
        (Method::from_bytes(b"BREW").unwrap(), "/Users"),
    ];
    for (method, path) in wrong {
        let answer = client.call(method.clone(), path, Some(&json!({}))).await.unwrap();
        verdict.error(&format!("{method} {path}"), &answer, 405, None, &[]);
        let allow = answer.header("allow");
        verdict.that(!allow.is_empty(), format!("{method} {path}: a 405 says in Allow what is possible"));
    }
    verdict.done();
}

#[tokio::test]
async fn credentials() {
    let mut verdict = Verdict::default();
    let tenant = server().tenant("bad input: credentials", "entra").await.unwrap();
    let client = tenant.client();
    let http = testkit::http_client();
    let users = format!("{}/Users", tenant.base_url);
    let (kept, last) = tenant.token.split_at(tenant.token.len() - 1);
    let flipped = format!("{kept}{}", if last == "0" { "1" } else { "0" });
    let headers = [
        ("no header", None),
        ("an empty one", Some(String::new())),
        ("no token", Some("Bearer".to_owned())),
        ("an empty token", Some("Bearer ".to_owned())),
        ("garbage", Some("Bearer garbage".to_owned())),
        ("a JWT of nobody", Some("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.".to_owned())),
        ("one character wrong", Some(format!("Bearer {flipped}"))),
        ("cut off", Some(format!("Bearer {kept}"))),
        ("another scheme", Some("Basic YWxhZGRpbjpvcGVuc2VzYW1l".to_owned())),
        ("the token as a scheme", Some(tenant.token.clone())),
        ("a very long one", Some(format!("Bearer {}", "x".repeat(5_000)))),
    ];
    for (what, header) in headers {
        for (method, body) in [(Method::GET, ""), (Method::POST, "no JSON either")] {
            let mut request = http.request(method.clone(), &users).body(body);
            if let Some(header) = &header {
                request = request.header("authorization", header);
            }
            let answer = client.send(request).await.unwrap();
            verdict.error(&format!("{method} with {what}"), &answer, 401, None, &[]);
            let asks = answer.header("www-authenticate").starts_with("Bearer");
            verdict.that(asks, format!("{what}: no WWW-Authenticate"));
        }
    }
    // RFC 7235: the scheme has no case.
    let answer = client
        .send(http.get(&users).header("authorization", format!("bearer {}", tenant.token)))
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);

    let path = format!("/tenants/{}", tenant.tenant.id);
    let (status, body) = server().admin(Method::DELETE, &path, None).await.unwrap();
    assert!((200..300).contains(&status), "deleting a tenant was answered {status}: {body}");
    for path in ["/Users", "/Groups", "/Users/01890a5d-ac96-774b-bcce-b302099a8057", "/Schemas"] {
        let answer = client.get(path).await.unwrap();
        verdict.error(&format!("{path} of a deleted tenant"), &answer, 401, None, &[]);
        let asks = answer.header("www-authenticate").starts_with("Bearer");
        verdict.that(asks, format!("{path}: no WWW-Authenticate"));
    }
    let user = json!({"schemas": [USER], "userName": "late"});
    verdict.error("POST to a deleted tenant", &client.post("/Users", &user).await.unwrap(), 401, None, &[]);
    verdict.done();
}
