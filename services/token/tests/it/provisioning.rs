use platform::cache::Invalidation;
use proto::token::v1::{
    CreateCredentialRequest, Credential, DeleteTenantRequest, DisableScimRequest, EnableScimRequest,
    EnableScimResponse, ListCredentialsRequest, StartRotationRequest, Tenant,
};
use tonic::{Code, Status};

use crate::support::{MINUTE, World, assert_refused, change_log};

async fn enable(world: &World, tenant: &str) -> Result<EnableScimResponse, Status> {
    let request = EnableScimRequest { tenant_id: tenant.to_owned(), ..EnableScimRequest::default() };
    Ok(world.tenants().enable_scim(world.as_admin(request).await).await?.into_inner())
}

async fn disable(world: &World, tenant: &str) -> Result<Tenant, Status> {
    let request = world.as_admin(DisableScimRequest { tenant_id: tenant.to_owned() }).await;
    Ok(world.tenants().disable_scim(request).await?.into_inner().tenant.unwrap())
}

async fn list(world: &World, tenant: &str) -> Vec<Credential> {
    let request = world.as_admin(ListCredentialsRequest { tenant_id: tenant.to_owned() }).await;
    world.credentials().list_credentials(request).await.unwrap().into_inner().credentials
}

async fn mint(world: &World, tenant: &str) -> Result<String, Status> {
    let request =
        CreateCredentialRequest { tenant_id: tenant.to_owned(), ..CreateCredentialRequest::default() };
    Ok(world.credentials().create_credential(world.as_admin(request).await).await?.into_inner().secret)
}

