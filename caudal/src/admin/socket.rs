//! The platform's unix socket for its administrator.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use caudal_directory::StreamControl;
use nix::unistd::geteuid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::message::{Answer, Request};
use crate::standalone::open_folder;

/// [`serve`]s; where that cannot be, a warning says why. The platform goes on without: not every file system that can hold
/// its data can hold a socket.
pub async fn serve_if_possible(folder: PathBuf, control: Arc<dyn StreamControl>, stop: CancellationToken) {
    if let Err(error) = serve(folder.clone(), control, stop.clone()).await {
        tracing::warn!(folder = %folder.display(), %error, "`caudal admin` cannot be used: no socket can be made");
        stop.cancelled().await;
    }
}

/// Takes requests in `folder`, which is made, and is the platform's user's alone whatever its mode was. Returns after
/// `stop`.
///
/// # Errors
/// When the folder or the socket cannot be made.
async fn serve(folder: PathBuf, control: Arc<dyn StreamControl>, stop: CancellationToken) -> io::Result<()> {
    let opened = make_folder(&folder)?;
    let path = socket_in(&opened);
    // Left by a platform that was killed: whoever calls this holds the data folder's lock.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    let (requests, slots) = (TaskTracker::new(), Arc::new(Semaphore::new(MAX_REQUESTS)));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let connection = match accepted {
            Ok((connection, _)) => connection,
            Err(error) => {
                tracing::warn!(%error, "the administrator's socket");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // More than anybody asks at once: closed.
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let (control, stop) = (Arc::clone(&control), stop.clone());
        requests.spawn(async move {
            if let Some(Err(error)) = stop.run_until_cancelled(attend(connection, &*control)).await {
                tracing::debug!(%error, "an administrator's request");
            }
            drop(slot);
        });
    }
    requests.close();
    requests.wait().await;
    let _ = fs::remove_file(&path);
    Ok(())
}

async fn attend(mut connection: UnixStream, control: &dyn StreamControl) -> io::Result<()> {
    let line = read_line(&mut connection, PEER_DEADLINE).await?;
    let answer = match serde_json::from_slice(&line) {
        Ok(request) => carry_out(request, control).await,
        Err(error) => Answer::Refused { reason: format!("this version does not know the request: {error}") },
    };
    write_line(&mut connection, &answer).await
}

async fn carry_out(request: Request, control: &dyn StreamControl) -> Answer {
    let Request::Move { stream } = request;
    match control.move_stream(stream).await {
        Ok(moved) => Answer::Moved {
            from: moved.from,
            to: moved.to,
            epoch: moved.epoch,
            stepped_in: moved.stepped_in,
            took_ms: u64::try_from(moved.took.as_millis()).unwrap_or(u64::MAX),
        },
        Err(error) => {
            // What was begun, the controller says the end of.
            tracing::info!(%stream, %error, "a move was asked for and not made");
            Answer::Refused { reason: error.to_string() }
        }
    }
}

/// Asks the platform whose socket is in `folder`.
///
/// # Errors
/// When none is there, or none answers.
pub async fn ask(folder: &Path, request: &Request) -> io::Result<Answer> {
    let folder = open_folder(folder)?;
    let connecting = timeout(PEER_DEADLINE, UnixStream::connect(socket_in(&folder)));
    let mut connection = connecting.await.map_err(|_| io::ErrorKind::TimedOut)??;
    write_line(&mut connection, request).await?;
    let line = read_line(&mut connection, ANSWER_DEADLINE).await?;
    Ok(serde_json::from_slice(&line)?)
}

/// Through the opened folder: a socket's address has room for 107 bytes, and a data folder's path may have more.
fn socket_in(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{FILE}", folder.as_raw_fd()))
}

/// A folder that only this process's user can enter, and no link to one.
fn make_folder(path: &Path) -> io::Result<File> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let folder = open_folder(path)?;
    if folder.metadata()?.uid() != geteuid().as_raw() {
        return Err(io::Error::other("a folder of another user's is there"));
    }
    folder.set_permissions(fs::Permissions::from_mode(0o700))?;
    Ok(folder)
}

async fn read_line(connection: &mut UnixStream, deadline: Duration) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let read = async {
        let mut chunk = [0_u8; 512];
        while !line.contains(&b'\n') {
            let length = connection.read(&mut chunk).await?;
            if length == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            line.extend(chunk.iter().take(length));
            if line.len() > LONGEST_LINE {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
        }
        Ok(())
    };
    timeout(deadline, read).await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(line)
}

async fn write_line(connection: &mut UnixStream, message: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    timeout(PEER_DEADLINE, connection.write_all(&line)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

const FILE: &str = "socket";
const MAX_REQUESTS: usize = 16;
const LONGEST_LINE: usize = 4096;
/// For a request, and for its answer to be taken.
const PEER_DEADLINE: Duration = Duration::from_secs(5);
/// For the answer to a request: a move has deadlines of its own, and they end before.
const ANSWER_DEADLINE: Duration = Duration::from_secs(90);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
