//! The publisher's audio frames, which go out only under the configuration that is theirs.

use bytes::Bytes;
use caudal_livestream::UnixMillis;

use super::unplayable::Got;
use super::{Packager, Stage};
use crate::codec::aac::AacConfig;
use crate::codec::adts::AdtsFrame;
use crate::input_clock::Input;
use crate::report::MediaReport;

/// Where the configuration of the publisher's audio comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Sound {
    /// None that can be used has come: frames are dropped, for they would go out under an invented one.
    #[default]
    Unknown,
    /// A codec header.
    Header,
    /// The ADTS headers of the frames themselves, which say this.
    Adts(Bytes),
    /// This one came from there, after more changes than are allowed: frames are dropped until it may be taken.
    Waiting(Box<AacConfig>, Box<Sound>),
}

impl Packager {
    pub(super) fn audio_header(&mut self, record: &Bytes, now: UnixMillis) {
        // Some encoders send an empty one before the real one, and again in mid-stream.
        if record.is_empty() {
            return;
        }
        self.sound = Sound::Header;
        self.configure_audio(record, now);
    }

    fn configure_audio(&mut self, record: &Bytes, now: UnixMillis) {
        let config = match AacConfig::parse(record) {
            Ok(config) => config,
            Err(error) => {
                // Its frames are of no known configuration: silence takes their place.
                self.sound = Sound::Unknown;
                self.unplayable.sound(Got::Refused, Some(error.to_string()));
                return self.malformed(error.to_string());
            }
        };
        self.unplayable.sound(Got::Header, None);
        self.take_audio(config, now);
    }

    fn take_audio(&mut self, config: AacConfig, now: UnixMillis) {
        match &mut self.stage {
            Stage::Starting(start) => start.set_audio(config),
            Stage::Live(live) => {
                match live.audio_header(config.clone(), now, &mut self.announcer, self.clock.as_mut()) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.sound =
                            Sound::Waiting(Box::new(config), Box::new(std::mem::take(&mut self.sound)));
                        self.report_once(MediaReport::TooManyChanges);
                    }
                    Err(error) => {
                        self.sound = Sound::Unknown;
                        self.unplayable.sound(Got::Unwritable, Some(error.to_string()));
                        self.malformed(error.to_string());
                    }
                }
            }
            Stage::Ended => {}
        }
    }

    /// Frames that each say how they are to be decoded: that counts where no codec header does.
    pub(super) fn adts_frames(&mut self, rtmp_ms: u32, frames: Vec<AdtsFrame>, now: UnixMillis) {
        let mut at = rtmp_ms;
        for frame in frames {
            let known = match &self.sound {
                Sound::Header => true,
                Sound::Adts(record) => *record == frame.record,
                Sound::Waiting(_, source) => {
                    **source == Sound::Header || **source == Sound::Adts(frame.record.clone())
                }
                Sound::Unknown => false,
            };
            if !known {
                self.sound = Sound::Adts(frame.record.clone());
                self.configure_audio(&frame.record, now);
            }
            self.sound(at, frame.data, now);
            at = at.wrapping_add(frame.milliseconds);
        }
    }

    pub(super) fn sound(&mut self, rtmp_ms: u32, data: Bytes, now: UnixMillis) {
        if data.is_empty() {
            return;
        }
        if let Sound::Waiting(config, source) = &mut self.sound {
            let config = config.as_ref().clone();
            self.sound = std::mem::take(source);
            self.take_audio(config, now);
        }
        match self.sound {
            Sound::Unknown => {
                self.unplayable.sound(Got::Headless, None);
                return self.malformed("audio without a usable configuration".to_owned());
            }
            Sound::Waiting(..) => return,
            Sound::Header | Sound::Adts(_) => self.unplayable.sound(Got::Frames, None),
        }
        let Some(at) = self.place(Input::Audio, rtmp_ms, now) else { return };
        match &mut self.stage {
            Stage::Starting(start) => start.sound(at.0, data, now),
            Stage::Live(live) => live.sound(at.0, data, now, &mut self.announcer),
            Stage::Ended => {}
        }
        self.try_start(now, false);
    }
}
