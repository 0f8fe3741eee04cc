//! The streams' records in `LiveStream` resources: `spec` is other people's, `status.lifecycle` is the machine.

mod cache;
mod mementos;
mod overtaken;
mod reading;
mod writing;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_controller::{
    Change, Durability, Record, RecordStore, StoreError, Stored, Version, WallClock, WhenItFails, wall_now,
};
use caudal_kubernetes::live_stream::{Place, Rung};
use caudal_kubernetes::{LiveStream, LiveStreamSpec, names};
use caudal_livestream::{Epoch, StreamId, UnixMillis, WorkerId};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DeserializeGuard;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::time::sleep;

use crate::letting_go::without_finalizer;
use crate::pages::Pages;
use crate::workers::Progress;
use cache::{Cache, Held};
use caudal_kubernetes::calls::{Failure, Haste, call, call_for_many, call_if, call_later};
use caudal_kubernetes::names::is_held;
use caudal_kubernetes::names::is_paused;
use caudal_kubernetes::watching::{News, watch};
pub(crate) use reading::kept_until;
use reading::{Unreadable, is_being_deleted};
use writing::{is_awaited, status_of};

/// What a store of LiveStreams needs to know besides them.
pub struct RecordSettings {
    /// The namespace of the release.
    pub namespace: String,
    /// The time of conditions and of what is kept for people.
    pub wall: WallClock,
    /// Where workers are, for people.
    pub places: Arc<dyn Fn(WorkerId) -> Place + Send + Sync>,
    /// Where viewers find a stream; none when the edge has no public address.
    pub playback: Arc<dyn Fn(StreamId) -> Option<String> + Send + Sync>,
}

/// All LiveStreams of a namespace.
#[derive(Clone)]
pub struct LiveStreams {
    shared: Arc<Shared>,
}

struct Shared {
    api: Api<LiveStream>,
    guarded: Api<DeserializeGuard<LiveStream>>,
    settings: RecordSettings,
    // Held for map operations only, never across an await.
    cache: Mutex<Cache>,
    /// The names of resources that the cache does not hold because they cannot be understood.
    unread: Mutex<HashSet<String>>,
    /// The namespace is being deleted.
    namespace_goes: AtomicBool,
}

/// What became of an order to move a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoveOrder {
    /// It is no longer in the resource, and whoever took it carries it out.
    Taken,
    /// It was not there any more.
    StoodNoLonger,
}

impl LiveStreams {
    /// The LiveStreams of `settings.namespace`. Reads nothing yet.
    pub fn new(client: Client, settings: RecordSettings) -> Self {
        Self {
            shared: Arc::new(Shared {
                api: Api::namespaced(client.clone(), &settings.namespace),
                guarded: Api::namespaced(client, &settings.namespace),
                settings,
                cache: Mutex::default(),
                unread: Mutex::default(),
                namespace_goes: AtomicBool::new(false),
            }),
        }
    }

    /// The uid of a stream's resource, which owns the stream's workers; none when it is not known.
    pub fn uid(&self, stream: StreamId) -> Option<String> {
        self.shared.cache().get(stream).and_then(|resource| resource.uid())
    }

    /// A stream's resource as it was last read.
    pub(crate) fn resource(&self, stream: StreamId) -> Option<LiveStream> {
        self.shared.cache().get(stream)
    }

    /// The worker that has a stream; none when it has none, or its resource is not known.
    pub(crate) fn worker(&self, stream: StreamId) -> Option<WorkerId> {
        let mut resource = self.shared.cache().get(stream)?;
        resource.straighten();
        resource.status?.worker.map(|worker| worker.id)
    }

    /// The pool that a stream's workers come from; none when its resource is not known, or names none.
    pub fn pool(&self, stream: StreamId) -> Option<String> {
        let pool = self.shared.cache().get(stream).map(|resource| resource.spec.pool)?;
        (!pool.is_empty()).then_some(pool)
    }

    /// The renditions that a stream began with; none when its resource is not known.
    pub(crate) fn renditions(&self, stream: StreamId) -> Vec<Rung> {
        self.shared.cache().known(stream).map(|resource| resource.spec.renditions.clone()).unwrap_or_default()
    }

    /// The streams that are not over and name one of these pools.
    pub fn open(&self, pools: &[&str]) -> HashMap<StreamId, Progress> {
        let cache = self.shared.cache();
        let open = cache.resources().filter_map(|(stream, resource)| {
            let status = resource.status.as_ref();
            let is_over = status.is_some_and(|status| status.phase.is_over());
            let begun = status.is_some_and(|status| {
                status.worker.is_some() || status.epoch > Epoch(1) || status.started_at.is_some()
            });
            let progress = if begun { Progress::Begun } else { Progress::New };
            (!is_over && pools.contains(&resource.spec.pool.as_str())).then_some((stream, progress))
        });
        open.collect()
    }

