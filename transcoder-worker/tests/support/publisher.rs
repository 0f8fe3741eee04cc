//! What a router sends: the tags of ffmpeg's test picture and tone, in real time.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, BytesMut};
use caudal_media::flv::{FlvDemuxer, FlvTag, TagKind};
use caudal_rtmp::{Metadata, RelayPublisher};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

/// A live encoder: ffmpeg's test picture and tone in real time.
pub struct Publisher {
    tags: Arc<Mutex<Sent>>,
    task: JoinHandle<()>,
    #[allow(dead_code, reason = "not every test file asks")]
    pub sent: Arc<AtomicUsize>,
}

/// Headers, and the GOPs that a router would replay.
#[derive(Default)]
pub struct Sent {
    metadata: Option<FlvTag>,
    headers: Vec<FlvTag>,
    gops: VecDeque<Vec<FlvTag>>,
}

impl Publisher {
    /// Publishes to `relay`; `padding` bytes are added to each picture, to make a high bit rate cheaply.
    pub fn start(relay: RelayPublisher<TcpStream>, padding: usize) -> Self {
        Self::start_with_some(relay, padding, |_| true)
    }

    /// Sends only what `wanted` says.
    pub fn start_with_some(
        relay: RelayPublisher<TcpStream>,
        padding: usize,
        wanted: fn(&FlvTag) -> bool,
    ) -> Self {
        let mut encoder = Encoder::start();
        let tags = Arc::new(Mutex::new(Sent::default()));
        let sent = Arc::new(AtomicUsize::new(0));
        let (kept, count) = (Arc::clone(&tags), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let mut relay = relay;
            loop {
                let tags = tokio::select! {
                    tags = encoder.tags() => tags,
                    // A worker that was killed: the test goes on with another.
                    _ = relay.lost() => break,
                };
                if tags.is_empty() {
                    break;
                }
                for tag in tags.into_iter().filter(wanted) {
                    let tag = padded(tag, padding);
                    kept.lock().unwrap().keep(&tag);
                    count.fetch_add(1, Ordering::Relaxed);
                    send(&mut relay, &tag);
                }
                if relay.flush().await.is_err() {
                    break;
                }
            }
        });
        Self { tags, task, sent }
    }

    /// Stops as a lost connection does, and returns what a router would replay.
    pub async fn stop(self) -> Vec<FlvTag> {
        self.task.abort();
        let _ = self.task.await;
        self.tags.lock().unwrap().replay()
    }
}

/// ffmpeg as an encoder in real time, with a keyframe each second.
pub struct Encoder {
    _child: Child,
    output: ChildStdout,
    demuxer: FlvDemuxer,
    buffer: BytesMut,
}

impl Encoder {
    pub fn start() -> Self {
        let source = "testsrc2=size=640x360:rate=25";
        let mut child = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", source])
            .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
            .args([
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-tune",
                "zerolatency",
                "-g",
                "25",
                "-b:v",
                "500k",
            ])
            .args(["-c:a", "aac", "-ac", "2", "-f", "flv", "-flvflags", "no_duration_filesize", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("ffmpeg starts");
        let output = child.stdout.take().unwrap();
        Self {
            _child: child,
            output,
            demuxer: FlvDemuxer::default(),
            buffer: BytesMut::with_capacity(65_536),
        }
    }

    /// The tags that come next; none at the end. Dropping the future loses nothing.
    pub async fn tags(&mut self) -> Vec<FlvTag> {
        let mut tags = Vec::new();
        while tags.is_empty() {
            self.buffer.clear();
            if self.output.read_buf(&mut self.buffer).await.unwrap() == 0 {
                break;
            }
            self.demuxer.push(&self.buffer);
            tags.extend(std::iter::from_fn(|| self.demuxer.next_tag().unwrap()));
        }
        tags
    }
}

/// What a decoder needs before any frame.
pub fn is_header(tag: &FlvTag) -> bool {
    tag.kind != TagKind::Script && tag.body.get(1) == Some(&0)
}

pub fn is_keyframe(tag: &FlvTag) -> bool {
    tag.kind == TagKind::Video && tag.body[0] >> 4 == 1 && !is_header(tag)
}

impl Sent {
    pub fn replay(&self) -> Vec<FlvTag> {
        let first = self.gops.front().and_then(|gop| gop.first()).map_or(0, |tag| tag.timestamp_ms);
        let headers = self.metadata.iter().chain(&self.headers).cloned();
        let headers = headers.map(|tag| FlvTag { timestamp_ms: first, ..tag });
        headers.chain(self.gops.iter().flatten().cloned()).collect()
    }

    pub fn keep(&mut self, tag: &FlvTag) {
        match tag.kind {
            TagKind::Script => self.metadata = Some(tag.clone()),
            _ if is_header(tag) => self.headers.push(tag.clone()),
            _ if is_keyframe(tag) => {
                self.gops.push_back(vec![tag.clone()]);
                // A second each, and a router's replay covers 15 s.
                while self.gops.len() > 16 {
                    self.gops.pop_front();
                }
            }
            _ => {
                if let Some(gop) = self.gops.back_mut() {
                    gop.push(tag.clone());
                }
            }
        }
    }
}

pub fn send(relay: &mut RelayPublisher<TcpStream>, tag: &FlvTag) {
    match tag.kind {
        TagKind::Video => relay.send_video(tag.timestamp_ms, tag.body.clone()).unwrap(),
        TagKind::Audio => relay.send_audio(tag.timestamp_ms, tag.body.clone()).unwrap(),
        TagKind::Script => {
            let metadata = Metadata::read(&tag.body).expect("ffmpeg's metadata");
            relay.send_metadata(tag.timestamp_ms, &metadata).unwrap();
        }
    }
}

/// Adds an unregistered SEI message before the picture: decoders skip it, and the packager keeps it, unlike filler NAL units.
fn padded(tag: FlvTag, padding: usize) -> FlvTag {
    if padding == 0 || tag.kind != TagKind::Video || tag.body.get(1) != Some(&1) {
        return tag;
    }
    // An SEI unit: the type `user_data_unregistered` (H.264 D.1.7), the size as a sum of 255s and a rest, the payload.
    let mut unit = vec![6, 5];
    unit.extend(std::iter::repeat_n(0xFF, padding / 255));
    unit.push(u8::try_from(padding % 255).unwrap());
    unit.extend(std::iter::repeat_n(0xFF, padding));
    unit.push(0x80);
    let (head, picture) = tag.body.split_at(5);
    let mut body = BytesMut::from(head);
    body.put_u32(u32::try_from(unit.len()).unwrap());
    body.put_slice(&unit);
    body.put_slice(picture);
    FlvTag { body: body.freeze(), ..tag }
}
