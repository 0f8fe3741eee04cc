//! A stream that somebody watches: what its follower writes and its requests read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{Epoch, RenditionName, StreamId};
use tokio::sync::{Notify, OnceCell, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::answer::Refusal;
use crate::memory::{FileKey, Memory};
use crate::mirror::Change;
use crate::rendered::{RenditionView, StreamView};

/// Shared by the follower and all requests of one stream.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) stream: StreamId,
    /// The directory no longer knows the stream: whoever waits gets a 404.
    pub(crate) gone: CancellationToken,
    /// Requests that may wait at the same time.
    pub(crate) waiting: Semaphore,
    /// The set of renditions that requests want has grown.
    pub(crate) wants_changed: Notify,
    whole: watch::Sender<Option<Arc<StreamView>>>,
    renditions: RwLock<HashMap<RenditionName, watch::Sender<Arc<RenditionView>>>>,
    memory: Mutex<Memory>,
    worker: Mutex<Option<(WorkerAddress, Epoch)>>,
    wants: Mutex<Wants>,
    flights: Mutex<Flights>,
}

/// Files that somebody waits for, no others.
type Flights = HashMap<FileKey, UnderWay>;

/// A file that is being fetched.
#[derive(Debug, Default)]
struct UnderWay {
    file: Arc<OnceCell<Result<Bytes, Refusal>>>,
    waiters: usize,
}

/// A file, and how much it is worth to be kept.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// What most players ask for, and what only this edge or the worker has.
    Recent(Bytes),
    /// It can be had from storage again, and only players that are behind the live edge ask for it. Counted as living.
    Stored(Bytes),
}

#[derive(Debug)]
struct Wants {
    last_request: Instant,
    renditions: HashMap<RenditionName, Instant>,
}

impl Watched {
    pub(crate) fn new(stream: StreamId, memory: Memory, waiting: usize) -> Self {
        Self {
            stream,
            gone: CancellationToken::new(),
            waiting: Semaphore::new(waiting),
            wants_changed: Notify::new(),
            whole: watch::Sender::new(None),
            renditions: RwLock::default(),
            memory: Mutex::new(memory),
            worker: Mutex::default(),
            wants: Mutex::new(Wants { last_request: Instant::now(), renditions: HashMap::new() }),
            flights: Mutex::default(),
        }
    }

    /// The stream as it stands, and each change to its set of renditions, their names or its end.
    pub(crate) fn whole(&self) -> watch::Receiver<Option<Arc<StreamView>>> {
        self.whole.subscribe()
    }

    /// A rendition as it stands, and each announcement of it; none when it is not (or no longer) there.
    pub(crate) fn rendition(&self, name: &RenditionName) -> Option<watch::Receiver<Arc<RenditionView>>> {
        self.renditions.read().unwrap_or_else(PoisonError::into_inner).get(name).map(watch::Sender::subscribe)
    }

    /// Lets everybody see `timeline`, and wakes those who wait for what changed.
    pub(crate) fn publish(&self, timeline: &Arc<Timeline>, change: &Change) {
        match change {
            Change::None => return,
            Change::Rendition(name) => {
                let renditions = self.renditions.read().unwrap_or_else(PoisonError::into_inner);
                if let (Some(sender), Some(view)) = (renditions.get(name), RenditionView::new(timeline, name))
                {
                    sender.send_replace(Arc::new(view));
                }
            }
            Change::Whole => {
                let mut renditions = self.renditions.write().unwrap_or_else(PoisonError::into_inner);
                renditions.retain(|name, _| timeline.track(name).is_some_and(|track| !track.withdrawn));
                for track in &timeline.tracks {
                    let Some(view) = RenditionView::new(timeline, &track.name) else { continue };
                    let view = Arc::new(view);
                    match renditions.get(&track.name) {
                        Some(sender) => drop(sender.send_replace(view)),
                        None => drop(renditions.insert(track.name.clone(), watch::Sender::new(view))),
                    }
                }
            }
        }
        self.whole.send_replace(Some(Arc::new(StreamView::new(Arc::clone(timeline)))));
    }

    /// Somebody asks for this stream, and for media of `renditions`. Only those that it has are remembered: names are the
    /// viewers' to invent, and what is wanted goes into the feed's address.
    pub(crate) fn want(&self, renditions: &[RenditionName]) {
        let now = Instant::now();
        let mut wants = lock(&self.wants);
        wants.last_request = now;
        let mut grown = false;
        let known = self.renditions.read().unwrap_or_else(PoisonError::into_inner);
        for name in renditions.iter().filter(|name| known.contains_key(name)) {
            grown |= wants.renditions.insert(name.clone(), now).is_none();
        }
        drop((wants, known));
        if grown {
            self.wants_changed.notify_one();
        }
    }

