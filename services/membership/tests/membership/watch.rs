//! Following a tenant.

use std::time::Duration;

use platform::Result;
use platform::clock::Timestamp;
use platform::db::retention::trim;
use proto::identity::v1::UserChange;
use proto::membership::v1::watch_response::Event;
use proto::membership::v1::{self as v1, WatchResponse};
use scim::ErrorKind;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use crate::support::{App, app, app_until, error, kind, sorted, user_id};

async fn watch(app: &App, after_cursor: &str) -> Result<Streaming<WatchResponse>> {
    let request = v1::WatchRequest { tenant_id: String::new(), after_cursor: after_cursor.into() };
    Ok(app.memberships().watch(app.request(request)).await?.into_inner())
}

/// The next step that is not a heartbeat.
async fn next(stream: &mut Streaming<WatchResponse>) -> Result<(String, Event)> {
    loop {
        let step = stream.message().await?.expect("a watch ends with an error");
        match step.event.unwrap() {
            Event::Heartbeat(_) => assert!(!step.cursor.is_empty()),
            event => return Ok((step.cursor, event)),
        }
    }
}

/// The snapshot, and the cursor behind it.
async fn snapshot(stream: &mut Streaming<WatchResponse>) -> (Vec<Event>, String) {
    let mut events = Vec::new();
    loop {
        match next(stream).await.unwrap() {
            (cursor, Event::SnapshotComplete(_)) => return (events, cursor),
            (cursor, event) => {
                assert_eq!(cursor, "", "a snapshot can only be taken as a whole");
                events.push(event);
            }
        }
    }
}

fn members(group: &str, ids: &[&str]) -> v1::WatchedMembers {
    v1::WatchedMembers { group_id: group.into(), member_ids: sorted(ids) }
}

fn group(id: &str, name: &str) -> Event {
    Event::Group(v1::WatchedGroup { id: id.into(), display_name: name.into(), external_id: String::new() })
}

