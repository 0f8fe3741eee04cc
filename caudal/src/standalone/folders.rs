//! The data folder, and the lock that keeps a second platform out of it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

use crate::settings::Settings;

/// Where everything that lasts is.
pub struct Folders {
    /// The data folder itself.
    pub data: PathBuf,
    /// The segments.
    pub media: PathBuf,
    // Held, not used: the kernel lets go of it when the process ends, however it ends.
    _lock: Flock<File>,
}

impl Folders {
    /// Makes what is missing, and locks it.
    ///
    /// # Errors
    /// When a folder cannot be made, or another platform has it.
    pub fn open(settings: &Settings) -> anyhow::Result<Self> {
        let data = match &settings.data_dir {
            Some(folder) => folder.clone(),
            None => default_data_folder().context("there is no HOME to keep data in; set CAUDAL_DATA_DIR")?,
        };
        // PostgreSQL, which does not run as root, must be able to pass through, whatever root's umask is.
        let mode = geteuid().is_root().then(|| fs::Permissions::from_mode(0o755));
        make(&data, mode.as_ref())
            .with_context(|| format!("CAUDAL_DATA_DIR: cannot make {}", data.display()))?;
        let data = data.canonicalize().with_context(|| format!("CAUDAL_DATA_DIR: {}", data.display()))?;
        let lock = lock(&data.join("lock"))?;
        let media = settings.storage.hls_path.clone().unwrap_or_else(|| data.join("media"));
        Ok(Self { data, media, _lock: lock })
    }

    /// For [`crate::secrets::MasterSecret`].
    pub fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }

    /// The database, if it is our own.
    pub fn postgres(&self) -> PathBuf {
        self.data.join("postgres")
    }

    /// For the local directory.
    pub fn streams(&self) -> PathBuf {
        self.data.join("streams")
    }
}

/// Makes a folder, and those above it that are missing, with this mode or the one that the umask leaves. A folder that is
/// there already keeps its own.
fn make(folder: &Path, mode: Option<&fs::Permissions>) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let mut missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    while let Some(outermost) = missing.pop() {
        match fs::create_dir(outermost) {
            // Somebody else made it meanwhile, and its mode is theirs.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && outermost.is_dir() => continue,
            made => made?,
        }
        if let Some(mode) = mode {
            fs::set_permissions(outermost, mode.clone())?;
        }
    }
    if folder.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

fn lock(path: &Path) -> anyhow::Result<Flock<File>> {
    // Not emptied: in a data folder that was somebody's before, it may be theirs.
    let file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => {
            bail!("{} is in use by another caudal; end that one, or set CAUDAL_DATA_DIR", path.display())
        }
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Those in the data folder in which nothing else may be. PostgreSQL refuses a database with strange files in it, and what
/// is in the others is not for a file server.
pub const OURS_ALONE: [&str; 4] = ["postgres", "postgres.socket", "secrets", "streams"];

/// Where data is kept unless somebody says otherwise; nowhere for a user without a home.
pub fn default_data_folder() -> Option<PathBuf> {
    if geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/caudal"));
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let share = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    Some(share?.join("caudal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_made_get_their_mode_whatever_the_umask_is_and_others_keep_theirs() {
        let parent = tempfile::tempdir().unwrap();
        let mode = |folder: &Path| fs::metadata(folder).unwrap().permissions().mode() & 0o777;
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let data = parent.path().join("srv/data");
        // More than the usual umask leaves.
        make(&data, Some(&fs::Permissions::from_mode(0o777))).unwrap();
        assert_eq!(
            (mode(parent.path()), mode(&parent.path().join("srv")), mode(&data)),
            (0o700, 0o777, 0o777)
        );
        make(&data, Some(&fs::Permissions::from_mode(0o755))).unwrap();
        assert_eq!(mode(&data), 0o777, "it was there");
        fs::write(data.join("file"), "").unwrap();
        assert!(make(&data.join("file"), None).is_err());
    }

    #[test]
    fn a_folder_that_is_in_use_is_refused_and_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = lock(&path).unwrap();
        assert!(lock(&path).unwrap_err().to_string().contains("in use"));
        drop(first);
        assert!(lock(&path).is_ok());
    }
}
