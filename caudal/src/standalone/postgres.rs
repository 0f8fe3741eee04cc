//! A PostgreSQL of our own: Debian's binaries, a cluster in the data folder, an unprivileged user, and a unix socket in
//! a short private folder. Nothing of the machine's own cluster is touched.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use secrecy::SecretString;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

/// A running PostgreSQL.
pub struct Postgres {
    server: Server,
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
    owner: Option<User>,
}

impl Postgres {
    /// Makes the cluster if there is none, and starts it; one that survived a crash is taken up as it is.
    /// `progress` is told what is going on.
    ///
    /// # Errors
    /// When PostgreSQL 15 or later is not installed, or does not start; its own words are in the error.
    pub async fn start(data: &Path, progress: impl Fn(&str)) -> anyhow::Result<Self> {
        let layout = Layout::find(data)?;
        if !layout.cluster.join("PG_VERSION").exists() {
            progress("Making the database (once)");
            layout.create_cluster().await?;
        }
        let postgres = Self::start_existing(&layout).await?;
        layout.create_database().await?;
        Ok(postgres)
    }

    async fn start_existing(layout: &Layout) -> anyhow::Result<Self> {
        let server = match layout.survivor().await? {
            Some(pid) => Server::Adopted(pid),
            None => layout.start_guarded()?,
        };
        let mut postgres = Self { server, url: layout.url() };
        if let Err(error) = postgres.wait_until_ready(layout).await {
            postgres.stop().await;
            return Err(error);
        }
        Ok(postgres)
    }

