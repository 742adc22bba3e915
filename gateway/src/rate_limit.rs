//! How often a tenant may ask: GCRA per tenant, in this process. Requests above the rate are refused; operations of a bulk
//! wait for their turn.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use platform::ids::TenantId;
use tokio::time::Instant;

use crate::error::{Error, Result};

/// Every so many requests, tenants that have been quiet long enough to be as new are forgotten.
const SWEEP_EVERY: u32 = 10_000;

/// Counts each tenant's requests.
pub(crate) struct Limiter {
    limiter: DefaultKeyedRateLimiter<TenantId>,
    // Monotonic, unlike the platform's clock: a step of the wall clock must not lock tenants out.
    clock: DefaultClock,
    since_sweep: AtomicU32,
}

impl Limiter {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Self {
            limiter: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            since_sweep: AtomicU32::new(0),
        }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// `RateLimited` with the whole seconds to wait.
    pub(crate) fn check(&self, tenant: TenantId) -> Result<()> {
        self.count(tenant).map_err(|wait| Error::rate_limited(wait.as_secs() + 1))
    }

    /// Counts one operation, as soon as the rate lets it through.
    ///
    /// # Errors
    /// `RateLimited` when it would not by then.
    pub(crate) async fn wait(&self, tenant: TenantId, patience: Instant) -> Result<()> {
        loop {
            let Err(wait) = self.count(tenant) else { return Ok(()) };
            if Instant::now() + wait > patience {
                return Err(Error::rate_limited(wait.as_secs() + 1));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// How long until the next one would be let through, when this one is not.
    fn count(&self, tenant: TenantId) -> Result<(), Duration> {
        if self.since_sweep.fetch_add(1, Ordering::Relaxed) == SWEEP_EVERY {
            self.since_sweep.store(0, Ordering::Relaxed);
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(&tenant).map_err(|until| until.wait_time_from(self.clock.now()))
    }
}
