//! The folder of PostgreSQL's unix socket.

use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::time::sleep;

use super::installed::Owner;
use crate::standalone::folders::{POSTGRES_SOCKET, open_folder};

/// Where the socket for the database in `data` is: in the data folder, which stays for as long as the database does.
/// A runtime folder does not, because logind removes a user's at the last log-out, and serves only where the data folder
/// cannot.
pub fn folder(data: &Path, owner: &Owner) -> PathBuf {
    let own = data.join(POSTGRES_SOCKET);
    if fits(&own) && owner.barred_from(data).is_none() { own } else { runtime_folder(data) }
}

/// A folder that only PostgreSQL's user can enter. One that is somebody else's, or a link, is refused: in a shared
/// temporary folder it could have been put there for us.
pub fn make_folder(path: &Path, owner: &Owner) -> io::Result<()> {
    let made = match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        made => made.map(|()| true)?,
    };
    let folder = open_folder(path)?;
    let found = folder.metadata()?;
    if owner.owns(&found) {
        // As it should be.
    } else if found.uid() == geteuid().as_raw() && (made || is_empty(&folder)?) {
        // Made just now, or by a start that was killed before it gave the folder away. What has something in it may be
        // another folder of ours that somebody has moved here.
        owner.give(&folder)?;
    } else {
        return Err(io::Error::other("a folder of another user's is there"));
    }
    if found.permissions().mode() & 0o777 == 0o700 {
        return Ok(());
    }
    folder.set_permissions(fs::Permissions::from_mode(0o700))
}

/// Whether there is nothing in the folder that was opened, whatever is at its path by now.
fn is_empty(folder: &fs::File) -> io::Result<bool> {
    let mut entries = nix::dir::Dir::from_fd(folder.try_clone()?.into())?;
    Ok(entries
        .iter()
        .all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b".."))))
}

/// Whether somebody removed the socket, which PostgreSQL itself does not notice. What cannot be looked at may be there.
pub fn is_missing(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(FILE)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Waits until the socket is missing. The kernel could tell of it, but for a removed folder only with a watch on each
/// folder above.
pub async fn removed(folder: &Path, look_every: Duration) {
    while !is_missing(folder) {
        sleep(look_every).await;
    }
}

/// The folder as the host of a URL, in which almost every character but letters and digits has a meaning.
pub fn url_host(folder: &Path) -> String {
    let mut host = String::new();
    for byte in folder.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            host.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(host, "%{byte:02X}");
        }
    }
    host
}

/// Whether PostgreSQL can have its socket there. It reads the folder from a list with commas and quotes, and writes it
/// into a line of `postmaster.pid`.
fn fits(folder: &Path) -> bool {
    let plain = |text: &str| text.chars().all(|one| one.is_alphanumeric() || "/-._~+ ".contains(one));
    folder.to_str().is_some_and(plain) && folder.join(FILE).as_os_str().len() <= LONGEST_PATH
}

fn runtime_folder(data: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    let runtime = if geteuid().is_root() {
        PathBuf::from("/run")
    } else {
        let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
        given.unwrap_or_else(std::env::temp_dir)
    };
    runtime.join(format!("caudal-{}-{:08x}", geteuid(), hasher.finish() & 0xffff_ffff))
}

/// With the port that clients look for unless they are told another.
const FILE: &str = ".s.PGSQL.5432";
/// Bytes of a unix socket's path (`sun_path` without its end).
const LONGEST_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_socket_is_in_the_data_folder_unless_its_path_is_too_long_or_not_plain() {
        let owner = Owner::find().unwrap();
        let longest = format!("/{}", "d".repeat(LONGEST_PATH - POSTGRES_SOCKET.len() - FILE.len() - 3));
        for data in ["/caudal", "/srv/J\u{fc}rgens streams", longest.as_str()] {
            assert_eq!(folder(Path::new(data), &owner), Path::new(data).join(POSTGRES_SOCKET));
        }
        let too_long = format!("{longest}d");
        for data in [too_long.as_str(), "/srv/a,b", "/srv/a\"b", "/srv/a\nb"] {
            assert!(!folder(Path::new(data), &owner).starts_with(data), "{data}");
        }
    }

    #[test]
    fn a_folder_of_any_name_is_one_host_of_a_url() {
        assert_eq!(url_host(Path::new("/srv/a b@c%\u{fc}")), "%2Fsrv%2Fa%20b%40c%25%C3%BC");
    }

    #[test]
    fn a_socket_folder_that_was_put_there_by_somebody_is_refused_and_left() {
        let runtime = tempfile::tempdir().unwrap();
        let owner = Owner::find().unwrap();
        let theirs = runtime.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
        let link = runtime.path().join("link");
        symlink(&theirs, &link).unwrap();
        assert!(make_folder(&link, &owner).is_err());
        assert_eq!(fs::metadata(&theirs).unwrap().permissions().mode() & 0o777, 0o755);

        let ours = runtime.path().join("ours");
        make_folder(&ours, &owner).unwrap();
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o755)).unwrap();
        make_folder(&ours, &owner).unwrap();
        assert_eq!(fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_start_that_was_killed_before_it_gave_the_folder_away_hinders_no_later_one() {
        let runtime = tempfile::tempdir().unwrap();
        let owner = Owner::find().unwrap();
        let folder = runtime.path().join("made");
        fs::create_dir(&folder).unwrap();
        make_folder(&folder, &owner).unwrap();
        let found = fs::metadata(&folder).unwrap();
        assert!(owner.owns(&found));
        assert_eq!(found.permissions().mode() & 0o777, 0o700);
    }

    /// Only root's PostgreSQL has another user; for anybody else this shows nothing.
    #[test]
    fn a_folder_of_ours_that_was_moved_there_is_not_given_away() {
        let runtime = tempfile::tempdir().unwrap();
        let owner = Owner::find().unwrap();
        let secrets = runtime.path().join("secrets");
        fs::create_dir(&secrets).unwrap();
        fs::write(secrets.join("master"), "secret").unwrap();
        assert_eq!(make_folder(&secrets, &owner).is_err(), geteuid().is_root());
        assert_eq!(fs::metadata(&secrets).unwrap().uid(), geteuid().as_raw());
    }
}
