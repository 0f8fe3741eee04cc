//! What stands before a stream's first media: made at the edge, of real media that a packager has made.

use std::time::Duration;

use bytes::Bytes;
use caudal_livestream::admission::LatencyMode;
use caudal_livestream::feed::Event;
use caudal_livestream::timeline::SegmentPhase;
use caudal_livestream::{Epoch, Generation, Msn, SessionId, UnixMillis};
use caudal_media::lead_in::{LeadIn, make};
use caudal_media::{Output, Packager, PackagerConfig, SourceMetadata};
use futures::future::join_all;

use super::broadcast::Broadcast;
use super::fake_worker::FakeWorker;
use super::{Scene, until, until_text};
use crate::EdgeLimits;

const PLAYLIST: &str = "/live/{s}/source/index.m3u8";
/// x264, 640x360 at 30 fps, High.
const AVC_RECORD: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";

/// A packager whose outputs a worker announces.
struct Broadcaster {
    packager: Packager,
    sent: u32,
}

impl Broadcaster {
    fn new(scene: &Scene) -> Self {
        let mut packager = Packager::new(PackagerConfig {
            stream: scene.stream,
            epoch: Epoch(1),
            latency_mode: LatencyMode::Low,
            ladder: Vec::new(),
            hints: None,
            resume: None,
        });
        packager.publisher(SessionId::generate(), Generation(1));
        packager.metadata(&SourceMetadata {
            fps_milli: Some(30_000),
            has_video: true,
            ..SourceMetadata::default()
        });
        let header = [&[0x17, 0, 0, 0, 0][..], AVC_RECORD].concat();
        packager.video(0, header.into(), UnixMillis(NOW));
        Self { packager, sent: 0 }
    }

    /// Pictures of so many milliseconds, announced as they come.
    fn send(&mut self, worker: &FakeWorker, milliseconds: u32) {
        for _ in 0..milliseconds * 3 / 100 {
            let at = self.sent * 100 / 3;
            let keyframe = self.sent.is_multiple_of(60);
            let (flags, unit) = if keyframe { (0x17, 0x65) } else { (0x27, 0x41) };
            let body = [&[flags, 1, 0, 0, 0, 0, 0, 0, 40, unit][..], &[0x9a; 39]].concat();
            self.packager.video(at, body.into(), UnixMillis(NOW + i64::from(at)));
            self.sent += 1;
            self.announce(worker);
        }
    }

    fn announce(&mut self, worker: &FakeWorker) {
        while let Some(output) = self.packager.poll() {
            match output {
                Output::Init { rendition, hash, data } => {
                    worker.file(rendition.as_str(), &format!("init-{hash}.mp4"), data);
                }
                Output::Announce { event: Event::Snapshot(timeline), .. } => {
                    let mut broadcast = Broadcast::new(timeline.stream, 1, &[]);
                    broadcast.timeline = *timeline;
                    worker.take_up(broadcast);
                }
                Output::Announce { event, data } => {
                    if let (Event::Part(part), Some(data)) = (&event, data) {
                        worker.file(part.rendition.as_str(), &format!("p1-{}.m4s", part.part.number), data);
                    }
                    worker.event(&event);
                }
                Output::Encode { .. } | Output::Report(_) | Output::Unplayable(_) => {}
            }
        }
    }
}

/// What the edge has to answer, by the timeline and the files of the worker.
fn expected(worker: &FakeWorker, rendition: &str, file: &str) -> Bytes {
    let timeline = worker.timeline();
    let track = timeline.tracks.iter().find(|track| track.name.as_str() == rendition).unwrap();
    let lead_in = LeadIn::of(&timeline, track).unwrap();
    let number = |text: &str| text.trim_end_matches(".m4s").parse().unwrap();
    let span = match file.split_once('-').unwrap() {
        ("l1", index) => lead_in.part(number(index)),
        (msn, _) => lead_in.segment(Msn(msn.parse().unwrap())),
    };
    let init = worker.held(rendition, &format!("init-{}.mp4", lead_in.first().init.as_ref().unwrap()));
    make(span.unwrap(), &init, &worker.held(rendition, "p1-0.m4s")).unwrap()
}

