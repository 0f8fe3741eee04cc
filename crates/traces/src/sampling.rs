//! Which streams are traced.

use std::str::FromStr;

use caudal_livestream::StreamId;
use thiserror::Error;

/// The share of streams that are traced, decided by the stream's id alone, so that all processes with the same share agree.
///
/// By the last 56 bits: the rule that OpenTelemetry has for consistent sampling by trace id, so a collector that samples by it keeps or
/// drops whole traces too. In a UUIDv7 they are random, but the higher 24 count on where one process makes several in the same
/// millisecond: these are traced together or not at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Ids whose random part is below are not traced.
    rejected_below: u64,
    of_one: f64,
}

/// No share.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("expected a share from 0 to 1, as in 0.1")]
pub struct NoShare;

impl Share {
    /// All of them.
    pub const ALL: Self = Self { rejected_below: 0, of_one: 1.0 };

    /// Whether a stream is traced.
    pub fn holds(self, stream: StreamId) -> bool {
        let [_, _, _, _, _, _, _, _, _, random @ ..] = stream.0.into_bytes();
        let value = random.into_iter().fold(0_u64, |value, byte| (value << 8) | u64::from(byte));
        value >= self.rejected_below
    }

    /// As [`FromStr`] takes it.
    pub fn of_one(self) -> f64 {
        self.of_one
    }
}

impl FromStr for Share {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Self, NoShare> {
        let of_one: f64 = text.parse().map_err(|_| NoShare)?;
        if !(0.0..=1.0).contains(&of_one) {
            return Err(NoShare);
        }
        // The binary digits of what is not traced, as many as an id has random ones.
        let (mut rest, mut rejected_below) = (1.0 - of_one, 0_u64);
        for _ in 0..RANDOM_BITS {
            rest *= 2.0;
            rejected_below <<= 1;
            if rest >= 1.0 {
                rest -= 1.0;
                rejected_below |= 1;
            }
        }
        Ok(Self { rejected_below, of_one })
    }
}

const RANDOM_BITS: u32 = 56;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_streams_are_traced_as_the_share_says_and_always_the_same_ones() {
        // Spread evenly, as ids are that are made apart.
        let id = |index: u64| {
            format!("01890a5d-ac96-774b-80{:02x}-{:012x}", index >> 48, index & 0xFFFF_FFFF_FFFF)
        };
        let streams: Vec<StreamId> =
            (0..1_000).map(|index| id((1 << RANDOM_BITS) / 1_000 * index).parse().unwrap()).collect();
        let traced = |share: &str| {
            let share: Share = share.parse().unwrap();
            streams.iter().filter(|stream| share.holds(**stream)).count()
        };
        assert_eq!((traced("0"), traced("1")), (0, 1_000));
        let tenth = traced("0.1");
        assert!((99..=101).contains(&tenth), "{tenth}");
        // Whoever traces more traces those too.
        let (some, more): (Share, Share) = ("0.1".parse().unwrap(), "0.5".parse().unwrap());
        assert!(streams.iter().all(|stream| !some.holds(*stream) || more.holds(*stream)));
        assert!(streams.iter().all(|stream| Share::ALL.holds(*stream)));
        for wrong in ["", "2", "-0.1", "NaN", "all"] {
            assert_eq!(wrong.parse::<Share>(), Err(NoShare), "{wrong}");
        }
    }
}
