//! Files that only their owner can read. Each is there whole or not at all, also after a power cut.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

/// Makes the file `name` of `folder`, unless something of that name is there: then whatever it is stays, and is read.
///
/// # Errors
/// When it cannot be made, or what is there cannot be read.
pub fn create(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let path = folder.join(name);
    if path.exists() {
        return fs::read(path);
    }
    match written(folder, bytes)?.persist_noclobber(&path) {
        Ok(_) => sync(folder).map(|()| bytes.to_vec()),
        // Another start was quicker, or a link leads to a disk that is not mounted.
        Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => fs::read(path),
        Err(failed) => Err(failed.error),
    }
}

/// Makes the file `name` of `folder`, in the place of one that is there.
///
/// # Errors
/// When it cannot be made; what was there stays then.
pub fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    written(folder, bytes)?.persist(folder.join(name)).map_err(|failed| failed.error)?;
    sync(folder)
}

/// Makes a folder that nobody else can enter, if it is not there.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A file of mode 0600 under a name that nothing had before.
fn written(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    make_folder(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A name is on the disk with its folder.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_that_is_created_stays_and_one_that_is_replaced_does_not_and_both_are_their_owners_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("own");
        assert_eq!(create(&folder, "a", b"first").unwrap(), b"first");
        assert_eq!(create(&folder, "a", b"second").unwrap(), b"first");
        replace(&folder, "b", b"first").unwrap();
        replace(&folder, "b", b"second").unwrap();
        assert_eq!(fs::read(folder.join("b")).unwrap(), b"second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("a")), mode(&folder.join("b"))), (0o700, 0o600, 0o600));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn those_who_create_a_file_at_the_same_time_agree_on_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        let read = std::thread::scope(|scope| {
            let (start, folder) = (&start, &folder);
            let starts: Vec<_> = (0..8_u8)
                .map(|number| {
                    scope.spawn(move || {
                        start.wait();
                        create(folder.path(), "master", &[number; 32]).unwrap()
                    })
                })
                .collect();
            starts.into_iter().map(|one| one.join().unwrap()).collect::<std::collections::HashSet<_>>()
        });
        assert_eq!(read.len(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