    /// Starts it again whenever it has ended, for as long as this is awaited. A cluster that is missing is not made anew:
    /// an empty database would pass for the lost one.
    pub async fn keep_running(&mut self, data: &Path) -> Infallible {
        loop {
            self.ended().await;
            tracing::error!(
                "PostgreSQL has ended and is started again; live streams go on, but nobody can log in or go live until then"
            );
            let mut pause = FIRST_RESTART;
            loop {
                sleep(pause).await;
                match Self::start_again(data).await {
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

    async fn start_again(data: &Path) -> anyhow::Result<Self> {
        let layout = Layout::find(data)?;
        ensure!(
            layout.cluster.join("PG_VERSION").exists(),
            "{} is no database any more: restore it from a backup",
            layout.cluster.display()
        );
        Self::start_existing(&layout).await
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
    pub async fn stop(self) {
        let stopped = match self.server {
            Server::Guarded(mut guard, pipe) => {
                drop(pipe);
                timeout(STOP_DEADLINE, guard.wait()).await.is_ok()
            }
            Server::Adopted(pid) => {
                // Nothing to be done if it has gone already.
                let _ = kill(pid, Signal::SIGINT);
                gone(pid, STOP_DEADLINE).await
            }
        };
        if !stopped {
            tracing::warn!("PostgreSQL did not stop in time; the next start will take it up");
        }
    }

    async fn wait_until_ready(&mut self, layout: &Layout) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Server::Guarded(guard, _) = &mut self.server
                && let Some(status) = guard.try_wait()?
            {
                bail!("PostgreSQL ended at its start ({status}):\n{}", layout.log_tail());
            }
            if layout.pid_file().is_some_and(|pid_file| pid_file.ready) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "PostgreSQL was not ready in time:\n{}", layout.log_tail());
            // PostgreSQL tells its readiness only in this file.
            sleep(POLL).await;
        }
    }
}

/// What `postmaster.pid` says.
struct PidFile {
    pid: Pid,
    ready: bool,
}

impl Layout {
    fn find(data: &Path) -> anyhow::Result<Self> {
        let binaries = newest_binaries(Path::new("/usr/lib/postgresql"))
            .context("PostgreSQL 15 or later is not installed (Debian: apt-get install postgresql-15), and DATABASE_URL is not set")?;
        let root = geteuid().is_root();
        let owner = if root {
            let known = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
            Some(known.context(
                "PostgreSQL does not run as root, and there is neither a user postgres nor nobody",
            )?)
        } else {
            None
        };
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        // A unix socket's path may have 107 bytes, and the data folder's can be longer than that.
        let runtime = if root {
            PathBuf::from("/run")
        } else {
            std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
        };
        let socket_folder =
            runtime.join(format!("caudal-{}-{:08x}", geteuid(), hasher.finish() & 0xffff_ffff));
        let layout = Self { binaries, cluster: data.join("postgres"), socket_folder, owner };
        layout.make_folder(&layout.cluster)?;
        layout.make_folder(&layout.socket_folder)?;
        Ok(layout)
    }

    /// A folder that only PostgreSQL's user can enter. One that is somebody else's is refused: in a shared temporary
    /// folder it could have been put there for us.
    fn make_folder(&self, path: &Path) -> anyhow::Result<()> {
        let make = || -> io::Result<()> {
            if !path.exists() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
                if let Some(owner) = &self.owner {
                    chown(path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
                }
            }
            // PostgreSQL insists on it.
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        };
        make().with_context(|| format!("cannot make {}", path.display()))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .process_group(0);
        self.drop_privileges(&mut command);
        command
    }

    fn drop_privileges(&self, command: &mut Command) {
        if let Some(owner) = &self.owner {
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
    }

    async fn create_cluster(&self) -> anyhow::Result<()> {
        let output = self
            .command("initdb")
            .arg("--pgdata")
            .arg(&self.cluster)
            .args(["--username=caudal", "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8"])
            .args(["--locale-provider=libc", "--locale=C.UTF-8", "--data-checksums"])
            .stdin(Stdio::null())
            .output()
            .await
            .context("initdb")?;
        if !output.status.success() {
            // A half-made cluster would pass for a whole one at the next start.
            let _ = fs::remove_dir_all(&self.cluster);
            bail!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Runs PostgreSQL under a shell that ends it once its standard input does: the kernel closes that pipe even when
    /// this process is killed outright.
    fn start_guarded(&self) -> anyhow::Result<Server> {
        let log = fs::File::create(self.log_path()).context("cannot write PostgreSQL's log")?;
        if let Some(owner) = &self.owner {
            chown(self.log_path(), Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
        }
        let mut socket = OsString::from("unix_socket_directories=");
        socket.push(&self.socket_folder);
        let mut command = Command::new("/bin/sh");
        command
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .process_group(0);
        self.drop_privileges(&mut command);
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

    /// A server that is still there from before. One whose guard is just ending it is waited for.
    async fn survivor(&self) -> anyhow::Result<Option<Pid>> {
        let Some(PidFile { pid, .. }) = self.pid_file() else { return Ok(None) };
        let ours =
            |pid: Pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == self.cluster);
        if !ours(pid) || gone(pid, GUARD_GRACE).await {
            return Ok(None);
        }
        tracing::info!(%pid, "taking up the PostgreSQL of an earlier run");
        Ok(Some(pid))
    }

    fn pid_file(&self) -> Option<PidFile> {
        let text = fs::read_to_string(self.cluster.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok().map(Pid::from_raw)?;
        Some(PidFile { pid, ready: lines.nth(6).is_some_and(|status| status.trim() == "ready") })
    }

    async fn create_database(&self) -> anyhow::Result<()> {
        let output = self
            .command("createdb")
            .arg("--host")
            .arg(&self.socket_folder)
            .args(["--username=caudal", "--maintenance-db=postgres", "caudal"])
            .stdin(Stdio::null())
            .output()
            .await
            .context("createdb")?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() || words.contains("already exists"), "createdb: {}", words.trim());
        Ok(())
    }

    fn url(&self) -> SecretString {
        let host = self.socket_folder.to_string_lossy().replace('/', "%2F");
        format!("postgresql://caudal@{host}/caudal").into()
    }

    fn log_path(&self) -> PathBuf {
        self.cluster.join("caudal.log")
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
    }
}

/// `{root}/{version}/bin` of the highest version from 15 on that holds a server.
fn newest_binaries(root: &Path) -> Option<PathBuf> {
    fs::read_dir(root)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let binaries = entry.path().join("bin");
            (version >= 15 && binaries.join("postgres").exists()).then_some((version, binaries))
        })
        .max_by_key(|(version, _)| *version)
        .map(|(_, binaries)| binaries)
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
const FIRST_RESTART: Duration = Duration::from_secs(1);
/// A person who mends something by hand does not wait longer than this to see whether it helped.
const LAST_RESTART: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_installed_version_that_has_a_server_is_taken() {
        let root = tempfile::tempdir().unwrap();
        for (version, server) in [("13", true), ("15", true), ("17", true), ("18", false), ("misc", true)] {
            let bin = root.path().join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            if server {
                fs::write(bin.join("postgres"), "").unwrap();
            }
        }
        assert_eq!(newest_binaries(root.path()), Some(root.path().join("17/bin")));
    }

    #[tokio::test]
    async fn it_starts_twice_on_the_same_folder_and_leaves_nothing_running() {
        let data = tempfile::tempdir().unwrap();
        // PostgreSQL's user must be able to pass through.
        fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for _ in 0..2 {
            let postgres = Postgres::start(data.path(), |_| {}).await.unwrap();
            let layout = Layout::find(data.path()).unwrap();
            let pid = layout.pid_file().unwrap().pid;
            assert!(kill(pid, None).is_ok());
            postgres.stop().await;
            assert!(gone(pid, Duration::ZERO).await);
        }
        fs::remove_dir_all(Layout::find(data.path()).unwrap().socket_folder).unwrap();
    }

    #[tokio::test]
    async fn a_server_whose_guard_was_killed_is_taken_up_again() {
        let data = tempfile::tempdir().unwrap();
        fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let first = Postgres::start(data.path(), |_| {}).await.unwrap();
        let layout = Layout::find(data.path()).unwrap();
        let pid = layout.pid_file().unwrap().pid;
        let Server::Guarded(mut guard, _pipe) = first.server else { panic!("started, not adopted") };
        // The whole guard dies, the server does not: what a kill -9 of a process group leaves behind.
        let group = Pid::from_raw(i32::try_from(guard.id().unwrap()).unwrap());
        for member in
            members(group).into_iter().filter(|member| *member != pid && parent(*member) != Some(pid))
        {
            let _ = kill(member, Signal::SIGKILL);
        }
        let _ = guard.wait().await;
        let second = Postgres::start(data.path(), |_| {}).await.unwrap();
        assert!(matches!(second.server, Server::Adopted(adopted) if adopted == pid));
        second.stop().await;
        assert!(gone(pid, Duration::ZERO).await);
        fs::remove_dir_all(layout.socket_folder).unwrap();
    }

    #[tokio::test]
    async fn one_that_ends_by_itself_is_started_again_but_never_made_anew() {
        let data = tempfile::tempdir().unwrap();
        fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut postgres = Postgres::start(data.path(), |_| {}).await.unwrap();
        let layout = Layout::find(data.path()).unwrap();
        let first = layout.pid_file().unwrap().pid;
        kill(first, Signal::SIGINT).unwrap();
        let returned = async {
            while !layout.pid_file().is_some_and(|file| file.pid != first && file.ready) {
                sleep(POLL).await;
            }
        };
        tokio::select! {
            never = postgres.keep_running(data.path()) => match never {},
            returned = timeout(START_DEADLINE, returned) => returned.unwrap(),
        }
        let second = layout.pid_file().unwrap().pid;
        postgres.stop().await;
        assert!(gone(second, STOP_DEADLINE).await);

        fs::remove_file(layout.cluster.join("PG_VERSION")).unwrap();
        let error = Postgres::start_again(data.path()).await.err().unwrap();
        assert!(error.to_string().contains("is no database any more"), "{error}");
        fs::remove_dir_all(layout.socket_folder).unwrap();
    }

    fn stat(pid: Pid) -> Option<Vec<String>> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
    }

    fn parent(pid: Pid) -> Option<Pid> {
        stat(pid)?.get(1)?.parse().ok().map(Pid::from_raw)
    }

    fn members(group: Pid) -> Vec<Pid> {
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw))
            .filter(|pid| stat(*pid).and_then(|fields| fields.get(2)?.parse().ok()) == Some(group.as_raw()))
            .collect()
    }
}
