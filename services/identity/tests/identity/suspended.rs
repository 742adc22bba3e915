//! Users that are deleted and kept for a while.

use std::time::Duration;

use platform::Result;
use platform::clock::Clock;
use proto::identity::v1::lookup_user_request::User as By;
use proto::identity::v1::{ListSuspendedUsersRequest, ListSuspendedUsersResponse, PurgeSuspendedUserRequest};
use scim::ErrorKind;
use serde_json::json;

use crate::role_teams::URN;
use crate::support::{App, Asked, app, attributes, error, kind, replicas, service, transport};

const DAY: Duration = Duration::from_secs(24 * 3600);

impl App {
    async fn suspended_page(&self, page_size: i32, page_token: &str) -> Result<ListSuspendedUsersResponse> {
        let (tenant_id, page_token) = (self.tenant.to_string(), page_token.into());
        let message = ListSuspendedUsersRequest { tenant_id, page_size, page_token };
        Ok(self.suspended().list_suspended_users(self.request(message)).await?.into_inner())
    }

    async fn suspended_names(&self) -> Vec<String> {
        let page = self.suspended_page(0, "").await.unwrap();
        assert!(page.next_page_token.is_empty());
        page.users.into_iter().map(|user| user.user_name).collect()
    }

    async fn purge_suspended(&self, id: &str) {
        let (tenant_id, user_id) = (self.tenant.to_string(), id.into());
        let message = PurgeSuspendedUserRequest { tenant_id, user_id, request_id: "test".into() };
        self.suspended().purge_suspended_user(self.request(message)).await.unwrap();
    }
}