fn files() -> impl Iterator<Item = String> {
    (0..7).map(|msn| format!("{msn}-1.m4s")).chain((0..10).map(|part| format!("l1-{part}.m4s")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_can_be_joined_at_its_first_part_with_a_lead_in_before_it() {
    let scene = Scene::new().await;
    let master = scene.start("/live/{s}/master.m3u8");
    scene.until_waiting(1).await;
    let worker = scene.worker(1).await;
    let mut broadcaster = Broadcaster::new(&scene);
    broadcaster.send(&worker, 240);
    let (status, text) = master.await.unwrap();
    assert_eq!(status, 200, "{text}");
    let timeline = worker.timeline();
    assert_eq!(timeline.tracks[0].segments[0].parts.len(), 1, "less than PART-HOLD-BACK is there");
    for rendition in ["source", "audio"] {
        let text = scene.text(&format!("/live/{{s}}/{rendition}/index.m3u8")).await;
        assert!(
            !text.contains("GAP") && text.contains("\n6-1.m4s\n") && text.contains("\"p1-0.m4s\""),
            "{text}"
        );
        for file in files() {
            assert!(text.contains(&file), "{file} in {text}");
            let answer = scene.get(&format!("/live/{{s}}/{rendition}/{file}")).await;
            assert_eq!(answer.status(), 200, "{file}");
            assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
            let kind = if rendition == "audio" { "audio/mp4" } else { "video/mp4" };
            assert_eq!(answer.headers()["content-type"], kind);
            assert_eq!(answer.bytes().await.unwrap(), expected(&worker, rendition, &file), "{file}");
        }
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_asks_for_the_lead_in_costs_the_worker_one_init_and_one_part() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    Broadcaster::new(&scene).send(&worker, 240);
    let asked: Vec<_> = (0..30)
        .flat_map(|_| files())
        .map(|file| scene.start(&format!("/live/{{s}}/source/{file}")))
        .collect();
    for answer in join_all(asked).await {
        assert_eq!(answer.unwrap().0, 200);
    }
    let mut fetched: Vec<_> =
        worker.fetched().into_iter().filter(|file| file.starts_with("source/")).collect();
    fetched.sort();
    assert_eq!(fetched.len(), 2, "{fetched:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lead_in_can_be_had_until_the_first_segment_leaves_and_nothing_else_bears_its_names() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    let mut broadcaster = Broadcaster::new(&scene);
    broadcaster.send(&worker, 240);
    scene.text(PLAYLIST).await;
    for nowhere in ["7-1", "6-2", "6-0", "l1-10", "l1-99999999999", "l2-0", "l0-0"] {
        assert_eq!(scene.status(&format!("/live/{{s}}/source/{nowhere}.m4s")).await, 404, "{nowhere}");
    }
    // Playlists list it no longer; a player may have one that does.
    broadcaster.send(&worker, 14_100);
    until_text(&scene, PLAYLIST, |text| text.contains("MEDIA-SEQUENCE:7\n")).await;
    assert_eq!(scene.bytes("/live/{s}/source/6-1.m4s").await, expected(&worker, "source", "6-1.m4s"));
    broadcaster.send(&worker, 30_000);
    until_text(&scene, PLAYLIST, |text| !text.contains("\n7-1.m4s\n")).await;
    for file in files() {
        assert_eq!(scene.status(&format!("/live/{{s}}/source/{file}")).await, 404, "{file}");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_can_be_made_of_the_first_media_the_master_waits_and_gaps_stand_before_it() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    Broadcaster::new(&scene).send(&worker, 240);
    let mut lost = worker.timeline();
    for track in &mut lost.tracks {
        track.segments.truncate(1);
        track.segments[0].gap = true;
        track.segments[0].parts.clear();
        track.segments[0].phase = SegmentPhase::Finished;
    }
    worker.event(&Event::Snapshot(Box::new(lost)));
    let text = until_text(&scene, PLAYLIST, |text| text.contains("GAP")).await;
    assert!(!text.contains("\"l1-"), "{text}");
    assert_eq!(scene.bytes("/live/{s}/source/6-1.m4s").await, "\0\0\0\x08free");
    assert_eq!(scene.status("/live/{s}/source/l1-0.m4s").await, 404);
    let master = scene.start("/live/{s}/master.m3u8");
    scene.until_waiting(1).await;
    worker.event(&Event::End);
    assert_eq!(master.await.unwrap().0, 200);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fetches_the_lead_in_alone_is_no_viewer() {
    let scene = Scene::with_limits(EdgeLimits { settling: Duration::ZERO, ..EdgeLimits::default() }).await;
    let worker = scene.worker(1).await;
    let mut broadcaster = Broadcaster::new(&scene);
    broadcaster.send(&worker, 2_300);
    until_text(&scene, PLAYLIST, |text| text.contains("\n7-1.m4s\n")).await;
    let fetch = async |player: &str, file: &str| {
        let url = scene.url(&format!("/live/{{s}}/source/{file}"));
        let answer = scene.client.get(url).header("user-agent", player).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{file}");
    };
    for file in files() {
        fetch("a robot", &file).await;
    }
    let second = worker.timeline().tracks[0].segments[1].parts[0].number;
    for file in ["6-1.m4s", "p1-0.m4s", &format!("p1-{second}.m4s")] {
        fetch("a player", file).await;
    }
    until("one viewer is told", || scene.viewers() == 1).await;
    scene.stop().await;
}

const NOW: i64 = 1_795_356_000_000;
