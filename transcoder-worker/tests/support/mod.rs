//! A controller, a router and a reader, as small as a worker can be tested with.

pub mod publisher;
#[allow(dead_code, reason = "only tests of a hand-over ask")]
pub mod router;
#[allow(dead_code, reason = "only tests of a hand-over ask")]
pub mod two_workers;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use caudal_directory::{AssignError, Feed, FeedRenditions, FileSize, WorkerClient};
use caudal_livestream::admission::{LadderRung, LatencyMode};
use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::credentials::{CredentialsRenewal, SealingPublicKey};
use caudal_livestream::feed::{Event, Frame};
use caudal_livestream::proof::{Proof, RoleKey, Signed, SignedAssignment};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{Epoch, Generation, SessionId, StreamId, UnixMillis, WorkerId};
use caudal_rtmp::{RelayClient, RelayError, RelayPublisher, RelayTarget};
use caudal_storage::{AssignedCredentials, SegmentStore};
use caudal_transcoder_worker::{Config, Error, LadderChoice, run};
use ed25519_dalek::SigningKey;
use prometheus::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Tests that encode in real time, one after the other: two cores carry one.
pub static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Longer than anything here takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A worker in this process, on a runtime of its own.
pub struct Worker {
    pub address: WorkerAddress,
    pub shutdown: CancellationToken,
    #[allow(dead_code, reason = "not every test file asks")]
    pub leave: CancellationToken,
    pub registry: Registry,
    task: JoinHandle<Result<(), Error>>,
    /// None once the worker was killed.
    runtime: Option<Runtime>,
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
        self.start(SegmentStore::folder(folder).unwrap(), None, ffmpeg, poster_interval).await
    }

    /// With a store that is opened by the credentials that the worker is given.
    #[allow(dead_code, reason = "not every test file asks")]
    pub async fn worker_without_credentials(
        &self,
        store: SegmentStore,
        credentials: AssignedCredentials,
    ) -> Worker {
        self.start(store, Some(credentials), "ffmpeg".into(), Duration::from_mins(1)).await
    }

    async fn start(
        &self,
        storage: SegmentStore,
        credentials: Option<AssignedCredentials>,
        ffmpeg: PathBuf,
        poster_interval: Duration,
    ) -> Worker {
        let bind = || TcpListener::bind("127.0.0.1:0");
        let registry = Registry::new();
        let leave = CancellationToken::new();
        let config = Config {
            worker: WorkerId::generate(),
            controller: vec![self.controller.verifying_key()],
            storage,
            credentials,
            rtmp: bind().await.unwrap(),
            http: bind().await.unwrap(),
            advertised: None,
            registry: registry.clone(),
            traces: caudal_traces::Traces::off(),
            ffmpeg,
            ladder: LadderChoice::Full,
            poster_interval,
            leave: leave.clone(),
        };
        let ready = config.ready().unwrap();
        let address = WorkerAddress { worker: ready.worker, rtmp: ready.rtmp, http: ready.http };
        let shutdown = CancellationToken::new();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let task = runtime.spawn(run(config, shutdown.clone()));
        Worker { address, shutdown, leave, registry, task, runtime: Some(runtime) }
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
            credentials: None,
            expires: UnixMillis(i64::MAX),
        }
    }

    pub async fn assign(&self, worker: &Worker, epoch: u32, mode: AssignmentMode, floor: Option<Floor>) {
        let assignment = Assignment { mode, floor, ..self.assignment(worker, epoch) };
        let mut asked = 0;
        // As a controller does: a worker that has to wait for a busy disk may not answer in time, and takes the same one twice.
        while let Err(error) = self.try_assign(worker, &assignment).await {
            asked += 1;
            assert!(asked < 5 && matches!(error, AssignError::Unreachable(_)), "{error}");
        }
    }

    pub async fn try_assign(&self, worker: &Worker, assignment: &Assignment) -> Result<(), AssignError> {
        let signed = SignedAssignment::sign(assignment, &self.controller).unwrap();
        self.client.assign(&worker.address, &signed).await
    }

    #[allow(dead_code, reason = "not every test file asks")]
    pub async fn key(&self, worker: &Worker) -> Option<SealingPublicKey> {
        self.client.key(&worker.address).await.unwrap()
    }

    #[allow(dead_code, reason = "not every test file asks")]
    pub async fn try_renew(&self, worker: &Worker, order: &CredentialsRenewal) -> Result<(), AssignError> {
        let signed = Signed::sign(order, &self.controller).unwrap();
        self.client.renew(&worker.address, &signed).await
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
        let size = FileSize::AtMost(usize::MAX);
        self.client.fetch(&worker.address, &self.edge_proof(epoch), &rendition, file, size).await.unwrap()
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
    pub async fn ended(mut self) {
        timeout(PATIENCE, &mut self.task).await.expect("the worker ends").unwrap().unwrap();
    }

    /// As a SIGKILL does: nothing is written any more.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        // A write of a file that has begun is a blocking call, which outlives the task that awaits it.
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(|| runtime.shutdown_timeout(PATIENCE)).await.unwrap();
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

impl Drop for Worker {
    /// A runtime that is dropped among tasks panics, because it would wait.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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
            assert!(Instant::now() < deadline, "{what} does not come behind {:?}", self.timeline);
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
