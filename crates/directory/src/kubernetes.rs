//! The directory of a cluster: `LiveStream` resources, which the operator drives. Each process has one watch of them.
//!
//! * `replica` – the copy, kept by what the watch tells and by the answers to this process's own writes; pure
//! * `wanted` – what a command wants of a resource as it is; pure
//! * `capacity` – the pools, and how many broadcasts they have room for
//! * `writing` – carries commands out, against the newest version
//!
//! **Commands** are idempotent. Each is decided on a version of the resource and written for that version alone; where somebody
//! else was quicker, or an answer was lost, it is decided anew. None creates a stream that was there before: all but the first
//! write carry the resource's uid.
//!
//! **The copy** is behind by a network's latency. While the API server is away it stays as it was last, and
//! [`StreamControl::is_current`] says so.

mod capacity;
mod control;
mod replica;
#[cfg(test)]
mod tests;
mod wanted;
mod writing;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caudal_kubernetes::watching::{News, watch as follow};
use caudal_kubernetes::{LiveStream as Resource, WorkerPool};
use caudal_livestream::record::{Ingest, LiveStream, MediaInfo, RelayFailures, Spec};
use caudal_livestream::{SessionId, StreamId};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use kube::core::DeserializeGuard;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::capacity::Pools;
use self::replica::Replica;
use self::wanted::{Fresh, opened, reconnected, with_failures, with_media, with_refusal};
use crate::{OpenError, ReconnectError, StreamDirectory, Streams, Unavailable};

/// Whose directory it is. Each role may do what its service account may, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Opens streams, and writes who publishes them; watches pools too.
    Router,
    /// Reads.
    Edge,
    /// Ends streams, drops publishers, revokes keys, moves streams.
    Api,
}

/// A copy of a namespace's LiveStreams, and the way to them.
pub struct KubernetesDirectory {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Shared {
    api: Api<Resource>,
    reader: Reader,
    // Held for map operations only, never across an await.
    replica: Mutex<Replica>,
    pools: Mutex<Pools>,
    streams: watch::Sender<Streams>,
    standing: watch::Sender<Standing>,
}

/// How a copy stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// Everything was read once.
    read: bool,
    /// Changes are heard.
    follows: bool,
}

impl Reader {
    /// Whose fields its writes are, in the server's books.
    fn manager(self) -> &'static str {
        match self {
            Self::Router => "ingest-router",
            Self::Edge => "hls-edge",
            Self::Api => "api",
        }
    }
}

impl KubernetesDirectory {
    /// Begins to read the LiveStreams of `namespace`; the API server may be away. Must be called within a tokio runtime.
    pub fn start(client: Client, namespace: &str, reader: Reader) -> Arc<Self> {
        let shared = Arc::new(Shared {
            api: Api::namespaced(client.clone(), namespace),
            reader,
            replica: Mutex::default(),
            pools: Mutex::default(),
            streams: watch::Sender::new(Streams::default()),
            standing: watch::Sender::new(Standing::default()),
        });
        let directory = Self { shared, tasks: TaskTracker::new(), stop: CancellationToken::new() };
        let guarded = Api::<DeserializeGuard<Resource>>::namespaced(client.clone(), namespace);
        let (shared, stop) = (Arc::clone(&directory.shared), directory.stop.clone());
        directory.tasks.spawn(async move {
            stop.run_until_cancelled(shared.follow(guarded)).await;
        });
        if reader == Reader::Router {
            let guarded = Api::<DeserializeGuard<WorkerPool>>::namespaced(client, namespace);
            let (shared, stop) = (Arc::clone(&directory.shared), directory.stop.clone());
            directory.tasks.spawn(async move {
                stop.run_until_cancelled(shared.follow_pools(guarded)).await;
            });
        }
        Arc::new(directory)
    }

    /// Waits until all LiveStreams have been read once.
    pub async fn read_once(&self) {
        // The sender is ours, so this ends only by its value.
        let _ = self.shared.standing.subscribe().wait_for(|standing| standing.read).await;
    }

    /// Waits until the API server has come or gone: whether the copy follows it now. The first call answers at once if that is
    /// not `so_far`.
    pub async fn follows(&self, so_far: bool) -> bool {
        let mut standing = self.shared.standing.subscribe();
        let changed = standing.wait_for(|standing| standing.follows != so_far).await;
        changed.map_or(so_far, |standing| standing.follows)
    }

