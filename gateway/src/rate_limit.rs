//! How much a tenant may ask, so that one that asks too much is felt by itself and by nobody else: so many requests a second
//! (GCRA, counted for all gateways together where there is Redis, in this process otherwise), and so many under way at a time. Requests above the rate are refused, operations of a bulk wait
//! for their turn; requests beyond those under way wait a little, too.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use platform::fairness::{PerTenant, Turn};
use platform::ids::TenantId;
use platform::redis::{Gcra, Redis};
use proto::token::v1::Limits;
use tokio::time::Instant;

use crate::App;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::tenant::Provisioner;

/// Every so many requests, tenants that have been quiet long enough to be as new are forgotten.
const SWEEP_EVERY: u32 = 10_000;

/// How long a request waits for those of its tenant that are under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// The request is above the rate; one after this long would not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryAfter(pub(crate) Duration);

impl From<RetryAfter> for Error {
    fn from(RetryAfter(wait): RetryAfter) -> Self {
        Self::rate_limited(wait.as_secs() + 1)
    }
}

/// Counts each tenant's requests.
pub(crate) struct Limiter {
    config: Config,
    cells: Mutex<Cells>,
    under_way: PerTenant,
    /// Counts for all gateways together.
    shared: OnceLock<Gcra>,
}

/// So many requests a second for long, so many at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

/// GCRA: when each tenant's next request would be due if all came evenly spaced. Who is ahead of that by less than the burst is
/// let through.
#[derive(Default)]
struct Cells {
    due: HashMap<TenantId, Instant>,
    since_sweep: u32,
}

impl Limiter {
    pub(crate) fn new(config: &Config) -> Self {
        let under_way = PerTenant::new(at_least_one(config.requests_under_way)).with_patience(PATIENCE);
        Self { config: config.clone(), cells: Mutex::default(), under_way, shared: OnceLock::new() }
    }

    /// Counts together with the other gateways from now on.
    pub(crate) fn share(&self, redis: &Redis) {
        let _ = self.shared.set(Gcra::new(redis.clone()));
    }

    /// Counts one request: with the other gateways, or, as long as Redis cannot tell, as if there were none.
    ///
    /// # Errors
    /// How long to wait for one that would be let through.
    pub(crate) async fn count(&self, tenant: TenantId, limits: Limits) -> Result<(), RetryAfter> {
        if let Some(shared) = self.shared.get() {
            let Some(Quota { per_second, burst }) = self.quota(limits) else { return Ok(()) };
            if let Some(counted) = shared.check(&tenant.to_string(), per_second, burst).await {
                return counted.map_err(RetryAfter);
            }
        }
        self.check(tenant, limits)
    }

    /// Counts one request of this process alone.
    ///
    /// # Errors
    /// How long to wait for one that would be let through.
    fn check(&self, tenant: TenantId, limits: Limits) -> Result<(), RetryAfter> {
        let Some(quota) = self.quota(limits) else { return Ok(()) };
        // Monotonic, unlike the platform's clock: a step of the wall clock must not lock tenants out.
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.count(tenant, quota, Instant::now()).map_err(RetryAfter)
    }

