//! `kill -9` at any moment loses nothing that was answered, and what was not answered is there wholly or not at all.
//!
//! Several writers create, change and delete at once; at a random moment the process is killed, started again on the same
//! data, and every answered write is looked up. 50 times, on one data directory. `ROLLCALL_CRASH_SEED` repeats a run.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::client::Client;
use testkit::server::{Standalone, data_dir};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ROUNDS: u64 = 50;
const WRITERS: u64 = 4;

/// What a user is known to be: the last answer, and perhaps one more write whose answer never came.
#[derive(Clone, Debug, PartialEq)]
enum State {
    Titled(u64),
    Deleted,
}

#[derive(Clone, Debug)]
struct Known {
    answered: State,
    unanswered: Option<State>,
}

/// What one writer did: user ids and what must be found of them.
type Ledger = BTreeMap<String, Known>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_sigkill() {
    let seed = std::env::var("ROLLCALL_CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("ROLLCALL_CRASH_SEED={seed}");
    let mut random = Random(seed);
    let binary = Path::new(env!("CARGO_BIN_EXE_rollcall"));
    let dir = data_dir().unwrap();

    let mut server = Standalone::start(binary, dir.path(), &[]).unwrap();
    let tenant = server.tenant("crash", "entra").await.unwrap();
    let group = tenant
        .client()
        .post("/Groups", &json!({"schemas": [GROUP], "displayName": "All"}))
        .await
        .unwrap()
        .id()
        .unwrap();
    let mut members: Vec<String> = Vec::new();
    let answered = Arc::new(AtomicU64::new(0));

    for round in 0..ROUNDS {
        // The port changes with each start, so the base URL of the first answer is only good for its path.
        let base_url = format!("{}/scim/v2", server.http);
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let client = Client::new(&base_url, &tenant.token);
            let prefix = format!("r{round}w{writer}");
            writers.push(tokio::spawn(write(client, prefix, group.clone(), answered.clone())));
        }
        // Not before somebody was answered, and then at any moment.
        let before = answered.load(Ordering::SeqCst);
        while answered.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(random.below(80_000))).await;
        server.kill().unwrap();

        let mut ledger = Ledger::new();
        for writer in writers {
            let (users, joined) = writer.await.unwrap();
            ledger.extend(users);
            members.extend(joined);
        }
        server = Standalone::start(binary, dir.path(), &[]).unwrap();
        let client = Client::new(&format!("{}/scim/v2", server.http), &tenant.token);
        for (id, known) in &ledger {
            check_user(&client, id, known, round, seed).await;
        }
        // A user who was deleted, or may have been, is no member; all others who were added are.
        members.retain(|id| {
            ledger.get(id).is_none_or(|known| {
                known.answered != State::Deleted && known.unanswered != Some(State::Deleted)
            })
        });
        let answer = client.get(&format!("/Groups/{group}")).await.unwrap();
        assert_eq!(answer.status, 200, "round {round}, seed {seed}: {}", answer.text);
        for id in &members {
            assert!(
                answer.text.contains(id.as_str()),
                "round {round}, seed {seed}: membership of {id} is lost"
            );
        }
    }
    let total = answered.load(Ordering::SeqCst);
    println!("{ROUNDS} kills, {total} answered writes, none lost");
    server.terminate().unwrap();
}

/// Writes until the server is gone. Returns the users, and those that were added to the group.
async fn write(
    client: Client,
    prefix: String,
    group: String,
    answered: Arc<AtomicU64>,
) -> (Ledger, Vec<String>) {
    let mut users = Ledger::new();
    let mut members = Vec::new();
    let success = |status: u16| {
        assert!((200..300).contains(&status), "a write was answered {status}");
        answered.fetch_add(1, Ordering::SeqCst);
    };
    for number in 0.. {
        let body = json!({"schemas": [USER], "userName": format!("{prefix}n{number}"), "title": "0", "active": true});
        let Ok(answer) = client.post("/Users", &body).await else { break };
        success(answer.status);
        let id = answer.id().unwrap();
        users.insert(id.clone(), Known { answered: State::Titled(0), unanswered: None });

        let add = patch(json!({"op": "add", "path": "members", "value": [{"value": id}]}));
        let Ok(answer) = client.patch(&format!("/Groups/{group}"), &add).await else { break };
        success(answer.status);
        members.push(id.clone());

        // Every third user is deleted in the end.
        let next = if number % 3 == 2 { State::Deleted } else { State::Titled(1) };
        if let Some(known) = users.get_mut(&id) {
            known.unanswered = Some(next.clone());
        }
        let path = format!("/Users/{id}");
        let answer = match next {
            State::Deleted => client.delete(&path).await,
            State::Titled(title) => {
                let title = json!({"op": "replace", "path": "title", "value": title.to_string()});
                client.patch(&path, &patch(title)).await
            }
        };
        let Ok(answer) = answer else { break };
        success(answer.status);
        users.insert(id, Known { answered: next, unanswered: None });
    }
    (users, members)
}

fn patch(operation: Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]})
}

async fn check_user(client: &Client, id: &str, known: &Known, round: u64, seed: u64) {
    let answer = client.get(&format!("/Users/{id}")).await.unwrap();
    let found = match answer.status {
        404 => State::Deleted,
        200 => State::Titled(
            answer.body["title"].as_str().and_then(|title| title.parse().ok()).unwrap_or(u64::MAX),
        ),
        _ => panic!("round {round}, seed {seed}: {} {}", answer.status, answer.text),
    };
    let allowed = found == known.answered || Some(&found) == known.unanswered.as_ref();
    assert!(allowed, "round {round}, seed {seed}: user {id} is {found:?}, known was {known:?}");
}

/// splitmix64: enough to choose moments, and repeatable.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
