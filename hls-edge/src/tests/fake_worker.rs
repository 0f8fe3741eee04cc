//! A worker's HTTP side: real frames and real bytes, announced when the test says so.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use caudal_livestream::feed::{Event, SegmentAnnounced, bytes_frame_head};
use caudal_livestream::proof::{ProofDigest, RoleKey};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{FilledState, StoredState};
use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline};
use caudal_livestream::{Epoch, Msn, RenditionName, StreamId, WorkerId};
use caudal_storage::{Key, SegmentStore, StreamFile};
use futures::StreamExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::broadcast::{Broadcast, part_bytes};

pub(crate) struct FakeWorker {
    stream: StreamId,
    epoch: Epoch,
    address: WorkerAddress,
    shared: Arc<Mutex<Shared>>,
    store: SegmentStore,
    server: JoinHandle<()>,
}

struct Shared {
    digest: ProofDigest,
    broadcast: Option<Broadcast>,
    files: HashMap<(String, String), Bytes>,
    readers: Vec<(HashSet<String>, mpsc::UnboundedSender<Bytes>)>,
    /// Files that were asked for, in order.
    fetched: Vec<String>,
    feeds: usize,
    dead: CancellationToken,
}

impl FakeWorker {
    pub(crate) async fn start(stream: StreamId, epoch: u32, key: &RoleKey, store: SegmentStore) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared {
            digest: key.proof(stream, Epoch(epoch)).digest(),
            broadcast: None,
            files: HashMap::new(),
            readers: Vec::new(),
            fetched: Vec::new(),
            feeds: 0,
            dead: CancellationToken::new(),
        }));
        let router = Router::new()
            .route("/feed", get(feed))
            .route("/media/{rendition}/{file}", get(media))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let address = WorkerAddress { worker: WorkerId::generate(), rtmp: here, http: here };
        Self { stream, epoch: Epoch(epoch), address, shared, store, server }
    }

    pub(crate) fn address(&self) -> WorkerAddress {
        self.address
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Begins a broadcast with its first part, as every stream is announced.
    pub(crate) fn announce(&self, tracks: &[&str]) {
        self.take_up(Broadcast::new(self.stream, self.epoch.0, tracks).with(0, 1));
    }

    /// Begins with what is known already.
    pub(crate) fn take_up(&self, broadcast: Broadcast) {
        let mut shared = self.lock();
        for track in &broadcast.timeline.tracks {
            shared
                .files
                .insert((track.name.to_string(), "init-abc.mp4".to_owned()), Bytes::from_static(b"init"));
            for segment in track.segments.iter().filter(|segment| segment.epoch == self.epoch) {
                for part in &segment.parts {
                    let data = part_bytes(&track.name, self.epoch, part.number.0);
                    let file = format!("p{}-{}.m4s", self.epoch, part.number);
                    shared.files.insert((track.name.to_string(), file), data);
                }
            }
        }
        let snapshot = Event::Snapshot(Box::new(broadcast.timeline.clone()));
        shared.broadcast = Some(broadcast);
        shared.send(&snapshot, None);
    }

    /// What this worker's successor can go on with.
    pub(crate) fn successor(&self, epoch: u32) -> Broadcast {
        self.lock().broadcast.as_ref().unwrap().succeeded_by(epoch)
    }

    /// The next part of every rendition.
    pub(crate) fn part(&self) {
        let mut shared = self.lock();
        for event in shared.broadcast.as_mut().unwrap().part() {
            let Event::Part(announced) = &event else { unreachable!() };
            let data = part_bytes(&announced.rendition, self.epoch, announced.part.number.0);
            let file = format!("p{}-{}.m4s", self.epoch, announced.part.number);
            shared.files.insert((announced.rendition.to_string(), file), data.clone());
            shared.send(&event, Some(&data));
        }
    }

    /// The next part of every rendition, followed in feeds by these bytes.
    pub(crate) fn part_with(&self, bytes: &'static [u8]) {
        let mut shared = self.lock();
        for event in shared.broadcast.as_mut().unwrap().part() {
            let Event::Part(announced) = &event else { unreachable!() };
            let data = part_bytes(&announced.rendition, self.epoch, announced.part.number.0);
            let file = format!("p{}-{}.m4s", self.epoch, announced.part.number);
            shared.files.insert((announced.rendition.to_string(), file), data);
            shared.send(&event, Some(&Bytes::from_static(bytes)));
        }
    }

    /// Closes the open segments.
    pub(crate) fn close(&self) {
        let mut shared = self.lock();
        for event in shared.broadcast.as_mut().unwrap().close() {
            let Event::Segment(announced) = &event else { unreachable!() };
            let segment = &announced.segment;
            let data = segment_bytes(&announced.rendition, segment);
            let file = format!("{}-{}.m4s", segment.msn, segment.epoch);
            shared.files.insert((announced.rendition.to_string(), file), data);
            shared.send(&event, None);
        }
    }

    /// A whole segment of five parts.
    pub(crate) fn segment(&self) {
        for _ in 0..5 {
            self.part();
        }
        self.close();
    }

    /// Stores every finished segment, the inits and the state, and says so.
    pub(crate) async fn store(&self) {
        let timeline = self.timeline();
        for track in &timeline.tracks {
            let init = StreamFile::Init(track.name.clone(), "abc".parse().unwrap());
            self.put(init, Bytes::from_static(b"init")).await;
            for segment in track.segments.iter().filter(|s| s.phase == SegmentPhase::Finished) {
                let file = StreamFile::Segment(track.name.clone(), segment.msn, segment.epoch);
                self.put(file, segment_bytes(&track.name, segment)).await;
                self.event(&Event::Stored { rendition: track.name.clone(), msn: segment.msn });
            }
        }
        let state = StoredState {
            stream: self.stream,
            epoch: self.epoch,
            worker: self.address,
            owner: None,
            filled: Some(FilledState { timeline: self.timeline(), clock: None, closed: false }),
        };
        self.put(StreamFile::State(self.epoch), serde_json::to_vec(&state).unwrap().into()).await;
    }

    async fn put(&self, file: StreamFile, data: Bytes) {
        self.store.put(&Key::Live(self.stream, file), data).await.unwrap();
    }

    /// Announces anything.
    pub(crate) fn event(&self, event: &Event) {
        let mut shared = self.lock();
        if let Some(broadcast) = &mut shared.broadcast {
            broadcast.timeline.apply(event).unwrap();
        }
        shared.send(event, None);
    }

    /// Announces a segment behind one that was never announced: the edge then wants a new snapshot.
    pub(crate) fn skip(&self, rendition: &str) {
        let rendition: RenditionName = rendition.parse().unwrap();
        let segment =
            Segment { msn: Msn(99), ..self.timeline().track(&rendition).unwrap().segments[0].clone() };
        let (window_start, peak_bandwidth, average_bandwidth) = (Msn(7), 1, 1);
        let announced =
            SegmentAnnounced { rendition, segment, window_start, peak_bandwidth, average_bandwidth };
        self.lock().send(&Event::Segment(announced), None);
    }

    /// Says anything to those who read now, whether it fits or not.
    pub(crate) fn say(&self, event: &Event) {
        self.lock().send(event, None);
    }

    pub(crate) fn timeline(&self) -> Timeline {
        self.lock().broadcast.as_ref().unwrap().timeline.clone()
    }

    /// Has a file in memory.
    pub(crate) fn file(&self, rendition: &str, name: &str, data: Bytes) {
        self.lock().files.insert((rendition.to_owned(), name.to_owned()), data);
    }

    /// A file that it has in memory.
    pub(crate) fn held(&self, rendition: &str, name: &str) -> Bytes {
        self.lock().files[&(rendition.to_owned(), name.to_owned())].clone()
    }

    /// No longer has a file in memory.
    pub(crate) fn forget_files(&self) {
        self.lock().files.clear();
    }

    pub(crate) fn fetched(&self) -> Vec<String> {
        self.lock().fetched.clone()
    }

    /// Whether some open feed carries this rendition's parts.
    pub(crate) fn carries(&self, rendition: &str) -> bool {
        self.lock().readers.iter().any(|(names, reader)| names.contains(rendition) && !reader.is_closed())
    }

    /// Whether every open feed does: a feed without them was given up for one with them.
    pub(crate) fn only_carries(&self, rendition: &str) -> bool {
        self.carries(rendition)
            && self
                .lock()
                .readers
                .iter()
                .all(|(names, reader)| names.contains(rendition) || reader.is_closed())
    }

    pub(crate) fn feeds(&self) -> usize {
        self.lock().feeds
    }

    /// Ends all feeds, and takes new ones.
    pub(crate) fn cut_feeds(&self) {
        let mut shared = self.lock();
        std::mem::take(&mut shared.dead).cancel();
        shared.readers.clear();
    }

    /// Gone at once, as after SIGKILL.
    pub(crate) fn kill(&self) {
        self.server.abort();
        let mut shared = self.lock();
        shared.dead.cancel();
        shared.readers.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }
}

