//! `CAUDAL_SECRET`, the one secret that all keys of an installation can be derived from; or one that is made once and kept in
//! the data folder.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::Context as _;
use caudal_service::secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRng as _;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::Sha256;

/// The one secret that all others of an installation are derived from. Losing it makes stored stream keys unreadable.
pub struct MasterSecret(SecretBox<Vec<u8>>);

impl MasterSecret {
    /// From `CAUDAL_SECRET`; none when it is not set.
    ///
    /// # Errors
    /// When it is too short, or cannot be read.
    pub fn read() -> anyhow::Result<Option<Self>> {
        let Some(given) = secret::read("CAUDAL_SECRET")? else { return Ok(None) };
        anyhow::ensure!(
            given.expose_secret().len() >= MIN_LENGTH,
            "CAUDAL_SECRET: expected at least {MIN_LENGTH} characters"
        );
        Ok(Some(Self(SecretBox::new(Box::new(given.expose_secret().as_bytes().to_vec())))))
    }

    /// From `CAUDAL_SECRET`, else from `{folder}/master`, which is made (mode 0600) if it is not there. Where `database` is
    /// one already, that is said as an error: it was written with another secret, which may still be in a backup.
    ///
    /// # Errors
    /// When the secret is too short, or the file cannot be read or made.
    pub fn load_or_create(folder: &Path, database: &Path) -> anyhow::Result<Self> {
        let path = folder.join(MASTER);
        if let Some(given) = Self::read()? {
            return Ok(given);
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0_u8; 32];
                rand::rngs::SysRng.try_fill_bytes(&mut bytes).context("random numbers")?;
                let bytes = create(folder, &path, &bytes)
                    .with_context(|| format!("cannot make {}", path.display()))?;
                if database.join("PG_VERSION").exists() {
                    tracing::error!(
                        database = %database.display(),
                        made = %path.display(),
                        otherwise = "all streamers need new stream keys, everybody has to log in again, and earlier broadcasts \
                                     in storage are not known as this platform's",
                        "the secret that the database was written with is not there, so a new one is made; to have the old one \
                         back, stop, and restore secrets/ from the backup, or set CAUDAL_SECRET as it was"
                    );
                }
                bytes
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        anyhow::ensure!(
            bytes.len() >= MIN_LENGTH,
            "{} is damaged: it has {} bytes, fewer than {MIN_LENGTH}. Restore it from a backup. Without one, move it away: a new \
             one is made, everybody has to log in again, and all streamers need new stream keys",
            path.display(),
            bytes.len(),
        );
        Ok(Self(SecretBox::new(Box::new(bytes))))
    }

    /// Notes in `folder` that this secret is in use, so that another one is noticed at a start ([`another_secret`]). What is
    /// noted already stays.
    pub fn remember(&self, folder: &Path) {
        let path = folder.join(DIGEST);
        if let Err(error) = create(folder, &path, self.digest().as_bytes()) {
            tracing::warn!(path = %path.display(), %error, "it cannot be noted which secret is in use");
        }
    }

    /// Tells secrets apart, and says nothing of them.
    fn digest(&self) -> String {
        hex::encode(self.derive("digest"))
    }

    /// One of these bytes.
    #[cfg(test)]
    pub fn for_test(text: &str) -> Self {
        Self(SecretBox::new(Box::new(text.as_bytes().to_vec())))
    }

    /// The 32 bytes for one purpose: HMAC-SHA-256(master, purpose).
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()) else {
            // HMAC takes keys of any length.
            unreachable!()
        };
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// `JWT_SECRET`, if it can be signed with.
///
/// # Errors
/// When it is too short.
pub fn checked_jwt(given: SecretString) -> anyhow::Result<SecretString> {
    anyhow::ensure!(
        given.expose_secret().len() >= MIN_LENGTH,
        "JWT_SECRET: expected at least {MIN_LENGTH} characters"
    );
    Ok(given)
}

/// What is wrong when the secret that a start would use is not the one that the data folder `data` was used with before. Unless
/// somebody means it, it is a mistake whose effects show late and look like others: keys that nobody can read, sessions that
/// have ended, broadcasts in storage that are somebody else's.
pub fn another_secret(data: &Path) -> Option<String> {
    // One that cannot be read is another fault.
    another_than_before(data, MasterSecret::read().ok()?)
}

