//! What is known of the door, the same at all replicas.

use prometheus::{GaugeVec, Opts, Registry};

pub(super) struct DoorMetrics {
    /// Without labels; a vector, because only that can be without a value while nobody knows.
    up: GaugeVec,
    uptime: GaugeVec,
}

impl DoorMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let up = GaugeVec::new(
            Opts::new("caudal_api_rtmp_door_up", "Whether the last probe could begin as publishers do."),
            &[],
        )?;
        let uptime = GaugeVec::new(
            Opts::new(
                "caudal_api_rtmp_uptime_ratio",
                "The share of the last 30 days' probes that could begin as publishers do.",
            ),
            &[],
        )?;
        registry.register(Box::new(up.clone()))?;
        registry.register(Box::new(uptime.clone()))?;
        Ok(Self { up, uptime })
    }

    pub(super) fn show(&self, up: Option<bool>, uptime: Option<f64>) {
        for (gauge, value) in [(&self.up, up.map(|up| f64::from(u8::from(up)))), (&self.uptime, uptime)] {
            match value {
                Some(value) => gauge.with_label_values(NO_LABELS).set(value),
                None => gauge.reset(),
            }
        }
    }

    /// The database does not say.
    pub(super) fn unknown(&self) {
        self.show(None, None);
    }
}

const NO_LABELS: &[&str] = &[];
