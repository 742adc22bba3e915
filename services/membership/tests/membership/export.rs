//! Everything a tenant has.

use futures::TryStreamExt;
use proto::membership::v1;
use serde_json::Value;

use crate::support::{App, app, kind, token, user_id};

async fn export(app: &App) -> platform::Result<Vec<(String, Value)>> {
    let request = app.request(v1::ExportTenantRequest { tenant_id: app.tenant.to_string() });
    let items: Vec<v1::ExportTenantResponse> =
        app.tenant_data().export_tenant(request).await?.into_inner().try_collect().await?;
    Ok(items.into_iter().map(|item| (item.kind, serde_json::from_slice(&item.json).unwrap())).collect())
}

testkit::store_tests! {
    service: Membership;

    /// More groups and members than a page holds.
    async fn an_export_has_everything_of_the_tenant_and_nothing_else(db: Database) {
        let app = app(db);
        let other = app.other_tenant();
        other.add(&other.group("Theirs").await, &[&user_id()]).await;
        let users = app.users(2100).await;
        let ids: Vec<&str> = users.iter().map(String::as_str).collect();
        let (all, few) = (app.group("All").await, app.group("Few").await);
        app.add(&all, &ids).await;
        app.add(&few, &[&all, ids[0], &user_id()]).await;

        let items = export(&app).await.unwrap();
        let groups: Vec<_> = items.iter().filter(|(kind, _)| kind == "group").collect();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].1["resource"]["displayName"], "All");
        assert_eq!(groups[0].1["version"], 2);
        let members: Vec<_> = items.iter().filter(|(kind, _)| kind == "member").map(|(_, json)| json).collect();
        assert_eq!(members.len(), 2103);
        assert_eq!(items.len(), 2105);
        let of_few = |kind: &str| members.iter().filter(|json| json["group_id"] == few && json["type"] == kind).count();
        assert_eq!((of_few("user"), of_few("group"), of_few("unknown")), (1, 1, 1));
        assert!(members.iter().all(|json| json["request_id"] == "test"));

        let mut reader = app.clone();
        reader.token = token(&app.tenant.to_string(), "scim memberships:read");
        assert_eq!(kind(export(&reader).await), scim::ErrorKind::Forbidden);
    }
}
