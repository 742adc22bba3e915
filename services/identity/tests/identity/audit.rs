//! Who did what: the audit of administrators, and what provisioning answers with.

use std::time::Duration;

use platform::Result;
use platform::clock::Clock;
use proto::common::v1::{AttributeChange, AuditEvent, AuditQuery};
use proto::identity::v1::ListAuditEventsRequest;
use scim::ErrorKind;
use serde_json::{Value, json};
use testkit::db::{Backend, Fresh, Service};
use testkit::replicated::Replicated;

use crate::role_teams::URN;
use crate::support::{App, app, kind, serve, service, transport};

impl App {
    async fn audited(&self, query: AuditQuery) -> Result<(Vec<AuditEvent>, String)> {
        let message = ListAuditEventsRequest { query: Some(query) };
        let page = self.audit().list_audit_events(self.request(message)).await?.into_inner();
        Ok((page.events, page.next_page_token))
    }

    /// Everything that stands in the tenant's audit, oldest first: action, resource, before, after.
    async fn deeds(&self) -> Vec<(String, String, Value, Value)> {
        let query = AuditQuery { tenant_id: self.tenant.to_string(), ..AuditQuery::default() };
        let (events, next) = self.audited(query).await.unwrap();
        assert!(next.is_empty());
        let state =
            |json: &[u8]| if json.is_empty() { Value::Null } else { serde_json::from_slice(json).unwrap() };
        let mut deeds = Vec::new();
        for event in events.into_iter().rev() {
            assert_eq!(
                (event.actor.as_str(), event.tenant_id.as_str()),
                ("test", self.tenant.to_string().as_str())
            );
            assert_eq!(event.request_id, "test", "{event:?}");
            deeds.push((event.action, event.resource_id, state(&event.before), state(&event.after)));
        }
        deeds
    }
}

fn told(changes: &[AttributeChange]) -> Vec<String> {
    changes.iter().map(|it| format!("{}: {} -> {}", it.path, it.before, it.after)).collect()
}

