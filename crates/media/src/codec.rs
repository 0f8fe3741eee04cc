//! Codec configuration records: what they say about size, rate and channels, and how RFC 6381 names them.

pub mod aac;
pub(crate) mod adts;
pub mod avc;
pub(crate) mod bits;
pub mod hevc;
mod picture;
mod vui;

use bytes::{BufMut as _, Bytes, BytesMut};
use caudal_livestream::timeline::{Track, TrackMedia, VideoRange};
use thiserror::Error;

pub use self::picture::{PictureFormat, Scan};
pub use self::vui::Colour;
use crate::field_pairs::FieldSyntax;
use crate::flv::VideoCodec;

/// A video decoder configuration, read far enough to describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoConfig {
    /// Which codec.
    pub codec: VideoCodec,
    /// avcC or hvcC, written anew from the parameter sets alone: without spare bytes, and for length prefixes of four
    /// bytes.
    pub record: Bytes,
    /// RFC 6381.
    pub codecs: String,
    /// Pixels across, after cropping.
    pub width: u32,
    /// Pixels down, after cropping.
    pub height: u32,
    /// Width and height of a pixel, in one unit.
    pub pixel_aspect: (u16, u16),
    /// Whether pictures are made of fields.
    pub scan: Scan,
    /// How its slices tell fields, where they can be fields.
    pub(crate) fields: Option<FieldSyntax>,
    /// What samples mean, if the stream says so itself.
    pub colour: Option<Colour>,
    /// Frames a thousand seconds, if the stream says so itself.
    pub fps_milli: Option<u32>,
    /// Bytes of each NAL unit's length prefix as the publisher writes them: 1 to 4.
    pub length_size: u8,
}

/// Why a configuration record cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// It ends too early.
    #[error("a codec configuration that is cut off")]
    Truncated,
    /// It contradicts itself or its standard.
    #[error("a broken codec configuration: {0}")]
    Broken(String),
    /// It is for something that is not packaged.
    #[error("{0} is not supported")]
    Unsupported(String),
}

impl VideoConfig {
    /// Reads a sequence header's record.
    ///
    /// # Errors
    /// [`ConfigError`] when it is broken, or larger than [`MAX_RECORD`].
    pub fn parse(codec: VideoCodec, record: &Bytes) -> Result<Self, ConfigError> {
        if record.len() > MAX_RECORD {
            return Err(ConfigError::Broken(format!("{} bytes", record.len())));
        }
        let config = match codec {
            VideoCodec::Avc => avc::parse(record)?,
            VideoCodec::Hevc => hevc::parse(record)?,
        };
        if !(1..=MAX_SIDE).contains(&config.width) || !(1..=MAX_SIDE).contains(&config.height) {
            return Err(ConfigError::Broken(format!("{}x{} pixels", config.width, config.height)));
        }
        Ok(config)
    }

    /// The pictures that a decoder makes of it.
    pub fn format(&self) -> PictureFormat {
        PictureFormat {
            width: self.width,
            height: self.height,
            pixel_aspect: self.pixel_aspect,
            scan: self.scan,
            range: self.colour.map_or(VideoRange::Sdr, Colour::range),
        }
    }

    /// Describes a rendition as it is with this configuration; true if that was news.
    pub(crate) fn describe(&self, track: &mut Track) -> bool {
        let TrackMedia::Video { width, height, range, .. } = &mut track.media else { return false };
        let own = (self.width, self.height, self.format().range);
        let news = track.codecs != self.codecs || (*width, *height, *range) != own;
        track.codecs.clone_from(&self.codecs);
        (*width, *height, *range) = own;
        news
    }

    /// Whether `data` is NAL units whose lengths add up.
    pub fn is_whole(&self, mut data: &[u8]) -> bool {
        let prefix = usize::from(self.length_size);
        if data.is_empty() {
            return false;
        }
        while !data.is_empty() {
            let Some((head, rest)) = data.split_at_checked(prefix) else { return false };
            let length = head.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
            let Some(rest) = rest.get(length..) else { return false };
            data = rest;
        }
        true
    }
}

/// A unit of a record, behind its length of 16 bits.
fn take_unit<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<2>()?;
    let (unit, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
    *rest = behind;
    Some(unit)
}

fn put_unit(record: &mut BytesMut, unit: &[u8]) -> Result<(), ConfigError> {
    let broken = |_| ConfigError::Broken(format!("a parameter set of {} bytes", unit.len()));
    record.put_u16(u16::try_from(unit.len()).map_err(broken)?);
    record.put_slice(unit);
    Ok(())
}

/// A frame rate that can be believed, in frames a thousand seconds.
pub(crate) fn plausible_fps(fps_milli: u32) -> Option<u32> {
    (MIN_FPS_MILLI..=MAX_FPS_MILLI).contains(&fps_milli).then_some(fps_milli)
}

/// Real ones have tens to hundreds of bytes; VPS, SPS and PPS with scaling lists stay under 4 KiB.
pub const MAX_RECORD: usize = 16 * 1024;
/// The mp4 sample entry's field has 16 bits; level 6.2 ends at 16,384.
const MAX_SIDE: u32 = 16_384;
const MIN_FPS_MILLI: u32 = 1_000;
const MAX_FPS_MILLI: u32 = 240_000;
