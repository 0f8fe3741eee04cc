//! The administrator's side of the socket, and what is in the way when nobody answers.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Uid, User, geteuid};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::message::{Answer, Request};
use super::socket::{PEER_DEADLINE, read_line, socket_in, write_line};
use crate::settings::shown;
use crate::standalone::open_folder;

/// Asks the platform whose socket is in `folder`.
///
/// # Errors
/// When none is there, or none answers.
pub async fn ask(folder: &Path, request: &Request) -> io::Result<Answer> {
    let folder = open_folder(folder)?;
    let connecting = timeout(PEER_DEADLINE, UnixStream::connect(socket_in(&folder)));
    let mut connection = connecting.await.map_err(|_| io::ErrorKind::TimedOut)??;
    write_line(&mut connection, request).await?;
    let deadline = match request {
        Request::Move { .. } => MOVE_DEADLINE,
        Request::Streams {} | Request::Workers {} => PEER_DEADLINE,
        Request::SetRole { .. } | Request::ResetPassword { .. } => DATABASE_DEADLINE,
    };
    let line = read_line(&mut connection, LONGEST_ANSWER, deadline).await?;
    Ok(serde_json::from_slice(&line)?)
}

/// Why no platform of the data folder `data` was heard, and what to do about it.
pub fn obstacle(data: &Path, error: &io::Error) -> String {
    let folder = shown(data.as_os_str());
    match error.kind() {
        io::ErrorKind::InvalidFilename => {
            format!(
                "{folder}: no data folder has so long a name; expected the one that the platform runs with"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "only the platform's own user may do this, and you are {}: run this as {}, as in: sudo -u {} caudal admin …",
            name_of(geteuid()),
            owner_of(data).map_or_else(|| "that one".to_owned(), name_of),
            owner_of(data).map_or_else(|| "USER".to_owned(), name_of),
        ),
        io::ErrorKind::NotADirectory if data.is_file() => {
            format!("{folder} is a file; expected the data folder that the platform runs with")
        }
        io::ErrorKind::NotFound if !data.is_dir() => format!(
            "there is no data folder {folder}: expected the one that the platform runs with; give it by --data-dir or --config \
             (CAUDAL_DATA_DIR, CAUDAL_CONFIG)"
        ),
        // Nobody listens, or nobody ever has.
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "no platform or controller runs with the data folder {folder}: start it, or give the folder of the one that runs by --data-dir or \
             --config (CAUDAL_DATA_DIR, CAUDAL_CONFIG). If it runs, its log says why it cannot be asked"
        ),
        io::ErrorKind::TimedOut => {
            format!("the platform of {folder} does not answer: look at its log, and try again")
        }
        _ => format!(
            "the platform of {folder} ended the conversation ({error}): look at its log, and try again"
        ),
    }
}

/// The owner of the data folder, or of the first one above it that may be looked at.
fn owner_of(data: &Path) -> Option<Uid> {
    let metadata = data.ancestors().find_map(|folder| folder.metadata().ok())?;
    Some(Uid::from_raw(metadata.uid()))
}

fn name_of(user: Uid) -> String {
    User::from_uid(user).ok().flatten().map_or_else(|| format!("#{user}"), |user| user.name)
}

/// A thousand broadcasts of 300 bytes.
const LONGEST_ANSWER: usize = 1024 * 1024;
/// Connecting and the change itself have deadlines of their own, and they end before.
const DATABASE_DEADLINE: Duration = Duration::from_secs(20);
/// A move has deadlines of its own, and they end before.
const MOVE_DEADLINE: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_said_with_what_to_do() {
        let data = tempfile::tempdir().unwrap();
        let here = data.path();
        let owner = name_of(geteuid());
        for (folder, kind, expected) in [
            (
                here,
                io::ErrorKind::PermissionDenied,
                format!("run this as {owner}, as in: sudo -u {owner} caudal"),
            ),
            (
                here,
                io::ErrorKind::NotFound,
                format!("no platform or controller runs with the data folder {here:?}"),
            ),
            (
                here,
                io::ErrorKind::ConnectionRefused,
                "no platform or controller runs with the data folder".to_owned(),
            ),
            (
                Path::new("/nowhere/at/all"),
                io::ErrorKind::NotFound,
                "there is no data folder \"/nowhere".to_owned(),
            ),
            (Path::new("/etc/passwd"), io::ErrorKind::NotADirectory, "\"/etc/passwd\" is a file".to_owned()),
            (
                Path::new(&"x".repeat(5000)),
                io::ErrorKind::InvalidFilename,
                "xxx\"…: no data folder".to_owned(),
            ),
            (here, io::ErrorKind::TimedOut, "does not answer".to_owned()),
            (here, io::ErrorKind::UnexpectedEof, "ended the conversation".to_owned()),
        ] {
            let said = obstacle(folder, &kind.into());
            assert!(said.contains(&expected) && said.len() < 600, "{said}");
            let starts =
                matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) && folder == here;
            assert_eq!(said.contains("start it"), starts, "{said}");
        }
    }
}
