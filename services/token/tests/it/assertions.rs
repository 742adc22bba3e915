//! Clients that prove themselves with a JWT: with their own key, or with another issuer's token.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use platform::auth::Scope;
use proto::token::v1::{
    Client, CreateClientRequest, CreateClientResponse, Federation, IssueTokenRequest, IssueTokenResponse,
    UpdateClientRequest, UpdateClientResponse,
};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use testkit::issuer::{Issuer, KeyPair, KeyType, Mood, signed_with_public_key, unsigned};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{MINUTE, World, assert_refused, change_log, with};

const ORIGIN: &str = "https://scim.example";
const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

async fn create(world: &World, request: CreateClientRequest) -> Result<CreateClientResponse, Status> {
    Ok(world.clients().create_client(world.as_admin(request).await).await?.into_inner())
}

async fn update(world: &World, request: UpdateClientRequest) -> Result<UpdateClientResponse, Status> {
    Ok(world.clients().update_client(world.as_admin(request).await).await?.into_inner())
}

fn reader(name: &str) -> CreateClientRequest {
    CreateClientRequest {
        name: name.to_owned(),
        scopes: vec!["directory:read".to_owned()],
        ..CreateClientRequest::default()
    }
}

fn bytes(json: &Value) -> bytes::Bytes {
    json.to_string().into_bytes().into()
}

/// A client with these keys.
async fn with_keys(world: &World, name: &str, jwks: &Value) -> Client {
    let created = create(world, CreateClientRequest { jwks: bytes(jwks), ..reader(name) }).await.unwrap();
    assert_eq!(created.client_secret, "", "it needs none");
    created.client.unwrap()
}

async fn present(world: &World, client_id: &str, assertion: &str) -> Result<IssueTokenResponse, Status> {
    let request = IssueTokenRequest {
        client_id: client_id.to_owned(),
        client_assertion: assertion.to_owned(),
        client_assertion_type: KIND.to_owned(),
        audiences: vec![ORIGIN.to_owned(), format!("{ORIGIN}/oauth2/token")],
        ..IssueTokenRequest::default()
    };
    Ok(world.oauth().issue_token(request).await?.into_inner())
}

/// Asserts `invalid_client`; what it says.
#[track_caller]
fn assert_invalid_client(answer: Result<IssueTokenResponse, Status>, why: &str) -> String {
    let status = answer.expect_err(why);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (status.code(), info.metadata["oauth_error"].as_str()),
        (Code::Unauthenticated, "invalid_client"),
        "{why}"
    );
    status.message().to_owned()
}

/// The claims of an assertion that is good, with a `jti` of its own.
fn own_claims(world: &World, id: &str) -> Value {
    let now = world.clock.now().seconds();
    json!({"iss": id, "sub": id, "aud": ORIGIN, "iat": now, "exp": now + 300, "jti": uuid::Uuid::new_v4().to_string()})
}

