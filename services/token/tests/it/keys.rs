use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet};
use platform::auth::Verifier;
use platform::clock::Timestamp;
use platform::db::Database as Db;
use proto::token::v1::{CreateClientRequest, IssueTokenRequest, ListKeysRequest, ResolveRequest};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use token::{Deps, Rotation, SecretKey, Service};

use crate::support::{MINUTE, World};

async fn published(world: &World) -> Vec<String> {
    let answer = world.keys().list_keys(ListKeysRequest {}).await.unwrap().into_inner();
    let set: JwkSet = serde_json::from_slice(&answer.jwks).unwrap();
    let mut ids = Vec::new();
    for key in set.keys {
        assert!(matches!(&key.algorithm, AlgorithmParameters::OctetKeyPair(_)));
        ids.push(key.common.key_id.unwrap());
    }
    ids
}

fn signed_by(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

fn deps(world: &World, database: Db, key: SecretKey) -> Deps {
    Deps {
        database,
        clock: world.clock.clone(),
        key,
        invalidations: Default::default(),
        discovery: Default::default(),
    }
}

testkit::store_tests! {
    service: Token;

    async fn keys_take_turns_without_a_gap(db: Database) {
        let world = World::start(db).await;
        let token = async || world.resolve(&world.admin_secret).await.unwrap().access_token;
        let first = published(&world).await;
        assert_eq!(first.len(), 1);
        assert_eq!(signed_by(&token().await), first[0]);

        let Rotation::Add { generation: 2, signs_from } = world.service.rotate_signing_key().await.unwrap() else {
            panic!("the second key is due");
        };
        assert_eq!(world.service.rotate_signing_key().await.unwrap(), Rotation::UnderWay);
        let both = published(&world).await;
        assert_eq!(both.len(), 2);
        assert_eq!(both[0], first[0]);

        // A verifier that fetched its keys now knows both: it needs no call when the second takes over.
        let verifier = Verifier::new(world.service.key_source(), world.clock.clone());
        let last_of_first = token().await;
        assert_eq!(signed_by(&last_of_first), first[0]);
        verifier.verify(&last_of_first).await.unwrap();
        world.clock.advance(Duration::from_micros(u64::try_from(signs_from.micros() - world.clock.now().micros() - 1).unwrap()));
        let last_of_first = token().await;
        assert_eq!(signed_by(&last_of_first), first[0]);
        world.clock.advance(Duration::from_micros(1));
        let of_second = token().await;
        assert_eq!(signed_by(&of_second), both[1]);
        verifier.verify(&of_second).await.unwrap();

        // Until its last token is dead, the first key stays published, also for a verifier that starts only now.
        world.clock.advance(MINUTE * 5 - Duration::from_secs(2));
        let late = Verifier::new(world.service.key_source(), world.clock.clone());
        late.verify(&last_of_first).await.unwrap();
        // Tokens for SCIM live an hour.
        world.clock.advance(MINUTE * 60);
        assert_eq!(published(&world).await, both);
        world.clock.advance(MINUTE * 5 + Duration::from_secs(2));
        assert_eq!(published(&world).await, both[1..]);

        world.service.rotate_signing_key().await.unwrap();
        let stored: Vec<i64> = world.store.signing_keys().await.unwrap().iter().map(|key| key.generation).collect();
        assert_eq!(stored, [2, 3], "dead keys are removed");
    }

    async fn keys_take_turns_under_load_and_no_request_fails(db: Database) {
        let world = World::start(db).await;
        let (tenant, secret) = world.tenant("Contoso").await;
        let request = CreateClientRequest {
            name: "idp".to_owned(),
            tenant_id: tenant,
            scopes: vec!["scim".to_owned()],
            ..CreateClientRequest::default()
        };
        let client = world.clients().create_client(world.as_admin(request).await).await.unwrap().into_inner();
        let (client_id, client_secret) = (client.client.unwrap().id, client.client_secret);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let (done, mut progress) = tokio::sync::mpsc::unbounded_channel();
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..4 {
            let (done, stopped, verifier) = (done.clone(), stopped.clone(), world.verifier.clone());
            let (mut credentials, mut oauth) = (world.credentials(), world.oauth());
            let (secret, client_id, client_secret) = (secret.clone(), client_id.clone(), client_secret.clone());
            workers.spawn(async move {
                while !*stopped.borrow() {
                    // A secret; a token for SCIM; and what services make of either.
                    let issue = IssueTokenRequest {
                        client_id: client_id.clone(),
                        client_secret: client_secret.clone(),
                        ..IssueTokenRequest::default()
                    };
                    let issued = oauth.issue_token(issue).await.unwrap().into_inner();
                    for secret in [secret.clone(), issued.access_token] {
                        let resolved = credentials.resolve(ResolveRequest { secret }).await.unwrap().into_inner();
                        verifier.verify(&resolved.access_token).await.unwrap();
                        let signed_by = signed_by(&resolved.access_token);
                        assert!(done.send((worker, signed_by)).is_ok());
                    }
                }
            });
        }
        drop(done);
        // Every worker has gone round twice.
        let mut a_while = async || {
            let (mut rounds, mut keys) = ([0; 4], std::collections::BTreeSet::new());
            while rounds.iter().any(|round| *round < 4) {
                let (worker, key): (usize, String) = progress.recv().await.expect("no worker fails");
                rounds[worker] += 1;
                keys.insert(key);
            }
            keys
        };
        let mut seen = a_while().await;
        for _ in 0..2 {
            assert_ne!(world.service.rotate_signing_key().await.unwrap(), Rotation::UnderWay);
            // Through the takeover, and until the key before is gone.
            for _ in 0..45 {
                world.clock.advance(MINUTE * 2);
                seen.extend(a_while().await);
            }
            assert_eq!(published(&world).await.len(), 1);
        }
        assert_eq!(seen.len(), 3, "three keys took their turn");
        stop.send_replace(true);
        while let Some(worker) = workers.join_next().await {
            worker.unwrap();
        }
    }

    async fn replicas_share_one_line_of_keys(fresh: &Fresh) {
        let world = World::start(fresh.database.clone()).await;
        let second = Db::connect(&fresh.config).await.unwrap();
        let replica = Service::new(deps(&world, second, world.key.clone())).await.unwrap();
        assert_eq!(published(&world).await.len(), 1, "the second replica uses the first one's key");
        let (ours, theirs) = tokio::join!(world.service.rotate_signing_key(), replica.rotate_signing_key());
        let added = [ours.unwrap(), theirs.unwrap()];
        assert_eq!(added.iter().filter(|rotation| **rotation != Rotation::UnderWay).count(), 1, "{added:?}");
        assert_eq!(world.store.signing_keys().await.unwrap().len(), 2);

        // The replica signs with the new key when its time has come; a verifier beside the other verifies.
        world.clock.advance(MINUTE * 10);
        let verifier = Verifier::new(replica.key_source(), world.clock.clone());
        let token = world.resolve(&world.admin_secret).await.unwrap().access_token;
        verifier.verify(&token).await.unwrap();
    }

    async fn replicas_that_start_at_once_agree_on_the_first_key(fresh: &Fresh) {
        let key = SecretKey::generate().unwrap();
        let clock = platform::clock::Clock::manual(Timestamp::from_micros(1_790_000_000_000_000));
        let mut starts = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let database = Db::connect(&fresh.config).await.unwrap();
            let deps = Deps {
                database,
                clock: clock.clone(),
                key: key.clone(),
                invalidations: Default::default(),
                discovery: Default::default(),
            };
            starts.spawn(Service::new(deps));
        }
        for started in starts.join_all().await {
            started.unwrap();
        }
        let stored = token::store::Store::new(fresh.database.clone()).signing_keys().await.unwrap();
        assert_eq!(stored.len(), 1);
    }

    async fn the_private_key_is_not_in_the_database(db: Database) {
        let world = World::start(db.clone()).await;
        let stored = world.store.signing_keys().await.unwrap().remove(0);
        let seed = token::domain::cipher::open(&world.key, &stored.id.to_string(), &stored.sealed_private_key).unwrap();
        assert_eq!(seed.len(), 32);
        let row = match db.backend() {
            DbBackend::Postgres => "SELECT signing_keys::text AS row FROM signing_keys",
            _ => "SELECT hex(id) || hex(public_key) || hex(sealed_private_key) AS row FROM signing_keys",
        };
        let row = db.read().query_one_raw(Statement::from_string(db.backend(), row)).await.unwrap().unwrap();
        let row: String = row.try_get("", "row").unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let row = row.to_lowercase();
        assert!(row.contains(&hex(&stored.public_key)), "the row is read as it rests: {row}");
        assert!(!row.contains(&hex(&seed)) && !row.contains(&hex(&seed[..8])));
    }

    async fn a_wrong_key_encryption_key_stops_the_start(db: Database) {
        let world = World::start(db.clone()).await;
        let wrong = SecretKey::generate().unwrap();
        let error = Service::new(deps(&world, db, wrong)).await.err().unwrap();
        assert!(error.cause.unwrap().to_string().contains("key-encryption key"));
    }
}
