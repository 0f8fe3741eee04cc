//! The publisher's pictures: from tags to what the tracks are made of.

use bytes::Bytes;
use caudal_livestream::UnixMillis;

use super::unplayable::Got;
use super::{Packager, Stage};
use crate::access_unit::{HeaderFrom, UnitError};
use crate::cmaf::{InitSegment, video_init};
use crate::codec::{Colour, ConfigError, VideoConfig};
use crate::field_pairs::TimedUnit;
use crate::flv::{VideoCodec, VideoTag, is_plain_frame, video_frame, video_header};
use crate::input_clock::Input;

/// A coded picture of the source.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    /// Decode time on the timeline, in microseconds.
    pub(super) decode: i64,
    pub(super) composition_ms: i32,
    pub(super) keyframe: bool,
    pub(super) data: Bytes,
    /// The tag that it came in, for ffmpeg.
    pub(super) body: Bytes,
}

/// All that changes with the publisher's codec header, or with the colours beside it.
#[derive(Clone, Debug)]
pub(super) struct VideoSetup {
    pub(super) config: VideoConfig,
    /// The tag that tells ffmpeg.
    pub(super) header: Bytes,
    pub(super) init: InitSegment,
}

impl VideoSetup {
    pub(super) fn new(config: &VideoConfig, colour: Option<Colour>) -> Result<Self, ConfigError> {
        // Decoders go by the parameter sets.
        let config = VideoConfig { colour: config.colour.or(colour), ..config.clone() };
        let init = video_init(&config)?;
        Ok(Self { header: video_header(config.codec, &config.record), init, config })
    }
}

impl Packager {
    /// An FLV VIDEODATA body, as RTMP message type 9 carries it.
    #[expect(clippy::needless_pass_by_value, reason = "a tag is handed over")]
    pub fn video(&mut self, rtmp_ms: u32, body: Bytes, now: UnixMillis) {
        self.unplayable.heard(now);
        match VideoTag::parse(&body) {
            Err(error) => {
                self.unplayable.pictures(Got::Refused, Some(error.to_string()));
                self.refuse(error);
            }
            Ok(VideoTag::Nothing) => self.unplayable.pictures(Got::Empty, None),
            Ok(VideoTag::Colour(colour)) => {
                if self.colour.replace(colour) != Some(colour)
                    && let Some(config) = &self.video
                {
                    match VideoSetup::new(config, self.colour) {
                        Ok(setup) => self.take_video(setup),
                        Err(error) => self.malformed(error.to_string()),
                    }
                }
            }
            Ok(VideoTag::SequenceHeader { codec, record }) => {
                self.video_header(codec, &record, HeaderFrom::Tag);
            }
            Ok(VideoTag::Frame { codec, flagged, composition_ms, data }) => {
                if let Some(record) = self.units.header_in_band(codec, &data) {
                    self.video_header(codec, &record, HeaderFrom::Stream);
                }
                let units = match self.units.read(codec, flagged, &data) {
                    Ok(units) if units.is_empty() => return self.unplayable.pictures(Got::Empty, None),
                    Ok(units) => units,
                    Err(error) => {
                        let got = if error == UnitError::NoHeader { Got::Headless } else { Got::Broken };
                        self.unplayable.pictures(got, Some(error.to_string()));
                        return self.malformed(error.to_string());
                    }
                };
                let has_keyframe = units.iter().any(|unit| unit.keyframe);
                let got = if has_keyframe { Got::Frames } else { Got::NoKeyframe };
                self.unplayable.pictures(got, None);
                if let Stage::Live(_) = self.stage {
                    self.announcer.captions(self.units.captions());
                }
                let apart = self.distance(rtmp_ms, units.len());
                let mut rtmp_ms = rtmp_ms;
                for unit in units {
                    let pictures = self.fields.take(TimedUnit { rtmp_ms, composition_ms, unit });
                    for picture in pictures.into_iter().flatten() {
                        self.picture(codec, picture, &body, now);
                    }
                    rtmp_ms = rtmp_ms.wrapping_add(apart);
                }
            }
        }
    }

    /// Milliseconds between the pictures of one tag: as between tags, where those follow each other.
    fn distance(&mut self, rtmp_ms: u32, pictures: usize) -> u32 {
        let since = self.last_pictures_ms.replace(rtmp_ms).map_or(0, |last| rtmp_ms.wrapping_sub(last));
        let apart = u32::try_from(pictures).ok().and_then(|pictures| since.checked_div(pictures));
        apart.unwrap_or(0).clamp(1, MAX_DISTANCE_MS)
    }

    /// A picture that came in the tag with this body, if it was not mended.
    fn picture(&mut self, codec: VideoCodec, picture: TimedUnit, tag: &Bytes, now: UnixMillis) {
        let TimedUnit { rtmp_ms, composition_ms, unit } = picture;
        let Some(at) = self.place(Input::Video, rtmp_ms, now) else { return };
        let (data, keyframe) = (unit.data, unit.keyframe);
        let body = if !unit.mended && is_plain_frame(tag, keyframe) {
            tag.clone()
        } else {
            video_frame(codec, keyframe, composition_ms, &data)
        };
        let picture = Picture { decode: at.0, composition_ms, keyframe, data, body };
        match &mut self.stage {
            Stage::Starting(start) => start.picture(picture, now),
            Stage::Live(live) => live.picture(picture, now, &mut self.announcer, self.clock.as_mut()),
            Stage::Ended => {}
        }
        self.try_start(now, false);
    }

    fn video_header(&mut self, codec: VideoCodec, record: &Bytes, from: HeaderFrom) {
        // One that no initialization segment can hold is of no use either.
        let usable = VideoConfig::parse(codec, record)
            .and_then(|config| VideoSetup::new(&config, self.colour).map(|setup| (config, setup)));
        let (config, setup) = match usable {
            Ok(usable) => usable,
            Err(error) => {
                self.unplayable.pictures(Got::Refused, Some(error.to_string()));
                return self.malformed(error.to_string());
            }
        };
        self.unplayable.pictures(Got::Header, None);
        self.units.configure(&config, from);
        self.fields.configure(config.fields);
        self.video = Some(config);
        self.take_video(setup);
    }

    fn take_video(&mut self, setup: VideoSetup) {
        match &mut self.stage {
            Stage::Starting(start) => start.set_video(setup),
            Stage::Live(live) => live.video_header(setup),
            Stage::Ended => {}
        }
    }
}

/// Tags that lie further apart for each of their pictures do not follow each other, or step back.
const MAX_DISTANCE_MS: u32 = 100;
