//! Transcoder workers as children of this process: one idle one always warm, one for each stream.

mod idle_check;
mod worker_environment;
mod worker_lines;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_controller::{ClaimError, Claimed, Pool, Presence, Start, Workers};
use caudal_livestream::assignment::WorkerReady;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, StreamId, WorkerId};
use caudal_service::http_client::part_client;
use futures::future::BoxFuture;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::NamedTempFile;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, copy, sink};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::ListedWorker;

use idle_check::until_silent;
pub use worker_lines::WorkerLines;

/// How a worker is started.
#[derive(Clone, Debug)]
pub struct SupervisorConfig {
    /// What they run.
    pub program: PathBuf,
    /// What they are called, in `ps` for example.
    pub name: OsString,
    /// What makes it a worker.
    pub arguments: Vec<OsString>,
    /// All that a worker is told besides its id: nothing of this process's environment is passed on but
    /// [`PASSED_ON`].
    pub environment: Vec<(OsString, OsString)>,
    /// Secrets that the environment names by file; they go with the last owner of this.
    #[expect(dead_code, reason = "held for its files' lives, not read")]
    pub secrets: Vec<Arc<NamedTempFile>>,
    /// Where their log lines go.
    pub lines: WorkerLines,
}

/// The workers of this machine.
pub struct Supervisor {
    shared: Arc<Shared>,
}

struct Shared {
    config: SupervisorConfig,
    http: reqwest::Client,
    /// The warm worker, until somebody claims it or it dies.
    idle: watch::Sender<Option<WorkerAddress>>,
    // Held for map operations only, never across an await.
    children: Mutex<HashMap<WorkerId, Handle>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A child as others see it.
#[derive(Clone)]
struct Handle {
    address: WorkerAddress,
    pid: Option<u32>,
    /// Whom it was claimed for.
    claim: Option<(StreamId, Epoch)>,
    terminate: CancellationToken,
    exited: CancellationToken,
}

/// Why a worker did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is no process.
    #[error("a transcoder worker cannot be started: {0}")]
    Spawn(#[from] io::Error),
    /// It hangs.
    #[error("a transcoder worker did not say where it listens within {} s", READY_DEADLINE.as_secs())]
    Silent,
    /// It died.
    #[error("a transcoder worker ended without saying where it listens")]
    Ended,
    /// It is something else.
    #[error("the first line of a transcoder worker is not a worker's: {0}")]
    NotReady(#[from] serde_json::Error),
    /// It is another one.
    #[error("a transcoder worker calls itself {0}, which it is not")]
    Impostor(WorkerId),
    /// Workers could not be asked whether they answer.
    #[error("the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

impl Supervisor {
    /// Starts the first worker, and from then on keeps one warm.
    ///
    /// # Errors
    /// When that first one does not start: then none will.
    pub async fn start(config: SupervisorConfig) -> Result<Arc<Self>, StartError> {
        let supervisor = Arc::new(Self::idle(config)?);
        let first = supervisor.shared.start_worker().await?;
        let keeper = Arc::clone(&supervisor.shared);
        supervisor.shared.tasks.spawn(async move {
            let stop = keeper.stop.clone();
            stop.run_until_cancelled(keeper.keep_one_warm(first)).await;
        });
        Ok(supervisor)
    }

    /// One that has started nothing yet.
    fn idle(config: SupervisorConfig) -> Result<Self, StartError> {
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                http: part_client()?,
                idle: watch::Sender::new(None),
                children: Mutex::default(),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        })
    }

    /// The same, as the controller knows it.
    pub fn workers(self: &Arc<Self>) -> Arc<dyn Workers> {
        self.clone()
    }

    /// The process of a worker that runs.
    pub fn process_of(&self, worker: WorkerId) -> Option<u32> {
        self.shared.child(worker)?.pid
    }

    /// Those that run, the oldest first: ids are made in the order of time.
    pub fn listed(&self) -> Vec<ListedWorker> {
        let listed = |(worker, child): (&WorkerId, &Handle)| {
            let (stream, epoch) = child.claim.unzip();
            ListedWorker { worker: *worker, pid: child.pid, stream, epoch }
        };
        let mut workers: Vec<_> = self.shared.children().iter().map(listed).collect();
        workers.sort_unstable_by_key(|listed| listed.worker.0);
        workers
    }

    /// Ends all workers: SIGTERM, and SIGKILL when that takes too long.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Workers for Supervisor {
    fn claim(
        &self,
        stream: StreamId,
        epoch: Epoch,
        _pool: &Pool,
    ) -> BoxFuture<'static, Result<Claimed, ClaimError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(shared.claim(stream, epoch).await) })
    }

