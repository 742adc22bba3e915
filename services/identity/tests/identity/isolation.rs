//! Nothing of one tenant can be seen or touched by another, and nothing without the right scope.

use proto::identity::v1;
use proto::identity::v1::lookup_user_request::User as By;
use scim::ErrorKind;
use serde_json::json;

use crate::support::{App, Asked, app, kind, token};

testkit::store_tests! {
    service: Identity;

    async fn another_tenants_user_is_not_there(db: Database) {
        let ours = app(db);
        let body = json!({ "userName": "anna", "externalId": "E1", "emails": [{ "value": "a@x", "type": "work" }] });
        let id = ours.create(body).await.unwrap().resource.unwrap().id;
        let before = ours.get(&id).await.unwrap();
        let theirs = ours.other_tenant();

        assert_eq!(kind(theirs.get(&id).await), ErrorKind::NotFound);
        assert_eq!(kind(theirs.replace(&id, json!({ "userName": "x" })).await), ErrorKind::NotFound);
        let patch = json!([{ "op": "replace", "path": "title", "value": "x" }]);
        assert_eq!(kind(theirs.patch(&id, patch).await), ErrorKind::NotFound);
        assert_eq!(kind(theirs.delete(&id).await), ErrorKind::NotFound);
        for by in [By::Id(id.clone()), By::ExternalId("E1".into()), By::UserName("anna".into())] {
            assert_eq!(kind(theirs.lookup(by).await), ErrorKind::NotFound);
        }
        let id_filter = format!(r#"id eq "{id}""#);
        let filters = ["", &id_filter, r#"emails.value eq "a@x""#, r#"not (userName eq "b")"#, r#"emails[type eq "work"]"#, "id pr"];
        for filter in filters {
            assert_eq!(theirs.list(Asked { filter, ..Asked::default() }).await.unwrap().total_results, 0, "{filter}");
            assert_eq!(ours.list(Asked { filter, ..Asked::default() }).await.unwrap().total_results, 1, "{filter}");
        }
        theirs.purge().await;
        assert_eq!(ours.get(&id).await.unwrap(), before);
    }

    async fn a_token_is_good_for_its_tenant_only(db: Database) {
        let ours = app(db);
        let id = ours.user("anna").await;
        // Their token, our tenant in the request.
        let forged = App { token: ours.other_tenant().token, ..ours.clone() };
        assert_eq!(kind(forged.get(&id).await), ErrorKind::Forbidden);
        assert_eq!(kind(forged.create(json!({ "userName": "b" })).await), ErrorKind::Forbidden);
        assert_eq!(kind(forged.list(Asked::default()).await), ErrorKind::Forbidden);
        assert_eq!(kind(forged.replace(&id, json!({ "userName": "b" })).await), ErrorKind::Forbidden);
        assert_eq!(kind(forged.patch(&id, json!([])).await), ErrorKind::Forbidden);
        assert_eq!(kind(forged.delete(&id).await), ErrorKind::Forbidden);
        let message = v1::PurgeTenantRequest { tenant_id: ours.tenant.to_string() };
        let purged = forged.tenant_data().purge_tenant(forged.request(message)).await.map_err(platform::Error::from);
        assert_eq!(kind(purged), ErrorKind::Forbidden);
        let message = v1::LookupUserRequest { tenant_id: ours.tenant.to_string(), user: Some(By::Id(id)) };
        let found = forged.directory().lookup_user(forged.request(message)).await.map_err(platform::Error::from);
        assert_eq!(kind(found), ErrorKind::Forbidden);
    }

    async fn every_call_needs_its_scope(db: Database) {
        let app = app(db);
        let id = app.user("anna").await;
        let tenant = app.tenant.to_string();
        let with = |scope: &str| App { token: token(&tenant, scope), ..app.clone() };
        assert_eq!(kind(with("directory:read").get(&id).await), ErrorKind::Forbidden);
        assert_eq!(kind(with("scim admin").lookup(By::Id(id.clone())).await), ErrorKind::Forbidden);
        let scim = with("scim directory:read");
        let message = v1::PurgeTenantRequest { tenant_id: tenant.clone() };
        let purged = scim.tenant_data().purge_tenant(scim.request(message)).await.map_err(platform::Error::from);
        assert_eq!(kind(purged), ErrorKind::Forbidden);
        // The log is that of all tenants: a tenant's token never reads it.
        let internal = with("internal");
        let message = v1::WatchChangesRequest { after_cursor: String::new() };
        let watched = internal.changes().watch_changes(internal.request(message)).await.map_err(platform::Error::from);
        assert_eq!(watched.err().map(|error| error.kind), Some(ErrorKind::Forbidden));

        let message = v1::GetUserRequest { context: app.context(), id };
        let anonymous = app.users().get_user(message).await.map_err(platform::Error::from);
        assert_eq!(kind(anonymous), ErrorKind::Unauthenticated);
    }

    async fn a_purge_leaves_nothing_and_can_be_repeated(db: Database) {
        let app = app(db);
        for n in 0..12 {
            let body = json!({ "userName": format!("u{n}"), "emails": [{ "value": "a@x" }] });
            app.create(body).await.unwrap();
        }
        app.purge().await;
        app.purge().await;
        assert_eq!(app.list(Asked::default()).await.unwrap().total_results, 0);
        assert_eq!(app.matching(r#"emails.value eq "a@x""#).await, [""; 0]);
    }
}