impl Drop for FakeWorker {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn send(&mut self, event: &Event, data: Option<&Bytes>) {
        let name = match event {
            Event::Part(announced) => announced.rendition.to_string(),
            _ => String::new(),
        };
        self.readers.retain(|(names, reader)| {
            let mut open = reader.send(event.encode()).is_ok();
            if let Some(data) = data.filter(|_| names.contains(&name)) {
                open &= reader.send(bytes_frame_head(data.len()).unwrap()).is_ok();
                open &= reader.send(data.clone()).is_ok();
            }
            open
        });
    }
}

/// A finished segment is its parts.
pub(crate) fn segment_bytes(
    rendition: &RenditionName,
    segment: &caudal_livestream::timeline::Segment,
) -> Bytes {
    let parts = segment.parts.iter().map(|part| part_bytes(rendition, segment.epoch, part.number.0));
    parts.collect::<Vec<_>>().concat().into()
}

fn admitted(shared: &Mutex<Shared>, headers: &HeaderMap) -> bool {
    let proof = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let proof = caudal_livestream::proof::Proof::from_peer(proof.unwrap_or_default());
    shared.lock().unwrap().digest.accepts(&proof)
}

async fn feed(
    State(shared): State<Arc<Mutex<Shared>>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if !admitted(&shared, &headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let names = query.unwrap().strip_prefix("renditions=").unwrap().split(',').map(str::to_owned).collect();
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut shared = shared.lock().unwrap();
    shared.feeds += 1;
    if let Some(broadcast) = &shared.broadcast {
        sender.send(Event::Snapshot(Box::new(broadcast.timeline.clone())).encode()).unwrap();
    }
    let (beats, dead) = (sender.clone(), shared.dead.clone());
    tokio::spawn(async move {
        while !dead.is_cancelled() && beats.send(Event::Heartbeat.encode()).is_ok() {
            tokio::select! {
                () = dead.cancelled() => {}
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            }
        }
    });
    shared.readers.push((names, sender));
    let frames =
        futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    Response::new(Body::from_stream(frames.map(Ok::<_, std::convert::Infallible>)))
}

async fn media(
    State(shared): State<Arc<Mutex<Shared>>>,
    Path(file): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if !admitted(&shared, &headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut shared = shared.lock().unwrap();
    if shared.dead.is_cancelled() {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    shared.fetched.push(format!("{}/{}", file.0, file.1));
    shared
        .files
        .get(&file)
        .cloned()
        .map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}
