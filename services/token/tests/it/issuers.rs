//! Issuers that a tenant trusts, and the keys they publish.

use platform::auth::Scope;
use platform::cache::Invalidation;
use proto::token::v1::{
    CreateIssuerRequest, CredentialKind, DeleteIssuerRequest, DeleteTenantRequest, DisableScimRequest,
    ListIssuersRequest, PurgeTenantRequest, TrustedIssuer,
};
use serde_json::{Value, json};
use testkit::issuer::{Fetched, Issuer, KeyPair, KeyType, Mood, signed_with_public_key, unsigned};
use tonic::{Code, Status};

use crate::support::{MINUTE, World, assert_refused, change_log, with};

const AUDIENCE: &str = "8adf8e6e-67b2-4cf2-a259-e3dc5476c621";
const APP: &str = "00000014-0000-0000-c000-000000000000";
const TID: &str = "0198f3c2-a1b4-7c3d-8e9f-00112233aabb";

async fn trust(world: &World, issuer: TrustedIssuer) -> Result<TrustedIssuer, Status> {
    let request = world.as_admin(CreateIssuerRequest { issuer: Some(issuer) }).await;
    Ok(world.issuers().create_issuer(request).await?.into_inner().issuer.unwrap())
}

async fn listed(world: &World, tenant: &str) -> Vec<TrustedIssuer> {
    let request = world.as_admin(ListIssuersRequest { tenant_id: tenant.to_owned() }).await;
    world.issuers().list_issuers(request).await.unwrap().into_inner().issuers
}

/// As for Entra with the field Secret Token left empty.
fn entra_like(tenant: &str, issuer: &str) -> TrustedIssuer {
    TrustedIssuer {
        tenant_id: tenant.to_owned(),
        label: "Entra ID".to_owned(),
        issuer: issuer.to_owned(),
        audience: AUDIENCE.to_owned(),
        directory_id: TID.to_owned(),
        app_id: APP.to_owned(),
        ..TrustedIssuer::default()
    }
}

/// A version 1 token as Entra's provisioning service has it.
fn claims(world: &World, issuer: &str) -> Value {
    let now = world.clock.now().seconds();
    json!({
        "iss": issuer, "aud": AUDIENCE, "tid": TID, "appid": APP, "sub": "service-principal", "ver": "1.0",
        "iat": now, "nbf": now, "exp": now + 3600,
    })
}

