//! What the edge counts.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, exponential_buckets,
};

/// Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) requests: IntCounterVec,
    pub(crate) sent: IntCounter,
    pub(crate) waiting: IntGauge,
    pub(crate) followed: IntGauge,
    pub(crate) viewers: IntGauge,
    pub(crate) feeds_lost: IntCounter,
    pub(crate) feed_lag: Histogram,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("caudal_hls_edge_requests_total", "Answered requests."),
                &["kind", "status"],
            )?,
            sent: IntCounter::new(
                "caudal_hls_edge_sent_bytes_total",
                "Bytes of playlists, manifests and media sent.",
            )?,
            waiting: IntGauge::new(
                "caudal_hls_edge_waiting_requests",
                "Requests that wait for something to come.",
            )?,
            followed: IntGauge::new("caudal_hls_edge_followed_streams", "Streams that are followed.")?,
            viewers: IntGauge::new("caudal_hls_edge_viewers", "Viewers of all streams.")?,
            feeds_lost: IntCounter::new("caudal_hls_edge_feeds_lost_total", "Worker feeds that broke.")?,
            feed_lag: Histogram::with_opts(
                HistogramOpts::new(
                    "caudal_hls_edge_feed_lag_seconds",
                    "From the end of a part's media, by its program date, to its announcement here.",
                )
                .buckets(exponential_buckets(0.01, 2.0, 10)?),
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.sent.clone()))?;
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.followed.clone()))?;
        registry.register(Box::new(metrics.viewers.clone()))?;
        registry.register(Box::new(metrics.feeds_lost.clone()))?;
        registry.register(Box::new(metrics.feed_lag.clone()))?;
        Ok(metrics)
    }
}
