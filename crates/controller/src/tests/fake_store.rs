//! A store that several controllers and others write to, and that can fail at any write.

use std::collections::{BTreeMap, HashSet};

use caudal_livestream::lifecycle::Input;
use futures::stream::BoxStream;
use tokio::sync::broadcast;

use super::*;

/// What is stored; outlives every controller.
pub(super) struct FakeStore {
    wall: WallClock,
    state: Mutex<State>,
    /// True once the controller that runs has been crashed.
    crashed: watch::Sender<bool>,
    others: broadcast::Sender<Change>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<StreamId, (Record, u64)>,
    /// What routers have measured, and written beside the records.
    media: BTreeMap<StreamId, MediaInfo>,
    /// Of records that were removed: they never come back.
    removed: HashSet<StreamId>,
    /// All writes so far, over all controllers.
    writes: u32,
    versions: u64,
    /// The store takes writes of this controller only.
    controller: u64,
    at: Option<(u32, Trouble)>,
    refused: Option<StreamId>,
    stuck: Option<StreamId>,
    paused: Option<StreamId>,
    /// Streams whose creators alone have written their records.
    unseen: HashSet<StreamId>,
    away: bool,
}

/// What happens at a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The controller dies, and nothing is written.
    CrashBefore,
    /// The controller dies, and what it wrote is there.
    CrashAfter,
    /// It is written, and the answer is lost.
    AnswerLost,
    /// The same, and a router writes [`FakeStore::MEASURED`] before anybody asks.
    AnswerLostAndMeasured,
    /// Somebody changes the spec just before.
    SpecChanged,
    /// Another controller changes the machine just before.
    MachineChanged,
}

/// The store as one controller sees it.
pub(super) struct Opened {
    store: Arc<FakeStore>,
    controller: u64,
}

impl FakeStore {
    /// What a router has measured.
    pub(super) const MEASURED: MediaInfo = MediaInfo {
        bitrate: 6_000_000,
        fps_milli: 25_000,
        keyframe_interval_ms: Some(8_000),
        width: None,
        height: None,
        video_codec: None,
        audio_codec: None,
        encoder: None,
        b_frames: None,
        dropped_frames: 0,
        connected_at: None,
    };

    pub(super) fn new(wall: WallClock) -> Self {
        Self {
            wall,
            state: Mutex::default(),
            crashed: watch::Sender::new(false),
            others: broadcast::Sender::new(64),
        }
    }

    /// For a new controller: the one before can write no more.
    pub(super) async fn open(this: &Arc<Self>) -> (Opened, Vec<Stored>) {
        let controller = {
            let mut state = this.state();
            state.controller += 1;
            state.controller
        };
        this.crashed.send_replace(false);
        let opened = Opened { store: Arc::clone(this), controller };
        let records = opened.load().await.unwrap();
        (opened, records)
    }

    pub(super) fn trouble_at(&self, write: u32, trouble: Trouble) {
        self.state().at = Some((write, trouble));
    }

    /// The record of this stream is never taken.
    pub(super) fn refuse(&self, stream: StreamId) {
        self.state().refused = Some(stream);
    }

    /// Writes of this stream are answered as overtaken by what the controller knows.
    pub(super) fn stick(&self, stream: Option<StreamId>) {
        self.state().stuck = stream;
    }

    /// Somebody wants this stream to stay as it is.
    pub(super) fn pause(&self, stream: Option<StreamId>) {
        self.state().paused = stream;
    }

    /// Nothing is taken while this is so.
    pub(super) fn away(&self, away: bool) {
        self.state().away = away;
    }

    pub(super) fn writes(&self) -> u32 {
        self.state().writes
    }

    pub(super) async fn crashed(&self) {
        self.crashed.subscribe().wait_for(|crashed| *crashed).await.unwrap();
    }

    pub(super) fn get(&self, stream: StreamId) -> Option<Record> {
        self.state().records.get(&stream).map(|(record, _)| record.clone())
    }

    /// Somebody else stores this, and the controller hears of it.
    pub(super) fn write_as_another(&self, record: Record) {
        let stored = self.state().put(record);
        let _ = self.others.send(Change::Changed(Box::new(stored)));
    }

    /// A router has created this, and the controller hears of it if there is one.
    pub(super) fn create_as_another(&self, record: Record) {
        let stream = record.stream();
        let stored = {
            let mut state = self.state();
            state.put(record);
            state.unseen.insert(stream);
            state.found(stream).unwrap()
        };
        let _ = self.others.send(Change::Changed(Box::new(stored)));
    }

    /// A record is as it was, and others read it so; or somebody has taken its machine away.
    pub(super) fn show(&self, stream: StreamId, shown: Shown) {
        let mut record = self.get(stream).unwrap();
        if shown == Shown::NotYet {
            record = Record::opened(record.spec.unwrap(), wall_now(&self.wall));
        }
        let stored = Stored { shown, ..self.state().put(record) };
        self.tell(stored);
    }

    /// A record as it is now, for [`tell`](Self::tell).
    pub(super) fn stored(&self, stream: StreamId) -> Stored {
        self.state().found(stream).unwrap()
    }

