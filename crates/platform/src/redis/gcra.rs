//! One rate for all gateways together: the generic cell rate algorithm, in one round trip and by Redis's own clock.

use std::time::Duration;

use redis::Script;

use super::Redis;

/// Counts in Redis how often something is done. Clones share it.
#[derive(Clone)]
pub struct Gcra {
    redis: Redis,
    script: std::sync::Arc<Script>,
}

/// `KEYS[1]` holds when the next one would be due if they came evenly. Answers 0, or the microseconds to wait.
const SCRIPT: &str = r"
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, burst, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local due = tonumber(redis.call('GET', KEYS[1]) or now)
if due < now then due = now end
local new = due + count * interval
local wait = math.ceil(new - burst * interval - now)
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', new), 'PX', math.ceil((new - now) / 1000) + 1)
return 0
";

impl Gcra {
    /// The highest rate: Redis's clock counts microseconds, and what is due is kept in them.
    pub const MAX_PER_SECOND: u32 = 1_000_000;

    /// Counts on this Redis.
    pub fn new(redis: Redis) -> Self {
        crate::metrics::metrics().redis_fallbacks("limits", 0);
        Self { redis, script: std::sync::Arc::new(Script::new(SCRIPT)) }
    }

    /// Counts one thing done under `key`, of which `per_second` (1 to [`Self::MAX_PER_SECOND`], else the nearer of the two) may be
    /// done for long and `burst` at once after a pause.
    /// `Some(Err)` says how long to wait, and nothing was counted. `None`: Redis cannot tell; count in this process instead.
    pub async fn check(&self, key: &str, per_second: u32, burst: u32) -> Option<Result<(), Duration>> {
        let interval = 1_000_000.0 / f64::from(per_second.clamp(1, Self::MAX_PER_SECOND));
        let mut invocation = self.script.prepare_invoke();
        invocation.key(self.redis.key(&format!("rate:{key}"))).arg(interval).arg(burst.max(1)).arg(1);
        let wait: u64 = self
            .redis
            .ask("limits", |mut link| async move { invocation.invoke_async(&mut link).await })
            .await?;
        Some(if wait == 0 { Ok(()) } else { Err(Duration::from_micros(wait)) })
    }
}
