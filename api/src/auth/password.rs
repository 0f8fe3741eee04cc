//! Argon2id, away from the threads that answer requests.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::error::{Error, StartError};

/// Hashes and verifies; as many at once as there are cores, the others wait their turn.
#[derive(Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    /// What an unknown person's password is compared with, so that being unknown takes as long as being wrong.
    nobody: Arc<str>,
}

impl Passwords {
    pub(crate) fn new() -> Result<Self, StartError> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let nobody =
            hash(&SecretString::from(uuid::Uuid::new_v4().to_string())).map_err(StartError::Passwords)?;
        Ok(Self { turns: Arc::new(Semaphore::new(cores)), nobody: nobody.into() })
    }

    /// The PHC string to keep.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, Error> {
        self.in_turn(move || hash(&password).map_err(Error::Internal)).await?
    }

    /// Whether `password` belongs to `stored`; without one it never does, and takes as long.
    pub(crate) async fn verify(&self, password: SecretString, stored: Option<String>) -> Result<bool, Error> {
        let nobody = Arc::clone(&self.nobody);
        self.in_turn(move || match stored {
            Some(stored) => verify(&password, &stored),
            None => verify(&password, &nobody).map(|_| false),
        })
        .await?
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn =
            turn.map_err(|_| Error::Overloaded)?.map_err(|error| Error::Internal(error.to_string()))?;
        let worked = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        worked.await.map_err(|error| Error::Internal(error.to_string()))
    }
}

fn argon2() -> Result<Argon2<'static>, String> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| error.to_string())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &SecretString) -> Result<String, String> {
    let hashed = argon2()?.hash_password(password.expose_secret().as_bytes());
    hashed.map(|hash: PasswordHash| hash.to_string()).map_err(|error| error.to_string())
}

fn verify(password: &SecretString, stored: &str) -> Result<bool, Error> {
    let stored =
        PasswordHash::new(stored).map_err(|error| Error::Internal(format!("a stored password: {error}")))?;
    let argon2 = argon2().map_err(Error::Internal)?;
    Ok(argon2.verify_password(password.expose_secret().as_bytes(), &stored).is_ok())
}

/// OWASP's first choice for Argon2id; 55 ms on one core of a small machine.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Whoever waits longer is told to come back: a crowd must not become a queue without end.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_recognised_and_another_is_not() {
        let passwords = Passwords::new().unwrap();
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(passwords.verify("correct horse".into(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("correct horsf".into(), Some(stored)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn the_same_password_never_looks_the_same() {
        let passwords = Passwords::new().unwrap();
        let first = passwords.hash("correct horse".into()).await.unwrap();
        assert_ne!(first, passwords.hash("correct horse".into()).await.unwrap());
    }
}
