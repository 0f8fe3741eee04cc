//! Counters of this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Bucket;
use super::gcra::{FullAt, Quota, Verdict};

/// Bounded: see [`MAX_BUCKETS`].
#[derive(Default)]
pub(super) struct LocalBuckets {
    // Held for single map operations only, never across an await.
    buckets: Mutex<HashMap<Bucket, FullAt>>,
}

impl LocalBuckets {
    pub(super) fn count(&self, bucket: &Bucket, quota: Quota, now: Duration) -> Verdict {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(bucket) {
            buckets.retain(|_, full_at| full_at.0 > now);
            if buckets.len() >= MAX_BUCKETS {
                // So many origins within a minute are an attack; forgetting its counters costs less than the memory.
                tracing::warn!(MAX_BUCKETS, "rate limit counters were emptied");
                buckets.clear();
            }
        }
        buckets.entry(bucket.clone()).or_default().count(quota, now)
    }

    pub(super) fn sweep(&self, now: Duration) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|_, full_at| full_at.0 > now);
        if buckets.capacity() > buckets.len().saturating_mul(4).max(1024) {
            buckets.shrink_to_fit();
        }
    }
}

/// Some 20 MB.
const MAX_BUCKETS: usize = 100_000;
