//! Following the log of changes.

use futures::{Stream, StreamExt};
use proto::identity::v1::{UserChange, WatchChangesRequest, WatchChangesResponse};
use scim::ErrorKind;
use serde_json::json;
use testkit::db::Database;

use crate::support::{App, app, kind, serve, token};

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
        let mut stream = watch(&app, "").await;
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
        let mut stream = watch(&app, "").await;
        let change = next(&mut stream).await.1;
        assert_eq!(change, created, "the log and the answer say the same");
        assert_eq!(change.tenant_id, app.tenant.to_string());
        assert_eq!(
            (change.user_name.as_str(), change.external_id.as_str(), change.display_name.as_str(), change.active),
            ("Anna", "E1", "A", false)
        );
    }

    async fn a_cursor_that_is_none_is_refused(db: Database) {
        let app = app(db);
        let message = WatchChangesRequest { after_cursor: "yesterday".into() };
        let internal = operator(&app);
        let refused = internal.changes().watch_changes(internal.request(message)).await.map(|_| ());
        assert_eq!(kind(refused.map_err(platform::Error::from)), ErrorKind::InvalidValue);
    }

    /// Writers and followers of two replicas, at once: each follower sees each change exactly once.
    async fn no_change_is_missed_or_doubled_under_load(fresh: &Fresh) {
        const WRITERS: usize = 8;
        const EACH: usize = 20;
        let first = app(fresh.database.clone());
        let mut second = first.clone();
        if matches!(fresh.config, testkit::db::Config::Postgres { .. }) {
            let database = Database::connect(&fresh.config).await.unwrap();
            second.transport = serve(database, platform::clock::Clock::system());
        }
        let apps = [first, second];

        let mut followers = Vec::new();
        for app in &apps {
            let mut stream = watch(app, "").await;
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

/// The platform's own token, which reads the log of all tenants.
fn operator(app: &App) -> App {
    App { token: token("*", "internal"), ..app.clone() }
}

async fn watch(
    app: &App,
    after: &str,
) -> impl Stream<Item = Result<WatchChangesResponse, tonic::Status>> + Unpin + use<> {
    let app = operator(app);
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
        let WatchChangesResponse { cursor, change } = answer.unwrap().unwrap();
        if let Some(change) = change {
            return (cursor, change);
        }
    }
}