testkit::store_tests! {
    service: Token;

    async fn switching_on_again_leaves_one_secret(db: Database) {
        let mut world = World::start(db.clone()).await;
        let (tenant, first) = world.tenant("Contoso").await;
        let (other, of_other) = world.tenant("Fabrikam").await;
        assert!(world.resolve(&first).await.unwrap().tenant.unwrap().scim_enabled, "on from the beginning");
        let further = mint(&world, &tenant).await.unwrap();
        let replaced = list(&world, &tenant).await[0].id.clone();
        let request = StartRotationRequest { tenant_id: tenant.clone(), credential_id: replaced, ..Default::default() };
        let successor = world.credentials().start_rotation(world.as_admin(request).await).await.unwrap().into_inner();
        world.clock.advance(MINUTE);
        world.told();

        let on = enable(&world, &tenant).await.unwrap();
        assert_eq!(world.told(), [Invalidation::Tenant(tenant.parse().unwrap())]);
        let facts = on.credential.unwrap();
        assert_eq!((facts.label.as_str(), facts.created_at_us), ("SCIM switched on", world.clock.now().micros()));
        for dead in [&first, &further, &successor.secret] {
            assert_refused(world.resolve(dead).await, Code::Unauthenticated, "Unauthenticated");
        }
        assert_eq!(world.resolve(&on.secret).await.unwrap().tenant, on.tenant);
        assert!(world.resolve(&of_other).await.is_ok(), "the other tenant's live on: {other}");
        let listed = list(&world, &tenant).await;
        assert_eq!(listed.iter().filter(|one| one.revoked_at_us == 0).count(), 1);
        assert!(listed.iter().all(|one| one.replaces.is_empty()), "the rotation is over");

        let kinds: Vec<String> = change_log(&db).await.into_iter().map(|line| line.1).collect();
        let ours = ["credential.revoked", "credential.revoked", "credential.revoked", "tenant.scim_enabled", "credential.created"];
        assert_eq!(kinds[kinds.len() - 5..], ours);
    }

    async fn when_off_nothing_lets_anybody_in(db: Database) {
        let mut world = World::start(db.clone()).await;
        let (tenant, secret) = world.tenant("Contoso").await;
        world.told();
        let off = disable(&world, &tenant).await.unwrap();
        assert_eq!((off.scim_enabled, off.version), (false, 2));
        assert_eq!(world.told(), [Invalidation::Tenant(tenant.parse().unwrap())]);
        let refused = assert_refused(world.resolve(&secret).await, Code::Unauthenticated, "Unauthenticated");
        let nonsense = assert_refused(world.resolve("nonsense").await, Code::Unauthenticated, "Unauthenticated");
        assert_eq!(refused.message(), nonsense.message());
        assert_refused(mint(&world, &tenant).await, Code::FailedPrecondition, "Conflict");

        assert_eq!(disable(&world, &tenant).await.unwrap(), off, "twice is once");
        let log = change_log(&db).await;
        assert_eq!(log.iter().filter(|line| line.1 == "tenant.scim_disabled").count(), 1);
        assert_eq!(log.last().unwrap().2["after"]["scim_enabled"], false);

        let on = enable(&world, &tenant).await.unwrap();
        assert!(on.tenant.as_ref().unwrap().scim_enabled);
        assert!(world.resolve(&on.secret).await.is_ok());
        assert_refused(world.resolve(&secret).await, Code::Unauthenticated, "Unauthenticated");
        assert!(mint(&world, &tenant).await.is_ok());
    }

    /// The flag alone refuses, whatever became of the secrets: one that the version before minted while it was off, say.
    async fn a_live_secret_is_refused_while_off(db: Database) {
        use sea_orm::ConnectionTrait as _;
        let world = World::start(db.clone()).await;
        let (_, secret) = world.tenant("Contoso").await;
        db.write(|txn| {
            Box::pin(async move { Ok(txn.execute_unprepared("UPDATE tenants SET scim_enabled = false").await.map(|_| ())?) })
        })
        .await
        .unwrap();
        assert_refused(world.resolve(&secret).await, Code::Unauthenticated, "Unauthenticated");
    }

    async fn of_many_that_switch_on_at_once_one_secret_is_left(db: Database) {
        let world = World::start(db).await;
        let (tenant, _) = world.tenant("Contoso").await;
        let mut attempts = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let mut tenants = world.tenants();
            let request = EnableScimRequest { tenant_id: tenant.clone(), ..EnableScimRequest::default() };
            let request = world.as_admin(request).await;
            attempts.spawn(async move { tenants.enable_scim(request).await.unwrap().into_inner() });
        }
        let mut live = 0;
        for on in attempts.join_all().await {
            live += usize::from(world.resolve(&on.secret).await.is_ok());
        }
        assert_eq!(live, 1);
    }

    async fn bad_requests_are_refused_and_change_nothing(db: Database) {
        let world = World::start(db).await;
        let (tenant, secret) = world.tenant("Contoso").await;
        let unknown = "0198f3c2-a1b4-7c3d-8e9f-001122334455";
        assert_refused(enable(&world, unknown).await, Code::NotFound, "NotFound");
        assert_refused(disable(&world, unknown).await, Code::NotFound, "NotFound");
        let past = EnableScimRequest { tenant_id: tenant.clone(), expires_at_us: 1, ..EnableScimRequest::default() };
        let refused = world.tenants().enable_scim(world.as_admin(past).await).await;
        assert_refused(refused, Code::InvalidArgument, "InvalidValue");
        let long = EnableScimRequest { tenant_id: tenant.clone(), label: "l".repeat(101), ..EnableScimRequest::default() };
        let refused = world.tenants().enable_scim(world.as_admin(long).await).await;
        assert_refused(refused, Code::InvalidArgument, "InvalidValue");
        let own = platform::auth::with_token(
            DisableScimRequest { tenant_id: tenant.clone() },
            &world.resolve(&secret).await.unwrap().access_token,
        );
        let refused = world.tenants().disable_scim(own.unwrap()).await;
        assert_refused(refused, Code::PermissionDenied, "Forbidden");
        assert!(world.resolve(&secret).await.is_ok());

        let request = world.as_admin(DeleteTenantRequest { id: tenant.clone() }).await;
        world.tenants().delete_tenant(request).await.unwrap();
        assert_refused(enable(&world, &tenant).await, Code::FailedPrecondition, "Conflict");
        assert_refused(disable(&world, &tenant).await, Code::FailedPrecondition, "Conflict");
    }
}
