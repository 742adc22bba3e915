use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use platform::cache::Invalidation;
use proto::token::v1::{
    CancelRotationRequest, CompleteRotationRequest, Credential, ListCredentialsRequest, ResolveRequest,
    RevokeCredentialRequest, StartRotationRequest, StartRotationResponse,
};
use tonic::{Code, Status};

use crate::support::{MINUTE, World, assert_refused, change_log};

async fn start(
    world: &World,
    tenant: &str,
    old: &str,
    expires_at_us: i64,
) -> Result<StartRotationResponse, Status> {
    let request = StartRotationRequest {
        tenant_id: tenant.to_owned(),
        credential_id: old.to_owned(),
        label: String::new(),
        expires_at_us,
    };
    Ok(world.credentials().start_rotation(world.as_admin(request).await).await?.into_inner())
}

async fn complete(world: &World, tenant: &str, successor: &str) -> Result<Credential, Status> {
    let request =
        CompleteRotationRequest { tenant_id: tenant.to_owned(), credential_id: successor.to_owned() };
    let answer = world.credentials().complete_rotation(world.as_admin(request).await).await?;
    Ok(without_use(answer.into_inner().credential.unwrap()))
}

async fn cancel(world: &World, tenant: &str, successor: &str) -> Result<Credential, Status> {
    let request = CancelRotationRequest { tenant_id: tenant.to_owned(), credential_id: successor.to_owned() };
    let answer = world.credentials().cancel_rotation(world.as_admin(request).await).await?;
    Ok(without_use(answer.into_inner().credential.unwrap()))
}

/// The last use is written beside the requests, whenever that may be.
fn without_use(credential: Credential) -> Credential {
    Credential { last_used_at_us: 0, ..credential }
}

async fn revoke(world: &World, tenant: &str, id: &str) {
    let request = RevokeCredentialRequest { tenant_id: tenant.to_owned(), credential_id: id.to_owned() };
    world.credentials().revoke_credential(world.as_admin(request).await).await.unwrap();
}

async fn list(world: &World, tenant: &str) -> Vec<Credential> {
    let request = world.as_admin(ListCredentialsRequest { tenant_id: tenant.to_owned() }).await;
    let listed = world.credentials().list_credentials(request).await.unwrap().into_inner().credentials;
    listed.into_iter().map(without_use).collect()
}

/// A tenant, its first secret, and the id of that.
async fn tenant(world: &World) -> (String, String, String) {
    let (tenant, secret) = world.tenant("Contoso").await;
    let id = list(world, &tenant).await[0].id.clone();
    (tenant, secret, id)
}

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(answer: Result<T, Status>) {
    assert_refused(answer, Code::FailedPrecondition, "Conflict");
}

