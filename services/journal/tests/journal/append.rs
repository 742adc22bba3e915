//! Writing.

use platform::clock::Clock;
use platform::ids::{UserId, new_uuid};
use proto::common::v1::{AttributeChange, Dialect, Warning};
use proto::journal::v1::{Exchange, ListExchangesRequest, Outcome};
use scim::ErrorKind;

use crate::support::{DAY, START, app, ids, rows};

fn user_id() -> String {
    UserId::new(&Clock::system()).to_string()
}

testkit::store_tests! {
    service: Journal;

    async fn all_of_it_is_there_again(db: Database) {
        let app = app(db);
        let whole = Exchange {
            id: new_uuid(&app.clock).to_string(),
            tenant_id: app.tenant.to_string(),
            at_us: START,
            request_id: "r-7".into(),
            actor_id: "c-1".into(),
            actor_label: "Entra".into(),
            action: "group.patch".into(),
            method: "PATCH".into(),
            target: "/Groups/1?attributes=id".into(),
            status: 204,
            outcome: Outcome::Warning.into(),
            error: "uniqueness".into(),
            // PostgreSQL would not take a NUL in text or jsonb.
            detail: "quotes \"\0\" and Müller".into(),
            dialect: Dialect::Entra.into(),
            resource_type: "Group".into(),
            resource_id: user_id(),
            resource_name: "Sales".into(),
            version: 7,
            warnings: vec![Warning { attribute: "members".into(), detail: "unknown".into() }],
            changes: vec![AttributeChange { path: "displayName".into(), before: "\"a\"".into(), after: "\"b\"".into() }],
            members_added: vec![user_id()],
            members_removed: vec![user_id(), user_id()],
            members_truncated: true,
            latency_us: 1234,
            expires_at_us: START + DAY,
            resource_external_id: "e-1".into(),
        };
        app.append(vec![whole.clone()]).await.unwrap();
        assert_eq!(app.find(app.question()).await, [whole]);
    }

    async fn twice_is_once(db: Database) {
        let app = app(db.clone());
        let batch: Vec<Exchange> = (0..3).map(|_| app.about(&user_id(), "anna")).collect();
        for _ in 0..2 {
            app.append(batch.clone()).await.unwrap();
        }
        // And with some that are new.
        let mut more = batch.clone();
        more.push(app.about(&user_id(), "anna"));
        app.append(more).await.unwrap();
        assert_eq!(app.find(app.question()).await.len(), 4);
        assert_eq!(rows(&db, app.tenant).await, [4, 4, 4]);
        app.append(Vec::new()).await.unwrap();
    }

    async fn forty_thousand_members_in_one(db: Database) {
        let app = app(db.clone());
        let added: Vec<String> = (0..20_000).map(|_| user_id()).collect();
        let removed: Vec<String> = (0..20_000).map(|_| user_id()).collect();
        let mut exchanges = Vec::new();
        for _ in 0..3 {
            exchanges.push(Exchange {
                resource_type: "Group".into(),
                resource_id: user_id(),
                members_added: added.clone(),
                members_removed: removed.clone(),
                ..app.exchange()
            });
        }
        for exchange in &exchanges {
            app.append(vec![exchange.clone()]).await.unwrap();
        }
        assert_eq!(rows(&db, app.tenant).await[..2], [3, 3 * 40_001]);
        for somebody in [&added[19_999], &removed[0]] {
            assert_eq!(app.about_user(somebody).await.len(), 3);
        }
        // Too much for one answer, so the pages are shorter than asked for, and none is missing.
        let page = app.page(ListExchangesRequest { page_size: 3, ..app.question() }).await.unwrap();
        assert!(page.exchanges.len() < 3 && !page.next_page_token.is_empty());
        assert_eq!(app.find(app.question()).await.len(), 3);
    }

    async fn what_is_no_exchange_is_refused_and_nothing_of_its_batch_is_written(db: Database) {
        let app = app(db);
        let good = app.exchange();
        for bad in [
            Exchange { id: "7".into(), ..good.clone() },
            Exchange { tenant_id: String::new(), ..good.clone() },
            Exchange { outcome: 0, ..good.clone() },
            Exchange { outcome: 77, ..good.clone() },
        ] {
            let error = app.append(vec![good.clone(), bad]).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidValue, "{error}");
        }
        let too_many = vec![good; 1001];
        assert_eq!(app.append(too_many).await.unwrap_err().kind, ErrorKind::InvalidValue);
        assert!(app.find(app.question()).await.is_empty());
    }

    async fn writers_at_once_lose_nothing(db: Database) {
        let app = app(db);
        let people: Vec<String> = (0..20).map(|_| user_id()).collect();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let (app, mut people) = (app.clone(), people.clone());
            // Each in another order: the same names are written by all.
            people.rotate_left(writer * 2);
            writers.spawn(async move {
                let mut written = Vec::new();
                for _ in 0..5 {
                    let batch: Vec<Exchange> = people.iter().map(|id| app.about(id, &format!("name of {id}"))).collect();
                    written.extend(batch.iter().map(|exchange| exchange.id.clone()));
                    app.append(batch).await.unwrap();
                }
                written
            });
        }
        let mut written: Vec<String> = writers.join_all().await.into_iter().flatten().collect();
        let found = app.find(app.question()).await;
        let mut found: Vec<&str> = ids(&found);
        found.sort_unstable();
        written.sort();
        assert_eq!(found, written);
    }
}
