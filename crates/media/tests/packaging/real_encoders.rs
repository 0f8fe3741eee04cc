//! Real encoders in, real decoders out: what is packaged decodes to the frames that were sent, at their times.

use std::path::Path;
use std::process::Command;

use crate::recorder::{Recorder, config, rendition};
use caudal_media::flv::{FlvDemuxer, FlvTag, TagKind};

#[test]
fn packaged_frames_decode_to_what_the_encoder_made_at_the_same_times() {
    let folder = tempfile::tempdir().expect("a folder");
    let flv = folder.path().join("source.flv");
    publish(&flv, &["-r", "30", "-g", "60", "-bf", "2"], 7);
    let tags = read(&flv);
    let recorder = package(&tags);
    recorder.check_alignment(25_000);
    let source = recorder.of("source");
    let lengths: Vec<u64> = source.iter().map(|segment| segment.duration.0).collect();
    assert_eq!(lengths[..3], [2_000_000; 3], "two-second GOPs make two-second segments");
    for segment in source.iter().take(3) {
        assert_eq!(segment.parts.len(), 10, "{segment:?}");
        assert!(segment.independent);
    }
    let first = recorder.first_part_after.expect("parts");
    assert!(first <= 300, "the first part came {first} ms after the first tag");
    for name in ["source", "audio"] {
        let mp4 = folder.path().join(format!("{name}.mp4"));
        let (.., init) = recorder.inits.iter().find(|(of, ..)| *of == rendition(name)).expect("an init");
        let mut file = init.to_vec();
        file.extend_from_slice(&recorder.files[&rendition(name)]);
        std::fs::write(&mp4, file).expect("written");
    }
    let packaged = folder.path().join("source.mp4");
    let (sent, got) = (frames(&flv, "v"), frames(&packaged, "v"));
    assert_eq!(sent.len(), 210);
    assert_eq!(hashes(&sent), hashes(&got), "every picture decodes to the same");
    assert_eq!(spacing(&sent), spacing(&got), "at the same distances");
    assert_eq!(got[0].0, 24_000 + 67, "the first at 24 seconds and the encoder's delay");
    // Frames before the first picture are not part of the stream.
    let (sent, got) = (packets(&flv, "a"), packets(&folder.path().join("audio.mp4"), "a"));
    let skipped = sent.len() - got.len();
    assert!(skipped <= 4, "{} of {}", got.len(), sent.len());
    assert!(sent.windows(got.len()).any(|run| run == got), "every sound is as it was sent");
}

#[test]
fn pictures_in_annex_b_with_their_messages_apart_and_wrong_flags_decode_to_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    for (case, options) in
        [("IDR pictures", "scenecut=0:aud=1"), ("recovery points", "scenecut=0:intra-refresh=1")]
    {
        let flv = folder.path().join("source.flv");
        publish(&flv, &["-r", "30", "-g", "60", "-bf", "0", "-x264-params", options], 7);
        let garbled: Vec<FlvTag> = read(&flv).into_iter().flat_map(garble).collect();
        let recorder = package(&garbled);
        assert!(recorder.refusals().is_empty(), "{case}: {:?}", recorder.reports);
        let source = recorder.of("source");
        assert!(source.len() >= 3 && source.iter().all(|segment| segment.independent), "{case}");
        let packaged = folder.path().join("source.mp4");
        let (.., init) = recorder.inits.iter().find(|(of, ..)| *of == rendition("source")).expect("an init");
        std::fs::write(&packaged, [init, &recorder.files[&rendition("source")][..]].concat())
            .expect("written");
        let (sent, got) = (frames(&flv, "v"), frames(&packaged, "v"));
        assert_eq!((hashes(&sent), spacing(&sent)), (hashes(&got), spacing(&got)), "{case}");
    }
}

/// A picture's tag as the worst cameras send it: all that is no slice in a tag of its own, start codes, zero bytes, and
/// nothing called a keyframe.
fn garble(tag: FlvTag) -> Vec<FlvTag> {
    if tag.kind != TagKind::Video || tag.body[1] != 1 {
        return vec![tag];
    }
    let (mut slices, mut others) = (vec![0x27, 1, 0, 0, 0], vec![0x27, 1, 0, 0, 0]);
    let mut rest = &tag.body[5..];
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (unit, behind) = behind.split_at(usize::try_from(u32::from_be_bytes(*length)).expect("small"));
        let body = if matches!(unit[0] & 0x1f, 1 | 5) { &mut slices } else { &mut others };
        body.extend([&[0, 0, 0, 1][..], unit].concat());
        rest = behind;
    }
    slices.extend([0; 3]);
    [others, slices].map(|body| FlvTag { body: body.into(), ..tag.clone() }).to_vec()
}

