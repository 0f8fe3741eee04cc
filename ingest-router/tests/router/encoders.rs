//! A real encoder.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::{HEADER, Harness, KEY, KEYFRAME, within};

#[tokio::test]
async fn ffmpeg_publishes_and_is_measured() {
    let harness = Harness::start().await;
    let url = format!("rtmp://{}/live/{KEY}", harness.rtmp);
    let input = "testsrc2=size=640x360:rate=30:duration=4";
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-re", "-f", "lavfi", "-i", input])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=4"])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-g",
            "30",
            "-bf",
            "2",
            "-c:a",
            "aac",
            "-f",
            "flv",
            &url,
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stream = harness.stream;
    within(harness.directory.wait_for(|record| record.spec.stream == stream)).await;
    let mut worker = crate::fake_worker::FakeWorker::start().await;
    harness.directory.assign(stream, worker.address, 0);
    let (kind, at) = worker.hears_video().await;
    assert_eq!(kind, HEADER);
    assert_eq!(worker.hears_video().await, (KEYFRAME, at));
    let measured = within(harness.directory.wait_for(|record| {
        record.status.media.as_ref().is_some_and(|media| {
            media.keyframe_interval_ms.is_some()
                && media.fps_milli.abs_diff(30_000) < 600
                && media.b_frames.is_some()
        })
    }))
    .await;
    let media = measured.status.media.clone().unwrap();
    assert_eq!((media.width, media.height), (Some(640), Some(360)));
    assert!(media.encoder.as_deref().is_some_and(|encoder| encoder.starts_with("Lavf")));
    assert!(worker.hears_loss().await, "ffmpeg says good-bye");
    assert!(within(ffmpeg.wait()).await.unwrap().success());
    harness.stop().await;
}
