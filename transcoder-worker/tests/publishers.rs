//! Publishers of every kind through a worker: what comes out is what they sent, in conforming playlists.
//!
//! ffmpeg encodes to a file, whose tags are then sent several times faster than they would come: no lateness is simulated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

mod hevc_source;
mod media_check;
mod source_kinds;
#[expect(dead_code, reason = "not every test file needs all of it")]
mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use caudal_livestream::assignment::AssignmentMode;
use caudal_livestream::feed::{Event, Frame};
use caudal_livestream::timeline::Segment;
use caudal_media::flv::{FlvDemuxer, FlvTag, TagKind};
use hevc_source::{encode_hevc, ffmpeg_decodes_it};
use media_check::{Packaged, check_live, check_offline};
use support::publisher::{is_header, is_keyframe, send};
use support::{Broadcast, rung};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frame_rates_are_kept_as_they_are() {
    for (rate, gop) in
        [("15", "30"), ("24", "48"), ("25", "50"), ("30000/1001", "60"), ("50", "100"), ("60", "120")]
    {
        let tags = encode(&[&picture(&format!("rate={rate}")), TONE], &["-g", gop], 5);
        publish(tags).await.whole();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_out_of_order_stay_in_decoding_order() {
    let tags = encode(&[&picture("rate=25"), TONE], &["-g", "50", "-bf", "3", "-b_strategy", "0"], 6);
    publish(tags).await.whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_at_varying_distances_keep_them() {
    let dropped = ["-vf", "select='mod(n,7)*mod(n,5)*mod(n,3)'", "-fps_mode", "vfr", "-g", "25"];
    let tags = encode(&[&picture("rate=30"), TONE], &dropped, 7);
    publish(tags).await.whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_rate_that_metadata_only_claims_changes_nothing() {
    for claimed in [5.0, 120.0] {
        let mut tags = encode(&[&picture("rate=25"), TONE], &["-g", "50"], 5);
        claim_frame_rate(&mut tags, claimed);
        publish(tags).await.whole();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ten_second_gop_is_cut_between_its_keyframes() {
    let tags = encode(&[&picture("rate=25"), TONE], &["-g", "250", "-bf", "2"], 14);
    let packaged = publish(tags).await;
    assert!(packaged.segments["source"].iter().any(|segment| !segment.independent));
    packaged.whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keyframes_at_scene_cuts_make_segments_of_any_length() {
    let cuts = ["-g", "250", "-bf", "2", "-force_key_frames", "0.36,0.4,1.2,3.96,4.2,7.6,7.64"];
    publish(encode(&[&picture("rate=25"), TONE], &cuts, 9)).await.whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_without_picture() {
    let packaged = publish(encode(&[TONE], &[], 7)).await;
    assert_eq!(packaged.segments.keys().collect::<Vec<_>>(), ["audio"]);
    packaged.whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn picture_without_sound_gets_silence() {
    let packaged = publish(encode(&[&picture("rate=25")], &["-g", "50"], 6)).await;
    assert_eq!(packaged.segments.keys().collect::<Vec<_>>(), ["180p", "audio", "source"]);
    packaged.whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_that_begins_late_is_heard_from_then_on() {
    let mut tags = encode(&[&picture("rate=25"), TONE], &["-g", "50"], 7);
    tags.retain(|tag| tag.kind != TagKind::Audio || is_header(tag) || tag.timestamp_ms >= 3000);
    publish(tags).await.whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_resolution_is_one_discontinuity() {
    let mut tags = encode(&[&picture("rate=25"), TONE], &["-g", "50"], 4);
    let wider = encode(&["testsrc2=size=640x360:rate=25", TONE], &["-g", "50"], 4);
    tags.extend(
        wider
            .into_iter()
            .filter(|tag| tag.kind != TagKind::Script)
            .map(|tag| FlvTag { timestamp_ms: tag.timestamp_ms + 4010, ..tag }),
    );
    let packaged = publish(tags).await;
    assert_eq!(packaged.discontinuities(), 1);
    packaged.whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timestamp_jump_is_one_discontinuity() {
    for jump in [3_600_000, 0_u32.wrapping_sub(1_800_000)] {
        let mut tags = encode(&[&picture("rate=25"), TONE], &["-g", "50"], 8);
        // As after an encoder's restart: both tracks jump at a keyframe.
        let from = tags.iter().find(|tag| is_keyframe(tag) && tag.timestamp_ms >= 4000).unwrap().timestamp_ms;
        for tag in &mut tags {
            let later = if tag.timestamp_ms >= from { jump } else { 0 };
            tag.timestamp_ms = tag.timestamp_ms.wrapping_add(later).wrapping_add(7_200_000);
        }
        let packaged = publish(tags).await;
        assert_eq!(packaged.discontinuities(), 1);
        packaged.whole();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrap_of_32_bits_means_nothing() {
    let mut tags = encode(&[&picture("rate=25"), TONE], &["-g", "50"], 6);
    for tag in &mut tags {
        tag.timestamp_ms = tag.timestamp_ms.wrapping_sub(3000);
    }
    let packaged = publish(tags).await;
    assert_eq!(packaged.discontinuities(), 0);
    packaged.whole();
}

/// As OBS sends it: Enhanced RTMP's tags, reordered pictures, AAC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hevc_is_packaged_as_it_comes_with_a_ladder_if_ffmpeg_decodes_it() {
    let said = Log::capture();
    let mut tags =
        encode_hevc(&picture("rate=25"), "keyint=50:min-keyint=50:scenecut=0:open-gop=0:bframes=2", 6);
    tags.extend(encode(&[TONE], &[], 6).into_iter().filter(|tag| tag.kind == TagKind::Audio));
    tags.sort_by_key(|tag| tag.timestamp_ms);
    let packaged = publish(tags).await;
    assert_eq!(packaged.seen("source"), "hevc,hvc1,320,240");
    let master = packaged.text("master.m3u8");
    let variants: Vec<_> = master.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF")).collect();
    let source = variants.iter().find(|line| line.contains("RESOLUTION=320x240")).unwrap();
    assert!(source.contains("CODECS=\"hvc1.1.6.L"), "{source}");
    assert!(packaged.text("manifest.mpd").contains("codecs=\"hvc1.1.6.L"));
    let renditions: Vec<_> = packaged.segments.keys().map(String::as_str).collect();
    let log = said.of(&packaged.timeline.stream.to_string());
    if ffmpeg_decodes_it() {
        assert_eq!(renditions, ["180p", "audio", "source"]);
        assert_eq!(packaged.seen("180p"), "h264,avc1,240,180");
        assert!(!log.contains(WHY_NO_LADDER), "{log}");
    } else {
        assert_eq!(renditions, ["audio", "source"]);
        assert_eq!(variants.len(), 1, "{master}");
        assert!(log.contains(WHY_NO_LADDER), "{log}");
    }
    packaged.whole();
}

/// Sends `tags` to a worker of their own, checks every playlist on the way, and gives what is left in storage.
async fn publish(tags: Vec<FlvTag>) -> Packaged {
    check_offline(&tags);
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 300_000)]);
    let (worker, mut reader) = broadcast.live(folder.path(), &[]).await;
    let mut relay = broadcast.publish(&worker, 1).await;

    let sent = tags.clone();
    let sending = tokio::spawn(async move {
        let begun = Instant::now();
        let mut passed = Duration::ZERO;
        let mut last = sent[0].timestamp_ms;
        for tag in &sent {
            let step = tag.timestamp_ms.wrapping_sub(last);
            last = tag.timestamp_ms;
            if step < 1000 {
                passed += Duration::from_millis(step.into()) / SPEED;
            }
            tokio::time::sleep_until(begun + passed).await;
            send(&mut relay, tag);
            relay.flush().await.unwrap();
        }
        relay
    });
    let mut segments: BTreeMap<String, Vec<Segment>> = BTreeMap::new();
    let mut sending = Some(sending);
    let mut relay = None;
    let mut over = false;
    loop {
        // The rung's encoder gets the time that it takes; then the publisher leaves.
        let edge = |name: &str| segments.get(name).and_then(|all| all.last()).map(|segment| segment.msn);
        if sending.as_ref().is_some_and(tokio::task::JoinHandle::is_finished) {
            relay = Some(sending.take().unwrap().await.unwrap());
        }
        let rung = reader
            .timeline
            .as_ref()
            .map(|timeline| timeline.tracks.iter().any(|track| track.name.as_str() == "180p"));
        if relay.is_some()
            && !over
            && (rung == Some(false) || rung == Some(true) && edge("180p") >= edge("source"))
        {
            over = true;
            drop(relay.take());
            reader.until("the loss", |event, _| matches!(event, Event::Input(input) if !input.up)).await;
            broadcast.assign(&worker, 1, AssignmentMode::Finish, None).await;
        }
        match reader.next().await {
            Some(Frame::Event(Event::Segment(done))) => {
                segments.entry(done.rendition.to_string()).or_default().push(done.segment);
            }
            Some(Frame::Event(Event::Part(_) | Event::Stored { .. } | Event::Snapshot(_) | Event::End)) => {}
            Some(_) => continue,
            None => break,
        }
        check_live(reader.timeline.as_ref().unwrap());
    }
    let timeline = reader.timeline.take().unwrap();
    worker.ended().await;
    let live = broadcast.media(folder.path());
    Packaged { folder, live, timeline, segments, sent: tags }
}

/// Tags of an FLV file made by ffmpeg from these inputs.
fn encode(inputs: &[&str], video: &[&str], seconds: u32) -> Vec<FlvTag> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]);
    for input in inputs {
        command.args(["-f", "lavfi", "-i", input]);
    }
    let output = command
        .args(["-t", &seconds.to_string(), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"])
        .args(["-x264-params", "scenecut=0"])
        .args(video)
        .args(["-c:a", "aac", "-b:a", "96k", "-ac", "2", "-threads", "1"])
        .args(["-f", "flv", "-flvflags", "no_duration_filesize", "pipe:1"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let mut demuxer = FlvDemuxer::default();
    demuxer.push(&output.stdout);
    let mut tags = Vec::new();
    while let Some(tag) = demuxer.next_tag().unwrap() {
        tags.push(tag);
    }
    tags
}

fn picture(rate: &str) -> String {
    format!("testsrc2=size=320x240:{rate}")
}

/// Writes another number behind the property's name.
fn claim_frame_rate(tags: &mut [FlvTag], rate: f64) {
    let script = tags.iter_mut().find(|tag| tag.kind == TagKind::Script).unwrap();
    let mut body = script.body.to_vec();
    let name = b"framerate";
    let at = body.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    assert_eq!(body[at], 0, "a number");
    body[at + 1..at + 9].copy_from_slice(&rate.to_be_bytes());
    script.body = body.into();
}

/// What this process's workers log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    }

    /// The lines that name a stream.
    fn of(&self, stream: &str) -> String {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(stream)).collect::<Vec<_>>().join("\n")
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const WHY_NO_LADDER: &str = "this ffmpeg does not decode the publisher's codec in FLV";
const TONE: &str = "sine=frequency=440:sample_rate=48000";
/// How much faster than real time tags are sent.
const SPEED: u32 = 4;
