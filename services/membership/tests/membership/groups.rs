//! Groups one at a time.

use proto::common::v1::{Dialect, Precondition};
use proto::membership::v1;
use scim::ErrorKind;
use serde_json::{Value, json};

use crate::support::{app, error, kind, sorted, user_id, values};

fn attributes(resource: &proto::common::v1::Resource) -> Value {
    serde_json::from_slice(&resource.json).unwrap()
}

testkit::store_tests! {
    service: Membership;

    async fn a_group_is_created_read_and_deleted(db: Database) {
        let app = app(db);
        let user = app.user().await;
        let created = app.create(json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group", "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
            "externalId": "8aa1a0c0", "displayName": "Sales", "members": values(&[&user]),
            "meta": { "resourceType": "Group" },
        })).await.unwrap();
        let resource = created.resource.unwrap();
        assert_eq!(resource.version, 1);
        assert!(!created.revision.is_empty());

        let (read, members) = app.get(&resource.id).await.unwrap();
        assert_eq!(read, resource);
        let json = attributes(&read);
        assert_eq!(json["displayName"], "Sales");
        assert_eq!(json["externalId"], "8aa1a0c0");
        for absent in ["id", "meta", "members"] {
            assert!(json.get(absent).is_none(), "{absent} does not belong into the stored resource");
        }
        assert_eq!(members.len(), 1);
        assert_eq!((members[0].id.as_str(), members[0].r#type()), (user.as_str(), v1::MemberType::User));
        assert_eq!(members[0].display, format!("{user}@Example.com"), "without a displayName the userName shows");

        let deleted = app.delete(&resource.id).await.unwrap();
        assert!(!deleted.revision.is_empty() && deleted.revision != created.revision);
        assert_eq!(kind(app.get(&resource.id).await), ErrorKind::NotFound);
        assert_eq!(kind(app.delete(&resource.id).await), ErrorKind::NotFound);
        assert_eq!(kind(app.patch(&resource.id, json!([{ "op": "add", "path": "members", "value": [] }])).await), ErrorKind::NotFound);
        // The name is free again.
        app.group("SALES").await;
    }

    async fn a_display_name_is_unique_in_any_case(db: Database) {
        let app = app(db);
        app.group("Straße").await;
        let refused = error(app.create(json!({ "displayName": "STRAßE" })).await);
        assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::Uniqueness, Some("displayName")));
        let other = app.group("Other").await;
        let rename = json!([{ "op": "replace", "path": "displayName", "value": "straße" }]);
        assert_eq!(kind(app.patch(&other, rename).await), ErrorKind::Uniqueness);
        assert_eq!(kind(app.replace(&other, json!({ "displayName": "straße" })).await), ErrorKind::Uniqueness);
        assert_eq!(app.version(&other).await, 1, "a refused change leaves no trace");
    }

    async fn what_has_no_name_is_refused(db: Database) {
        let app = app(db);
        for body in [json!({}), json!({ "displayName": "" })] {
            let refused = error(app.create(body).await);
            assert_eq!(refused.kind, ErrorKind::InvalidValue);
            assert!(refused.detail.contains("displayName"), "{}", refused.detail);
        }
        let long = "x".repeat(2000);
        assert_eq!(kind(app.create(json!({ "displayName": long })).await), ErrorKind::InvalidValue);
    }

    async fn versions_count_changes_and_nothing_else(db: Database) {
        let app = app(db);
        let id = app.group("Sales").await;
        let rename = json!([{ "op": "Replace", "path": "displayName", "value": "Vertrieb" }]);
        let renamed = app.patch(&id, rename.clone()).await.unwrap();
        assert_eq!(renamed.resource.as_ref().unwrap().version, 2);
        let again = app.patch(&id, rename).await.unwrap();
        assert_eq!(again.resource.unwrap().version, 2, "no change, no version");
        let replaced = app.replace(&id, json!({ "displayName": "Vertrieb" })).await.unwrap();
        assert_eq!(replaced.resource.unwrap().version, 2, "a PUT of the same is no change");

        let user = app.user().await;
        let operations = json!([
            { "op": "replace", "value": { "displayName": "Sales", "externalId": "e1" } },
            { "op": "add", "path": "members", "value": [{ "value": user }] },
        ]);
        let both = app.patch(&id, operations).await.unwrap().resource.unwrap();
        assert_eq!(both.version, 3, "one request, one version");
        assert!(both.updated_at_us >= both.created_at_us);
        assert_eq!(attributes(&both)["externalId"], "e1");
    }

    async fn a_patch_is_all_or_nothing(db: Database) {
        let app = app(db);
        let (id, user) = (app.group("Sales").await, app.user().await);
        let operations = json!([
            { "op": "add", "path": "members", "value": [{ "value": user }] },
            { "op": "replace", "path": "displayName", "value": "Vertrieb" },
            { "op": "remove", "path": "displayName" },
        ]);
        app.dialect(Dialect::Rfc).patch(&id, operations).await.unwrap_err();
        let (group, members) = app.get(&id).await.unwrap();
        assert_eq!((group.version, members.len()), (1, 0));
        assert_eq!(attributes(&group)["displayName"], "Sales");
    }

    async fn if_match_is_honoured(db: Database) {
        let app = app(db);
        let id = app.group("Sales").await;
        let versions = |versions: &[i64]| Some(Precondition { any: false, versions: versions.to_vec() });
        let rename = |name: &str| json!([{ "op": "replace", "path": "displayName", "value": name }]);
        app.patch_if(&id, rename("a"), versions(&[1])).await.unwrap();
        assert_eq!(kind(app.patch_if(&id, rename("b"), versions(&[1])).await), ErrorKind::VersionMismatch);
        app.patch_if(&id, rename("b"), versions(&[1, 2])).await.unwrap();
        app.patch_if(&id, rename("c"), Some(Precondition { any: true, versions: vec![] })).await.unwrap();

        let stale = v1::DeleteGroupRequest { context: app.context(), id: id.clone(), precondition: versions(&[1]) };
        let refused = app.groups().delete_group(app.request(stale)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::VersionMismatch);
        let body = json!({ "displayName": "d" }).to_string().into();
        let stale = v1::ReplaceGroupRequest { context: app.context(), id: id.clone(), body, precondition: versions(&[1]) };
        let refused = app.groups().replace_group(app.request(stale)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::VersionMismatch);
        assert_eq!(attributes(&app.get(&id).await.unwrap().0)["displayName"], "c");
    }

    async fn put_replaces_attributes_and_members(db: Database) {
        let app = app(db);
        let id = app.group("Sales").await;
        let users = app.users(3).await;
        app.add(&id, &[&users[0], &users[1]]).await;
        let body = json!({ "displayName": "Sales", "externalId": "e", "members": values(&[&users[1], &users[2]]) });
        let replaced = app.replace(&id, body).await.unwrap().resource.unwrap();
        assert_eq!(replaced.version, 3);
        assert_eq!(app.member_ids(&id).await, sorted(&[&users[1], &users[2]]));
        let cleared = app.replace(&id, json!({ "displayName": "Sales" })).await.unwrap().resource.unwrap();
        assert_eq!(app.member_ids(&id).await, Vec::<String>::new(), "a PUT without members clears them");
        assert!(attributes(&cleared).get("externalId").is_none());
    }

    async fn ids_that_are_none_are_not_found(db: Database) {
        let app = app(db);
        let id = app.group("Sales").await;
        for unknown in ["", "x", &id.to_uppercase(), &user_id()] {
            assert_eq!(kind(app.get(unknown).await), ErrorKind::NotFound, "{unknown}");
            assert_eq!(kind(app.delete(unknown).await), ErrorKind::NotFound, "{unknown}");
        }
    }

    async fn bodies_that_are_none_are_refused(db: Database) {
        let app = app(db);
        let id = app.group("Sales").await;
        for body in ["", "{", "[]", "\"x\"", "{\"displayName\":{}}", "{\"displayName\":\"a\\u0000b\"}"] {
            let request = v1::CreateGroupRequest { context: app.context(), body: body.into() };
            let refused = app.groups().create_group(app.request(request)).await.map_err(platform::Error::from);
            assert!(matches!(kind(refused), ErrorKind::InvalidSyntax | ErrorKind::InvalidValue), "{body}");
            let request = v1::PatchGroupRequest { context: app.context(), id: id.clone(), body: body.into(), precondition: None };
            let refused = app.groups().patch_group(app.request(request)).await.map_err(platform::Error::from);
            assert!(matches!(kind(refused), ErrorKind::InvalidSyntax | ErrorKind::InvalidValue), "{body}");
        }
    }
}
