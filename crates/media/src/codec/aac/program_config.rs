//! A layout of channels that an encoder writes out itself: `program_config_element` (ISO/IEC 14496-3 §4.4.1.1).

use super::Element::{self, LowFrequency, Pair, Single};
use super::elements;
use crate::codec::bits::BitReader;

/// What frames consist of, in this order.
pub(super) struct Layout {
    elements: Vec<Element>,
}

impl Layout {
    pub(super) fn channels(&self) -> usize {
        self.elements.iter().map(|element| if *element == Pair { 2 } else { 1 }).sum()
    }

    /// The standard's configuration whose frames consist of the same elements, if there is one. Those of ffmpeg's
    /// `5.1(side)` do not: its low frequencies are a single channel before the last pair.
    pub(super) fn channel_configuration(&self) -> Option<u32> {
        (1..=7).find(|configuration| elements(*configuration).is_some_and(|known| known == self.elements))
    }
}

/// Reads the element as far as its channels go. None when it is cut off.
pub(super) fn program_config(bits: &mut BitReader<'_>) -> Option<Layout> {
    // Its instance tag, object type and sampling rate: the AudioSpecificConfig has said them.
    bits.skip(4 + 2 + 4)?;
    let counts = [bits.bits(4)?, bits.bits(4)?, bits.bits(4)?];
    let low_frequency = bits.bits(2)?;
    // Data elements and coupling channels, which do not come out of a loudspeaker.
    bits.skip(3 + 4)?;
    // Mono and stereo mixdown elements, and the matrix for one.
    for length in [4, 4, 3] {
        if bits.bit()? {
            bits.skip(length)?;
        }
    }
    let mut elements = Vec::new();
    // Front, side and back.
    for _ in 0..counts.iter().sum::<u32>() {
        elements.push(if bits.bit()? { Pair } else { Single });
        bits.skip(4)?;
    }
    for _ in 0..low_frequency {
        elements.push(LowFrequency);
        bits.skip(4)?;
    }
    Some(Layout { elements })
}
