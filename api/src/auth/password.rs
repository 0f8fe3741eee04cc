//! Argon2id, away from the threads that answer requests.

use std::cell::RefCell;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{self, CustomizedPasswordHasher, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Semaphore, oneshot};
use unicode_normalization::UnicodeNormalization as _;

use crate::error::Error;
use crate::limits::LimitError;
use crate::start_error::StartError;

/// Hashes and verifies; as many at once as there are cores, [`MOST_THREADS`] at most, the others wait their turn.
///
/// On threads of its own, each with the 19 MiB that a hash takes: the runtime has hundreds of threads for work that
/// blocks, and glibc gives aligned memory of that size back to itself so badly that 400 MiB stayed taken. They end with
/// the last clone.
#[derive(Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    jobs: SyncSender<Job>,
    /// What an unknown person's password is compared with, so that being unknown takes as long as being wrong.
    nobody: Arc<str>,
}

type Job = Box<dyn FnOnce(&Hasher) + Send>;

impl Passwords {
    pub(crate) fn new() -> Result<Self, StartError> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
        let unknown = SecretString::from(uuid::Uuid::new_v4().to_string());
        let nobody = Hasher::default().hash(&unknown).map_err(StartError::Passwords)?;
        // Never full: there is a job for each turn at most.
        let (jobs, queue) = sync_channel::<Job>(threads);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name("passwords".to_owned())
                .spawn(move || work_off(&queue))
                .map_err(|error| StartError::Passwords(error.to_string()))?;
        }
        Ok(Self { turns: Arc::new(Semaphore::new(threads)), jobs, nobody: nobody.into() })
    }

    /// The PHC string to keep.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, Error> {
        self.in_turn(move |hasher| hasher.hash(&password).map_err(Error::Internal)).await?
    }

    /// Whether `password` belongs to `stored`; without one it never does, and takes as long.
    pub(crate) async fn verify(&self, password: SecretString, stored: Option<String>) -> Result<bool, Error> {
        let nobody = Arc::clone(&self.nobody);
        self.in_turn(move |hasher| match stored {
            Some(stored) => hasher.verifies(&password, &stored),
            None => hasher.verifies(&password, &nobody).map(|_| false),
        })
        .await?
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Hasher) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn =
            turn.map_err(|_| LimitError::Overloaded)?.map_err(|error| Error::Internal(error.to_string()))?;
        let (answer, answered) = oneshot::channel();
        let job = move |hasher: &Hasher| {
            // Nobody waits for it any more: then it was for nothing.
            let _ = answer.send(work(hasher));
            drop(turn);
        };
        let failed = |error: String| Error::Internal(format!("password threads: {error}"));
        self.jobs.send(Box::new(job)).map_err(|error| failed(error.to_string()))?;
        answered.await.map_err(|error| failed(error.to_string()))
    }
}

/// For garde: whether something can be a password.
pub(crate) fn is_password(password: &SecretString, (): &()) -> garde::Result {
    // Upwards too: hashing is work that a stranger asks for.
    match password.expose_secret().chars().count() {
        0..8 => Err(garde::Error::new("length is lower than 8")),
        8..=128 => Ok(()),
        _ => Err(garde::Error::new("length is greater than 128")),
    }
}

/// Until nobody is left who could send a job.
fn work_off(queue: &Mutex<Receiver<Job>>) {
    let hasher = Hasher::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // Its asker learns of it; the next job needs the thread.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&hasher)));
    }
}

/// Argon2 over memory that it keeps.
#[derive(Default)]
struct Hasher {
    memory: RefCell<Vec<Block>>,
}

impl Hasher {
    fn hash(&self, password: &SecretString) -> Result<String, String> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| error.to_string())?;
        let salt = password_hash::try_generate_salt().map_err(|error| error.to_string())?;
        let password = composed(password);
        let password = password.expose_secret().as_bytes();
        let hashed = self.hash_password_with_params(password, &salt, params);
        hashed.map(|hash| hash.to_string()).map_err(|error| error.to_string())
    }

    fn verifies(&self, password: &SecretString, stored: &str) -> Result<bool, Error> {
        let stored = PasswordHash::new(stored)
            .map_err(|error| Error::Internal(format!("a stored password: {error}")))?;
        let is = |password: &SecretString| {
            self.verify_password(password.expose_secret().as_bytes(), &stored).is_ok()
        };
        let composed = composed(password);
        if is(&composed) {
            return Ok(true);
        }
        // Hashes of before are of what was typed.
        Ok(composed.expose_secret() != password.expose_secret() && is(password))
    }
}

/// As RFC 8265 (§4.2.1) compares passwords: what one keyboard sends as a letter with an accent, and another as a letter and an accent, is
/// one password.
fn composed(password: &SecretString) -> SecretString {
    password.expose_secret().nfc().collect::<String>().into()
}

