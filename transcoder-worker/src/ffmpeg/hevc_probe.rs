//! Whether this ffmpeg makes pictures of HEVC in FLV, tried rather than judged by its version: distributions leave
//! decoders out, and put newer demuxers in.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::Ffmpeg;
use crate::encoder::FLV_INPUT;

impl Ffmpeg {
    /// Feeds it a keyframe as the encoder would be fed. None when it does not answer in time.
    pub(super) async fn decodes(&self, flv: &[u8]) -> Option<bool> {
        let mut command = self.command();
        command.args(FLV_INPUT).args(ONE_PICTURE);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let answer = async {
            let mut child = Command::from(command).kill_on_drop(true).spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // It fits into a pipe. An ffmpeg that has left already shows by what it did not write.
                let _ = stdin.write_all(flv).await;
            }
            child.wait_with_output().await
        };
        let answer = timeout(DEADLINE, answer).await.ok()?;
        Some(answer.is_ok_and(|output| output.stdout.len() == PICTURE_SIZE))
    }
}

/// A gray picture of 64x64 in Enhanced RTMP's FLV: header, hvcC and one keyframe as `hvc1` tags. Made with
/// `ffmpeg -f lavfi -i color=gray:size=64x64:rate=1 -frames:v 1 -c:v libx265 -profile:v main -x265-params info=0
/// -pix_fmt yuv420p -tag:v hvc1 k.mp4`, and the contents of `hvcC` and `mdat` put behind `90 "hvc1"` and
/// `91 "hvc1" 00 00 00` as the bodies of two video tags.
pub(super) const HEVC_KEYFRAME: &[u8] = include_bytes!("hevc_keyframe.flv");
const ONE_PICTURE: [&str; 7] = ["-frames:v", "1", "-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:1"];
/// 64x64 in 4:2:0.
const PICTURE_SIZE: usize = 64 * 64 * 3 / 2;
/// It takes 0.1 s on an idle machine; a worker that is only just being started must not wait for long.
const DEADLINE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use caudal_media::codec::VideoConfig;
    use caudal_media::flv::{FlvDemuxer, VideoCodec, VideoTag};

    use super::*;

    /// The same picture as H.264, made in the same way with libx264 and `17 00 00 00 00`, `17 01 00 00 00`.
    const AVC_KEYFRAME: &[u8] = include_bytes!("avc_keyframe.flv");

    #[test]
    fn the_samples_are_what_publishers_send() {
        for (flv, codec) in [(HEVC_KEYFRAME, VideoCodec::Hevc), (AVC_KEYFRAME, VideoCodec::Avc)] {
            let mut demuxer = FlvDemuxer::default();
            demuxer.push(flv);
            let header = demuxer.next_tag().unwrap().unwrap();
            let Ok(VideoTag::SequenceHeader { codec: found, record }) = VideoTag::parse(&header.body) else {
                panic!("a header first");
            };
            assert_eq!(found, codec);
            let config = VideoConfig::parse(codec, &record).unwrap();
            assert_eq!((config.width, config.height), (64, 64));
            let picture = demuxer.next_tag().unwrap().unwrap();
            let Ok(VideoTag::Frame { flagged: true, data, .. }) = VideoTag::parse(&picture.body) else {
                panic!("a keyframe then");
            };
            assert!(config.is_whole(&data));
            assert!(demuxer.next_tag().unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn a_codec_that_ffmpeg_knows_gives_a_picture_and_broken_input_none() {
        let ffmpeg = Ffmpeg::find(Path::new("ffmpeg")).await.unwrap();
        assert_eq!(ffmpeg.decodes(AVC_KEYFRAME).await, Some(true));
        assert_eq!(ffmpeg.decodes(AVC_KEYFRAME.split_at(60).0).await, Some(false));
        assert_eq!(ffmpeg.decodes(b"FLV").await, Some(false));
    }

    /// What every HEVC in FLV is to a version before 6.1: a codec number that it does not know.
    #[tokio::test]
    async fn a_codec_number_that_ffmpeg_does_not_know_gives_none() {
        let ffmpeg = Ffmpeg::find(Path::new("ffmpeg")).await.unwrap();
        let unknown: Vec<u8> = replaced(HEVC_KEYFRAME, b"hvc1", b"hvc?");
        assert_eq!(ffmpeg.decodes(&unknown).await, Some(false));
    }

    /// So that a "no" is about how HEVC lies in FLV, and not about the sample.
    #[tokio::test]
    async fn the_hevc_sample_decodes_without_flv() {
        let mut demuxer = FlvDemuxer::default();
        demuxer.push(HEVC_KEYFRAME);
        let (header, picture) = (demuxer.next_tag().unwrap().unwrap(), demuxer.next_tag().unwrap().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("picture.h265");
        std::fs::write(&file, annex_b(&header.body[5..], &picture.body[8..])).unwrap();
        assert_eq!(pictures(&file).await, 1);
    }

    /// Another way to the same answer, which is no before 6.1 and yes from then on: a file, whose form ffmpeg finds out.
    #[tokio::test]
    async fn hevc_is_judged_as_ffmpeg_judges_a_file() {
        let ffmpeg = Ffmpeg::find(Path::new("ffmpeg")).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hevc.flv");
        std::fs::write(&file, HEVC_KEYFRAME).unwrap();
        assert_eq!(ffmpeg.decodes_hevc, pictures(&file).await == 1);
    }

    #[tokio::test]
    async fn a_hung_ffmpeg_says_nothing_within_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let path = super::super::tests::hung(folder.path());
        let ffmpeg = Ffmpeg { path, decodes_hevc: false, nice: None };
        let begun = std::time::Instant::now();
        let mut answer = Some(false);
        // It cannot be started at once while another test's process, which is just being made, has it open for writing.
        while answer == Some(false) && begun.elapsed() < Duration::from_mins(1) {
            answer = ffmpeg.decodes(HEVC_KEYFRAME).await;
        }
        assert_eq!(answer, None, "{:?}", begun.elapsed());
    }

    /// The pictures that ffmpeg makes of a file.
    async fn pictures(file: &Path) -> usize {
        let asked = Command::new("ffmpeg")
            .args(["-v", "quiet", "-nostdin", "-i"])
            .arg(file)
            .args(["-f", "framecrc", "pipe:1"])
            .output();
        let said = String::from_utf8(asked.await.unwrap().stdout).unwrap();
        said.lines().filter(|line| !line.starts_with('#')).count()
    }

    /// hvcC's parameter sets and a picture, with start codes.
    fn annex_b(record: &[u8], picture: &[u8]) -> Vec<u8> {
        let mut stream = Vec::new();
        let mut unit = |unit: &[u8]| {
            stream.extend([0, 0, 0, 1]);
            stream.extend(unit);
        };
        let mut rest = &record[23..];
        for _ in 0..record[22] {
            let count = u16::from_be_bytes([rest[1], rest[2]]);
            rest = &rest[3..];
            for _ in 0..count {
                let (set, behind) = rest[2..].split_at(u16::from_be_bytes([rest[0], rest[1]]).into());
                unit(set);
                rest = behind;
            }
        }
        let mut rest = picture;
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let (own, behind) = behind.split_at(u32::from_be_bytes(*length).try_into().unwrap());
            unit(own);
            rest = behind;
        }
        stream
    }

    fn replaced(bytes: &[u8], from: &[u8; 4], to: &[u8; 4]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let places: Vec<_> = (0..bytes.len() - 4).filter(|&at| bytes[at..at + 4] == from[..]).collect();
        assert_eq!(places.len(), 2);
        for at in places {
            bytes[at..at + 4].copy_from_slice(to);
        }
        bytes
    }
}
