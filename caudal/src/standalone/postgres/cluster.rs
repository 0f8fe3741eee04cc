//! The database's folder: what is in it before anything is done with it, and how a new one comes into being.
//!
//! A folder that exists is somebody's. One that is not a whole database is left exactly as it is, and a new database is
//! made in a folder of its own and renamed into place only where nothing is.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid, geteuid};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::installed::{Major, Owner, name_of};
use crate::standalone::folders::{POSTGRES, open_folder};

/// What is where the database belongs.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// No folder, or an empty one.
    Nothing,
    /// Everything without which PostgreSQL would not start.
    Whole(Major),
}

/// Looks, and changes nothing.
///
/// # Errors
/// When something is there that is no whole database of `owner`'s; says what it is, and what to do.
pub fn inspect(cluster: &Path, owner: &Owner) -> anyhow::Result<Found> {
    let shown = cluster.display();
    let link = match fs::symlink_metadata(cluster) {
        Ok(link) => link,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    };
    let folder = fs::metadata(cluster)
        .with_context(|| format!("{shown} is a link that leads nowhere (is a disk not mounted?)"))?;
    if !folder.is_dir() {
        return Err(unusable(cluster, "it is not a folder"));
    }
    let names = names(cluster);
    if names.as_ref().is_ok_and(Vec::is_empty) {
        // A new database is put in place by a rename, which cannot put anything behind a link.
        ensure!(
            !link.is_symlink(),
            "{shown} is a link to an empty folder: remove the link, or mount what belongs there"
        );
        return Ok(Found::Nothing);
    }
    if !owner.owns(&folder) {
        bail!(
            "{shown} belongs to {}, but PostgreSQL would run as {user}; nothing in it was changed. \
             If it is this platform's database: chown -R {user}: {shown}",
            name_of(Uid::from_raw(folder.uid())),
            user = name_of(owner.uid()),
        );
    }
    let names = names.with_context(|| format!("cannot read {shown}"))?;
    let major = match read_start(&cluster.join("PG_VERSION")) {
        Ok(version) => version,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(unusable(cluster, &format!("it has no PG_VERSION, but holds {}", listed(&names))));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}/PG_VERSION")),
    };
    let Ok(major) = major.trim().parse() else {
        return Err(unusable(cluster, &format!("its PG_VERSION is damaged: {major:?}")));
    };
    let missing: Vec<&str> =
        ESSENTIAL.iter().copied().filter(|name| !holds_something(&cluster.join(name))).collect();
    if !missing.is_empty() {
        return Err(unusable(cluster, &format!("missing or empty in it: {}", missing.join(", "))));
    }
    Ok(Found::Whole(Major(major)))
}

/// Whether PostgreSQL's user can get to the data folder, whose modes may be for root alone.
///
/// # Errors
/// When it cannot; says which folder is in the way, and what to do.
pub async fn check_reachable(data: &Path, owner: &Owner) -> anyhow::Result<()> {
    let Some(closed) = owner.barred_from(data) else { return Ok(()) };
    let mut attempt = Command::new("/bin/sh");
    bare(&mut attempt, owner);
    attempt.kill_on_drop(true).args(["-c", "cd \"$1\"", "caudal"]).arg(data);
    // An access list may let it through where the modes do not.
    if run(attempt, "", "cd").await.is_ok() {
        return Ok(());
    }
    bail!(
        "PostgreSQL would run as {}, who cannot pass through {closed}: chmod o+x {closed}",
        name_of(owner.uid()),
        closed = closed.display(),
    )
}

/// Makes a database in a folder of its own, and puts it in place once it is whole.
///
/// # Errors
/// When that fails, with PostgreSQL's own words; `data` is then as it was.
pub async fn make(binaries: &Path, data: &Path, owner: &Owner) -> anyhow::Result<()> {
    let fresh =
        Fresh::create(data, owner).with_context(|| format!("cannot make a folder in {}", data.display()))?;
    let mut initdb = command(binaries, "initdb", owner);
    initdb
        .arg("--pgdata")
        .arg(fresh.cluster())
        .args(["--username=caudal", "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8"])
        .args(["--locale-provider=libc", "--locale=C.UTF-8", "--data-checksums"]);
    run(initdb, "", "initdb").await?;
    // Before it is in place: a cluster without its database is somebody's half-done restore, and never filled by us.
    let mut single = command(binaries, "postgres", owner);
    single
        .args(["--single", "-j", "-c", "exit_on_error=true", "-c", "log_checkpoints=off", "-D"])
        .arg(fresh.cluster())
        .arg("postgres");
    run(single, "create database caudal;\n\n", "create database").await?;

    let place = data.join(POSTGRES);
    // The kernel refuses to rename a folder over anything but an empty one, so what has come there meanwhile is safe.
    fs::rename(fresh.cluster(), &place).with_context(|| {
        format!(
            "cannot put the new database in place as {}; a mount point cannot be replaced: mount the disk at {} instead",
            place.display(),
            data.display()
        )
    })?;
    fs::File::open(data).and_then(|folder| folder.sync_all()).context("cannot sync the data folder")
}

