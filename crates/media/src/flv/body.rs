//! VIDEODATA bodies in the forms that ffmpeg reads: FLV's own for H.264, Enhanced RTMP's for H.265. ffmpeg 5.1 knows
//! neither the `FourCC` `avc1` nor the codec number 12 that H.265 had before Enhanced RTMP.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::VideoCodec;

/// A codec header, for ffmpeg.
pub fn video_header(codec: VideoCodec, record: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(LONGEST_HEAD + record.len());
    match codec {
        VideoCodec::Avc => body.put_slice(&[KEYFRAME | AVC, 0, 0, 0, 0]),
        VideoCodec::Hevc => {
            body.put_u8(ENHANCED | KEYFRAME);
            body.put_slice(HVC1);
        }
    }
    body.put_slice(record);
    body.freeze()
}

/// A picture, for ffmpeg.
pub(crate) fn video_frame(codec: VideoCodec, keyframe: bool, composition_ms: i32, data: &[u8]) -> Bytes {
    let kind = if keyframe { KEYFRAME } else { INTER };
    let [_, a, b, c] = composition_ms.to_be_bytes();
    let mut body = BytesMut::with_capacity(LONGEST_HEAD + data.len());
    match codec {
        VideoCodec::Avc => body.put_slice(&[kind | AVC, CODED_FRAMES]),
        VideoCodec::Hevc => {
            body.put_u8(ENHANCED | kind | CODED_FRAMES);
            body.put_slice(HVC1);
        }
    }
    body.put_slice(&[a, b, c]);
    body.put_slice(data);
    body.freeze()
}

/// Whether a picture's body has the form of [`video_frame`] already.
pub(crate) fn is_plain_frame(body: &[u8], keyframe: bool) -> bool {
    let kind = if keyframe { KEYFRAME } else { INTER };
    match body {
        [first, CODED_FRAMES, ..] if first & ENHANCED == 0 => *first == kind | AVC,
        [first, b'h', b'v', b'c', b'1', ..] => {
            *first == ENHANCED | kind | CODED_FRAMES || *first == ENHANCED | kind | CODED_FRAMES_X
        }
        _ => false,
    }
}

const ENHANCED: u8 = 0x80;
const KEYFRAME: u8 = 0x10;
const INTER: u8 = 0x20;
const AVC: u8 = 7;
const HVC1: &[u8] = b"hvc1";
const CODED_FRAMES: u8 = 1;
/// Without a composition time.
const CODED_FRAMES_X: u8 = 3;
const LONGEST_HEAD: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::VideoTag;

    #[test]
    fn what_is_written_for_ffmpeg_is_read_back() {
        for codec in [VideoCodec::Avc, VideoCodec::Hevc] {
            let record = Bytes::from_static(b"cfg");
            let header = VideoTag::parse(&video_header(codec, &record));
            assert_eq!(header, Ok(VideoTag::SequenceHeader { codec, record }));
            for (keyframe, composition_ms) in [(true, 66), (false, -33)] {
                let data = Bytes::from_static(b"nal");
                let body = video_frame(codec, keyframe, composition_ms, &data);
                assert!(is_plain_frame(&body, keyframe) && !is_plain_frame(&body, !keyframe));
                assert_eq!(
                    VideoTag::parse(&body),
                    Ok(VideoTag::Frame { codec, flagged: keyframe, composition_ms, data })
                );
            }
        }
    }

    #[test]
    fn forms_that_ffmpeg_does_not_know_are_told_from_those_that_it_does() {
        for (body, plain) in [
            (&b"\x17\x01\0\0\0nal"[..], true),
            (b"\x91hvc1\0\0\0nal", true),
            (b"\x93hvc1nal", true),
            (b"\x91avc1\0\0\0nal", false),
            (b"\x1c\x01\0\0\0nal", false),
            (b"\x97\x02\0\0\0\x03hvc1nal", false),
            (b"\x96\x01hvc1\0nal", false),
            (b"\x47\x01\0\0\0nal", false),
        ] {
            assert_eq!(is_plain_frame(body, true), plain, "{body:x?}");
        }
    }
}
