//! HEVC as an encoder with Enhanced RTMP sends it. ffmpeg writes that since 6.1 only, so its fragmented MP4, one frame
//! a fragment, is put into tags here.

use std::process::{Command, Stdio};

use bytes::{BufMut as _, BytesMut};
use caudal_media::flv::{FlvTag, TagKind};
use mp4_atom::{Atom as _, Moof};

use super::media_check::boxes;

/// Tags of libx265's video, with these parameters of its own.
pub fn encode_hevc(picture: &str, parameters: &str, seconds: u32) -> Vec<FlvTag> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", picture, "-t", &seconds.to_string()])
        .args(["-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-tag:v", "hvc1"])
        .args(["-x265-params", &format!("log-level=error:pools=1:frame-threads=1:{parameters}")])
        .args(["-video_track_timescale", "1000", "-f", "mp4"])
        .args(["-movflags", "empty_moov+default_base_moof+frag_every_frame", "pipe:1"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let file = output.stdout;

    let (fragments, media) = (boxes(&file, *b"moof"), boxes(&file, *b"mdat"));
    assert_eq!(fragments.len(), media.len());
    let mut tags = vec![tag(0, &[SEQUENCE_START], record(boxes(&file, *b"moov")[0]))];
    for (fragment, data) in fragments.into_iter().zip(media) {
        let moof = Moof::decode_body(&mut &fragment[..]).unwrap();
        let decode = moof.traf[0].tfdt.as_ref().unwrap().base_media_decode_time;
        let samples: Vec<_> = moof.traf[0].trun[0].samples.iter().collect();
        assert_eq!(samples.len(), 1);
        let composition = u32::try_from(samples[0].cts.unwrap_or(0)).unwrap().to_be_bytes();
        let kind = if is_keyframe(data) { KEYFRAME } else { INTER_FRAME };
        tags.push(tag(
            u32::try_from(decode).unwrap(),
            &[kind, composition[1], composition[2], composition[3]],
            data,
        ));
    }
    tags
}

/// The first byte, the `FourCC`, what follows it, and the payload.
fn tag(timestamp_ms: u32, head: &[u8], payload: &[u8]) -> FlvTag {
    let mut body = BytesMut::new();
    body.put_u8(head[0]);
    body.put_slice(b"hvc1");
    body.put_slice(&head[1..]);
    body.put_slice(payload);
    FlvTag { kind: TagKind::Video, timestamp_ms, body: body.freeze() }
}

/// hvcC, wherever it is in moov.
fn record(moov: &[u8]) -> &[u8] {
    let at = moov.windows(4).position(|window| window == b"hvcC").unwrap();
    let size = u32::from_be_bytes(moov[at - 4..at].try_into().unwrap());
    &moov[at + 4..at - 4 + usize::try_from(size).unwrap()]
}

/// Whether it holds a random access picture (H.265 table 7-1).
fn is_keyframe(mut units: &[u8]) -> bool {
    while let Some((length, rest)) = units.split_first_chunk::<4>() {
        let (unit, behind) = rest.split_at(u32::from_be_bytes(*length).try_into().unwrap());
        if (16..=21).contains(&((unit[0] >> 1) & 0x3F)) {
            return true;
        }
        units = behind;
    }
    false
}

/// Whether this ffmpeg decodes such tags, by what it says of the worker's own sample.
pub fn ffmpeg_decodes_it() -> bool {
    let sample = "src/ffmpeg/hevc_keyframe.flv";
    let output = Command::new("ffmpeg")
        .args(["-v", "quiet", "-nostdin", "-i", sample, "-f", "framecrc", "pipe:1"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).lines().any(|line| !line.starts_with('#'))
}

const SEQUENCE_START: u8 = 0x90;
const KEYFRAME: u8 = 0x91;
const INTER_FRAME: u8 = 0xA1;
