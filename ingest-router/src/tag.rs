//! What a publisher sends, one FLV tag at a time, and what the router has to know of it.

use std::sync::Arc;

use bytes::Bytes;
use caudal_media::flv::{AudioTag, USUAL_LENGTH_SIZE, VideoTag, begins_decoding};
use caudal_rtmp::Metadata;

/// One message of a publisher.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    /// Milliseconds, modulo 2^32, as the publisher sent them.
    pub(crate) timestamp_ms: u32,
    /// What it carries.
    pub(crate) body: Body,
}

/// What a tag carries: the bodies of FLV tags, unchanged.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Metadata(Arc<Metadata>),
    Audio(Bytes),
    Video(Bytes),
}

/// What a tag means to a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Metadata,
    /// A codec's configuration, without which no frame of the track can be read.
    VideoHeader,
    /// What the samples of the video mean, beside its configuration.
    VideoColour,
    AudioHeader,
    /// A frame from which decoding can begin.
    Keyframe,
    /// Any other video frame.
    Frame,
    Audio,
    /// Nothing that a worker would miss: commands, end of sequence, tags that cannot be read.
    Other,
}

impl Tag {
    /// What it means; decided by its first bytes, which may be anything.
    pub(crate) fn role(&self) -> Role {
        match &self.body {
            Body::Metadata(_) => Role::Metadata,
            Body::Audio(body) => audio_role(body),
            Body::Video(body) => video_role(body),
        }
    }

    /// Bytes of its body.
    pub(crate) fn len(&self) -> usize {
        match &self.body {
            Body::Metadata(metadata) => metadata.raw.len(),
            Body::Audio(body) | Body::Video(body) => body.len(),
        }
    }

    /// When it is shown or heard: a picture that waits for others to be decoded is shown later.
    pub(crate) fn shown_ms(&self) -> u32 {
        let delay = match &self.body {
            Body::Video(body) => match VideoTag::parse(body) {
                Ok(VideoTag::Frame { composition_ms, .. }) => composition_ms.clamp(0, MAX_COMPOSITION_MS),
                _ => 0,
            },
            Body::Audio(_) | Body::Metadata(_) => 0,
        };
        self.timestamp_ms.wrapping_add(u32::try_from(delay).unwrap_or(0))
    }

    /// The same with a timestamp of another tag.
    pub(crate) fn at(&self, timestamp_ms: u32) -> Self {
        Self { timestamp_ms, body: self.body.clone() }
    }

    /// The same in memory of its own: what is kept for long must not hold the read buffer that it came in.
    pub(crate) fn detached(&self) -> Self {
        let body = match &self.body {
            Body::Metadata(metadata) => Body::Metadata(Arc::clone(metadata)),
            Body::Audio(body) => Body::Audio(Bytes::copy_from_slice(body)),
            Body::Video(body) => Body::Video(Bytes::copy_from_slice(body)),
        };
        Self { timestamp_ms: self.timestamp_ms, body }
    }
}

fn video_role(body: &Bytes) -> Role {
    match VideoTag::parse(body) {
        Ok(VideoTag::SequenceHeader { .. }) => Role::VideoHeader,
        Ok(VideoTag::Colour(_)) => Role::VideoColour,
        Ok(VideoTag::Frame { codec, flagged, data, .. }) => {
            // The worker, which reads codec headers, looks again.
            if begins_decoding(codec, flagged, &data, USUAL_LENGTH_SIZE) {
                Role::Keyframe
            } else {
                Role::Frame
            }
        }
        Ok(VideoTag::Nothing) | Err(_) => Role::Other,
    }
}

fn audio_role(body: &Bytes) -> Role {
    match AudioTag::parse(body) {
        Ok(AudioTag::SequenceHeader { .. }) => Role::AudioHeader,
        Ok(AudioTag::Frame { .. }) => Role::Audio,
        Ok(AudioTag::Nothing) | Err(_) => Role::Other,
    }
}

/// More reordering than any encoder does.
const MAX_COMPOSITION_MS: i32 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_tag_is_known_by_its_first_bytes() {
        for (body, role) in [
            (&[0x17, 0, 0, 0, 0, 1][..], Role::VideoHeader),
            (&[0x17, 1, 0, 0, 0, 1], Role::Keyframe),
            (&[0x27, 1, 0, 0, 0, 1], Role::Frame),
            (&[0x17, 2, 0, 0, 0], Role::Other),
            (&[0x1C, 0, 0, 0, 0, 1], Role::VideoHeader),
            (&[0x57, 0], Role::Other),
            (&[0x22, 1, 0, 0, 0], Role::Other),
            (b"\x90hvc1\x01", Role::VideoHeader),
            (b"\x91hvc1\0\0\0\x01", Role::Keyframe),
            (b"\xA3hvc1\x01", Role::Frame),
            (b"\x92hvc1", Role::Other),
            (b"\x94hvc1", Role::Other),
            (PQ, Role::VideoColour),
            (&[], Role::Other),
            (&[0x17], Role::Other),
        ] {
            let tag = Tag { timestamp_ms: 0, body: Body::Video(Bytes::copy_from_slice(body)) };
            assert_eq!(tag.role(), role, "{body:x?}");
        }
    }

    /// Enhanced RTMP's `colorInfo`.
    const PQ: &[u8] = b"\x94hvc1\x02\0\x09colorInfo\x03\0\x0bcolorConfig\x03\0\x17transferCharacteristics\0\x40\x30\0\0\0\0\0\0";

    #[test]
    fn an_audio_tag_is_known_by_its_first_bytes() {
        for (body, role) in [
            (&[0xAF, 0, 0x12, 0x10][..], Role::AudioHeader),
            (&[0xAF, 1, 0x21], Role::Audio),
            (b"\x90mp4a\x12\x10", Role::AudioHeader),
            (b"\x91mp4a\x21", Role::Audio),
            (&[0x2F, 1, 0x21], Role::Other),
            (&[0xAF], Role::Other),
            (&[], Role::Other),
        ] {
            let tag = Tag { timestamp_ms: 0, body: Body::Audio(Bytes::copy_from_slice(body)) };
            assert_eq!(tag.role(), role, "{body:x?}");
        }
    }
}
