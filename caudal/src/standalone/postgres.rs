//! A PostgreSQL of our own: Debian's binaries, a cluster in the data folder, an unprivileged user, and a unix socket in
//! a private folder. Nothing of the machine's own cluster is touched.

mod cluster;
mod installed;
mod pid_file;
mod socket;

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use cluster::Found;
use installed::{Installed, Owner};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pid_file::{Disposition, PidFile, Socket, State};
use secrecy::SecretString;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::folders::{POSTGRES, open_folder};

/// A running PostgreSQL.
pub struct Postgres {
    server: Server,
    /// The same for as long as this process runs, because `url` names it.
    socket_folder: PathBuf,
    url: SecretString,
}

/// Who ends it.
enum Server {
    /// A guard process of ours, which ends PostgreSQL as soon as our end of its pipe is closed, however we die. The pipe
    /// is kept apart because waiting for a child closes its standard input.
    Guarded(Box<Child>, Option<ChildStdin>),
    /// Left over from a crash, and taken up again.
    Adopted(Pid),
}

/// Where things are.
struct Layout {
    binaries: PathBuf,
    cluster: PathBuf,
    socket_folder: PathBuf,
    owner: Owner,
}

impl Postgres {
    /// Makes the cluster if nothing is in its place, and starts it; one that survived a crash is taken up as it is.
    /// `progress` is told what is going on.
    ///
    /// # Errors
    /// When PostgreSQL is not installed in the version that is needed, when something else than a whole database is in
    /// its place (which is left as it was), or when PostgreSQL does not start; its own words are in the error. When
    /// `shutdown` comes first, too: what was started has ended then, and a half-made database is gone.
    pub async fn start(
        data: &Path,
        progress: impl Fn(&str),
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        Self::start_with(&Installed::debian(), data, progress, shutdown).await
    }

    async fn start_with(
        installed: &Installed,
        data: &Path,
        progress: impl Fn(&str),
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let owner = Owner::find()?;
        cluster::sweep(data);
        if cluster::inspect(&data.join(POSTGRES), &owner)? == Found::Nothing {
            cluster::check_reachable(data, &owner).await?;
            progress("Making the database (once)");
            unless_stopped(shutdown, cluster::make(&installed.newest()?, data, &owner)).await?;
        }
        Self::start_existing(Layout::find(installed, data, owner)?, shutdown).await
    }

    async fn start_existing(layout: Layout, shutdown: &CancellationToken) -> anyhow::Result<Self> {
        let server = match unless_stopped(shutdown, layout.survivor()).await? {
            Some(pid) => Server::Adopted(pid),
            None => layout.start_guarded()?,
        };
        let socket_folder = layout.socket_folder.clone();
        let mut postgres = Self { server, socket_folder, url: layout.url() };
        let ready = async {
            postgres.wait_until_ready(&layout).await?;
            layout.check_database().await
        };
        if let Err(error) = unless_stopped(shutdown, ready).await {
            postgres.end().await;
            return Err(error);
        }
        Ok(postgres)
    }

    /// Starts it again whenever it has ended or its socket was removed, for as long as this is awaited. A cluster that is
    /// missing is not made anew: an empty database would pass for the lost one.
    pub async fn keep_running(&mut self, data: &Path) -> Infallible {
        loop {
            let socket_folder = self.socket_folder.clone();
            tokio::select! {
                () = self.ended() => tracing::error!(
                    "PostgreSQL has ended and is started again; live streams go on, but nobody can log in or go live until then"
                ),
                // It would never listen there again.
                () = socket::removed(&socket_folder, LOOK_FOR_SOCKET) => {
                    tracing::error!(
                        folder = %socket_folder.display(),
                        "somebody removed PostgreSQL's socket, so it is started again; live streams go on, but nobody can log \
                         in or go live until then"
                    );
                    self.end().await;
                }
            }
            let mut pause = FIRST_RESTART;
            loop {
                sleep(pause).await;
                let again = Self::start_again(data, socket_folder.clone()).await;
                match again {
                    Ok(started) => {
                        *self = started;
                        tracing::info!("PostgreSQL runs again");
                        break;
                    }
                    Err(error) => {
                        pause = (pause * 2).min(LAST_RESTART);
                        tracing::error!(
                            "PostgreSQL does not start, next try in {} s: {error:#}",
                            pause.as_secs()
                        );
                    }
                }
            }
        }
    }

