//! The platform's unix socket for its administrator.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use caudal_api::WantedRole;
use caudal_directory::{MoveError, StreamControl};
use caudal_livestream::WorkerId;
use nix::unistd::geteuid;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::message::{Answer, ListedStream, ListedWorker, Request};
use crate::standalone::open_folder;

/// What an administrator may ask of.
pub struct Platform {
    /// The streams.
    pub control: Arc<dyn StreamControl>,
    /// The process of a worker of this machine.
    pub process_of: Box<dyn Fn(WorkerId) -> Option<u32> + Send + Sync>,
    /// The workers of this machine, the oldest first.
    pub workers: Box<dyn Fn() -> Vec<ListedWorker> + Send + Sync>,
    /// The accounts; none where the api is another process.
    pub accounts: Option<Accounts>,
}

/// Accounts, as far as an administrator has to do with them.
pub struct Accounts {
    /// The api's database.
    pub database_url: SecretString,
    /// The pages, as the world sees them.
    pub public_url: String,
}

impl Accounts {
    /// A link to a new password for whoever has this name.
    pub async fn reset_password(&self, name: &str) -> Result<String, String> {
        caudal_api::password_reset_link(&self.database_url, &self.public_url, name).await
    }
}

/// [`serve`]s; where that cannot be, a warning says why. The platform goes on without: not every file system that can hold
/// its data can hold a socket.
pub async fn serve_if_possible(folder: PathBuf, platform: Arc<Platform>, stop: CancellationToken) {
    if let Err(error) = serve(folder.clone(), platform, stop.clone()).await {
        tracing::warn!(folder = %folder.display(), %error, "`caudal admin` cannot be used: no socket can be made");
        stop.cancelled().await;
    }
}

