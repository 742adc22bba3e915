//! What replicas tell and lend each other through Redis, and what they do without it.
#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, these are their helpers")]

use std::time::{Duration, Instant};

use platform::cache::{Invalidation, Invalidations};
use platform::clock::Clock;
use platform::ids::{CredentialId, TenantId};
use platform::redis::{
    Gcra, Identity, Kind, Looked, MEMORY_WITHOUT_REDIS, Options, Redis, SharedCache, share_invalidations,
};
use testkit::authority::{Authority, Mounted};
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::CancellationToken;

const SECRET: &str = "rcs_0198f3c2a1b47c3d8e9f001122334455_secret";

fn options(kind: Kind, urls: &[String], prefix: &str) -> Options {
    Options {
        kind,
        urls: urls.iter().map(|url| url.as_str().into()).collect(),
        sentinel_master: "main".to_owned(),
        ca: None,
        identity: None,
        prefix: prefix.to_owned(),
        // A busy machine must not look like a slow Redis.
        timeout: Duration::from_secs(2),
    }
}

/// A process with its own connection.
struct Replica {
    redis: Redis,
    invalidations: Invalidations,
    inbox: Receiver<Invalidation>,
}

async fn replica(options: &Options) -> Replica {
    let redis = Redis::start(options, CancellationToken::new()).unwrap();
    let invalidations = Invalidations::default();
    let inbox = invalidations.subscribe();
    tokio::spawn(share_invalidations(redis.clone(), invalidations.clone(), CancellationToken::new()));
    let replica = Replica { redis, invalidations, inbox };
    replica.until_connected().await;
    replica
}

impl Replica {
    async fn until_connected(&self) {
        until("connected", || self.redis.is_up() && self.invalidations.longest_memory() == Duration::MAX)
            .await;
    }

