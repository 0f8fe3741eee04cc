//! Real encoders against the shell: ffmpeg, and librtmp (OBS's RTMP, of an older day) in the shape of curl.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use std::process::Stdio;
use std::time::Duration;

use bytes::{Buf, Bytes};
use caudal_rtmp::{Limits, LossReason, Metadata, PublisherConnection, PublisherEvent, Refusal, SessionError};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// More than any of these runs takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct Ffmpeg {
    listener: TcpListener,
    child: Child,
}

impl Ffmpeg {
    async fn publish(path: &str, arguments: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("rtmp://127.0.0.1:{}/{path}", listener.local_addr().unwrap().port());
        let child = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "verbose", "-nostdin"])
            .args(arguments)
            .args(["-f", "flv", &url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("ffmpeg is installed");
        Self { listener, child }
    }

    async fn log(self) -> String {
        let output = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await.unwrap().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

const H264_AND_AAC: [&str; 18] = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=320x240:rate=30:duration=2",
    "-f",
    "lavfi",
    "-i",
    "sine=frequency=440:sample_rate=48000:duration=2",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-g",
    "30",
    "-c:a",
    "aac",
    "-ac",
    "2",
];

struct Received {
    metadata: Vec<Metadata>,
    audio: Vec<(u32, usize)>,
    video: Vec<(u32, Bytes)>,
    end: (bool, LossReason),
}

async fn receive(listener: &TcpListener, key: &str) -> Received {
    let (socket, _) = listener.accept().await.unwrap();
    let request = PublisherConnection::accept_tcp(socket, Limits::default()).await.unwrap();
    assert_eq!(request.details().app, "live");
    assert_eq!(request.details().key().expose(), key);
    let mut stream = request.accept().await;
    let (mut metadata, mut audio, mut video) = (Vec::new(), Vec::new(), Vec::new());
    let end = loop {
        match stream.next_event().await.unwrap() {
            PublisherEvent::Metadata(received) => metadata.push(*received),
            PublisherEvent::Audio { timestamp_ms, data } => audio.push((timestamp_ms, data.len())),
            PublisherEvent::Video { timestamp_ms, data } => video.push((timestamp_ms, data)),
            PublisherEvent::Lost { explicit, reason } => break (explicit, reason),
        }
    };
    assert_eq!(stream.next_event().await, None);
    stream.close().await;
    Received { metadata, audio, video, end }
}

#[tokio::test]
async fn ffmpeg_publishes_h264_and_aac_and_says_goodbye() {
    let ffmpeg = Ffmpeg::publish("live/some-key", &H264_AND_AAC).await;
    let received = tokio::time::timeout(PATIENCE, receive(&ffmpeg.listener, "some-key")).await.unwrap();

    assert_eq!(received.end, (true, LossReason::Unpublished));
    let metadata = &received.metadata[0];
    assert_eq!((metadata.width, metadata.height), (Some(320), Some(240)));
    assert_eq!(metadata.frame_rate, Some(30.0));
    assert!(metadata.has_video && metadata.has_audio);
    assert_eq!(metadata.stereo, Some(true));
    assert!(metadata.encoder.as_deref().unwrap().starts_with("Lavf"));
    // Sequence header, 60 frames, end of sequence.
    assert_eq!(received.video.len(), 62);
    assert!(received.audio.len() > 90, "{}", received.audio.len());
    assert!(received.video.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    assert!((1900..=2000).contains(&received.video.last().unwrap().0));
    let log = ffmpeg.log().await;
    assert!(!log.contains("Broken pipe") && !log.contains("Error"), "{log}");
}

#[tokio::test]
async fn ffmpeg_with_the_key_in_a_query_is_understood() {
    let ffmpeg = Ffmpeg::publish("live/name?key=other-key", &H264_AND_AAC).await;
    let received = tokio::time::timeout(PATIENCE, receive(&ffmpeg.listener, "other-key")).await.unwrap();
    assert_eq!(received.video.len(), 62);
}

#[tokio::test]
async fn ffmpeg_hears_why_it_is_refused() {
    let ffmpeg = Ffmpeg::publish("live/bad-key", &H264_AND_AAC).await;
    let (socket, _) = ffmpeg.listener.accept().await.unwrap();
    let request = PublisherConnection::accept_tcp(socket, Limits::default()).await.unwrap();
    request.reject(Refusal::Denied, "no such key").await;
    let log = ffmpeg.log().await;
    assert!(log.contains("no such key"), "{log}");
}

#[tokio::test]
async fn ffmpeg_hears_which_codec_is_not_taken() {
    // ffmpeg's defaults for FLV, which people meet when they forget `-c:v`.
    let ffmpeg = Ffmpeg::publish(
        "live/key",
        &["-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30:duration=30", "-c:v", "flv1"],
    )
    .await;
    let received = tokio::time::timeout(PATIENCE, receive(&ffmpeg.listener, "key")).await.unwrap();
    let error = SessionError::UnsupportedCodec("Sorenson H.263".to_owned());
    assert_eq!(received.end, (false, LossReason::Failed(error)));
    let log = ffmpeg.log().await;
    assert!(log.contains("Sorenson H.263 is not supported"), "{log}");
}

#[tokio::test]
async fn ffmpeg_killed_is_a_loss_without_a_word() {
    let mut arguments = vec!["-re"];
    arguments.extend(H264_AND_AAC);
    let mut ffmpeg = Ffmpeg::publish("live/key", &arguments).await;
    let (socket, _) = ffmpeg.listener.accept().await.unwrap();
    let request = PublisherConnection::accept_tcp(socket, Limits::default()).await.unwrap();
    let mut stream = request.accept().await;
    while !matches!(stream.next_event().await, Some(PublisherEvent::Video { .. })) {}
    ffmpeg.child.kill().await.unwrap();
    let end = loop {
        if let PublisherEvent::Lost { explicit, .. } = stream.next_event().await.unwrap() {
            break explicit;
        }
    };
    assert!(!end);
}

/// 4 h 39 m 36 s: the first frames' timestamps fit 24 bits, the last ones' do not.
const ALMOST_24_BITS: &str = "16776.5";

/// Frames of several chunks at any chunk size.
const LARGE_FRAMES: [&str; 14] = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=1280x720:rate=25:duration=2",
    "-f",
    "lavfi",
    "-i",
    "sine=sample_rate=48000:duration=2",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-qp",
    "4",
];

/// Every frame's NAL units fill it exactly: nothing was put in or left out between its chunks.
fn assert_whole_frames(video: &[(u32, Bytes)]) {
    let mut largest = 0;
    for (timestamp, tag) in video {
        largest = largest.max(tag.len());
        let mut frame = tag.clone();
        let header = frame.split_to(5);
        if header[1] != 1 {
            continue;
        }
        while frame.has_remaining() {
            let length = usize::try_from(frame.get_u32()).unwrap();
            assert!(length <= frame.len(), "at {timestamp} ms: {length} of {}", frame.len());
            frame.advance(length);
        }
    }
    assert!(largest > 60_000, "{largest}");
}

fn assert_times_cross_24_bits(video: &[(u32, Bytes)]) {
    assert!(video.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[1].0 - pair[0].0 <= 40 + 1));
    assert!(video[1].0 < 0x00FF_FFFF && video.last().unwrap().0 > 0x00FF_FFFF);
}