#[test]
fn pictures_that_an_encoder_skipped_change_nothing_in_those_that_it_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let flv = folder.path().join("source.flv");
    let skipping = "fps=30,select=lt(mod(t\\,3)\\,1.1)";
    publish(&flv, &["-vf", skipping, "-fps_mode", "vfr", "-g", "60", "-bf", "0"], 14);
    let recorder = package(&read(&flv));
    let mut file = Vec::new();
    let (.., init) = recorder.inits.iter().find(|(of, ..)| *of == rendition("source")).expect("an init");
    file.extend_from_slice(init);
    for ((name, _), data) in &recorder.wholes {
        if *name == rendition("source") {
            file.extend_from_slice(data);
        }
    }
    let packaged = folder.path().join("source.mp4");
    std::fs::write(&packaged, file).expect("written");
    let (sent, got) = (frames(&flv, "v"), frames(&packaged, "v"));
    assert!(sent.len() > 150, "{}", sent.len());
    assert_eq!(hashes(&sent), hashes(&got), "every picture decodes to the same");
    assert_eq!(spacing(&sent), spacing(&got), "at the same distances");
    let gaps = recorder.of("source").iter().filter(|segment| segment.gap);
    assert!(gaps.count() <= 1, "only behind the first pause");
}

#[test]
fn the_same_tags_give_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let flv = folder.path().join("source.flv");
    publish(&flv, &["-r", "25", "-g", "50", "-bf", "0"], 4);
    let tags = read(&flv);
    let (one, two) = (package(&tags), package(&tags));
    assert_eq!(one.files, two.files);
    assert_eq!(one.inits, two.inits);
    assert_eq!(one.timeline, two.timeline);
}

#[test]
fn every_usual_frame_rate_gives_conforming_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    for (rate, gop) in [
        ("15", "30"),
        ("24", "48"),
        ("24000/1001", "48"),
        ("25", "250"),
        ("30000/1001", "60"),
        ("50", "100"),
        ("60", "120"),
    ] {
        let flv = folder.path().join("source.flv");
        publish(&flv, &["-r", rate, "-g", gop, "-bf", "2"], 6);
        let recorder = package(&read(&flv));
        recorder.check_alignment(25_000);
        assert!(recorder.of("source").len() >= 2, "at {rate}");
        assert!(recorder.timeline.is_some_and(|timeline| timeline.part_hold_back.0 < 900_000), "at {rate}");
    }
}

pub(crate) fn publish(file: &Path, options: &[&str], seconds: u32) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=60"])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", &seconds.to_string()])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-x264-params",
            "scenecut=0",
            "-pix_fmt",
            "yuv420p",
        ])
        .args(["-c:a", "aac", "-b:a", "96k", "-ac", "2", "-threads", "1", "-f", "flv"])
        .args(options)
        .arg(file)
        .status()
        .expect("ffmpeg runs");
    assert!(status.success());
}

pub(crate) fn read(file: &Path) -> Vec<FlvTag> {
    let bytes = std::fs::read(file).expect("written by ffmpeg");
    let mut demuxer = FlvDemuxer::default();
    let mut tags = Vec::new();
    for piece in bytes.chunks(4096) {
        demuxer.push(piece);
        while let Some(tag) = demuxer.next_tag().expect("FLV") {
            tags.push(tag);
        }
    }
    tags
}

pub(crate) fn package(tags: &[FlvTag]) -> Recorder {
    let mut recorder = Recorder::new(config());
    recorder.steady = true;
    recorder.metadata(None, true, true);
    for tag in tags {
        recorder.at(tag.timestamp_ms.into());
        match tag.kind {
            TagKind::Video => recorder.video(tag.timestamp_ms, tag.body.clone()),
            TagKind::Audio => recorder.audio(tag.timestamp_ms, tag.body.clone()),
            TagKind::Script => {}
        }
    }
    recorder.finish();
    assert!(recorder.ended);
    recorder
}

/// Hashes of the coded frames.
fn packets(file: &Path, stream: &str) -> Vec<String> {
    hash(file, stream, &["-c", "copy"]).into_iter().map(|(_, hash)| hash).collect()
}

/// Presentation times in milliseconds and hashes of the decoded frames.
pub(crate) fn frames(file: &Path, stream: &str) -> Vec<(i64, String)> {
    hash(file, stream, &["-fps_mode", "passthrough", "-enc_time_base", "1:1000"])
}

fn hash(file: &Path, stream: &str, options: &[&str]) -> Vec<(i64, String)> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-copyts", "-i"])
        .arg(file)
        .args(["-map", &format!("0:{stream}")])
        .args(options)
        .args(["-f", "framemd5", "-"])
        .output()
        .expect("ffmpeg runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut columns = line.split(',').map(str::trim);
            let time = columns.nth(2).expect("a time").parse().expect("a number");
            (time, columns.next_back().expect("a hash").to_owned())
        })
        .collect()
}

fn hashes(frames: &[(i64, String)]) -> Vec<&str> {
    frames.iter().map(|(_, hash)| hash.as_str()).collect()
}

fn spacing(frames: &[(i64, String)]) -> Vec<i64> {
    frames.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
}
