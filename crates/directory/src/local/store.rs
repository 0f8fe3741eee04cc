//! The streams' files: `{stream}.json`, replaced as a whole.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caudal_controller::{
    Change, Durability, Record, RecordStore, Shown, StoreError, Stored, Version, WhenItFails,
};
use caudal_livestream::StreamId;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};

use super::StartError;

/// The folder of all streams.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: Arc<Path>,
}

impl Store {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        Ok(Self { folder: folder.into() })
    }

    /// All streams. What holds no state of its stream is put aside and reported, and keeps no other stream from being read.
    ///
    /// # Errors
    /// When the folder or a state cannot be read now. A stream that is left out is taken to be lost, and the api closes its
    /// broadcast. Its media stays for as long as a file in the folder is named after it.
    pub(super) fn read_all(&self) -> Result<Vec<Stored>, StartError> {
        let in_folder = |source| StartError::Folder { path: self.folder.to_path_buf(), source };
        let mut streams = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(in_folder)? {
            let path = entry.map_err(in_folder)?.path();
            let Some(stream) =
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok())
            else {
                tracing::warn!(file = %path.display(), "this is no stream's, and left alone");
                continue;
            };
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => {}
                Some("new") => {
                    // Only what `save` was writing when the process was killed has a stream's id for a name.
                    if let Err(error) = fs::remove_file(&path) {
                        tracing::warn!(file = %path.display(), %error, "cannot remove an unfinished state of a stream; left alone");
                    }
                    continue;
                }
                _ => continue,
            }
            match read(&path, stream) {
                Ok(record) => {
                    let (version, shown) = (Version::default(), Shown::AsItIs);
                    streams.push(Stored { record, version, shown, media: None });
                }
                Err(Unread::Inaccessible(source)) => return Err(StartError::State { path, source }),
                Err(Unread::Wrong(reason)) => match put_aside(&path) {
                    Ok(aside) => {
                        tracing::error!(file = %path.display(), reason, aside = %aside.display(), "cannot read a stream; put aside, and the stream's media stay for as long as that file does");
                    }
                    Err(error) => {
                        tracing::error!(file = %path.display(), reason, %error, "cannot read a stream, nor put it aside; left alone, and the stream's media stay for as long as that file does");
                    }
                },
            }
        }
        Ok(streams)
    }

    /// All streams that a file in the folder is named after, but for files that were never finished.
    fn named_streams(&self) -> io::Result<HashSet<StreamId>> {
        let mut streams = HashSet::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let stream: Option<StreamId> = stem.and_then(|stem| stem.parse().ok());
            let unfinished = path.extension().is_some_and(|extension| extension == "new");
            streams.extend(stream.filter(|_| !unfinished));
        }
        Ok(streams)
    }

    /// Whether a file that was put aside is named after a stream.
    fn has_put_aside(&self, stream: StreamId) -> io::Result<bool> {
        let stem = stream.to_string();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            // Somebody removed it; it is made again with the next state.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            let aside = extension.is_some_and(|extension| !["json", "new"].contains(&extension));
            if aside && path.file_stem().is_some_and(|found| found == stem.as_str()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn save(&self, record: &Record, durability: Durability) -> io::Result<()> {
        let json = serde_json::to_vec(record).map_err(io::Error::other)?;
        let path = self.path(record.stream());
        self.blocking(move |folder| {
            let new = path.with_extension("new");
            let mut file = match File::create(&new) {
                // The folder was removed. That of all data is not made with it: a disk may not be mounted.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Fails if another stream was quicker; if not, the next line fails too, and says why.
                    let _ = fs::DirBuilder::new().mode(FOLDER_MODE).create(folder);
                    File::create(&new)?
                }
                created => created?,
            };
            file.write_all(&json)?;
            // Also of a lazy write: some file systems would keep the new name and lose the contents, and so both states.
            file.sync_data()?;
            fs::rename(&new, &path)?;
            if durability == Durability::Synced {
                File::open(folder)?.sync_all()?;
            }
            Ok(())
        })
        .await
    }

    async fn remove_file(&self, stream: StreamId) -> io::Result<()> {
        let path = self.path(stream);
        self.blocking(move |_| {
            // A write that failed, of a full disk for example, may have left a half of one.
            for file in [path.with_extension("new"), path] {
                match fs::remove_file(file) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    done => done?,
                }
            }
            Ok(())
        })
        .await
    }

    fn path(&self, stream: StreamId) -> PathBuf {
        self.folder.join(format!("{stream}.json"))
    }

    async fn blocking(&self, work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) -> io::Result<()> {
        let folder = Arc::clone(&self.folder);
        tokio::task::spawn_blocking(move || work(&folder)).await.map_err(io::Error::other)?
    }
}

