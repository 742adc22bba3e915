//! Rollcall distributed, while parts of it die: nothing that was acknowledged is lost or done twice, and nobody sees an error other than
//! "try again".
//!
//! Clients of several tenants do what Entra ID does (look a user up, create it, change it, put it into groups, delete it) through both
//! gateways. Meanwhile every kind of process is killed with SIGKILL and started again, Redis is stopped, PostgreSQL is restarted as after
//! a crash. A client whose call failed does what Entra does: it looks what came of it, and goes on from there. At the end the directory
//! must be what the clients were told.
#![expect(clippy::print_stdout, reason = "the seed and the figures of a run, for whoever reads its log")]
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::server::Tenant;

const TENANTS: usize = 6;
/// Each phase of trouble goes on until this many more steps were made, by all tenants together.
const STEPS_PER_PHASE: u64 = 40;
/// A step that is not through after this long is lost for good.
const PATIENCE: Duration = Duration::from_secs(30);
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rollcall"))
}

/// A provisioning client of one tenant, and what it was told.
struct Client {
    http: reqwest::Client,
    bases: Vec<String>,
    token: String,
    name: String,
    seed: u64,
    users: BTreeMap<String, Told>,
    members: BTreeSet<String>,
    group: String,
    count: usize,
    /// Calls that failed as they may.
    failed: Arc<AtomicU64>,
}

/// A user, as its client was told that it is.
struct Told {
    id: String,
    display_name: String,
}

/// What came of one call.
enum Outcome {
    Answered(u16, Value),
    /// Nobody knows.
    Unknown,
}