    /// Workers are children of this process: one that is not there has ended.
    fn exited(&self, worker: WorkerId) -> BoxFuture<'static, Presence> {
        let child = self.shared.child(worker);
        Box::pin(async move {
            if let Some(child) = child {
                child.exited.cancelled().await;
            }
            Presence::Gone
        })
    }

    fn release(&self, worker: WorkerId) -> BoxFuture<'static, Presence> {
        let child = self.shared.child(worker);
        Box::pin(async move {
            if let Some(child) = child {
                child.terminate.cancel();
                child.exited.cancelled().await;
            }
            Presence::Gone
        })
    }

    fn withdraw_claim(&self, stream: StreamId, epoch: Epoch) -> BoxFuture<'static, ()> {
        Box::pin(end_all(self.shared.claimed_by(|claim| claim == (stream, epoch))))
    }

    fn withdraw(&self, stream: StreamId) -> BoxFuture<'static, ()> {
        Box::pin(end_all(self.shared.claimed_by(|(claimed, _)| claimed == stream)))
    }
}

impl Shared {
    async fn keep_one_warm(self: &Arc<Self>, first: WorkerAddress) {
        let mut worker = first;
        let mut pause = FIRST_PAUSE;
        loop {
            if self.until_claimed(worker).await {
                pause = FIRST_PAUSE;
            } else {
                pause = pause_after(pause).await;
            }
            worker = loop {
                match self.start_worker().await {
                    Ok(worker) => break worker,
                    Err(error) => tracing::error!(%error),
                }
                pause = pause_after(pause).await;
            };
        }
    }

    /// Offers a worker until somebody claims it (true), or it ends or hangs (false).
    async fn until_claimed(&self, worker: WorkerAddress) -> bool {
        self.idle.send_replace(Some(worker));
        if self.child(worker.worker).is_none() {
            // It ended before it was put there.
            self.not_idle(worker.worker);
        }
        let mut idle = self.idle.subscribe();
        tokio::select! {
            _ = idle.wait_for(Option::is_none) => {}
            () = until_silent(&self.http, worker) => {
                if self.not_idle(worker.worker)
                    && let Some(child) = self.child(worker.worker)
                {
                    tracing::warn!(worker = %worker.worker, "the idle worker does not answer; it is replaced");
                    child.terminate.cancel();
                    return false;
                }
            }
        }
        let claimed = self.child(worker.worker).is_some();
        if !claimed {
            tracing::warn!(worker = %worker.worker, "the idle worker ended");
        }
        claimed
    }

    async fn start_worker(self: &Arc<Self>) -> Result<WorkerAddress, StartError> {
        let id = WorkerId::generate();
        let mut command = Command::new(&self.config.program);
        command
            .arg0(&self.config.name)
            .args(&self.config.arguments)
            // As an argument, which `ps` and `pgrep -f` show: it is how the log names the worker.
            .arg(format!("--worker-id={id}"))
            .env_clear()
            .envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(self.config.environment.iter().map(|(name, value)| (name, value)))
            .env("CAUDAL_PARENT_PIPE", "stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C in the terminal is for us; we then end the streams in order.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("no pipes").into());
        };
        let exited = CancellationToken::new();
        // Also when it is no worker in the end: then its words say why.
        self.tasks.spawn(self.config.lines.clone().follow(id, stderr, exited.clone()));
        let not_started = exited.clone().drop_guard();
        let mut stdout = BufReader::new(stdout);
        // When this fails, `child` is dropped, and killed with that.
        let ready =
            timeout(READY_DEADLINE, first_line(&mut stdout)).await.map_err(|_| StartError::Silent)??;
        if ready.worker != id {
            return Err(StartError::Impostor(ready.worker));
        }
        not_started.disarm();
        let address = WorkerAddress { worker: id, rtmp: ready.rtmp, http: ready.http };
        let handle =
            Handle { address, pid: child.id(), claim: None, terminate: self.stop.child_token(), exited };
        self.children().insert(id, handle.clone());
        let shared = Arc::clone(self);
        self.tasks.spawn(async move { shared.attend(id, child, stdin, stdout, handle).await });
        Ok(address)
    }

    /// The worker that was claimed for this before, or the warm one, as soon as there is one. It is a cold start where none was.
    async fn claim(&self, stream: StreamId, epoch: Epoch) -> Claimed {
        let mut idle = self.idle.subscribe();
        let there = idle.borrow().is_some() || self.claimed_for(stream, epoch).is_some();
        let start = if there { Start::Warm } else { Start::Cold };
        loop {
            if let Some(worker) = self.claimed_for(stream, epoch) {
                return Claimed { worker, start };
            }
            let _ = idle.wait_for(Option::is_some).await;
            if let Some(worker) = self.claimed_for(stream, epoch) {
                return Claimed { worker, start };
            }
            let mut taken = None;
            self.idle.send_if_modified(|idle| {
                taken = idle.take();
                taken.is_some()
            });
            let Some(worker) = taken else { continue };
            // One that has died meanwhile is claimed all the same: whoever has it will see that it is gone.
            if let Some(child) = self.children().get_mut(&worker.worker) {
                child.claim = Some((stream, epoch));
            }
            return Claimed { worker, start };
        }
    }

