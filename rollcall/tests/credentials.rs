//! Every kind of credential, end to end against a running server and a real OpenID Connect issuer: each provisions and does
//! nothing else, each ends within a second of being taken away, and rotations fail no request.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use platform::clock::Clock;
use proto::membership::v1::CheckRequest;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::Client;
use testkit::issuer::{Issuer, KeyPair, KeyType};
use testkit::memberships::{self, Memberships};
use testkit::server::{Standalone, Tenant};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const AUDIENCE: &str = "8adf8e6e-67b2-4cf2-a259-e3dc5476c621";
const DIRECTORY: &str = "0198f3c2-a1b4-7c3d-8e9f-00112233aabb";

/// The server of these tests. Its issuers are on loopback, which it must be told to allow.
fn server() -> &'static Standalone {
    static SERVER: OnceLock<Standalone> = OnceLock::new();
    SERVER.get_or_init(|| {
        let dir = tempfile::Builder::new().prefix("rollcall-data-").tempdir().unwrap().keep();
        let config = dir.join("rollcall.toml");
        std::fs::write(&config, "[token.discovery]\nallow_inside = true\n").unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_rollcall"));
        Standalone::start(binary, &dir, &["--config", config.to_str().unwrap()]).unwrap()
    })
}

async fn admin(method: Method, path: &str, body: Value, expected: u16) -> Value {
    let body = Some(body).filter(|body| !body.is_null());
    let (status, answer) = server().admin(method.clone(), path, body).await.unwrap();
    assert_eq!(status, expected, "{method} {path}: {answer}");
    answer
}

/// Seconds since the Unix epoch.
fn now() -> i64 {
    Clock::system().now().seconds()
}

/// POST to the token endpoint; status and answer.
async fn ask(http: &reqwest::Client, form: &[(&str, &str)], basic: Option<(&str, &str)>) -> (u16, Value) {
    let mut form = form.to_vec();
    form.push(("grant_type", "client_credentials"));
    let mut request = http.post(format!("{}/oauth2/token", server().http)).form(&form);
    if let Some((id, secret)) = basic {
        request = request.basic_auth(id, Some(secret));
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn token(form: &[(&str, &str)], basic: Option<(&str, &str)>) -> String {
    let (status, answer) = ask(&testkit::http_client(), form, basic).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("scim")));
    assert!(answer["expires_in"].as_i64().unwrap() >= 3600, "Entra gets a new one about hourly: {answer}");
    answer["access_token"].as_str().unwrap().to_owned()
}

/// A client that provisions `tenant`.
async fn client(tenant: &Tenant, name: &str, more: Value) -> Value {
    let mut client = json!({"name": name, "tenant": tenant.tenant.id, "scopes": ["scim"]});
    client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    admin(Method::POST, "/clients", client, 201).await
}

/// The claims of an assertion of its own, good for one use.
fn assertion(client_id: &str) -> Value {
    let jti = uuid::Uuid::new_v4().to_string();
    json!({"iss": client_id, "sub": client_id, "aud": server().http, "iat": now(), "exp": now() + 300, "jti": jti})
}

/// A token of version 1 as Entra's provisioning service has it.
fn entra_claims(issuer: &Issuer) -> Value {
    json!({
        "iss": issuer.url, "aud": AUDIENCE, "tid": DIRECTORY, "appid": "app", "sub": "principal", "ver": "1.0",
        "iat": now(), "nbf": now(), "exp": now() + 3600,
    })
}

async fn trust(tenant: &Tenant, issuer: &Issuer) -> String {
    let trusted = json!({
        "label": "Entra ID", "issuer": issuer.url, "audience": AUDIENCE, "directory_id": DIRECTORY, "app_id": "app",
    });
    let path = format!("/tenants/{}/issuers", tenant.tenant.id);
    admin(Method::POST, &path, trusted, 201).await["id"].as_str().unwrap().to_owned()
}

