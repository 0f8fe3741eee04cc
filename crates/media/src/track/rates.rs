//! The bitrates that a master playlist says.

use caudal_livestream::timeline::Segment;

/// Of the whole segments so far.
#[derive(Debug, Default)]
pub(super) struct Rates {
    peak: u32,
    bytes: u64,
    micros: u64,
}

impl Rates {
    pub(super) fn add(&mut self, segment: &Segment) {
        let bits = segment.size.saturating_mul(8);
        // A segment of less than half a second says nothing about the peak that a player has to sustain.
        if segment.duration.0 >= 500_000 {
            let rate = bits.saturating_mul(1_000_000) / segment.duration.0;
            self.peak = self.peak.max(u32::try_from(rate).unwrap_or(u32::MAX));
        }
        self.bytes = self.bytes.saturating_add(segment.size);
        self.micros = self.micros.saturating_add(segment.duration.0);
    }

    /// Peak and average, in bits a second.
    pub(super) fn read(&self) -> (u32, u32) {
        let average = u128::from(self.bytes) * 8_000_000 / u128::from(self.micros.max(1));
        (self.peak, u32::try_from(average).unwrap_or(u32::MAX))
    }
}