testkit::store_tests! {
    service: Identity;

    async fn a_write_answers_with_what_it_changed(db: Database) {
        let app = app(db);
        let body = json!({ "userName": "anna", "externalId": "E1", "displayName": "Anna", "emails": [{ "type": "work", "value": "a@x" }] });
        let created = app.create(body).await.unwrap();
        assert_eq!(
            told(&created.changes),
            [
                "active:  -> true",
                r#"displayName:  -> "(redacted)""#,
                r#"emails[type eq "work"].type:  -> "work""#,
                r#"emails[type eq "work"].value:  -> "(redacted)""#,
                r#"externalId:  -> "E1""#,
                r#"userName:  -> "anna""#,
            ]
        );
        let id = created.resource.unwrap().id;
        let operations = json!([
            { "op": "replace", "path": "active", "value": "False" },
            { "op": "remove", "path": "emails" },
        ]);
        let patched = app.patch(&id, operations.clone()).await.unwrap();
        assert_eq!(
            told(&patched.changes),
            [
                "active: true -> false",
                r#"emails[type eq "work"].type: "work" -> "#,
                r#"emails[type eq "work"].value: "(redacted)" -> "#,
            ]
        );
        assert_eq!(told(&app.patch(&id, operations).await.unwrap().changes), [""; 0]);
        let replaced = app.replace(&id, json!({ "userName": "Anna", "displayName": "Anna" })).await.unwrap();
        assert_eq!(told(&replaced.changes), [r#"externalId: "E1" -> "#, r#"userName: "anna" -> "Anna""#]);
        let deleted = app.delete(&id).await.unwrap();
        assert_eq!(
            told(&deleted.changes),
            ["active: false -> ", r#"displayName: "(redacted)" -> "#, r#"userName: "Anna" -> "#]
        );
        assert_eq!(app.deeds().await, [], "that is the provisioning log's");
    }

    async fn what_administrators_do_to_users_is_on_record(db: Database) {
        let app = app(db).with("admin");
        let id = app.create(json!({ "userName": "anna", "displayName": "Anna" })).await.unwrap().resource.unwrap().id;
        app.patch(&id, json!([{ "op": "replace", "path": "displayName", "value": "A" }])).await.unwrap();
        app.patch(&id, json!([{ "op": "replace", "path": "displayName", "value": "A" }])).await.unwrap();
        app.suspend(&id, 3).await.unwrap();
        app.restore(&id).await.unwrap();
        app.delete(&id).await.unwrap();
        let all = json!({ "active": true, "displayName": "(redacted)", "userName": "anna" });
        let hidden = json!({ "displayName": "(redacted)" });
        let expected = [
            ("user.created", Value::Null, all.clone()),
            ("user.updated", hidden.clone(), hidden),
            ("user.suspended", all.clone(), Value::Null),
            ("user.restored", Value::Null, all.clone()),
            ("user.deleted", all, Value::Null),
        ];
        let expected = expected.map(|(action, before, after)| (action.to_owned(), id.clone(), before, after));
        assert_eq!(app.deeds().await, expected);
    }

    async fn teams_schemas_and_roles_are_on_record(db: Database) {
        let app = app(db).with("admin");
        let message = proto::identity::v1::PutRoleAndTeamsRequest {
            tenant_id: app.tenant.to_string(),
            urn: URN.into(),
            request_id: "test".into(),
        };
        let mut roles = proto::identity::v1::roles_client::RolesClient::new(app.transport.clone());
        roles.put_role_and_teams(app.request(message.clone())).await.unwrap();
        roles.put_role_and_teams(app.request(message)).await.unwrap();
        let team = app.team("sales").await.unwrap().id;
        // Provisioning, twenty users: what the rename does to them is one deed.
        let provisioning = app.with("scim");
        for n in 0..20 {
            let body = json!({ "userName": format!("u{n}"), URN: { "teams": [{ "slug": "sales" }] } });
            provisioning.create(body).await.unwrap();
        }
        app.rename("sales", "Vertrieb").await.unwrap();
        app.rename("vertrieb", "Vertrieb").await.unwrap();
        app.drop_team("vertrieb").await.unwrap();

        let deeds = app.deeds().await;
        let actions: Vec<_> = deeds.iter().map(|deed| (deed.0.as_str(), deed.1.as_str())).collect();
        let of_team = team.as_str();
        assert_eq!(
            actions,
            [("schema.put", URN), ("team.created", of_team), ("team.updated", of_team), ("team.deleted", of_team)]
        );
        assert_eq!(deeds[0].2, Value::Null);
        assert_eq!((&deeds[0].3["document"]["id"], &deeds[0].3["role_and_teams"]), (&json!(URN), &json!(true)));
        assert_eq!((&deeds[2].2, &deeds[2].3), (&json!({ "slug": "sales" }), &json!({ "slug": "Vertrieb" })));
        assert_eq!(deeds[3].2, json!({ "slug": "Vertrieb", "name": "sales" }));
    }

    async fn the_audit_is_latest_first_by_tenant_and_time(db: Database) {
        let clock = Clock::manual(Clock::system().now());
        let app = App::of(transport(&service(db, clock.clone()))).with("admin");
        let other = app.other_tenant().with("admin");
        let begun = clock.now();
        for n in 0..12 {
            clock.advance(Duration::from_secs(60));
            let app = if n % 3 == 2 { &other } else { &app };
            app.user(&format!("u{n}")).await;
        }
        let minute = |n: i64| begun.micros() + n * 60_000_000;
        let names = async |app: &App, query: AuditQuery| {
            let mut names: Vec<String> = Vec::new();
            let mut query = query;
            loop {
                let (events, next) = app.audited(query.clone()).await.unwrap();
                for event in events {
                    let after: Value = serde_json::from_slice(&event.after).unwrap();
                    names.push(after["userName"].as_str().unwrap().to_owned());
                }
                query.page_token = next;
                if query.page_token.is_empty() {
                    return names.join(" ");
                }
            }
        };
        let tenant_id = app.tenant.to_string();
        let query = AuditQuery { tenant_id, page_size: 3, ..AuditQuery::default() };
        assert_eq!(names(&app, query.clone()).await, "u10 u9 u7 u6 u4 u3 u1 u0");
        // The token's tenant, when none is named.
        assert_eq!(names(&app, AuditQuery::default()).await, "u10 u9 u7 u6 u4 u3 u1 u0");
        let within = AuditQuery { from_us: minute(4), until_us: minute(8), ..query.clone() };
        assert_eq!(names(&app, within).await, "u6 u4 u3", "from, not before; until, not at");
        let platform = app.platform("admin");
        let all = AuditQuery { page_size: 5, ..AuditQuery::default() };
        assert_eq!(names(&platform, all.clone()).await, "u11 u10 u9 u8 u7 u6 u5 u4 u3 u2 u1 u0");
        assert_eq!(names(&platform, AuditQuery { from_us: minute(11), ..all }).await, "u11 u10");

        assert_eq!(kind(other.audited(query.clone()).await), ErrorKind::Forbidden);
        assert_eq!(kind(app.with("scim").audited(query.clone()).await), ErrorKind::Forbidden);
        let odd = AuditQuery { page_token: "x".into(), ..query };
        assert_eq!(kind(app.audited(odd).await), ErrorKind::InvalidValue);
    }

    /// Several schemas of the largest size do not fit one page, and none is left out.
    async fn a_page_of_the_audit_has_a_size(db: Database) {
        let app = app(db).with("admin");
        let mut schemas = proto::identity::v1::schemas_client::SchemasClient::new(app.transport.clone());
        const CHANGES: usize = 40;
        for n in 0..CHANGES {
            let long = format!("{n} {}", "x".repeat(1000));
            let attributes: Vec<_> = (0..50).map(|n| json!({ "name": format!("a{n}"), "description": long })).collect();
            let document = json!({ "id": "urn:example:params:scim:schemas:hr:2.0:User", "attributes": attributes });
            let message = proto::identity::v1::PutExtensionRequest {
                tenant_id: app.tenant.to_string(),
                document: document.to_string().into(),
                request_id: "test".into(),
                ..Default::default()
            };
            schemas.put_extension(app.request(message)).await.unwrap();
        }
        let mut query = AuditQuery { page_size: 1000, ..AuditQuery::default() };
        let (mut pages, mut seen) = (0, 0);
        loop {
            let (events, next) = app.audited(query.clone()).await.unwrap();
            let bytes: usize = events.iter().map(|event| event.before.len() + event.after.len()).sum();
            assert!(bytes < 3 << 20, "{bytes}");
            pages += 1;
            seen += events.len();
            query.page_token = next;
            if query.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, CHANGES);
        assert!(pages > 1);
    }
}

/// With a read replica the audit may lack the last seconds, never what is in between, and users are as they were just made.
#[test]
fn only_the_first_page_of_the_audit_is_old() {
    testkit::db::run_fresh(Backend::Postgres, Service::Identity, async |fresh: &Fresh| {
        let primary = app(fresh.database.clone());
        let replicated = Replicated::open(fresh, Duration::from_secs(60)).await.unwrap();
        let stale = App { transport: serve(replicated.database.clone(), Clock::system()), ..primary.clone() };
        // An administrator's deeds stand in the audit.
        stale.with("admin").user("u0").await;
        replicated.wait_until("(SELECT count(*) = 1 FROM identity.audit_events)").await.unwrap();
        replicated.pause().await.unwrap();
        for name in ["u1", "u2", "u3", "u4"] {
            let id = stale.with("admin").user(name).await;
            assert!(stale.get(&id).await.is_ok(), "{name}");
            assert_eq!(stale.matching(&format!("userName eq \"{name}\"")).await, [name]);
        }

        let page = |page_token: String| {
            let tenant_id = primary.tenant.to_string();
            AuditQuery { tenant_id, page_size: 2, page_token, ..AuditQuery::default() }
        };
        let (old, next) = stale.audited(page(String::new())).await.unwrap();
        assert_eq!((old.len(), next.as_str()), (1, ""), "the replica answers, and lacks the last four");
        let (first, next) = primary.audited(page(String::new())).await.unwrap();
        let (second, _) = stale.audited(page(next.clone())).await.unwrap();
        assert_eq!((first.len(), second.len()), (2, 2), "nothing is left out");
        assert_eq!(second, primary.audited(page(next)).await.unwrap().0);
    });
}
