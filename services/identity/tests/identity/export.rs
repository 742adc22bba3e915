//! Everything of a tenant.

use futures::TryStreamExt;
use proto::identity::v1::ExportTenantRequest;
use scim::ErrorKind;
use serde_json::{Value, json};

use crate::role_teams::URN;
use crate::support::{App, app, kind};

impl App {
    pub async fn export(&self) -> platform::Result<Vec<(String, Value)>> {
        let message = ExportTenantRequest { tenant_id: self.tenant.to_string() };
        let stream = self.tenant_data().export_tenant(self.request(message)).await?.into_inner();
        let things: Vec<_> = stream.try_collect().await?;
        let read = |thing: proto::identity::v1::ExportTenantResponse| {
            (thing.kind, serde_json::from_slice(&thing.json).unwrap())
        };
        Ok(things.into_iter().map(read).collect())
    }
}

testkit::store_tests! {
    service: Identity;

    async fn everything_comes_once_in_order(db: Database) {
        let app = app(db).with_roles().await;
        let mut expected = vec![("schema".to_owned(), URN.to_owned())];
        let mut slugs: Vec<String> = (0..70).map(|n| format!("Team{n}")).collect();
        for slug in &slugs {
            app.team(slug).await.unwrap();
        }
        slugs.sort();
        expected.extend(slugs.into_iter().map(|slug| ("team".to_owned(), slug)));
        for n in 0..70 {
            app.user(&format!("u{n}")).await;
            expected.push(("user".to_owned(), format!("u{n}")));
        }
        for n in 0..70 {
            let id = app.user(&format!("s{n}")).await;
            app.suspend(&id, 2).await.unwrap();
            expected.push(("suspended_user".to_owned(), format!("s{n}")));
        }
        let gone = app.user("gone").await;
        app.delete(&gone).await.unwrap();
        app.other_tenant().user("stranger").await;

        let things = app.export().await.unwrap();
        let mut named = Vec::new();
        for (kind, json) in &things {
            let name = match kind.as_str() {
                "schema" => &json["urn"],
                "team" => &json["slug"],
                _ => &json["resource"]["userName"],
            };
            named.push((kind.clone(), name.as_str().unwrap().to_owned()));
        }
        assert_eq!(named, expected);
        let (_, schema) = &things[0];
        assert_eq!((&schema["role_and_teams"], &schema["document"]["id"]), (&json!(true), &json!(URN)));
        let (_, user) = &things[71];
        assert_eq!((&user["version"], &user["resource"]["active"]), (&json!(1), &json!(true)));
        let (_, suspended) = things.last().unwrap();
        assert!(suspended["purge_at_us"].as_i64() > suspended["updated_at_us"].as_i64());
    }

    async fn only_an_administrator_gets_it(db: Database) {
        let app = app(db);
        assert_eq!(kind(app.with("scim directory:read").export().await), ErrorKind::Forbidden);
        assert_eq!(app.export().await.unwrap(), []);
    }
}
