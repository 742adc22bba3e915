//! Role and teams through the contract: the registry, protected roles, warnings, and what followers are told.

use platform::Result;
use proto::common::v1::Dialect;
use proto::identity::v1 as pb;
use proto::identity::v1::roles_client::RolesClient;
use proto::identity::v1::schemas_client::SchemasClient;
use proto::identity::v1::teams_client::TeamsClient;
use scim::ErrorKind;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::support::{App, app, attributes, error, kind};

pub const URN: &str = "urn:ietf:params:scim:schemas:extension:zeeg:2.0:User";

impl App {
    pub async fn with_roles(self) -> Self {
        let message = pb::PutRoleAndTeamsRequest {
            tenant_id: self.tenant.to_string(),
            urn: URN.into(),
            ..Default::default()
        };
        let extension = self
            .roles()
            .put_role_and_teams(self.request(message))
            .await
            .unwrap()
            .into_inner()
            .extension
            .unwrap();
        assert!(extension.role_and_teams && extension.urn == URN, "{extension:?}");
        self
    }

    fn roles(&self) -> RolesClient<platform::transport::Transport> {
        RolesClient::new(self.transport.clone())
    }

    fn teams(&self) -> TeamsClient<platform::transport::Transport> {
        TeamsClient::new(self.transport.clone())
    }

    pub async fn team(&self, slug: &str) -> Result<pb::Team> {
        let message = pb::CreateTeamRequest {
            tenant_id: self.tenant.to_string(),
            slug: slug.into(),
            name: String::new(),
            request_id: "test".into(),
        };
        Ok(self.teams().create_team(self.request(message)).await?.into_inner().team.unwrap())
    }

    pub async fn rename(&self, team: &str, slug: &str) -> Result<pb::Team> {
        let (tenant_id, slug) = (self.tenant.to_string(), Some(slug.into()));
        let message = pb::UpdateTeamRequest {
            tenant_id,
            team: team.into(),
            slug,
            name: None,
            request_id: "test".into(),
        };
        Ok(self.teams().update_team(self.request(message)).await?.into_inner().team.unwrap())
    }

    pub async fn drop_team(&self, team: &str) -> Result<()> {
        let message = pb::DeleteTeamRequest {
            tenant_id: self.tenant.to_string(),
            team: team.into(),
            request_id: "test".into(),
        };
        self.teams().delete_team(self.request(message)).await?;
        Ok(())
    }

    async fn slugs(&self, page_size: i32) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        let mut page_token = String::new();
        loop {
            let message = pb::ListTeamsRequest { tenant_id: self.tenant.to_string(), page_size, page_token };
            let page = self.teams().list_teams(self.request(message)).await.unwrap().into_inner();
            pages.push(page.teams.into_iter().map(|team| team.slug).collect());
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return pages;
            }
        }
    }

    pub async fn set_role(&self, user: &str, role: &str) -> Result<pb::SetRoleResponse> {
        let (tenant_id, user_id, role) = (self.tenant.to_string(), user.into(), role.into());
        let message = pb::SetRoleRequest { tenant_id, user_id, role, request_id: String::new() };
        Ok(self.roles().set_role(self.request(message)).await?.into_inner())
    }

    pub async fn extension(&self, user: &str) -> Value {
        attributes(&self.get(user).await.unwrap())[URN].clone()
    }
}

fn replace(name: &str, value: Value) -> Value {
    json!([{ "op": "Add", "path": format!("{URN}:{name}"), "value": value }])
}