/// Same as [`Argon2`]'s own implementation, but reuses the memory blocks.
impl CustomizedPasswordHasher<PasswordHash> for Hasher {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> password_hash::Result<PasswordHash> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?.unwrap_or_default();
        let version = version.map(Version::try_from).transpose()?.unwrap_or_default();
        let shown = ParamsString::try_from(&params)?;
        let mut output = [0; Output::MAX_LENGTH];
        let output = output
            .get_mut(..params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN))
            .ok_or(password_hash::Error::OutputSize)?;
        let blocks = params.block_count();
        let mut memory = self.memory.borrow_mut();
        if memory.len() < blocks {
            memory.resize(blocks, Block::new());
        }
        let argon2 = Argon2::new(algorithm, version, params);
        let hashed = argon2.hash_password_into_with_memory(password, salt, output, &mut *memory);
        // Nothing that a password could be told from stays.
        memory.fill(Block::new());
        hashed?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: shown,
            salt: Some(Salt::new(salt)?),
            hash: Some(Output::new(output)?),
        })
    }
}

/// 76 MiB: a container sees all cores of its node, and its limit of memory is not made for them. They hash 70 passwords a second.
const MOST_THREADS: usize = 4;
/// OWASP's first choice for Argon2id; 55 ms on one core of a small machine.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Whoever waits longer is told to come back: a crowd must not become a queue without end.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordHasher as _;

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

    /// By what is done, because a clock says little on a busy machine: somebody unknown waits for a turn as everybody does, and is
    /// compared with a hash that takes as much memory and as many passes as everybody's.
    #[tokio::test]
    async fn being_unknown_is_as_much_work_as_being_wrong() {
        let passwords = Passwords::new().unwrap();
        let costs = |phc: &str| phc.rsplitn(3, '$').nth(2).unwrap().to_owned();
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        assert_eq!(costs(&passwords.nobody), costs(&stored));
        assert_eq!(costs(&stored), "$argon2id$v=19$m=19456,t=2,p=1");
        let all = u32::try_from(passwords.turns.available_permits()).unwrap();
        let held = Arc::clone(&passwords.turns).acquire_many_owned(all).await.unwrap();
        for stored in [None, Some(stored)] {
            let mut waits = Box::pin(passwords.verify("correct horsf".into(), stored));
            assert!(futures::poll!(&mut waits).is_pending());
            assert!(futures::poll!(&mut waits).is_pending());
        }
        drop(held);
        let hasher = Hasher::default();
        // It is a hash that can be compared, not one that is refused at a glance.
        assert!(!hasher.verifies(&"correct horsf".into(), &passwords.nobody).unwrap());
        assert!(!passwords.verify("correct horsf".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn what_fails_costs_no_thread_and_no_turn() {
        let passwords = Passwords::new().unwrap();
        for _ in 0..2 * passwords.turns.available_permits() {
            let failed = passwords.in_turn(|_| -> u8 { panic!("as a test") }).await;
            assert!(matches!(failed, Err(Error::Internal(_))));
        }
        assert_eq!(passwords.in_turn(|_| 7).await.unwrap(), 7);
    }

    #[test]
    fn a_password_is_the_same_however_its_accents_are_sent() {
        let hasher = Hasher::default();
        let (composed, apart) =
            (SecretString::from("contrase\u{f1}a larga"), SecretString::from("contrasen\u{303}a larga"));
        for stored in [hasher.hash(&composed).unwrap(), hasher.hash(&apart).unwrap()] {
            for typed in [&composed, &apart] {
                assert!(hasher.verifies(typed, &stored).unwrap());
            }
            assert!(!hasher.verifies(&"contrasena larga".into(), &stored).unwrap());
        }
        let before = Argon2::default().hash_password(apart.expose_secret().as_bytes()).unwrap().to_string();
        assert!(hasher.verifies(&apart, &before).unwrap(), "a hash of what was typed, from before");
    }

    #[test]
    fn it_is_the_argon2_that_others_have() {
        let hasher = Hasher::default();
        for params in [Params::new(MEMORY_KIB, PASSES, LANES, None), Params::new(64, 3, 2, Some(24))] {
            let theirs = Argon2::from(params.unwrap()).hash_password(b"correct horse").unwrap().to_string();
            assert!(hasher.verifies(&"correct horse".into(), &theirs).unwrap(), "{theirs}");
            assert!(!hasher.verifies(&"correct horsf".into(), &theirs).unwrap(), "{theirs}");
        }
        let ours = PasswordHash::new(&hasher.hash(&"correct horse".into()).unwrap()).unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", &ours).is_ok());
    }

    #[tokio::test]
    async fn the_same_password_never_looks_the_same() {
        let passwords = Passwords::new().unwrap();
        let first = passwords.hash("correct horse".into()).await.unwrap();
        assert_ne!(first, passwords.hash("correct horse".into()).await.unwrap());
    }
}
