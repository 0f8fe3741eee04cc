//! Counters of this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::{BoxFuture, FutureExt as _, ready};

use super::gcra::{FullAt, Quota, Verdict};
use super::{Bucket, RateLimiter};

/// Bounded: see [`MAX_BUCKETS`].
#[derive(Default)]
pub(super) struct InProcessLimiter {
    // Held for single map operations only, never across an await.
    buckets: Mutex<HashMap<Bucket, FullAt>>,
}

impl InProcessLimiter {
    fn count_at(&self, bucket: &Bucket, quota: Quota, now: Duration) -> Verdict {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(bucket) {
            buckets.retain(|_, full_at| full_at.0 > now);
            if buckets.len() >= MAX_BUCKETS {
                tracing::warn!(
                    MAX_BUCKETS,
                    "too many rate limit counters: the half with the fewest requests is forgotten"
                );
                forget_least_used(&mut buckets);
            }
        }
        buckets.entry(bucket.clone()).or_default().count(quota, now)
    }

    fn sweep_at(&self, now: Duration) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|_, full_at| full_at.0 > now);
        if buckets.capacity() > buckets.len().saturating_mul(4).max(1024) {
            buckets.shrink_to_fit();
        }
    }
}

impl RateLimiter for InProcessLimiter {
    fn count<'a>(&'a self, bucket: &'a Bucket, quota: Quota) -> BoxFuture<'a, Verdict> {
        ready(self.count_at(bucket, quota, now())).boxed()
    }

    fn sweep(&self) {
        self.sweep_at(now());
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Makes room by the counters that will soon be full anyway. Whoever invents addresses or names to fill the map forgets
/// their own single requests, not the ten guesses at somebody's password.
fn forget_least_used(buckets: &mut HashMap<Bucket, FullAt>) {
    let mut ends: Vec<Duration> = buckets.values().map(|full_at| full_at.0).collect();
    let middle = ends.len() / 2;
    if middle < ends.len() {
        let (_, median, _) = ends.select_nth_unstable(middle);
        let median = *median;
        buckets.retain(|_, full_at| full_at.0 > median);
    }
}

/// Some 20 MB.
const MAX_BUCKETS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Origin;
    use crate::limits::{Class, Limits, Target};

    #[test]
    fn inventing_a_million_addresses_does_not_reset_the_counter_of_a_password() {
        let buckets = InProcessLimiter::default();
        let quota = Class::AttemptsByStrangers.quota(Limits::default());
        let (victim, now) =
            (Bucket::attempts_by_strangers(Target::Key(uuid::Uuid::nil())), Duration::from_secs(1_000));
        while buckets.count_at(&victim, quota, now).retry_after.is_none() {}
        let invented = Quota::new(100, Duration::from_secs(60));
        for n in 0..1_000_000_u32 {
            let address = std::net::IpAddr::V4(n.into());
            buckets.count_at(&Bucket::of_origin(Class::Requests, Origin::from(address)), invented, now);
            assert!(buckets.buckets.lock().unwrap().len() <= MAX_BUCKETS);
        }
        assert!(buckets.count_at(&victim, quota, now).retry_after.is_some());
    }
}