testkit::store_tests! {
    service: Token;

    async fn a_trusted_issuers_token_speaks_for_its_tenant(db: Database) {
        let mut world = World::start(db).await;
        let issuer = Issuer::start(&format!("/{TID}/")).await;
        let (tenant, _) = world.tenant("Contoso").await;
        world.told();
        let token = issuer.sign(&claims(&world, &issuer.url));
        assert_refused(world.resolve(&token).await, Code::Unauthenticated, "Unauthenticated");
        assert_eq!(issuer.fetched(), Fetched::default(), "nobody asks an issuer that nobody trusts");

        let trusted = trust(&world, entra_like(&tenant, &issuer.url)).await.unwrap();
        assert_eq!(world.told(), [Invalidation::Tenant(tenant.parse().unwrap())]);
        let resolved = world.resolve(&token).await.unwrap();
        assert_eq!((resolved.kind(), resolved.label.as_str()), (CredentialKind::Issuer, "Entra ID"));
        assert_eq!((&resolved.credential_id, &resolved.tenant.as_ref().unwrap().id), (&trusted.id, &tenant));
        assert_eq!(resolved.credential_expires_at_us, (world.clock.now().seconds() + 3600) * 1_000_000);
        let caller = world.verifier.verify(&resolved.access_token).await.unwrap();
        assert_eq!(caller.authorize(Scope::Scim, "").unwrap().to_string(), tenant);
        // A token that is about to expire gets no more than it has itself.
        let now = world.clock.now().seconds();
        let short = issuer.sign(&with(&claims(&world, &issuer.url), "exp", json!(now + 20)));
        let resolved = world.resolve(&short).await.unwrap();
        assert_eq!(resolved.credential_expires_at_us, (now + 20) * 1_000_000);
        assert_eq!(resolved.access_token_expires_at_us, (now + 35) * 1_000_000, "but for calls on their way");
        // Version 2 names the application otherwise.
        let v2 = with(&with(&claims(&world, &issuer.url), "appid", Value::Null), "azp", json!(APP));
        world.resolve(&issuer.sign(&v2)).await.unwrap();

        let request = DisableScimRequest { tenant_id: tenant.clone() };
        world.tenants().disable_scim(world.as_admin(request).await).await.unwrap();
        assert!(world.resolve(&token).await.is_err(), "provisioning is off");
    }

    async fn each_check_of_a_token_refuses_in_the_same_words(db: Database) {
        let world = World::start(db).await;
        let issuer = Issuer::start("").await;
        let (tenant, _) = world.tenant("Contoso").await;
        let trusted = TrustedIssuer { subject: "service-principal".to_owned(), ..entra_like(&tenant, &issuer.url) };
        trust(&world, trusted).await.unwrap();
        let good = claims(&world, &issuer.url);
        world.resolve(&issuer.sign(&good)).await.unwrap();
        let now = world.clock.now().seconds();
        let key = issuer.key();
        let mut refused: Vec<(String, String)> = Vec::new();
        for (name, value) in [
            ("iss", json!(format!("{}/", issuer.url))),
            ("iss", Value::Null),
            ("aud", json!("api://other")),
            ("aud", json!([AUDIENCE, "api://other"])),
            ("aud", Value::Null),
            ("tid", json!("0198f3c2-a1b4-7c3d-8e9f-00112233ffff")),
            ("tid", Value::Null),
            ("appid", json!("other")),
            ("appid", Value::Null),
            ("azp", json!("other")),
            ("sub", json!("other")),
            ("sub", Value::Null),
            ("exp", json!(now)),
            ("exp", json!(now - 3600)),
            ("exp", Value::Null),
            ("nbf", json!(now + 61)),
            ("iat", json!(now + 61)),
        ] {
            refused.push((format!("{name} {value}"), issuer.sign(&with(&good, name, value))));
        }
        let other = KeyPair::new(KeyType::Rsa, &key.kid, 2);
        let ec = KeyPair::new(KeyType::P256, &key.kid, 0);
        for (why, token) in [
            ("unknown kid", KeyPair::new(KeyType::Rsa, "unknown", 1).sign(&good)),
            ("another's key", other.sign(&good)),
            ("another type of key", ec.sign(&good)),
            ("alg none", unsigned(&key.kid, &good, "")),
            ("alg none, signed", unsigned(&key.kid, &good, "c2ln")),
            ("HMAC with the public key", signed_with_public_key(&key.kid, &good, key.public_pem.as_bytes())),
            ("HMAC with the JWK", signed_with_public_key(&key.kid, &good, key.jwk().to_string().as_bytes())),
            ("no JWT", "a.b.c".to_owned()),
        ] {
            refused.push((why.to_owned(), token));
        }
        let mut texts = Vec::new();
        for (why, token) in &refused {
            let status = world.resolve(token).await.expect_err(why);
            assert_eq!(status.code(), Code::Unauthenticated, "{why}: {status:?}");
            texts.push(status.message().to_owned());
        }
        texts.push(world.resolve("nonsense").await.unwrap_err().message().to_owned());
        texts.dedup();
        assert_eq!(texts.len(), 1, "{texts:?}");
        world.resolve(&issuer.sign(&good)).await.unwrap();
    }

    async fn what_says_it_is_ours_must_be(db: Database) {
        let world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        let request = proto::token::v1::CreateClientRequest {
            name: "idp".to_owned(),
            tenant_id: tenant.clone(),
            scopes: vec!["scim".to_owned()],
            ..Default::default()
        };
        let client = world.clients().create_client(world.as_admin(request).await).await.unwrap().into_inner().client.unwrap();
        let keys = world.keys().list_keys(proto::token::v1::ListKeysRequest {}).await.unwrap().into_inner();
        let keys: Value = serde_json::from_slice(&keys.jwks).unwrap();
        let kid = keys["keys"][0]["kid"].as_str().unwrap();
        let now = world.clock.now().seconds();
        let forged = json!({
            "iss": "rollcall", "aud": "rollcall-scim", "sub": client.id, "tenant": tenant, "scope": "scim", "jti": "1",
            "iat": now, "exp": now + 300, "scim_enabled_at_us": client.created_at_us, "client_epoch": 0,
        });
        for token in [
            KeyPair::new(KeyType::Ed25519, kid, 0).sign(&forged),
            KeyPair::new(KeyType::Ed25519, "unknown", 0).sign(&forged),
            unsigned(kid, &forged, ""),
            signed_with_public_key(kid, &forged, keys["keys"][0]["x"].as_str().unwrap().as_bytes()),
        ] {
            assert_refused(world.resolve(&token).await, Code::Unauthenticated, "Unauthenticated");
        }
        // Nobody can trust an issuer of our name.
        let ours = entra_like(&tenant, "rollcall");
        assert_refused(trust(&world, ours).await, Code::InvalidArgument, "InvalidValue");
    }

    async fn a_token_leads_to_one_tenant(db: Database) {
        let world = World::start(db).await;
        let issuer = Issuer::start("").await;
        let (a, _) = world.tenant("A").await;
        let (b, _) = world.tenant("B").await;
        let with_app = |tenant: &str, app: &str| TrustedIssuer { app_id: app.to_owned(), ..entra_like(tenant, &issuer.url) };
        let of_a = trust(&world, with_app(&a, "a")).await.unwrap();
        for (tenant, overlapping) in [(&a, "a"), (&b, "a"), (&b, "")] {
            let refused = trust(&world, with_app(tenant, overlapping)).await;
            let refused = assert_refused(refused, Code::AlreadyExists, "Uniqueness");
            assert!(!refused.message().contains(&a), "whose they are is not for everybody");
        }
        let of_b = trust(&world, with_app(&b, "b")).await.unwrap();
        for (app, expected) in [("a", &of_a), ("b", &of_b)] {
            let token = issuer.sign(&with(&claims(&world, &issuer.url), "appid", json!(app)));
            assert_eq!(&world.resolve(&token).await.unwrap().credential_id, &expected.id);
        }
        // With two audiences or two applications it would be a token of both.
        let both = with(&with(&claims(&world, &issuer.url), "appid", json!("a")), "azp", json!("b"));
        assert_refused(world.resolve(&issuer.sign(&both)).await, Code::Unauthenticated, "Unauthenticated");

        // Of several at once that overlap, one is registered.
        let mut tries = tokio::task::JoinSet::new();
        for app in ["", "c", "", "d", ""] {
            let different = TrustedIssuer { audience: "once".to_owned(), ..with_app(&b, app) };
            let request = world.as_admin(CreateIssuerRequest { issuer: Some(different) }).await;
            let mut issuers = world.issuers();
            tries.spawn(async move { issuers.create_issuer(request).await.is_ok() });
        }
        tries.join_all().await;
        let once: Vec<String> =
            listed(&world, &b).await.into_iter().filter(|one| one.audience == "once").map(|one| one.app_id).collect();
        assert!(once == [""] || (!once.contains(&String::new()) && !once.is_empty()), "{once:?}");
    }

    async fn issuers_are_listed_deleted_and_audited(db: Database) {
        let mut world = World::start(db.clone()).await;
        let issuer = Issuer::start("").await;
        let (tenant, _) = world.tenant("Contoso").await;
        let (other, _) = world.tenant("Fabrikam").await;
        let trusted = trust(&world, entra_like(&tenant, &issuer.url)).await.unwrap();
        assert_eq!(trusted, TrustedIssuer {
            id: trusted.id.clone(),
            created_at_us: world.clock.now().micros(),
            ..entra_like(&tenant, &issuer.url)
        });
        assert_eq!(listed(&world, &tenant).await, std::slice::from_ref(&trusted));
        assert!(listed(&world, &other).await.is_empty());
        let token = issuer.sign(&claims(&world, &issuer.url));
        world.resolve(&token).await.unwrap();
        let delete = |tenant: &str| DeleteIssuerRequest { tenant_id: tenant.to_owned(), id: trusted.id.clone() };
        world.issuers().delete_issuer(world.as_admin(delete(&other)).await).await.unwrap();
        world.resolve(&token).await.expect("it is not the other tenant's to delete");
        world.told();
        for _ in 0..2 {
            world.issuers().delete_issuer(world.as_admin(delete(&tenant)).await).await.unwrap();
            assert_eq!(world.told(), [Invalidation::Tenant(tenant.parse().unwrap())]);
        }
        assert_refused(world.resolve(&token).await, Code::Unauthenticated, "Unauthenticated");
        let log = change_log(&db).await;
        let of_issuer: Vec<_> = log.iter().filter(|(_, kind, _)| kind.starts_with("issuer.")).collect();
        assert_eq!(of_issuer.iter().map(|(_, kind, _)| kind.as_str()).collect::<Vec<_>>(), ["issuer.created", "issuer.deleted"]);
        assert_eq!(of_issuer[0].2["after"]["issuer"], json!(issuer.url));
        assert_eq!(of_issuer[1].2["before"]["app_id"], json!(APP));

        for at in 0..20 {
            trust(&world, TrustedIssuer { app_id: at.to_string(), ..entra_like(&tenant, &issuer.url) }).await.unwrap();
        }
        let full = TrustedIssuer { app_id: "20".to_owned(), ..entra_like(&tenant, &issuer.url) };
        assert_refused(trust(&world, full).await, Code::FailedPrecondition, "Conflict");
        // A tenant that is purged leaves nothing that another could not have.
        world.tenants().delete_tenant(world.as_admin(DeleteTenantRequest { id: tenant.clone() }).await).await.unwrap();
        world.tenants().purge_tenant(world.as_admin(PurgeTenantRequest { id: tenant }).await).await.unwrap();
        trust(&world, TrustedIssuer { app_id: "0".to_owned(), ..entra_like(&other, &issuer.url) }).await.unwrap();
    }

    async fn entras_issuers_are_pinned_to_a_directory(db: Database) {
        let world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        let sts = format!("https://sts.windows.net/{TID}/");
        let refused = [
            ("directory_id", TrustedIssuer { directory_id: String::new(), ..entra_like(&tenant, &sts) }),
            ("issuer", entra_like(&tenant, "https://login.microsoftonline.com/common/v2.0")),
            ("issuer", entra_like(&tenant, "not a url")),
            ("issuer", entra_like(&tenant, "ftp://idp.example/")),
            ("issuer", entra_like(&tenant, "")),
            ("audience", TrustedIssuer { audience: String::new(), ..entra_like(&tenant, &sts) }),
        ];
        for (field, wrong) in refused {
            let status = assert_refused(trust(&world, wrong).await, Code::InvalidArgument, "InvalidValue");
            assert!(status.message().contains(field), "{field}: {}", status.message());
        }
        trust(&world, entra_like(&tenant, &sts)).await.unwrap();
        let none = world.as_admin(CreateIssuerRequest { issuer: None }).await;
        assert_eq!(world.issuers().create_issuer(none).await.unwrap_err().code(), Code::InvalidArgument);
    }

    async fn keys_roll_over(db: Database) {
        let world = World::start(db).await;
        let issuer = Issuer::start("").await;
        let (tenant, _) = world.tenant("Contoso").await;
        trust(&world, entra_like(&tenant, &issuer.url)).await.unwrap();
        let by = |key: &KeyPair| {
            let token = key.sign(&with(&claims(&world, &issuer.url), "exp", json!(world.clock.now().seconds() + 86400 * 3)));
            let world = &world;
            async move { world.resolve(&token).await.map(|_| ()).map_err(|status| status.code()) }
        };
        let old = issuer.key();
        by(&old).await.unwrap();
        // A new key is learnt by its first token, but for 30 seconds after the last fetch.
        let new = issuer.rotate();
        assert_eq!(by(&new).await, Err(Code::Unauthenticated));
        assert_eq!(issuer.fetched(), Fetched { documents: 1, keys: 1 });
        world.clock.advance(MINUTE / 2);
        by(&new).await.unwrap();
        assert_eq!(issuer.fetched(), Fetched { documents: 2, keys: 2 });
        assert_eq!(by(&old).await, Err(Code::Unauthenticated), "the old one is out");
        // Forged names of keys cause no more than one fetch in 30 seconds.
        for at in 0..5 {
            let forged = KeyPair::new(KeyType::Rsa, &format!("forged-{at}"), 0);
            assert_eq!(by(&forged).await, Err(Code::Unauthenticated));
        }
        assert_eq!(issuer.fetched().keys, 2);
        // A key that is taken back is out within the hour, also when nobody brings another.
        let withdrawn = issuer.key();
        issuer.rotate();
        world.clock.advance(MINUTE * 60);
        assert_eq!(by(&withdrawn).await, Err(Code::Unauthenticated));
        // Every type of key.
        for key_type in [KeyType::P256, KeyType::P384, KeyType::Ed25519] {
            let key = issuer.add_key(key_type);
            world.clock.advance(MINUTE);
            by(&key).await.unwrap();
        }
    }

    async fn an_issuer_that_is_down_is_waited_for_a_day(db: Database) {
        let world = World::start(db).await;
        let issuer = Issuer::start("").await;
        let (tenant, _) = world.tenant("Contoso").await;
        trust(&world, entra_like(&tenant, &issuer.url)).await.unwrap();
        let token = issuer.sign(&with(&claims(&world, &issuer.url), "exp", json!(world.clock.now().seconds() + 86400 * 3)));
        issuer.set_mood(Mood::Down);
        assert_eq!(world.resolve(&token).await.unwrap_err().code(), Code::Unavailable, "never seen");
        assert_eq!(world.resolve(&token).await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(issuer.fetched().documents, 1, "not at each request");
        issuer.set_mood(Mood::Good);
        world.clock.advance(MINUTE / 2);
        world.resolve(&token).await.unwrap();
        issuer.set_mood(Mood::Down);
        world.clock.advance(MINUTE * 60 * 23);
        world.resolve(&token).await.unwrap();
        let forged = KeyPair::new(KeyType::Rsa, "forged", 1).sign(&claims(&world, &issuer.url));
        assert_eq!(world.resolve(&forged).await.unwrap_err().code(), Code::Unauthenticated);
        world.clock.advance(MINUTE * 60);
        assert_eq!(world.resolve(&token).await.unwrap_err().code(), Code::Unavailable, "a day is over");
        issuer.set_mood(Mood::Good);
        world.clock.advance(MINUTE / 2);
        world.resolve(&token).await.unwrap();
    }

    async fn many_tokens_at_once_cause_one_fetch(db: Database) {
        let world = World::start(db).await;
        let issuer = Issuer::start("").await;
        let (tenant, _) = world.tenant("Contoso").await;
        trust(&world, entra_like(&tenant, &issuer.url)).await.unwrap();
        let token = issuer.sign(&claims(&world, &issuer.url));
        issuer.set_mood(Mood::Slow);
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (mut credentials, secret) = (world.credentials(), token.clone());
            tries.spawn(async move { credentials.resolve(proto::token::v1::ResolveRequest { secret }).await.is_ok() });
        }
        // One who hangs up takes nothing from the others.
        let (mut credentials, secret) = (world.credentials(), token.clone());
        let hasty = tokio::spawn(async move { credentials.resolve(proto::token::v1::ResolveRequest { secret }).await.is_ok() });
        while issuer.fetched().documents == 0 {
            tokio::task::yield_now().await;
        }
        hasty.abort();
        issuer.set_mood(Mood::Good);
        assert!(tries.join_all().await.into_iter().all(|let_in| let_in));
        assert_eq!(issuer.fetched(), Fetched { documents: 1, keys: 1 });
    }

    async fn an_issuer_that_misbehaves_is_not_believed(db: Database) {
        let world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        for mood in [
            Mood::LyingAboutIssuer,
            Mood::JwksUri("not a url"),
            Mood::JwksUri("file:///etc/passwd"),
            Mood::RedirectingDocument,
            Mood::RedirectingKeys,
            Mood::LargeDocument,
            Mood::LargeKeys,
            Mood::Nonsense,
        ] {
            let issuer = Issuer::start("").await;
            trust(&world, entra_like(&tenant, &issuer.url)).await.unwrap();
            let token = issuer.sign(&claims(&world, &issuer.url));
            issuer.set_mood(mood);
            assert_eq!(world.resolve(&token).await.unwrap_err().code(), Code::Unavailable, "{mood:?}");
            let fetched = issuer.fetched();
            let keys = usize::from(matches!(mood, Mood::RedirectingKeys | Mood::LargeKeys));
            assert_eq!(fetched, Fetched { documents: 1, keys }, "{mood:?}");
            issuer.set_mood(Mood::Good);
            world.clock.advance(MINUTE);
            world.resolve(&token).await.unwrap_or_else(|status| panic!("{mood:?}: {status:?}"));
        }
    }

    async fn an_issuer_inside_is_refused_where_that_is_not_allowed(db: Database) {
        let world = World::start(db.clone()).await;
        let issuer = Issuer::start("").await;
        let (tenant, _) = world.tenant("Contoso").await;
        // Registered while it was allowed; asked for after it no longer is.
        trust(&world, entra_like(&tenant, &issuer.url)).await.unwrap();
        let token = issuer.sign(&claims(&world, &issuer.url));
        let deps = token::Deps {
            database: db,
            clock: world.clock.clone(),
            key: world.key.clone(),
            invalidations: Default::default(),
            discovery: token::DiscoveryConfig::default(),
        };
        let strict = token::Service::new(deps).await.unwrap();
        let served = platform::server::stack(strict.routes(), world.verifier.clone());
        let transport = platform::transport::in_process(served);
        let mut credentials = proto::token::v1::credentials_client::CredentialsClient::new(transport.clone());
        let refused = credentials.resolve(proto::token::v1::ResolveRequest { secret: token }).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!(issuer.fetched(), Fetched::default());
        let mut issuers = proto::token::v1::issuers_client::IssuersClient::new(transport);
        for inside in ["http://idp.example/", "https://127.0.0.1/", "https://10.0.0.1/", "https://[::1]/", "https://169.254.169.254/"] {
            let request = world.as_admin(CreateIssuerRequest { issuer: Some(entra_like(&tenant, inside)) }).await;
            let answer = issuers.create_issuer(request).await;
            let status = assert_refused(answer, Code::InvalidArgument, "InvalidValue");
            assert!(status.message().contains("https URL outside this network"), "{}", status.message());
        }
    }
}
