//! What a source's pictures are like, for whoever shows them or makes others of them.

use caudal_livestream::timeline::VideoRange;

/// Pictures as they come out of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureFormat {
    /// Pixels across, after cropping.
    pub width: u32,
    /// Pixels down, after cropping.
    pub height: u32,
    /// Width and height of a pixel, in one unit.
    pub pixel_aspect: (u16, u16),
    /// What a picture is of a frame.
    pub scan: Scan,
    /// How samples become light.
    pub range: VideoRange,
}

/// How frames are scanned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scan {
    /// Lines of a picture belong to one instant.
    #[default]
    Progressive,
    /// Some or all pictures are two fields, every other line each, taken at two instants.
    Interlaced,
    /// Each picture is one field, half as high as its frame (H.265's `field_seq_flag`).
    Fields,
}

impl PictureFormat {
    /// Pixels across and down when pixels are square and frames whole. Lines stay as many as they are.
    pub fn displayed(&self) -> (u32, u32) {
        let (across, down) = self.pixel_aspect;
        let down = u64::from(down.max(1));
        let width = (u64::from(self.width) * u64::from(across) + down / 2) / down;
        let width = u32::try_from(width).unwrap_or(u32::MAX);
        match self.scan {
            Scan::Fields => (width, self.height.saturating_mul(2)),
            Scan::Progressive | Scan::Interlaced => (width, self.height),
        }
    }

    /// The side that a quality is named after: `720p` is 1280x720, and 720x1280 where a telephone is held upright.
    pub fn short_side(&self) -> u32 {
        let (width, height) = self.displayed();
        width.min(height)
    }

    /// The size of a rendition whose shorter side has `pixels`, or as many as there are: square pixels, even sides.
    pub fn scaled_to(&self, pixels: u32) -> (u32, u32) {
        let (width, height) = self.displayed();
        if width < height {
            Self::shrunk(width, height, pixels)
        } else {
            let (height, width) = Self::shrunk(height, width, pixels);
            (width, height)
        }
    }

    /// The size of a picture that is no wider than `pixels`: square pixels, even sides.
    pub fn within_width(&self, pixels: u32) -> (u32, u32) {
        let (width, height) = self.displayed();
        Self::shrunk(width, height, pixels)
    }

    /// One side cut to `most`, and the other in proportion, to the nearest even number.
    fn shrunk(side: u32, other: u32, most: u32) -> (u32, u32) {
        let shrunk = (side.min(most) / 2 * 2).max(2);
        let twice = u64::from(side.max(1)) * 2;
        let half = (u64::from(other) * u64::from(shrunk) + twice / 2) / twice;
        (shrunk, u32::try_from(half * 2).unwrap_or(u32::MAX - 1).max(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(width: u32, height: u32, pixel_aspect: (u16, u16), scan: Scan) -> PictureFormat {
        PictureFormat { width, height, pixel_aspect, scan, range: VideoRange::Sdr }
    }

    #[test]
    fn a_rendition_is_named_after_its_shorter_side() {
        for ((width, height), pixels, wanted) in [
            ((1920, 1080), 720, (1280, 720)),
            ((1080, 1920), 720, (720, 1280)),
            ((1920, 1080), 480, (854, 480)),
            ((1080, 1920), 480, (480, 854)),
            ((1080, 1080), 360, (360, 360)),
            ((1280, 544), 360, (848, 360)),
            // Not above the source, and even all the same.
            ((641, 361), 720, (640, 360)),
            ((361, 641), 720, (360, 640)),
            ((1, 9000), 360, (2, 18_000)),
        ] {
            let source = format(width, height, (1, 1), Scan::Progressive);
            assert_eq!(source.scaled_to(pixels), wanted, "{width}x{height} to {pixels}");
        }
    }

    #[test]
    fn a_poster_has_a_width() {
        for ((width, height), wanted) in
            [((1920, 1080), (640, 360)), ((1080, 1920), (640, 1138)), ((320, 240), (320, 240))]
        {
            assert_eq!(format(width, height, (1, 1), Scan::Progressive).within_width(640), wanted);
        }
    }

    #[test]
    fn pixels_become_square_and_fields_frames() {
        for (source, shown, at_360) in [
            (format(720, 576, (16, 11), Scan::Interlaced), (1047, 576), (654, 360)),
            (format(720, 480, (8, 9), Scan::Interlaced), (640, 480), (480, 360)),
            (format(1440, 1080, (4, 3), Scan::Progressive), (1920, 1080), (640, 360)),
            (format(1920, 540, (1, 1), Scan::Fields), (1920, 1080), (640, 360)),
        ] {
            assert_eq!((source.displayed(), source.scaled_to(360)), (shown, at_360), "{source:?}");
        }
    }
}