    /// The next invalidation that is not "everything".
    async fn hears(&mut self) -> Invalidation {
        loop {
            match tokio::time::timeout(Duration::from_secs(10), self.inbox.recv()).await.unwrap().unwrap() {
                Invalidation::Everything => {}
                what => return what,
            }
        }
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let by_then = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < by_then, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn remembers(cache: &SharedCache) -> Option<Vec<u8>> {
    match cache.get(SECRET).await {
        Looked::Hit(value) => Some(value),
        Looked::Miss(_) => None,
        Looked::Unavailable => panic!("Redis does not answer"),
    }
}

async fn remember(cache: &SharedCache, tenant: TenantId, credential: CredentialId) {
    let Looked::Miss(ticket) = cache.get(SECRET).await else { panic!("a miss was expected") };
    cache
        .put(SECRET, ticket, Some(tenant), &credential.to_string(), b"access token", Duration::from_secs(30))
        .await;
}

fn ids() -> (TenantId, CredentialId) {
    let clock = Clock::system();
    (TenantId::new(&clock), CredentialId::new(&clock))
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_count_together() {
    let options = options(Kind::Single, &[testkit::redis::url().to_owned()], "counting");
    let (one, other) = (replica(&options).await, replica(&options).await);
    let (one, other) = (Gcra::new(one.redis), Gcra::new(other.redis));
    let mut admitted = 0;
    let mut waits = Vec::new();
    for _ in 0..5 {
        for gateway in [&one, &other] {
            match gateway.check("tenant", 1, 6).await.unwrap() {
                Ok(()) => admitted += 1,
                Err(wait) => waits.push(wait),
            }
        }
    }
    assert_eq!(admitted, 6);
    assert!(waits.iter().all(|wait| !wait.is_zero() && *wait <= Duration::from_secs(1)), "{waits:?}");
    one.check("another tenant", 1, 6).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_in_one_process_is_dropped_in_all() {
    let options = options(Kind::Single, &[testkit::redis::url().to_owned()], "revoking");
    let (mut one, mut other) = (replica(&options).await, replica(&options).await);
    let (tenant, credential) = ids();
    one.invalidations.publish(Invalidation::Credential(credential));
    one.invalidations.publish(Invalidation::Tenant(tenant));
    for replica in [&mut one, &mut other] {
        assert_eq!(replica.hears().await, Invalidation::Credential(credential));
        assert_eq!(replica.hears().await, Invalidation::Tenant(tenant));
    }
    // Its own come once, not again from Redis.
    other.invalidations.publish(Invalidation::Credential(credential));
    assert_eq!(one.hears().await, Invalidation::Credential(credential));
    while let Ok(again) = one.inbox.try_recv() {
        assert_eq!(again, Invalidation::Everything);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_gateway_learnt_serves_the_other_until_it_is_revoked() {
    let url = testkit::redis::url().to_owned();
    let options = options(Kind::Single, std::slice::from_ref(&url), "learning");
    let (one, mut other) = (replica(&options).await, replica(&options).await);
    let (cache, others) = (SharedCache::new(one.redis.clone()), SharedCache::new(other.redis.clone()));
    let (tenant, credential) = ids();
    for revocation in [Invalidation::Credential(credential), Invalidation::Tenant(tenant)] {
        remember(&cache, tenant, credential).await;
        assert_eq!(remembers(&others).await.as_deref(), Some(b"access token".as_slice()));
        one.invalidations.publish(revocation);
        assert_eq!(other.hears().await, revocation);
        assert_eq!(remembers(&others).await, None);
        assert_eq!(remembers(&cache).await, None);
    }

    // An answer that the revocation overtook is not believed.
    let Looked::Miss(ticket) = cache.get(SECRET).await else { panic!("it was revoked") };
    one.invalidations.publish(Invalidation::Credential(credential));
    other.hears().await;
    cache.put(SECRET, ticket, Some(tenant), &credential.to_string(), b"old", Duration::from_secs(30)).await;
    assert_eq!(remembers(&others).await, None);

    // Somebody else's token opens nothing, and nothing readable is in Redis.
    remember(&cache, tenant, credential).await;
    let dump = dump(&url, "learning:*").await;
    assert!(!dump.is_empty());
    for part in [SECRET.as_bytes(), b"access token", b"0198f3c2a1b47c3d8e9f001122334455"] {
        assert!(
            !dump.windows(part.len()).any(|window| window == part),
            "{:?}",
            String::from_utf8_lossy(part)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_write_to_redis_keeps_no_revoked_token_alive() {
    let url = testkit::redis::url().to_owned();
    let options = options(Kind::Single, std::slice::from_ref(&url), "tampering");
    let (one, mut other) = (replica(&options).await, replica(&options).await);
    let cache = SharedCache::new(one.redis.clone());
    let (tenant, credential) = ids();
    let (other_tenant, other_credential) = ids();
    let later = u64::try_from(Clock::system().now().micros()).unwrap() + 10_000_000;
    for (revocation, field, value) in [
        (Invalidation::Credential(credential), "at", later.to_string()),
        (Invalidation::Credential(credential), "credential", other_credential.to_string()),
        (Invalidation::Tenant(tenant), "tenant", other_tenant.to_string()),
    ] {
        remember(&cache, tenant, credential).await;
        assert!(remembers(&cache).await.is_some());
        let entry = redis_cli(&url, &["--raw", "KEYS", "tampering:*entry*"]);
        one.invalidations.publish(revocation);
        assert_eq!(other.hears().await, revocation);
        redis_cli(&url, &["HSET", entry.trim(), field, &value]);
        assert_eq!(remembers(&cache).await, None, "{field} was changed");
        // It is asked for and stored anew, over what was changed.
        remember(&cache, tenant, credential).await;
        assert!(remembers(&cache).await.is_some(), "{field}");
        redis_cli(&url, &["DEL", entry.trim()]);
    }

    // Nor does it live on when its own time is over.
    let Looked::Miss(ticket) = cache.get(SECRET).await else { panic!("a miss was expected") };
    let second = Duration::from_secs(1);
    cache.put(SECRET, ticket, Some(tenant), &credential.to_string(), b"old", second).await;
    let entry = redis_cli(&url, &["--raw", "KEYS", "tampering:*entry*"]);
    assert_eq!(redis_cli(&url, &["--raw", "PERSIST", entry.trim()]).trim(), "1");
    let by_then = Instant::now() + Duration::from_secs(10);
    while remembers(&cache).await.is_some() {
        assert!(Instant::now() < by_then, "it is believed for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn redis_cli(url: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new("redis-cli").args(["-u", url]).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Every key and every value.
async fn dump(url: &str, pattern: &str) -> Vec<u8> {
    let script = "local all = '' for _, key in ipairs(redis.call('KEYS', ARGV[1])) do all = all .. key .. ' '
        if redis.call('TYPE', key).ok == 'hash' then all = all .. table.concat(redis.call('HGETALL', key), ' ')
        else all = all .. redis.call('GET', key) end end return all";
    let output = std::process::Command::new("redis-cli")
        .args(["-u", url, "--raw", "EVAL", script, "0", pattern])
        .output()
        .unwrap();
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_memory_is_short_and_nobody_waits() {
    let (mut process, address) = testkit::redis::private().unwrap();
    let mut options = options(Kind::Single, &[format!("redis://{address}")], "dying");
    options.timeout = Duration::from_millis(200);
    let mut replica = replica(&options).await;
    let (limits, cache) = (Gcra::new(replica.redis.clone()), SharedCache::new(replica.redis.clone()));
    limits.check("tenant", 1, 1).await.unwrap().unwrap();
    while replica.inbox.try_recv().is_ok() {}

    let mut process = tokio::task::spawn_blocking(move || {
        process.stop("KILL").unwrap();
        process
    })
    .await
    .unwrap();
    until("short memory", || replica.invalidations.longest_memory() == MEMORY_WITHOUT_REDIS).await;
    assert_eq!(replica.inbox.recv().await.unwrap(), Invalidation::Everything);
    until("it is known to be gone", || !replica.redis.is_up()).await;
    let began = Instant::now();
    for _ in 0..100 {
        assert!(limits.check("tenant", 1, 1).await.is_none());
        assert!(matches!(cache.get(SECRET).await, Looked::Unavailable));
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    // Said now, heard when it is back: by whoever listens then.
    let (tenant, _) = ids();
    replica.invalidations.publish(Invalidation::Tenant(tenant));
    assert_eq!(replica.hears().await, Invalidation::Tenant(tenant));

    let _process = tokio::task::spawn_blocking(move || {
        process.start_again().unwrap();
        process
    })
    .await
    .unwrap();
    replica.until_connected().await;
    assert_eq!(replica.inbox.recv().await.unwrap(), Invalidation::Everything);
    limits.check("tenant", 1, 1).await.unwrap().unwrap();
}

/// All three uses on this Redis.
async fn works(options: &Options) {
    let (one, mut other) = (replica(options).await, replica(options).await);
    let (tenant, credential) = ids();
    let cache = SharedCache::new(one.redis.clone());
    remember(&cache, tenant, credential).await;
    assert!(remembers(&SharedCache::new(other.redis.clone())).await.is_some());
    one.invalidations.publish(Invalidation::Tenant(tenant));
    assert_eq!(other.hears().await, Invalidation::Tenant(tenant));
    assert!(remembers(&cache).await.is_none());
    Gcra::new(one.redis.clone()).check("tenant", 1, 1).await.unwrap().unwrap();
    Gcra::new(other.redis.clone()).check("tenant", 1, 1).await.unwrap().unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_cluster_will_do() {
    let (_processes, addresses) = testkit::redis::cluster(None).unwrap();
    let urls: Vec<String> = addresses.iter().map(|address| format!("redis://{address}")).collect();
    works(&options(Kind::Cluster, &urls, "clustered")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_to_the_master_also_to_a_new_one() {
    let mut watched = testkit::redis::watched(None).unwrap();
    let options = options(Kind::Sentinel, &[format!("redis://{}", watched.sentinel)], "watched");
    works(&options).await;
    let survivor = replica(&options).await;
    watched.master.stop("KILL").unwrap();
    until("the old master is given up", || !survivor.redis.is_up()).await;
    survivor.until_connected().await;
    Gcra::new(survivor.redis.clone()).check("after the failover", 1, 1).await.unwrap().unwrap();
}

fn loopback(authority: &Authority) -> Mounted {
    Mounted::new(&authority.issue(&["127.0.0.1"], 2099).unwrap()).unwrap()
}

fn trusting(authority: &Mounted, options: Options) -> Options {
    Options { ca: Some(std::fs::read(authority.path("ca.crt")).unwrap()), ..options }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_over_tls_is_used_when_its_authority_is_ours() {
    let files = loopback(&Authority::new().unwrap());
    let (_process, address) = testkit::redis::encrypted(&files, false).unwrap();
    works(&trusting(&files, options(Kind::Single, &[format!("rediss://{address}")], "encrypted"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_asks_for_a_certificate_is_shown_ours() {
    let authority = Authority::new().unwrap();
    let files = loopback(&authority);
    let (_process, address) = testkit::redis::encrypted(&files, true).unwrap();
    let ours = authority.issue(&["gateway"], 2099).unwrap();
    let identity = Identity { cert: ours.cert.into_bytes(), key: ours.key.into() };
    let options = trusting(&files, options(Kind::Single, &[format!("rediss://{address}")], "asking"));
    works(&Options { identity: Some(identity), ..options }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_cluster_will_do_over_tls() {
    let files = loopback(&Authority::new().unwrap());
    let (_processes, addresses) = testkit::redis::cluster(Some(&files)).unwrap();
    let urls: Vec<String> = addresses.iter().map(|address| format!("rediss://{address}")).collect();
    works(&trusting(&files, options(Kind::Cluster, &urls, "clustered"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_to_the_master_over_tls() {
    let files = loopback(&Authority::new().unwrap());
    let watched = testkit::redis::watched(Some(&files)).unwrap();
    let urls = [format!("rediss://{}", watched.sentinel)];
    works(&trusting(&files, options(Kind::Sentinel, &urls, "watched"))).await;
}

#[test]
fn certificates_that_cannot_be_used_are_refused_by_their_keys() {
    let authority = Authority::new().unwrap();
    let (ours, another) = (authority.issue(&["a"], 2099).unwrap(), authority.issue(&["b"], 2099).unwrap());
    let encrypted = options(Kind::Single, &["rediss://redis:6379".to_owned()], "p");
    let plain = options(Kind::Single, &["redis://redis:6379".to_owned()], "p");
    let pair = |cert: &str, key: &str| Identity { cert: cert.into(), key: key.into() };
    let good = Some(pair(&ours.cert, &ours.key));
    let ca = Some(ours.ca.clone().into_bytes());
    platform::redis::check(&Options { ca: ca.clone(), identity: good.clone(), ..encrypted.clone() }).unwrap();
    for (key, options) in [
        ("redis.ca_file", Options { ca: Some(b"planet earth".to_vec()), ..encrypted.clone() }),
        ("redis.ca_file", Options { ca: Some(ours.ca[..99].into()), ..encrypted.clone() }),
        ("redis.ca_file is set although nothing is encrypted", Options { ca, ..plain.clone() }),
        ("redis.cert_file is set although", Options { identity: good, ..plain }),
        ("redis.cert_file", Options { identity: Some(pair("", &ours.key)), ..encrypted.clone() }),
        ("redis.key_file", Options { identity: Some(pair(&ours.cert, "")), ..encrypted.clone() }),
        ("redis.key_file", Options { identity: Some(pair(&ours.cert, &another.key)), ..encrypted.clone() }),
        ("#insecure", options(Kind::Single, &["rediss://redis:6379#insecure".to_owned()], "p")),
        ("redis.urls has", options(Kind::Cluster, &["rediss://a".to_owned(), "redis://b".to_owned()], "p")),
    ] {
        let error = platform::redis::check(&options).unwrap_err().to_string();
        assert!(error.contains(key), "{key}: {error}");
        assert!(!format!("{options:?}{error}").contains(&ours.key[40..80]), "{error}");
    }
}

#[test]
fn options_that_cannot_be_are_refused_without_their_passwords() {
    let check = |kind, urls: &[&str]| {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        platform::redis::check(&Options { sentinel_master: String::new(), ..options(kind, &urls, "p") })
    };
    check(Kind::Single, &["rediss://user:hunter2@redis:6379/1"]).unwrap();
    check(Kind::Cluster, &["redis://a", "redis://b"]).unwrap();
    for (kind, urls) in [
        (Kind::Single, &["http://user:hunter2@redis"][..]),
        (Kind::Single, &["hunter2"]),
        (Kind::Single, &["redis://a", "redis://b"]),
        (Kind::Single, &[]),
        (Kind::Sentinel, &["redis://a"]),
    ] {
        let error = check(kind, urls).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
