//! A tenant that asks too much is felt by itself and by nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use gateway::Config;
use http::StatusCode;
use platform::ids::TenantId;
use proto::common::v1::Dialect;
use tokio::sync::Semaphore;

use crate::fake::{Answer, Fixture, SECRET};

const OTHER: &str = "secret-of-the-neighbour";

fn neighbours(config: Config) -> Fixture {
    let fixture = Fixture::with(config, Dialect::Entra);
    let other = TenantId::new(&fixture.clock);
    fixture.credential(OTHER, Some((other, Dialect::Entra)), "scim");
    fixture
}

async fn list(fixture: &Fixture, secret: &str) -> Answer {
    let bearer = format!("Bearer {secret}");
    fixture.send_with("GET", "/scim/v2/Users", "", &[("authorization", &bearer)]).await
}

#[tokio::test(start_paused = true)]
async fn of_a_tenants_requests_only_so_many_are_under_way() {
    let fixture = neighbours(Config::default());
    let gate = Arc::new(Semaphore::new(0));
    fixture.world.list_gates.lock().unwrap().insert(fixture.tenant.to_string(), gate.clone());
    let mut flood: FuturesUnordered<_> = (0..200).map(|_| list(&fixture, SECRET)).collect();
    while fixture.calls("ListUsers").len() < 64 {
        assert!(futures::poll!(flood.next()).is_pending());
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        assert!(futures::poll!(flood.next()).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.calls("ListUsers").len(), 64, "the others wait for their turn");

    // The neighbour has turns of its own.
    assert_eq!(list(&fixture, OTHER).await.status, StatusCode::OK);

    gate.add_permits(200);
    while let Some(answer) = flood.next().await {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    assert_eq!(fixture.calls("ListUsers").len(), 201);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever() {
    let config = Config { requests_under_way: 2, ..Config::default() };
    let fixture = neighbours(config);
    fixture.world.list_gates.lock().unwrap().insert(fixture.tenant.to_string(), Arc::new(Semaphore::new(0)));
    let mut flood: FuturesUnordered<_> = (0..5).map(|_| list(&fixture, SECRET)).collect();
    for _ in 0..3 {
        let answer = flood.next().await.unwrap();
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
        assert_eq!(answer.header("retry-after"), "2");
    }
    drop(flood);
    fixture.world.list_gates.lock().unwrap().clear();
    assert_eq!(list(&fixture, SECRET).await.status, StatusCode::OK, "who hung up is not under way");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_limits_of_its_own() {
    let fixture = neighbours(Config::default());
    fixture.tenant_of(SECRET, |tenant| {
        let limits = tenant.settings.as_mut().unwrap().limits.as_mut().unwrap();
        limits.requests_per_second = 25;
        limits.burst = 2;
    });
    let mut statuses = Vec::new();
    for secret in [SECRET, SECRET, SECRET, OTHER, OTHER, OTHER] {
        statuses.push(list(&fixture, secret).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 200, 200, 200]);
}

/// What a modest tenant feels of one that floods: `cargo test -p gateway --test http -- --ignored --nocapture measured`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn measured() {
    let fixture = Arc::new(neighbours(Config::default()));
    fixture.tenant_of(SECRET, |tenant| {
        let limits = tenant.settings.as_mut().unwrap().limits.as_mut().unwrap();
        limits.requests_per_second = 25;
        limits.burst = 25;
    });
    let alone = latencies(&fixture).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let flood = tokio::spawn({
        let (fixture, is_over) = (fixture.clone(), is_over.clone());
        async move {
            let (mut let_through, mut refused) = (0_u32, 0_u32);
            let begun = std::time::Instant::now();
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            // A hundred times 25 requests a second.
            while !is_over.load(Ordering::Relaxed) {
                ticks.tick().await;
                for answer in futures::future::join_all((0..25).map(|_| list(&fixture, SECRET))).await {
                    if answer.status == StatusCode::OK { let_through += 1 } else { refused += 1 }
                }
                fixture.world.calls.lock().unwrap().clear();
            }
            (let_through, refused, begun.elapsed())
        }
    });
    let beside = latencies(&fixture).await;
    is_over.store(true, Ordering::Relaxed);
    let (let_through, refused, took) = flood.await.unwrap();
    println!(
        "p50 and p99 alone: {alone:?}, beside the flood: {beside:?}; the flood: {let_through} let through and {refused} \
         refused in {took:?}"
    );
}

/// p50 and p99 of a hundred requests a second for two and a half seconds, from when each was due.
async fn latencies(fixture: &Fixture) -> (Duration, Duration) {
    let mut taken = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..250 {
        let due = ticks.tick().await;
        assert_eq!(list(fixture, OTHER).await.status, StatusCode::OK);
        taken.push(due.elapsed());
    }
    taken.sort();
    (taken[taken.len() / 2], taken[taken.len() * 99 / 100])
}