testkit::store_tests! {
    service: Membership;

    async fn first_everything_then_every_change(db: Database) {
        let app = app(db.clone());
        let other = app.other_tenant();
        let theirs = other.group("Theirs").await;
        let users = app.users(2).await;
        let sales = app.group("Sales").await;
        app.add(&sales, &[&users[0]]).await;
        // What was written last is in the snapshot, or comes behind it.
        let mut stream = watch(&app, "").await.unwrap();
        let (events, start) = snapshot(&mut stream).await;
        assert!(events.contains(&group(&sales, "Sales")));
        assert!(events.contains(&Event::MembersAdded(members(&sales, &[&users[0]]))));
        assert_eq!(events.iter().filter(|event| matches!(event, Event::User(_))).count(), 2);
        assert_eq!(events.len(), 4, "and nothing of others: {events:?}");

        other.add(&theirs, &[&users[0]]).await;
        app.add(&sales, &[&users[1]]).await;
        app.remove(&sales, &[&users[0]]).await;
        app.patch(&sales, json!([{ "op": "replace", "path": "displayName", "value": "Support" }])).await.unwrap();
        app.apply(UserChange { version: 2, active: false, role: "admin".into(), ..app.change(&users[0]) }).await.unwrap();
        app.apply(UserChange { version: 3, deleted: true, ..app.change(&users[0]) }).await.unwrap();
        app.patch(&sales, json!([{ "op": "remove", "path": "members" }])).await.unwrap();
        app.delete(&sales).await.unwrap();
        let mut tail = Vec::new();
        while !matches!(tail.last(), Some((_, Event::DeletedGroupId(_)))) {
            tail.push(next(&mut stream).await.unwrap());
        }
        let wanted = |events: &[(String, Event)]| -> Vec<Event> {
            // On PostgreSQL the last of the snapshot comes once more; and what is gone by now is told as gone.
            let added = Event::MembersAdded(members(&sales, &[&users[1]]));
            let from = events.iter().position(|(_, event)| *event == added).unwrap();
            events[from..].iter().map(|(_, event)| event.clone()).filter(|event| !matches!(event, Event::Group(_) | Event::User(_))).collect()
        };
        let mut told = wanted(&tail);
        told.dedup();
        assert_eq!(told, [
            Event::MembersAdded(members(&sales, &[&users[1]])),
            Event::MembersRemoved(members(&sales, &[&users[0]])),
            Event::DeletedUserId(users[0].clone()),
            Event::EmptiedGroupId(sales.clone()),
            Event::DeletedGroupId(sales.clone()),
        ]);

        // From any cursor the rest is told again.
        let mut again = watch(&app, &start).await.unwrap();
        let mut rest = Vec::new();
        while !matches!(rest.last(), Some((_, Event::DeletedGroupId(_)))) {
            rest.push(next(&mut again).await.unwrap());
        }
        let mut told_again = wanted(&rest);
        told_again.dedup();
        assert_eq!(told_again, told);
        for (at, (cursor, _)) in rest.iter().enumerate().take(rest.len() - 1) {
            let mut stream = watch(&app, cursor).await.unwrap();
            assert_eq!(next(&mut stream).await.unwrap(), rest[at + 1]);
        }
        // Nothing is missing: what comes next is what is written next.
        let last = app.group("Next").await;
        assert_eq!(next(&mut again).await.unwrap().1, group(&last, "Next"));
    }

    async fn a_cursor_that_is_no_longer_kept_is_refused(db: Database) {
        let app = app(db.clone());
        let mut stream = watch(&app, "").await.unwrap();
        let (_, start) = snapshot(&mut stream).await;
        app.group("One").await;
        let (one, _) = next(&mut stream).await.unwrap();
        drop(stream);
        app.group("Two").await;
        let future = Timestamp::from_micros(i64::MAX);
        while trim(&db, future).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        while kind_now(&app, &one).await.is_none() {
            trim(&db, future).await.unwrap();
            tokio::task::yield_now().await;
        }
        for cursor in [start, one] {
            let refused = error(watch(&app, &cursor).await);
            assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::ExpiredCursor, Some("after_cursor")));
        }
        assert_eq!(kind(watch(&app, "yesterday").await), ErrorKind::InvalidCursor);
        // Everything that there is can still be had.
        let (events, cursor) = snapshot(&mut watch(&app, "").await.unwrap()).await;
        assert_eq!(events.len(), 2);
        let three = app.group("Three").await;
        assert_eq!(next(&mut watch(&app, &cursor).await.unwrap()).await.unwrap().1, group(&three, "Three"));
    }

    async fn a_watch_ends_with_the_service_and_with_its_tenant(db: Database) {
        let stop = CancellationToken::new();
        let app = app_until(db.clone(), stop.clone());
        let gone = app.other_tenant();
        gone.group("Sales").await;
        let mut streams = Vec::new();
        for watcher in [&app, &gone] {
            let mut stream = watch(watcher, "").await.unwrap();
            snapshot(&mut stream).await;
            streams.push(stream);
        }
        let purge = v1::PurgeTenantRequest { tenant_id: gone.tenant.to_string() };
        gone.tenant_data().purge_tenant(gone.request(purge)).await.unwrap();
        let ended = loop {
            if let Err(error) = next(&mut streams[1]).await {
                break error;
            }
        };
        assert_eq!(ended.kind, ErrorKind::Unauthenticated);
        stop.cancel();
        assert_eq!(kind(next(&mut streams[0]).await), ErrorKind::Unavailable);
    }

    async fn one_tenant_has_so_many_watches_and_a_slow_one_does_not_hurt(db: Database) {
        let app = app(db.clone());
        app.users(300).await;
        // Nobody takes what they are sent.
        let mut streams = Vec::new();
        for _ in 0..20 {
            streams.push(watch(&app, "").await.unwrap());
        }
        assert_eq!(kind(watch(&app, "").await), ErrorKind::RateLimited);
        let other = app.other_tenant();
        let (events, _) = snapshot(&mut watch(&other, "").await.unwrap()).await;
        assert!(events.is_empty());
        let last = app.group("Late").await;
        // Whoever hangs up makes room.
        streams.truncate(1);
        let mut stream = loop {
            match watch(&app, "").await {
                Ok(stream) => break stream,
                Err(error) => assert_eq!(error.kind, ErrorKind::RateLimited),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(snapshot(&mut stream).await.0.contains(&group(&last, "Late")));
        let (events, _) = snapshot(&mut streams[0]).await;
        assert_eq!(events.iter().filter(|event| matches!(event, Event::User(_))).count(), 300);
    }

    /// A user that was deleted and is restored is in no group, also for those who follow.
    async fn who_comes_back_comes_back_alone(db: Database) {
        let app = app(db.clone());
        let (sales, id) = (app.group("Sales").await, user_id());
        app.apply(app.change(&id)).await.unwrap();
        app.add(&sales, &[&id]).await;
        app.apply(UserChange { version: 2, deleted: true, ..app.change(&id) }).await.unwrap();
        // As a race leaves it behind.
        let sql = "INSERT INTO group_members (tenant_id, group_id, member_id, member_type, added_at) VALUES ($1, $2, $3, 1, 0)";
        let ids = [sales.parse::<uuid::Uuid>().unwrap(), id.parse().unwrap()];
        let values = [app.tenant.uuid().into(), ids[0].into(), ids[1].into()];
        use sea_orm::ConnectionTrait;
        db.read().execute_raw(sea_orm::Statement::from_sql_and_values(db.backend(), sql, values)).await.unwrap();
        let mut stream = watch(&app, "").await.unwrap();
        snapshot(&mut stream).await;
        app.apply(UserChange { version: 3, ..app.change(&id) }).await.unwrap();
        // On PostgreSQL the first cursor may lie before the deletion, while another test's transaction is open: then the deletion is
        // told first, with the user that is back by then, and what the return did comes behind it.
        let removed = Event::MembersRemoved(members(&sales, &[&id]));
        let mut told: Vec<Event> = Vec::new();
        while !(told.contains(&removed) && matches!(told.last(), Some(Event::User(_)))) {
            let event = tokio::time::timeout(Duration::from_secs(60), next(&mut stream)).await;
            told.push(event.unwrap_or_else(|_| panic!("no more than {told:?}")).unwrap().1);
        }
        assert!(!app.is_in(&id, &sales).await);
    }
}

/// The kind of refusal, if it is one.
async fn kind_now(app: &App, cursor: &str) -> Option<ErrorKind> {
    watch(app, cursor).await.err().map(|error| error.kind)
}