impl Client {
    fn new(cluster: &Cluster, tenant: &Tenant, seed: u64, failed: Arc<AtomicU64>) -> Self {
        let path = reqwest::Url::parse(&tenant.base_url).unwrap().path().to_owned();
        Self {
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(25)).build().unwrap(),
            bases: cluster.gateways().iter().map(|gateway| format!("{gateway}{path}")).collect(),
            token: tenant.token.clone(),
            name: tenant.tenant.name.clone(),
            seed,
            users: BTreeMap::new(),
            members: BTreeSet::new(),
            group: String::new(),
            count: 0,
            failed,
        }
    }

    /// SplitMix64: the same steps for the same seed.
    fn random(&mut self, below: usize) -> usize {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below as u64).unwrap()
    }

    /// One call, through either gateway. Fails the test on an answer that nothing but a mistake explains.
    async fn call(&mut self, method: &Method, path: &str, body: Option<&Value>) -> Outcome {
        let gateway = self.random(self.bases.len());
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.bases[gateway]))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/scim+json").body(body.to_string());
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(_) => return self.unknown().await,
        };
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after").cloned();
        let Ok(text) = answer.text().await else { return self.unknown().await };
        match status {
            503 | 504 => {
                assert!(retry_after.is_some(), "{method} {path}: {status} without Retry-After: {text}");
                self.unknown().await
            }
            200 | 201 | 204 | 404 | 409 => {
                Outcome::Answered(status, serde_json::from_str(&text).unwrap_or(Value::Null))
            }
            _ => panic!("{} {method} {path} was answered {status} {text}", self.name),
        }
    }

    async fn unknown(&mut self) -> Outcome {
        self.failed.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        Outcome::Unknown
    }

    /// Calls until there is an answer. Says whether an earlier attempt may have had its effect.
    async fn insist(&mut self, method: Method, path: &str, body: Option<Value>) -> (u16, Value, bool) {
        let until = Instant::now() + PATIENCE;
        let mut again = false;
        loop {
            if let Outcome::Answered(status, body) = self.call(&method, path, body.as_ref()).await {
                return (status, body, again);
            }
            again = true;
            assert!(Instant::now() < until, "{} {method} {path} found no answer in {PATIENCE:?}", self.name);
        }
    }

    async fn find(&mut self, resource: &str, attribute: &str, value: &str) -> Option<Value> {
        let filter: String =
            reqwest::Url::parse_with_params("http://x", [("filter", format!("{attribute} eq \"{value}\""))])
                .unwrap()
                .query()
                .unwrap()
                .to_owned();
        let (status, body, _) = self.insist(Method::GET, &format!("/{resource}?{filter}"), None).await;
        assert_eq!(status, 200, "{body}");
        let found = body["Resources"].as_array().cloned().unwrap_or_default();
        assert!(found.len() <= 1, "{} has {resource} {value} more than once: {body}", self.name);
        found.into_iter().next()
    }

    async fn prepare(&mut self) {
        let body = json!({"schemas": [GROUP], "displayName": "everyone", "externalId": "everyone"});
        let (status, body, _) = self.insist(Method::POST, "/Groups", Some(body)).await;
        assert_eq!(status, 201, "{body}");
        self.group = body["id"].as_str().unwrap().to_owned();
    }

    async fn step(&mut self) {
        let choice = self.random(10);
        let names: Vec<String> = self.users.keys().cloned().collect();
        if names.is_empty() || choice < 4 {
            return self.create().await;
        }
        let name = names[self.random(names.len())].clone();
        match choice {
            4 | 5 => self.rename(&name).await,
            6 | 7 => self.add_member(&name).await,
            8 => self.remove_member(&name).await,
            _ => self.delete(&name).await,
        }
    }

    async fn create(&mut self) {
        self.count += 1;
        let name = format!("user{}@{}.example", self.count, self.name);
        assert!(self.find("Users", "userName", &name).await.is_none());
        let display_name = format!("User {}", self.count);
        let body = json!({"schemas": [USER], "userName": name, "externalId": name, "displayName": display_name, "active": true});
        let (status, answer, again) = self.insist(Method::POST, "/Users", Some(body)).await;
        let id = match status {
            201 => answer["id"].as_str().unwrap().to_owned(),
            // Ours, from an attempt whose answer was lost.
            409 if again => {
                let found = self.find("Users", "userName", &name).await;
                found.expect("there is a conflict with it")["id"].as_str().unwrap().to_owned()
            }
            _ => panic!("creating {name} was answered {status} {answer}"),
        };
        self.users.insert(name, Told { id, display_name });
    }

    async fn rename(&mut self, name: &str) {
        let display_name = format!("Renamed {}", self.random(1_000_000));
        let operation = json!({"op": "replace", "path": "displayName", "value": display_name});
        let path = format!("/Users/{}", self.users[name].id);
        let (status, answer, _) = self.insist(Method::PATCH, &path, Some(patch(operation))).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["displayName"], json!(display_name));
        self.users.get_mut(name).unwrap().display_name = display_name;
    }

    async fn add_member(&mut self, name: &str) {
        let id = self.users[name].id.clone();
        let operation = json!({"op": "add", "path": "members", "value": [{"value": id}]});
        self.change_group(operation).await;
        self.members.insert(id);
    }

    async fn remove_member(&mut self, name: &str) {
        let id = self.users[name].id.clone();
        let operation = json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")});
        self.change_group(operation).await;
        self.members.remove(&id);
    }

    async fn change_group(&mut self, operation: Value) {
        let path = format!("/Groups/{}", self.group);
        let (status, answer, _) = self.insist(Method::PATCH, &path, Some(patch(operation))).await;
        assert!(matches!(status, 200 | 204), "{status} {answer}");
    }

    async fn delete(&mut self, name: &str) {
        let id = self.users[name].id.clone();
        let (status, answer, again) = self.insist(Method::DELETE, &format!("/Users/{id}"), None).await;
        assert!(status == 204 || (status == 404 && again), "{status} {answer}");
        self.users.remove(name);
        self.members.remove(&id);
    }

    /// The directory is what we were told, seen through each gateway.
    async fn compare(&mut self) {
        for base in self.bases.clone() {
            let mut found = BTreeMap::new();
            let mut start = 1;
            loop {
                let url = format!("{base}/Users?startIndex={start}&count=50");
                let page: Value =
                    self.http.get(url).bearer_auth(&self.token).send().await.unwrap().json().await.unwrap();
                let users = page["Resources"].as_array().cloned().unwrap_or_default();
                assert_eq!(page["totalResults"], json!(self.users.len()), "{}", self.name);
                if users.is_empty() {
                    break;
                }
                start += users.len();
                for user in users {
                    let text = |key: &str| user[key].as_str().unwrap_or_default().to_owned();
                    let twice = found.insert(text("userName"), (text("id"), text("displayName")));
                    assert!(twice.is_none(), "{} has {user} twice", self.name);
                }
            }
            let told = self
                .users
                .iter()
                .map(|(name, told)| (name.clone(), (told.id.clone(), told.display_name.clone())));
            assert_eq!(found, told.collect::<BTreeMap<_, _>>(), "{}", self.name);

            let url = format!("{base}/Groups/{}", self.group);
            let group: Value =
                self.http.get(url).bearer_auth(&self.token).send().await.unwrap().json().await.unwrap();
            let members = group["members"].as_array().cloned().unwrap_or_default();
            let members: Vec<String> =
                members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect();
            let once: BTreeSet<String> = members.iter().cloned().collect();
            assert_eq!(members.len(), once.len(), "{}: a member stands twice: {members:?}", self.name);
            assert_eq!(once, self.members, "{}", self.name);
        }
    }
}