/// The same where `given` is `CAUDAL_SECRET`.
fn another_than_before(data: &Path, given: Option<MasterSecret>) -> Option<String> {
    let folder = data.join(SECRETS);
    let (digest, own) = (folder.join(DIGEST), folder.join(MASTER));
    let noted = fs::read_to_string(&digest).ok();
    let kept = fs::read(&own).map(|bytes| MasterSecret(SecretBox::new(Box::new(bytes))));
    let is_noted =
        |secret: &MasterSecret| noted.as_ref().is_some_and(|noted| secret.digest() == noted.trim_end());
    let (own, digest) = (own.display(), digest.display());
    let variable = given_by();
    let (fault, cure, removed) = match (given, kept) {
        (Some(given), _) if is_noted(&given) => return None,
        (None, Ok(kept)) if is_noted(&kept) => return None,
        // Releases that noted nothing used `master` where CAUDAL_SECRET was not set.
        (Some(given), Ok(kept)) if noted.is_none() && given.digest() != kept.digest() => (
            format!("{variable} is not the secret that this data folder has in {own}"),
            format!("leave {variable} out, as before"),
            format!("move {own} to where nothing looks for it"),
        ),
        _ if noted.is_none() => return None,
        (Some(_), kept) => (
            format!("{variable} is not the one that {} was used with before", data.display()),
            if kept.is_ok() {
                format!("set {variable} as it was, or leave it out, if it was")
            } else {
                format!("set {variable} as it was")
            },
            if kept.is_ok() { format!("remove {digest} and {own}") } else { format!("remove {digest}") },
        ),
        (None, Ok(_)) => (
            format!(
                "CAUDAL_SECRET is not set, and {own} is not the secret that this data folder was used with before"
            ),
            "set CAUDAL_SECRET as it was, or restore secrets/ from a backup".to_owned(),
            format!("remove {digest}"),
        ),
        (None, Err(_)) => (
            format!(
                "CAUDAL_SECRET is not set, and {own} is not there: the secret that this data folder was used with is missing"
            ),
            "set CAUDAL_SECRET as it was, or restore secrets/ from a backup".to_owned(),
            format!("remove {digest}"),
        ),
    };
    Some(format!(
        "{fault}. With another secret nobody's stream key and session is good any more: {cure}; to change it on purpose, {removed}"
    ))
}

/// The variable that names the secret, for whoever has to change it.
fn given_by() -> &'static str {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_set("CAUDAL_SECRET") && is_set("CAUDAL_SECRET_FILE") {
        "CAUDAL_SECRET_FILE"
    } else {
        "CAUDAL_SECRET"
    }
}

