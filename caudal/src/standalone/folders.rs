//! The data folder, and the lock that keeps a second platform out of it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::geteuid;

use crate::secrets::SECRETS;
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
        let passage = if geteuid().is_root() { Passage::ForAll } else { Passage::AsTheUmaskSays };
        let name = settings.given.name("CAUDAL_DATA_DIR");
        make(&data, passage).with_context(|| format!("{name}: cannot make {}", data.display()))?;
        let data = data.canonicalize().with_context(|| format!("{name}: {}", data.display()))?;
        let lock = lock(&data.join("lock"), &name)?;
        let media = settings.storage.hls_path.clone().unwrap_or_else(|| data.join(MEDIA));
        Ok(Self { data, media, _lock: lock })
    }

    /// For [`crate::secrets::MasterSecret`].
    pub fn secrets(&self) -> PathBuf {
        self.data.join(SECRETS)
    }

    /// The database, if it is our own.
    pub fn postgres(&self) -> PathBuf {
        self.data.join(POSTGRES)
    }

    /// For the administrator's socket.
    pub fn admin(&self) -> PathBuf {
        self.data.join(ADMIN)
    }

    /// For the local directory.
    pub fn streams(&self) -> PathBuf {
        self.data.join(STREAMS)
    }
}

/// Opens a folder without following a link. Modes and owners are changed through the opened folder, not by path: a user who
/// can write beside it could have put a link to somebody else's file in its place.
pub fn open_folder(folder: &Path) -> io::Result<File> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    File::options().read(true).custom_flags(flags.bits()).open(folder)
}

/// Which users can pass through a folder that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    /// All, whatever the umask is: when root starts the platform, PostgreSQL runs as another user.
    ForAll,
    /// Those whom the umask allows: PostgreSQL runs as this process's user.
    AsTheUmaskSays,
}

/// Makes a folder, and those above it that are missing, which only this process's user can write to. A folder that is there
/// already keeps its mode.
fn make(folder: &Path, passage: Passage) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let mut missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    while let Some(outermost) = missing.pop() {
        match fs::DirBuilder::new().mode(FOLDER_MODE).create(outermost) {
            // Somebody else made it meanwhile, and its mode is theirs.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && outermost.is_dir() => continue,
            made => made?,
        }
        if passage == Passage::ForAll {
            open_folder(outermost)?.set_permissions(fs::Permissions::from_mode(FOLDER_MODE))?;
        }
    }
    if folder.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// `setting` is what names the data folder.
fn lock(path: &Path, setting: &str) -> anyhow::Result<Flock<File>> {
    // Not emptied: in a data folder that was somebody's before, it may be theirs.
    let file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, Errno::EWOULDBLOCK)) => {
            let holder = holder_of(&file).map(|process| format!(" (process {process})")).unwrap_or_default();
            bail!(
                "{} is in use by another caudal{holder}; end that one, or set {setting} to another folder",
                path.display()
            )
        }
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Who holds the lock on `file`, where the kernel tells it: not of a process in another container, nor on file systems that show
/// another device than they have.
fn holder_of(file: &File) -> Option<u32> {
    let metadata = file.metadata().ok()?;
    let (major, minor) = (nix::sys::stat::major(metadata.dev()), nix::sys::stat::minor(metadata.dev()));
    let place = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    holder_in(&fs::read_to_string("/proc/locks").ok()?, &place)
}

/// The process that has a lock on the file at `place` in the list `locks`, proc_locks(5). Those who wait for it stand behind an
/// arrow.
fn holder_in(locks: &str, place: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        (fields.next() == Some("FLOCK")).then_some(())?;
        let process = fields.nth(2)?;
        (fields.next() == Some(place)).then_some(())?;
        process.parse().ok().filter(|process| *process > 0)
    })
}

/// Where data is kept unless somebody says otherwise; nowhere for a user without a home.
pub fn default_data_folder() -> Option<PathBuf> {
    if geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/caudal"));
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let share = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    Some(share?.join("caudal"))
}

/// The subfolder for the database.
pub const POSTGRES: &str = "postgres";
/// The subfolder for the database's unix socket.
pub const POSTGRES_SOCKET: &str = "postgres.socket";
/// The subfolder for segments, unless `HLS_PATH` is set.
pub const MEDIA: &str = "media";
/// The subfolder for the administrator's socket.
pub const ADMIN: &str = "admin";
const STREAMS: &str = "streams";
/// Subfolders of the data folder reserved for the platform. PostgreSQL refuses a database with strange files in it, and what
/// is in the others is not for a file server.
pub const OURS_ALONE: [&str; 5] = [POSTGRES, POSTGRES_SOCKET, SECRETS, STREAMS, ADMIN];
/// Others may pass through and look, not write.
const FOLDER_MODE: u32 = 0o755;

#[cfg(test)]
mod tests {
    use super::*;

    /// With other umasks: `tests/start/folders.rs`.
    #[test]
    fn folders_that_are_made_let_everybody_pass_and_others_keep_their_mode() {
        let parent = tempfile::tempdir().unwrap();
        let mode = |folder: &Path| fs::metadata(folder).unwrap().permissions().mode() & 0o777;
        let set_mode =
            |folder: &Path, bits| fs::set_permissions(folder, fs::Permissions::from_mode(bits)).unwrap();
        set_mode(parent.path(), 0o700);
        let data = parent.path().join("srv/data");
        make(&data, Passage::ForAll).unwrap();
        assert_eq!(
            (mode(parent.path()), mode(&parent.path().join("srv")), mode(&data)),
            (0o700, 0o755, 0o755)
        );
        set_mode(&data, 0o777);
        for passage in [Passage::ForAll, Passage::AsTheUmaskSays] {
            make(&data, passage).unwrap();
            assert_eq!(mode(&data), 0o777, "it was there");
        }
        fs::write(data.join("file"), "").unwrap();
        assert!(make(&data.join("file"), Passage::AsTheUmaskSays).is_err());
    }

    #[test]
    fn a_folder_is_opened_and_a_link_or_a_file_in_its_place_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let [folder, link, file] = ["folder", "link", "file"].map(|name| parent.path().join(name));
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        fs::write(&file, "").unwrap();
        assert!(open_folder(&folder).unwrap().metadata().unwrap().is_dir());
        assert!(open_folder(&link).is_err() && open_folder(&file).is_err());
    }

    #[test]
    fn whoever_holds_a_lock_is_found_among_all_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:00:4711 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 fe:00:4712 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 fe:00:4711 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 14 fe:00:4711 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 0 fe:00:4713 0 EOF\n";
        assert_eq!(holder_in(locks, "fe:00:4711"), Some(13));
        assert_eq!(holder_in(locks, "fe:00:4713"), None, "a process of another container");
        assert_eq!(holder_in(locks, "fe:00:1"), None);
    }

    #[test]
    fn a_folder_that_is_in_use_is_refused_and_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = lock(&path, "CAUDAL_DATA_DIR").unwrap();
        let refused = lock(&path, "--data-dir").unwrap_err().to_string();
        assert!(refused.contains("in use") && refused.contains("set --data-dir to"), "{refused}");
        drop(first);
        assert!(lock(&path, "CAUDAL_DATA_DIR").is_ok());
    }
}