/// A bearer token of each kind for this tenant, with what takes it away.
async fn bearers(tenant: &Tenant, issuer: &Issuer) -> Vec<(&'static str, String, (Method, String))> {
    let id = &tenant.tenant.id;
    let mut bearers = Vec::new();
    let listed = admin(Method::GET, &format!("/tenants/{id}/credentials"), Value::Null, 200).await;
    let secret = listed["credentials"][0]["id"].as_str().unwrap();
    let revoke = (Method::DELETE, format!("/tenants/{id}/credentials/{secret}"));
    bearers.push(("secret", tenant.token.clone(), revoke));
    let delete =
        |client: &Value| (Method::DELETE, format!("/clients/{}", client["client_id"].as_str().unwrap()));

    let basic = client(tenant, &format!("basic-{id}"), json!({})).await;
    let pair = (basic["client_id"].as_str().unwrap(), basic["client_secret"].as_str().unwrap());
    bearers.push(("client by Basic", token(&[], Some(pair)).await, delete(&basic)));
    let body = client(tenant, &format!("body-{id}"), json!({})).await;
    let pair = (body["client_id"].as_str().unwrap(), body["client_secret"].as_str().unwrap());
    let form = [("client_id", pair.0), ("client_secret", pair.1), ("scope", "scim")];
    bearers.push(("client by body", token(&form, None).await, delete(&body)));

    let key = KeyPair::new(KeyType::P256, "k", 0);
    let by_key = client(tenant, &format!("key-{id}"), json!({"jwks": key.jwks()})).await;
    assert!(by_key.get("client_secret").is_none(), "it needs none: {by_key}");
    let signed = key.sign(&assertion(by_key["client_id"].as_str().unwrap()));
    let form = [("client_assertion", signed.as_str()), ("client_assertion_type", JWT_BEARER)];
    bearers.push(("private_key_jwt", token(&form, None).await, delete(&by_key)));

    let subject = format!("workload-{id}");
    let federation = json!({"issuer": issuer.url, "audience": "api://rollcall", "subject": subject});
    let federated = client(tenant, &format!("federated-{id}"), json!({"federation": federation})).await;
    let signed = issuer.sign(&json!({
        "iss": issuer.url, "aud": "api://rollcall", "sub": subject, "ver": "2.0", "iat": now(), "exp": now() + 3600,
    }));
    let client_id = federated["client_id"].as_str().unwrap();
    let form =
        [("client_id", client_id), ("client_assertion", &signed), ("client_assertion_type", JWT_BEARER)];
    bearers.push(("federation", token(&form, None).await, delete(&federated)));

    let trusted = trust(tenant, issuer).await;
    let distrust = (Method::DELETE, format!("/tenants/{id}/issuers/{trusted}"));
    bearers.push(("trusted issuer", issuer.sign(&entra_claims(issuer)), distrust));
    bearers
}

async fn status(client: &Client) -> u16 {
    client.get("/Users?count=1").await.unwrap().status
}

#[tokio::test]
async fn each_kind_provisions_its_tenant_and_nothing_else() {
    let issuer = Issuer::start(&format!("/{DIRECTORY}/")).await;
    let tenant = server().tenant("credentials-kinds", "entra").await.unwrap();
    let other = server().tenant("credentials-other", "entra").await.unwrap();
    let theirs =
        other.client().post("/Users", &json!({"schemas": [USER], "userName": "theirs"})).await.unwrap();
    let theirs = format!("/Users/{}", theirs.id().unwrap());
    let bearers = bearers(&tenant, &issuer).await;
    for (kind, bearer, _) in &bearers {
        let client = tenant.client().with_token(bearer);
        let user = json!({"schemas": [USER], "userName": format!("{kind}@example.com"), "active": true});
        let created = client.post("/Users", &user).await.unwrap();
        assert_eq!(created.status, 201, "{kind}: {}", created.text);
        let shown = client.get(&format!("/Users/{}", created.id().unwrap())).await.unwrap();
        assert_eq!(shown.body["userName"], user["userName"], "{kind}");
        assert_eq!(client.get(&theirs).await.unwrap().status, 404, "{kind} sees another tenant's user");
        let admin = testkit::http_client()
            .get(format!("{}/admin/v1/tenants", server().http))
            .bearer_auth(bearer)
            .send()
            .await
            .unwrap();
        assert_eq!(admin.status(), 403, "{kind} is no administrator");
        // Internal services take none of them.
        let internal = Memberships::connect(&server().grpc, Some(bearer)).await.unwrap();
        let (user, group) = (memberships::user("a"), memberships::group("b"));
        let question =
            CheckRequest { tenant_id: tenant.tenant.id.clone(), user, group, ..CheckRequest::default() };
        assert_eq!(
            internal.check(question).await.unwrap_err().code(),
            tonic::Code::Unauthenticated,
            "{kind}"
        );
    }
    // The log tells of none of them.
    let log = std::fs::read_to_string(server().dir().join("server.log")).unwrap();
    for (kind, bearer, _) in &bearers {
        assert!(!log.contains(bearer.as_str()), "{kind} stands in the log");
    }
    for beginning in ["rcs_", "rcc_", "rca_", "eyJ"] {
        assert!(!log.contains(beginning), "{beginning} stands in the log");
    }
}

