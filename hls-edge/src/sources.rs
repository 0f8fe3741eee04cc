//! Where a followed stream is read from.

use std::sync::Arc;

use bytes::Bytes;
use caudal_directory::{Feed, FeedRenditions, WorkerClient, WorkerUnreachable};
use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, RenditionName};
use caudal_storage::SegmentStore;
use futures::future::BoxFuture;

use crate::answer::Refusal;
use crate::memory::FileKey;
use crate::metrics::Metrics;
use crate::watched::Watched;

/// What a follower needs of the edge.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) workers: WorkerClient,
    pub(crate) feed_key: RoleKey,
    pub(crate) store: SegmentStore,
    pub(crate) metrics: Metrics,
}

/// A feed that is being opened, and the renditions that it will have the parts of.
pub(crate) type Opening = BoxFuture<'static, Result<(Feed, Vec<RenditionName>), WorkerUnreachable>>;

impl Sources {
    /// Opens a feed of this worker with the parts of these renditions.
    pub(crate) fn opening(
        &self,
        watched: &Arc<Watched>,
        worker: WorkerAddress,
        epoch: Epoch,
        names: Vec<RenditionName>,
    ) -> Opening {
        let (sources, watched) = (self.clone(), Arc::clone(watched));
        Box::pin(async move {
            let proof = sources.feed_key.proof(watched.stream, epoch);
            let feed = sources.workers.feed(&worker, &proof, FeedRenditions::These(names.clone())).await?;
            Ok((feed, names))
        })
    }

    /// A file that the stream's worker has in memory.
    pub(crate) async fn ask_worker(&self, watched: &Watched, key: &FileKey) -> Result<Bytes, Refusal> {
        let (worker, epoch) = watched.worker().ok_or(Refusal::NotFound)?;
        let proof = self.feed_key.proof(watched.stream, epoch);
        match self.workers.fetch(&worker, &proof, &key.rendition, &key.file.to_string()).await {
            Ok(data) => data.ok_or(Refusal::NotFound),
            Err(error) => {
                tracing::debug!(stream = %watched.stream, %error, "worker");
                Err(Refusal::Unavailable)
            }
        }
    }
}
