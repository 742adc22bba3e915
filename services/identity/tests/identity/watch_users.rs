//! Following the users of a tenant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use platform::clock::Clock;
use platform::db::changelog::Position;
use proto::identity::v1::watch_users_response::Event;
use proto::identity::v1::{User, WatchUsersRequest, WatchUsersResponse};
use serde_json::json;
use tokio::sync::watch::{Receiver, channel};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use crate::random::Random;
use crate::role_teams::URN;
use crate::support::{App, app, replicas, service, transport};
use crate::watch::{BEGINNING, empty_log};

/// What a follower knows: users by id.
type Directory = BTreeMap<String, User>;

impl App {
    async fn watch(&self, after: &str) -> Result<Streaming<WatchUsersResponse>, Status> {
        let (tenant_id, after_cursor) = (self.tenant.to_string(), after.into());
        let request = self.request(WatchUsersRequest { tenant_id, after_cursor });
        Ok(self.directory().watch_users(request).await?.into_inner())
    }
}

async fn next(stream: &mut Streaming<WatchUsersResponse>) -> Result<(String, Event), Status> {
    let patience = std::time::Duration::from_secs(30);
    let answer = tokio::time::timeout(patience, stream.next()).await.expect("a step within 30 s");
    let WatchUsersResponse { cursor, event } = answer.expect("the stream goes on")?;
    Ok((cursor, event.unwrap()))
}

/// One step as text.
fn told(event: &Event) -> String {
    match event {
        Event::User(user) => format!("{} {}", user.user_name, user.version),
        Event::DeletedUserId(_) => "deleted".to_owned(),
        Event::SnapshotComplete(_) => "complete".to_owned(),
        Event::Heartbeat(_) => "heartbeat".to_owned(),
    }
}