testkit::store_tests! {
    service: Identity;

    async fn a_suspended_user_is_gone_for_everybody_and_its_names_are_free(db: Database) {
        let app = app(db);
        let body = json!({ "userName": "Anna", "externalId": "E1", "emails": [{ "value": "a@x" }] });
        let id = app.create(body.clone()).await.unwrap().resource.unwrap().id;
        let suspended = app.suspend(&id, 30).await.unwrap();
        let change = suspended.change.unwrap();
        assert!(change.deleted && change.version == 2, "{change:?}");
        assert!(suspended.changes.iter().any(|it| it.path == "userName" && it.before == "\"Anna\"" && it.after.is_empty()));

        assert_eq!(kind(app.get(&id).await), ErrorKind::NotFound);
        assert_eq!(kind(app.suspend(&id, 30).await), ErrorKind::NotFound);
        assert_eq!(kind(app.replace(&id, body.clone()).await), ErrorKind::NotFound);
        assert_eq!(app.list(Asked::default()).await.unwrap().total_results, 0);
        assert_eq!(app.matching(r#"emails.value eq "a@x""#).await, [""; 0]);
        for by in [By::Id(id.clone()), By::ExternalId("E1".into()), By::UserName("anna".into())] {
            assert_eq!(kind(app.lookup(by).await), ErrorKind::NotFound);
        }
        let again = app.create(body).await.unwrap().resource.unwrap().id;
        assert_ne!(again, id);
        assert_eq!(app.suspended_names().await, ["Anna"]);
        assert_eq!(app.other_tenant().suspended_names().await, [""; 0]);
        // For good: not kept.
        app.delete(&again).await.unwrap();
        assert_eq!(app.suspended_names().await, ["Anna"]);
    }

    async fn a_restored_user_is_the_one_it_was(db: Database) {
        let app = app(db);
        let body = json!({ "userName": "Anna", "externalId": "E1", "active": false, "emails": [{ "value": "a@x" }] });
        let made = app.create(body).await.unwrap().resource.unwrap();
        app.suspend(&made.id, 30).await.unwrap();
        let restored = app.restore(&made.id).await.unwrap();
        let change = restored.change.unwrap();
        // Above the deletion's, which is what followers remember.
        assert_eq!((change.version, change.deleted, change.user_name.as_str()), (3, false, "Anna"));
        let user = restored.resource.unwrap();
        assert_eq!((&user.id, user.version, user.created_at_us), (&made.id, 3, made.created_at_us));
        assert_eq!(attributes(&user), attributes(&made));
        assert_eq!(app.get(&made.id).await.unwrap(), user);
        assert_eq!(app.matching(r#"emails.value eq "A@X""#).await, ["Anna"]);
        assert_eq!(app.suspended_names().await, [""; 0]);
        assert_eq!(kind(app.restore(&made.id).await), ErrorKind::NotFound);
        // And once more.
        app.suspend(&made.id, 1).await.unwrap();
        assert_eq!(app.restore(&made.id).await.unwrap().change.unwrap().version, 5);
    }

    async fn a_taken_name_is_in_the_way_of_restoring(db: Database) {
        let app = app(db);
        let id = app.user("anna").await;
        app.suspend(&id, 30).await.unwrap();
        let other = app.user("ANNA").await;
        let refused = error(app.restore(&id).await);
        assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::Uniqueness, Some("userName")));
        app.delete(&other).await.unwrap();
        app.restore(&id).await.unwrap();
    }

    async fn of_its_teams_those_that_are_left_come_back(db: Database) {
        let app = app(db).with_roles().await;
        for slug in ["sales", "ops", "lab"] {
            app.team(slug).await.unwrap();
        }
        let teams = json!([{ "slug": "sales" }, { "slug": "ops" }, { "slug": "lab" }]);
        let body = json!({ "userName": "anna", URN: { "role": "external", "teams": teams } });
        let id = app.create(body).await.unwrap().resource.unwrap().id;
        app.suspend(&id, 30).await.unwrap();
        app.drop_team("ops").await.unwrap();
        app.rename("lab", "Labor").await.unwrap();
        let change = app.restore(&id).await.unwrap().change.unwrap();
        assert_eq!((change.team_slugs, change.role.as_str()), (vec!["sales".to_owned(), "Labor".to_owned()], "external"));
        let extension = app.extension(&id).await;
        assert_eq!(extension["teams"].as_array().unwrap().len(), 2, "{extension}");
        // It is one of theirs again.
        app.drop_team("sales").await.unwrap();
        assert_eq!(app.extension(&id).await["teams"][0]["slug"], "Labor");
    }

    async fn the_list_is_latest_first_and_paged(db: Database) {
        let clock = Clock::manual(Clock::system().now());
        let app = App::of(transport(&service(db, clock.clone())));
        for n in 0..7 {
            let id = app.user(&format!("u{n}")).await;
            // Two at a time at one moment.
            if n % 2 == 0 {
                clock.advance(Duration::from_secs(1));
            }
            app.suspend(&id, 30).await.unwrap();
        }
        let mut names = Vec::new();
        let mut token = String::new();
        loop {
            let page = app.suspended_page(3, &token).await.unwrap();
            for user in &page.users {
                assert_eq!(user.purge_at_us - user.suspended_at_us, i64::try_from(30 * DAY.as_micros()).unwrap());
                names.push(user.user_name.clone());
            }
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(names.len(), 7);
        assert_eq!(names[0], "u6");
        let mut pairs = names[1..].to_vec();
        for pair in pairs.chunks_mut(2) {
            pair.sort();
        }
        assert_eq!(pairs, ["u4", "u5", "u2", "u3", "u0", "u1"]);
        assert_eq!(kind(app.suspended_page(3, "made-up").await), ErrorKind::InvalidCursor);
        let page = app.suspended_page(3, "").await.unwrap();
        assert_eq!(kind(app.other_tenant().suspended_page(3, &page.next_page_token).await), ErrorKind::InvalidCursor);
        assert_eq!(kind(app.suspended_page(-1, "").await), ErrorKind::InvalidValue);
    }

    async fn when_the_time_is_over_it_is_over(db: Database) {
        let clock = Clock::manual(Clock::system().now());
        let service = service(db, clock.clone());
        let app = App::of(transport(&service));
        for n in 0..4 {
            let id = app.user(&format!("u{n}")).await;
            app.suspend(&id, n + 1).await.unwrap();
        }
        let kept = app.suspended_page(0, "").await.unwrap().users;
        clock.advance(2 * DAY);
        // Before the purge comes round already.
        assert_eq!(app.suspended_names().await.len(), 2);
        let over = kept.iter().find(|user| user.user_name == "u1").unwrap();
        assert_eq!(kind(app.restore(&over.user_id).await), ErrorKind::NotFound);
        // Two replicas at once: what one purges the other does not.
        let (one, other) = tokio::join!(service.purge_expired(), service.purge_expired());
        let purged = one.unwrap() + other.unwrap();
        assert_eq!(purged + service.purge_expired().await.unwrap(), 2);
        assert_eq!(app.suspended_names().await.len(), 2);

        let early = kept.iter().find(|user| user.user_name == "u3").unwrap();
        app.purge_suspended(&early.user_id).await;
        app.purge_suspended(&early.user_id).await;
        app.purge_suspended("nobody").await;
        assert_eq!(app.suspended_names().await, ["u2"]);
        assert_eq!(kind(app.restore(&early.user_id).await), ErrorKind::NotFound);
    }

    /// Many at once: one restores, the others hear that there is none.
    async fn of_many_who_restore_one_does(fresh: &Fresh) {
        let apps = replicas(fresh).await;
        for round in 0..5 {
            let id = apps[0].user(&format!("u{round}")).await;
            apps[0].suspend(&id, 1).await.unwrap();
            let restores = (0..6).map(|n| apps[n % 2].restore(&id));
            let outcomes = futures::future::join_all(restores).await;
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
            for refused in outcomes.into_iter().filter(Result::is_err) {
                assert_eq!(kind(refused), ErrorKind::NotFound);
            }
            assert_eq!(apps[1].get(&id).await.unwrap().version, 3);
        }
    }

    async fn nobody_but_an_administrator_may(db: Database) {
        let app = app(db);
        let id = app.user("anna").await;
        let provisioning = app.with("scim directory:read memberships:read");
        // The tenant's setting, which the gateway passes on.
        provisioning.suspend(&id, 1).await.unwrap();
        assert_eq!(kind(provisioning.restore(&id).await), ErrorKind::Forbidden);
        assert_eq!(kind(provisioning.suspended_page(0, "").await), ErrorKind::Forbidden);
        for days in [-1, i32::MAX] {
            let other = app.user("other").await;
            let refused = error(app.suspend(&other, days).await);
            assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::InvalidValue, Some("keep_days")));
            app.delete(&other).await.unwrap();
        }
    }
}
