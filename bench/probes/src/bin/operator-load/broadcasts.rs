//! The router, and whoever ends a broadcast: opens streams over a router's directory, publishes once the record names a worker, and
//! notes when what was seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use caudal_directory::{KubernetesDirectory, StreamControl as _, StreamDirectory as _, Streams};
use caudal_livestream::admission::{Access, LatencyMode};
use caudal_livestream::record::{DesiredState, Ingest, MediaInfo, Phase, Spec};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Generation, SessionId, StreamId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Every broadcast of the scenario that is played.
#[derive(Default)]
pub(crate) struct Broadcasts(Mutex<HashMap<StreamId, Arc<Broadcast>>>);

/// One broadcast, as it was seen from outside.
pub(crate) struct Broadcast {
    pub(crate) session: SessionId,
    relayed: CancellationToken,
    seen: Mutex<Seen>,
}

/// When what was first seen. All from the same clock, that of this process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// The API server has acknowledged that it was created.
    pub(crate) opened: Option<Instant>,
    /// A kubelet has a pod that bears its name.
    pub(crate) pod: Option<Instant>,
    /// A worker was assigned it.
    pub(crate) assigned: Option<Instant>,
    /// Its record names the worker: then the router relays.
    pub(crate) worker: Option<Instant>,
    pub(crate) live: Option<Instant>,
    pub(crate) ended: Option<Instant>,
    pub(crate) failed: bool,
}

impl Broadcasts {
    pub(crate) fn get(&self, stream: StreamId) -> Option<Arc<Broadcast>> {
        self.all().get(&stream).cloned()
    }

    /// Forgets those of the last scenario.
    pub(crate) fn clear(&self) {
        self.all().clear();
    }

    pub(crate) fn streams(&self) -> Vec<StreamId> {
        self.all().keys().copied().collect()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.all().values().map(|broadcast| *broadcast.seen()).collect()
    }

    /// How many of them `so` holds for.
    pub(crate) fn count(&self, so: impl Fn(&Seen) -> bool) -> usize {
        self.all().values().filter(|broadcast| so(&broadcast.seen())).count()
    }

    /// Opens another one, whose publisher's media is known a moment later.
    pub(crate) async fn open(&self, directory: &KubernetesDirectory) -> anyhow::Result<()> {
        let stream = StreamId::generate();
        let session = SessionId::generate();
        let relayed = CancellationToken::new();
        let broadcast = Arc::new(Broadcast { session, relayed, seen: Mutex::default() });
        self.all().insert(stream, Arc::clone(&broadcast));
        directory.open(spec(stream, session)).await.context("a stream cannot be opened")?;
        broadcast.seen().opened = Some(Instant::now());
        Ok(())
    }

    /// As its owner does in the studio.
    pub(crate) async fn end(&self, directory: &KubernetesDirectory, stream: StreamId) -> anyhow::Result<()> {
        directory.end(stream, EndReason::EndedByOwner).await.context("a stream cannot be ended")
    }

    /// Notes what the directory shows; never ends.
    pub(crate) async fn look(self: Arc<Self>, directory: Arc<KubernetesDirectory>) -> anyhow::Result<()> {
        let mut streams = directory.watch();
        let mut before = Streams::default();
        let mut measuring = JoinSet::new();
        loop {
            while measuring.try_join_next().is_some() {}
            let now = streams.borrow_and_update().clone();
            for stream in now.changed_since(&before) {
                let (Some(record), Some(broadcast)) = (now.get(&stream), self.get(stream)) else { continue };
                let status = &record.status;
                if broadcast.shows(status.worker.is_some(), status.phase) {
                    let (directory, session) = (Arc::clone(&directory), broadcast.session);
                    measuring.spawn(async move {
                        sleep(MEASURED_AFTER).await;
                        directory.report_media(stream, session, media()).await;
                    });
                }
            }
            before = now;
            streams.changed().await?;
        }
    }

    pub(crate) fn has_pod(&self, stream: StreamId) {
        if let Some(broadcast) = self.get(stream) {
            broadcast.seen().pod.get_or_insert_with(Instant::now);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<StreamId, Arc<Broadcast>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broadcast {
    pub(crate) fn is_assigned(&self) {
        self.seen().assigned.get_or_insert_with(Instant::now);
    }

    /// Resolves once the router relays to the worker.
    pub(crate) async fn relayed(&self) {
        self.relayed.cancelled().await;
    }

    /// True when the worker is shown for the first time.
    fn shows(&self, worker: bool, phase: Phase) -> bool {
        let mut seen = self.seen();
        let now = Instant::now();
        let is_new = worker && seen.worker.is_none();
        if is_new {
            seen.worker = Some(now);
            self.relayed.cancel();
        }
        match phase {
            Phase::Live => _ = seen.live.get_or_insert(now),
            Phase::Ended => _ = seen.ended.get_or_insert(now),
            Phase::Failed => {
                seen.failed = true;
                seen.ended.get_or_insert(now);
            }
            _ => {}
        }
        is_new
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spec(stream: StreamId, session: SessionId) -> Spec {
    Spec {
        stream,
        channel: format!("channel-{}", stream.0.simple()),
        title: "A measurement of how an operator copes".to_owned(),
        access: Access::Public,
        pool: Some(crate::cluster::POOL.to_owned()),
        renditions: Vec::new(),
        latency_mode: LatencyMode::Low,
        reconnect_window_ms: 30_000,
        // So that its record is done with once the api knows of the end, and not ten minutes later.
        record: true,
        hints: None,
        desired_state: DesiredState::Live,
        end_reason: None,
        drop: None,
        key_revoked: false,
        ingest: Ingest {
            session,
            generation: Generation(1),
            router: "http://127.0.0.1:3003".to_owned(),
            key_hash: "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8".to_owned(),
            relay: None,
            refused: None,
        },
    }
}

fn media() -> MediaInfo {
    MediaInfo {
        bitrate: 6_000_000,
        fps_milli: 30_000,
        keyframe_interval_ms: Some(2_000),
        width: Some(1_920),
        height: Some(1_080),
        video_codec: Some("H.264".to_owned()),
        audio_codec: Some("AAC".to_owned()),
        encoder: Some("obs-output module (libobs version 31.0.0)".to_owned()),
        b_frames: Some(true),
        ..MediaInfo::default()
    }
}

/// About as long as a router takes to know what comes.
const MEASURED_AFTER: Duration = Duration::from_secs(1);
