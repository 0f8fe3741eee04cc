//! The store itself, over a folder or a bucket.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_livestream::state::UnreadableState;
use caudal_livestream::{Epoch, InitHash, Msn, RenditionName, StreamId, UnixMillis};
use futures::StreamExt as _;
use object_store::aws::AmazonS3;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    Attribute, Attributes, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    UpdateVersion,
};
use thiserror::Error;
use tokio::time::timeout;

use crate::bucket::{S3Config, s3_builder};
use crate::key::{Durability, Key, StreamFile};
use crate::outstanding::Outstanding;

/// A stream's files. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SegmentStore {
    /// What it wrote is there after a power cut.
    pub(crate) inner: Arc<dyn ObjectStore>,
    /// The same place. What it wrote may be lost, or be empty, when the machine loses power within the next half minute.
    lazy: Arc<dyn ObjectStore>,
    pub(crate) backing: Backing,
    /// To a folder; a bucket's client ends a write that is given up.
    outstanding: Arc<Outstanding>,
}

/// One state of a replaceable object: [`SegmentStore::replace`] writes only over the one it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    e_tag: Option<String>,
    version: Option<String>,
}

/// The store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder cannot be created or opened.
    #[error("the storage folder {path} cannot be used: {source}", path = path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bucket's settings do not fit together.
    #[error("the storage settings are not usable: {0}")]
    Settings(#[from] object_store::Error),
}

/// The store did not do what was asked.
#[derive(Debug, Error)]
pub enum StorageError {
    /// It refused or failed, after retries where they could help.
    #[error("{key}: {source}")]
    Failed {
        /// The object, or the prefix.
        key: String,
        /// What it said.
        source: object_store::Error,
    },
    /// It took too long.
    #[error("{key}: no answer within {DEADLINE:?}")]
    Deadline {
        /// The object, or the prefix.
        key: String,
    },
    /// The object is longer than any of ours of that name ([`Key::longest`]).
    #[error("{key}: {size} bytes are over the limit of {limit}", limit = key.longest())]
    TooLong {
        /// Which.
        key: Key,
        /// How long it is.
        size: u64,
    },
    /// The object is not the state that its name promises.
    #[error("{key}: {source}")]
    Unreadable {
        /// Which.
        key: Key,
        /// What is wrong with it.
        source: UnreadableState,
    },
}

/// Why an object was not created.
#[derive(Debug, Error)]
pub enum CreateError {
    /// There is one already.
    #[error("the object exists already")]
    AlreadyExists,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why an object was not replaced.
#[derive(Debug, Error)]
pub enum ReplaceError {
    /// Somebody else wrote it meanwhile.
    #[error("the object was written by somebody else")]
    Changed,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

#[derive(Clone, Debug)]
pub(crate) enum Backing {
    /// Everything is under here.
    Folder(Arc<Path>),
    /// For lists by the page.
    Bucket(Arc<AmazonS3>),
}

impl SegmentStore {
    /// Everything under `root`, which is made if it is missing.
    ///
    /// # Errors
    /// [`OpenError::Folder`] when it is not a folder that can be used.
    pub fn folder(root: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = root.as_ref();
        let failed = |source| OpenError::Folder { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let lazy = LocalFileSystem::new_with_prefix(path)?;
        let inner = lazy.clone().with_fsync(true);
        let root = path.canonicalize().map_err(failed)?;
        let backing = Backing::Folder(root.into());
        Ok(Self { inner: Arc::new(inner), lazy: Arc::new(lazy), backing, outstanding: Arc::default() })
    }

    /// Everything in a bucket. Opens no connection yet.
    ///
    /// # Errors
    /// [`OpenError::Settings`] when the settings cannot be right.
    pub fn s3(config: &S3Config) -> Result<Self, OpenError> {
        let bucket = Arc::new(s3_builder(config).build()?);
        let inner: Arc<dyn ObjectStore> = Arc::<AmazonS3>::clone(&bucket);
        let backing = Backing::Bucket(bucket);
        Ok(Self { lazy: Arc::clone(&inner), inner, backing, outstanding: Arc::default() })
    }

    /// Writes an object, over whatever is there. Readers see the old one or the new one, never a piece.
    ///
    /// # Errors
    /// [`StorageError`] when it is not written, or may not be.
    pub async fn put(&self, key: &Key, data: Bytes) -> Result<Version, StorageError> {
        fits_data(key, &data)?;
        self.write(key, data, PutMode::Overwrite, key.durability())
            .await
            .map_err(|error| failed(key, error))?
            .map_err(|Late| too_late(key))
    }

    /// Writes an object that must not be there yet.
    ///
    /// # Errors
    /// [`CreateError::AlreadyExists`], also when an earlier attempt of this call did it and its answer was lost.
    pub async fn create(&self, key: &Key, data: Bytes) -> Result<Version, CreateError> {
        fits_data(key, &data)?;
        match self.write(key, data, PutMode::Create, key.durability()).await {
            Ok(Ok(version)) => Ok(version),
            Ok(Err(Late)) => Err(too_late(key).into()),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Err(CreateError::AlreadyExists)
            }
            Err(error) => Err(failed(key, error).into()),
        }
    }

