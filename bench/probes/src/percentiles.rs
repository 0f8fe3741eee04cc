//! What a list of durations comes to.

use std::time::Duration;

/// Median, 95th and 99th percentile and the longest, in milliseconds.
pub fn percentiles(durations: &mut [Duration]) -> serde_json::Value {
    durations.sort_unstable();
    let at = |hundredth: usize| {
        let index = durations.len().saturating_sub(1) * hundredth / 100;
        durations.get(index).map_or(f64::NAN, Duration::as_secs_f64) * 1000.0
    };
    serde_json::json!({ "count": durations.len(), "p50": at(50), "p95": at(95), "p99": at(99), "max": at(100) })
}
