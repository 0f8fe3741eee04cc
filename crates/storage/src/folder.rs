//! A stream's files in a folder, also the half-written ones and the empty folders, which the object store neither
//! shows nor removes.

use std::collections::BinaryHeap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caudal_livestream::StreamId;

use crate::key::{Key, StreamFile};
use crate::pages::stream_named;

/// Removes what bears our names, the states last. Returns how many things stay.
pub(crate) fn remove_stream(root: &Path, stream: StreamId) -> io::Result<usize> {
    let Found { files, folders, foreign } = Found::of(root, stream)?;
    let is_state = |file: &&Ours| matches!(file.key, Key::Live(_, StreamFile::State(_)));
    for file in files.iter().filter(|file| !is_state(file)).chain(files.iter().filter(is_state)) {
        remove(&file.path)?;
    }
    for folder in folders {
        match fs::remove_dir(folder) {
            // What is not ours stays, and so does the folder around it.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(foreign)
}

/// The streams that have a folder in `folder`, in the order of their ids: at most `most`, from behind `after`.
pub(crate) fn streams_after(
    folder: &Path,
    after: Option<StreamId>,
    most: usize,
) -> io::Result<Vec<StreamId>> {
    let listed = match fs::read_dir(folder) {
        // Nor is a file that somebody has put there one of ours.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        listed => listed?,
    };
    // The greatest is on top, to make room for a lesser one.
    let mut least = BinaryHeap::new();
    for entry in listed {
        let entry = entry?;
        let Some(stream) = entry.file_name().to_str().and_then(stream_named) else { continue };
        if after.is_none_or(|after| stream.0 > after.0) && entry.file_type()?.is_dir() {
            least.push(stream.0);
            if least.len() > most {
                least.pop();
            }
        }
    }
    Ok(least.into_sorted_vec().into_iter().map(StreamId).collect())
}

/// Removes what was being written by a writer that was killed.
pub(crate) fn remove_unfinished(root: &Path, stream: StreamId) -> io::Result<()> {
    for file in Found::of(root, stream)?.files.iter().filter(|file| file.unfinished) {
        let written = fs::symlink_metadata(&file.path).and_then(|found| found.modified());
        // Dated in the future: the clock was set back, and the file is looked at again next time.
        if written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= LONGEST_WRITE)) {
            remove(&file.path)?;
        }
    }
    Ok(())
}

/// What lies in a stream's folders.
#[derive(Default)]
struct Found {
    files: Vec<Ours>,
    /// Inner ones first.
    folders: Vec<PathBuf>,
    /// How many things do not bear our names.
    foreign: usize,
}

struct Ours {
    path: PathBuf,
    key: Key,
    /// Written under a name of its own, and renamed when it is whole: `{name}#{number}`.
    unfinished: bool,
}

impl Found {
    fn of(root: &Path, stream: StreamId) -> io::Result<Self> {
        let mut found = Self::default();
        for top in ["thumbnails", "live"] {
            let folder = root.join(top).join(stream.to_string());
            found.look_into(&folder, &format!("{top}/{stream}"), Depth::Stream)?;
        }
        Ok(found)
    }

    /// Symbolic links are not followed: somebody else made them.
    fn look_into(&mut self, folder: &Path, name: &str, depth: Depth) -> io::Result<()> {
        match fs::symlink_metadata(folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                self.foreign = self.foreign.saturating_add(1);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() && depth == Depth::Stream {
                self.look_into(&entry.path(), &name, Depth::Rendition)?;
            } else if let Some((key, unfinished)) = named(&name).filter(|_| kind.is_file()) {
                self.files.push(Ours { path: entry.path(), key, unfinished });
            } else {
                self.foreign = self.foreign.saturating_add(1);
            }
        }
        self.folders.push(folder.to_owned());
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Stream,
    Rendition,
}

/// The object that a file is, or was going to be.
fn named(name: &str) -> Option<(Key, bool)> {
    if let Ok(key) = name.parse() {
        return Some((key, false));
    }
    let (whole, number) = name.rsplit_once('#')?;
    number.parse::<u32>().ok()?;
    Some((whole.parse().ok()?, true))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// A write is given up after 17 s; the rest is for a disk that has stopped answering.
const LONGEST_WRITE: Duration = Duration::from_hours(1);