    /// Writes over exactly the version `over`, or where nothing is when there is none: `If-Match` on S3, a check and
    /// then a rename in a folder (which a writer that lost its fence can still slip between; it then writes no more).
    /// `durability` says whether these are words that nobody will write again.
    ///
    /// # Errors
    /// [`ReplaceError::Changed`] when something else is there now.
    pub async fn replace(
        &self,
        key: &Key,
        data: Bytes,
        over: Option<&Version>,
        durability: Durability,
    ) -> Result<Version, ReplaceError> {
        fits_data(key, &data)?;
        let mode = match (&self.backing, over) {
            (_, None) => PutMode::Create,
            (Backing::Bucket(_), Some(version)) => PutMode::Update(UpdateVersion {
                e_tag: version.e_tag.clone(),
                version: version.version.clone(),
            }),
            (Backing::Folder(_), Some(version)) => {
                if self.version(key).await?.as_ref() != Some(version) {
                    return Err(ReplaceError::Changed);
                }
                PutMode::Overwrite
            }
        };
        match self.write(key, data, mode, durability).await {
            Ok(Ok(version)) => Ok(version),
            Ok(Err(Late)) => Err(too_late(key).into()),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotFound { .. },
            ) => Err(ReplaceError::Changed),
            Err(error) => Err(failed(key, error).into()),
        }
    }

    /// The version of an object, `None` when there is none.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot say.
    pub async fn version(&self, key: &Key) -> Result<Option<Version>, StorageError> {
        Ok(self.version_and_time(key).await?.map(|(version, _)| version))
    }

    /// The same, and when that version was written.
    pub(crate) async fn version_and_time(
        &self,
        key: &Key,
    ) -> Result<Option<(Version, UnixMillis)>, StorageError> {
        let head = within(key, self.inner.head(&path(key))).await?;
        Ok(self.seen(key, head).await?.map(|meta| {
            let written = UnixMillis(meta.last_modified.timestamp_millis());
            (Version { e_tag: meta.e_tag, version: meta.version }, written)
        }))
    }

    /// A whole object, `None` when there is none.
    ///
    /// # Errors
    /// [`StorageError`] when it cannot be read or is longer than any of ours.
    pub async fn get(&self, key: &Key) -> Result<Option<Bytes>, StorageError> {
        let read = async {
            let answer = self.inner.get(&path(key)).await?;
            let size = answer.meta.size;
            match fits(key, size) {
                Ok(()) => answer.bytes().await.map(Ok),
                Err(too_long) => Ok(Err(too_long)),
            }
        };
        let read = within(key, read).await?;
        self.seen(key, read).await?.transpose()
    }

