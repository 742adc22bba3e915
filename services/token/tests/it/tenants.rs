use platform::cache::Invalidation;
use proto::common::v1::Dialect;
use proto::token::v1::get_tenant_request::Tenant as By;
use proto::token::v1::{
    CreateClientRequest, CreateTenantRequest, DeleteTenantRequest, GetTenantRequest, ListTenantsRequest,
    PurgeTenantRequest, Tenant, TenantState,
};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tonic::{Code, Status};

use crate::support::{World, assert_refused, change_log};

async fn get(world: &World, by: By) -> Result<Tenant, Status> {
    let request = world.as_admin(GetTenantRequest { tenant: Some(by) }).await;
    Ok(world.tenants().get_tenant(request).await?.into_inner().tenant.unwrap())
}

async fn delete(world: &World, id: &str) -> Result<Tenant, Status> {
    let request = world.as_admin(DeleteTenantRequest { id: id.to_owned() }).await;
    Ok(world.tenants().delete_tenant(request).await?.into_inner().tenant.unwrap())
}

async fn purge(world: &World, id: &str) -> Result<(), Status> {
    let request = world.as_admin(PurgeTenantRequest { id: id.to_owned() }).await;
    world.tenants().purge_tenant(request).await.map(|_| ())
}

/// (table, rows) of every table but the migrations' own.
async fn row_counts(db: &platform::db::Database) -> Vec<(String, i64)> {
    let tables = match db.backend() {
        DbBackend::Postgres => {
            "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = ANY (current_schemas(false))"
        }
        _ => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    };
    let rows = db.read().query_all_raw(Statement::from_string(db.backend(), tables)).await.unwrap();
    let mut names: Vec<String> = rows.iter().map(|row| row.try_get("", "name").unwrap()).collect();
    names.retain(|name| !name.ends_with("migrations"));
    names.sort();
    let mut counts = Vec::new();
    for name in names {
        let sql = Statement::from_string(db.backend(), format!("SELECT count(*) AS n FROM {name}"));
        let row = db.read().query_one_raw(sql).await.unwrap().unwrap();
        counts.push((name, row.try_get("", "n").unwrap()));
    }
    counts
}