fn patch(operation: Value) -> Value {
    json!({"schemas": [PATCH], "Operations": [operation]})
}

/// Counts the steps of all tenants.
struct Progress {
    steps: AtomicU64,
    done: AtomicBool,
}

impl Progress {
    /// Returns after so many more steps: work goes on, whatever has just been done to the cluster.
    async fn more(&self, steps: u64) {
        let until = Instant::now() + PATIENCE;
        let goal = self.steps.load(Ordering::SeqCst) + steps;
        while self.steps.load(Ordering::SeqCst) < goal {
            assert!(
                Instant::now() < until,
                "no progress: {} of {goal} steps",
                self.steps.load(Ordering::SeqCst)
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_while_everything_dies() {
    let given = std::env::var("ROLLCALL_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}: repeat with ROLLCALL_TEST_SEED={seed}");
    let cluster = Arc::new(Cluster::start(binary()).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(trouble(cluster, seed));
}

async fn trouble(cluster: Arc<Cluster>, seed: u64) {
    let progress = Arc::new(Progress { steps: AtomicU64::new(0), done: AtomicBool::new(false) });
    let failed = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for number in 0..TENANTS {
        let tenant = cluster.tenant(&format!("tenant{number}"), "entra").await.unwrap();
        let mut client = Client::new(&cluster, &tenant, seed + number as u64, failed.clone());
        client.prepare().await;
        let progress = progress.clone();
        clients.push(tokio::spawn(async move {
            while !progress.done.load(Ordering::SeqCst) {
                client.step().await;
                progress.steps.fetch_add(1, Ordering::SeqCst);
            }
            client
        }));
    }
    let quiet = Instant::now();
    progress.more(STEPS_PER_PHASE).await;
    println!("quiet: {STEPS_PER_PHASE} steps in {:?}", quiet.elapsed());
    assert_eq!(failed.load(Ordering::SeqCst), 0, "calls fail although everything is there");

    let replica = usize::try_from(seed % 2).unwrap();
    for role in testkit::cluster::ROLES {
        let began = (Instant::now(), failed.load(Ordering::SeqCst));
        kill(&cluster, role, replica).await;
        progress.more(STEPS_PER_PHASE).await;
        blocking(&cluster, move |cluster| cluster.start_again(role, replica).unwrap()).await;
        // The other one, too, right after: whoever relied on it must have come back.
        kill(&cluster, role, 1 - replica).await;
        progress.more(STEPS_PER_PHASE).await;
        blocking(&cluster, move |cluster| cluster.start_again(role, 1 - replica).unwrap()).await;
        let failures = failed.load(Ordering::SeqCst) - began.1;
        println!("both {role} killed, one after the other: {failures} calls failed, {:?}", began.0.elapsed());
    }

    let began = (Instant::now(), failed.load(Ordering::SeqCst));
    blocking(&cluster, |cluster| cluster.redis.lock().unwrap().stop("KILL").unwrap()).await;
    progress.more(STEPS_PER_PHASE).await;
    blocking(&cluster, |cluster| cluster.start_redis_again().unwrap()).await;
    progress.more(STEPS_PER_PHASE).await;
    let failures = failed.load(Ordering::SeqCst) - began.1;
    println!("Redis gone and back: {failures} calls failed, {:?}", began.0.elapsed());
    assert_eq!(failures, 0, "calls fail because Redis is gone");

    for signal in ["INT", "QUIT"] {
        let began = (Instant::now(), failed.load(Ordering::SeqCst));
        blocking(&cluster, move |cluster| cluster.restart_postgres(signal).unwrap()).await;
        progress.more(STEPS_PER_PHASE).await;
        let failures = failed.load(Ordering::SeqCst) - began.1;
        println!("PostgreSQL restarted by SIG{signal}: {failures} calls failed, {:?}", began.0.elapsed());
    }

    // In good order nobody notices.
    blocking(&cluster, |cluster| cluster.wait_until_ready().unwrap()).await;
    for role in ["identity", "membership", "token"] {
        let began = failed.load(Ordering::SeqCst);
        blocking(&cluster, move |cluster| cluster.stop(role, replica, "TERM").unwrap()).await;
        progress.more(STEPS_PER_PHASE / 2).await;
        blocking(&cluster, move |cluster| cluster.start_again(role, replica).unwrap()).await;
        let failures = failed.load(Ordering::SeqCst) - began;
        assert_eq!(failures, 0, "calls fail because a {role} is stopped in good order");
    }

    progress.done.store(true, Ordering::SeqCst);
    let mut users = 0;
    for client in clients {
        let mut client = client.await.unwrap();
        client.compare().await;
        users += client.users.len();
    }
    let (steps, failed) = (progress.steps.load(Ordering::SeqCst), failed.load(Ordering::SeqCst));
    println!(
        "{steps} steps, {failed} calls failed and were looked after, {users} users are as they were told to be"
    );
}

async fn kill(cluster: &Arc<Cluster>, role: &'static str, replica: usize) {
    blocking(cluster, move |cluster| cluster.stop(role, replica, "KILL").unwrap()).await;
}

async fn blocking(cluster: &Arc<Cluster>, what: impl FnOnce(&Cluster) + Send + 'static) {
    let cluster = cluster.clone();
    tokio::task::spawn_blocking(move || what(&cluster)).await.unwrap();
}

#[test]
fn a_revocation_reaches_the_other_gateway_within_a_second() {
    let cluster = Arc::new(Cluster::start(binary()).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let tenant = cluster.tenant("revoked", "entra").await.unwrap();
        let http = testkit::http_client();
        let path = reqwest::Url::parse(&tenant.base_url).unwrap().path().to_owned();
        let ask = async |gateway: usize, token: &str| {
            let url = format!("{}{path}/Users?count=1", cluster.gateways()[gateway]);
            http.get(url).bearer_auth(token).send().await.unwrap().status().as_u16()
        };
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            let credentials = format!("/tenants/{}/credentials", tenant.tenant.id);
            let (status, made) = cluster
                .admin(0, Method::POST, &credentials, Some(json!({"label": "to be revoked"})))
                .await
                .unwrap();
            assert_eq!(status, 201, "{made}");
            let token = made["token"].as_str().or(made["secret"].as_str()).unwrap().to_owned();
            let id = made["id"].as_str().or(made["credential"]["id"].as_str()).unwrap().to_owned();
            for gateway in [0, 1, 0, 1] {
                assert_eq!(ask(gateway, &token).await, 200);
            }
            let (status, answer) =
                cluster.admin(0, Method::DELETE, &format!("{credentials}/{id}"), None).await.unwrap();
            assert!(matches!(status, 200 | 204), "{status} {answer}");
            let revoked = Instant::now();
            while ask(1, &token).await != 401 {
                assert!(
                    revoked.elapsed() < Duration::from_secs(1),
                    "still let in after {:?}",
                    revoked.elapsed()
                );
            }
            slowest = slowest.max(revoked.elapsed());
            assert_eq!(ask(0, &token).await, 401);
        }
        println!("the slowest of ten revocations reached the other gateway after {slowest:?}");
    });
}