    async fn start_again(data: &Path, socket_folder: PathBuf) -> anyhow::Result<Self> {
        let found = Layout::find(&Installed::debian(), data, Owner::find()?).with_context(|| {
            format!("{} is no database any more: restore it from a backup", data.join(POSTGRES).display())
        })?;
        let layout = Layout { socket_folder, ..found };
        // Whoever no longer awaits this drops it.
        Self::start_existing(layout, &CancellationToken::new()).await
    }

    async fn ended(&mut self) {
        match &mut self.server {
            // An error means that there is no such child any more.
            Server::Guarded(guard, _) => drop(guard.wait().await),
            Server::Adopted(pid) => while !gone(*pid, GUARD_GRACE).await {},
        }
    }

    /// How to connect.
    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// Ends it, open transactions rolled back, and waits until it is gone.
    pub async fn stop(mut self) {
        self.end().await;
    }

    async fn end(&mut self) {
        let stopped = match &mut self.server {
            Server::Guarded(guard, pipe) => {
                drop(pipe.take());
                timeout(STOP_DEADLINE, guard.wait()).await.is_ok()
            }
            Server::Adopted(pid) => {
                // Nothing to be done if it has gone already.
                let _ = kill(*pid, Signal::SIGINT);
                gone(*pid, STOP_DEADLINE).await
            }
        };
        if !stopped {
            tracing::warn!("PostgreSQL did not stop in time; the next start will take it up");
        }
    }

    async fn wait_until_ready(&mut self, layout: &Layout) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            match &mut self.server {
                Server::Guarded(guard, _) => {
                    if let Some(status) = guard.try_wait()? {
                        bail!("PostgreSQL ended at its start ({status}):\n{}", layout.log_tail());
                    }
                }
                Server::Adopted(pid) => {
                    // Whatever ended the earlier run may end its server only now.
                    if gone(*pid, Duration::ZERO).await {
                        self.server = layout.start_guarded()?;
                    }
                }
            }
            // A server that was killed leaves its file, which says that it is ready.
            if let Some(said) = layout.pid_file()
                && said.state == State::Ready
                && kill(said.pid, None) != Err(Errno::ESRCH)
            {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "PostgreSQL was not ready in time:\n{}", layout.log_tail());
            // PostgreSQL tells its readiness only in this file.
            sleep(POLL).await;
        }
    }
}

/// What `work` comes to, unless `shutdown` comes first.
async fn unless_stopped<T>(
    shutdown: &CancellationToken,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    shutdown.run_until_cancelled(work).await.unwrap_or_else(|| Err(anyhow!("the start was interrupted")))
}

impl Layout {
    /// Where everything of an existing database is.
    fn find(installed: &Installed, data: &Path, owner: Owner) -> anyhow::Result<Self> {
        let cluster = data.join(POSTGRES);
        let Found::Whole(major) = cluster::inspect(&cluster, &owner)? else {
            bail!("nothing is in {}", cluster.display());
        };
        let binaries = installed.matching(major, &cluster)?;
        // As `/proc` will name it, should it be behind a link.
        let cluster = cluster.canonicalize().with_context(|| cluster.display().to_string())?;
        private(&cluster)?;
        let socket_folder = socket::folder(data, &owner);
        Ok(Self { binaries, cluster, socket_folder, owner })
    }

