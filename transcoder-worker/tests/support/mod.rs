//! A controller, a router and a reader, as small as a worker can be tested with.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use caudal_directory::{Feed, FeedRenditions, WorkerClient};
use caudal_livestream::admission::{LadderRung, LatencyMode};
use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::feed::{Event, Frame};
use caudal_livestream::proof::{Proof, RoleKey, SignedAssignment};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{Epoch, Generation, SessionId, StreamId, UnixMillis, WorkerId};
use caudal_media::flv::{FlvDemuxer, FlvTag, TagKind};
use caudal_rtmp::{Metadata, RelayClient, RelayError, RelayPublisher, RelayTarget};
use caudal_storage::SegmentStore;
use caudal_transcoder_worker::{Config, Error, LadderChoice, run};
use ed25519_dalek::SigningKey;
use prometheus::Registry;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Tests that encode in real time, one after the other: two cores carry one.
pub static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Longer than anything here takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A worker in this process.
pub struct Worker {
    pub address: WorkerAddress,
    pub shutdown: CancellationToken,
    #[allow(dead_code, reason = "not every test file asks")]
    pub leave: CancellationToken,
    pub registry: Registry,
    task: JoinHandle<Result<(), Error>>,
}

/// Who assigns it, publishes to it and reads from it.
pub struct Broadcast {
    pub stream: StreamId,
    pub session: SessionId,
    pub ladder: Vec<LadderRung>,
    controller: SigningKey,
    router: RoleKey,
    edge: RoleKey,
    client: WorkerClient,
}

pub fn rung(height: u32, bitrate: u32) -> LadderRung {
    LadderRung { name: format!("{height}p").parse().unwrap(), height, bitrate }
}

impl Broadcast {
    pub fn new(ladder: Vec<LadderRung>) -> Self {
        Self {
            stream: StreamId::generate(),
            session: SessionId::generate(),
            ladder,
            controller: SigningKey::from_bytes(&[3; 32]),
            router: RoleKey::new([1; 32]),
            edge: RoleKey::new([2; 32]),
            client: WorkerClient::new().unwrap(),
        }
    }

    pub async fn worker(&self, folder: &Path) -> Worker {
        self.worker_with(folder, "ffmpeg".into(), Duration::from_mins(1)).await
    }

    /// With another ffmpeg, and posters that stay so long.
    pub async fn worker_with(&self, folder: &Path, ffmpeg: PathBuf, poster_interval: Duration) -> Worker {
        let bind = || TcpListener::bind("127.0.0.1:0");
        let registry = Registry::new();
        let leave = CancellationToken::new();
        let config = Config {
            worker: WorkerId::generate(),
            controller: vec![self.controller.verifying_key()],
            storage: SegmentStore::folder(folder).unwrap(),
            rtmp: bind().await.unwrap(),
            http: bind().await.unwrap(),
            advertised: None,
            registry: registry.clone(),
            ffmpeg,
            ladder: LadderChoice::Full,
            poster_interval,
            leave: leave.clone(),
        };
        let ready = config.ready().unwrap();
        let address = WorkerAddress { worker: ready.worker, rtmp: ready.rtmp, http: ready.http };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(config, shutdown.clone()));
        Worker { address, shutdown, leave, registry, task }
    }

    /// A worker under the first epoch, and a reader of its feed.
    pub async fn live(&self, folder: &Path, renditions: &[&str]) -> (Worker, Reader) {
        let worker = self.worker(folder).await;
        let reader = self.begin(&worker, renditions).await;
        (worker, reader)
    }

    /// The same with a worker that there is.
    pub async fn begin(&self, worker: &Worker, renditions: &[&str]) -> Reader {
        self.assign(worker, 1, AssignmentMode::Live, None).await;
        self.feed(worker, 1, renditions).await
    }

    /// Where its media is stored.
    pub fn media(&self, folder: &Path) -> PathBuf {
        folder.join(format!("live/{}", self.stream))
    }

    pub fn assignment(&self, worker: &Worker, epoch: u32) -> Assignment {
        Assignment {
            worker: worker.address.worker,
            stream: self.stream,
            epoch: Epoch(epoch),
            generation: Generation(1),
            mode: AssignmentMode::Live,
            floor: None,
            ladder: self.ladder.clone(),
            latency_mode: LatencyMode::Low,
            record: false,
            hints: None,
            input_key_digest: self.router.proof(self.stream, Epoch(epoch)).digest(),
            feed_key_digest: self.edge_proof(epoch).digest(),
            other_input_key_digests: Vec::new(),
            other_feed_key_digests: Vec::new(),
            expires: UnixMillis(i64::MAX),
        }
    }

    pub async fn assign(&self, worker: &Worker, epoch: u32, mode: AssignmentMode, floor: Option<Floor>) {
        let assignment = Assignment { mode, floor, ..self.assignment(worker, epoch) };
        let signed = SignedAssignment::sign(&assignment, &self.controller).unwrap();
        self.client.assign(&worker.address, &signed).await.unwrap();
    }

    pub async fn try_assign(
        &self,
        worker: &Worker,
        assignment: &Assignment,
    ) -> Result<(), caudal_directory::AssignError> {
        let signed = SignedAssignment::sign(assignment, &self.controller).unwrap();
        self.client.assign(&worker.address, &signed).await
    }

    pub fn edge_proof(&self, epoch: u32) -> Proof {
        self.edge.proof(self.stream, Epoch(epoch))
    }

    pub async fn feed(&self, worker: &Worker, epoch: u32, renditions: &[&str]) -> Reader {
        let wants = match renditions {
            [] => FeedRenditions::None,
            names => FeedRenditions::These(names.iter().map(|name| name.parse().unwrap()).collect()),
        };
        let feed = self.client.feed(&worker.address, &self.edge_proof(epoch), wants).await.unwrap();
        Reader { feed, timeline: None }
    }

    pub async fn fetch(&self, worker: &Worker, epoch: u32, rendition: &str, file: &str) -> Option<Bytes> {
        let rendition = rendition.parse().unwrap();
        self.client.fetch(&worker.address, &self.edge_proof(epoch), &rendition, file).await.unwrap()
    }

    /// The first publisher's relay.
    pub async fn publish(&self, worker: &Worker, epoch: u32) -> RelayPublisher<TcpStream> {
        self.relay(worker, epoch, 1, self.session).await.unwrap()
    }

    pub async fn relay(
        &self,
        worker: &Worker,
        epoch: u32,
        generation: u32,
        session: SessionId,
    ) -> Result<RelayPublisher<TcpStream>, RelayError> {
        let auth = self.router.proof(self.stream, Epoch(epoch));
        let target = RelayTarget {
            app: "relay".to_owned(),
            stream_name: format!(
                "{}?epoch={epoch}&session={session}&generation={generation}&auth={}",
                self.stream,
                auth.reveal()
            ),
            tc_url: "rtmp://worker/relay".to_owned(),
        };
        RelayClient::connect_tcp(worker.address.rtmp, target, Instant::now() + PATIENCE).await
    }
}

