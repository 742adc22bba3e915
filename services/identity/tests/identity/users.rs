//! Users one at a time.

use proto::common::v1::{Dialect, Precondition};
use proto::identity::v1::lookup_user_request::User as By;
use scim::ErrorKind;
use serde_json::json;

use crate::support::{app, attributes, error, kind, versions};

testkit::store_tests! {
    service: Identity;

    async fn a_user_is_created_read_and_deleted(db: Database) {
        let app = app(db);
        let created = app.create(json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": "Anna@Contoso.com", "externalId": "E1", "displayName": "Anna", "active": "True",
            "emails": [{ "type": "work", "value": "Anna@Contoso.com" }],
            "meta": { "resourceType": "User" }, "id": "mine",
        })).await.unwrap();
        let resource = created.resource.unwrap();
        assert_eq!(resource.version, 1);
        assert_eq!(resource.created_at_us, resource.updated_at_us);
        assert_eq!(resource.created_at_us % 1000, 0, "what meta cannot show is not stored");
        assert!(!created.revision.is_empty());
        let change = created.change.unwrap();
        assert_eq!(
            (change.user_id.as_str(), change.version, change.deleted, change.active),
            (resource.id.as_str(), 1, false, true)
        );
        assert_eq!((change.user_name.as_str(), change.external_id.as_str()), ("Anna@Contoso.com", "E1"));

        assert_eq!(app.get(&resource.id).await.unwrap(), resource);
        let json = attributes(&resource);
        assert_eq!((&json["userName"], &json["active"]), (&json!("Anna@Contoso.com"), &json!(true)));
        for absent in ["id", "meta", "groups", "password"] {
            assert!(json.get(absent).is_none(), "{absent} does not belong into the stored resource");
        }

        let deleted = app.delete(&resource.id).await.unwrap();
        let change = deleted.change.unwrap();
        assert!(change.deleted && change.version == 2 && change.user_name.is_empty());
        assert_ne!(deleted.revision, created.revision);
        assert_eq!(kind(app.get(&resource.id).await), ErrorKind::NotFound);
        assert_eq!(kind(app.delete(&resource.id).await), ErrorKind::NotFound);
        let rename = json!([{ "op": "replace", "path": "userName", "value": "b" }]);
        assert_eq!(kind(app.patch(&resource.id, rename).await), ErrorKind::NotFound);
        assert_eq!(kind(app.replace(&resource.id, json!({ "userName": "b" })).await), ErrorKind::NotFound);
        // The name is free again.
        assert_ne!(app.user("anna@contoso.com").await, resource.id);
    }

    async fn a_user_name_is_unique_in_any_case(db: Database) {
        let app = app(db);
        app.user("Ärger@x.de").await;
        let refused = error(app.create(json!({ "userName": "äRGER@X.DE" })).await);
        assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::Uniqueness, Some("userName")));
        assert!(refused.detail.contains("userName"), "{}", refused.detail);

        let other = app.user("other").await;
        let rename = json!([{ "op": "replace", "value": { "userName": "ÄRGER@x.de", "title": "x" } }]);
        assert_eq!(kind(app.patch(&other, rename).await), ErrorKind::Uniqueness);
        assert_eq!(kind(app.replace(&other, json!({ "userName": "ärger@x.de" })).await), ErrorKind::Uniqueness);
        let unchanged = app.get(&other).await.unwrap();
        assert_eq!(unchanged.version, 1, "a refused change leaves no trace");
        assert!(attributes(&unchanged).get("title").is_none());

        // Its own name in another case is no conflict.
        let recased = app.patch(&other, json!([{ "op": "replace", "path": "userName", "value": "OTHER" }])).await.unwrap();
        assert_eq!(attributes(&recased.resource.unwrap())["userName"], "OTHER");
        // Nor is the same name in another tenant.
        app.other_tenant().user("ärger@x.de").await;
    }

    async fn versions_count_changes_and_nothing_else(db: Database) {
        let app = app(db);
        let created = app.create(json!({ "userName": "a", "title": "Buyer" })).await.unwrap();
        let id = created.resource.unwrap().id;
        let same = json!([{ "op": "Replace", "path": "title", "value": "Buyer" }]);
        let same = app.patch(&id, same).await.unwrap();
        assert_eq!((same.resource.unwrap().version, same.change), (1, None));
        assert!(!same.revision.is_empty());
        let body = json!({ "userName": "a", "title": "Buyer", "active": true });
        let same = app.replace(&id, body).await.unwrap();
        assert_eq!((same.resource.unwrap().version, same.change), (1, None), "a PUT of the same is no change");

        let operations = json!([
            { "op": "replace", "path": "title", "value": "Seller" },
            { "op": "add", "path": "emails[type eq \"work\"].value", "value": "a@x" },
            { "op": "replace", "path": "active", "value": "False" },
        ]);
        let changed = app.patch(&id, operations).await.unwrap();
        let resource = changed.resource.unwrap();
        assert_eq!(resource.version, 2, "one request, one version");
        assert!(resource.updated_at_us >= resource.created_at_us);
        let change = changed.change.unwrap();
        assert_eq!((change.version, change.active), (2, false));
        assert_eq!(app.get(&id).await.unwrap(), resource, "an inactive user stays readable");
    }

    async fn put_clears_what_it_leaves_out_but_reactivates_nobody(db: Database) {
        let app = app(db);
        let body = json!({ "userName": "a", "title": "Buyer", "active": false, "emails": [{ "value": "a@x" }] });
        let id = app.create(body).await.unwrap().resource.unwrap().id;
        let replaced = app.replace(&id, json!({ "userName": "a" })).await.unwrap().resource.unwrap();
        let json = attributes(&replaced);
        assert!(json.get("title").is_none() && json.get("emails").is_none(), "{json}");
        assert_eq!(json["active"], json!(false));
        assert_eq!(app.matching(r#"emails.value eq "a@x""#).await, [""; 0]);
    }

    async fn a_patch_is_all_or_nothing(db: Database) {
        let app = app(db);
        let id = app.user("a").await;
        let app = app.dialect(Dialect::Rfc);
        let operations = json!([
            { "op": "replace", "path": "title", "value": "Seller" },
            { "op": "remove", "path": "userName" },
        ]);
        app.patch(&id, operations).await.unwrap_err();
        let user = app.get(&id).await.unwrap();
        assert_eq!(user.version, 1);
        assert!(attributes(&user).get("title").is_none());
    }

    async fn if_match_is_honoured(db: Database) {
        let app = app(db);
        let id = app.user("a").await;
        let title = |title: &str| json!([{ "op": "replace", "path": "title", "value": title }]);
        app.patch_if(&id, title("a"), versions(&[1])).await.unwrap();
        assert_eq!(kind(app.patch_if(&id, title("b"), versions(&[1])).await), ErrorKind::VersionMismatch);
        assert_eq!(kind(app.patch_if(&id, title("a"), versions(&[1])).await), ErrorKind::VersionMismatch);
        app.patch_if(&id, title("b"), versions(&[1, 2])).await.unwrap();
        app.patch_if(&id, title("c"), Some(Precondition { any: true, versions: vec![] })).await.unwrap();
        assert_eq!(kind(app.delete_if(&id, versions(&[1])).await), ErrorKind::VersionMismatch);
        assert_eq!(attributes(&app.get(&id).await.unwrap())["title"], "c");
        app.delete_if(&id, versions(&[4])).await.unwrap();
    }

    async fn a_password_is_refused_storage_and_the_client_is_told(db: Database) {
        let app = app(db);
        let created = app.create(json!({ "userName": "a", "password": "hunter2" })).await.unwrap();
        assert_eq!(created.warnings.len(), 1);
        assert_eq!(created.warnings[0].attribute, "password");
        let id = created.resource.unwrap().id;
        let patched = app.patch(&id, json!([{ "op": "replace", "path": "password", "value": "hunter3" }])).await.unwrap();
        let resource = patched.resource.unwrap();
        assert_eq!((resource.version, patched.warnings.len()), (1, 1));
        assert!(!String::from_utf8_lossy(&resource.json).contains("hunter"));
    }

    async fn what_is_wrong_is_named(db: Database) {
        let app = app(db);
        let id = app.user("a").await;
        let refused = error(app.create(json!({ "displayName": "x" })).await);
        assert_eq!(refused.kind, ErrorKind::InvalidValue);
        assert!(refused.detail.contains("userName"), "{}", refused.detail);
        for unknown in ["", "x", &id.to_uppercase(), "00000000-0000-7000-8000-000000000000", "../etc"] {
            assert_eq!(kind(app.get(unknown).await), ErrorKind::NotFound, "{unknown}");
            assert_eq!(kind(app.delete(unknown).await), ErrorKind::NotFound, "{unknown}");
        }
    }

    async fn the_directory_finds_by_every_name(db: Database) {
        let app = app(db);
        let body = json!({
            "userName": "Anna@X", "externalId": "E1", "displayName": "Anna", "active": false,
            "emails": [{ "value": "first@x" }, { "value": "Main@x", "primary": true }],
        });
        let id = app.create(body).await.unwrap().resource.unwrap().id;
        for by in [By::Id(id.clone()), By::ExternalId("E1".into()), By::UserName("aNNA@x".into())] {
            let user = app.lookup(by).await.unwrap();
            assert_eq!((user.id.as_str(), user.user_name.as_str(), user.email.as_str()), (id.as_str(), "Anna@X", "Main@x"));
            assert_eq!((user.active, user.version, user.display_name.as_str()), (false, 1, "Anna"));
        }
        for by in [By::Id("x".into()), By::ExternalId("e1".into()), By::UserName("nobody".into())] {
            assert_eq!(kind(app.lookup(by).await), ErrorKind::NotFound);
        }
    }
}