/// Takes requests in `folder`, which is made, and is the platform's user's alone whatever its mode was. Returns after
/// `stop`.
///
/// # Errors
/// When the folder or the socket cannot be made.
async fn serve(folder: PathBuf, platform: Arc<Platform>, stop: CancellationToken) -> io::Result<()> {
    let opened = make_folder(&folder)?;
    let path = socket_in(&opened);
    // Left by a platform that was killed: whoever calls this holds the data folder's lock.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    let (requests, slots) = (TaskTracker::new(), Arc::new(Semaphore::new(MAX_REQUESTS)));
    let (mut listening, mut silent) = (JoinSet::new(), VecDeque::new());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(heard) = listening.join_next() => {
                if let Ok(Some((connection, line))) = heard {
                    requests.spawn(attend(connection, line, Arc::clone(&platform), Arc::clone(&slots), stop.clone()));
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((connection, _)) => {
                make_room(&mut silent);
                silent.push_back(listening.spawn(hear(connection)));
            }
            Err(error) => {
                tracing::warn!(%error, "the administrator's socket");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    listening.shutdown().await;
    requests.close();
    requests.wait().await;
    let _ = fs::remove_file(&path);
    Ok(())
}

/// Whoever has said nothing for longest gives way to whoever may be about to speak.
fn make_room(silent: &mut VecDeque<AbortHandle>) {
    silent.retain(|connection| !connection.is_finished());
    while silent.len() >= MAX_SILENT
        && let Some(oldest) = silent.pop_front()
    {
        oldest.abort();
    }
}

/// What a connection asks for; none of one that asks for nothing.
async fn hear(mut connection: UnixStream) -> Option<(UnixStream, io::Result<Vec<u8>>)> {
    match read_line(&mut connection, LONGEST_REQUEST, PEER_DEADLINE).await {
        Err(error) if error.kind() != io::ErrorKind::FileTooLarge => {
            tracing::debug!(%error, "an administrator's request");
            None
        }
        line => Some((connection, line)),
    }
}

async fn attend(
    mut connection: UnixStream,
    line: io::Result<Vec<u8>>,
    platform: Arc<Platform>,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
) {
    let refused = |reason: String| Answer::Refused { reason };
    let answered = async {
        let answer = match (&line, slots.try_acquire()) {
            (Err(_), _) => refused(format!("the request is longer than {LONGEST_REQUEST} bytes")),
            (_, Err(_)) => {
                refused(format!("{MAX_REQUESTS} requests are being carried out; try again in a moment"))
            }
            (Ok(line), Ok(_slot)) => match serde_json::from_slice(line) {
                Ok(request) => carry_out(request, &platform).await,
                Err(error) => refused(format!("this version does not know the request: {error}")),
            },
        };
        write_line(&mut connection, &answer).await?;
        if line.is_err() {
            drain(&mut connection).await;
        }
        Ok::<_, io::Error>(())
    };
    if let Some(Err(error)) = stop.run_until_cancelled(answered).await {
        tracing::debug!(%error, "an administrator's request");
    }
}

/// Takes what is still being sent, for a moment: a connection that is closed over unread bytes is reset, and its answer is
/// lost with it.
async fn drain(connection: &mut UnixStream) {
    let _ = connection.shutdown().await;
    let rest = async {
        let mut chunk = [0_u8; 4096];
        while connection.read(&mut chunk).await.is_ok_and(|length| length > 0) {}
    };
    let _ = timeout(DRAIN_WITHIN, rest).await;
}

async fn carry_out(request: Request, platform: &Platform) -> Answer {
    let stream = match request {
        Request::Streams {} => return Answer::Streams { streams: listed(platform) },
        Request::Workers {} => return Answer::Workers { workers: (platform.workers)() },
        Request::SetRole { name, admin } => return set_role(platform, &name, admin).await,
        Request::ResetPassword { name } => {
            let Some(accounts) = &platform.accounts else {
                return Answer::Refused { reason: NO_ACCOUNTS.to_owned() };
            };
            return match accounts.reset_password(&name).await {
                Ok(link) => Answer::ResetLink { link },
                Err(reason) => Answer::Refused { reason },
            };
        }
        Request::Move { stream } => stream,
    };
    match platform.control.move_stream(stream).await {
        Ok(moved) => Answer::Moved {
            from: moved.from,
            to: moved.to,
            epoch: moved.epoch,
            stepped_in: moved.stepped_in,
            lost_ms: moved.lost_ms,
            took_ms: u64::try_from(moved.took.as_millis()).unwrap_or(u64::MAX),
        },
        Err(error) => {
            // What was begun, the controller says the end of.
            tracing::info!(%stream, %error, "a move was asked for and not made, or failed");
            match error {
                MoveError::Unknown => Answer::Refused { reason: NOT_ON_THE_AIR.to_owned() },
                error if error.has_left() => Answer::Failed { reason: error.to_string() },
                error => Answer::Refused { reason: error.to_string() },
            }
        }
    }
}

async fn set_role(platform: &Platform, name: &str, admin: bool) -> Answer {
    let Some(Accounts { database_url, .. }) = &platform.accounts else {
        return Answer::Refused { reason: NO_ACCOUNTS.to_owned() };
    };
    let wanted = if admin { WantedRole::Admin } else { WantedRole::User };
    match caudal_api::set_role_by_name(database_url, name, wanted).await {
        Ok(words) => Answer::Told { words },
        Err(reason) => Answer::Refused { reason },
    }
}

/// Ids are made in the order of time.
fn listed(platform: &Platform) -> Vec<ListedStream> {
    let mut records = platform.control.running();
    records.sort_unstable_by_key(|record| record.spec.stream.0);
    let list = records.iter().map(|record| {
        let worker = record.status.worker.map(|address| address.worker);
        ListedStream {
            stream: record.spec.stream,
            channel: record.spec.channel.clone(),
            phase: record.status.phase,
            epoch: record.status.epoch,
            next: record.status.next.map(|next| next.epoch),
            worker,
            pid: worker.and_then(|worker| (platform.process_of)(worker)),
        }
    });
    list.collect()
}

/// Through the opened folder: a socket's address has room for 107 bytes, and a data folder's path may have more.
pub(super) fn socket_in(folder: &File) -> PathBuf {
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

pub(super) async fn read_line(
    connection: &mut UnixStream,
    longest: usize,
    deadline: Duration,
) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let read = async {
        let mut chunk = [0_u8; 512];
        while !line.contains(&b'\n') {
            let length = connection.read(&mut chunk).await?;
            if length == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            line.extend(chunk.iter().take(length));
            if line.len() > longest {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
        }
        Ok(())
    };
    timeout(deadline, read).await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(line)
}

pub(super) async fn write_line(
    connection: &mut UnixStream,
    message: &impl serde::Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    timeout(PEER_DEADLINE, connection.write_all(&line)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

const FILE: &str = "socket";
/// Being carried out at once.
const MAX_REQUESTS: usize = 16;
/// Connections that have not asked yet. A request comes in one piece, with the connection.
const MAX_SILENT: usize = 16;
const LONGEST_REQUEST: usize = 4096;
/// For a request, and for its answer to be taken.
pub(super) const PEER_DEADLINE: Duration = Duration::from_secs(5);
const DRAIN_WITHIN: Duration = Duration::from_secs(1);
/// To an operator, "no such stream" of an address that the studio shows would be a riddle.
const NOT_ON_THE_AIR: &str = "it is not on the air here. A stream that is only prepared begins when its encoder sends; one that \
                              ended more than ten minutes ago is forgotten; `caudal admin streams` lists all others";
const NO_ACCOUNTS: &str = "a controller has no accounts; run this where the api runs, with DATABASE_URL (or DATABASE_URL_FILE) and \
                            CAUDAL_PUBLIC_API_URL as it has them";
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