    /// Some bytes of an object, `None` when there is none.
    ///
    /// # Errors
    /// [`StorageError`] when they cannot be read or lie outside of it.
    pub async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Bytes>, StorageError> {
        fits(key, range.end.saturating_sub(range.start))?;
        let read = within(key, self.inner.get_range(&path(key), range)).await?;
        self.seen(key, read).await
    }

    /// What was answered to reading an object. S3 hides that there is none behind a 403 from whoever may list only some prefixes, as a
    /// worker with credentials for its stream alone: the list, where it may be read, tells which it is.
    async fn seen<T>(
        &self,
        key: &Key,
        answer: Result<T, object_store::Error>,
    ) -> Result<Option<T>, StorageError> {
        match answer {
            Err(error @ object_store::Error::PermissionDenied { .. })
                if matches!(self.backing, Backing::Bucket(_)) =>
            {
                match within(key, self.is_listed(key)).await? {
                    Ok(false) => Ok(None),
                    Ok(true) | Err(_) => Err(failed(key, error)),
                }
            }
            answer => found(key, answer),
        }
    }

    async fn is_listed(&self, key: &Key) -> Result<bool, object_store::Error> {
        let location = path(key);
        let text = location.as_ref();
        let folder = text.rsplit_once('/').map_or("", |(folder, _)| folder);
        // The list begins behind this, so a little before the object itself. Names are ASCII.
        let just_before = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
        let (folder, just_before) = (ObjectPath::from(folder), ObjectPath::from(just_before));
        let mut listed = self.inner.list_with_offset(Some(&folder), &just_before);
        while let Some(meta) = listed.next().await {
            let found = meta?.location;
            if found >= location {
                return Ok(found == location);
            }
        }
        Ok(false)
    }

    /// Removes an object; that it is not there is as good.
    ///
    /// # Errors
    /// [`StorageError`] when it may still be there.
    pub async fn delete(&self, key: &Key) -> Result<(), StorageError> {
        let deleted = within(key, self.inner.delete(&path(key))).await?;
        found(key, deleted).map(|_| ())
    }

    /// The epochs of a stream that were claimed, in no particular order.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot say.
    pub async fn epochs(&self, stream: StreamId) -> Result<Vec<Epoch>, StorageError> {
        let files = self.files(stream, None).await?;
        Ok(files
            .into_iter()
            .filter_map(|file| if let StreamFile::State(epoch) = file { Some(epoch) } else { None })
            .collect())
    }

    /// The logs of a stream, oldest first.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot say.
    pub async fn logs(&self, stream: StreamId) -> Result<Vec<(Epoch, u32)>, StorageError> {
        let files = self.files(stream, Some("log")).await?;
        let mut logs: Vec<_> = files
            .into_iter()
            .filter_map(
                |file| if let StreamFile::Log(epoch, number) = file { Some((epoch, number)) } else { None },
            )
            .collect();
        logs.sort_unstable();
        Ok(logs)
    }

    /// The finished segments of a rendition, oldest first.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot say.
    pub async fn segments(
        &self,
        stream: StreamId,
        rendition: &RenditionName,
    ) -> Result<Vec<(Msn, Epoch)>, StorageError> {
        let files = self.files(stream, Some(rendition.as_str())).await?;
        let mut segments: Vec<_> = files
            .into_iter()
            .filter_map(
                |file| if let StreamFile::Segment(_, msn, epoch) = file { Some((msn, epoch)) } else { None },
            )
            .collect();
        segments.sort_unstable();
        Ok(segments)
    }

    /// The initialization segments of a rendition, in no particular order.
    ///
    /// # Errors
    /// [`StorageError`] when the storage cannot say.
    pub async fn inits(
        &self,
        stream: StreamId,
        rendition: &RenditionName,
    ) -> Result<Vec<InitHash>, StorageError> {
        let files = self.files(stream, Some(rendition.as_str())).await?;
        Ok(files
            .into_iter()
            .filter_map(|file| if let StreamFile::Init(_, hash) = file { Some(hash) } else { None })
            .collect())
    }