    /// Stops following. The copy stays as it is.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Shared {
    fn replica(&self) -> MutexGuard<'_, Replica> {
        self.replica.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pools(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the copy, for good.
    async fn follow(&self, api: Api<DeserializeGuard<Resource>>) {
        let mut news = pin!(follow(api, None));
        while let Some(news) = news.next().await {
            let standing = match news {
                News::Whole => Some(Standing { read: true, follows: true }),
                News::Resumed => Some(Standing { follows: true, ..*self.standing.borrow() }),
                News::Interrupted => Some(Standing { follows: false, ..*self.standing.borrow() }),
                _ => None,
            };
            let mut replica = self.replica();
            replica.take(news);
            self.show(&replica);
            drop(replica);
            if let Some(standing) = standing {
                self.standing.send_replace(standing);
            }
        }
    }

    async fn follow_pools(&self, api: Api<DeserializeGuard<WorkerPool>>) {
        let mut news = pin!(follow(api, None));
        while let Some(news) = news.next().await {
            self.pools().take(news);
        }
    }

    /// Takes in what a write of this process came to, so that whoever wrote finds it.
    fn adopt(&self, resource: Resource) {
        let mut replica = self.replica();
        replica.adopt(resource);
        self.show(&replica);
    }

    fn show(&self, replica: &Replica) {
        // Nobody sees half of the first list.
        if !replica.is_whole() {
            return;
        }
        let now = replica.streams();
        self.streams.send_if_modified(|streams| {
            let changed = !streams.ptr_eq(now);
            if changed {
                *streams = now.clone();
            }
            changed
        });
    }

    async fn open(&self, mut spec: Spec) -> Result<Arc<LiveStream>, OpenError> {
        // Kept until the stream is in the copy: of two that come at once, one gets the last place.
        let _place = {
            let replica = self.replica();
            if replica.known(spec.stream).is_none() {
                Some(self.pools().place(&spec, &replica)?)
            } else {
                None
            }
        };
        if let Some(ladder) = self.pools().ladder(&spec) {
            spec.renditions = ladder;
        }
        let stream = spec.stream;
        self.carry_out(stream, Fresh::NotNeeded, |known| opened(known, &spec)).await
    }

    /// For what will be said again if it matters. Whether it was taken.
    async fn tell(
        &self,
        stream: StreamId,
        what: &'static str,
        decide: impl Fn(Option<&Resource>) -> Result<wanted::Step<()>, Unavailable> + Send,
    ) -> bool {
        let taken = self.carry_out(stream, Fresh::WhereUnknown, decide).await;
        if let Err(error) = &taken {
            tracing::warn!(%stream, %error, "the LiveStream does not say {what}");
        }
        taken.is_ok()
    }
}

impl StreamDirectory for KubernetesDirectory {
    fn open(&self, spec: Spec) -> BoxFuture<'_, Result<Arc<LiveStream>, OpenError>> {
        Box::pin(self.shared.open(spec))
    }

    fn reconnect(
        &self,
        stream: StreamId,
        ingest: Ingest,
    ) -> BoxFuture<'_, Result<Arc<LiveStream>, ReconnectError>> {
        Box::pin(async move {
            self.shared.carry_out(stream, Fresh::WhereUnknown, |known| reconnected(known, &ingest)).await
        })
    }

    fn worker_unreachable(&self, stream: StreamId, failures: RelayFailures) -> BoxFuture<'_, bool> {
        Box::pin(self.shared.tell(stream, "that its worker cannot be reached", move |known| {
            Ok(with_failures(known, &failures))
        }))
    }

    fn report_media(&self, stream: StreamId, session: SessionId, media: MediaInfo) -> BoxFuture<'_, bool> {
        Box::pin(self.shared.tell(stream, "what comes", move |known| Ok(with_media(known, session, &media))))
    }

    fn media_refused(&self, stream: StreamId, session: SessionId, words: String) -> BoxFuture<'_, bool> {
        Box::pin(self.shared.tell(stream, "why its publisher was turned away", move |known| {
            Ok(with_refusal(known, session, &words))
        }))
    }

    fn watch(&self) -> watch::Receiver<Streams> {
        self.shared.streams.subscribe()
    }
}
