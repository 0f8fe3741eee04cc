//! The PostgreSQL versions of this machine, and the user that they run as.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use nix::unistd::{Uid, User, geteuid};
use tokio::process::Command;

/// PostgreSQL's major version, which a database folder and the binaries that open it must share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Major(pub u32);

/// The servers that Debian's packages install beside each other, as `{root}/{major}/bin`.
pub struct Installed {
    root: PathBuf,
}

impl Installed {
    /// Where Debian puts them.
    pub fn debian() -> Self {
        Self::at(Path::new("/usr/lib/postgresql"))
    }

    /// The versions below another folder.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The binaries that a new database is made with.
    ///
    /// # Errors
    /// When no version that Caudal supports is installed.
    pub fn newest(&self) -> anyhow::Result<PathBuf> {
        let newest = self.majors().into_iter().filter(|major| *major >= OLDEST).max();
        newest.map(|major| self.binaries(major)).context(
            "PostgreSQL 15 or later is not installed (Debian: apt-get install postgresql), and DATABASE_URL is not set",
        )
    }

    /// The binaries of the very version that made the database in `cluster`: no other one can open it.
    ///
    /// # Errors
    /// When that version is not installed, or is older than Caudal supports.
    pub fn matching(&self, major: Major, cluster: &Path) -> anyhow::Result<PathBuf> {
        let (cluster, Major(wanted), Major(oldest)) = (cluster.display(), major, OLDEST);
        ensure!(
            major >= OLDEST,
            "{cluster} is a database of PostgreSQL {wanted}, but Caudal needs {oldest} or later; nothing in it was changed. \
             Carry it over by pg_dump and pg_restore (docs/operating.md, \"A newer PostgreSQL\")"
        );
        let majors = self.majors();
        if majors.contains(&major) {
            return Ok(self.binaries(major));
        }
        let others: Vec<String> = majors.iter().map(|Major(other)| other.to_string()).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        anyhow::bail!(
            "{cluster} is a database of PostgreSQL {wanted}, which is not installed (installed: {others}); nothing in it was \
             changed. Install it (Debian: apt-get install postgresql-{wanted}; PostgreSQL's own repository apt.postgresql.org \
             has the versions that Debian dropped). To change to another version see docs/operating.md, \"A newer PostgreSQL\""
        )
    }

    fn binaries(&self, Major(major): Major) -> PathBuf {
        self.root.join(major.to_string()).join("bin")
    }

    /// Those that hold a server, in ascending order.
    fn majors(&self) -> Vec<Major> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().filter_map(Result::ok);
        let mut majors: Vec<Major> = entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Major))
            .filter(|major| self.binaries(*major).join("postgres").exists())
            .collect();
        majors.sort_unstable();
        majors
    }
}

/// Who PostgreSQL runs as: the user of this process, or an unprivileged one when that is root.
pub struct Owner {
    /// None when this process's own user will do.
    unprivileged: Option<User>,
}

impl Owner {
    /// # Errors
    /// When this process is root's and the machine has no user to hand PostgreSQL to.
    pub fn find() -> anyhow::Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { unprivileged: None });
        }
        let known = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = known
            .context("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")?;
        Ok(Self { unprivileged: Some(user) })
    }

    /// The user that everything of PostgreSQL must belong to.
    pub fn uid(&self) -> Uid {
        self.unprivileged.as_ref().map_or_else(geteuid, |user| user.uid)
    }

    /// Hands over an open file or folder of this process's, whatever its name may have come to mean meanwhile.
    ///
    /// # Errors
    /// When the file system cannot change owners.
    pub fn give(&self, opened: &fs::File) -> std::io::Result<()> {
        match &self.unprivileged {
            Some(user) => fchown(opened, Some(user.uid.as_raw()), Some(user.gid.as_raw())),
            None => Ok(()),
        }
    }

    /// Lets `command` run as this user.
    pub fn take_on(&self, command: &mut Command) {
        if let Some(user) = &self.unprivileged {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
    }

    /// The first folder on the way to `folder`, or that one itself, whose mode does not let this user pass. None when
    /// PostgreSQL runs as this process's user, who has got there already.
    pub fn barred_from<'a>(&self, folder: &'a Path) -> Option<&'a Path> {
        let user = self.unprivileged.as_ref()?;
        let mut way: Vec<&Path> = folder.ancestors().collect();
        way.reverse();
        way.into_iter().find(|folder| fs::metadata(folder).is_ok_and(|found| !lets_through(&found, user)))
    }

    /// Whether a folder belongs to this user.
    pub fn owns(&self, folder: &fs::Metadata) -> bool {
        folder.uid() == self.uid().as_raw()
    }
}

/// As the kernel judges: only the first of owner, group and others that fits counts.
fn lets_through(folder: &fs::Metadata, user: &User) -> bool {
    let pass = if folder.uid() == user.uid.as_raw() {
        0o100
    } else if folder.gid() == user.gid.as_raw() {
        0o010
    } else {
        0o001
    };
    folder.mode() & pass != 0
}

/// A user's name, for words to people.
pub fn name_of(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| format!("user {uid}"), |user| user.name)
}

/// The oldest that Caudal's SQL is tested with.
const OLDEST: Major = Major(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(versions: &[(&str, bool)]) -> (tempfile::TempDir, Installed) {
        let root = tempfile::tempdir().unwrap();
        for (version, server) in versions {
            let bin = root.path().join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            if *server {
                fs::write(bin.join("postgres"), "").unwrap();
            }
        }
        let installed = Installed::at(root.path());
        (root, installed)
    }

    #[test]
    fn a_new_database_is_made_by_the_newest_installed_version_that_has_a_server() {
        let (root, installed) =
            installed(&[("13", true), ("15", true), ("17", true), ("18", false), ("misc", true)]);
        assert_eq!(installed.newest().unwrap(), root.path().join("17/bin"));
    }

    #[test]
    fn a_database_is_opened_by_its_own_version_even_when_a_newer_one_is_installed() {
        let (root, installed) = installed(&[("15", true), ("17", true)]);
        assert_eq!(installed.matching(Major(15), Path::new("/d")).unwrap(), root.path().join("15/bin"));
    }

    #[test]
    fn a_database_whose_version_is_gone_or_too_old_is_refused_with_what_to_do() {
        for (versions, major, expected) in [
            (vec![("17", true), ("18", true)], 15, ["installed: 17, 18", "apt-get install postgresql-15"]),
            (vec![("15", false)], 15, ["installed: none", "apt-get install postgresql-15"]),
            (vec![("13", true)], 13, ["of PostgreSQL 13", "needs 15 or later"]),
        ] {
            let (_root, installed) = installed(&versions);
            let error = installed.matching(Major(major), Path::new("/d")).unwrap_err().to_string();
            assert!(expected.iter().all(|words| error.contains(words)), "{error}");
        }
    }
}
