//! The publishers of this router: what the directory says of their streams, and what this router can say of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use caudal_directory::{StreamDirectory, Streams};
use caudal_livestream::feed::InputState;
use caudal_livestream::record::{LiveStream, MediaInfo};
use caudal_livestream::router_session::RouterSession;
use caudal_livestream::{Generation, SessionId, StreamId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// All of them. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    // Held for map operations only, never across an await.
    by_stream: Arc<Mutex<HashMap<StreamId, Vec<Entry>>>>,
    /// Cancelled when all are to leave, those too that come after that.
    leave: CancellationToken,
}

/// A session's place among the [`Sessions`]; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    sessions: Sessions,
    stream: StreamId,
    session: SessionId,
    generation: Generation,
    pulse: Arc<Mutex<Pulse>>,
    /// The stream's record as it changes; none once the directory has let go of it.
    pub(crate) record: watch::Receiver<Option<Arc<LiveStream>>>,
    /// Cancelled when the router wants the publisher to go to another one.
    pub(crate) leave: CancellationToken,
}

#[derive(Debug)]
struct Entry {
    session: SessionId,
    generation: Generation,
    pulse: Arc<Mutex<Pulse>>,
    record: watch::Sender<Option<Arc<LiveStream>>>,
    /// A directory may take a moment to show what it was just told to create.
    seen: bool,
    leave: CancellationToken,
}

/// What a session shows of its publisher.
#[derive(Clone, Debug)]
struct Pulse {
    up: bool,
    explicit: bool,
    asked_to_reconnect: bool,
    last_media: Option<Instant>,
    measured: Option<MediaInfo>,
}

impl Sessions {
    /// Adds a session of the stream with this record.
    pub(crate) fn register(
        &self,
        directory: &dyn StreamDirectory,
        record: Arc<LiveStream>,
        session: SessionId,
        generation: Generation,
    ) -> Registration {
        let stream = record.spec.stream;
        let pulse = Arc::new(Mutex::new(Pulse {
            up: true,
            explicit: false,
            asked_to_reconnect: false,
            last_media: None,
            measured: None,
        }));
        let (sender, receiver) = watch::channel(Some(record));
        let leave = self.leave.child_token();
        let mut entry = Entry {
            session,
            generation,
            pulse: Arc::clone(&pulse),
            record: sender,
            seen: false,
            leave: leave.clone(),
        };
        let mut by_stream = self.lock();
        // Read under the lock that the follower takes too, so that neither overtakes the other.
        entry.show(directory.get(stream));
        by_stream.entry(stream).or_default().push(entry);
        Registration { sessions: self.clone(), stream, session, generation, pulse, record: receiver, leave }
    }

    /// Tells all of them to leave, one after the other over `spread`; whoever comes meanwhile, at its end.
    pub(crate) async fn leave_within(&self, spread: Duration) {
        let leaves: Vec<CancellationToken> =
            self.lock().values().flatten().map(|entry| entry.leave.clone()).collect();
        if let Some(step) = u32::try_from(leaves.len()).ok().and_then(|count| spread.checked_div(count)) {
            for leave in leaves {
                // The last of them goes by itself.
                if self.lock().is_empty() {
                    break;
                }
                leave.cancel();
                tokio::time::sleep(step).await;
            }
        }
        self.leave.cancel();
    }

    /// Shows each session what the directory says of its stream, until `shutdown`: one task for all, so that a change
    /// of one stream wakes one session.
    pub(crate) async fn follow(&self, mut streams: watch::Receiver<Streams>, shutdown: CancellationToken) {
        let mut before = Streams::default();
        loop {
            {
                let mut by_stream = self.lock();
                let now = streams.borrow_and_update().clone();
                for stream in now.changed_since(&before) {
                    for entry in by_stream.get_mut(&stream).into_iter().flatten() {
                        entry.show(now.get(&stream).cloned());
                    }
                }
                before = now;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = streams.changed() => if changed.is_err() {
                    tracing::warn!("the directory is gone");
                    return;
                },
            }
        }
    }

    /// What this router says of a stream's publisher: of the newest session, when there are several.
    pub(crate) fn session(&self, stream: StreamId, now: Instant) -> Option<RouterSession> {
        let by_stream = self.lock();
        let entry = by_stream.get(&stream)?.iter().max_by_key(|entry| entry.generation)?;
        let pulse = lock(&entry.pulse).clone();
        let input = InputState {
            session: Some(entry.session),
            generation: entry.generation,
            up: pulse.up,
            explicit: pulse.explicit,
            silent_ms: pulse.last_media.map(|last| {
                u64::try_from(now.saturating_duration_since(last).as_millis()).unwrap_or(u64::MAX)
            }),
            // Only a worker can say whether media can be packaged.
            ..InputState::default()
        };
        Some(RouterSession { input, media: pulse.measured, asked_to_reconnect: pulse.asked_to_reconnect })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Vec<Entry>>> {
        lock(&self.by_stream)
    }
}

impl Registration {
    /// The stream.
    pub(crate) fn stream(&self) -> StreamId {
        self.stream
    }

    /// The publisher's connection.
    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// Its generation.
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// Media arrived at `now`.
    pub(crate) fn media(&self, now: Instant) {
        lock(&self.pulse).last_media = Some(now);
    }

    /// What it sends, as measured now.
    pub(crate) fn measured(&self, media: MediaInfo) {
        lock(&self.pulse).measured = Some(media);
    }

    /// The publisher was asked to go to another router.
    pub(crate) fn asked_to_reconnect(&self) {
        lock(&self.pulse).asked_to_reconnect = true;
    }

    /// The publisher has left.
    pub(crate) fn left(&self, explicit: bool) {
        let mut pulse = lock(&self.pulse);
        pulse.measured = None;
        pulse.up = false;
        pulse.explicit = explicit;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut by_stream = self.sessions.lock();
        if let Some(entries) = by_stream.get_mut(&self.stream) {
            entries.retain(|entry| entry.session != self.session);
            if entries.is_empty() {
                by_stream.remove(&self.stream);
            }
        }
    }
}

impl Entry {
    fn show(&mut self, record: Option<Arc<LiveStream>>) {
        if record.is_none() && !self.seen {
            return;
        }
        self.seen = true;
        self.record.send_if_modified(|shown| {
            let same = match (&*shown, &record) {
                (Some(shown), Some(record)) => Arc::ptr_eq(shown, record),
                (shown, record) => shown.is_none() && record.is_none(),
            };
            if !same {
                *shown = record;
            }
            !same
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