testkit::store_tests! {
    service: Identity;

    async fn first_everybody_then_what_happens(fresh: &Fresh) {
        let [app, replica] = replicas(fresh).await;
        let stranger = app.other_tenant();
        stranger.user("stranger").await;
        let body = json!({ "userName": "u0", "externalId": "E", "displayName": "D", "active": false, "emails": [{ "value": "a@x" }] });
        let first = app.create(body).await.unwrap().resource.unwrap().id;
        let mut expected = vec!["u0 1".to_owned()];
        for n in 1..120 {
            app.user(&format!("u{n}")).await;
            expected.push(format!("u{n} 1"));
        }
        let mut stream = replica.with("directory:read").watch("").await.unwrap();
        let (cursor, step) = next(&mut stream).await.unwrap();
        assert!(cursor.is_empty());
        let as_it_is = User {
            id: first.clone(),
            external_id: "E".into(),
            user_name: "u0".into(),
            display_name: "D".into(),
            active: false,
            version: 1,
            email: "a@x".into(),
        };
        assert_eq!(step, Event::User(as_it_is.clone()));
        for expected in &expected[1..] {
            let (cursor, step) = next(&mut stream).await.unwrap();
            assert_eq!((cursor.as_str(), &told(&step)), ("", expected));
        }
        // On PostgreSQL the log may still hold back users that the snapshot told already: they come again.
        let mut seen = Vec::new();
        let patch = json!([{ "op": "replace", "path": "active", "value": true }]);
        app.patch(&first, patch).await.unwrap();
        stranger.user("another").await;
        app.suspend(&first, 3).await.unwrap();
        app.restore(&first).await.unwrap();
        app.delete(&first).await.unwrap();
        while seen.iter().filter(|(_, step)| matches!(step, Event::DeletedUserId(_))).count() < 2 {
            seen.push(next(&mut stream).await.unwrap());
        }
        assert_eq!(told(&seen[0].1), "complete");
        let behind = seen.iter().position(|(_, step)| told(step) == "u0 2").unwrap();
        assert!(seen[1..behind].iter().all(|(_, step)| told(step).ends_with(" 1")), "{seen:?}");
        let steps: Vec<_> = seen[behind..].iter().map(|(_, step)| told(step)).collect();
        assert_eq!(steps, ["u0 2", "deleted", "u0 4", "deleted"]);
        assert_eq!(seen[behind].1, Event::User(User { active: true, version: 2, ..as_it_is }));
        assert_eq!(seen[behind + 1].1, Event::DeletedUserId(first));

        // It can be resumed behind each.
        for at in behind..seen.len() - 1 {
            let mut stream = app.watch(&seen[at].0).await.unwrap();
            for expected in &seen[at + 1..] {
                assert_eq!(&next(&mut stream).await.unwrap(), expected);
            }
        }
    }

    async fn a_cursor_that_is_not_kept_is_out_of_range(db: Database) {
        let app = app(db.clone());
        let mut stream = app.watch("").await.unwrap();
        let (cursor, _) = next(&mut stream).await.unwrap();
        app.user("anna").await;
        next(&mut stream).await.unwrap();
        empty_log(&db, 1).await;
        for cursor in [cursor.as_str(), BEGINNING] {
            let refused = app.watch(cursor).await.map(|_| ()).unwrap_err();
            assert_eq!(refused.code(), Code::OutOfRange);
        }
        // Who is there already has missed nothing.
        app.user("bert").await;
        assert_eq!(told(&next(&mut stream).await.unwrap().1), "bert 1");
        let refused = app.watch("yesterday").await.map(|_| ()).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let refused = app.with("memberships:read").watch("").await.map(|_| ()).unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }

    /// What others do moves the cursor too, so that it stays within what the log keeps.
    async fn a_heartbeat_moves_the_cursor(db: Database) {
        let app = app(db.clone());
        app.user("anna").await;
        let mut stream = app.watch(BEGINNING).await.unwrap();
        let (cursor, _) = next(&mut stream).await.unwrap();
        let revision = app.other_tenant().create(json!({ "userName": "stranger" })).await.unwrap().revision;
        let mut beat = cursor.clone();
        while beat.parse::<Position>().unwrap() < revision.parse().unwrap() {
            let (cursor, step) = next(&mut stream).await.unwrap();
            assert_eq!(told(&step), "heartbeat");
            beat = cursor;
        }
        empty_log(&db, 2).await;
        app.user("bert").await;
        let mut stream = app.watch(&beat).await.unwrap();
        assert_eq!(told(&next(&mut stream).await.unwrap().1), "bert 1");
    }

    async fn a_tenant_has_so_many_streams_and_no_more(db: Database) {
        let app = app(db);
        let mut streams = Vec::new();
        for _ in 0..32 {
            streams.push(app.watch("").await.unwrap());
        }
        let refused = app.watch("").await.map(|_| ()).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let _other = app.other_tenant().watch("").await.unwrap();
        streams.pop();
        // The place is free when the service has noticed.
        let again = async {
            while app.watch("").await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), again).await.unwrap();
    }

    async fn streams_end_when_the_service_stops(db: Database) {
        let stop = CancellationToken::new();
        let app = App::of(transport(&service(db, Clock::system()).ending_with(stop.clone())));
        let mut reading = app.watch("").await.unwrap();
        assert_eq!(told(&next(&mut reading).await.unwrap().1), "complete");
        stop.cancel();
        assert_eq!(next(&mut reading).await.unwrap_err().code(), Code::Unavailable);
    }

    /// A stream must not outlive what allowed it for long: whoever opens the next one needs a token that is good by then.
    async fn a_stream_ends_when_its_token_expires(db: Database) {
        let clock = Clock::manual(Clock::system().now());
        let app = App::of(transport(&service(db, clock.clone())));
        app.user("anna").await;
        let mut stream = app.watch("").await.unwrap();
        let mut complete = String::new();
        while complete.is_empty() {
            complete = next(&mut stream).await.unwrap().0;
        }
        clock.advance(std::time::Duration::from_secs(301));
        let ended = loop {
            if let Err(status) = next(&mut stream).await {
                break status;
            }
        };
        assert_eq!(ended.code(), Code::Unavailable);
    }

    /// Also while a team that they are all in is renamed: a change of many users at once.
    async fn the_changes_of_each_user_come_in_their_order(fresh: &Fresh) {
        let [app, replica] = replicas(fresh).await;
        let app = app.with_roles().await;
        app.team("a").await.unwrap();
        let mut ids = Vec::new();
        for n in 0..40 {
            let body = json!({ "userName": format!("u{n}"), URN: { "teams": [{ "slug": "a" }] } });
            ids.push(app.create(body).await.unwrap().resource.unwrap().id);
        }
        let patches = async |app: &App, from: usize| {
            for round in 0..4 {
                for id in ids.iter().skip(from).step_by(3) {
                    let set = json!([{ "op": "replace", "path": "title", "value": format!("{from} {round}") }]);
                    app.patch(id, set).await.unwrap();
                }
            }
        };
        let renames = async {
            for (from, to) in [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")] {
                app.rename(from, to).await.unwrap();
            }
        };
        tokio::join!(patches(&app, 0), patches(&replica, 1), patches(&app, 2), renames);
        let last = app.user("last").await;
        let mut stream = replica.watch(BEGINNING).await.unwrap();
        let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        while !versions.contains_key(&last) {
            if let (_, Event::User(user)) = next(&mut stream).await.unwrap() {
                versions.entry(user.id).or_default().push(user.version);
            }
        }
        for (user, versions) in versions {
            let in_order: Vec<i64> = (1..).take(versions.len()).collect();
            assert_eq!(versions, in_order, "{user}");
        }
    }

    /// Followers that come early and late, hang up and come back, rebuild the directory that there is in the end.
    async fn what_followers_rebuild_is_the_directory(fresh: &Fresh) {
        const WRITERS: usize = 5;
        const EACH: usize = 40;
        let seed = Random::new().seed;
        println!("ROLLCALL_TEST_SEED={seed}");
        let [first, second] = replicas(fresh).await;
        let apps = [first.with_roles().await, second];
        for slug in ["a", "b"] {
            apps[0].team(slug).await.unwrap();
        }
        let (publish, end) = channel(None);
        let known = Arc::new(Mutex::new(Vec::new()));
        let mut followers = Vec::new();
        let mut follow = |n: usize| {
            let random = Random::seeded(seed.wrapping_add(100 + n as u64));
            followers.push(tokio::spawn(rebuild(apps[n % 2].clone(), end.clone(), random)));
        };
        follow(0);
        follow(1);
        let mut writers = Vec::new();
        for n in 0..WRITERS {
            let random = Random::seeded(seed.wrapping_add(n as u64));
            writers.push(tokio::spawn(write(apps[n % 2].clone(), known.clone(), random, n, EACH)));
        }
        let renaming = apps[0].clone();
        writers.push(tokio::spawn(async move {
            for n in 0..6 {
                let (from, to) = if n % 2 == 0 { ("a", "c") } else { ("c", "a") };
                renaming.rename(from, to).await.unwrap();
            }
        }));
        for (n, writer) in writers.into_iter().enumerate() {
            if n < 2 {
                follow(2 + n);
            }
            writer.await.unwrap();
        }
        let last = apps[0].create(json!({ "userName": "last" })).await.unwrap().revision;
        publish.send(Some(last.parse::<Position>().unwrap())).unwrap();
        // Wakes those who had seen everything before they knew that it was.
        let poke = apps[0].user("poke").await;

        let mut expected = BTreeMap::new();
        for (kind, json) in apps[1].export().await.unwrap() {
            if kind == "user" {
                let resource = &json["resource"];
                let text = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
                let id = json["id"].as_str().unwrap().to_owned();
                let active = resource["active"].as_bool().unwrap();
                expected.insert(id, (json["version"].as_i64().unwrap(), text("userName"), text("displayName"), active));
            }
        }
        expected.remove(&poke);
        for follower in followers {
            let mut rebuilt = BTreeMap::new();
            for (id, user) in follower.await.unwrap() {
                rebuilt.insert(id, (user.version, user.user_name, user.display_name, user.active));
            }
            rebuilt.remove(&poke);
            assert_eq!(rebuilt, expected, "ROLLCALL_TEST_SEED={seed}");
        }
    }
}