testkit::store_tests! {
    service: Identity;

    async fn the_registry_names_teams_by_slug_and_uuid(db: Database) {
        let app = app(db);
        let sales = app.team("Sales").await.unwrap();
        assert_eq!((sales.slug.as_str(), sales.name.as_str()), ("Sales", "Sales"));
        let taken = error(app.team("SALES").await);
        assert_eq!((taken.kind, taken.attribute.as_deref()), (ErrorKind::Uniqueness, Some("slug")));
        assert_eq!(kind(app.team(&sales.id).await), ErrorKind::InvalidValue);
        assert_eq!(kind(app.team("a b").await), ErrorKind::InvalidValue);
        for slug in ["it", "Admin", "x", "y"] {
            app.team(slug).await.unwrap();
        }
        assert_eq!(app.slugs(2).await, [vec!["Admin", "it"], vec!["Sales", "x"], vec!["y"]]);
        assert_eq!(kind(app.rename("it", "sales").await), ErrorKind::Uniqueness);
        assert_eq!(app.rename("IT", "tech").await.unwrap().name, "it");
        app.drop_team(&sales.id).await.unwrap();
        assert_eq!(kind(app.drop_team("sales").await), ErrorKind::NotFound);
        assert_ne!(app.team("sales").await.unwrap().id, sales.id, "the slug is free again");

        let other = app.other_tenant();
        assert_eq!(other.slugs(0).await, [Vec::<String>::new()]);
        assert_eq!(kind(other.rename("tech", "theirs").await), ErrorKind::NotFound);
        assert_eq!(kind(other.drop_team("tech").await), ErrorKind::NotFound);
        let scim = App { token: crate::support::token(&app.tenant.to_string(), "scim directory:read"), ..app.clone() };
        assert_eq!(kind(scim.team("mine").await), ErrorKind::Forbidden);
        assert_eq!(kind(scim.set_role("x", "owner").await), ErrorKind::Forbidden);
    }

    async fn role_and_teams_are_stored_by_the_registry_and_told_to_followers(db: Database) {
        let app = app(db).with_roles().await;
        let (sales, it) = (app.team("Sales").await.unwrap(), app.team("it").await.unwrap());
        let sent = json!({ "userName": "anna", URN: { "role": "ADMIN", "teams": "[{\"slug\":\"sales\"},{\"slug\":\"nobody\"}]" } });
        let created = app.create(sent).await.unwrap();
        let resource = created.resource.unwrap();
        let stored = attributes(&resource);
        assert_eq!(stored[URN], json!({ "role": "admin", "teams": [{ "uuid": sales.id, "slug": "Sales" }] }));
        assert!(stored["schemas"].as_array().unwrap().contains(&json!(URN)));
        let [warning] = &created.warnings[..] else { panic!("{:?}", created.warnings) };
        assert!(warning.attribute == format!("{URN}:teams") && warning.detail.contains("nobody"), "{warning:?}");
        let change = created.change.unwrap();
        assert_eq!((change.role.as_str(), &change.team_ids[..]), ("admin", std::slice::from_ref(&sales.id)));

        let moved = app.patch(&resource.id, replace("teams", json!([{ "value": it.id }]))).await.unwrap();
        assert_eq!(moved.change.unwrap().team_ids[..], *std::slice::from_ref(&it.id), "Add of the whole is the whole");
        let filter = format!("{URN}:teams[slug eq \"IT\"]");
        assert_eq!(app.matching(&filter).await, ["anna"]);
        assert_eq!(app.matching(&format!("{URN}:role eq \"Admin\"")).await, ["anna"]);

        let plain = app.create(json!({ "userName": "ben" })).await.unwrap();
        assert_eq!(plain.change.unwrap().role, "user");
        let put = app.replace(&resource.id, json!({ "userName": "anna", "title": "Buyer" })).await.unwrap();
        assert_eq!(attributes(&put.resource.unwrap())[URN], json!({ "role": "admin", "teams": [{ "uuid": it.id, "slug": "it" }] }));
    }

    async fn protected_roles_belong_to_the_administrator(db: Database) {
        let app = app(db).with_roles().await;
        let id = app.user("anna").await;
        let given = app.set_role(&id, "OWNER").await.unwrap();
        assert_eq!((given.role.as_str(), given.version), ("owner", 2));
        assert_eq!(given.change.unwrap().role, "owner");
        assert_eq!(app.set_role(&id, "owner").await.unwrap().change, None, "it had it already");

        let operations = json!([
            { "op": "Replace", "path": format!("{URN}:role"), "value": "user" },
            { "op": "Replace", "path": "title", "value": "Chief" },
        ]);
        let patched = app.patch(&id, operations).await.unwrap();
        let stored = attributes(&patched.resource.unwrap());
        assert_eq!((&stored[URN]["role"], &stored["title"]), (&json!("owner"), &json!("Chief")));
        assert_eq!(patched.warnings.len(), 1, "{:?}", patched.warnings);
        let put = app.replace(&id, json!({ "userName": "anna", URN: { "role": "external" } })).await.unwrap();
        assert_eq!(attributes(&put.resource.unwrap())[URN]["role"], "owner");

        assert_eq!(app.set_role(&id, "external").await.unwrap().role, "external");
        let patched = app.patch(&id, replace("role", json!("Partner"))).await.unwrap();
        assert_eq!((attributes(&patched.resource.unwrap())[URN]["role"].clone(), patched.change), (json!("external"), None));
        assert_eq!(kind(app.set_role(&id, "king").await), ErrorKind::InvalidValue);
        assert_eq!(kind(app.other_tenant().set_role(&id, "owner").await), ErrorKind::NotFound);
        let without = app.other_tenant();
        let ben = without.user("ben").await;
        assert_eq!(kind(without.set_role(&ben, "owner").await), ErrorKind::InvalidValue);
    }

    async fn strict_dialects_refuse_the_request(db: Database) {
        let app = app(db).with_roles().await.dialect(Dialect::Rfc);
        let body = |extension: Value| json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", URN], "userName": "a", URN: extension });
        let refused = error(app.create(body(json!({ "teams": [{ "slug": "nobody" }] }))).await);
        assert_eq!((refused.kind, refused.attribute), (ErrorKind::InvalidValue, Some(format!("{URN}:teams"))));
        let refused = error(app.create(body(json!({ "role": "owner" }))).await);
        assert_eq!((refused.kind, refused.attribute), (ErrorKind::InvalidValue, Some(format!("{URN}:role"))));
        app.create(body(json!({ "role": "admin" }))).await.unwrap();
    }

    async fn renaming_and_deleting_a_team_reaches_everybody_in_it(db: Database) {
        let app = app(db).with_roles().await;
        let (sales, it) = (app.team("sales").await.unwrap(), app.team("it").await.unwrap());
        let mut users = Vec::new();
        // More than one transaction's worth.
        for n in 0..120 {
            let body = json!({ "userName": format!("u{n}"), URN: { "teams": ["sales", "it"] } });
            users.push(app.create(body).await.unwrap().resource.unwrap().id);
        }
        let apart = app.create(json!({ "userName": "apart", URN: { "teams": "it" } })).await.unwrap().resource.unwrap();

        app.rename("sales", "Vertrieb").await.unwrap();
        for user in &users {
            let shown = app.extension(user).await["teams"].clone();
            assert_eq!(shown, json!([{ "uuid": sales.id, "slug": "Vertrieb" }, { "uuid": it.id, "slug": "it" }]));
        }
        assert_eq!(app.list(crate::support::Asked { filter: &format!("{URN}:teams.slug eq \"vertrieb\""), ..Default::default() }).await.unwrap().total_results, 120);
        app.drop_team("vertrieb").await.unwrap();
        for user in &users {
            assert_eq!(app.extension(user).await["teams"], json!([{ "uuid": it.id, "slug": "it" }]));
        }
        assert_eq!(app.get(&users[0]).await.unwrap().version, 3, "a change of each, which followers see");
        assert_eq!(app.get(&apart.id).await.unwrap().version, 1);
    }

    async fn a_rename_beside_writers_leaves_no_old_slug(db: Database) {
        let app = app(db).with_roles().await;
        let team = app.team("team0").await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let (app, team) = (app.clone(), team.id.clone());
            writers.spawn(async move {
                for n in 0..15 {
                    let body = json!({ "userName": format!("{writer}-{n}"), URN: { "teams": [{ "uuid": team }] } });
                    app.create(body).await.unwrap();
                }
            });
        }
        for n in 1..8 {
            app.rename(&team.id, &format!("team{n}")).await.unwrap();
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        let last = app.list(crate::support::Asked { filter: &format!("{URN}:teams.slug eq \"team7\""), ..Default::default() }).await.unwrap();
        assert_eq!(last.total_results, 60);
    }

    async fn a_tenant_has_role_and_teams_once(db: Database) {
        let app = app(db).with_roles().await;
        let put = |urn: &str| pb::PutRoleAndTeamsRequest { tenant_id: app.tenant.to_string(), urn: urn.into(), ..Default::default() };
        let again = app.roles().put_role_and_teams(app.request(put(URN))).await.unwrap().into_inner();
        assert_eq!(again.extension.unwrap().version, 1, "nothing has changed");
        let own = "urn:acme:params:scim:schemas:2.0:User";
        let refused = app.roles().put_role_and_teams(app.request(put(own))).await.map(|_| ()).map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Conflict);

        let mut schemas = SchemasClient::new(app.transport.clone());
        let broken = json!({ "id": URN, "attributes": [{ "name": "role" }] });
        let message = pb::PutExtensionRequest {
            tenant_id: app.tenant.to_string(),
            document: broken.to_string().into(),
            ..Default::default()
        };
        let refused = schemas.put_extension(app.request(message.clone())).await.map(|_| ()).map_err(platform::Error::from);
        assert_eq!(error(refused).attribute.as_deref(), Some("teams"), "what the rules need stays");
        let unmarked = pb::PutExtensionRequest { role_and_teams: Some(false), ..message };
        let unmarked = schemas.put_extension(app.request(unmarked)).await.unwrap().into_inner().extension.unwrap();
        assert!(!unmarked.role_and_teams);
        app.roles().put_role_and_teams(app.request(put(own))).await.unwrap();
        let created = app.create(json!({ "userName": "a", URN: { "role": "king" } })).await.unwrap();
        let stored = attributes(&created.resource.unwrap());
        assert_eq!((&stored[URN]["role"], &stored[own]["role"]), (&json!("king"), &json!("user")));
    }

    async fn warnings_are_recorded_with_the_change(db: Database) {
        let app = app(db.clone()).with_roles().await;
        app.create(json!({ "userName": "a", URN: { "role": "king" } })).await.unwrap();
        let sql = "SELECT payload FROM change_log WHERE tenant_id = $1 AND kind = 'user.created'";
        let statement = Statement::from_sql_and_values(db.backend(), sql, [app.tenant.uuid().into()]);
        let row = db.read().query_one_raw(statement).await.unwrap().unwrap();
        let payload: Value = row.try_get("", "payload").unwrap();
        assert_eq!(payload["warnings"][0]["attribute"], format!("{URN}:role"));
        assert_eq!(payload["state"]["role"], "user");
    }

    async fn nothing_of_a_tenant_stays_behind(db: Database) {
        let app = app(db.clone()).with_roles().await;
        app.team("sales").await.unwrap();
        app.create(json!({ "userName": "a", URN: { "teams": "sales" } })).await.unwrap();
        app.purge().await;
        for table in ["teams", "user_teams"] {
            let sql = format!("SELECT COUNT(*) AS rows FROM {table} WHERE tenant_id = $1");
            let statement = Statement::from_sql_and_values(db.backend(), sql, [app.tenant.uuid().into()]);
            let rows: i64 = db.read().query_one_raw(statement).await.unwrap().unwrap().try_get("", "rows").unwrap();
            assert_eq!(rows, 0, "{table}");
        }
    }
}
