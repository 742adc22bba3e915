use platform::auth::with_token;
use platform::cache::Invalidation;
use proto::common::v1::Dialect;
use proto::token::v1::{
    DeleteTenantRequest, DialectSetting, Limits, PinDialectRequest, PinDialectResponse, Settings,
    SettingsChange, Tenant, TenantState, UpdateTenantRequest,
};
use serde_json::json;
use tonic::{Code, Status};

use crate::support::{World, assert_refused, change_log};

async fn update(world: &World, request: UpdateTenantRequest) -> Result<Tenant, Status> {
    let request = world.as_admin(request).await;
    Ok(world.tenants().update_tenant(request).await?.into_inner().tenant.unwrap())
}

fn of(id: &str) -> UpdateTenantRequest {
    UpdateTenantRequest { id: id.to_owned(), ..UpdateTenantRequest::default() }
}

fn set_to(id: &str, setting: DialectSetting) -> UpdateTenantRequest {
    UpdateTenantRequest { dialect_setting: setting.into(), ..of(id) }
}

/// As the gateway does, in the name of the credential whose request it saw.
async fn pin(
    world: &World,
    secret: &str,
    tenant: &str,
    dialect: Dialect,
) -> Result<PinDialectResponse, Status> {
    let token = world.resolve(secret).await.unwrap().access_token;
    let sign = "header User-Agent".to_owned();
    let request = PinDialectRequest { tenant_id: tenant.to_owned(), dialect: dialect.into(), sign };
    Ok(world.tenants().pin_dialect(with_token(request, &token).unwrap()).await?.into_inner())
}