testkit::store_tests! {
    service: Token;

    async fn a_rotation_overlaps_and_completes(db: Database) {
        let mut world = World::start(db.clone()).await;
        let (tenant, old, old_id) = tenant(&world).await;
        world.clock.advance(MINUTE);
        let started = start(&world, &tenant, &old_id, 0).await.unwrap();
        let successor = started.credential.unwrap();
        assert_eq!((successor.replaces.as_str(), successor.label.as_str()), (old_id.as_str(), "first"));
        assert!(world.resolve(&old).await.is_ok() && world.resolve(&started.secret).await.is_ok());
        assert_eq!(list(&world, &tenant).await[0], successor);
        assert_conflict(start(&world, &tenant, &old_id, 0).await);
        assert_conflict(start(&world, &tenant, &successor.id, 0).await);

        world.told();
        let completed = complete(&world, &tenant, &successor.id).await.unwrap();
        assert_eq!((completed.replaces.as_str(), completed.revoked_at_us), ("", 0));
        assert_eq!(world.told(), [Invalidation::Credential(old_id.parse().unwrap())]);
        assert_refused(world.resolve(&old).await, Code::Unauthenticated, "Unauthenticated");
        assert!(world.resolve(&started.secret).await.is_ok());
        let lines = change_log(&db).await.len();
        assert_eq!(complete(&world, &tenant, &successor.id).await.unwrap(), completed, "twice is once");
        assert_eq!(change_log(&db).await.len(), lines);
        assert_conflict(cancel(&world, &tenant, &successor.id).await);
        assert!(start(&world, &tenant, &successor.id, 0).await.is_ok(), "and the next one");

        let kinds: Vec<String> = change_log(&db).await.into_iter().map(|line| line.1).collect();
        let ours = ["credential.rotation_started", "credential.revoked", "credential.rotation_completed", "credential.rotation_started"];
        assert_eq!(kinds[kinds.len() - 4..], ours);
    }

    async fn a_rotation_is_taken_back(db: Database) {
        let mut world = World::start(db).await;
        let (tenant, old, old_id) = tenant(&world).await;
        let started = start(&world, &tenant, &old_id, 0).await.unwrap();
        let id = started.credential.unwrap().id;
        world.told();
        let cancelled = cancel(&world, &tenant, &id).await.unwrap();
        assert_eq!((cancelled.replaces.as_str(), cancelled.revoked_at_us), ("", world.clock.now().micros()));
        assert_eq!(world.told(), [Invalidation::Credential(id.parse().unwrap())]);
        assert!(world.resolve(&old).await.is_ok());
        assert_refused(world.resolve(&started.secret).await, Code::Unauthenticated, "Unauthenticated");
        world.clock.advance(MINUTE);
        assert_eq!(cancel(&world, &tenant, &id).await.unwrap(), cancelled, "twice is once");
        assert_conflict(complete(&world, &tenant, &id).await);
        assert!(world.resolve(&old).await.is_ok());
        assert!(start(&world, &tenant, &old_id, 0).await.is_ok(), "and another try");
    }

    async fn revoking_by_hand_ends_the_rotation(db: Database) {
        let world = World::start(db).await;
        let (tenant, old, old_id) = tenant(&world).await;
        // The successor goes: as if cancelled.
        let lost = start(&world, &tenant, &old_id, 0).await.unwrap().credential.unwrap().id;
        revoke(&world, &tenant, &lost).await;
        assert_conflict(complete(&world, &tenant, &lost).await);
        assert!(world.resolve(&old).await.is_ok());
        // The old one goes: as if completed.
        let started = start(&world, &tenant, &old_id, 0).await.unwrap();
        let id = started.credential.unwrap().id;
        revoke(&world, &tenant, &old_id).await;
        let listed = list(&world, &tenant).await;
        assert_eq!(listed.iter().find(|one| one.id == id).unwrap().replaces, "");
        assert_eq!(complete(&world, &tenant, &id).await.unwrap().id, id);
        assert_conflict(cancel(&world, &tenant, &id).await);
        assert!(world.resolve(&started.secret).await.is_ok());
    }

    async fn a_successor_that_expired_locks_nobody_out(db: Database) {
        let world = World::start(db).await;
        let (tenant, old, old_id) = tenant(&world).await;
        let soon = world.clock.now().plus(MINUTE).micros();
        let id = start(&world, &tenant, &old_id, soon).await.unwrap().credential.unwrap().id;
        world.clock.advance(MINUTE);
        assert_conflict(complete(&world, &tenant, &id).await);
        assert!(world.resolve(&old).await.is_ok());
        let next = start(&world, &tenant, &old_id, 0).await.unwrap().credential.unwrap();
        assert_conflict(complete(&world, &tenant, &id).await);
        complete(&world, &tenant, &next.id).await.unwrap();
    }

    async fn what_cannot_be_rotated_is_refused(db: Database) {
        let world = World::start(db).await;
        let (tenant, secret, id) = tenant(&world).await;
        let (other, _) = world.tenant("Fabrikam").await;
        let unknown = "0198f3c2-a1b4-7c3d-8e9f-001122334455";
        for refused in [start(&world, &other, &id, 0).await.err(), start(&world, &tenant, unknown, 0).await.err()] {
            assert_refused(Err::<(), _>(refused.unwrap()), Code::NotFound, "NotFound");
        }
        assert_refused(complete(&world, &other, &id).await, Code::NotFound, "NotFound");
        assert_refused(cancel(&world, &other, &id).await, Code::NotFound, "NotFound");
        assert_conflict(complete(&world, &tenant, &id).await);
        assert_conflict(cancel(&world, &tenant, &id).await);
        assert_refused(start(&world, &tenant, &id, 1).await, Code::InvalidArgument, "InvalidValue");
        let token = world.resolve(&secret).await.unwrap().access_token;
        let own = CompleteRotationRequest { tenant_id: tenant.clone(), credential_id: id.clone() };
        let refused = world.credentials().complete_rotation(platform::auth::with_token(own, &token).unwrap()).await;
        assert_refused(refused, Code::PermissionDenied, "Forbidden");
        revoke(&world, &tenant, &id).await;
        assert_conflict(start(&world, &tenant, &id, 0).await);
    }

    async fn of_many_starts_at_once_one_wins(db: Database) {
        let world = World::start(db).await;
        let (tenant, _, id) = tenant(&world).await;
        let mut attempts = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let mut credentials = world.credentials();
            let request = StartRotationRequest { tenant_id: tenant.clone(), credential_id: id.clone(), ..Default::default() };
            let request = world.as_admin(request).await;
            attempts.spawn(async move { credentials.start_rotation(request).await });
        }
        let (won, lost): (Vec<_>, Vec<_>) = attempts.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 11));
        for refused in lost {
            assert_conflict(refused);
        }
        assert_eq!(list(&world, &tenant).await.len(), 2);
    }

    async fn of_completing_and_cancelling_at_once_one_wins_and_one_secret_lives(db: Database) {
        let world = World::start(db).await;
        let (tenant, old, old_id) = tenant(&world).await;
        let started = start(&world, &tenant, &old_id, 0).await.unwrap();
        let id = started.credential.unwrap().id;
        let (completed, cancelled) = tokio::join!(complete(&world, &tenant, &id), cancel(&world, &tenant, &id));
        assert_ne!(completed.is_ok(), cancelled.is_ok());
        assert_eq!(world.resolve(&started.secret).await.is_ok(), completed.is_ok());
        assert_eq!(world.resolve(&old).await.is_ok(), cancelled.is_ok());
    }

    /// Clients with the old and with the new secret go on all the while; the old one fails after completion, never before, and
    /// the new one never.
    async fn a_rotation_under_load_fails_nobody(db: Database) {
        let world = World::start(db).await;
        let (tenant, mut secret, mut id) = tenant(&world).await;
        for _ in 0..3 {
            let started = start(&world, &tenant, &id, 0).await.unwrap();
            let successor = started.credential.unwrap().id;
            let (completing, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let served = Arc::new(AtomicU64::new(0));
            let mut clients = tokio::task::JoinSet::new();
            for (text, is_old) in [(secret, true), (started.secret.clone(), false)] {
                for _ in 0..4 {
                    let (mut credentials, text) = (world.credentials(), text.clone());
                    let (completing, over, served) = (completing.clone(), over.clone(), served.clone());
                    clients.spawn(async move {
                        while !over.load(Ordering::SeqCst) {
                            let answer = credentials.resolve(ResolveRequest { secret: text.clone() }).await;
                            // Read after the answer: a refusal may only come once completion had begun.
                            let may_fail = is_old && completing.load(Ordering::SeqCst);
                            assert!(answer.is_ok() || may_fail, "old: {is_old}, {answer:?}");
                            served.fetch_add(u64::from(answer.is_ok()), Ordering::SeqCst);
                        }
                    });
                }
            }
            // Each side is seen to be served before the change and the successor's after it.
            while served.load(Ordering::SeqCst) < 50 && clients.try_join_next().is_none() {
                tokio::task::yield_now().await;
            }
            completing.store(true, Ordering::SeqCst);
            complete(&world, &tenant, &successor).await.unwrap();
            let at_completion = served.load(Ordering::SeqCst);
            while served.load(Ordering::SeqCst) < at_completion + 50 && clients.try_join_next().is_none() {
                tokio::task::yield_now().await;
            }
            over.store(true, Ordering::SeqCst);
            while let Some(client) = clients.join_next().await {
                client.unwrap();
            }
            assert!(served.load(Ordering::SeqCst) >= at_completion + 50, "a client stopped");
            (secret, id) = (started.secret, successor);
        }
    }
}