/// Random changes of whatever users there are.
async fn write(app: App, known: Arc<Mutex<Vec<String>>>, mut random: Random, writer: usize, changes: usize) {
    for n in 0..changes {
        let some = {
            let known = known.lock().unwrap();
            if known.is_empty() { None } else { Some(random.pick(&known).clone()) }
        };
        let Some(id) = some.filter(|_| random.chance(75)) else {
            let teams =
                if random.chance(60) { json!([{ "slug": random.pick(&["a", "b"]) }]) } else { json!([]) };
            let body = json!({ "userName": format!("u{writer} {n}"), URN: { "teams": teams } });
            let made = app.create(body).await.unwrap().resource.unwrap().id;
            known.lock().unwrap().push(made);
            continue;
        };
        // Others may have deleted it.
        match random.below(6) {
            0 => drop(app.delete(&id).await),
            1 => drop(app.suspend(&id, 1).await),
            2 => drop(app.restore(&id).await),
            3 => {
                let body = json!({ "userName": format!("u{writer} {n}"), "displayName": format!("{n}") });
                drop(app.replace(&id, body).await);
            }
            _ => {
                let (name, value) =
                    *random.pick(&[("active", "False"), ("active", "True"), ("displayName", "D")]);
                let patch = json!([{ "op": "replace", "path": name, "value": value }]);
                drop(app.patch(&id, patch).await);
            }
        }
    }
}

/// The directory as a follower has it once it is behind `end`, who hangs up now and then.
async fn rebuild(app: App, mut end: Receiver<Option<Position>>, mut random: Random) -> Directory {
    let mut users = Directory::new();
    let mut cursor = String::new();
    loop {
        let mut stream = app.watch(&cursor).await.unwrap();
        if cursor.is_empty() {
            users.clear();
        }
        loop {
            let (behind, event) = next(&mut stream).await.unwrap();
            match event {
                Event::User(user) => drop(users.insert(user.id.clone(), user)),
                Event::DeletedUserId(id) => drop(users.remove(&id)),
                Event::SnapshotComplete(_) | Event::Heartbeat(_) => {}
            }
            if !behind.is_empty() {
                cursor = behind;
                let end = *end.borrow_and_update();
                if end.is_some_and(|end| cursor.parse::<Position>().unwrap() >= end) {
                    return users;
                }
            }
            if random.chance(2) {
                break;
            }
        }
    }
}
