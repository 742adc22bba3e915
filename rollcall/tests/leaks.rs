//! No secret ever leaves the one answer that issues it. A whole run at the most talkative log level and with traces sent to a
//! collector issues secrets of every kind, uses them rightly and wrongly, and then looks for them, in clear and encoded, in all that
//! is left: log, traces, metrics, database files, answers, audit, provisioning log, export.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use platform::clock::Clock;
use proto::membership::v1::CheckRequest;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use testkit::collector::Collector;
use testkit::issuer::{Issuer, KeyPair, KeyType};
use testkit::memberships::{self, Memberships};
use testkit::server::{Standalone, data_dir};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// So many bytes of a secret, wherever they begin in it, are a leak.
const WINDOW: usize = 16;
/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Every stretch of every secret, as it is and in each encoding that hides it from the eye.
#[derive(Default)]
struct Secrets {
    stretches: HashMap<u128, String>,
    /// Rules most places out before the map is asked: by the first three bytes.
    begins: Vec<bool>,
    names: BTreeSet<String>,
}

impl Secrets {
    /// What of `text` nobody but its owner may know.
    fn add(&mut self, name: &str, text: &str) {
        let parts: Vec<&str> = text.split('_').collect();
        let jwt: Vec<&str> = text.split('.').collect();
        match (parts.as_slice(), jwt.as_slice()) {
            // The id before it is public.
            ([_, _, random, _], _) if text.starts_with("rc") => self.add_bytes(name, random.as_bytes()),
            // Anybody can make the claims up.
            (_, [_, _, signature]) => {
                self.add_bytes(name, signature.as_bytes());
                self.add_bytes(name, &URL_SAFE_NO_PAD.decode(signature).unwrap());
            }
            _ => self.add_bytes(name, text.as_bytes()),
        }
    }

    fn add_bytes(&mut self, name: &str, secret: &[u8]) {
        assert!(secret.len() >= WINDOW, "{name} is too short to be told from anything else");
        self.names.insert(name.to_owned());
        self.add_form(name, "in clear", secret);
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        self.add_form(name, "in hexadecimal", hex.as_bytes());
        self.add_form(name, "in hexadecimal", hex.to_uppercase().as_bytes());
        for before in 0..3 {
            // What stands before it, such as `id:`, moves the groups of three; the first and the last group are not its alone.
            let moved = [&[0_u8; 2][..before], secret].concat();
            let whole = &moved[..moved.len() / 3 * 3];
            for encoded in [STANDARD.encode(whole), URL_SAFE.encode(whole)] {
                self.add_form(name, "in base64", &encoded.as_bytes()[if before == 0 { 0 } else { 4 }..]);
            }
        }
    }

    fn add_form(&mut self, name: &str, form: &str, bytes: &[u8]) {
        self.begins.resize(1 << 24, false);
        for window in bytes.windows(WINDOW) {
            self.begins[begin(window)] = true;
            let window = u128::from_le_bytes(window.try_into().unwrap());
            self.stretches.entry(window).or_insert_with(|| format!("{name} ({form})"));
        }
    }

    /// Which secrets `text` holds, but for `allowed`.
    fn found_in(&self, place: &str, text: &[u8], allowed: &[&str]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (at, window) in text.windows(WINDOW).enumerate() {
            if self.begins[begin(window)]
                && let Some(what) = self.stretches.get(&u128::from_le_bytes(window.try_into().unwrap()))
                && !allowed.iter().any(|allowed| what.starts_with(allowed))
                && !found.iter().any(|told: &String| told.starts_with(&format!("{place}: {what}")))
            {
                let around = &text[at.saturating_sub(300)..text.len().min(at + 100)];
                let around = String::from_utf8_lossy(around);
                found.insert(format!("{place}: {what}, at {around:?}"));
            }
        }
        if allowed.is_empty() {
            found.extend(nameless(text).map(|shape| format!("{place}: {shape}")));
        }
        found
    }
}

fn begin(window: &[u8]) -> usize {
    usize::from(window[0]) | usize::from(window[1]) << 8 | usize::from(window[2]) << 16
}

