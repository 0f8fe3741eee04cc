//! Enhanced RTMP v2's multitrack messages: several tracks of one kind in a message, or one with its number.

use bytes::{Buf as _, Bytes};

use super::TagError;

/// One track's share of a message.
pub(super) struct TrackBody {
    pub(super) packet: u8,
    pub(super) fourcc: [u8; 4],
    pub(super) payload: Bytes,
}

/// What a message says of track 0, the only one that is packaged; None when that is nothing. `body` is what follows the
/// packet type, as `ExVideoTagBody` and `ExAudioTagBody` have it alike.
///
/// # Errors
/// [`TagError`] when the message is cut off or of a kind that the specification does not have.
pub(super) fn first_track(body: &Bytes) -> Result<Option<TrackBody>, TagError> {
    let mut rest = body.clone();
    let kind = rest.try_get_u8().map_err(|_| TagError::Truncated)?;
    let (kind, packet) = (kind >> 4, kind & 0x0F);
    if kind > MANY_TRACKS_MANY_CODECS {
        return Err(TagError::Unsupported(format!("multitrack type {kind}")));
    }
    let mut fourcc = [0; 4];
    if kind != MANY_TRACKS_MANY_CODECS {
        fourcc = take_fourcc(&mut rest)?;
    }
    while !rest.is_empty() {
        if kind == MANY_TRACKS_MANY_CODECS {
            fourcc = take_fourcc(&mut rest)?;
        }
        let track = rest.try_get_u8().map_err(|_| TagError::Truncated)?;
        let size = match kind {
            ONE_TRACK => rest.len(),
            _ => {
                usize::try_from(rest.try_get_uint(3).map_err(|_| TagError::Truncated)?).unwrap_or(usize::MAX)
            }
        };
        if size > rest.len() {
            return Err(TagError::Truncated);
        }
        let payload = rest.split_to(size);
        if track == 0 {
            return Ok(Some(TrackBody { packet, fourcc, payload }));
        }
    }
    Ok(None)
}

fn take_fourcc(rest: &mut Bytes) -> Result<[u8; 4], TagError> {
    let fourcc = *rest.first_chunk::<4>().ok_or(TagError::Truncated)?;
    rest.advance(fourcc.len());
    Ok(fourcc)
}

/// `AvMultitrackType`.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS_MANY_CODECS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::{AudioTag, VideoCodec, VideoTag};

    fn video(body: &'static [u8]) -> Result<VideoTag, TagError> {
        VideoTag::parse(&Bytes::from_static(body))
    }

    #[test]
    fn track_0_of_a_multitrack_message_is_read_as_if_it_were_alone() {
        let header = VideoTag::SequenceHeader { codec: VideoCodec::Hevc, record: Bytes::from_static(b"cfg") };
        for body in [
            &b"\x96\x00hvc1\x00cfg"[..],
            b"\x96\x10hvc1\x00\x00\x00\x03cfg\x01\x00\x00\x02no",
            b"\x96\x10hvc1\x01\x00\x00\x02no\x00\x00\x00\x03cfg",
            b"\x96\x20av01\x01\x00\x00\x02nohvc1\x00\x00\x00\x03cfg",
            // Behind a nanosecond offset.
            b"\x97\x02\0\0\0\x06\x00hvc1\x00cfg",
        ] {
            assert_eq!(video(body), Ok(header.clone()), "{body:x?}");
        }
        let frame = video(b"\x96\x01avc1\x00\xff\xff\xdfnal");
        assert!(matches!(frame, Ok(VideoTag::Frame { composition_ms: -33, .. })), "{frame:?}");
        let sound = AudioTag::parse(&Bytes::from_static(b"\x95\x01mp4a\x00raw"));
        assert!(matches!(&sound, Ok(AudioTag::Frame { data, .. }) if data == "raw"), "{sound:?}");
    }

    #[test]
    fn messages_without_track_0_are_told_from_broken_ones() {
        for body in
            [&b"\x96\x00hvc1\x01cfg"[..], b"\x96\x10av01\x01\x00\x00\x02no\x02\x00\x00\x00", b"\x96\x10av01"]
        {
            assert_eq!(video(body), Err(TagError::OtherTrack("video")), "{body:x?}");
        }
        let sound = AudioTag::parse(&Bytes::from_static(b"\x95\x01mp4a\x01raw"));
        assert_eq!(sound, Err(TagError::OtherTrack("audio")));
        assert_eq!(video(b"\x96\x30hvc1\x00cfg"), Err(TagError::Unsupported("multitrack type 3".to_owned())));
        for body in [&b"\x96"[..], b"\x96\x00hv", b"\x96\x10hvc1\x00\x00", b"\x96\x10hvc1\x00\x00\x00\x09cfg"]
        {
            assert_eq!(video(body), Err(TagError::Truncated), "{body:x?}");
        }
    }
}
