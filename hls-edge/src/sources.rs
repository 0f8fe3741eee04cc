//! Where a followed stream is read from.

use std::sync::Arc;

use bytes::Bytes;
use caudal_directory::{Feed, FeedRenditions, FileSize, WorkerClient, WorkerUnreachable};
use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::timeline::Segment;
use caudal_livestream::{Epoch, RenditionName};
use caudal_storage::SegmentStore;
use futures::future::BoxFuture;

use crate::answer::Refusal;
use crate::media_budget::MediaBudget;
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
    /// What the media of all followed streams may take; what is being read has its room here too.
    pub(crate) living: Arc<MediaBudget>,
}

/// What the timeline says of how long a file is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnnouncedSize {
    /// It says nothing of initialization segments.
    Init,
    /// Of media that a worker of this epoch has announced: bytes.
    Media(Epoch, u64),
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

    /// A file that the stream's worker has in memory. A worker whose file is of another size is as good as one that does not
    /// answer.
    pub(crate) async fn ask_worker(
        &self,
        watched: &Watched,
        key: &FileKey,
        announced: AnnouncedSize,
    ) -> Result<Bytes, Refusal> {
        let (worker, epoch) = watched.worker().ok_or(Refusal::NotFound)?;
        let size = announced.at_worker_of(epoch);
        // Until whoever keeps the file counts it as living.
        let _room = self.living.reserve(size.most())?;
        let proof = self.feed_key.proof(watched.stream, epoch);
        match self.workers.fetch(&worker, &proof, &key.rendition, &key.file.to_string(), size).await {
            Ok(data) => data.ok_or(Refusal::NotFound),
            Err(error) => {
                tracing::debug!(stream = %watched.stream, %error, "worker");
                Err(Refusal::Unavailable)
            }
        }
    }
}

impl AnnouncedSize {
    pub(crate) fn of_part(epoch: Epoch, bytes: u32) -> Self {
        Self::Media(epoch, bytes.into())
    }

    pub(crate) fn of_segment(segment: &Segment) -> Self {
        Self::Media(segment.epoch, segment.size)
    }

    fn at_worker_of(self, epoch: Epoch) -> FileSize {
        match self {
            Self::Init => FileSize::AtMost(MAX_INIT_BYTES),
            Self::Media(of, bytes) if of == epoch => FileSize::Exactly(bytes_of(bytes)),
            // A rung that was lost with its worker is encoded anew under the old names. Until this worker has announced how long
            // that is, what its predecessor said is about right.
            Self::Media(_, bytes) => {
                FileSize::AtMost(bytes_of(bytes.saturating_mul(2)).saturating_add(REBUILT_MARGIN))
            }
        }
    }
}

fn bytes_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Codec headers of 16 KiB are the longest that are taken; usual ones have 100 bytes.
const MAX_INIT_BYTES: usize = 256 * 1024;
/// Headers of a segment of next to nothing.
const REBUILT_MARGIN: usize = 64 * 1024;