#[tokio::test]
async fn ffmpeg_goes_on_past_four_hours_and_39_minutes() {
    let mut arguments = LARGE_FRAMES.to_vec();
    arguments.extend(["-c:a", "aac", "-output_ts_offset", ALMOST_24_BITS]);
    let ffmpeg = Ffmpeg::publish("live/key", &arguments).await;
    let received = tokio::time::timeout(PATIENCE, receive(&ffmpeg.listener, "key")).await.unwrap();
    assert!(received.end.0);
    assert_whole_frames(&received.video);
    assert_times_cross_24_bits(&received.video[1..]);
}

#[tokio::test]
async fn librtmp_goes_on_past_four_hours_and_39_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.flv");
    let encoded = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin"])
        .args(LARGE_FRAMES)
        .args(["-c:a", "aac", "-output_ts_offset", ALMOST_24_BITS, "-f", "flv"])
        .arg(&file)
        .kill_on_drop(true)
        .status();
    assert!(tokio::time::timeout(PATIENCE, encoded).await.unwrap().unwrap().success());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtmp://127.0.0.1:{}/live/key", listener.local_addr().unwrap().port());
    // Debian's curl speaks RTMP by librtmp: chunks of 128 bytes, no word at the end.
    let mut curl = Command::new("curl")
        .args(["--silent", "--noproxy", "*", "--upload-file"])
        .arg(&file)
        .arg(&url)
        .kill_on_drop(true)
        .spawn()
        .expect("curl is installed");
    let received = tokio::time::timeout(PATIENCE, receive(&listener, "key")).await.unwrap();
    assert!(tokio::time::timeout(PATIENCE, curl.wait()).await.unwrap().unwrap().success());
    assert_eq!(received.metadata[0].width, Some(1280));
    // Not all: curl leaves what it was told unread when it ends, so that the kernel may throw the last of it away.
    assert!(received.audio.len() > 60, "{}", received.audio.len());
    assert_whole_frames(&received.video);
    assert_times_cross_24_bits(&received.video[1..]);
}
