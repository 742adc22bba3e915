//! Following the log of changes.

use std::collections::BTreeMap;

use futures::{Stream, StreamExt};
use platform::clock::Timestamp;
use platform::db::retention;
use proto::identity::v1::{UserChange, WatchChangesRequest, WatchChangesResponse};
use scim::ErrorKind;
use serde_json::json;
use testkit::db::Database;

use crate::role_teams::URN;
use crate::support::{App, app, kind, replicas};

/// The place before the first row of the log.
pub const BEGINNING: &str = "0.0";

testkit::store_tests! {
    service: Identity;

    async fn a_follower_sees_every_change_once_and_resumes_behind_any(db: Database) {
        let app = app(db);
        let id = app.user("anna").await;
        app.patch(&id, json!([{ "op": "replace", "path": "active", "value": false }])).await.unwrap();
        app.patch(&id, json!([{ "op": "replace", "path": "active", "value": false }])).await.unwrap();
        let bert = app.other_tenant().user("bert").await;
        app.delete(&id).await.unwrap();

        let expected = [(id.clone(), 1, false), (id.clone(), 2, false), (bert, 1, false), (id, 3, true)];
        let mut stream = watch(&app, BEGINNING).await;
        let mut seen = Vec::new();
        for expected in &expected {
            let (cursor, change) = next(&mut stream).await;
            assert_eq!((change.user_id.clone(), change.version, change.deleted), *expected);
            seen.push(cursor);
        }
        // What happens from now on comes too.
        let late = app.user("late").await;
        assert_eq!(next(&mut stream).await.1.user_id, late);
        drop(stream);

        for (at, cursor) in seen.iter().enumerate() {
            let mut stream = watch(&app, cursor).await;
            for expected in &expected[at + 1..] {
                let change = next(&mut stream).await.1;
                assert_eq!((change.user_id.clone(), change.version, change.deleted), *expected);
            }
            assert_eq!(next(&mut stream).await.1.user_id, late);
        }
    }

    async fn a_change_says_what_followers_need(db: Database) {
        let app = app(db);
        let body = json!({ "userName": "Anna", "externalId": "E1", "displayName": "A", "active": false });
        let created = app.create(body).await.unwrap().change.unwrap();
        let mut stream = watch(&app, BEGINNING).await;
        let change = next(&mut stream).await.1;
        assert_eq!(change, created, "the log and the answer say the same");
        assert_eq!(change.tenant_id, app.tenant.to_string());
        assert_eq!(
            (change.user_name.as_str(), change.external_id.as_str(), change.display_name.as_str(), change.active),
            ("Anna", "E1", "A", false)
        );
    }

    /// Users of several tenants, more than a page, while they change.
    async fn without_a_cursor_a_follower_is_told_everybody_and_then_what_happens(fresh: &Fresh) {
        let [app, replica] = replicas(fresh).await;
        let app = app.with_roles().await;
        let team = app.team("sales").await.unwrap();
        let mut expected = BTreeMap::new();
        for n in 0..130 {
            let app = if n % 2 == 0 { app.clone() } else { app.other_tenant() };
            expected.insert(app.user(&format!("u{n}")).await, 1);
        }
        let body = json!({ "userName": "anna", URN: { "role": "admin", "teams": [{ "slug": "sales" }] } });
        let anna = app.create(body).await.unwrap().resource.unwrap().id;
        let gone = app.user("gone").await;
        app.delete(&gone).await.unwrap();

        let mut stream = watch(&replica, "").await;
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!(first, WatchChangesResponse { is_reset: true, ..Default::default() });
        // While it is under way: one of the first and one of the last.
        app.rename("sales", "Vertrieb").await.unwrap();
        expected.insert(anna.clone(), 2);
        let mut seen: BTreeMap<String, UserChange> = BTreeMap::new();
        let mut complete = String::new();
        while seen.len() < expected.len() || seen[&anna].version < 2 {
            let answer = stream.next().await.unwrap().unwrap();
            assert!(!answer.is_reset);
            assert!(complete.is_empty() || !answer.cursor.is_empty(), "a cursor from the end of the snapshot on");
            complete = answer.cursor;
            let Some(change) = answer.change else { continue };
            assert!(change.user_id != gone || change.deleted, "{change:?}");
            seen.insert(change.user_id.clone(), change);
        }
        let versions: BTreeMap<_, _> = seen.iter().map(|(id, change)| (id.clone(), change.version)).collect();
        assert_eq!(versions, expected);
        let anna = &seen[&anna];
        assert_eq!((anna.role.as_str(), &anna.team_ids, &anna.team_slugs), ("admin", &vec![team.id], &vec!["Vertrieb".to_owned()]));
    }

    async fn a_follower_that_was_away_too_long_begins_anew(db: Database) {
        let app = app(db.clone());
        let anna = app.user("anna").await;
        let bert = app.user("bert").await;
        let mut stream = watch(&app, BEGINNING).await;
        let (cursor, _) = next(&mut stream).await;
        next(&mut stream).await;
        app.delete(&anna).await.unwrap();
        empty_log(&db, 3).await;

        let mut stream = watch(&app, &cursor).await;
        assert!(stream.next().await.unwrap().unwrap().is_reset);
        assert_eq!(next(&mut stream).await.1.user_id, bert);
        let complete = stream.next().await.unwrap().unwrap();
        assert!(complete.change.is_none() && !complete.cursor.is_empty(), "{complete:?}");
        // From there on the log has everything, though it is empty.
        let late = app.user("late").await;
        let mut again = watch(&app, &complete.cursor).await;
        assert_eq!(next(&mut again).await.1.user_id, late);
    }

    /// What compaction leaves is enough: the end of each user's story.
    async fn superseded_states_may_go(db: Database) {
        let app = app(db.clone());
        let anna = app.user("anna").await;
        let bert = app.user("bert").await;
        app.patch(&bert, json!([{ "op": "replace", "path": "title", "value": "t" }])).await.unwrap();
        app.delete(&anna).await.unwrap();
        let end = Timestamp::from_micros(i64::MAX);
        let kinds = ["user.created", "user.updated", "user.deleted", "user.restored"];
        // On PostgreSQL what others of the cluster have open holds it back.
        let mut removed = 0;
        while removed < 2 {
            removed += retention::compact(&db, end, &kinds).await.unwrap();
        }
        let mut stream = watch(&app, BEGINNING).await;
        for expected in [(bert, 2, false), (anna, 2, true)] {
            let change = next(&mut stream).await.1;
            assert_eq!((change.user_id, change.version, change.deleted), expected);
        }
    }

    async fn a_cursor_that_is_none_is_refused(db: Database) {
        let app = app(db);
        let message = WatchChangesRequest { after_cursor: "yesterday".into() };
        let internal = app.platform("internal");
        let refused = internal.changes().watch_changes(internal.request(message)).await.map(|_| ());
        assert_eq!(kind(refused.map_err(platform::Error::from)), ErrorKind::InvalidValue);
    }

    /// Writers and followers of two replicas, at once: each follower sees each change exactly once.
    async fn no_change_is_missed_or_doubled_under_load(fresh: &Fresh) {
        const WRITERS: usize = 8;
        const EACH: usize = 20;
        let apps = replicas(fresh).await;

        let mut followers = Vec::new();
        for app in &apps {
            let mut stream = watch(app, BEGINNING).await;
            followers.push(tokio::spawn(async move {
                let mut seen = Vec::new();
                while seen.len() < WRITERS * EACH {
                    let change = next(&mut stream).await.1;
                    seen.push((change.user_id, change.version));
                }
                seen
            }));
        }
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let app = apps[writer % 2].clone();
            writers.push(tokio::spawn(async move {
                let mut made = Vec::new();
                for n in 0..EACH / 2 {
                    let id = app.user(&format!("u{writer}-{n}")).await;
                    let title = json!([{ "op": "replace", "path": "title", "value": "t" }]);
                    app.patch(&id, title).await.unwrap();
                    made.extend([(id.clone(), 1), (id, 2)]);
                }
                made
            }));
        }
        let mut made = Vec::new();
        for writer in writers {
            made.extend(writer.await.unwrap());
        }
        made.sort();
        for follower in followers {
            let in_order = follower.await.unwrap();
            let mut seen = in_order.clone();
            seen.sort();
            assert_eq!(seen, made);
            for (id, _) in &made {
                let of_user: Vec<i64> = in_order.iter().filter(|(user, _)| user == id).map(|seen| seen.1).collect();
                assert_eq!(of_user, [1, 2]);
            }
        }
    }
}

async fn watch(
    app: &App,
    after: &str,
) -> impl Stream<Item = Result<WatchChangesResponse, tonic::Status>> + Unpin + use<> {
    let app = app.platform("internal");
    let message = WatchChangesRequest { after_cursor: after.into() };
    app.changes().watch_changes(app.request(message)).await.unwrap().into_inner()
}

/// The next change and its cursor.
async fn next(
    stream: &mut (impl Stream<Item = Result<WatchChangesResponse, tonic::Status>> + Unpin),
) -> (String, UserChange) {
    loop {
        let patience = std::time::Duration::from_secs(20);
        let answer = tokio::time::timeout(patience, stream.next()).await.expect("a change within 20 s");
        let WatchChangesResponse { cursor, change, is_reset: _ } = answer.unwrap().unwrap();
        if let Some(change) = change {
            return (cursor, change);
        }
    }
}

/// Removes everything from the log, which is so many rows. On PostgreSQL what others of the cluster have open holds it back.
pub async fn empty_log(db: &Database, rows: u64) {
    let mut removed = 0;
    while removed < rows {
        removed += retention::trim(db, Timestamp::from_micros(i64::MAX)).await.unwrap();
    }
}
