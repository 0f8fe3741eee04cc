//! Taking streams out of storage, where other things may lie too.
//!
//! A bucket or folder may be shared with another installation, and hold what people put there. So only objects whose
//! names are ours are removed, only under one stream's id, and the states last of all: as long as anything of a
//! stream is left they say whose it is.

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectStore as _;
use object_store::path::Path as ObjectPath;

use caudal_livestream::state::StoredState;
use caudal_livestream::{Epoch, InstallationId, Msn, RenditionName, StreamId, UnixMillis, timeline};

use crate::folder;
use crate::key::{Key, StreamFile};
use crate::pages;
use crate::store::{Backing, SegmentStore, StorageError, Version, failed, within};

/// What a stream's states say of whether one installation may remove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// It is this installation's and no recording.
    Disposable(Disposable),
    /// It is a recording, or another installation's.
    Kept,
    /// No state says whose it is: all were written by older versions or are damaged, or there is none.
    Unknown,
}

/// An unrecorded stream of one installation, as it stood at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposable {
    /// Its newest state. While a worker writes the stream, this changes with each segment.
    newest: (Epoch, Version),
    ended: bool,
    written: UnixMillis,
}

impl Disposable {
    /// Whether its newest state says that the broadcast is over. One that was cut off may yet go on.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// When its newest state was written, by the clock of the storage.
    pub fn written(&self) -> UnixMillis {
        self.written
    }
}

impl SegmentStore {
    /// Removes everything of a stream, with the folders that were made for it. Returns how many things lie there that
    /// do not bear our names, and stay.
    ///
    /// # Errors
    /// [`StorageError`] when something of it may still be there.
    pub async fn remove_stream(&self, stream: StreamId) -> Result<usize, StorageError> {
        match &self.backing {
            Backing::Folder(root) => {
                let root = root.clone();
                let removed = tokio::task::spawn_blocking(move || folder::remove_stream(&root, stream)).await;
                let removed = removed.map_err(std::io::Error::other).flatten();
                removed.map_err(|source| StorageError::Failed {
                    key: format!("live/{stream}"),
                    source: object_store::Error::Generic { store: "folder", source: source.into() },
                })
            }
            Backing::Bucket(_) => {
                let posters = self.remove_keys(format!("thumbnails/{stream}"), |_| true).await?;
                let prefix = format!("live/{stream}");
                let media = |key: &Key| !matches!(key, Key::Live(_, StreamFile::State(_)));
                self.remove_keys(prefix.clone(), media).await?;
                let states = self.remove_keys(prefix, |_| true).await?;
                Ok(posters.saturating_add(states))
            }
        }
    }

    /// Removes the objects of ours under `prefix` that are `wanted`; returns how many are not ours.
    async fn remove_keys(
        &self,
        prefix: String,
        wanted: impl Fn(&Key) -> bool + Send + 'static,
    ) -> Result<usize, StorageError> {
        let work = async {
            let mut foreign = 0_usize;
            let mut listed = self.inner.list(Some(&ObjectPath::from(prefix.as_str()))).chunks(BATCH);
            while let Some(batch) = listed.next().await {
                let mut ours = Vec::new();
                for meta in batch {
                    let location = meta?.location;
                    match location.as_ref().parse::<Key>() {
                        Ok(key) if wanted(&key) => ours.push(Ok(location)),
                        Ok(_) => {}
                        Err(_) => foreign = foreign.saturating_add(1),
                    }
                }
                let deleted = self.inner.delete_stream(futures::stream::iter(ours).boxed());
                deleted.try_for_each(|_| async { Ok(()) }).await?;
            }
            Ok(foreign)
        };
        within(&prefix, work).await?.map_err(|error| failed(&prefix, error))
    }

    /// The streams that have anything in storage, whoever's they are. Of a bucket each page of the list has a deadline of its own, so that any
    /// number of them can be listed.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot say.
    pub async fn streams(&self) -> Result<Vec<StreamId>, StorageError> {
        let mut streams = self.streams_in(LIVE, None, usize::MAX).await?;
        streams.extend(self.streams_in("thumbnails", None, usize::MAX).await?);
        streams.sort_unstable_by_key(|stream| stream.0);
        streams.dedup();
        Ok(streams)
    }

    /// The streams that have media in storage, whoever's they are, in the order of their ids: at most `most`, from behind `after`. So
    /// that a storage with any number of them can be looked through in pages of which none takes long.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot say.
    pub async fn streams_after(
        &self,
        after: Option<StreamId>,
        most: usize,
    ) -> Result<Vec<StreamId>, StorageError> {
        self.streams_in(LIVE, after, most).await
    }

