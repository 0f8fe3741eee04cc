//! How much media comes in, for the metrics.

use tokio::time::Instant;

use crate::metrics::Metrics;

/// Since the last report.
#[derive(Debug)]
pub(super) struct Tally {
    since: Instant,
    bytes: u64,
    frames: u32,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), bytes: 0, frames: 0 }
    }

    /// Counts what has come of a tag; returns it.
    pub(super) fn bytes(&mut self, bytes: usize) -> u64 {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        bytes
    }

    pub(super) fn frame(&mut self) {
        self.frames = self.frames.saturating_add(1);
    }

    /// Says the rates, and begins anew.
    pub(super) fn report(&mut self, metrics: &Metrics) {
        let since = self.since.elapsed();
        let seconds = since.as_secs_f64();
        if seconds > 0.0 {
            let bits = self.bytes.saturating_mul(8).saturating_mul(1000)
                / u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
            metrics.input_bitrate.set(i64::try_from(bits).unwrap_or(i64::MAX));
            metrics.input_fps.set(f64::from(self.frames) / seconds);
        }
        *self = Self::new();
    }
}