    fn claimed_for(&self, stream: StreamId, epoch: Epoch) -> Option<WorkerAddress> {
        let children = self.children();
        let mut claims = children.values().filter(|child| child.claim == Some((stream, epoch)));
        claims.next().map(|child| child.address)
    }

    fn claimed_by(&self, wanted: impl Fn((StreamId, Epoch)) -> bool) -> Vec<Handle> {
        let claimed = |child: &&Handle| child.claim.is_some_and(&wanted);
        self.children().values().filter(claimed).cloned().collect()
    }

    /// Owns a worker until its process is gone.
    async fn attend(
        &self,
        id: WorkerId,
        mut child: Child,
        stdin: ChildStdin,
        mut stdout: BufReader<ChildStdout>,
        handle: Handle,
    ) {
        let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let mut rest = sink();
        let outcome = {
            let ended = end(&mut child, group, stdin, &handle.terminate);
            tokio::pin!(ended);
            tokio::select! {
                outcome = &mut ended => outcome,
                // Nothing is expected on its standard output any more; a full pipe would stop it.
                _ = copy(&mut stdout, &mut rest) => ended.await,
            }
        };
        // What it started and left behind.
        signal_group(group);
        let asked = handle.terminate.is_cancelled();
        match outcome {
            Ok(status) if asked || status.success() => tracing::debug!(worker = %id, %status, "worker ended"),
            Ok(status) => tracing::warn!(worker = %id, %status, "worker ended unasked"),
            Err(error) => tracing::error!(worker = %id, %error, "cannot wait for a worker"),
        }
        self.children().remove(&id);
        self.not_idle(id);
        handle.exited.cancel();
    }

    /// False when somebody was quicker.
    fn not_idle(&self, worker: WorkerId) -> bool {
        self.idle.send_if_modified(|idle| idle.take_if(|idle| idle.worker == worker).is_some())
    }

    fn child(&self, worker: WorkerId) -> Option<Handle> {
        self.children().get(&worker).cloned()
    }

    fn children(&self) -> MutexGuard<'_, HashMap<WorkerId, Handle>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends these, and resolves when they have ended.
async fn end_all(children: Vec<Handle>) {
    for child in &children {
        child.terminate.cancel();
    }
    for child in children {
        child.exited.cancelled().await;
    }
}

/// Waits, and returns how long to wait the next time.
async fn pause_after(pause: Duration) -> Duration {
    sleep(pause).await;
    pause.saturating_mul(2).min(LONGEST_PAUSE)
}

async fn first_line(stdout: &mut BufReader<ChildStdout>) -> Result<WorkerReady, StartError> {
    let mut line = Vec::new();
    stdout.take(LONGEST_READY_LINE).read_until(b'\n', &mut line).await?;
    if line.is_empty() { Err(StartError::Ended) } else { Ok(serde_json::from_slice(&line)?) }
}

/// Waits for the child's end, and brings it about once `terminate` is cancelled.
///
/// `stdin` is open until then: its end means that nobody needs the worker any more. A SIGTERM alone would leave it the
/// time that a drained node's workers have for their streams.
async fn end(
    child: &mut Child,
    group: Option<Pid>,
    stdin: ChildStdin,
    terminate: &CancellationToken,
) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        () = terminate.cancelled() => {}
    }
    if let Some(pid) = group
        && let Err(error) = kill(pid, Signal::SIGTERM)
    {
        tracing::debug!(%error, "SIGTERM to a worker");
    }
    drop(stdin);
    if let Ok(status) = timeout(TERMINATE_GRACE, child.wait()).await {
        return status;
    }
    signal_group(group);
    child.wait().await
}

fn signal_group(group: Option<Pid>) {
    if let Some(group) = group {
        match killpg(group, Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!(%error, "SIGKILL to a worker's process group"),
        }
    }
}

/// What a worker needs of our environment: where programs are, and how text and time look. Certificates are for S3.
pub const PASSED_ON: [&str; 7] = ["PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// From start to listeners bound; measured in tens of milliseconds.
const READY_DEADLINE: Duration = Duration::from_secs(10);
/// A worker's line is 200 bytes.
const LONGEST_READY_LINE: u64 = 4096;
/// A worker closes its segment and stores what is finished within five seconds at worst.
const TERMINATE_GRACE: Duration = Duration::from_secs(7);
/// When a worker does not start, or dies idle.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