    /// The streams that have a folder in the folder `top`, likewise.
    async fn streams_in(
        &self,
        top: &'static str,
        after: Option<StreamId>,
        most: usize,
    ) -> Result<Vec<StreamId>, StorageError> {
        match &self.backing {
            Backing::Folder(root) => {
                let folder = root.join(top);
                let listed = tokio::task::spawn_blocking(move || folder::streams_after(&folder, after, most));
                let listed = within(&top, listed).await?.map_err(std::io::Error::other).flatten();
                listed.map_err(|source| StorageError::Failed {
                    key: top.to_owned(),
                    source: object_store::Error::Generic { store: "folder", source: source.into() },
                })
            }
            Backing::Bucket(bucket) => pages::streams_after(bucket, top, after, most).await,
        }
    }

    /// When anything of a stream was written last, by the clock of the storage; none when there is nothing.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot say.
    pub async fn last_write(&self, stream: StreamId) -> Result<Option<UnixMillis>, StorageError> {
        let mut last = None;
        for prefix in [format!("live/{stream}"), format!("thumbnails/{stream}")] {
            let newest = self
                .inner
                .list(Some(&ObjectPath::from(prefix.as_str())))
                .try_fold(last, async |newest: Option<i64>, meta| {
                    Ok(newest.max(Some(meta.last_modified.timestamp_millis())))
                });
            last = within(&prefix, newest).await?.map_err(|error| failed(&prefix, error))?;
        }
        Ok(last.map(UnixMillis))
    }

    /// The renditions that a stream has a folder for, in no particular order.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot say.
    pub async fn renditions(&self, stream: StreamId) -> Result<Vec<RenditionName>, StorageError> {
        let folders = self.folders(&format!("live/{stream}")).await?;
        Ok(folders.iter().filter_map(|name| name.parse().ok()).collect())
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let listed = within(&prefix, self.inner.list_with_delimiter(Some(&ObjectPath::from(prefix)))).await?;
        match listed {
            Ok(listed) => {
                let names = listed.common_prefixes.iter().filter_map(|folder| folder.filename());
                Ok(names.map(str::to_owned).collect())
            }
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(failed(&prefix, error)),
        }
    }

    /// Whether a stream's states prove that it was assigned by `installation`, by whichever of its names, and is no recording, and none of them
    /// says otherwise.
    ///
    /// # Errors
    /// [`StorageError`] when its states cannot be read.
    pub async fn provenance(
        &self,
        stream: StreamId,
        installation: &[InstallationId],
    ) -> Result<Provenance, StorageError> {
        let mut epochs = self.epochs(stream).await?;
        epochs.sort_unstable();
        let (mut proven, mut ended) = (false, None);
        for epoch in &epochs {
            let state = match self.state(stream, *epoch).await {
                // Says nothing, however often it is asked.
                Err(StorageError::Unreadable { .. } | StorageError::TooLong { .. }) => continue,
                state => state?,
            };
            let Some(StoredState { owner: Some(owner), filled, .. }) = state else { continue };
            if owner.record || !installation.contains(&owner.installation) {
                return Ok(Provenance::Kept);
            }
            proven = true;
            ended = filled.filter(|filled| filled.timeline.ended).map(|_| *epoch);
        }
        let Some(newest) = epochs.last().copied().filter(|_| proven) else {
            return Ok(Provenance::Unknown);
        };
        let found = self.version_and_time(&Key::Live(stream, StreamFile::State(newest))).await?;
        Ok(found.map_or(Provenance::Unknown, |(version, written)| {
            Provenance::Disposable(Disposable {
                newest: (newest, version),
                ended: ended == Some(newest),
                written,
            })
        }))
    }

    /// The highest media sequence number that any stored segment of the stream bears.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot say.
    pub async fn highest_msn(&self, stream: StreamId) -> Result<Option<Msn>, StorageError> {
        let prefix = format!("live/{stream}");
        let highest = self.inner.list(Some(&ObjectPath::from(prefix.as_str()))).try_fold(
            None,
            async |highest: Option<Msn>, meta| {
                Ok(match meta.location.as_ref().parse::<Key>() {
                    // A name beyond any broadcast's numbers was not given by a worker.
                    Ok(Key::Live(_, StreamFile::Segment(_, msn, _))) if msn.0 <= timeline::HIGHEST_NUMBER => {
                        highest.max(Some(msn))
                    }
                    _ => highest,
                })
            },
        );
        within(&prefix, highest).await?.map_err(|error| failed(&prefix, error))
    }

    /// Removes what writers that were killed left of the stream half-written; nothing in a bucket, which shows only
    /// whole objects.
    ///
    /// # Errors
    /// [`StorageError`] when something of it may still be there.
    pub async fn remove_unfinished(&self, stream: StreamId) -> Result<(), StorageError> {
        let Backing::Folder(root) = &self.backing else { return Ok(()) };
        let root = root.clone();
        let removed = tokio::task::spawn_blocking(move || folder::remove_unfinished(&root, stream)).await;
        removed.map_err(std::io::Error::other).flatten().map_err(|source| StorageError::Failed {
            key: format!("live/{stream}"),
            source: object_store::Error::Generic { store: "folder", source: source.into() },
        })
    }
}

/// Where media is.
const LIVE: &str = "live";
/// As many as S3 deletes at one request.
const BATCH: usize = 1000;