/// The folder is this process's alone, so no version is needed to guard anything.
impl RecordStore for Store {
    fn load(&self) -> BoxFuture<'_, Result<Vec<Stored>, StoreError>> {
        let store = self.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || store.read_all()).await;
            let read = read.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            read.map_err(|error| StoreError::Unavailable(error.to_string()))
        })
    }

    fn create<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(async move { written(self.save(record, Durability::Synced).await) })
    }

    fn store<'a>(
        &'a self,
        record: &'a Record,
        _version: &'a Version,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Version, StoreError>> {
        Box::pin(async move { written(self.save(record, durability).await) })
    }

    fn remove(&self, stream: StreamId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.remove_file(stream).await.map_err(|error| StoreError::Unavailable(error.to_string()))
        })
    }

    fn was_put_aside(&self, stream: StreamId) -> BoxFuture<'_, Result<bool, StoreError>> {
        let store = self.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || store.has_put_aside(stream)).await;
            let read = read.map_err(io::Error::other).flatten();
            read.map_err(|error| StoreError::Unavailable(error.to_string()))
        })
    }

    fn named(&self) -> BoxFuture<'_, Result<HashSet<StreamId>, StoreError>> {
        let store = self.clone();
        Box::pin(async move {
            let read =
                tokio::task::spawn_blocking(move || store.named_streams()).await.map_err(io::Error::other);
            read.flatten().map_err(|error| StoreError::Unavailable(error.to_string()))
        })
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        stream::pending().boxed()
    }

    /// A full disk must not end a running stream.
    fn when_it_fails(&self) -> WhenItFails {
        WhenItFails::GoOn
    }
}

fn written(outcome: io::Result<()>) -> Result<Version, StoreError> {
    outcome.map(|()| Version::default()).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// Whether a record is of the stream whose name its file has.
fn is_of(record: &Record, stream: StreamId) -> bool {
    record.stream() == stream && record.spec.as_ref().is_none_or(|spec| spec.stream == stream)
}

/// Why a file gave no state.
enum Unread {
    /// It holds no state of its stream, and never will.
    Wrong(String),
    /// The system does not let it be read. That may pass, or be mended: rights, a failing disk, too many open files.
    Inaccessible(io::Error),
}

fn read(path: &Path, stream: StreamId) -> Result<Record, Unread> {
    let wrong = |reason: &str| Unread::Wrong(reason.to_owned());
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        // The folder lists the file, so it is a link.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => wrong("it is a link that leads nowhere"),
        _ => Unread::Inaccessible(error),
    })?;
    // Opening a pipe would wait for its writer.
    if !found.is_file() {
        return Err(wrong("it is not a file"));
    }
    let mut contents = Vec::new();
    let file = File::open(path).map_err(Unread::Inaccessible)?;
    file.take(LONGEST_STATE + 1).read_to_end(&mut contents).map_err(Unread::Inaccessible)?;
    if u64::try_from(contents.len()).is_ok_and(|length| length > LONGEST_STATE) {
        return Err(wrong("it is longer than any stream's state"));
    }
    let record: Record = serde_json::from_slice(&contents).map_err(|error| wrong(&error.to_string()))?;
    if is_of(&record, stream) { Ok(record) } else { Err(wrong("it is another stream's")) }
}

/// Renames what is no state, and returns its new name.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = unused(path)?;
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// `{stream}.broken`, or with a number behind it: one that was put aside earlier is kept.
fn unused(path: &Path) -> io::Result<PathBuf> {
    for number in 0..u32::MAX {
        let extension = if number == 0 { "broken".to_owned() } else { format!("broken-{number}") };
        let aside = path.with_extension(extension);
        match fs::symlink_metadata(&aside) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(aside),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A state has some kilobytes.
const LONGEST_STATE: u64 = 1024 * 1024;
/// For this process's user alone, whatever the umask is.
const FOLDER_MODE: u32 = 0o700;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let parent = tempfile::tempdir().unwrap();
        let store = Store::open(&parent.path().join("streams")).unwrap();
        (parent, store)
    }

    #[test]
    fn a_state_that_cannot_be_read_now_stops_the_start_and_keeps_its_name() {
        let (_parent, store) = store();
        let path = store.path(StreamId::generate());
        // A file whose first bytes nobody can read, not even root: nothing is mapped at address 0.
        symlink("/proc/self/mem", &path).unwrap();
        let error = store.read_all().unwrap_err();
        assert!(matches!(&error, StartError::State { path: named, .. } if *named == path), "{error}");
        assert!(fs::symlink_metadata(&path).is_ok(), "left as it is");
    }

    #[test]
    fn what_can_never_be_read_as_a_state_is_put_aside_and_the_start_goes_on() {
        type Make = fn(&Path);
        let never: [(&str, Make); 5] = [
            ("a folder", |path| fs::create_dir(path).unwrap()),
            ("a link to nowhere", |path| symlink("/nowhere/at/all", path).unwrap()),
            ("a link through a file", |path| symlink("/dev/null/below", path).unwrap()),
            ("half a state", |path| fs::write(path, "{").unwrap()),
            ("a file of 16 TB without contents", |path| {
                File::create(path).unwrap().set_len((1 << 44) - (1 << 20)).unwrap();
            }),
        ];
        for (what, make) in never {
            let (_parent, store) = store();
            let path = store.path(StreamId::generate());
            make(&path);
            assert!(store.read_all().unwrap().is_empty(), "{what}");
            assert!(fs::symlink_metadata(path.with_extension("broken")).is_ok(), "{what}");
        }
    }

    #[test]
    fn the_folder_is_made_for_this_user_alone() {
        let (parent, _store) = store();
        let mode = fs::metadata(parent.path().join("streams")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