testkit::store_tests! {
    service: Token;

    async fn a_tenant_comes_with_its_first_secret(db: Database) {
        let world = World::start(db).await;
        let created = world.create_tenant("Contoso").await.unwrap();
        let tenant = created.tenant.unwrap();
        assert_eq!((tenant.name.as_str(), tenant.preset.as_str()), ("Contoso", "entra"));
        assert_eq!((tenant.state(), tenant.dialect()), (TenantState::Active, Dialect::Entra));
        assert_eq!(tenant.scim_path, "/scim/v2");
        assert_eq!(created.credential.unwrap().tenant_id, tenant.id);
        let resolved = world.resolve(&created.secret).await.unwrap();
        assert_eq!(resolved.tenant.unwrap(), tenant);
        assert_eq!(get(&world, By::Id(tenant.id.clone())).await.unwrap(), tenant);
        assert_eq!(get(&world, By::Name("CONTOSO".into())).await.unwrap(), tenant);
    }

    async fn presets_are_taken_by_name(db: Database) {
        let world = World::start(db).await;
        let create = |name: &str, preset: &str| {
            CreateTenantRequest { name: name.to_owned(), preset: preset.to_owned() }
        };
        let request = world.as_admin(create("Z", "ziflow")).await;
        let tenant = world.tenants().create_tenant(request).await.unwrap().into_inner().tenant.unwrap();
        assert_eq!((tenant.preset.as_str(), tenant.scim_path.as_str()), ("ziflow", "/v1/scim/v2"));
        let request = world.as_admin(create("Y", "nonsense")).await;
        let status = assert_refused(world.tenants().create_tenant(request).await, Code::InvalidArgument, "InvalidValue");
        assert!(status.message().contains("entra, zeeg"), "{}", status.message());
        assert_refused(get(&world, By::Name("Y".into())).await, Code::NotFound, "NotFound");
    }

    async fn names_are_unique_in_every_case(db: Database) {
        let world = World::start(db).await;
        world.tenant("Ärzte GmbH").await;
        assert_refused(world.create_tenant("ÄRZTE gmbh").await, Code::AlreadyExists, "Uniqueness");
        for wrong in ["", " x", &"n".repeat(101)] {
            assert_refused(world.create_tenant(wrong).await, Code::InvalidArgument, "InvalidValue");
        }
    }

    async fn of_concurrent_creates_of_one_name_one_wins(db: Database) {
        let world = World::start(db).await;
        let mut attempts = tokio::task::JoinSet::new();
        for at in 0..16 {
            let mut tenants = world.tenants();
            let name = if at % 2 == 0 { "Same" } else { "same" };
            let request = CreateTenantRequest { name: name.to_owned(), preset: String::new() };
            let request = world.as_admin(request).await;
            attempts.spawn(async move { tenants.create_tenant(request).await });
        }
        let answers = attempts.join_all().await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 15));
        for refused in lost {
            assert_refused(refused, Code::AlreadyExists, "Uniqueness");
        }
    }

    async fn concurrent_creates_of_different_names_all_win(db: Database) {
        let world = World::start(db).await;
        let mut attempts = tokio::task::JoinSet::new();
        for at in 0..24 {
            let mut tenants = world.tenants();
            let request = world.as_admin(CreateTenantRequest { name: format!("t{at}"), preset: String::new() }).await;
            attempts.spawn(async move { tenants.create_tenant(request).await });
        }
        for created in attempts.join_all().await {
            let created = created.unwrap().into_inner();
            assert_eq!(world.resolve(&created.secret).await.unwrap().tenant, created.tenant);
        }
    }

    async fn a_list_is_walked_by_name_page_by_page(db: Database) {
        let world = World::start(db).await;
        for name in ["d", "B", "a", "E", "c"] {
            world.tenant(name).await;
        }
        let mut names = Vec::new();
        let mut page_token = String::new();
        for expected in [2, 2, 1] {
            let request = world.as_admin(ListTenantsRequest { page_size: 2, page_token }).await;
            let page = world.tenants().list_tenants(request).await.unwrap().into_inner();
            assert_eq!(page.tenants.len(), expected);
            names.extend(page.tenants.into_iter().map(|tenant| tenant.name));
            page_token = page.next_page_token;
        }
        assert_eq!(page_token, "");
        assert_eq!(names, ["a", "B", "c", "d", "E"]);
        let request = world.as_admin(ListTenantsRequest { page_size: 2, page_token: "nonsense".into() }).await;
        assert_refused(world.tenants().list_tenants(request).await, Code::InvalidArgument, "InvalidCursor");
    }

    async fn deletion_goes_in_two_steps_and_frees_the_name(db: Database) {
        let mut world = World::start(db).await;
        let (id, secret) = world.tenant("Contoso").await;
        let tenant = id.parse().unwrap();
        assert_refused(purge(&world, &id).await, Code::FailedPrecondition, "Conflict");
        world.told();

        assert_eq!(delete(&world, &id).await.unwrap().state(), TenantState::Deleting);
        assert_eq!(world.told(), [Invalidation::Tenant(tenant)]);
        assert_refused(world.resolve(&secret).await, Code::Unauthenticated, "Unauthenticated");
        assert_eq!(delete(&world, &id).await.unwrap().state(), TenantState::Deleting, "twice is once");
        assert_refused(world.create_tenant("contoso").await, Code::AlreadyExists, "Uniqueness");

        purge(&world, &id).await.unwrap();
        purge(&world, &id).await.unwrap();
        assert_refused(get(&world, By::Id(id.clone())).await, Code::NotFound, "NotFound");
        assert_refused(delete(&world, &id).await, Code::NotFound, "NotFound");
        assert_ne!(world.tenant("contoso").await.0, id);
    }

    async fn a_purge_leaves_nothing_but_one_line(db: Database) {
        let world = World::start(db.clone()).await;
        let (other, other_secret) = world.tenant("Fabrikam").await;
        let before = row_counts(&db).await;
        let (id, _) = world.tenant("Contoso").await;
        for tenant in [&id, &other] {
            let scopes = vec!["memberships:read".to_owned()];
            let request = CreateClientRequest {
                name: format!("c-{tenant}"),
                tenant_id: tenant.clone(),
                scopes,
                ..CreateClientRequest::default()
            };
            world.clients().create_client(world.as_admin(request).await).await.unwrap();
        }
        delete(&world, &id).await.unwrap();
        purge(&world, &id).await.unwrap();
        world.service.flush().await;

        let mut expected = before;
        for (table, rows) in &mut expected {
            // Fabrikam's client, and its line in the log beside the one about the purge.
            match table.as_str() {
                "clients" => *rows += 1,
                "change_log" => *rows += 2,
                _ => {}
            }
        }
        assert_eq!(row_counts(&db).await, expected);
        let log = change_log(&db).await;
        let ours: Vec<_> = log.iter().filter(|(tenant, _, _)| *tenant == id).collect();
        assert_eq!(ours.len(), 1);
        assert_eq!(ours[0].1, "tenant.purged");
        assert!(!ours[0].2.to_string().contains("Contoso"));
        assert!(world.resolve(&other_secret).await.is_ok());
    }

    async fn every_write_is_in_the_log_and_no_secret(db: Database) {
        let world = World::start(db.clone()).await;
        let (id, secret) = world.tenant("Contoso").await;
        delete(&world, &id).await.unwrap();
        let log = change_log(&db).await;
        let kinds: Vec<&str> = log.iter().map(|(_, kind, _)| kind.as_str()).collect();
        let expected =
            ["signing_key.created", "admin_credential.created", "tenant.created", "credential.created", "tenant.deleting"];
        assert_eq!(kinds, expected);
        let admin = world.admin_secret.split('_').nth(1).unwrap();
        let by = log[2].2["by"].as_str().unwrap().replace('-', "");
        assert_eq!(by, admin, "the administrator is named by the id of the secret");
        let random = secret.split('_').nth(2).unwrap();
        assert!(!format!("{log:?}").contains(random));
    }

    async fn only_administrators_administer(db: Database) {
        let world = World::start(db).await;
        let (id, secret) = world.tenant("Contoso").await;
        let request = || GetTenantRequest { tenant: Some(By::Id(id.clone())) };
        assert_refused(world.tenants().get_tenant(request()).await, Code::Unauthenticated, "Unauthenticated");
        let token = world.resolve(&secret).await.unwrap().access_token;
        let as_tenant = platform::auth::with_token(request(), &token).unwrap();
        assert_refused(world.tenants().get_tenant(as_tenant).await, Code::PermissionDenied, "Forbidden");
    }
}
