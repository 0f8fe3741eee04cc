//! What a worker counts.

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

/// Handles to the worker's metrics; all clones are one.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) input_bytes: IntCounter,
    pub(crate) input_bitrate: IntGauge,
    pub(crate) input_fps: Gauge,
    pub(crate) parts: IntCounter,
    pub(crate) part_publish_delay: Histogram,
    pub(crate) feed_readers: IntGauge,
    pub(crate) feed_cut: IntCounter,
    pub(crate) encoder_restarts: IntCounter,
    pub(crate) encoder_speed: Gauge,
    pub(crate) encoder_too_slow: IntCounter,
    pub(crate) encoder_queue: IntGauge,
    pub(crate) storage_latency: Histogram,
    pub(crate) storage_failures: IntCounter,
    pub(crate) storage_queue_bytes: IntGauge,
    pub(crate) storage_lost_segments: IntCounter,
    pub(crate) memory_bytes: IntGauge,
    pub(crate) credentials_taken: IntCounter,
    pub(crate) credentials_expire: IntGauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let made = IntCounter::new(name, help)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let int_gauge = |name: &str, help: &str| {
            let made = IntGauge::new(name, help)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let gauge = |name: &str, help: &str| {
            let made = Gauge::new(name, help)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let made = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        Ok(Self {
            input_bytes: counter("caudal_worker_input_bytes_total", "Media bytes taken from the router")?,
            input_bitrate: int_gauge("caudal_worker_input_bits_per_second", "Media over the last second")?,
            input_fps: gauge("caudal_worker_input_frames_per_second", "Video frames over the last second")?,
            parts: counter("caudal_worker_parts_total", "Parts announced, of all renditions")?,
            part_publish_delay: histogram(
                "caudal_worker_part_publish_delay_seconds",
                "From the last byte of a frame to the feed frame of the source part that it closed",
                &[0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2],
            )?,
            feed_readers: int_gauge("caudal_worker_feed_readers", "Open feeds")?,
            feed_cut: counter(
                "caudal_worker_feed_cut_total",
                "Feeds disconnected because they were read too slowly",
            )?,
            encoder_restarts: counter(
                "caudal_worker_encoder_restarts_total",
                "Times that ffmpeg was started anew",
            )?,
            encoder_speed: gauge(
                "caudal_worker_encoder_speed_ratio",
                "Encoded media time by wall time, last second",
            )?,
            encoder_too_slow: counter(
                "caudal_worker_encoder_too_slow_total",
                "Renditions withdrawn because encoding was slower than real time",
            )?,
            encoder_queue: int_gauge(
                "caudal_worker_encoder_queue_frames",
                "Frames that wait for ffmpeg to read them",
            )?,
            storage_latency: histogram(
                "caudal_worker_storage_put_seconds",
                "Time to store one segment",
                &[0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0],
            )?,
            storage_failures: counter(
                "caudal_worker_storage_failures_total",
                "Writes that failed and are tried again",
            )?,
            storage_queue_bytes: int_gauge(
                "caudal_worker_storage_queue_bytes",
                "Segment bytes that wait for storage",
            )?,
            storage_lost_segments: counter(
                "caudal_worker_storage_lost_segments_total",
                "Segments that storage did not take in time and that were given up",
            )?,
            credentials_taken: counter(
                "caudal_worker_storage_credentials_taken_total",
                "Storage credentials that came with the assignment or were renewed",
            )?,
            credentials_expire: int_gauge(
                "caudal_worker_storage_credentials_expire_timestamp_seconds",
                "Until when storage takes them; 0 for a worker that has its own",
            )?,
            memory_bytes: int_gauge("caudal_worker_media_memory_bytes", "Parts and segments in memory")?,
        })
    }
}