testkit::store_tests! {
    service: Token;

    async fn every_type_of_key_lets_its_client_in(db: Database) {
        let world = World::start(db).await;
        let pairs = [
            KeyPair::new(KeyType::Rsa, "rsa", 0),
            KeyPair::new(KeyType::P256, "p256", 0),
            KeyPair::new(KeyType::P384, "p384", 0),
            KeyPair::new(KeyType::Ed25519, "ed", 0),
        ];
        let jwks = json!({"keys": pairs.iter().map(KeyPair::jwk).collect::<Vec<_>>()});
        let client = with_keys(&world, "etl", &jwks).await;
        assert!(!client.has_secret);
        let shown: Value = serde_json::from_slice(&client.jwks).unwrap();
        assert_eq!(shown["keys"].as_array().unwrap().len(), 4);
        let claims = || own_claims(&world, &client.id);
        for pair in &pairs {
            let issued = present(&world, &client.id, &pair.sign(&claims())).await.unwrap();
            let caller = world.verifier.verify(&issued.access_token).await.unwrap();
            assert_eq!(caller.subject(), client.id);
            caller.authorize_platform(Scope::DirectoryRead).unwrap();
        }
        for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
            present(&world, &client.id, &pairs[0].sign_as(algorithm, &claims())).await.unwrap();
        }
        // Without client_id: the assertion says whose it is. The audience may be the token endpoint, among others.
        let endpoint = json!(["https://other.example", format!("{ORIGIN}/oauth2/token")]);
        present(&world, "", &pairs[1].sign(&with(&claims(), "aud", endpoint))).await.unwrap();
    }

    async fn an_assertion_lets_in_once(db: Database) {
        let world = World::start(db.clone()).await;
        let pair = KeyPair::new(KeyType::P256, "a", 0);
        let client = with_keys(&world, "etl", &pair.jwks()).await;
        let other = with_keys(&world, "other", &pair.jwks()).await;
        let claims = own_claims(&world, &client.id);
        let assertion = pair.sign(&claims);
        present(&world, &client.id, &assertion).await.unwrap();
        let said = assert_invalid_client(present(&world, &client.id, &assertion).await, "again");
        assert!(said.contains("jti"), "{said}");
        let signed_anew = pair.sign(&with(&claims, "exp", json!(world.clock.now().seconds() + 400)));
        assert_invalid_client(present(&world, &client.id, &signed_anew).await, "the same jti");
        // Another client may use the same jti.
        let theirs = with(&with(&claims, "iss", json!(other.id)), "sub", json!(other.id));
        present(&world, &other.id, &pair.sign(&theirs)).await.unwrap();

        // Of many at once one is the first.
        let assertion = pair.sign(&own_claims(&world, &client.id));
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let request = IssueTokenRequest {
                client_assertion: assertion.clone(),
                client_assertion_type: KIND.to_owned(),
                audiences: vec![ORIGIN.to_owned()],
                ..IssueTokenRequest::default()
            };
            let mut oauth = world.oauth();
            tries.spawn(async move { oauth.issue_token(request).await.is_ok() });
        }
        let let_in = tries.join_all().await.into_iter().filter(|let_in| *let_in).count();
        assert_eq!(let_in, 1);

        // What has expired is forgotten, and still refused.
        let kept = async || {
            let count = "SELECT count(*) AS kept FROM used_assertions";
            let row = db.read().query_one_raw(Statement::from_string(db.backend(), count)).await.unwrap().unwrap();
            row.try_get::<i64>("", "kept").unwrap()
        };
        assert_eq!(kept().await, 3);
        world.clock.advance(MINUTE * 10);
        assert_invalid_client(present(&world, &client.id, &signed_anew).await, "expired");
        present(&world, &client.id, &pair.sign(&own_claims(&world, &client.id))).await.unwrap();
        assert_eq!(kept().await, 1);
    }

    async fn each_check_of_an_assertion_refuses(db: Database) {
        let world = World::start(db).await;
        let pair = KeyPair::new(KeyType::Rsa, "a", 0);
        let stranger = KeyPair::new(KeyType::Rsa, "a", 1);
        let client = with_keys(&world, "etl", &pair.jwks()).await;
        let claims = || own_claims(&world, &client.id);
        let now = world.clock.now().seconds();
        for (name, value, said) in [
            ("aud", json!("https://other.example"), "aud"),
            ("aud", Value::Null, "aud"),
            ("exp", json!(now), "expired"),
            ("exp", json!(now - 1), "expired"),
            ("exp", Value::Null, "exp"),
            ("exp", json!(now + 3600), "ten minutes"),
            ("nbf", json!(now + 90), "nbf"),
            ("iat", json!(now + 90), "iat"),
            ("jti", Value::Null, "jti"),
            ("jti", json!(""), "jti"),
        ] {
            let answer = present(&world, &client.id, &pair.sign(&with(&claims(), name, value.clone()))).await;
            let why = assert_invalid_client(answer, &format!("{name} {value}"));
            assert!(why.contains(said), "{name} {value}: {why}");
        }
        let someone = "0198f3c2-a1b4-7c3d-8e9f-001122334455";
        let mut dull = Vec::new();
        for (why, assertion) in [
            ("iss differs", pair.sign(&with(&claims(), "iss", json!(someone)))),
            ("sub differs", pair.sign(&with(&claims(), "sub", json!(someone)))),
            ("another's key", stranger.sign(&claims())),
            ("unknown kid", KeyPair::new(KeyType::Rsa, "b", 0).sign(&claims())),
            ("alg none", unsigned("a", &claims(), "")),
            ("alg none, some signature", unsigned("a", &claims(), "c2ln")),
            ("HMAC with the public key", signed_with_public_key("a", &claims(), pair.public_pem.as_bytes())),
            ("HMAC with the JWK", signed_with_public_key("a", &claims(), pair.jwk().to_string().as_bytes())),
            ("alg of another type of key", KeyPair::new(KeyType::P256, "a", 0).sign(&claims())),
            ("no JWT", "nonsense".to_owned()),
        ] {
            dull.push(assert_invalid_client(present(&world, &client.id, &assertion).await, why));
        }
        // Somebody changed what was signed.
        let signed = pair.sign(&claims());
        let (_, signature) = signed.rsplit_once('.').unwrap();
        let changed = pair.sign(&with(&claims(), "jti", json!("another")));
        let (input, _) = changed.rsplit_once('.').unwrap();
        dull.push(assert_invalid_client(present(&world, &client.id, &format!("{input}.{signature}")).await, "changed"));
        dull.dedup();
        assert_eq!(dull.len(), 1, "who cannot sign learns nothing: {dull:?}");

        assert_invalid_client(present(&world, someone, &pair.sign(&claims())).await, "client_id differs");
        let nameless = IssueTokenRequest {
            client_assertion: pair.sign(&claims()),
            client_assertion_type: KIND.to_owned(),
            ..IssueTokenRequest::default()
        };
        let why = assert_invalid_client(world.oauth().issue_token(nameless.clone()).await.map(tonic::Response::into_inner), "no audiences");
        assert!(why.contains("public_url"), "{why}");
        let audiences = vec![ORIGIN.to_owned()];
        for wrong in [
            IssueTokenRequest { client_assertion_type: String::new(), ..nameless.clone() },
            IssueTokenRequest { client_secret: "secret".to_owned(), ..nameless },
        ] {
            let status = world.oauth().issue_token(IssueTokenRequest { audiences: audiences.clone(), ..wrong }).await.unwrap_err();
            assert_eq!(status.get_details_error_info().unwrap().metadata["oauth_error"], "invalid_request");
        }
        present(&world, &client.id, &signed).await.unwrap();
    }

    async fn keys_of_a_client_roll_over(db: Database) {
        let world = World::start(db.clone()).await;
        let (old, new) = (KeyPair::new(KeyType::P256, "old", 0), KeyPair::new(KeyType::Ed25519, "new", 0));
        let (tenant, _) = world.tenant("Contoso").await;
        let request = CreateClientRequest {
            name: "idp".to_owned(),
            tenant_id: tenant,
            scopes: vec!["scim".to_owned()],
            jwks: bytes(&old.jwks()),
            federation: None,
        };
        let client = create(&world, request).await.unwrap().client.unwrap();
        let works = async |pair: &KeyPair| present(&world, "", &pair.sign(&own_claims(&world, &client.id))).await;
        let token = works(&old).await.unwrap().access_token;
        let set = |keys: &[&KeyPair]| {
            let jwks = json!({"keys": keys.iter().map(|pair| pair.jwk()).collect::<Vec<_>>()});
            UpdateClientRequest { id: client.id.clone(), jwks: Some(bytes(&jwks)), ..UpdateClientRequest::default() }
        };
        update(&world, set(&[&old, &new])).await.unwrap();
        assert!(works(&old).await.is_ok() && works(&new).await.is_ok());
        update(&world, set(&[&new])).await.unwrap();
        assert_invalid_client(works(&old).await, "the old key is out");
        assert!(works(&new).await.is_ok());
        assert!(world.resolve(&token).await.is_ok(), "its tokens live on");

        let mut secret = set(&[&new]);
        let mut private = new.jwk();
        private["d"] = json!("c2VjcmV0");
        secret.jwks = Some(bytes(&json!({"keys": [private]})));
        let refused = assert_refused(update(&world, secret).await, Code::InvalidArgument, "InvalidValue");
        assert!(!refused.message().contains("c2VjcmV0"), "{}", refused.message());
        let none = UpdateClientRequest { jwks: Some(bytes::Bytes::new()), ..set(&[]) };
        let refused = assert_refused(update(&world, none.clone()).await, Code::InvalidArgument, "InvalidValue");
        assert!(refused.message().contains("RotateClientSecret"), "{}", refused.message());

        let request = proto::token::v1::RotateClientSecretRequest { id: client.id.clone(), overlap_s: 600 };
        world.clients().rotate_client_secret(world.as_admin(request).await).await.unwrap();
        assert!(world.resolve(&token).await.is_ok());
        let after = update(&world, none).await.unwrap().client.unwrap();
        assert!(after.jwks.is_empty() && after.has_secret);
        assert_invalid_client(works(&new).await, "it has no keys");
        assert!(world.resolve(&token).await.is_err(), "what was got by keys is gone with them");

        let log = change_log(&db).await;
        let of_client: Vec<_> = log.iter().filter(|(_, kind, _)| kind.starts_with("client.")).collect();
        let kinds: Vec<&str> = of_client.iter().map(|(_, kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["client.created", "client.updated", "client.updated", "client.secret_rotated", "client.updated"]);
        assert_eq!(of_client[1].2["before"]["keys"], json!(["old"]));
        assert_eq!(of_client[1].2["after"]["keys"], json!(["old", "new"]));
        assert!(!format!("{log:?}").contains("rcc_"));
    }

    async fn another_issuers_token_lets_its_client_in_until_it_expires(db: Database) {
        let world = World::start(db).await;
        let issuer = Issuer::start("/directory/v2.0").await;
        let (tenant, _) = world.tenant("Contoso").await;
        let federation = Federation {
            issuer: issuer.url.clone(),
            audience: "api://rollcall".to_owned(),
            subject: "workload".to_owned(),
        };
        let request = |name: &str| CreateClientRequest {
            name: name.to_owned(),
            tenant_id: tenant.clone(),
            scopes: vec!["scim".to_owned()],
            federation: Some(federation.clone()),
            ..CreateClientRequest::default()
        };
        let client = create(&world, request("entra")).await.unwrap().client.unwrap();
        assert_eq!(client.federation.as_ref(), Some(&federation));
        assert_refused(create(&world, request("twin")).await, Code::AlreadyExists, "Uniqueness");
        let now = world.clock.now().seconds();
        let claims = json!({"iss": issuer.url, "aud": "api://rollcall", "sub": "workload", "ver": "2.0", "iat": now, "exp": now + 3600});
        let token = issuer.sign(&claims);
        for client_id in ["", &client.id, &client.id] {
            let issued = present(&world, client_id, &token).await.unwrap();
            assert_eq!(world.resolve(&issued.access_token).await.unwrap().credential_id, client.id);
        }
        assert_eq!((issuer.fetched().documents, issuer.fetched().keys), (1, 1));

        for (name, value) in [
            ("iss", json!("https://other.example")),
            ("aud", json!("api://other")),
            ("aud", json!(["api://rollcall", "api://other"])),
            ("sub", json!("other")),
            ("sub", Value::Null),
            ("exp", json!(now)),
            ("exp", Value::Null),
            ("nbf", json!(now + 90)),
        ] {
            for client_id in ["", &client.id] {
                let wrong = issuer.sign(&with(&claims, name, value.clone()));
                assert_invalid_client(present(&world, client_id, &wrong).await, &format!("{name} {value}"));
            }
        }
        let rsa = issuer.key();
        for (why, wrong) in [
            ("alg none", unsigned(&rsa.kid, &claims, "")),
            ("HMAC", signed_with_public_key(&rsa.kid, &claims, rsa.public_pem.as_bytes())),
            ("another's key", KeyPair::new(KeyType::Rsa, &rsa.kid, 2).sign(&claims)),
        ] {
            assert_invalid_client(present(&world, &client.id, &wrong).await, why);
        }
        let other = with_keys(&world, "other", &KeyPair::new(KeyType::P256, "a", 0).jwks()).await;
        assert_invalid_client(present(&world, &other.id, &token).await, "another client's id");

        world.clock.advance(Duration::from_secs(3600));
        assert_invalid_client(present(&world, "", &token).await, "expired");

        // Taken away, it is nobody's, and may be another's.
        let mut change = UpdateClientRequest { id: client.id.clone(), remove_federation: true, ..Default::default() };
        assert_refused(update(&world, change.clone()).await, Code::InvalidArgument, "InvalidValue");
        change.jwks = Some(bytes(&KeyPair::new(KeyType::P256, "a", 0).jwks()));
        assert!(update(&world, change).await.unwrap().client.unwrap().federation.is_none());
        let now = world.clock.now().seconds();
        let token = issuer.sign(&with(&claims, "exp", json!(now + 60)));
        assert_invalid_client(present(&world, "", &token).await, "taken away");
        let twin = create(&world, request("twin")).await.unwrap().client.unwrap();
        let issued = present(&world, "", &token).await.unwrap();
        assert_eq!(world.resolve(&issued.access_token).await.unwrap().credential_id, twin.id);
    }

    async fn a_federation_whose_issuer_is_down_is_not_refused_but_unavailable(db: Database) {
        let world = World::start(db).await;
        let issuer = Issuer::start("").await;
        issuer.set_mood(Mood::Down);
        let federation = Federation { issuer: issuer.url.clone(), audience: "a".to_owned(), subject: "s".to_owned() };
        create(&world, CreateClientRequest { federation: Some(federation), ..reader("x") }).await.unwrap();
        let now = world.clock.now().seconds();
        let token = issuer.sign(&json!({"iss": issuer.url, "aud": "a", "sub": "s", "exp": now + 60}));
        assert_eq!(present(&world, "", &token).await.unwrap_err().code(), Code::Unavailable);
    }
}