    /// Runs PostgreSQL under a shell that ends it once its standard input does: the kernel closes that pipe even when
    /// this process is killed outright.
    fn start_guarded(&self) -> anyhow::Result<Server> {
        socket::make_folder(&self.socket_folder, &self.owner).with_context(|| {
            format!("cannot make PostgreSQL's socket folder {}", self.socket_folder.display())
        })?;
        let log = self.open_log().with_context(|| format!("cannot write {}", self.log_path().display()))?;
        let mut socket = OsString::from("unix_socket_directories=");
        socket.push(&self.socket_folder);
        let mut command = Command::new("/bin/sh");
        cluster::bare(&mut command, &self.owner);
        let mut guard = command
            .arg("-c")
            .arg(GUARD)
            .arg("caudal-postgres")
            .arg(self.binaries.join("postgres"))
            .arg("-D")
            .arg(&self.cluster)
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "unix_socket_permissions=0700",
                "-c",
                "max_connections=64",
            ])
            // Not what a failed query was about: a stream key may have been typed into the field for an address.
            .args(["-c", "log_error_verbosity=terse", "-c", "log_min_error_statement=panic"])
            // Both would look for work five times a second, whatever there is. The checkpointer writes what this database
            // changes, and commits do not wait for the WAL writer.
            .args(["-c", "bgwriter_lru_maxpages=0", "-c", "wal_writer_delay=2s"])
            .args(["-c", "shared_buffers=64MB", "-c", "logging_collector=off", "-c"])
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start PostgreSQL")?;
        let pipe = guard.stdin.take();
        Ok(Server::Guarded(Box::new(guard), pipe))
    }

    /// A server that is still there from before. One that is ending, or is just being ended by its guard, is waited for,
    /// and one that somebody else started is not ours to use or to end.
    async fn survivor(&self) -> anyhow::Result<Option<Pid>> {
        let Some(PidFile { pid, .. }) = self.pid_file() else { return Ok(None) };
        let ours = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == self.cluster);
        if !ours || gone(pid, GUARD_GRACE).await {
            return Ok(None);
        }
        let socket = if socket::is_missing(&self.socket_folder) { Socket::Missing } else { Socket::There };
        match Disposition::of(pid, self.pid_file().as_ref(), &self.socket_folder, socket) {
            Disposition::TakenUp => {
                tracing::info!(%pid, "taking up the PostgreSQL of an earlier run");
                return Ok(Some(pid));
            }
            Disposition::AwaitedUntilGone => {
                tracing::info!(%pid, "waiting for the end of an earlier run's PostgreSQL");
            }
            Disposition::Ended => {
                tracing::warn!(%pid, "ending the PostgreSQL of an earlier run, whose socket was removed");
                // Nothing to be done if it has gone already.
                let _ = kill(pid, Signal::SIGINT);
            }
            Disposition::NotOurs(folder) => bail!(
                "a PostgreSQL that this platform did not start (process {pid}, {}) uses {}; end it first",
                folder.map_or_else(
                    || "no unix socket".to_owned(),
                    |folder| format!("socket in {}", folder.display())
                ),
                self.cluster.display()
            ),
        }
        ensure!(
            gone(pid, SURVIVOR_DEADLINE).await,
            "the PostgreSQL of an earlier run (process {pid}) has not ended within {} s; try again later, or end it \
             (kill -QUIT {pid})",
            SURVIVOR_DEADLINE.as_secs()
        );
        Ok(None)
    }

    fn pid_file(&self) -> Option<PidFile> {
        PidFile::parse(&fs::read_to_string(self.cluster.join("postmaster.pid")).ok()?)
    }

    /// Whether there is a database to connect to. One that is missing is not made: it would pass for the lost one.
    async fn check_database(&self) -> anyhow::Result<()> {
        let mut command = cluster::command(&self.binaries, "psql", &self.owner);
        command.arg("--host").arg(&self.socket_folder).args([
            "--no-psqlrc",
            "--no-password",
            "--username=caudal",
            "--dbname=caudal",
            "--command=",
        ]);
        cluster::run(command, "", "psql").await.with_context(|| {
            format!(
                "{} has no usable database \"caudal\": restore it from a backup (docs/operating.md, \"Backups\")",
                self.cluster.display()
            )
        })
    }

    fn url(&self) -> SecretString {
        let host = socket::url_host(&self.socket_folder);
        format!("postgresql://caudal@{host}/caudal").into()
    }

    fn log_path(&self) -> PathBuf {
        self.cluster.join("caudal.log")
    }

    /// Appends to PostgreSQL's log, so that the last words of one that crashed are still there after the next start.
    fn open_log(&self) -> io::Result<fs::File> {
        let path = self.log_path();
        if fs::symlink_metadata(&path).is_ok_and(|log| log.len() > LOG_LIMIT) {
            // Takes the place of the log before this one, which nothing else is named like in a database folder.
            fs::rename(&path, self.cluster.join("caudal.log.1"))?;
        }
        let mut log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            // The folder is another user's: a link in it must not lead root to somebody's file.
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)?;
        self.owner.give(&log)?;
        // On a full disk PostgreSQL may start all the same.
        let _ = writeln!(log, "{LOG_START}");
        Ok(log)
    }

    /// The last lines since the latest start.
    fn log_tail(&self) -> String {
        let mut end = Vec::new();
        // What cannot be read is missing from the error, which says the rest.
        let _ = fs::File::open(self.log_path()).and_then(|mut log| {
            let from = log.metadata()?.len().saturating_sub(LOG_TAIL);
            log.seek(SeekFrom::Start(from))?;
            log.take(LOG_TAIL).read_to_end(&mut end)
        });
        let text = String::from_utf8_lossy(&end);
        let latest = text.rsplit_once(LOG_START).map_or(&*text, |(_, latest)| latest);
        let lines: Vec<&str> = latest.trim().lines().collect();
        lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
    }
}

