//! Files: whose bytes, for how long, and what is not there.

use caudal_livestream::admission::Access;
use caudal_livestream::record::Phase;
use caudal_livestream::{Msn, StreamId};
use caudal_storage::Key;
use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fake_worker::FakeWorker;
use super::{Scene, feed_key, until, until_text};
use crate::EdgeLimits;

const PLAYLIST: &str = "/live/{s}/source/index.m3u8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_segments_and_inits_are_the_workers_bytes() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source", "audio"]);
    scene.text(PLAYLIST).await;
    // What was announced before anybody watched is fetched once, before anybody asks.
    until("the open segment is fetched", || worker.fetched().len() == 2).await;
    assert_eq!(worker.fetched(), ["source/init-abc.mp4", "source/p1-0.m4s"]);
    let hinted = scene.start("/live/{s}/source/p1-1.m4s");
    worker.part();
    assert_eq!(hinted.await.unwrap(), (200, "[source 1 1]".to_owned()));
    assert_eq!(scene.bytes("/live/{s}/source/p1-0.m4s").await, "[source 1 0]");
    assert_eq!(scene.bytes("/live/{s}/source/init-abc.mp4").await, "init");

    for _ in 2..5 {
        worker.part();
    }
    worker.close();
    until_text(&scene, PLAYLIST, |text| text.contains("\n7-1.m4s\n")).await;
    let segment = scene.get("/live/{s}/source/7-1.m4s").await;
    assert_eq!(segment.headers()["cache-control"], "public, max-age=1");
    assert_eq!(segment.headers()["content-type"], "video/mp4");
    assert!(!segment.headers().contains_key("accept-ranges"));
    assert_eq!(
        segment.bytes().await.unwrap(),
        "[source 1 0][source 1 1][source 1 2][source 1 3][source 1 4]"
    );
    assert_eq!(worker.fetched().len(), 2);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_another_edge_has_announced_already_is_waited_for() {
    let scene = Scene::new().await;
    let first = scene.worker(1).await;
    first.announce(&["source"]);
    scene.text(PLAYLIST).await;
    let ahead = scene.start("/live/{s}/source/p1-2.m4s");
    scene.until_waiting(1).await;
    first.part();
    first.part();
    assert_eq!(ahead.await.unwrap(), (200, "[source 1 2]".to_owned()));

    assert_eq!(scene.status("/live/{s}/source/p2-9.m4s").await, 404, "each epoch counts from 0");
    let of_the_next_worker = scene.start("/live/{s}/source/p2-0.m4s");
    scene.until_waiting(1).await;
    for _ in 3..5 {
        first.part();
    }
    first.close();
    let second = FakeWorker::start(scene.stream, 2, &feed_key(), scene.store.clone()).await;
    second.take_up(first.successor(2));
    second.part();
    first.kill();
    scene.directory.assign(&second, Phase::Live);
    assert_eq!(of_the_next_worker.await.unwrap(), (200, "[source 2 0]".to_owned()));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gaps_are_answered_for_players_that_ask_in_spite_of_the_tag() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    let text = scene.text(PLAYLIST).await;
    assert!(text.contains("#EXT-X-GAP\n#EXTINF:2.000000,\n6-1.m4s\n"), "{text}");
    for before in ["0-1", "6-1"] {
        let gap = scene.get(&format!("/live/{{s}}/source/{before}.m4s")).await;
        assert_eq!(gap.headers()["cache-control"], "public, max-age=1");
        assert_eq!(gap.bytes().await.unwrap(), "\0\0\0\x08free");
    }
    for nowhere in ["6-2", "8-1"] {
        assert_eq!(scene.status(&format!("/live/{{s}}/source/{nowhere}.m4s")).await, 404, "{nowhere}");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_is_immutable_and_comes_in_ranges() {
    let scene = Scene::new().await;
    let worker = scene.worker_with_a_stored_segment().await;
    // The worker has forgotten all of it, so it comes from storage.
    worker.forget_files();
    scene.text(PLAYLIST).await;
    let url = scene.url("/live/{s}/source/7-1.m4s");
    let part = scene.client.get(&url).header("range", "bytes=12-23").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], "bytes 12-23/60");
    assert_eq!(part.headers()["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(part.bytes().await.unwrap(), "[source 1 1]");
    assert_eq!(scene.client.get(&url).header("range", "bytes=60-").send().await.unwrap().status(), 416);
    // A part is by now a slice of its segment.
    assert_eq!(scene.bytes("/live/{s}/source/p1-3.m4s").await, "[source 1 3]");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_that_is_behind_drives_nothing_of_the_live_edge_out_of_memory() {
    let scene = Scene::with_limits(EdgeLimits { memory: Some(71), ..EdgeLimits::default() }).await;
    let worker = scene.worker_with_a_stored_segment().await;
    scene.text(PLAYLIST).await;
    until("no feed is being opened", || worker.only_carries("source")).await;
    // A feed that opened had the edge fetch the segment, which may come only now, and no part before it.
    scene.until_had("/live/{s}/source/7-1.m4s").await;
    worker.part();
    until_text(&scene, PLAYLIST, |text| text.contains("p1-5.m4s\",INDEPENDENT")).await;
    // From now on it is in the edge's memory or nowhere.
    worker.forget_files();
    for _ in 0..2 {
        assert_eq!(scene.bytes("/live/{s}/source/7-1.m4s").await.len(), 60);
        assert_eq!(scene.bytes("/live/{s}/source/p1-3.m4s").await, "[source 1 3]");
        assert_eq!(scene.bytes("/live/{s}/source/p1-5.m4s").await, "[source 1 5]");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_read_and_kept_by_nobody_else_has_a_bound() {
    let scene = Scene::with_limits(EdgeLimits { memory: Some(1024 * 1024), ..EdgeLimits::default() }).await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    worker.close();
    worker.segment();
    worker.store().await;
    worker.forget_files();
    scene.text(PLAYLIST).await;
    // Too large to be kept, and for the socket's buffers.
    for file in ["source/7-1.m4s", "source/8-1.m4s"] {
        std::fs::write(scene.path(file), vec![0; 16 * 1024 * 1024]).unwrap();
    }
    let slow = tokio::net::TcpSocket::new_v4().unwrap();
    slow.set_recv_buffer_size(2048).unwrap();
    let mut slow = slow.connect(scene.address).await.unwrap();
    let request = format!("GET /live/{}/source/7-1.m4s HTTP/1.1\r\nHost: a\r\n\r\n", scene.stream);
    slow.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(slow.read_u8().await.unwrap(), b'H');
    scene.cannot_say("/live/{s}/source/8-1.m4s").await;
    drop(slow);
    scene.until_had("/live/{s}/source/8-1.m4s").await;
    assert_eq!(scene.bytes("/live/{s}/source/8-1.m4s").await.len(), 16 * 1024 * 1024);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_just_left_the_playlist_can_still_be_had() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    worker.close();
    worker.store().await;
    scene.text(PLAYLIST).await;
    for _ in 0..22 {
        worker.segment();
    }
    until_text(&scene, PLAYLIST, |text| text.contains("MEDIA-SEQUENCE:9\n")).await;
    worker.forget_files();
    assert_eq!(scene.bytes("/live/{s}/source/7-1.m4s").await, "[source 1 0]");
    assert_eq!(worker.timeline().tracks[0].segments[0].msn, Msn(9));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_a_404_for_a_second() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text(PLAYLIST).await;
    let stranger = StreamId::generate();
    for path in [
        "/",
        "/live/nonsense/master.m3u8",
        "/live/{s}/other/index.m3u8",
        "/live/{s}/SOURCE/index.m3u8",
        "/live/{s}/source/7-1.m4s",
        "/live/{s}/source/7-2.m4s",
        "/live/{s}/source/400-1.m4s",
        "/live/{s}/source/p1-7.m4s",
        "/live/{s}/source/p0-1.m4s",
        "/live/{s}/source/p4-0.m4s",
        "/live/{s}/source/init-dead.mp4",
        "/live/{s}/source/state-1.json",
        "/live/{s}/source/..%2fstate-1.json",
        "/thumbnails/{s}/poster.jpg",
        &format!("/live/{stranger}/master.m3u8"),
        &format!("/live/{stranger}/source/7-1.m4s"),
        &format!("/thumbnails/{stranger}/poster.jpg"),
    ] {
        let response = scene.get(path).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(response.headers()["cache-control"], "public, max-age=1", "{path}");
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{path}");
    }
    scene.directory.change(|record| record.spec.access = Access::Premium);
    assert_eq!(scene.status("/live/{s}/master.m3u8").await, 404);
    assert_eq!(scene.status("/live/{s}/source/p1-0.m4s").await, 404);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_storage_or_worker_cannot_say_now_is_no_404() {
    let scene = Scene::new().await;
    let worker = scene.worker_with_a_stored_segment().await;
    worker.forget_files();
    scene.text(PLAYLIST).await;
    let segment = scene.path("source/7-1.m4s");
    std::fs::remove_file(&segment).unwrap();
    // A file that is there and cannot be opened.
    std::os::unix::fs::symlink(&segment, &segment).unwrap();
    for path in ["/live/{s}/source/7-1.m4s", "/live/{s}/source/p1-3.m4s"] {
        scene.cannot_say(path).await;
    }
    std::fs::remove_file(&segment).unwrap();
    std::fs::write(&segment, "media").unwrap();
    assert_eq!(scene.bytes("/live/{s}/source/7-1.m4s").await, "media");

    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    // The edge has nothing of the segment, nor has storage, and the worker does not answer.
    worker.forget_files();
    scene.text(PLAYLIST).await;
    // A feed that opens once the segment is closed has the edge fetch the segment.
    until("no feed is being opened", || worker.only_carries("source")).await;
    worker.close();
    until_text(&scene, PLAYLIST, |text| text.contains("\n7-1.m4s\n")).await;
    worker.kill();
    scene.cannot_say("/live/{s}/source/7-1.m4s").await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playlists_are_compressed_for_those_who_take_it() {
    use std::io::Read as _;
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    let plain = scene.text(PLAYLIST).await;
    let response =
        scene.client.get(scene.url(PLAYLIST)).header("accept-encoding", "gzip, br").send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["vary"], "Accept-Encoding");
    assert_eq!(response.headers()["content-type"], "application/vnd.apple.mpegurl");
    let body = response.bytes().await.unwrap();
    assert!(body.len() < plain.len() / 2);
    let mut text = String::new();
    GzDecoder::new(body.as_ref()).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_on_other_pages_are_let_in() {
    let scene = Scene::new().await;
    let preflight = scene.client.request(reqwest::Method::OPTIONS, scene.url(PLAYLIST)).send().await.unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert_eq!(preflight.headers()["access-control-allow-methods"], "GET, HEAD, OPTIONS");
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    let response = scene.get(PLAYLIST).await;
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert!(response.headers()["access-control-expose-headers"].to_str().unwrap().contains("Content-Range"));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manifest_names_finished_segments_that_can_be_had() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source", "audio"]);
    worker.close();
    worker.segment();
    let manifest = scene.get("/live/{s}/manifest.mpd").await;
    assert_eq!(manifest.headers()["content-type"], "application/dash+xml");
    let text = manifest.text().await.unwrap();
    assert!(text.contains("startNumber=\"7\"") && text.contains("audio/$Number$-1.m4s"), "{text}");
    assert_eq!(scene.bytes("/live/{s}/audio/7-1.m4s").await, "[audio 1 0]");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poster_is_served_from_storage() {
    let scene = Scene::new().await;
    scene.store.put(&Key::Poster(scene.stream), "jpeg".into()).await.unwrap();
    let poster = scene.get("/thumbnails/{s}/poster.jpg").await;
    assert_eq!(poster.headers()["content-type"], "image/jpeg");
    assert_eq!(poster.headers()["cache-control"], "public, max-age=5");
    assert_eq!(poster.bytes().await.unwrap(), "jpeg");
    scene.stop().await;
}