/// Removes what a start that was killed half-way left, and says what looks like that but may be somebody's.
pub fn sweep(data: &Path) {
    let names = names(data).unwrap_or_default();
    for name in names.iter().filter(|name| name.starts_with(FRESH)) {
        let folder = data.join(name);
        if !made_by_us(&folder, name) {
            tracing::warn!(
                folder = %folder.display(),
                "it is named like a new database that was never finished, but may hold something else, and is left alone; \
                 remove it if you do not need it"
            );
        // Cannot take what is somebody's: only a folder that its mark proves to be a half-made database of ours.
        } else if let Err(error) = remove(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "cannot remove what is left of an earlier start");
        }
    }
}

/// Removes what [`made_by_us`] has looked at. The mark goes after everything that may resist, as a database does that an
/// orphaned `initdb` still writes to: the next start finds the mark, and removes the rest.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder.join(CLUSTER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        done => done?,
    }
    fs::remove_file(folder.join(MARK))?;
    fs::remove_dir(folder)
}

/// A command of PostgreSQL's, with nothing of this process's environment and rights.
pub fn command(binaries: &Path, program: &str, owner: &Owner) -> Command {
    let mut command = Command::new(binaries.join(program));
    bare(&mut command, owner);
    command.kill_on_drop(true);
    command
}

/// Takes this process's environment, rights, folder and process group from a command.
pub fn bare(command: &mut Command, owner: &Owner) {
    command
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .process_group(0);
    owner.take_on(command);
}

/// Runs one to its end.
///
/// # Errors
/// When it cannot be started, takes longer than [`MAKE_DEADLINE`], or fails; its own words are in the error.
pub async fn run(mut command: Command, input: &str, what: &str) -> anyhow::Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let done = async {
        let mut child = command.spawn()?;
        let group = Group::of(&child);
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends without reading says why itself.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await;
        group.has_ended();
        output
    };
    let output = timeout(MAKE_DEADLINE, done)
        .await
        .with_context(|| format!("{what} took longer than {} s", MAKE_DEADLINE.as_secs()))?
        .with_context(|| what.to_owned())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} failed ({}): {}", output.status, said.trim());
    Ok(())
}

/// A command's process group, killed when this is dropped before its end: `initdb` has children that write to the new
/// database, and would go on for a moment after it.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw))
    }

    /// Its number may be another group's from now on.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nothing to be done if it has gone already.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// A folder that was made a moment ago and goes when this is dropped: `{name}/{CLUSTER}` and a mark that says whose it is.
struct Fresh {
    folder: TempDir,
}

impl Fresh {
    fn create(data: &Path, owner: &Owner) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(FRESH).tempdir_in(data)?;
        let opened = open_folder(folder.path())?;
        // PostgreSQL, which may run as another user, must be able to pass through, whatever the umask is.
        opened.set_permissions(fs::Permissions::from_mode(0o711))?;
        let fresh = Self { folder };
        let name = fresh.folder.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        fs::write(fresh.folder.path().join(MARK), mark(name, opened.metadata()?.ino()))?;
        fs::DirBuilder::new().mode(0o700).create(fresh.cluster())?;
        owner.give(&open_folder(&fresh.cluster())?)?;
        Ok(fresh)
    }

    fn cluster(&self) -> PathBuf {
        self.folder.path().join(CLUSTER)
    }
}

/// What the mark of a folder says. A copy or a restore of the folder has another number, and is not ours to remove.
fn mark(name: &str, inode: u64) -> String {
    format!(
        "{name} {inode}: Caudal makes a new database here; what is left of a start that was killed goes at the next one\n"
    )
}

/// Whether a folder is one of [`Fresh`], holds nothing else, and never had a server that somebody could have worked with.
fn made_by_us(folder: &Path, name: &str) -> bool {
    let Ok(found) = fs::symlink_metadata(folder) else { return false };
    found.is_dir()
        && found.uid() == geteuid().as_raw()
        && read_start(&folder.join(MARK)).is_ok_and(|text| text == mark(name, found.ino()))
        && names(folder).is_ok_and(|names| names.iter().all(|name| name == MARK || name == CLUSTER))
        && !folder.join(CLUSTER).join("postmaster.opts").exists()
}

/// Why a folder is not used, and how to go on.
fn unusable(cluster: &Path, reason: &str) -> anyhow::Error {
    let shown = cluster.display();
    anyhow::anyhow!(
        "{shown} is not a whole PostgreSQL database: {reason}. Nothing in it was changed. Restore it from a backup \
         (docs/operating.md, \"Backups\"), or move it away to begin with an empty database and no accounts"
    )
}

/// Sorted, so that what is said does not change from start to start.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(4).map(|name| format!("{name:?}")).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The first bytes of a small text file.
fn read_start(path: &Path) -> io::Result<String> {
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut start = Vec::new();
    fs::File::open(path)?.take(256).read_to_end(&mut start)?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}

/// A file with something in it, or a folder with a file.
fn holds_something(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(entries) => entries.filter_map(Result::ok).any(|entry| entry.path().is_file()),
        Err(_) => fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0),
    }
}

/// Of what `initdb` makes, that which every cluster has something in.
const ESSENTIAL: [&str; 7] = [
    "global/pg_control",
    "base/1/PG_VERSION",
    "pg_wal",
    "pg_xact",
    "pg_multixact/offsets",
    "postgresql.conf",
    "pg_hba.conf",
];
const FRESH: &str = "postgres.new-";
const MARK: &str = "made-by-caudal";
const CLUSTER: &str = "cluster";
/// `initdb` takes two seconds, and a minute on the slowest of disks.
const MAKE_DEADLINE: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests;