    /// Whether a stream's resource is paused.
    pub(crate) fn is_paused(&self, stream: StreamId) -> bool {
        self.shared.is_paused(stream)
    }

    /// The paused streams, each with its channel.
    pub(crate) fn paused(&self) -> HashMap<StreamId, String> {
        let cache = self.shared.cache();
        let paused = cache.resources().filter(|(_, resource)| is_paused(*resource));
        paused.map(|(stream, resource)| (stream, resource.spec.channel.clone().unwrap_or_default())).collect()
    }

    /// The namespace is being deleted: no resource gets the finalizer any more.
    pub(crate) fn namespace_goes(&self) {
        self.shared.namespace_goes.store(true, Ordering::Relaxed);
    }

    /// The streams that somebody wants on another worker, each with its order.
    pub(crate) fn moves_asked(&self) -> Vec<(StreamId, String)> {
        let cache = self.shared.cache();
        let asked = cache.resources().filter_map(|(stream, resource)| {
            let order = resource.metadata.annotations.as_ref()?.get(names::MOVE_ANNOTATION)?;
            Some((stream, order.clone()))
        });
        asked.collect()
    }

    /// Takes an order away that is to be carried out now; another one that was given meanwhile stays.
    pub(crate) async fn take_move_order(&self, stream: StreamId, order: &str) -> Result<MoveOrder, Failure> {
        let version = self.shared.cache().get(stream).and_then(|resource| {
            let standing = resource.metadata.annotations.as_ref()?.get(names::MOVE_ANNOTATION)?;
            resource.resource_version().filter(|_| standing == order)
        });
        let Some(version) = version else { return Ok(MoveOrder::StoodNoLonger) };
        let annotations = json!({ names::MOVE_ANNOTATION: null });
        let patch = json!({ "metadata": { "resourceVersion": version, "annotations": annotations } });
        let patched = self.shared.patch(stream, &patch).await?;
        let _ = self.shared.take_in(patched);
        Ok(MoveOrder::Taken)
    }

    /// Removes resources that were kept for people once their time is over; never ends.
    /// `tell` hears, in words, of those that are let go of although the api has not acknowledged their end.
    pub async fn collect(&self, tell: &(dyn Fn(StreamId, &str) + Send + Sync)) {
        mementos::collect(&self.shared, tell).await;
    }
}

