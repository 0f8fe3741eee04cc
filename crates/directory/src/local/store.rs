//! The streams' files: `{stream}.json`, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caudal_livestream::StreamId;
use caudal_livestream::lifecycle::Lifecycle;
use caudal_livestream::record::Spec;
use serde::{Deserialize, Serialize};

/// What is kept of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    /// None for a stream that was ended before anyone created it.
    pub(super) spec: Option<Spec>,
    pub(super) machine: Lifecycle,
}

impl Stored {
    fn is_of(&self, stream: StreamId) -> bool {
        self.machine.stream() == stream && self.spec.as_ref().is_none_or(|spec| spec.stream == stream)
    }
}

/// Whether a machine's crash may lose what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It may not: something will be done on the strength of it.
    Synced,
    /// It may; a crash of this process alone does not lose it.
    Lazy,
}

/// The folder of all streams.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: Arc<Path>,
}

impl Store {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.into() })
    }

    /// Everything that can be read; what cannot is put aside and reported, and keeps no other stream from being read.
    ///
    /// # Errors
    /// When the folder itself cannot be read.
    pub(super) fn load(&self) -> io::Result<Vec<(StreamId, Stored)>> {
        let mut streams = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
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
                Ok(stored) => streams.push((stream, stored)),
                Err(reason) => match put_aside(&path) {
                    Ok(aside) => {
                        tracing::error!(file = %path.display(), reason, aside = %aside.display(), "cannot read a stream; put aside");
                    }
                    Err(error) => {
                        tracing::error!(file = %path.display(), reason, %error, "cannot read a stream, nor put it aside; left alone");
                    }
                },
            }
        }
        Ok(streams)
    }

    pub(super) async fn save(
        &self,
        stream: StreamId,
        stored: &Stored,
        durability: Durability,
    ) -> io::Result<()> {
        let json = serde_json::to_vec(stored).map_err(io::Error::other)?;
        let path = self.path(stream);
        self.blocking(move |folder| {
            let new = path.with_extension("new");
            let mut file = match File::create(&new) {
                // The folder was removed. That of all data is not made with it: a disk may not be mounted.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Fails if another stream was quicker; if not, the next line fails too, and says why.
                    let _ = fs::create_dir(folder);
                    File::create(&new)?
                }
                created => created?,
            };
            file.write_all(&json)?;
            if durability == Durability::Synced {
                file.sync_all()?;
            }
            fs::rename(&new, &path)?;
            if durability == Durability::Synced {
                File::open(folder)?.sync_all()?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn remove(&self, stream: StreamId) -> io::Result<()> {
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

/// What is stored of a stream, or why it cannot be used.
fn read(path: &Path, stream: StreamId) -> Result<Stored, String> {
    let contents = || -> io::Result<Vec<u8>> {
        // Opening a pipe would wait for its writer.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        fs::read(path)
    };
    let contents = contents().map_err(|error| error.to_string())?;
    let stored: Stored = serde_json::from_slice(&contents).map_err(|error| error.to_string())?;
    if stored.is_of(stream) { Ok(stored) } else { Err("it is another stream's".to_owned()) }
}

/// Renames what cannot be read, and returns its new name.
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
