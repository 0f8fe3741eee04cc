//! Which streams there are, and which are followed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use caudal_directory::{StreamDirectory, Streams as Records};
use caudal_livestream::StreamId;
use caudal_livestream::record::LiveStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::EdgeLimits;
use crate::follower::Follower;
use crate::grant::Grant;
use crate::media_budget::MediaBudget;
use crate::memory::Memory;
use crate::mirror::Mirror;
use crate::sources::Sources;
use crate::watched::Watched;

/// All followed streams.
pub(crate) struct Streams {
    records: watch::Receiver<Records>,
    sources: Sources,
    limits: EdgeLimits,
    followed: Mutex<HashMap<StreamId, Followed>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

struct Followed {
    watched: Arc<Watched>,
    record: watch::Sender<Option<Arc<LiveStream>>>,
}

impl Streams {
    pub(crate) fn new(
        directory: &dyn StreamDirectory,
        sources: Sources,
        limits: EdgeLimits,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            records: directory.watch(),
            sources,
            limits,
            followed: Mutex::default(),
            tasks: TaskTracker::new(),
            shutdown,
        }
    }

    /// The directory's record of a stream, whoever may watch it; what is for viewers asks for a [`Grant`] first.
    pub(crate) fn record(&self, stream: StreamId) -> Option<Arc<LiveStream>> {
        self.records.borrow().get(&stream).cloned()
    }

    /// Whether the directory knows the stream at all.
    pub(crate) fn known(&self, stream: StreamId) -> bool {
        self.records.borrow().contains_key(&stream)
    }

    /// What the media of all streams may take.
    pub(crate) fn media(&self) -> &Arc<MediaBudget> {
        &self.sources.living
    }

    /// How workers are reached.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The stream if it is followed already.
    pub(crate) fn followed(&self, stream: StreamId) -> Option<Arc<Watched>> {
        self.lock().get(&stream).map(|followed| Arc::clone(&followed.watched))
    }

    /// The stream of `grant`, followed from now on.
    pub(crate) fn follow(self: &Arc<Self>, grant: &Grant) -> Arc<Watched> {
        let stream = grant.stream();
        let mut all = self.lock();
        if let Some(followed) = all.get(&stream) {
            // Under the same lock as the follower's own look: it cannot leave between here and the request's answer.
            followed.watched.want(&[]);
            return Arc::clone(&followed.watched);
        }
        let memory = Memory::new(self.limits.memory_per_stream, Arc::clone(self.media()));
        let watched = Arc::new(Watched::new(stream, memory, self.limits.waiting_per_stream));
        if !self.known(stream) {
            // It was forgotten since `record` was read, and no later change would tell a follower.
            watched.gone.cancel();
            return watched;
        }
        // Read again under the lock: a change from now on finds this follower in the map.
        let record = self.record(stream).unwrap_or_else(|| Arc::clone(grant.record()));
        let sender = watch::Sender::new(Some(record));
        let streams = Arc::clone(self);
        let follower = Follower {
            sources: self.sources.clone(),
            watched: Arc::clone(&watched),
            record: sender.subscribe(),
            is_idle: move || streams.forget_idle(stream),
            mirror: Mirror::default(),
            announced: None,
            prefetch: JoinSet::new(),
            stored: JoinSet::new(),
        };
        all.insert(stream, Followed { watched: Arc::clone(&watched), record: sender });
        self.sources.metrics.followed.set(i64::try_from(all.len()).unwrap_or(i64::MAX));
        drop(all);
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = follower.run() => {}
            }
        });
        watched
    }

    /// Passes the directory's changes on to the followers that they concern, until shutdown.
    pub(crate) async fn run(&self) {
        let mut records = self.records.clone();
        let mut before = Records::default();
        loop {
            let now = records.borrow_and_update().clone();
            self.pass_on(&before, &now);
            before = now;
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                changed = records.changed() => if changed.is_err() { break },
            }
        }
        self.shutdown.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn pass_on(&self, before: &Records, now: &Records) {
        let mut all = self.lock();
        for stream in now.changed_since(before) {
            let Some(followed) = all.get(&stream) else { continue };
            let record = now.get(&stream).cloned();
            let gone = record.is_none();
            followed.record.send_if_modified(|shown| {
                // A follower that came in between has read it already.
                let same = match (shown.as_ref(), record.as_ref()) {
                    (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                    (before, now) => before.is_none() && now.is_none(),
                };
                if !same {
                    *shown = record;
                }
                !same
            });
            if gone {
                followed.watched.gone.cancel();
                all.remove(&stream);
            }
        }
        self.sources.metrics.followed.set(i64::try_from(all.len()).unwrap_or(i64::MAX));
    }

    /// True when nobody has asked for the stream for long; it is then no longer followed.
    fn forget_idle(&self, stream: StreamId) -> bool {
        let mut all = self.lock();
        let idle = all.get(&stream).is_none_or(|followed| followed.watched.idle(Instant::now()) > IDLE);
        if idle {
            all.remove(&stream);
            self.sources.metrics.followed.set(i64::try_from(all.len()).unwrap_or(i64::MAX));
        }
        idle
    }

    /// Held for single operations only, never across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer than any request waits, and than a player's pause between two tries.
const IDLE: Duration = Duration::from_mins(1);