impl Shared {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unread(&self) -> MutexGuard<'_, HashSet<String>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names_unread(&self) -> Vec<String> {
        self.unread().iter().cloned().collect()
    }

    fn forget_unread(&self, name: &str) {
        self.unread().remove(name);
    }

    fn is_paused(&self, stream: StreamId) -> bool {
        self.cache().known(stream).is_some_and(is_paused)
    }

    fn now(&self) -> UnixMillis {
        wall_now(&self.settings.wall)
    }

    async fn list(&self) -> Result<Vec<Stored>, StoreError> {
        let mut records = Vec::new();
        self.read_all(|guard| {
            let name = guard.name_any();
            match guard.0 {
                Ok(resource) => {
                    let stream = resource.spec.stream;
                    let _ = self.take_in(resource);
                    // A watch may have been quicker.
                    if let Some(Ok(Held::Record(stored))) = self.cache().read(stream) {
                        records.push(*stored);
                    }
                }
                Err(error) => {
                    tracing::error!(%name, %error, "a LiveStream cannot be understood; left alone");
                    self.unread().insert(name);
                }
            }
        })
        .await?;
        Ok(records)
    }

    async fn unreadable(&self) -> Result<HashSet<StreamId>, StoreError> {
        let mut unreadable = HashSet::new();
        self.read_all(|guard| unreadable.extend(reading::in_doubt(&guard))).await?;
        Ok(unreadable)
    }

    /// All resources that the server has, page by page.
    async fn read_all(&self, mut each: impl FnMut(DeserializeGuard<LiveStream>)) -> Result<(), StoreError> {
        let mut pages = Pages::default();
        while let Some(params) = pages.next() {
            let page =
                call_for_many(self.guarded.list(&params)).await.map_err(|error| unavailable(&error))?;
            pages.read(page.metadata.continue_.as_deref());
            page.items.into_iter().for_each(&mut each);
        }
        Ok(())
    }

    /// Takes in a resource as it is or was; the record when there is one and it is news.
    fn take_in(&self, resource: LiveStream) -> Option<Box<Stored>> {
        let name = resource.name_any();
        let news = self.cache().take_in(resource);
        match news {
            Ok(Some(Held::Record(stored))) => Some(stored),
            Ok(Some(Held::Memento(_)) | None) => None,
            Err(error) => {
                tracing::error!(%name, %error, "a LiveStream cannot be understood; left alone");
                // Those that the cache holds are looked at there.
                if matches!(error, Unreadable::Name(_) | Unreadable::Version) {
                    self.unread().insert(name);
                }
                None
            }
        }
    }

    async fn create(&self, record: &Record) -> Result<Version, StoreError> {
        let stream = record.stream();
        let spec = record.spec.as_ref().map_or_else(
            || {
                let mut spec = LiveStreamSpec::ended(stream);
                spec.end_reason = record.machine.end_reason();
                spec
            },
            LiveStreamSpec::of,
        );
        let mut resource = LiveStream::new(&names::live_stream(stream), spec);
        resource.metadata.finalizers = Some(vec![names::END_FINALIZER.to_owned()]);
        let created = call(self.api.create(&PostParams::default(), &resource)).await;
        let created = self.written(stream, None, created).await?;
        // The server takes no status with a creation. A controller that finds none begins with the same machine.
        self.put_status(stream, created, record).await
    }

    async fn store(
        &self,
        record: &Record,
        version: Version,
        durability: Durability,
    ) -> Result<Version, StoreError> {
        let stream = record.stream();
        let known = self.cache().at(stream, version);
        let Some(known) = known else { return Err(self.overtaken(stream, Some(version)).await) };
        if durability == Durability::Lazy && self.cache().keep_floor(stream, version, &record.machine) {
            return Ok(version);
        }
        let known = match writing::main_patch(&known, record, self.namespace_goes.load(Ordering::Relaxed)) {
            None => known,
            Some(patch) => {
                let patched = self.patch(stream, &patch).await;
                self.written(stream, Some(version), patched).await?
            }
        };
        let written = self.put_status(stream, known, record).await?;
        if record.machine.is_settled() { self.let_go(stream, written).await } else { Ok(written) }
    }

    async fn put_status(
        &self,
        stream: StreamId,
        mut resource: LiveStream,
        record: &Record,
    ) -> Result<Version, StoreError> {
        let status = status_of(&resource, record, &self.settings, self.now())
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let haste = if is_awaited(resource.status.as_ref(), &status) { Haste::Awaited } else { Haste::Later };
        resource.status = Some(status);
        // Absent, the server keeps what it has.
        resource.metadata.managed_fields = None;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let version = reading::version_of(&resource).ok();
        let name = names::live_stream(stream);
        let put = self.api.replace_status(&name, &params, &resource);
        let put = call_if(haste, || self.is_newest(stream, version), put).await;
        let put = self.written(stream, version, put).await?;
        self.took(put)
    }

    /// Takes the finalizer off, once the api knows of the end.
    async fn let_go(&self, stream: StreamId, version: Version) -> Result<Version, StoreError> {
        let known = self.cache().at(stream, version);
        // That of a paused one is taken off when it is so no longer, with what else there is to be collected.
        let Some(known) = known.filter(|known| is_held(known) && !is_paused(known)) else {
            return Ok(version);
        };
        let patched = self.let_go_of(stream, &known).await;
        match self.written(stream, Some(version), patched).await {
            // It is gone with its last finalizer.
            Ok(resource) if is_being_deleted(&resource) && resource.finalizers().is_empty() => {
                self.cache().delete(stream);
                Ok(version)
            }
            Ok(resource) => self.took(resource),
            Err(StoreError::Gone) => Ok(version),
            // The status is written. What is left comes with the next write, or with the record's removal.
            Err(error) => {
                tracing::debug!(%error, %stream, "an ended stream's finalizer is still there");
                Ok(version)
            }
        }
    }

    async fn patch(&self, stream: StreamId, patch: &serde_json::Value) -> Result<LiveStream, Failure> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        call(self.api.patch(&names::live_stream(stream), &params, &Patch::Merge(patch))).await
    }

    async fn let_go_of(&self, stream: StreamId, known: &LiveStream) -> Result<LiveStream, Failure> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = without_finalizer(known);
        call_later(self.api.patch(&names::live_stream(stream), &params, &Patch::Merge(&patch))).await
    }

    /// Takes in what a write of ours came to.
    fn took(&self, resource: LiveStream) -> Result<Version, StoreError> {
        let version =
            reading::version_of(&resource).map_err(|error| StoreError::Refused(error.to_string()))?;
        let _ = self.take_in(resource);
        Ok(version)
    }

    /// Forgets a stream: what was kept of it for the controller goes, and the resource too unless it is kept for people.
    async fn remove(&self, stream: StreamId) -> Result<(), StoreError> {
        for _ in 0..REMOVE_TRIES {
            let known = self.cache().get(stream);
            let known = match known {
                Some(known) => known,
                None => match call(self.api.get(&names::live_stream(stream))).await {
                    Ok(resource) => resource,
                    Err(Failure::NotFound) => return Ok(()),
                    Err(error) => return Err(unavailable(&error)),
                },
            };
            let outcome = if self.is_due(&known) {
                self.delete(stream, &known).await
            } else {
                self.leave_for_people(stream, known).await
            };
            match outcome {
                Ok(()) | Err(StoreError::Gone) => return Ok(()),
                // Somebody wrote to it. Whatever it was, nothing is to be done for the stream any more.
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Unavailable("somebody writes to it again and again".to_owned()))
    }

    /// Whether the time that it is kept for people is over.
    fn is_due(&self, resource: &LiveStream) -> bool {
        let ended = resource.status.as_ref().and_then(|status| status.ended_at.as_ref());
        let ended = ended.map_or(self.now(), |at| UnixMillis(at.0.as_millisecond()));
        kept_until(resource, ended) <= self.now()
    }

    async fn leave_for_people(&self, stream: StreamId, mut resource: LiveStream) -> Result<(), StoreError> {
        self.take_finalizer_off(stream, &mut resource).await?;
        if let Some(status) = &mut resource.status {
            status.lifecycle = None;
        }
        resource.metadata.managed_fields = None;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let put = call_later(self.api.replace_status(&names::live_stream(stream), &params, &resource)).await;
        let put = self.written(stream, reading::version_of(&resource).ok(), put).await?;
        self.took(put).map(|_| ())
    }

    async fn take_finalizer_off(
        &self,
        stream: StreamId,
        resource: &mut LiveStream,
    ) -> Result<(), StoreError> {
        if is_held(resource) {
            let patched = self.let_go_of(stream, resource).await;
            *resource = self.written(stream, reading::version_of(resource).ok(), patched).await?;
            let _ = self.take_in(resource.clone());
        }
        Ok(())
    }

    /// Deletes the resource as it is known, and not one that somebody made of that name since.
    async fn delete(&self, stream: StreamId, known: &LiveStream) -> Result<(), StoreError> {
        let mut known = known.clone();
        self.take_finalizer_off(stream, &mut known).await?;
        if is_being_deleted(&known) {
            self.cache().delete(stream);
            return Ok(());
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: known.uid(),
                resource_version: known.resource_version(),
            }),
            ..DeleteParams::background()
        };
        let name = names::live_stream(stream);
        match call_later(self.api.delete(&name, &params)).await {
            Ok(_) | Err(Failure::NotFound) => {
                self.cache().delete(stream);
                Ok(())
            }
            Err(Failure::Conflict) => Err(self.overtaken(stream, reading::version_of(&known).ok()).await),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// What the watch tells, as far as it is about records.
    fn change(&self, news: News<LiveStream>) -> Option<Change> {
        match news {
            News::Is(resource) => {
                self.forget_unread(&resource.name_any());
                self.take_in(*resource).map(Change::Changed)
            }
            News::Gone { name, .. } => {
                self.forget_unread(&name);
                let stream = names::stream_of(&name)?;
                self.cache().remove(stream);
                Some(Change::Removed(stream))
            }
            News::Unreadable(name) => {
                self.unread().insert(name);
                None
            }
            News::Whole | News::Interrupted | News::Resumed => None,
        }
    }
}