testkit::store_tests! {
    service: Token;

    async fn a_preset_decides_what_the_client_may_do_and_resolving_tells(db: Database) {
        let world = World::start(db).await;
        let all = Settings {
            groups: true,
            user_create: true,
            user_update: true,
            user_delete: true,
            lock_local_changes: false,
            keep_deleted_days: 0,
            log_retention_days: 30,
            limits: Some(Limits::default()),
        };
        let users_only = Settings { groups: false, ..all };
        let create_only = Settings { user_update: false, user_delete: false, ..users_only };
        let expected = [("entra", all), ("directory-sync", all), ("zeeg", Settings { lock_local_changes: true, ..users_only }), ("ziflow", create_only)];
        for (preset, settings) in expected {
            let created = world.tenant_of(preset).await;
            assert_eq!(created.tenant.unwrap().settings, Some(settings), "{preset}");
            let resolved = world.resolve(&created.secret).await.unwrap().tenant.unwrap();
            assert_eq!((resolved.settings, resolved.version), (Some(settings), 1), "{preset}");
        }
    }

    async fn a_change_takes_what_is_named_and_leaves_the_rest(db: Database) {
        let mut world = World::start(db.clone()).await;
        let created = world.tenant_of("zeeg").await;
        let tenant = created.tenant.unwrap();
        let (id, before) = (tenant.id, tenant.settings.unwrap());
        world.told();
        let settings = SettingsChange { groups: Some(true), user_delete: Some(false), ..SettingsChange::default() };
        let request = UpdateTenantRequest {
            expected_version: 1,
            settings: Some(settings),
            ..set_to(&id, DialectSetting::Rfc)
        };
        let changed = update(&world, request.clone()).await.unwrap();
        assert_eq!(world.told(), [Invalidation::Tenant(id.parse().unwrap())]);
        let now = Settings { groups: true, user_delete: false, ..before };
        assert_eq!((changed.version, changed.settings, changed.dialect()), (2, Some(now), Dialect::Rfc));
        assert_eq!(world.resolve(&created.secret).await.unwrap().tenant.unwrap(), changed);

        let status = assert_refused(update(&world, request.clone()).await, Code::FailedPrecondition, "VersionMismatch");
        assert!(status.message().contains("version 2"), "{}", status.message());
        let again = update(&world, UpdateTenantRequest { expected_version: 0, ..request }).await.unwrap();
        assert_eq!(again.version, 2, "nothing changed");

        let log = change_log(&db).await;
        let ours: Vec<_> = log.iter().filter(|(tenant, kind, _)| *tenant == id && kind.starts_with("tenant.")).collect();
        assert_eq!(ours.iter().map(|line| line.1.as_str()).collect::<Vec<_>>(), ["tenant.created", "tenant.updated"]);
        assert_eq!(ours[1].2["before"], json!({"dialect": "entra", "groups": false, "user_delete": true}));
        assert_eq!(ours[1].2["after"], json!({"dialect": "rfc", "groups": true, "user_delete": false}));
        let admin = world.admin_secret.split('_').nth(1).unwrap();
        assert_eq!(ours[1].2["by"].as_str().unwrap().replace('-', ""), admin);
    }

    async fn a_disabled_tenant_lets_nobody_in_until_it_is_enabled(db: Database) {
        let mut world = World::start(db.clone()).await;
        let (id, secret) = world.tenant("Contoso").await;
        let to = |state: TenantState| UpdateTenantRequest { state: state.into(), ..of(&id) };
        world.told();
        assert_eq!(update(&world, to(TenantState::Disabled)).await.unwrap().state(), TenantState::Disabled);
        assert_eq!(world.told(), [Invalidation::Tenant(id.parse().unwrap())]);
        assert_refused(world.resolve(&secret).await, Code::Unauthenticated, "Unauthenticated");
        assert_eq!(update(&world, to(TenantState::Active)).await.unwrap().state(), TenantState::Active);
        assert!(world.resolve(&secret).await.is_ok());
        let kinds: Vec<String> = change_log(&db).await.into_iter().map(|line| line.1).collect();
        assert_eq!(kinds[kinds.len() - 2..], ["tenant.disabled", "tenant.enabled"]);

        assert_refused(update(&world, to(TenantState::Deleting)).await, Code::InvalidArgument, "InvalidValue");
        let request = world.as_admin(DeleteTenantRequest { id: id.clone() }).await;
        world.tenants().delete_tenant(request).await.unwrap();
        assert_refused(update(&world, to(TenantState::Active)).await, Code::FailedPrecondition, "Conflict");
    }

    async fn auto_pins_the_first_client_that_is_recognised(db: Database) {
        let mut world = World::start(db.clone()).await;
        let (id, secret) = world.tenant("Contoso").await;
        // Not asked for: nothing happens.
        let answer = pin(&world, &secret, &id, Dialect::Okta).await.unwrap().tenant.unwrap();
        assert_eq!((answer.dialect(), answer.version, answer.recognised), (Dialect::Entra, 1, None));

        let open = update(&world, set_to(&id, DialectSetting::Auto)).await.unwrap();
        assert_eq!((open.dialect(), open.dialect_setting()), (Dialect::Entra, DialectSetting::Auto));
        world.told();
        let pinned = pin(&world, &secret, &id, Dialect::Okta).await.unwrap().tenant.unwrap();
        assert_eq!((pinned.dialect(), pinned.dialect_setting(), pinned.version), (Dialect::Okta, DialectSetting::Auto, 3));
        let recognised = pinned.recognised.clone().unwrap();
        assert_eq!((recognised.sign.as_str(), recognised.at_us), ("header User-Agent", world.clock.now().micros()));
        assert_eq!(world.told(), [Invalidation::Tenant(id.parse().unwrap())]);
        assert_eq!(pin(&world, &secret, &id, Dialect::Entra).await.unwrap().tenant.unwrap(), pinned, "the first stays");
        assert_eq!(world.told(), [], "which costs nobody a cache");
        assert_eq!(world.resolve(&secret).await.unwrap().tenant.unwrap(), pinned);
        let log = change_log(&db).await;
        assert_eq!(log.last().unwrap().1, "tenant.client_recognised");

        let open = update(&world, set_to(&id, DialectSetting::Auto)).await.unwrap();
        assert_eq!((open.dialect(), open.recognised), (Dialect::Entra, None), "choosing it again begins anew");
        let fixed = update(&world, set_to(&id, DialectSetting::Interop)).await.unwrap();
        assert_eq!((fixed.dialect(), fixed.dialect_setting()), (Dialect::Interop, DialectSetting::Interop));
    }

    async fn of_concurrent_recognitions_one_is_kept(db: Database) {
        let world = World::start(db).await;
        let (id, secret) = world.tenant("Contoso").await;
        update(&world, set_to(&id, DialectSetting::Auto)).await.unwrap();
        let token = world.resolve(&secret).await.unwrap().access_token;
        let mut attempts = tokio::task::JoinSet::new();
        for at in 0..16 {
            let mut tenants = world.tenants();
            let dialect = if at % 2 == 0 { Dialect::Entra } else { Dialect::Okta };
            let request = PinDialectRequest { tenant_id: String::new(), dialect: dialect.into(), sign: "s".into() };
            let request = with_token(request, &token).unwrap();
            attempts.spawn(async move { tenants.pin_dialect(request).await.unwrap().into_inner().tenant.unwrap() });
        }
        let mut answers = attempts.join_all().await;
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(answers[0].version, 3);
    }

    async fn only_an_administrator_changes_and_only_the_tenants_own_client_pins(db: Database) {
        let world = World::start(db).await;
        let (a, secret_of_a) = world.tenant("A").await;
        let (b, _) = world.tenant("B").await;
        update(&world, set_to(&b, DialectSetting::Auto)).await.unwrap();
        assert_refused(pin(&world, &secret_of_a, &b, Dialect::Okta).await, Code::PermissionDenied, "Forbidden");
        let request = PinDialectRequest { tenant_id: b.clone(), dialect: Dialect::Okta.into(), sign: "s".into() };
        let refused = world.tenants().pin_dialect(world.as_admin(request).await).await;
        assert_refused(refused, Code::PermissionDenied, "Forbidden");
        let token = world.resolve(&secret_of_a).await.unwrap().access_token;
        let refused = world.tenants().update_tenant(with_token(of(&a), &token).unwrap()).await;
        assert_refused(refused, Code::PermissionDenied, "Forbidden");

        let unknown = "0198f3c2-a1b4-7c3d-8e9f-001122334455";
        assert_refused(update(&world, of(unknown)).await, Code::NotFound, "NotFound");
        let request = UpdateTenantRequest { dialect_setting: 77, ..of(&a) };
        assert_refused(update(&world, request).await, Code::InvalidArgument, "InvalidValue");
        let request = UpdateTenantRequest { state: 77, ..of(&a) };
        assert_refused(update(&world, request).await, Code::InvalidArgument, "InvalidValue");
    }
}