    /// Counts one operation, as soon as the rate lets it through.
    ///
    /// # Errors
    /// `RateLimited` when it would not by then.
    pub(crate) async fn wait(&self, tenant: TenantId, limits: Limits, patience: Instant) -> Result<()> {
        loop {
            let Err(RetryAfter(wait)) = self.count(tenant, limits).await else { return Ok(()) };
            if Instant::now() + wait > patience {
                return Err(RetryAfter(wait).into());
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until the tenant has fewer requests under way than it may have.
    ///
    /// # Errors
    /// `RateLimited` when that takes too long, or too many wait already.
    async fn turn(&self, tenant: TenantId, limits: Limits) -> Result<Turn> {
        let at_once = match u32::try_from(limits.concurrent) {
            Err(_) | Ok(0) => self.config.requests_under_way,
            Ok(at_once) => at_once,
        };
        Ok(self.under_way.turn_of(tenant, at_least_one(at_once)).await?)
    }

    /// What these limits of a tenant come to; none when there is no limit.
    fn quota(&self, limits: Limits) -> Option<Quota> {
        if !self.config.rate_limit || limits.requests_per_second < 0 {
            return None;
        }
        let chosen = |own: i32, default: u32| match u32::try_from(own) {
            Err(_) | Ok(0) => default,
            Ok(own) => own,
        };
        let per_second = chosen(limits.requests_per_second, self.config.rate_limit_per_second);
        let per_second = per_second.max(self.config.rate_limit_floor_per_second);
        Some(Quota {
            per_second: per_second.clamp(1, Gcra::MAX_PER_SECOND),
            burst: chosen(limits.burst, self.config.rate_limit_burst).max(1),
        })
    }
}

impl Cells {
    /// Counts one request that comes now, or says how long until one would be let through.
    fn count(&mut self, tenant: TenantId, quota: Quota, now: Instant) -> Result<(), Duration> {
        self.since_sweep += 1;
        if self.since_sweep >= SWEEP_EVERY {
            self.since_sweep = 0;
            self.due.retain(|_, due| *due > now);
            self.due.shrink_to_fit();
        }
        let interval = Duration::from_secs(1) / quota.per_second;
        let tolerance = interval * (quota.burst - 1);
        let due = self.due.get(&tenant).map_or(now, |due| (*due).max(now));
        let early = due - now;
        if early > tolerance {
            return Err(early - tolerance);
        }
        self.due.insert(tenant, due + interval);
        Ok(())
    }
}

fn at_least_one(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX).max(1)
}

/// Lets a request of a tenant through within its limits.
pub(crate) async fn within_limits(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(tenant) = request.extensions().get::<Provisioner>().map(|provisioner| provisioner.tenant) else {
        return Error::broken_contract("SCIM was mounted outside of the token's check").into_response();
    };
    let limits = tenant.policy.limits();
    if let Err(retry_after) = app.limiter.count(tenant.id, limits).await {
        return Error::from(retry_after).into_response();
    }
    let turn = match app.limiter.turn(tenant.id, limits).await {
        Ok(turn) => turn,
        Err(error) => return error.into_response(),
    };
    next.run(request).await.map(|body| Body::new(Held { body, _turn: turn }))
}

/// A body that is part of a request under way until it is sent, or nobody wants it any more.
struct Held {
    body: Body,
    _turn: Turn,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use platform::clock::Clock;

    use super::*;

    const PLATFORM: Limits = Limits { requests_per_second: 0, burst: 0, concurrent: 0 };

    fn tenant() -> TenantId {
        TenantId::new(&Clock::system())
    }

    /// How many of the requests that come at this rate for so long are let through.
    async fn admitted(limiter: &Limiter, tenant: TenantId, limits: Limits, rate: u32, seconds: u32) -> u32 {
        let mut admitted = 0;
        for _ in 0..rate * seconds {
            admitted += u32::from(limiter.check(tenant, limits).is_ok());
            tokio::time::advance(Duration::from_secs(1) / rate).await;
        }
        admitted
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_gets_its_burst_and_then_its_rate_however_hard_it_tries() {
        let limiter = Limiter::new(&Config::default());
        let admitted = admitted(&limiter, tenant(), PLATFORM, 30_000, 10).await;
        assert!((3_999..=4_001).contains(&admitted), "1000 and ten times 300, but {admitted}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_times_ones_share_takes_nothing_from_the_neighbour() {
        let limiter = Limiter::new(&Config::default());
        let (greedy, modest) = (tenant(), tenant());
        for second in 0..10 {
            for _ in 0..30_000 {
                let _ = limiter.check(greedy, PLATFORM);
            }
            for request in 0..300 {
                assert_eq!(limiter.check(modest, PLATFORM), Ok(()), "request {request} of second {second}");
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_says_how_long_to_wait() {
        let limiter = Limiter::new(&Config::default());
        let tenant = tenant();
        let limits = Limits { requests_per_second: 50, burst: 2, concurrent: 0 };
        limiter.check(tenant, limits).unwrap();
        limiter.check(tenant, limits).unwrap();
        let RetryAfter(wait) = limiter.check(tenant, limits).unwrap_err();
        assert_eq!(wait, Duration::from_millis(20));
        tokio::time::advance(wait - Duration::from_millis(1)).await;
        limiter.check(tenant, limits).unwrap_err();
        tokio::time::advance(Duration::from_millis(1)).await;
        limiter.check(tenant, limits).unwrap();
    }

    #[test]
    fn a_tenants_own_limits_go_over_the_platforms_and_none_under_entras_least() {
        let quota = |requests_per_second, burst, config: &Config| {
            let limits = Limits { requests_per_second, burst, concurrent: 0 };
            Limiter::new(config).quota(limits).map(|quota| (quota.per_second, quota.burst))
        };
        let config = Config::default();
        assert_eq!(quota(0, 0, &config), Some((300, 1000)));
        assert_eq!(quota(50, 0, &config), Some((50, 1000)));
        assert_eq!(quota(0, 7, &config), Some((300, 7)));
        assert_eq!(quota(3, 7, &config), Some((25, 7)));
        assert_eq!(quota(-1, 7, &config), None);
        assert_eq!(quota(0, 0, &Config { rate_limit_per_second: 3, ..config.clone() }), Some((25, 1000)));
        assert_eq!(quota(50, 7, &Config { rate_limit: false, ..config }), None);
    }

    /// Above a billion a second, requests would come at no distance at all.
    #[tokio::test(start_paused = true)]
    async fn there_is_a_limit_however_high_the_rate() {
        let config = Config { rate_limit_per_second: u32::MAX, rate_limit_burst: 2, ..Config::default() };
        for limits in [PLATFORM, Limits { requests_per_second: i32::MAX, burst: 2, concurrent: 0 }] {
            let (limiter, tenant) = (Limiter::new(&config), tenant());
            assert_eq!(limiter.quota(limits).unwrap().per_second, Gcra::MAX_PER_SECOND);
            limiter.check(tenant, limits).unwrap();
            limiter.check(tenant, limits).unwrap();
            limiter.check(tenant, limits).unwrap_err();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_tenants_are_forgotten() {
        let limiter = Limiter::new(&Config::default());
        for _ in 0..SWEEP_EVERY - 1 {
            limiter.check(tenant(), PLATFORM).unwrap();
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        limiter.check(tenant(), PLATFORM).unwrap();
        assert_eq!(limiter.cells.lock().unwrap().due.len(), 1);
    }
}
