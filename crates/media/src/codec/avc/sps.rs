//! H.264's sequence parameter set (§7.3.2.1.1), as far as packaging needs it.
//!
//! More lenient than decoders: a level too low for the picture, a broken VUI and bytes behind its end say nothing about
//! whether a browser plays the stream.

use crate::codec::bits::{BitReader, unescape};
use crate::codec::picture::Scan;
use crate::codec::plausible_fps;
use crate::codec::vui::Usability;
use crate::field_pairs::FieldSyntax;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    /// Pixels, after cropping.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) scan: Scan,
    pub(super) fields: FieldSyntax,
    pub(super) usability: Usability,
    /// If the VUI says so.
    pub(super) fps_milli: Option<u32>,
    pub(super) chroma_format: u32,
    /// Bits a sample, less 8.
    pub(super) luma_depth: u32,
    pub(super) chroma_depth: u32,
}

impl Sps {
    /// Reads a NAL unit.
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let payload = unescape(unit.get(1..)?);
        let mut bits = BitReader::new(&payload);
        let profile = u8::try_from(bits.bits(8)?).ok()?;
        bits.skip(16)?;
        bits.ue()?;
        let mut sps = Self {
            width: 0,
            height: 0,
            scan: Scan::Progressive,
            fields: FieldSyntax { frame_num_bits: 4, planes_apart: false },
            usability: Usability::default(),
            fps_milli: None,
            chroma_format: 1,
            luma_depth: 0,
            chroma_depth: 0,
        };
        if has_chroma_info(profile) {
            sps.chroma_format = bits.ue()?;
            sps.fields.planes_apart = sps.chroma_format == 3 && bits.bit()?;
            sps.luma_depth = bits.ue()?;
            sps.chroma_depth = bits.ue()?;
            bits.skip(1)?;
            if bits.bit()? {
                skip_scaling_lists(&mut bits, if sps.chroma_format == 3 { 12 } else { 8 })?;
            }
        }
        // No more than 16 by the standard; of other slices nothing is read.
        sps.fields.frame_num_bits = bits.ue()?.saturating_add(4).min(32);
        skip_picture_order(&mut bits)?;
        bits.ue()?;
        bits.skip(1)?;
        let (across, down) = (bits.ue()?.checked_add(1)?, bits.ue()?.checked_add(1)?);
        let frames_only = bits.bit()?;
        if !frames_only {
            sps.scan = Scan::Interlaced;
            bits.skip(1)?;
        }
        bits.skip(1)?;
        let fields = if frames_only { 1 } else { 2 };
        (sps.width, sps.height) = (across.checked_mul(16)?, down.checked_mul(16)?.checked_mul(fields)?);
        if bits.bit()? {
            let (left, right, top, bottom) = (bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?);
            let (unit_x, unit_y) = match sps.chroma_format {
                1 if !sps.fields.planes_apart => (2, 2),
                2 if !sps.fields.planes_apart => (2, 1),
                _ => (1, 1),
            };
            let cut = |whole: u32, a: u32, b: u32, unit: u32| {
                whole.checked_sub(a.checked_add(b)?.checked_mul(unit)?).filter(|left| *left > 0)
            };
            sps.width = cut(sps.width, left, right, unit_x)?;
            sps.height = cut(sps.height, top, bottom, unit_y * fields)?;
        }
        if bits.bit() == Some(true) {
            sps.fps_milli = sps.usability.read(&mut bits).and_then(|()| frame_rate(&mut bits));
        }
        Some(sps)
    }
}

/// Profiles whose parameter sets say how colours are sampled (§7.3.2.1.1).
pub(super) fn has_chroma_info(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

fn skip_scaling_lists(bits: &mut BitReader<'_>, lists: u32) -> Option<()> {
    for list in 0..lists {
        if !bits.bit()? {
            continue;
        }
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + i64::from(bits.se()?)).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

fn skip_picture_order(bits: &mut BitReader<'_>) -> Option<()> {
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            for _ in 0..u8::try_from(bits.ue()?).ok()? {
                bits.se()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// The VUI's timing (§E.1.1): two ticks are a frame.
fn frame_rate(bits: &mut BitReader<'_>) -> Option<u32> {
    if !bits.bit()? {
        return None;
    }
    let ticks = u64::from(bits.bits(32)?).checked_mul(2)?;
    let fps = u64::from(bits.bits(32)?).checked_mul(1000)?.checked_div(ticks)?;
    plausible_fps(u32::try_from(fps).ok()?)
}
