use platform::auth::with_token;
use platform::clock::Timestamp;
use proto::common::v1::{AuditEvent, AuditQuery};
use proto::token::v1::{
    CreateAdminRequest, CreateClientRequest, CreateCredentialRequest, DeleteClientRequest,
    DeleteTenantRequest, DisableScimRequest, EnableScimRequest, ListAuditEventsRequest,
    ListAuditEventsResponse, PurgeTenantRequest, RevokeAdminRequest, RevokeCredentialRequest, SettingsChange,
    StartRotationRequest, UpdateTenantRequest,
};
use serde_json::{Value, json};
use testkit::db::{Backend, Fresh, Service};
use testkit::replicated::Replicated;
use token::domain::audit::Query;
use tonic::{Code, Status};

use crate::support::{MINUTE, World, assert_refused};

async fn page(world: &World, query: AuditQuery) -> Result<ListAuditEventsResponse, Status> {
    let request = world.as_admin(ListAuditEventsRequest { query: Some(query) }).await;
    Ok(world.audit().list_audit_events(request).await?.into_inner())
}

async fn events(world: &World, query: AuditQuery) -> Vec<AuditEvent> {
    page(world, query).await.unwrap().events
}

fn of(tenant: &str) -> AuditQuery {
    AuditQuery { tenant_id: tenant.to_owned(), ..AuditQuery::default() }
}

fn actions(events: &[AuditEvent]) -> Vec<&str> {
    events.iter().map(|event| event.action.as_str()).collect()
}

fn json(bytes: &[u8]) -> Value {
    if bytes.is_empty() { Value::Null } else { serde_json::from_slice(bytes).unwrap() }
}

async fn set_groups(world: &World, tenant: &str, groups: bool) {
    let settings = Some(SettingsChange { groups: Some(groups), ..SettingsChange::default() });
    let request = UpdateTenantRequest { id: tenant.to_owned(), settings, ..UpdateTenantRequest::default() };
    world.tenants().update_tenant(world.as_admin(request).await).await.unwrap();
}

