//! Counters that all replicas share.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};

use super::gcra::{Quota, Verdict};
use super::in_process::InProcessLimiter;
use super::{Bucket, RateLimiter};
use crate::redis_store::{Absence, RedisStore};

/// While Redis is away each replica counts for itself: too generous by the number of replicas, but nobody is locked out and
/// nobody is unlimited.
pub(super) struct RedisLimiter {
    store: RedisStore,
    script: redis::Script,
    own: InProcessLimiter,
    absence: Absence,
}

impl RedisLimiter {
    pub(super) fn new(store: RedisStore) -> Self {
        Self {
            store,
            script: redis::Script::new(GCRA),
            own: InProcessLimiter::default(),
            absence: Absence::default(),
        }
    }

    async fn count_shared(&self, bucket: &Bucket, quota: Quota) -> redis::RedisResult<Verdict> {
        let mut connection = self.store.connection();
        let interval = u64::try_from(quota.interval.as_micros()).unwrap_or(u64::MAX);
        let (remaining, full_after, retry_after): (u32, u64, u64) = self
            .script
            .key(format!("limit:{bucket}"))
            .arg(interval)
            .arg(quota.burst)
            .invoke_async(&mut connection)
            .await?;
        Ok(Verdict {
            remaining,
            full_after: Duration::from_micros(full_after),
            retry_after: (retry_after > 0).then(|| Duration::from_micros(retry_after)),
        })
    }
}

impl RateLimiter for RedisLimiter {
    fn count<'a>(&'a self, bucket: &'a Bucket, quota: Quota) -> BoxFuture<'a, Verdict> {
        async move {
            if self.absence.lasts() {
                return self.own.count(bucket, quota).await;
            }
            match self.count_shared(bucket, quota).await {
                Ok(verdict) => verdict,
                Err(error) => {
                    tracing::debug!(%error, "rate limits fall back to this replica's own");
                    self.absence.begin();
                    self.own.count(bucket, quota).await
                }
            }
        }
        .boxed()
    }

    fn sweep(&self) {
        self.own.sweep();
    }
}

/// `gcra.rs` in Lua, in microseconds by Redis' own clock: the replicas' clocks may differ. A double is exact to 2^53 µs,
/// the year 2255. The value is written with all its digits (Lua's `tostring` keeps 14).
const GCRA: &str = r"
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local window = interval * burst
local stored = tonumber(redis.call('GET', KEYS[1]) or '0')
local before = math.min(math.max(stored, now), now + window)
local full_at = before + interval
local too_early = full_at - now - window
if too_early > 0 then
    -- Stored before the clock was set back: left as it is, it would refuse everything until the clock gets there again.
    if stored > before then
        redis.call('SET', KEYS[1], string.format('%.0f', before), 'PX', math.ceil((before - now) / 1000))
    end
    return { 0, before - now, too_early }
end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
return { math.floor((window - (full_at - now)) / interval), full_at - now, 0 }
";