impl RecordStore for LiveStreams {
    fn load(&self) -> BoxFuture<'_, Result<Vec<Stored>, StoreError>> {
        Box::pin(self.shared.list())
    }

    fn create<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(self.shared.create(record))
    }

    fn store<'a>(
        &'a self,
        record: &'a Record,
        version: &'a Version,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(self.shared.store(record, *version, durability))
    }

    fn remove(&self, stream: StreamId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            while self.shared.is_paused(stream) {
                sleep(PAUSED_STILL).await;
            }
            self.shared.remove(stream).await
        })
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        let shared = Arc::clone(&self.shared);
        let news = watch(shared.guarded.clone(), None);
        news.filter_map(move |news| std::future::ready(shared.change(news))).boxed()
    }

    fn named(&self) -> BoxFuture<'_, Result<HashSet<StreamId>, StoreError>> {
        Box::pin(self.shared.unreadable())
    }

    fn is_paused(&self, stream: StreamId) -> bool {
        self.shared.is_paused(stream)
    }

    fn when_it_fails(&self) -> WhenItFails {
        WhenItFails::Wait
    }
}

fn unavailable(error: &Failure) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Whose fields these are, in the server's books.
pub(crate) const MANAGER: &str = "caudal-operator";
/// Each against the newest version; routers write a stream's resource every few seconds at most.
const REMOVE_TRIES: u32 = 5;
/// Nobody waits for what was paused.
const PAUSED_STILL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