testkit::store_tests! {
    service: Token;

    async fn every_deed_tells_who_what_before_and_after_and_no_secret(db: Database) {
        let world = World::start(db).await;
        let (id, first) = world.tenant("Contoso").await;
        let mut secrets = vec![first, world.admin_secret.clone()];

        let mut request = world.as_admin(CreateCredentialRequest {
            tenant_id: id.clone(), label: "second".into(), ..Default::default()
        }).await;
        request.metadata_mut().insert("x-request-id", "req-7".parse().unwrap());
        let made = world.credentials().create_credential(request).await.unwrap().into_inner();
        let credential = made.credential.unwrap().id;
        secrets.push(made.secret);
        let request = StartRotationRequest { tenant_id: id.clone(), credential_id: credential.clone(), ..Default::default() };
        let started = world.credentials().start_rotation(world.as_admin(request).await).await.unwrap().into_inner();
        secrets.push(started.secret);
        let request = RevokeCredentialRequest { tenant_id: id.clone(), credential_id: credential.clone() };
        world.credentials().revoke_credential(world.as_admin(request).await).await.unwrap();
        let client = CreateClientRequest {
            name: "asker".into(), tenant_id: id.clone(), scopes: vec!["memberships:read".into()], ..Default::default()
        };
        let client = world.clients().create_client(world.as_admin(client).await).await.unwrap().into_inner();
        secrets.push(client.client_secret);
        let request = DeleteClientRequest { id: client.client.unwrap().id };
        world.clients().delete_client(world.as_admin(request).await).await.unwrap();
        set_groups(&world, &id, false).await;
        let request = DisableScimRequest { tenant_id: id.clone() };
        world.tenants().disable_scim(world.as_admin(request).await).await.unwrap();
        let request = EnableScimRequest { tenant_id: id.clone(), ..Default::default() };
        secrets.push(world.tenants().enable_scim(world.as_admin(request).await).await.unwrap().into_inner().secret);

        let mut told = events(&world, of(&id)).await;
        told.reverse();
        assert_eq!(actions(&told), [
            "tenant.created", "credential.created", "credential.created", "credential.rotation_started",
            "credential.rotation_completed", "credential.revoked", "client.created", "client.deleted", "tenant.updated",
            "credential.revoked", "credential.revoked", "tenant.scim_disabled", "tenant.scim_enabled", "credential.created",
        ]);
        let admin = world.admin_secret.split('_').nth(1).unwrap();
        for event in &told {
            assert_eq!(event.actor.replace('-', ""), admin, "{event:?}");
            assert_eq!((event.tenant_id.as_str(), event.at_us), (id.as_str(), world.clock.now().micros()));
        }
        let created = json(&told[0].after);
        assert_eq!((&created["name"], &created["preset"]), (&json!("Contoso"), &json!("entra")));
        assert!(told[0].before.is_empty());
        assert_eq!((told[2].resource_id.as_str(), told[2].request_id.as_str()), (credential.as_str(), "req-7"));
        assert_eq!(json(&told[2].after)["label"], "second");
        assert_eq!(json(&told[3].after)["replaces"], credential.as_str());
        assert_eq!((json(&told[4].before), json(&told[4].after)), (json!({"rotation": "started"}), json!({"rotation": "completed"})));
        assert_eq!((json(&told[5].before), json(&told[5].after)), (json!({"revoked_at_us": null}), json!({"revoked_at_us": world.clock.now().micros()})));
        assert_eq!(json(&told[6].after)["scopes"], "memberships:read");
        assert!(told[7].after.is_empty());
        assert_eq!(json(&told[7].before)["name"], "asker");
        assert_eq!((json(&told[8].before), json(&told[8].after)), (json!({"groups": true}), json!({"groups": false})));

        let printed = format!("{told:?} {:?}", told.iter().map(|event| json(&event.after)).collect::<Vec<_>>());
        for secret in secrets {
            let random = secret.split('_').nth(2).unwrap();
            assert!(!printed.contains(random));
        }
    }

    async fn the_platforms_own_stand_beside_those_of_tenants(db: Database) {
        let world = World::start(db).await;
        let (id, _) = world.tenant("Contoso").await;
        let request = world.as_admin(CreateAdminRequest { label: "second".into() }).await;
        let admin = world.admins().create_admin(request).await.unwrap().into_inner().admin.unwrap();
        let request = world.as_admin(RevokeAdminRequest { id: admin.id.clone() }).await;
        world.admins().revoke_admin(request).await.unwrap();
        let told = events(&world, AuditQuery::default()).await;
        assert_eq!(actions(&told), [
            "admin_credential.revoked", "admin_credential.created", "credential.created", "tenant.created",
            "admin_credential.created", "signing_key.created",
        ]);
        assert_eq!((told[1].tenant_id.as_str(), told[1].resource_id.as_str()), ("", admin.id.as_str()));
        assert_eq!(json(&told[1].after), json!({"label": "second", "revoked_at_us": null}));
        assert_eq!(told[5].actor, "system");
        assert_eq!(json(&told[5].after)["generation"], 1);
        assert_eq!(actions(&events(&world, of(&id)).await), ["credential.created", "tenant.created"]);
    }

    async fn pages_and_times_bound_what_is_read(db: Database) {
        let world = World::start(db).await;
        let (id, _) = world.tenant("Contoso").await;
        let (other, _) = world.tenant("Fabrikam").await;
        let began = world.clock.now();
        for at in 0..7 {
            // Two changes share a time, as two replicas' may.
            if at % 2 == 0 {
                world.clock.advance(MINUTE);
            }
            set_groups(&world, &id, at % 2 == 1).await;
            set_groups(&world, &other, at % 2 == 1).await;
        }
        let all = events(&world, of(&id)).await;
        assert_eq!(all.len(), 9);
        assert!(all.is_sorted_by(|a, b| a.id > b.id && a.at_us >= b.at_us), "latest first, ids in that order");

        for query in [of(&id), AuditQuery::default()] {
            let whole = events(&world, query.clone()).await;
            let (mut walked, mut page_token) = (Vec::new(), String::new());
            loop {
                let one = page(&world, AuditQuery { page_size: 2, page_token, ..query.clone() }).await.unwrap();
                walked.extend(one.events);
                page_token = one.next_page_token;
                if page_token.is_empty() {
                    break;
                }
                assert_eq!(walked.len() % 2, 0);
            }
            assert_eq!(walked, whole);
        }

        let at = |minutes: u32| began.plus(MINUTE * minutes).micros();
        let times = |from_us, until_us| AuditQuery { from_us, until_us, ..of(&id) };
        assert_eq!(events(&world, times(at(2), at(4))).await.len(), 4, "from is in, until is out");
        assert_eq!(events(&world, times(at(1) + 1, at(2))).await.len(), 0);
        assert_eq!(events(&world, times(at(4), 0)).await.len(), 1);
        assert_eq!(events(&world, times(0, at(1))).await.len(), 2);
        let first = page(&world, AuditQuery { page_size: 3, ..times(at(2), at(4)) }).await.unwrap();
        let second = page(&world, AuditQuery { page_token: first.next_page_token, ..times(at(2), at(4)) }).await.unwrap();
        assert_eq!((first.events.len(), second.events.len(), second.next_page_token.as_str()), (3, 1, ""));

        let refused = page(&world, AuditQuery { page_token: "nonsense".into(), ..of(&id) }).await;
        assert_refused(refused, Code::InvalidArgument, "InvalidCursor");
    }

    async fn only_administrators_read_it(db: Database) {
        let world = World::start(db).await;
        let (id, secret) = world.tenant("Contoso").await;
        let query = ListAuditEventsRequest { query: Some(of(&id)) };
        let refused = world.audit().list_audit_events(query.clone()).await;
        assert_refused(refused, Code::Unauthenticated, "Unauthenticated");
        let token = world.resolve(&secret).await.unwrap().access_token;
        let refused = world.audit().list_audit_events(with_token(query, &token).unwrap()).await;
        assert_refused(refused, Code::PermissionDenied, "Forbidden");
        let refused = world.audit().list_audit_events(with_token(ListAuditEventsRequest::default(), &token).unwrap()).await;
        assert_refused(refused, Code::PermissionDenied, "Forbidden");
        assert_refused(page(&world, of("*")).await, Code::InvalidArgument, "InvalidValue");
    }

    async fn of_a_purged_tenant_one_line_is_left(db: Database) {
        let world = World::start(db).await;
        let (id, _) = world.tenant("Contoso").await;
        world.tenants().delete_tenant(world.as_admin(DeleteTenantRequest { id: id.clone() }).await).await.unwrap();
        world.tenants().purge_tenant(world.as_admin(PurgeTenantRequest { id: id.clone() }).await).await.unwrap();
        let told = events(&world, of(&id)).await;
        assert_eq!(actions(&told), ["tenant.purged"]);
        assert!(told[0].before.is_empty() && told[0].after.is_empty());
        assert_eq!(Timestamp::from_micros(told[0].at_us), world.clock.now());
    }
}