#[tokio::test]
async fn what_is_taken_away_ends_within_a_second() {
    let issuer = Issuer::start(&format!("/{DIRECTORY}/")).await;
    let tenant = server().tenant("credentials-ends", "entra").await.unwrap();
    let mut measured = Vec::new();
    for (kind, bearer, (method, path)) in bearers(&tenant, &issuer).await {
        let client = tenant.client().with_token(&bearer);
        assert_eq!(status(&client).await, 200, "{kind}");
        let asked = Instant::now();
        let (answered, body) = server().admin(method, &path, None).await.unwrap();
        assert!((200..300).contains(&answered), "{kind}: {answered} {body}");
        measured.push((kind, until_refused(&client, asked).await));
    }
    let id = &tenant.tenant.id;
    let reissue = async |label: &str, expires_at: Option<&str>| {
        let mut body = json!({"label": label});
        if let Some(expires_at) = expires_at {
            body["expires_at"] = expires_at.into();
        }
        let path = format!("/tenants/{id}/credentials");
        let created = admin(Method::POST, &path, body, 201).await;
        tenant.client().with_token(created["token"].as_str().unwrap())
    };
    let client = reissue("disabling", None).await;
    assert_eq!(status(&client).await, 200);
    let asked = Instant::now();
    admin(Method::PATCH, &format!("/tenants/{id}"), json!({"state": "disabled"}), 200).await;
    measured.push(("tenant disabled", until_refused(&client, asked).await));
    admin(Method::PATCH, &format!("/tenants/{id}"), json!({"state": "active"}), 200).await;

    // Expiry: the server and this test have one clock.
    let end = Clock::system().now().plus(Duration::from_secs(2));
    let client = reissue("expiring", Some(&end.to_rfc3339())).await;
    let mut answered = status(&client).await;
    assert_eq!(answered, 200);
    while answered == 200 {
        answered = status(&client).await;
    }
    assert_eq!(answered, 401);
    // RFC 3339 here has whole milliseconds.
    let late = Clock::system().now().micros() - end.micros() + 1000;
    measured
        .push(("secret expired", Duration::from_micros(u64::try_from(late).expect("not before its time"))));

    let client = reissue("switching off", None).await;
    assert_eq!(status(&client).await, 200);
    let asked = Instant::now();
    admin(Method::POST, &format!("/tenants/{id}/scim/disable"), Value::Null, 200).await;
    measured.push(("SCIM switched off", until_refused(&client, asked).await));

    println!("from the order to the first refusal: {measured:?}");
    for (kind, took) in measured {
        assert!(took < Duration::from_secs(1), "{kind}: {took:?}");
    }
}

/// How long it was from `asked` until a request was refused.
async fn until_refused(client: &Client, asked: Instant) -> Duration {
    loop {
        match status(client).await {
            401 => return asked.elapsed(),
            other => assert_eq!(other, 200),
        }
        assert!(asked.elapsed() < Duration::from_secs(20), "it is still let in");
    }
}

