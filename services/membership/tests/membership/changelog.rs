//! What the change log says: every effective change, and nothing else.

use platform::db::Database;
use platform::db::changelog::{self, Position, Record};
use proto::identity::v1::UserChange;
use serde_json::json;

use crate::support::{app, sorted, values};

/// The log up to a revision. Transactions of other tests may hold it back for a moment.
async fn log(db: &Database, until: &str) -> Vec<Record> {
    let until: Position = until.parse().unwrap();
    loop {
        let records = changelog::read_after(db.read(), Position::default(), 10_000).await.unwrap();
        if records.last().is_some_and(|last| last.position >= until) {
            assert_eq!(
                records.last().unwrap().position,
                until,
                "the revision is that of the write's last row"
            );
            return records;
        }
        tokio::task::yield_now().await;
    }
}

testkit::store_tests! {
    service: Membership;

    async fn every_effective_change_is_in_the_log_once(db: Database) {
        let app = app(db.clone());
        let users = app.users(2).await;
        let group = app.group("Sales").await;
        let skip = log(&db, &app.patch(&group, json!([{ "op": "replace", "path": "displayName", "value": "S" }])).await.unwrap().revision).await.len();

        app.add(&group, &[&users[0], &users[1]]).await;
        app.add(&group, &[&users[0]]).await;
        app.remove(&group, &[&users[1]]).await;
        app.remove(&group, &[&users[1]]).await;
        let operations = json!([
            { "op": "replace", "path": "displayName", "value": "T" },
            { "op": "replace", "path": "members", "value": values(&[&users[1]]) },
        ]);
        app.patch(&group, operations).await.unwrap();
        app.replace(&group, json!({ "displayName": "T" })).await.unwrap();
        app.apply(UserChange { version: 2, deleted: true, ..app.change(&users[0]) }).await.unwrap();
        let last = app.delete(&group).await.unwrap().revision;

        let found: Vec<_> = log(&db, &last).await.split_off(skip).into_iter().map(|record| {
            assert_eq!(record.tenant, app.tenant);
            let expected = if record.kind == "user.projected" { &users[0] } else { &group };
            assert_eq!(record.resource.to_string(), *expected);
            let mut payload = record.payload;
            let request = payload.as_object_mut().unwrap().remove("request_id");
            assert_eq!(request.is_some(), record.kind != "user.projected");
            (record.kind, record.version, payload)
        }).collect();
        let expected = [
            ("members.added", 3, json!({ "ids": sorted(&[&users[0], &users[1]]) })),
            ("members.removed", 4, json!({ "ids": [users[1]] })),
            ("group.updated", 5, json!({})),
            ("members.removed", 5, json!({ "ids": [users[0]] })),
            ("members.added", 5, json!({ "ids": [users[1]] })),
            ("members.removed", 6, json!({ "all": true, "count": 1 })),
            ("user.projected", 2, json!({ "deleted": true, "active": false })),
            ("group.deleted", 7, json!({})),
        ];
        let expected: Vec<_> = expected.into_iter().map(|(kind, version, payload)| (kind.to_owned(), version, payload)).collect();
        assert_eq!(found, expected);
    }

    async fn the_log_of_a_large_change_comes_in_bounded_rows(db: Database) {
        let app = app(db.clone());
        let users = app.users(1100).await;
        let group = app.group("Large").await;
        let ids: Vec<&str> = users.iter().map(String::as_str).collect();
        let added = app.add(&group, &ids).await;
        let mut named = Vec::new();
        for record in log(&db, &added.revision).await {
            if record.kind == "members.added" {
                let ids = record.payload["ids"].as_array().unwrap();
                assert!(ids.len() <= 1000);
                named.extend(ids.iter().map(|id| id.as_str().unwrap().to_owned()));
            }
        }
        assert_eq!(named, sorted(&ids));
    }
}