    /// The renditions that somebody asked for lately, in order.
    pub(crate) fn wanted(&self, now: Instant) -> Vec<RenditionName> {
        let mut wants = lock(&self.wants);
        let known = self.renditions.read().unwrap_or_else(PoisonError::into_inner);
        let lately = |at: &Instant| now.saturating_duration_since(*at) < WANTED_FOR;
        wants.renditions.retain(|name, at| lately(at) && known.contains_key(name));
        let mut names: Vec<_> = wants.renditions.keys().cloned().collect();
        names.sort();
        names
    }

    /// How long nobody has asked for anything.
    pub(crate) fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(lock(&self.wants).last_request)
    }

    /// The worker that can be asked for files, with its epoch.
    pub(crate) fn worker(&self) -> Option<(WorkerAddress, Epoch)> {
        *lock(&self.worker)
    }

    pub(crate) fn set_worker(&self, worker: Option<(WorkerAddress, Epoch)>) {
        *lock(&self.worker) = worker;
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    /// Fetches a file once for all who ask for it meanwhile, and keeps it. All of them hear why there is none.
    pub(crate) async fn fetch_once(
        &self,
        key: &FileKey,
        fetch: impl Future<Output = Result<Fetched, Refusal>>,
    ) -> Result<Bytes, Refusal> {
        let flight = Flight::join(&self.flights, key);
        flight
            .file
            .get_or_init(|| async {
                // Another fetch may have ended since the caller looked.
                let kept = self.memory().get(key);
                if let Some(kept) = kept {
                    return Ok(kept);
                }
                match fetch.await? {
                    Fetched::Recent(data) => Ok(self.memory().put(key.clone(), data, Instant::now())),
                    Fetched::Stored(data) => {
                        self.memory().put_stored(key.clone(), data.clone(), Instant::now());
                        Ok(data)
                    }
                }
            })
            .await
            .clone()
    }
}

/// One who waits for a file that is under way.
struct Flight<'a> {
    flights: &'a Mutex<Flights>,
    key: &'a FileKey,
    file: Arc<OnceCell<Result<Bytes, Refusal>>>,
}

impl<'a> Flight<'a> {
    fn join(flights: &'a Mutex<Flights>, key: &'a FileKey) -> Self {
        let mut under_way = lock(flights);
        let flight = under_way.entry(key.clone()).or_default();
        flight.waiters = flight.waiters.saturating_add(1);
        Self { flights, key, file: Arc::clone(&flight.file) }
    }
}

/// On the drop, because a viewer may leave in the middle.
impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = lock(self.flights);
        let Some(flight) = flights.get_mut(self.key).filter(|flight| Arc::ptr_eq(&flight.file, &self.file))
        else {
            return;
        };
        flight.waiters = flight.waiters.saturating_sub(1);
        // What has come, or is nowhere, is not under way any more, whoever has yet to read it.
        if flight.waiters == 0 || flight.file.initialized() {
            flights.remove(self.key);
        }
    }
}

/// Held for single operations only, never across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A player asks for its rendition's playlist several times a second; one that switched away is not coming back soon.
const WANTED_FOR: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use caudal_livestream::{Epoch, Msn};
    use futures::FutureExt as _;

    use super::*;
    use crate::media_budget::MediaBudget;
    use crate::request::MediaFile;

    fn memory() -> Memory {
        Memory::new(1024, Arc::new(MediaBudget::new(None)))
    }

    fn key() -> FileKey {
        FileKey { rendition: "source".parse().unwrap(), file: MediaFile::Segment(Msn(7), Epoch(1)) }
    }

    #[test]
    fn a_fetch_that_nobody_waits_for_any_more_leaves_nothing_behind() {
        let watched = Watched::new(StreamId::generate(), memory(), 1);
        let key = key();
        let mut first = Box::pin(watched.fetch_once(&key, pending()));
        let mut second = Box::pin(watched.fetch_once(&key, ready(Ok(Fetched::Recent("media".into())))));
        assert_eq!((first.as_mut().now_or_never(), second.as_mut().now_or_never()), (None, None));
        // The second one waits for what the first one fetches, and fetches it itself once the first has gone.
        drop(first);
        assert_eq!(lock(&watched.flights).len(), 1);
        assert_eq!(second.now_or_never(), Some(Ok("media".into())));
        assert!(lock(&watched.flights).is_empty());
        drop(
            Box::pin(
                watched.fetch_once(&FileKey { file: MediaFile::Segment(Msn(8), Epoch(1)), ..key }, pending()),
            )
            .now_or_never(),
        );
        assert!(lock(&watched.flights).is_empty());
    }

    #[test]
    fn a_file_that_is_nowhere_is_asked_for_anew_by_who_comes_later() {
        let watched = Watched::new(StreamId::generate(), memory(), 1);
        let key = key();
        assert_eq!(
            watched.fetch_once(&key, ready(Err(Refusal::NotFound))).now_or_never(),
            Some(Err(Refusal::NotFound))
        );
        assert_eq!(
            watched.fetch_once(&key, ready(Ok(Fetched::Recent("media".into())))).now_or_never(),
            Some(Ok("media".into()))
        );
    }
}
