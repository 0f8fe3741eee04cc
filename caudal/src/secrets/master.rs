//! `CAUDAL_SECRET`, the one secret that all keys of an installation can be derived from; or one that is made once and kept in
//! the data folder.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use caudal_service::secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRng as _;
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;

use super::private_file;

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
                let bytes = private_file::create(folder, MASTER, &bytes)
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

    /// The one in `folder`, whatever it is.
    ///
    /// # Errors
    /// When none is there, or it cannot be read.
    pub(super) fn kept_in(folder: &Path) -> io::Result<Self> {
        fs::read(folder.join(MASTER)).map(|bytes| Self(SecretBox::new(Box::new(bytes))))
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

/// The secret that the platform made itself.
pub(super) const MASTER: &str = "master";
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