/// What looks like a secret, though nobody told us of it: the platform has some of its own.
fn nameless(text: &[u8]) -> Option<String> {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    text.windows(4).enumerate().find_map(|(at, window)| {
        let kind = [b"rcs_", b"rca_", b"rcc_", b"eyJh", b"eyJ0", b"eyJr"];
        if !kind.iter().any(|kind| kind.as_slice() == window) {
            return None;
        }
        let length = text[at..].iter().take_while(|byte| word(byte)).count();
        let long_enough = if window[0] == b'e' { 100 } else { 4 + 32 + 1 + 43 };
        let until = text.len().min(at + length);
        let shape = String::from_utf8_lossy(&text[at..until]);
        (length >= long_enough).then(|| format!("what looks like a secret: {shape}"))
    })
}

/// A run: what was issued, and what was heard besides.
struct Run {
    server: Standalone,
    http: reqwest::Client,
    secrets: Secrets,
    heard: Vec<(String, String)>,
    keys: usize,
}

impl Run {
    /// A request to a path of the server, to be completed and passed to [`Run::hear`].
    fn request(&self, method: Method, path: &str, bearer: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server.http));
        if bearer.is_empty() { request } else { request.bearer_auth(bearer) }
    }

    /// Sends it. The answer issues nothing, so no secret may stand in it.
    async fn hear(&mut self, what: &str, request: RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
        let text = answer.text().await.unwrap();
        self.heard.push((format!("answer {status} to {what}"), format!("{headers}\n{text}")));
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn admin(&mut self, method: Method, path: &str, body: Value) -> Value {
        let mut request = self.request(method.clone(), &format!("/admin/v1{path}"), &self.server.admin_token);
        if !body.is_null() {
            request = request.json(&body);
        }
        let (status, answer) = self.hear(&format!("{method} {path}"), request).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// What an order issues; ordered twice under one key, because the answer is kept for that.
    async fn issue(&mut self, name: &str, path: &str, body: Value) -> Value {
        self.keys += 1;
        let mut answers = Vec::new();
        for _ in 0..2 {
            let request = self.request(Method::POST, &format!("/admin/v1{path}"), &self.server.admin_token);
            let request = request.header("idempotency-key", format!("key-{}", self.keys)).json(&body);
            let answer = request.send().await.unwrap();
            let (status, replayed) = (answer.status(), answer.headers().contains_key("idempotency-replayed"));
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(status, 201, "{path}: {answer}");
            assert_eq!(replayed, !answers.is_empty(), "{path}");
            answers.push(answer);
        }
        assert_eq!(answers[0], answers[1], "{path}");
        for field in ["token", "client_secret"] {
            if let Some(secret) = answers[0][field].as_str() {
                self.secrets.add(name, secret);
            }
        }
        answers.remove(0)
    }

    /// An access token for a form.
    async fn token(&mut self, name: &str, form: &[(&str, &str)], basic: Option<(&str, &str)>) -> String {
        let mut request = self.request(Method::POST, "/oauth2/token", "").form(form);
        if let Some((id, secret)) = basic {
            request = request.basic_auth(id, Some(secret));
        }
        let answer = request.send().await.unwrap();
        let (status, answer) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, 200, "{name}: {answer}");
        let token = answer["access_token"].as_str().unwrap().to_owned();
        self.secrets.add(name, &token);
        token
    }

    /// A client of the tenant; its id, and its secret if it has one.
    async fn client(&mut self, name: &str, tenant: &str, scope: &str, more: Value) -> (String, String) {
        let mut body = json!({"name": name, "tenant": tenant, "scopes": [scope]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let client = self.issue(&format!("client_secret of {name}"), "/clients", body).await;
        let text = |field: &str| client[field].as_str().unwrap_or_default().to_owned();
        (text("client_id"), text("client_secret"))
    }
}

/// Seconds since the Unix epoch.
fn now() -> i64 {
    Clock::system().now().seconds()
}

fn claims(issuer: &str, audience: &str, subject: &str) -> Value {
    json!({"iss": issuer, "aud": audience, "sub": subject, "iat": now(), "exp": now() + 300,
        "jti": uuid::Uuid::new_v4().to_string()})
}

async fn start(directory: &Path, otlp_endpoint: &str) -> Run {
    let config = directory.join("rollcall.toml");
    let settings = format!(
        "[telemetry]\nlog = \"trace\"\notlp_endpoint = \"{otlp_endpoint}\"\n\
         [token.discovery]\nallow_inside = true\n"
    );
    std::fs::write(&config, settings).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_rollcall"));
    let server = Standalone::start(binary, directory, &["--config", config.to_str().unwrap()]).unwrap();
    let mut secrets = Secrets::default();
    secrets.add("the first admin token", &server.admin_token);
    secrets.add_bytes("an Ed25519 key in PKCS #8", &ED25519_PKCS8);
    Run { server, http: testkit::http_client(), secrets, heard: Vec::new(), keys: 0 }
}

/// Everything that lets somebody in, each issued once and, where it can be, replaced. Bearer tokens with their names.
async fn issue_all(run: &mut Run, issuer: &Issuer) -> Vec<(&'static str, String)> {
    let mut bearers = Vec::new();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tenant = run.issue("first secret", "/tenants", json!({"name": "leaks", "preset": "zeeg"})).await;
    bearers.push(("first secret", text(&tenant["token"])));
    let id = text(&tenant["tenant"]["id"]);
    let on = run.issue("secret of scim/enable", "/tenants/leaks/scim/enable", json!({})).await;
    bearers.push(("secret of scim/enable", text(&on["token"])));
    let more = run.issue("further secret", "/tenants/leaks/credentials", json!({"label": "more"})).await;
    bearers.push(("further secret", text(&more["token"])));
    let rotations = [
        ("more", "completed successor", "complete"),
        ("completed successor", "cancelled successor", "cancel"),
    ];
    for (label, name, verb) in rotations {
        let of = live_under(run, label).await;
        let path = format!("/tenants/leaks/credentials/{of}/rotation");
        let successor = run.issue(name, &path, json!({"label": name})).await;
        bearers.push((name, text(&successor["token"])));
        let path =
            format!("/tenants/leaks/credentials/{}/rotation/{verb}", text(&successor["credential"]["id"]));
        run.admin(Method::POST, &path, Value::Null).await;
    }
    let admin = run.issue("second admin token", "/admins", json!({"label": "second"})).await;
    bearers.push(("second admin token", text(&admin["token"])));

    let (client, secret) = run.client("basic", &id, "scim", json!({})).await;
    let grant = ("grant_type", "client_credentials");
    let token = run.token("token by Basic", &[grant], Some((&client, &secret))).await;
    bearers.push(("token by Basic", token));
    let path = format!("/clients/{client}/secrets");
    let rotated = run.issue("rotated client_secret", &path, json!({"overlap_seconds": 3600})).await;
    let secret = text(&rotated["client_secret"]);
    let form = [grant, ("client_id", &client), ("client_secret", &secret)];
    bearers.push(("token by body", run.token("token by body", &form, None).await));
    for scope in ["memberships:read", "directory:read"] {
        let (client, secret) = run.client(scope, &id, scope, json!({})).await;
        let token = run.token(scope, &[grant, ("scope", scope)], Some((&client, &secret))).await;
        bearers.push((scope, token));
    }

    let key = KeyPair::new(KeyType::P256, "k", 0);
    let (client, _) = run.client("by key", &id, "scim", json!({"jwks": key.jwks()})).await;
    let assertion = key.sign(&claims(&client, &run.server.http, &client));
    run.secrets.add("assertion of its own", &assertion);
    let form = [grant, ("client_assertion", &assertion), ("client_assertion_type", JWT_BEARER)];
    bearers.push(("token by assertion", run.token("token by assertion", &form, None).await));
    bearers.push(("assertion of its own", assertion));

    let federation = json!({"issuer": issuer.url, "audience": "api://rollcall", "subject": "workload"});
    let (client, _) = run.client("federated", &id, "scim", json!({"federation": federation})).await;
    let assertion = issuer.sign(&claims(&issuer.url, "api://rollcall", "workload"));
    run.secrets.add("assertion of the issuer", &assertion);
    let form = [
        grant,
        ("client_id", &client),
        ("client_assertion", &assertion),
        ("client_assertion_type", JWT_BEARER),
    ];
    bearers.push(("token by federation", run.token("token by federation", &form, None).await));
    bearers.push(("assertion of the issuer", assertion));

    let trusted = json!({"label": "idp", "issuer": issuer.url, "audience": "entra", "subject": "principal"});
    run.admin(Method::POST, "/tenants/leaks/issuers", trusted).await;
    let token = issuer.sign(&claims(&issuer.url, "entra", "principal"));
    run.secrets.add("token of the issuer", &token);
    bearers.push(("token of the issuer", token));
    bearers
}

/// The id of the credential that is live under this label.
async fn live_under(run: &mut Run, label: &str) -> String {
    let listed = run.admin(Method::GET, "/tenants/leaks/credentials", Value::Null).await;
    let mut listed = listed["credentials"].as_array().unwrap().iter();
    let live = listed.find(|one| one["label"] == label && one.get("revoked_at").is_none());
    live.unwrap()["id"].as_str().unwrap().to_owned()
}

/// Every secret where it belongs and where it does not.
async fn use_all(run: &mut Run, bearers: &[(&'static str, String)]) {
    for (name, bearer) in bearers {
        let user = json!({"schemas": [USER], "userName": format!("{name}@contoso.example"), "active": true});
        let request = run.request(Method::POST, "/scim/v2/Users", bearer).json(&user);
        run.hear(&format!("{name} at SCIM"), request).await;
        let request = run.request(Method::GET, "/admin/v1/tenants", bearer);
        run.hear(&format!("{name} at the admin API"), request).await;
        let internal = Memberships::connect(&run.server.grpc, Some(bearer)).await.unwrap();
        let (user, group) = (memberships::user("a"), memberships::group("b"));
        let answer = internal.check(CheckRequest { user, group, ..CheckRequest::default() }).await;
        run.heard.push((format!("gRPC's answer to {name}"), format!("{answer:?}")));

        // Where people put it by mistake.
        let typo = format!("{}x{}", &bearer[..bearer.len() - 7], &bearer[bearer.len() - 6..]);
        for path in ["/scim/v2/Users", "/scim/v2/nowhere", "/nowhere", "/admin/v1/tenants", "/oauth2/token"] {
            let query = format!("{path}?access_token={bearer}");
            for method in [Method::GET, Method::POST, Method::TRACE] {
                let request = run.request(method.clone(), &query, "");
                run.hear(&format!("{method} {path} with {name} in the query"), request).await;
                let request = run.request(method.clone(), &query, &typo);
                run.hear(&format!("{method} {path} with {name} misspelt"), request).await;
            }
        }
        for header in [bearer.clone(), format!("Basic {bearer}"), format!("Bearer {bearer} {bearer}")] {
            let request = run.request(Method::GET, "/scim/v2/Users", "").header("authorization", &header);
            run.hear(&format!("{name} in a wrong header"), request).await;
        }
        let basic = format!("Basic {}", STANDARD.encode(format!("someone:{bearer}")));
        let request = run.request(Method::POST, "/oauth2/token", "").header("authorization", basic);
        let request = request.form(&[("grant_type", "client_credentials")]);
        run.hear(&format!("{name} as another's client_secret"), request).await;
        for field in ["client_secret", "client_assertion", "refresh_token", "password", "code"] {
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", "someone"),
                ("client_assertion_type", JWT_BEARER),
                (field, bearer.as_str()),
            ];
            let request = run.request(Method::POST, "/oauth2/token", "").form(&form);
            run.hear(&format!("{name} as {field}"), request).await;
            let form = format!("grant_type=client_credentials&{field}={bearer}&{field}={bearer}");
            let request = run.request(Method::POST, "/oauth2/token", "").body(form);
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            run.hear(&format!("{name} twice as {field}"), request).await;
        }
    }
}

/// Bodies that cannot be read, or say the wrong thing, with secrets in them. (Not where the schema expects what is no secret, such as a
/// name: that is quoted to who sent it, and kept.)
async fn quote(run: &mut Run, scim: &str, secret: &str, what: &str) {
    let bodies = [
        format!(r#"{{"userName": "{secret}"#),
        format!(r#"{{"userName": "a@b" "{secret}"}}"#),
        json!({"schemas": [USER], "userName": "q", "password": [secret]}).to_string(),
        json!({"schemas": [USER], "userName": "q", "password": {"value": secret}}).to_string(),
        json!({"schemas": [PATCH], "Operations": secret}).to_string(),
        json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "password", "value": [secret]}]})
            .to_string(),
        json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": secret}]}).to_string(),
    ];
    for body in bodies {
        let paths =
            [(Method::POST, "/Users"), (Method::PATCH, "/Users/0198f3c2-a1b4-7c3d-8e9f-001122334455")];
        for (method, path) in paths {
            let request = run.request(method, &format!("/scim/v2{path}"), scim);
            let request = request.header("content-type", "application/scim+json").body(body.clone());
            run.hear(&format!("a body with {what}: {}", body.replace(secret, "...")), request).await;
        }
    }
    let bodies = [
        format!(r#"{{"name": "{secret}"#),
        json!({"name": [secret]}).to_string(),
        json!({"token": secret}).to_string(),
        json!({"expires_at": secret}).to_string(),
        json!({"expires_at": 1, "label": secret}).to_string(),
        json!({"overlap_seconds": secret}).to_string(),
        json!({"settings": secret}).to_string(),
        json!({"jwks": secret}).to_string(),
        json!({"name": "x", "scopes": secret}).to_string(),
        json!({"name": "x", "scopes": ["scim"], "tenant": "leaks", "jwks": {"keys": [{"kty": "oct", "k": secret}]}})
            .to_string(),
        json!({"name": "x", "scopes": ["scim"], "tenant": "leaks", "jwks": {"keys": [{"kty": "OKP",
            "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": secret}]}})
            .to_string(),
        json!(secret).to_string(),
    ];
    for body in bodies {
        for path in ["/tenants", "/clients", "/tenants/leaks/credentials", "/tenants/leaks/scim/enable"] {
            // What is no mistake there has no place here.
            if path.ends_with("enable") && !body.contains("expires_at") {
                continue;
            }
            let token = run.server.admin_token.clone();
            let request = run.request(Method::POST, &format!("/admin/v1{path}"), &token);
            let request = request.header("content-type", "application/json").body(body.clone());
            let (status, _) =
                run.hear(&format!("{path} of {what}: {}", body.replace(secret, "...")), request).await;
            assert!((400..500).contains(&status), "{path} took {body}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_left_anywhere() {
    let directory = data_dir().unwrap();
    let (collector, otlp_endpoint) = Collector::start().await.unwrap();
    let mut run = start(directory.path(), &otlp_endpoint).await;
    let issuer = Issuer::start("/directory/").await;
    let bearers = issue_all(&mut run, &issuer).await;
    let named = |wanted: &str| &bearers.iter().find(|(name, _)| *name == wanted).unwrap().1;
    let scim = named("token by Basic");

    // A password is somebody's secret though we did not issue it.
    let password = format!("pw{}", uuid::Uuid::new_v4().simple());
    run.secrets.add("password", &password);
    let user = json!({"schemas": [USER], "userName": "anna@contoso.example", "password": password});
    let request = run.request(Method::POST, "/scim/v2/Users", scim).json(&user);
    let (status, anna) = run.hear("a user with a password", request).await;
    assert_eq!(status, 201, "{anna}");
    let anna = format!("/scim/v2/Users/{}", anna["id"].as_str().unwrap());
    let patches = [
        json!([{"op": "Add", "path": "password", "value": password}]),
        json!([{"op": "replace", "value": {"password": password, "displayName": "Anna"}}]),
        json!([{"op": "Add", "path": "password", "value": {"value": password}}]),
        json!([{"op": "Replace", "path": "active", "value": "False"}, {"op": "nonsense", "path": "password", "value": password}]),
    ];
    for operations in patches {
        let body = json!({"schemas": [PATCH], "Operations": operations});
        let request = run.request(Method::PATCH, &anna, scim).json(&body);
        run.hear("a PATCH of a password", request).await;
    }
    let request = run.request(Method::PUT, &anna, scim).json(&user);
    assert_eq!(run.hear("a PUT of a password", request).await.0, 200);
    let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        {"method": "POST", "path": "/Users", "bulkId": "b", "data": {"schemas": [USER], "userName": "b", "password": password}},
        {"method": "POST", "path": "/Users", "bulkId": "c", "data": {"schemas": [USER], "password": password}},
    ]});
    let request = run.request(Method::POST, "/scim/v2/Bulk", scim).json(&bulk);
    assert_eq!(run.hear("a bulk with passwords", request).await.0, 200);
    quote(&mut run, scim, &password, "a password").await;

    use_all(&mut run, &bearers).await;
    for name in ["completed successor", "token by body"] {
        quote(&mut run, scim, named(name), name).await;
    }
    for verb in [["tenant", "show", "leaks"], ["tenant", "create", "leaks"], ["scim", "enable", "nobody"]] {
        for name in ["second admin token", "completed successor"] {
            let command = Command::new(env!("CARGO_BIN_EXE_rollcall"))
                .args(verb)
                .envs([("ROLLCALL_SERVER", &run.server.http), ("ROLLCALL_ADMIN_TOKEN", named(name))])
                .output()
                .unwrap();
            run.heard.push((format!("rollcall {verb:?} with {name}"), format!("{command:?}")));
        }
    }

    // What is told of it afterwards. The provisioning log is written behind the answers: its last entry is awaited.
    let last = json!({"schemas": [USER], "userName": "the-last"});
    let request = run.request(Method::POST, "/scim/v2/Users", scim).json(&last);
    assert_eq!(run.hear("the last request", request).await.0, 201);
    let mut is_written = false;
    for _ in 0..500 {
        let page = run.admin(Method::GET, "/tenants/leaks/log?user=the-last", Value::Null).await;
        is_written = page["exchanges"][0].is_object();
        if is_written {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(is_written, "the provisioning log does not tell of the last request");
    for list in ["/tenants/leaks/log", "/audit", "/tenants/leaks/audit"] {
        let mut page_token = String::new();
        let mut count = 0;
        loop {
            let path = format!("{list}?page_size=1000&page_token={page_token}");
            let page = run.admin(Method::GET, &path, Value::Null).await;
            count += page["exchanges"].as_array().or(page["events"].as_array()).unwrap().len();
            let Some(next) = page["next_page_token"].as_str() else { break };
            page_token = next.to_owned();
        }
        assert!(count > 10, "{list} has {count} entries");
    }
    for path in ["/tenants/leaks/export", "/tenants", "/clients", "/admins", "/tenants/leaks/credentials"] {
        run.admin(Method::GET, path, Value::Null).await;
    }
    let metrics = run.request(Method::GET, "/metrics", "");
    assert_eq!(run.hear("/metrics", metrics).await.0, 200);

    let mut found = BTreeSet::new();
    found.extend(in_files(&mut run.secrets, directory.path(), "running"));
    let Run { server, mut secrets, heard, .. } = run;
    // Sends the last traces.
    server.terminate().unwrap();
    found.extend(in_files(&mut secrets, directory.path(), "stopped"));
    for (place, text) in &heard {
        found.extend(secrets.found_in(place, text.as_bytes(), &[]));
    }
    let sent = collector.text();
    assert!(sent.contains("/scim/v2/Users") && sent.contains("db."), "no traces came: {} bytes", sent.len());
    found.extend(secrets.found_in("OTLP", sent.as_bytes(), &[]));
    println!("{} secrets, {} answers, {} bytes of OTLP", secrets.names.len(), heard.len(), sent.len());
    assert!(secrets.names.len() >= 24, "{:?}", secrets.names);
    let told: Vec<&str> = found.iter().map(String::as_str).collect();
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), told.join("\n"));
}

/// Searches all files of the data directory. Two hold secrets: each only its own, and the key's no other file's.
fn in_files(secrets: &mut Secrets, directory: &Path, when: &str) -> BTreeSet<String> {
    let files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let names: Vec<_> =
        files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let mut of_keys = Vec::new();
    for (file, name) in files.iter().zip(&names) {
        let is_database = name.contains(".sqlite");
        let is_known = ["admin-token", "endpoints.json", "lock", "rollcall.toml", "server.log"];
        if is_database || is_known.contains(&name.as_str()) {
            continue;
        }
        // A key, as it is and as its text says.
        let key = std::fs::read(file).unwrap();
        let own = format!("the file {name}");
        secrets.add_bytes(&own, key.trim_ascii());
        if let Ok(decoded) = STANDARD.decode(key.trim_ascii()) {
            secrets.add_bytes(&own, &decoded);
        }
        of_keys.push((name.clone(), own));
    }
    assert!(!of_keys.is_empty(), "the keys are in none of {names:?}");
    let databases = names.iter().filter(|name| name.ends_with(".sqlite")).count();
    assert_eq!(databases, 4, "{names:?}");
    let mut found = BTreeSet::new();
    for (file, name) in files.iter().zip(&names) {
        let own = of_keys.iter().find(|(of, _)| of == name).map(|(_, own)| own.as_str());
        let own = if name == "admin-token" { Some("the first admin token") } else { own };
        let text = std::fs::read(file).unwrap();
        found.extend(secrets.found_in(&format!("{name}, {when}"), &text, own.as_slice()));
    }
    found
}