    /// News of a record reaches the controller, however late.
    pub(super) fn tell(&self, stored: Stored) {
        let _ = self.others.send(Change::Changed(Box::new(stored)));
    }

    /// Somebody else changes a spec, if it is still there.
    pub(super) fn change_spec(&self, stream: StreamId, change: impl FnOnce(&mut Spec)) {
        if let Some(mut record) = self.get(stream) {
            change(record.spec.as_mut().unwrap());
            self.write_as_another(record);
        }
    }

    /// Somebody else removes a record by force.
    pub(super) fn remove_as_another(&self, stream: StreamId) {
        self.state().records.remove(&stream);
        let _ = self.others.send(Change::Removed(stream));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn put(&mut self, record: Record) -> Stored {
        assert!(!self.removed.contains(&record.stream()), "a removed stream was created anew");
        self.versions += 1;
        self.unseen.remove(&record.stream());
        self.records.insert(record.stream(), (record.clone(), self.versions));
        let media = self.media.get(&record.stream()).cloned();
        Stored { record, version: Version(self.versions), shown: Shown::AsItIs, media }
    }

    fn found(&self, stream: StreamId) -> Option<Stored> {
        let (record, version) = self.records.get(&stream)?;
        let shown = if self.unseen.contains(&stream) { Shown::NotYet } else { Shown::AsItIs };
        let media = self.media.get(&stream).cloned();
        Some(Stored { record: record.clone(), version: Version(*version), shown, media })
    }
}

impl Opened {
    fn write(&self, record: &Record, guard: Option<&Version>) -> Result<Version, StoreError> {
        let mut state = self.store.state();
        let stream = record.stream();
        if state.controller != self.controller || *self.store.crashed.borrow() || state.away {
            return Err(StoreError::Unavailable("away".to_owned()));
        }
        if state.refused == Some(stream) {
            return Err(StoreError::Refused("too long".to_owned()));
        }
        let write = state.writes;
        state.writes += 1;
        let trouble = state.at.filter(|(at, _)| *at == write).map(|(_, trouble)| trouble);
        match trouble {
            Some(Trouble::CrashBefore) => {
                self.store.crashed.send_replace(true);
                return Err(StoreError::Unavailable("crashed".to_owned()));
            }
            Some(Trouble::SpecChanged) => {
                if let Some(Stored { mut record, .. }) = state.found(stream) {
                    record.spec.as_mut().unwrap().title = "Another day".to_owned();
                    state.put(record);
                }
            }
            Some(Trouble::MachineChanged) => {
                if let Some(Stored { mut record, .. }) = state.found(stream) {
                    let heard = Input::PublisherChosen(Generation(2));
                    record.machine.handle(wall_now(&self.store.wall), heard);
                    state.put(record);
                }
            }
            Some(Trouble::CrashAfter | Trouble::AnswerLost | Trouble::AnswerLostAndMeasured) | None => {}
        }
        match (state.found(stream), guard) {
            (Some(known), Some(_)) if state.stuck == Some(stream) => {
                return Err(StoreError::Conflict(Box::new(known)));
            }
            (None, Some(_)) => return Err(StoreError::Gone),
            (Some(newer), None) => return Err(StoreError::Conflict(Box::new(newer))),
            (Some(newer), Some(guard)) if newer.version != *guard => {
                return Err(StoreError::Conflict(Box::new(newer)));
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        let stored = state.put(record.clone());
        match trouble {
            Some(Trouble::CrashAfter) => {
                self.store.crashed.send_replace(true);
                Err(StoreError::Unavailable("crashed".to_owned()))
            }
            Some(Trouble::AnswerLostAndMeasured) => {
                state.media.insert(stream, FakeStore::MEASURED);
                state.put(record.clone());
                Err(StoreError::Unavailable("the answer was lost".to_owned()))
            }
            Some(Trouble::AnswerLost) => Err(StoreError::Unavailable("the answer was lost".to_owned())),
            _ => Ok(stored.version),
        }
    }
}

impl RecordStore for Opened {
    fn load(&self) -> BoxFuture<'_, Result<Vec<Stored>, StoreError>> {
        let state = self.store.state();
        let all = state.records.keys().filter_map(|stream| state.found(*stream)).collect();
        Box::pin(std::future::ready(Ok(all)))
    }

    fn create<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.write(record, None)
        })
    }

    fn store<'a>(
        &'a self,
        record: &'a Record,
        version: &'a Version,
        _durability: Durability,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.write(record, Some(version))
        })
    }

    fn remove(&self, stream: StreamId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = self.store.state();
            if state.controller != self.controller || *self.store.crashed.borrow() {
                return Err(StoreError::Unavailable("away".to_owned()));
            }
            state.records.remove(&stream);
            state.removed.insert(stream);
            Ok(())
        })
    }

    fn is_paused(&self, stream: StreamId) -> bool {
        self.store.state().paused == Some(stream)
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        let changes = self.store.others.subscribe();
        futures::stream::unfold(changes, |mut changes| async move {
            let change = changes.recv().await.ok()?;
            Some((change, changes))
        })
        .boxed()
    }
}