/// PostgreSQL refuses a folder that others can enter, as a restore may have made it.
fn private(cluster: &Path) -> anyhow::Result<()> {
    let open = || -> io::Result<()> {
        let folder = open_folder(cluster)?;
        let mode = folder.metadata()?.permissions().mode();
        // It allows 0750, too.
        if mode & 0o027 == 0 { Ok(()) } else { folder.set_permissions(fs::Permissions::from_mode(0o700)) }
    };
    open().with_context(|| format!("cannot make {} private", cluster.display()))
}

/// Whether the process is gone by the end of `patience`. It is not our child, so there is nothing to wait on.
async fn gone(pid: Pid, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while kill(pid, None).is_ok() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
    true
}

/// `"$@" &` would get no standard input, so the pipe is kept open as 3. SIGINT is PostgreSQL's fast shutdown.
const GUARD: &str = r#"exec 3<&0
"$@" 3<&- &
server=$!
(cat <&3 >/dev/null; kill -INT "$server") &
exec 3<&-
wait "$server""#;
/// A recovery after a crash replays the log first.
const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// The guard of a killed run needs a moment to end its server.
const GUARD_GRACE: Duration = Duration::from_secs(5);
/// Its last checkpoint may have much to write to a slow disk.
const SURVIVOR_DEADLINE: Duration = Duration::from_secs(60);
/// One look is one call of the system.
const LOOK_FOR_SOCKET: Duration = Duration::from_secs(3);
const FIRST_RESTART: Duration = Duration::from_secs(1);
/// A person who mends something by hand does not wait longer than this to see whether it helped.
const LAST_RESTART: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(30);
const LOG_START: &str = "---- Caudal starts PostgreSQL ----";
/// Bytes of PostgreSQL's log, after which a start begins a new one; a start writes less than a kibibyte.
const LOG_LIMIT: u64 = 4 << 20;
/// Bytes of it that are searched for the last words.
const LOG_TAIL: u64 = 16 << 10;

#[cfg(test)]
mod tests;