    async fn files(&self, stream: StreamId, folder: Option<&str>) -> Result<Vec<StreamFile>, StorageError> {
        let root = format!("live/{stream}/");
        let prefix = format!("{root}{}", folder.unwrap_or_default());
        let listed =
            within(&prefix, self.inner.list_with_delimiter(Some(&ObjectPath::from(prefix.as_str())))).await?;
        let objects = match listed {
            Ok(listed) => listed.objects,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(failed(&prefix, error)),
        };
        let name = |meta: &ObjectMeta| meta.location.as_ref().strip_prefix(root.as_str())?.parse().ok();
        Ok(objects.iter().filter_map(name).collect())
    }

    async fn write(
        &self,
        key: &Key,
        data: Bytes,
        mode: PutMode,
        durability: Durability,
    ) -> Result<Result<Version, Late>, object_store::Error> {
        let mut attributes = Attributes::new();
        // A folder's file server has its own idea of these, and the folder could not hold them.
        if matches!(self.backing, Backing::Bucket(_)) {
            attributes.insert(Attribute::ContentType, key.content_type().into());
            attributes.insert(Attribute::CacheControl, key.cache_control().into());
        }
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let location = path(key);
        let store = match durability {
            Durability::Synced => &self.inner,
            Durability::Lazy => &self.lazy,
        };
        let put = async {
            let data = match self.backing {
                Backing::Folder(_) => self.outstanding.begin(&location).await.with(data),
                Backing::Bucket(_) => data,
            };
            store.put_opts(&location, PutPayload::from_bytes(data), options).await
        };
        match timeout(DEADLINE, put).await {
            Ok(Ok(done)) => Ok(Ok(Version { e_tag: done.e_tag, version: done.version })),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(Err(Late)),
        }
    }
}

/// The deadline passed.
struct Late;

fn too_late(key: &Key) -> StorageError {
    StorageError::Deadline { key: key.to_string() }
}

fn fits(key: &Key, size: u64) -> Result<(), StorageError> {
    if size <= key.longest() { Ok(()) } else { Err(StorageError::TooLong { key: key.clone(), size }) }
}

fn fits_data(key: &Key, data: &Bytes) -> Result<(), StorageError> {
    fits(key, u64::try_from(data.len()).unwrap_or(u64::MAX))
}

/// Keys consist of characters that no store escapes.
fn path(key: &Key) -> ObjectPath {
    ObjectPath::from(key.to_string())
}

pub(crate) fn failed(key: &impl ToString, source: object_store::Error) -> StorageError {
    StorageError::Failed { key: key.to_string(), source }
}

fn found<T>(key: &impl ToString, answer: Result<T, object_store::Error>) -> Result<Option<T>, StorageError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(failed(key, error)),
    }
}

pub(crate) async fn within<T>(key: &impl ToString, work: impl Future<Output = T>) -> Result<T, StorageError> {
    timeout(DEADLINE, work).await.map_err(|_| StorageError::Deadline { key: key.to_string() })
}

/// Every operation, with the retries of a bucket's client: callers have queues of their own and must get an answer.
const DEADLINE: Duration = Duration::from_secs(17);

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_never_ends_is_not_begun_again() {
        // Keeps the bytes that it was given, as a write to a volume that hangs does.
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (lazy, backing) = (Arc::clone(&inner), Backing::Folder(Path::new("/").into()));
        let store = SegmentStore { inner, lazy, backing, outstanding: Arc::default() };
        let write = |stream| {
            let state = Key::Live(stream, StreamFile::State(Epoch(1)));
            let store = store.clone();
            async move { store.put(&state, Bytes::from_static(b"{}")).await }
        };
        let stream = StreamId::generate();
        write(stream).await.unwrap();
        assert!(matches!(write(stream).await, Err(StorageError::Deadline { .. })));
        write(StreamId::generate()).await.unwrap();
    }
}
