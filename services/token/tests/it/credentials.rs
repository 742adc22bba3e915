use platform::cache::Invalidation;
use proto::token::v1::{
    CreateCredentialRequest, CreateCredentialResponse, Credential, DeleteTenantRequest,
    ListCredentialsRequest, RevokeCredentialRequest,
};
use tonic::{Code, Status};

use crate::support::{MINUTE, World, assert_refused};

async fn create(world: &World, tenant: &str, expires_at_us: i64) -> Result<CreateCredentialResponse, Status> {
    let request =
        CreateCredentialRequest { tenant_id: tenant.to_owned(), label: "rotation".to_owned(), expires_at_us };
    Ok(world.credentials().create_credential(world.as_admin(request).await).await?.into_inner())
}

async fn list(world: &World, tenant: &str) -> Vec<Credential> {
    let request = world.as_admin(ListCredentialsRequest { tenant_id: tenant.to_owned() }).await;
    world.credentials().list_credentials(request).await.unwrap().into_inner().credentials
}

async fn revoke(world: &World, tenant: &str, id: &str) -> Result<Credential, Status> {
    let request = RevokeCredentialRequest { tenant_id: tenant.to_owned(), credential_id: id.to_owned() };
    let answer = world.credentials().revoke_credential(world.as_admin(request).await).await?;
    Ok(answer.into_inner().credential.unwrap())
}

testkit::store_tests! {
    service: Token;

    async fn secrets_overlap_and_die_one_by_one(db: Database) {
        let mut world = World::start(db).await;
        let (tenant, first) = world.tenant("Contoso").await;
        world.clock.advance(MINUTE);
        let second = create(&world, &tenant, 0).await.unwrap();
        assert!(world.resolve(&first).await.is_ok() && world.resolve(&second.secret).await.is_ok());

        let listed = list(&world, &tenant).await;
        let labels: Vec<&str> = listed.iter().map(|credential| credential.label.as_str()).collect();
        assert_eq!(labels, ["rotation", "first"], "newest first");
        world.told();
        let revoked = revoke(&world, &tenant, &listed[1].id).await.unwrap();
        assert_eq!(revoked.revoked_at_us, world.clock.now().micros());
        assert_eq!(world.told(), [Invalidation::Credential(listed[1].id.parse().unwrap())]);
        assert_refused(world.resolve(&first).await, Code::Unauthenticated, "Unauthenticated");
        assert!(world.resolve(&second.secret).await.is_ok());

        world.clock.advance(MINUTE);
        let again = revoke(&world, &tenant, &listed[1].id).await.unwrap();
        assert_eq!(again.revoked_at_us, revoked.revoked_at_us, "twice is once");
    }

    async fn one_tenant_cannot_touch_anothers(db: Database) {
        let mut world = World::start(db).await;
        let (a, _) = world.tenant("A").await;
        let (b, secret_of_b) = world.tenant("B").await;
        let of_b = &list(&world, &b).await[0];
        world.told();
        assert_refused(revoke(&world, &a, &of_b.id).await, Code::NotFound, "NotFound");
        assert_eq!(world.told(), []);
        assert!(world.resolve(&secret_of_b).await.is_ok());
        assert!(list(&world, &a).await.iter().all(|credential| credential.tenant_id == a));

        // Not even with the tenant's own token: these calls are the administrator's.
        let token = world.resolve(&secret_of_b).await.unwrap().access_token;
        let request = RevokeCredentialRequest { tenant_id: b, credential_id: of_b.id.clone() };
        let request = platform::auth::with_token(request, &token).unwrap();
        let answer = world.credentials().revoke_credential(request).await;
        assert_refused(answer, Code::PermissionDenied, "Forbidden");
    }

    async fn bad_requests_are_told_what_would_be_right(db: Database) {
        let world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        let now = world.clock.now().micros();
        let status = assert_refused(create(&world, &tenant, now).await, Code::InvalidArgument, "InvalidValue");
        assert!(status.message().contains("future"));
        assert_refused(create(&world, "", 0).await, Code::InvalidArgument, "InvalidValue");
        assert_refused(create(&world, "*", 0).await, Code::InvalidArgument, "InvalidValue");
        let unknown = "0198f3c2-a1b4-7c3d-8e9f-001122334455";
        assert_refused(create(&world, unknown, 0).await, Code::NotFound, "NotFound");
        assert_refused(revoke(&world, &tenant, unknown).await, Code::NotFound, "NotFound");
        let request = world.as_admin(ListCredentialsRequest { tenant_id: unknown.to_owned() }).await;
        assert_refused(world.credentials().list_credentials(request).await, Code::NotFound, "NotFound");
    }

    async fn live_secrets_are_bounded_also_when_made_at_once(db: Database) {
        let world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        let mut attempts = tokio::task::JoinSet::new();
        for _ in 0..25 {
            let mut credentials = world.credentials();
            let request = CreateCredentialRequest { tenant_id: tenant.clone(), ..Default::default() };
            let request = world.as_admin(request).await;
            attempts.spawn(async move { credentials.create_credential(request).await });
        }
        let (made, refused): (Vec<_>, Vec<_>) = attempts.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((made.len(), refused.len()), (19, 6), "and the first makes 20");
        for answer in refused {
            assert_refused(answer, Code::FailedPrecondition, "Conflict");
        }
        let revoked = &list(&world, &tenant).await[0];
        revoke(&world, &tenant, &revoked.id).await.unwrap();
        assert!(create(&world, &tenant, 0).await.is_ok(), "a revoked one makes room");
    }

    async fn a_tenant_being_deleted_gets_no_more(db: Database) {
        let world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        let request = world.as_admin(DeleteTenantRequest { id: tenant.clone() }).await;
        world.tenants().delete_tenant(request).await.unwrap();
        assert_refused(create(&world, &tenant, 0).await, Code::FailedPrecondition, "Conflict");
    }

    async fn the_last_use_is_on_record_to_the_minute(db: Database) {
        let world = World::start(db).await;
        let (tenant, secret) = world.tenant("Contoso").await;
        assert_eq!(list(&world, &tenant).await[0].last_used_at_us, 0);
        let minute = |micros: i64| micros / 60_000_000 * 60_000_000;
        for _ in 0..2 {
            world.resolve(&secret).await.unwrap();
            world.service.flush().await;
            let used = list(&world, &tenant).await[0].last_used_at_us;
            assert_eq!(used, minute(world.clock.now().micros()));
            world.clock.advance(MINUTE * 90);
        }
    }

    async fn the_long_dead_are_forgotten(db: Database) {
        let world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        let soon = world.clock.now().plus(MINUTE).micros();
        create(&world, &tenant, soon).await.unwrap();
        world.clock.advance(MINUTE * 60 * 24 * 364);
        assert_eq!(list(&world, &tenant).await.len(), 2);
        world.clock.advance(MINUTE * 60 * 24 * 2);
        assert_eq!(list(&world, &tenant).await.len(), 1);
    }
}
