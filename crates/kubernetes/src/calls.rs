//! Calls to the API server: only so many at a time, each with a deadline, and what it fails with is sorted by what can be done about it.

use std::sync::LazyLock;
use std::time::Duration;

use kube::config::InferConfigError;
use kube::core::Status;
use kube::{Client, Config, Error};
use prometheus::{IntCounterVec, Opts, Registry};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Why there is no client.
#[derive(Debug, Error)]
pub enum NoClient {
    /// Neither this pod's service account nor a kubeconfig says where the API server is.
    #[error("where the API server is: {0}")]
    Nowhere(#[from] InferConfigError),
    /// What says so cannot be used.
    #[error("a client of the API server: {0}")]
    Unusable(#[from] Error),
}

/// A client of the API server that this pod's service account is for, or that `KUBECONFIG` names. Connects to nothing yet. Must be
/// called within a tokio runtime.
///
/// # Errors
/// [`NoClient`] when neither is there.
pub async fn client() -> Result<Client, NoClient> {
    let mut config = Config::infer().await?;
    config.connect_timeout = Some(CONNECT_DEADLINE);
    // kube would repeat a call that got 429, 503 or 504 up to 15 times, for longer than whoever makes it waits.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// A client of the same server whose calls are sent only while `still` holds, which is asked when a call has had its turn; from then on they
/// fail as [`Failure::Unavailable`], in the words `why`. Must be called within a tokio runtime.
pub fn client_while(client: Client, why: &'static str, still: impl Fn() -> bool + Send + 'static) -> Client {
    let namespace = client.default_namespace().to_owned();
    let sending = tower::service_fn(move |request| {
        let (client, holds) = (client.clone(), still());
        async move { if holds { client.send(request).await } else { Err(Error::Service(why.into())) } }
    });
    Client::new(sending, namespace)
}

/// Why a call came to nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// The object has another version, or another uid, than the call was made for.
    #[error("somebody else has changed it")]
    Conflict,
    /// There is an object of this name.
    #[error("there is one already")]
    AlreadyExists,
    /// There is none of this name.
    #[error("there is none")]
    NotFound,
    /// A quota allows no more.
    #[error("a quota allows no more: {0}")]
    Quota(String),
    /// The server does not take the object, and would not take it again.
    #[error("the API server refuses it: {0}")]
    Refused(String),
    /// Who asks has not the right to. It is mended by a person, perhaps while we run.
    #[error("the API server forbids it: {0}")]
    Forbidden(String),
    /// Try again later. It may have been done all the same.
    #[error("the API server is unavailable: {0}")]
    Unavailable(String),
}

/// Waits for a turn, and then for a call, but for that no longer than [`DEADLINE`]. A thousand streams that begin together would
/// otherwise ask a thousand things at the same moment, each over a connection of its own, and be answered too late all of them.
///
/// # Errors
/// [`Failure`], sorted by what can be done about it.
pub async fn call<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    let _turn = turn(&TURNS).await?;
    within(DEADLINE, call).await
}

/// The same for what nobody waits for. A few at a time have turns, so that a publisher's worker is found while much is to be written
/// down; what has waited for [`PUT_OFF`] goes with the others.
///
/// # Errors
/// [`Failure`], as of [`call`].
pub async fn call_later<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    call_if(Haste::Later, || true, call).await
}

/// The same, as soon as `haste` says, for a write that is made only if what it was decided on `still` holds once its turn has come.
///
/// # Errors
/// [`Failure`], as of [`call`]; [`Failure::Conflict`] where it holds no longer.
pub async fn call_if<T>(
    haste: Haste,
    still: impl FnOnce() -> bool,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    let _later = match haste {
        Haste::Awaited => None,
        // A stream's own news waits behind what it writes down, so that must not take long either.
        Haste::Later => timeout(PUT_OFF, TURNS_OF_LATER.acquire()).await.ok(),
    };
    let _turn = turn(&TURNS).await?;
    if !still() {
        return Err(Failure::Conflict);
    }
    within(DEADLINE, call).await
}

/// Whether anybody waits for what a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// A publisher or viewers do.
    Awaited,
    /// Nobody does.
    Later,
}

/// The same without a turn, for what all other calls depend on: a lease that is renewed too late is lost.
///
/// # Errors
/// [`Failure`], as of [`call`].
pub async fn call_at_once<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    within(DEADLINE, call).await
}

/// The same as [`call`] for a call that moves many objects.
///
/// # Errors
/// [`Failure`], as of [`call`].
pub async fn call_for_many<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    let _turn = turn(&TURNS_OF_LISTS).await?;
    within(DEADLINE_OF_LISTS, call).await
}

/// The same without a turn: what a watch does not tell, nobody knows.
pub(crate) async fn list_at_once<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    within(DEADLINE_OF_LISTS, call).await
}