/// With a read replica the audit may lack the last seconds, never what is in between, and secrets are good at once.
#[test]
fn only_the_first_page_of_the_audit_is_old() {
    testkit::db::run_fresh(Backend::Postgres, Service::Token, async |fresh: &Fresh| {
        let replicated = Replicated::open(fresh, MINUTE).await.unwrap();
        let world = World::start(replicated.database.clone()).await;
        let (id, _) = world.tenant("Contoso").await;
        let primary = token::store::Store::new(fresh.database.clone());
        let all = Query { limit: 1000, ..Query::default() };
        let count = primary.audit(&all, world.clock.now()).await.unwrap().len();
        replicated.wait_until(&format!("(SELECT count(*) = {count} FROM token.change_log)")).await.unwrap();
        replicated.pause().await.unwrap();
        let old = events(&world, of(&id)).await;
        assert_eq!(old.len(), 2);
        for groups in [false, true, false, true] {
            set_groups(&world, &id, groups).await;
        }
        let (_, secret) = world.tenant("Fabrikam").await;
        world.resolve(&secret).await.unwrap();

        assert_eq!(events(&world, of(&id)).await, old, "the replica answers, and lacks the last four");
        let tenant = Some(id.parse().unwrap());
        let first =
            primary.audit(&Query { tenant, limit: 2, ..Query::default() }, world.clock.now()).await.unwrap();
        let query = AuditQuery { page_token: first[1].place.token(), page_size: 2, ..of(&id) };
        let second = page(&world, query).await.unwrap().events;
        assert_eq!(actions(&second), ["tenant.updated"; 2], "nothing is left out");
        assert!(second[0].id < first[1].place.id() && second[1].id > old[0].id);
    });
}