/// Makes a file of `folder` that nobody else can read, unless something of its name is there: then whatever it is stays, and
/// is read.
pub fn create(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<Vec<u8>> {
    if path.exists() {
        return fs::read(path);
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Mode 0600, and a name that nothing had before.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => fs::File::open(folder)?.sync_all().map(|()| bytes.to_vec()),
        // Another start was quicker, or a link leads to a disk that is not mounted.
        Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => fs::read(path),
        Err(failed) => Err(failed.error),
    }
}

/// The subfolder of the data folder.
pub const SECRETS: &str = "secrets";
/// The secret that the platform made itself.
const MASTER: &str = "master";
/// Which secret is in use.
const DIGEST: &str = "digest";
/// A JWT's HS256 wants as many bytes as its hash has.
pub const MIN_LENGTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_master_secret_is_made_once_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().join("secrets");
        let first = MasterSecret::load_or_create(&secrets, &folder.path().join("postgres")).unwrap();
        let second = MasterSecret::load_or_create(&secrets, &folder.path().join("postgres")).unwrap();
        assert_eq!(first.derive("a"), second.derive("a"));
        assert_ne!(first.derive("a"), first.derive("b"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&secrets.join("master")), 0o600);
        assert_eq!(mode(&secrets), 0o700);
    }

    #[test]
    fn a_damaged_master_secret_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("master"), "short").unwrap();
        let error =
            MasterSecret::load_or_create(folder.path(), &folder.path().join("postgres")).err().unwrap();
        assert!(error.to_string().contains("damaged"), "{error}");
    }

    #[test]
    fn starts_at_the_same_time_agree_on_one_master_secret() {
        let folder = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        let derived = std::thread::scope(|scope| {
            let (start, folder) = (&start, &folder);
            let starts: Vec<_> = (0..8_u8)
                .map(|number| {
                    scope.spawn(move || {
                        start.wait();
                        create(folder.path(), &folder.path().join(MASTER), &[number; 32]).unwrap()
                    })
                })
                .collect();
            starts.into_iter().map(|one| one.join().unwrap()).collect::<std::collections::HashSet<_>>()
        });
        assert_eq!(derived.len(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_secret_than_the_one_before_is_noticed_and_forgotten_with_its_digest() {
        let data = tempfile::tempdir().unwrap();
        let secrets = data.path().join(SECRETS);
        assert_eq!(another_secret(data.path()), None, "a first start");
        let own = MasterSecret::load_or_create(&secrets, &data.path().join("postgres")).unwrap();
        own.remember(&secrets);
        assert_eq!(another_secret(data.path()), None);
        // A later start notes nothing else.
        let other = MasterSecret(SecretBox::new(Box::new(vec![7; 32])));
        other.remember(&secrets);
        assert_eq!(another_secret(data.path()), None);

        fs::write(secrets.join(MASTER), [7; 32]).unwrap();
        let fault = another_secret(data.path()).unwrap();
        assert!(fault.contains("secrets/master is not the secret") && fault.contains("remove "), "{fault}");
        fs::remove_file(secrets.join(MASTER)).unwrap();
        let fault = another_secret(data.path()).unwrap();
        assert!(fault.starts_with("CAUDAL_SECRET is not set, and "), "{fault}");
        fs::remove_file(secrets.join(DIGEST)).unwrap();
        assert_eq!(another_secret(data.path()), None);
    }

    #[test]
    fn a_given_secret_is_not_used_over_the_folders_own_until_somebody_has_put_that_one_away() {
        let secret = |byte| MasterSecret(SecretBox::new(Box::new(vec![byte; 32])));
        let data = tempfile::tempdir().unwrap();
        let secrets = data.path().join(SECRETS);
        fs::create_dir(&secrets).unwrap();
        // As a release left it that noted nothing.
        fs::write(secrets.join(MASTER), [1; 32]).unwrap();
        let fault = another_than_before(data.path(), Some(secret(2))).unwrap();
        assert!(
            fault.starts_with("CAUDAL_SECRET is not the secret that this data folder has in "),
            "{fault}"
        );
        assert!(fault.contains("to change it on purpose, move ") && !fault.contains(DIGEST), "{fault}");
        assert_eq!(another_than_before(data.path(), Some(secret(1))), None);
        assert_eq!(another_than_before(data.path(), None), None);

        secret(1).remember(&secrets);
        assert_eq!(another_than_before(data.path(), None), None);
        let fault = another_than_before(data.path(), Some(secret(2))).unwrap();
        assert!(fault.contains("secrets/digest and ") && fault.ends_with("secrets/master"), "{fault}");
        for file in [DIGEST, MASTER] {
            fs::remove_file(secrets.join(file)).unwrap();
        }
        assert_eq!(another_than_before(data.path(), Some(secret(2))), None);
        // One that was given from the start.
        secret(2).remember(&secrets);
        let fault = another_than_before(data.path(), Some(secret(3))).unwrap();
        assert!(
            fault.starts_with("CAUDAL_SECRET is not the one that ") && fault.ends_with("secrets/digest"),
            "{fault}"
        );
    }

    #[test]
    fn a_master_secret_on_a_disk_that_is_not_mounted_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master");
        std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
        fs::write(folder.path().join("master.new"), "theirs").unwrap();
        assert!(MasterSecret::load_or_create(folder.path(), &folder.path().join("postgres")).is_err());
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(fs::read(folder.path().join("master.new")).unwrap(), b"theirs");
    }
}
