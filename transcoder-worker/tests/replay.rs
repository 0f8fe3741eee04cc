//! What a router kept comes in one burst when a worker is new: all of it is packaged and encoded, for everybody who reads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

#[expect(dead_code, reason = "not every test file needs all of it")]
mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use caudal_livestream::assignment::AssignmentMode;
use caudal_livestream::feed::{Event, Frame};
use caudal_media::flv::{FlvDemuxer, FlvTag};
use support::{Broadcast, padded, rung, send};

// As in a worker's process: one thread for all that a replay brings.
#[tokio::test]
async fn a_replay_of_twenty_seconds_leaves_no_rung_behind_and_cuts_no_reader_off() {
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 300_000), rung(120, 150_000)]);
    let worker = broadcast.worker(folder.path()).await;
    broadcast.assign(&worker, 1, AssignmentMode::Live, None).await;
    let mut reader = broadcast.feed(&worker, 1, &["source", "180p", "120p", "audio"]).await;
    let mut relay = broadcast.relay(&worker, 1, 1, broadcast.session).await.unwrap();
    let tags = encoded(SECONDS);
    let sending = tokio::spawn(async move {
        for tag in tags {
            send(&mut relay, &padded(tag, PADDING));
            relay.flush().await.unwrap();
        }
        relay
    });
    // The last segment closes with the broadcast.
    let wanted = usize::try_from(SECONDS / 2).unwrap() - 1;
    let mut whole: BTreeMap<String, usize> = BTreeMap::new();
    while ["source", "180p", "120p"].iter().any(|name| whole.get(*name).copied().unwrap_or(0) < wanted) {
        match reader.next().await.expect("the stream goes on") {
            Frame::Event(Event::Segment(done)) => {
                assert!(!done.segment.gap, "{} {}", done.rendition, done.segment.msn);
                assert_eq!(done.segment.discontinuity, 0);
                *whole.entry(done.rendition.to_string()).or_default() += 1;
            }
            Frame::Event(Event::Withdrawn { rendition }) => panic!("{rendition} is withdrawn"),
            Frame::Event(_) | Frame::Bytes(_) => {}
        }
    }
    let relay = sending.await.unwrap();
    assert!(worker.metric("caudal_worker_feed_cut_total") < 1.0);
    assert!(worker.metric("caudal_worker_encoder_restarts_total") < 1.0);
    drop(relay);
    worker.shutdown.cancel();
    worker.ended().await;
}

/// A picture of 30 frames a second with a keyframe each 2 s, and a tone.
fn encoded(seconds: u32) -> Vec<FlvTag> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30"])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", &seconds.to_string()])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"])
        .args(["-g", "60", "-x264-params", "scenecut=0", "-c:a", "aac", "-b:a", "96k", "-ac", "2"])
        .args(["-f", "flv", "-flvflags", "no_duration_filesize", "pipe:1"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let mut demuxer = FlvDemuxer::default();
    demuxer.push(&output.stdout);
    std::iter::from_fn(|| demuxer.next_tag().unwrap()).collect()
}

/// As much as a worker takes at once (ARCHITECTURE §5).
const SECONDS: u32 = 20;
/// With the picture 9 Mb/s: what the router's memory holds of as long a replay.
const PADDING: usize = 36_000;
