//! Video usability information: what both H.264 (§E.1.1) and H.265 (§E.2.1) begin it with.

use caudal_livestream::timeline::VideoRange;

use super::bits::BitReader;

/// What samples mean, in code points of ITU-T H.273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// `ColourPrimaries`.
    pub primaries: u8,
    /// `TransferCharacteristics`.
    pub transfer: u8,
    /// `MatrixCoefficients`.
    pub matrix: u8,
    /// Samples use all their values.
    pub full_range: bool,
}

/// The part that the standards share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usability {
    pub(super) pixel_aspect: (u16, u16),
    /// None where it says nothing, or that it does not know.
    pub(super) colour: Option<Colour>,
}

impl Colour {
    /// What is said of it in playlists.
    pub fn range(self) -> VideoRange {
        match self.transfer {
            PERCEPTUAL_QUANTIZER => VideoRange::Pq,
            HYBRID_LOG_GAMMA => VideoRange::Hlg,
            _ => VideoRange::Sdr,
        }
    }
}

impl Default for Usability {
    fn default() -> Self {
        Self { pixel_aspect: SQUARE, colour: None }
    }
}

impl Usability {
    /// Up to and with the position of chroma samples. What can be read of one that ends early counts.
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        if bits.bit()? {
            let indicator = bits.bits(8)?;
            self.pixel_aspect = if indicator == EXTENDED_ASPECT_RATIO {
                plausible((u16::try_from(bits.bits(16)?).ok()?, u16::try_from(bits.bits(16)?).ok()?))
            } else {
                let known = usize::try_from(indicator).ok().and_then(|index| PIXEL_ASPECTS.get(index));
                known.copied().unwrap_or(SQUARE)
            };
        }
        // Overscan.
        if bits.bit()? {
            bits.skip(1)?;
        }
        if bits.bit()? {
            bits.skip(3)?;
            let full_range = bits.bit()?;
            if bits.bit()? {
                let mut code = || u8::try_from(bits.bits(8)?).ok();
                let (primaries, transfer, matrix) = (code()?, code()?, code()?);
                let colour = Colour { primaries, transfer, matrix, full_range };
                self.colour = Some(colour).filter(|colour| colour.transfer != UNSPECIFIED);
            }
        }
        if bits.bit()? {
            bits.ue()?;
            bits.ue()?;
        }
        Some(())
    }
}

/// Broken encoders write zeros, and nobody's pixels are eight times as wide as high.
fn plausible((across, down): (u16, u16)) -> (u16, u16) {
    let (a, b) = (u32::from(across), u32::from(down));
    if a > 0 && b > 0 && a <= b * 8 && b <= a * 8 { (across, down) } else { SQUARE }
}

const SQUARE: (u16, u16) = (1, 1);
const EXTENDED_ASPECT_RATIO: u32 = 255;
/// H.264 table E-1, by `aspect_ratio_idc`.
const PIXEL_ASPECTS: [(u16, u16); 17] = [
    SQUARE,
    SQUARE,
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];
const UNSPECIFIED: u8 = 2;
const PERCEPTUAL_QUANTIZER: u8 = 16;
const HYBRID_LOG_GAMMA: u8 = 18;