impl Worker {
    /// Tells it to go, and waits until it is gone.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await;
    }

    /// Waits until it has ended by itself.
    pub async fn ended(self) {
        timeout(PATIENCE, self.task).await.expect("the worker ends").unwrap().unwrap();
    }

    /// As a SIGKILL does: nothing is written any more.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub fn metric(&self, name: &str) -> f64 {
        let family = self.registry.gather().into_iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    /// How many values a histogram holds.
    pub fn observed(&self, name: &str) -> u64 {
        let family = self.registry.gather().into_iter().find(|family| family.name() == name).unwrap();
        family.get_metric()[0].get_histogram().get_sample_count()
    }
}

/// A feed, mirrored.
pub struct Reader {
    pub feed: Feed,
    pub timeline: Option<Timeline>,
}

impl Reader {
    /// The next frame, applied. None at the end of the stream.
    pub async fn next(&mut self) -> Option<Frame> {
        let frame =
            timeout(PATIENCE, self.feed.next()).await.expect("a frame in time").expect("the feed goes on")?;
        if let Frame::Event(event) = &frame {
            match (event, &mut self.timeline) {
                (Event::Snapshot(timeline), _) => self.timeline = Some(timeline.as_ref().clone()),
                (event, Some(timeline)) => timeline.apply(event).expect("events follow each other"),
                (Event::Part(_) | Event::Segment(_) | Event::Stored { .. }, None) => {
                    panic!("before any snapshot")
                }
                _ => {}
            }
        }
        Some(frame)
    }

    /// Reads until an event fits.
    pub async fn until(&mut self, what: &str, mut fits: impl FnMut(&Event, Option<&Timeline>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{what} does not come");
            match self.next().await {
                Some(Frame::Event(event)) if fits(&event, self.timeline.as_ref()) => return,
                Some(_) => {}
                None => panic!("the stream ended before {what}"),
            }
        }
    }

    /// Reads until that many segments of `rendition` are in storage.
    pub async fn stored(&mut self, rendition: &str, count: usize) {
        let mut seen = 0;
        self.until(&format!("{count} stored segments of {rendition}"), |event, _| {
            seen += usize::from(
                matches!(event, Event::Stored { rendition: found, .. } if found.as_str() == rendition),
            );
            seen >= count
        })
        .await;
    }
}

/// Waits until `file` holds `text`.
#[allow(dead_code, reason = "not every test file asks")]
pub async fn written(file: &Path, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(file).is_ok_and(|found| found.contains(text)) {
        assert!(Instant::now() < deadline, "{} never holds {text}", file.display());
        sleep(Duration::from_millis(20)).await;
    }
}

/// A live encoder: ffmpeg's test picture and tone in real time.
pub struct Publisher {
    tags: Arc<Mutex<Sent>>,
    task: JoinHandle<()>,
    #[allow(dead_code, reason = "not every test file asks")]
    pub sent: Arc<AtomicUsize>,
}

/// Headers, and the GOPs that a router would replay.
#[derive(Default)]
struct Sent {
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
        let sent = self.tags.lock().unwrap();
        let first = sent.gops.front().and_then(|gop| gop.first()).map_or(0, |tag| tag.timestamp_ms);
        let headers = sent.metadata.iter().chain(&sent.headers).cloned();
        let headers = headers.map(|tag| FlvTag { timestamp_ms: first, ..tag });
        headers.chain(sent.gops.iter().flatten().cloned()).collect()
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
    fn keep(&mut self, tag: &FlvTag) {
        match tag.kind {
            TagKind::Script => self.metadata = Some(tag.clone()),
            _ if is_header(tag) => self.headers.push(tag.clone()),
            _ if is_keyframe(tag) => {
                self.gops.push_back(vec![tag.clone()]);
                while self.gops.len() > 6 {
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

/// The encoder children of this process whose command line holds `mark`.
pub fn encoders(mark: &str) -> Vec<i32> {
    let me = std::process::id();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if status.contains(&format!("PPid:\t{me}\n")) && String::from_utf8_lossy(&line).contains(mark) {
            found.push(pid);
        }
    }
    found
}

/// Frames that ffprobe decodes from an initialization segment and what follows it.
pub async fn decoded_frames(files: &[std::path::PathBuf]) -> usize {
    let mut whole = Vec::new();
    for file in files {
        whole.extend(std::fs::read(file).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.mp4");
    std::fs::write(&path, whole).unwrap();
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().trim_end_matches(',').parse().unwrap()
}
