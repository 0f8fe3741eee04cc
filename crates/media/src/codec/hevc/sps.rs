//! H.265's sequence parameter set (§7.3.2.2), as far as packaging needs it.

use super::HEAD;
use crate::codec::bits::{BitReader, unescape};
use crate::codec::picture::Scan;
use crate::codec::vui::Usability;

/// What it says.
pub(super) struct Sps {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) scan: Scan,
    pub(super) usability: Usability,
    chroma: u32,
    luma_depth: u32,
    chroma_depth: u32,
    /// `sps_max_sub_layers_minus1` and whether they are nested.
    sub_layers: u32,
    nested: bool,
    /// `general_profile_space` to `general_level_idc`.
    general: [u8; 12],
}

impl Sps {
    /// Reads a NAL unit (§7.3.2.2.1).
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let payload = unescape(unit.get(2..)?);
        let mut bits = BitReader::new(&payload);
        bits.skip(4)?;
        let (sub_layers, nested) = (bits.bits(3)?, bits.bit()?);
        let general = *payload.get(1..)?.first_chunk::<12>()?;
        bits.skip(96)?;
        let mut present = Vec::new();
        for _ in 0..sub_layers {
            present.push((bits.bit()?, bits.bit()?));
        }
        if sub_layers > 0 {
            for _ in sub_layers..8 {
                bits.skip(2)?;
            }
        }
        for (profile, level) in present {
            bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
        }
        bits.ue()?;
        let chroma = bits.ue()?;
        if chroma == 3 {
            bits.skip(1)?;
        }
        let (mut width, mut height) = (bits.ue()?, bits.ue()?);
        if bits.bit()? {
            let (across, down) = match chroma {
                1 => (2, 2),
                2 => (2, 1),
                _ => (1, 1),
            };
            let (left, right, top, bottom) = (bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?);
            let cut = |whole: u32, a: u32, b: u32, unit: u32| {
                whole.checked_sub(a.checked_add(b)?.checked_mul(unit)?)
            };
            (width, height) = (cut(width, left, right, across)?, cut(height, top, bottom, down)?);
        }
        // Only a record that has to be made of annex B needs them.
        let luma_depth = bits.ue().unwrap_or(0);
        let chroma_depth = bits.ue().unwrap_or(0);
        let [_, _, _, _, _, constraints, ..] = general;
        let scan = if constraints & INTERLACED_SOURCE == 0 { Scan::Progressive } else { Scan::Interlaced };
        let mut sps = Self {
            width,
            height,
            scan,
            usability: Usability::default(),
            chroma,
            luma_depth,
            chroma_depth,
            sub_layers,
            nested,
            general,
        };
        if skip_to_vui(&mut bits, sub_layers) == Some(true) {
            // What cannot be read says nothing.
            let _ = sps.read_vui(&mut bits);
        }
        Some(sps)
    }

    fn read_vui(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        self.usability.read(bits)?;
        // Neutral chroma.
        bits.skip(1)?;
        if bits.bit()? {
            self.scan = Scan::Fields;
        }
        Some(())
    }

    /// A record's head, where the publisher sends annex B instead of one.
    pub(super) fn head(&self) -> [u8; HEAD] {
        let low = |value: u32, mask: u32| u8::try_from(value & mask).unwrap_or(0);
        let mut head = [0; HEAD];
        let layers = low(self.sub_layers + 1, 7) << 3 | u8::from(self.nested) << 2 | 3;
        let behind = [
            0xF0,
            0,
            0xFC,
            0xFC | low(self.chroma, 3),
            0xF8 | low(self.luma_depth, 7),
            0xF8 | low(self.chroma_depth, 7),
            0,
            0,
            layers,
        ];
        let bytes = std::iter::once(1).chain(self.general).chain(behind);
        head.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        head
    }
}

/// From behind the bit depths to the VUI; whether there is one.
fn skip_to_vui(bits: &mut BitReader<'_>, sub_layers: u32) -> Option<bool> {
    let order_count_bits = bits.ue()?.checked_add(4)?;
    let all_layers = bits.bit()?;
    for _ in 0..=if all_layers { sub_layers } else { 0 } {
        skip_numbers(bits, 3)?;
    }
    // Sizes of blocks and depths of their trees.
    skip_numbers(bits, 6)?;
    if bits.bit()? && bits.bit()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.bit()? {
        bits.skip(8)?;
        skip_numbers(bits, 2)?;
        bits.skip(1)?;
    }
    skip_reference_sets(bits)?;
    if bits.bit()? {
        for _ in 0..at_most(bits.ue()?, MAX_LONG_TERM)? {
            bits.skip(usize::try_from(order_count_bits).ok()?)?;
            bits.skip(1)?;
        }
    }
    bits.skip(2)?;
    bits.bit()
}

/// §7.3.4.
fn skip_scaling_lists(bits: &mut BitReader<'_>) -> Option<()> {
    for size in 0..4_u32 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !bits.bit()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.se()?;
            }
            for _ in 0..64_u32.min(16 << (size * 2)) {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// §7.3.7, each set.
fn skip_reference_sets(bits: &mut BitReader<'_>) -> Option<()> {
    let mut pictures = 0_u32;
    for index in 0..at_most(bits.ue()?, MAX_REFERENCE_SETS)? {
        if index > 0 && bits.bit()? {
            bits.skip(1)?;
            bits.ue()?;
            let before = pictures;
            pictures = 0;
            for _ in 0..=before {
                let kept = bits.bit()? || bits.bit()?;
                pictures += u32::from(kept);
            }
        } else {
            let (negative, positive) = (bits.ue()?, bits.ue()?);
            pictures = at_most(negative.checked_add(positive)?, MAX_REFERENCES)?;
            for _ in 0..pictures {
                bits.ue()?;
                bits.skip(1)?;
            }
        }
    }
    Some(())
}

fn skip_numbers(bits: &mut BitReader<'_>, count: usize) -> Option<()> {
    for _ in 0..count {
        bits.ue()?;
    }
    Some(())
}

fn at_most(number: u32, most: u32) -> Option<u32> {
    Some(number).filter(|number| *number <= most)
}

/// `general_interlaced_source_flag` (§7.4.4), behind the compatibility flags.
const INTERLACED_SOURCE: u8 = 0x40;
const MAX_REFERENCE_SETS: u32 = 64;
const MAX_REFERENCES: u32 = 32;
const MAX_LONG_TERM: u32 = 32;