#[tokio::test]
async fn the_metadata_is_true() {
    let http = testkit::http_client();
    let metadata = format!("{}/.well-known/oauth-authorization-server", server().http);
    let metadata: Value = http.get(metadata).send().await.unwrap().json().await.unwrap();
    assert_eq!(metadata["issuer"], server().http);
    let tenant = server().tenant("credentials-metadata", "entra").await.unwrap();
    let keys = [
        KeyPair::new(KeyType::Rsa, "rsa", 0),
        KeyPair::new(KeyType::P256, "p256", 0),
        KeyPair::new(KeyType::P384, "p384", 0),
        KeyPair::new(KeyType::Ed25519, "ed", 0),
    ];
    let jwks = json!({"keys": keys.iter().map(KeyPair::jwk).collect::<Vec<_>>()});
    let created = client(&tenant, "credentials-metadata", json!({"jwks": jwks})).await;
    let client_id = created["client_id"].as_str().unwrap();
    let methods = &metadata["token_endpoint_auth_methods_supported"];
    assert!(methods.as_array().unwrap().contains(&json!("private_key_jwt")), "{methods}");
    let algorithms = metadata["token_endpoint_auth_signing_alg_values_supported"].as_array().unwrap();
    assert_eq!(algorithms.len(), 9);
    for name in algorithms {
        let algorithm = serde_json::from_value(name.clone()).unwrap();
        let key = match name.as_str().unwrap() {
            "ES256" => &keys[1],
            "ES384" => &keys[2],
            "EdDSA" => &keys[3],
            _ => &keys[0],
        };
        let mut claims = assertion(client_id);
        claims["aud"] = metadata["token_endpoint"].clone();
        let signed = key.sign_as(algorithm, &claims);
        let form = [("client_assertion", signed.as_str()), ("client_assertion_type", JWT_BEARER)];
        assert_eq!(ask(&http, &form, None).await.0, 200, "{name}");
        // Each lets in once.
        let (again, answer) = ask(&http, &form, None).await;
        assert_eq!((again, &answer["error"]), (401, &json!("invalid_client")), "{name}");
        assert!(answer["error_description"].as_str().unwrap().contains("jti"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_of_a_client_fail_no_request() {
    let tenant = server().tenant("credentials-load", "entra").await.unwrap();
    let created = client(&tenant, "credentials-load", json!({})).await;
    let id = created["client_id"].as_str().unwrap().to_owned();
    let (tell, told) =
        tokio::sync::watch::channel(Some(created["client_secret"].as_str().unwrap().to_owned()));
    let (done, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (told, done, id, scim) = (told.clone(), done.clone(), id.clone(), tenant.client());
        workers.spawn(async move {
            let http = testkit::http_client();
            loop {
                let Some(secret) = told.borrow().clone() else { return };
                let (granted, answer) = ask(&http, &[], Some((&id, &secret))).await;
                let bearer = answer["access_token"].as_str().unwrap_or_default();
                let answered = status(&scim.with_token(bearer)).await;
                assert!(done.send((granted, answered)).is_ok());
            }
        });
    }
    drop(done);
    let mut some_requests = async || {
        for _ in 0..100 {
            assert_eq!(progress.recv().await, Some((200, 200)));
        }
    };
    for _ in 0..3 {
        some_requests().await;
        let path = format!("/clients/{id}/secrets");
        let rotated = admin(Method::POST, &path, json!({"overlap_seconds": 60}), 201).await;
        some_requests().await;
        server().admin(Method::POST, "/signing-keys", None).await.unwrap();
        tell.send_replace(Some(rotated["client_secret"].as_str().unwrap().to_owned()));
    }
    some_requests().await;
    tell.send_replace(None);
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    while let Some(answered) = progress.recv().await {
        assert_eq!(answered, (200, 200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_of_secrets_and_keys_fail_no_request() {
    let tenant = server().tenant("credentials-rotation", "entra").await.unwrap();
    let id = tenant.tenant.id.clone();
    let first = KeyPair::new(KeyType::P256, "0", 0);
    let by_key = client(&tenant, "credentials-rotation", json!({"jwks": first.jwks()})).await;
    let client_id = by_key["client_id"].as_str().unwrap().to_owned();
    let (tell, told) = tokio::sync::watch::channel(Some((tenant.token.clone(), first.clone())));
    let (done, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (told, done, client_id, scim) = (told.clone(), done.clone(), client_id.clone(), tenant.client());
        workers.spawn(async move {
            let http = testkit::http_client();
            loop {
                let Some((secret, key)) = told.borrow().clone() else { return };
                let by_secret = status(&scim.with_token(&secret)).await;
                let signed = key.sign(&assertion(&client_id));
                let form = [("client_assertion", signed.as_str()), ("client_assertion_type", JWT_BEARER)];
                let (granted, _) = ask(&http, &form, None).await;
                assert!(done.send((by_secret, granted)).is_ok());
            }
        });
    }
    drop(done);
    let mut some_requests = async || {
        for _ in 0..100 {
            assert_eq!(progress.recv().await, Some((200, 200)));
        }
    };
    let listed = admin(Method::GET, &format!("/tenants/{id}/credentials"), Value::Null, 200).await;
    let mut credential = listed["credentials"][0]["id"].as_str().unwrap().to_owned();
    let mut key = first;
    for round in 1..=3 {
        some_requests().await;
        // Both secrets and both keys work, until everybody uses the new ones.
        let path = format!("/tenants/{id}/credentials/{credential}/rotation");
        let (answered, rotation) = server().admin(Method::POST, &path, Some(json!({}))).await.unwrap();
        assert_eq!(answered, 201, "{rotation}");
        let next = KeyPair::new(KeyType::P256, &round.to_string(), 0);
        let change = |keys: &[&KeyPair]| json!({"jwks": {"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}});
        let client = format!("/clients/{client_id}");
        admin(Method::PATCH, &client, change(&[&key, &next]), 200).await;
        some_requests().await;
        tell.send_replace(Some((rotation["token"].as_str().unwrap().to_owned(), next.clone())));
        // More than are under way with the ones before.
        some_requests().await;
        credential = rotation["credential"]["id"].as_str().unwrap().to_owned();
        let path = format!("/tenants/{id}/credentials/{credential}/rotation/complete");
        admin(Method::POST, &path, Value::Null, 200).await;
        admin(Method::PATCH, &client, change(&[&next]), 200).await;
        key = next;
    }
    some_requests().await;
    tell.send_replace(None);
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    while let Some(answered) = progress.recv().await {
        assert_eq!(answered, (200, 200));
    }
    assert_eq!(status(&tenant.client()).await, 401, "the first secret is dead");
}