/// Waits for a turn, but no longer than [`WAITING`].
async fn turn(turns: &'static Semaphore) -> Result<SemaphorePermit<'static>, Failure> {
    match timeout(WAITING, turns.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(counted(Failure::Unavailable(format!("no turn for a call within {} s", WAITING.as_secs())))),
    }
}

async fn within<T>(deadline: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match timeout(deadline, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(counted(Failure::of(&error))),
        Err(_) => Err(counted(Failure::Unavailable(format!("no answer within {} s", deadline.as_secs())))),
    }
}

/// Registers how many calls of this process came to nothing, by kind; with it, watches that broke.
///
/// # Errors
/// When it is registered already.
pub fn register_failures(registry: &Registry) -> Result<(), prometheus::Error> {
    FAILURES.as_ref().map_or(Ok(()), |failures| registry.register(Box::new(failures.clone())))
}

/// A watch broke, or could not be opened.
pub(crate) fn watch_failed() {
    count("watch");
}

fn counted(failure: Failure) -> Failure {
    count(match failure {
        Failure::Conflict => "conflict",
        Failure::AlreadyExists => "already_exists",
        Failure::NotFound => "not_found",
        Failure::Quota(_) => "quota",
        Failure::Refused(_) => "refused",
        Failure::Forbidden(_) => "forbidden",
        Failure::Unavailable(_) => "unavailable",
    });
    failure
}

fn count(kind: &str) {
    if let Some(failures) = FAILURES.as_ref() {
        failures.with_label_values(&[kind]).inc();
    }
}

/// One for the process, because every part of it asks the same server. There always is one: its name is valid.
static FAILURES: LazyLock<Option<IntCounterVec>> = LazyLock::new(|| {
    let help = "Calls to the Kubernetes API server that came to nothing, by kind";
    IntCounterVec::new(Opts::new("caudal_kubernetes_failed_calls_total", help), &["kind"]).ok()
});

impl Failure {
    /// Sorts what kube says.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Api(status) => Self::of_status(status),
            other => Self::Unavailable(other.to_string()),
        }
    }

    fn of_status(status: &Status) -> Self {
        let said = status.message.clone();
        match (status.code, status.reason.as_str()) {
            (409, "AlreadyExists") => Self::AlreadyExists,
            // Many pods at once: it is the quota's own count that somebody else has changed, and nothing was made.
            (409, _) if said.contains("resourcequotas") => Self::Unavailable(said),
            (409, _) => Self::Conflict,
            // 410 is an old list's; there is nothing that an object could be "gone" by.
            (404, _) => Self::NotFound,
            (403, _) if said.contains("exceeded quota") => Self::Quota(said),
            (400 | 413 | 422, _) => Self::Refused(said),
            (403, _) => Self::Forbidden(said),
            // 401 too: a token is renewed while we run.
            (code, reason) => Self::Unavailable(format!("{code} {reason}: {said}")),
        }
    }
}

/// Of this process, whoever makes the calls: they share the server. Never closed.
static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Taken before one of [`TURNS`].
static TURNS_OF_LATER: Semaphore = Semaphore::const_new(LATER_AT_ONCE);

/// Apart, because a list may take half a minute, and a claim must not wait for it.
static TURNS_OF_LISTS: Semaphore = Semaphore::const_new(LISTS_AT_ONCE);

/// At 10 ms each they are 1,600 a second, four times what fifty streams a second need; and a server whose cores are all busy, which takes
/// some 6 ms of a core for each, still answers the next one within a tenth of a second.
const AT_ONCE: usize = 16;
/// At 10 ms each they are 400 a second, what fifty streams a second come to; and a small server is left free for what is awaited.
const LATER_AT_ONCE: usize = 4;
/// A lost worker is to be replaced within two seconds of its silence.
const PUT_OFF: Duration = Duration::from_secs(2);
const LISTS_AT_ONCE: usize = 4;
/// A thousand calls have had their turns by then.
const WAITING: Duration = Duration::from_secs(30);
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// How long one object may take.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// A page has 500 objects.
const DEADLINE_OF_LISTS: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn answer(code: u16, reason: &str, message: &str) -> Failure {
        Failure::of(&Error::Api(Box::new(Status::failure(message, reason).with_code(code))))
    }

    #[test]
    fn what_the_server_answers_is_sorted_by_what_can_be_done_about_it() {
        assert_eq!(answer(409, "Conflict", ""), Failure::Conflict);
        assert_eq!(answer(409, "AlreadyExists", ""), Failure::AlreadyExists);
        let counting = r#"Operation cannot be fulfilled on resourcequotas "q": the object has been modified"#;
        assert_eq!(answer(409, "Conflict", counting), Failure::Unavailable(counting.to_owned()));
        assert_eq!(answer(404, "NotFound", ""), Failure::NotFound);
        assert!(matches!(
            answer(403, "Forbidden", "pods \"w\" is forbidden: exceeded quota: q"),
            Failure::Quota(_)
        ));
        for code in [400, 413, 422] {
            assert!(matches!(answer(code, "Invalid", "no"), Failure::Refused(_)), "{code}");
        }
        assert_eq!(answer(403, "Forbidden", "no"), Failure::Forbidden("no".to_owned()));
        for code in [401, 429, 500, 503, 504] {
            assert!(matches!(answer(code, "", "no"), Failure::Unavailable(_)), "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_answered_is_given_up() {
        let begun = tokio::time::Instant::now();
        let outcome = call_at_once(std::future::pending::<Result<(), Error>>()).await;
        assert!(matches!(outcome, Err(Failure::Unavailable(_))));
        assert_eq!(begun.elapsed(), DEADLINE);
    }

    #[tokio::test]
    async fn more_calls_than_turns_wait_without_losing_time_of_their_own_and_one_at_once_does_not() {
        let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let one = || async {
            let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            under_way.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Error>(())
        };
        let all = futures::future::join_all((0..4 * AT_ONCE).map(|_| call(one())));
        let first = async {
            tokio::task::yield_now().await;
            call_at_once(one()).await
        };
        let (answers, at_once) = tokio::join!(all, first);
        assert!(answers.into_iter().all(|answer| answer.is_ok()) && at_once.is_ok());
        // Other tests may have turns meanwhile.
        assert!(most.into_inner() <= AT_ONCE + 1);
    }
}
