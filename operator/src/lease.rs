//! Who leads: a `Lease` that one process at a time holds, and gives up by itself before anybody else may take it.
//!
//! A holder renews it three times within its duration, and stops to lead when two thirds of that have passed since it began the last
//! renewal that succeeded. Others take it when they have seen it unchanged for its whole duration, by their own clocks alone: what the machines'
//! wall clocks say is only for people. Each write is for the version that was read.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use caudal_kubernetes::calls::{Failure, call_at_once};

use crate::metrics::{Metrics, Renewal};

/// One process's way to lead.
pub struct Election {
    api: Api<Lease>,
    name: String,
    /// Nobody else's, not even that of the process before in the same pod.
    identity: String,
    term: Term,
    metrics: Metrics,
}

/// How long a lease holds that is not renewed, and what follows from that.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    duration: Duration,
}

impl Term {
    /// Of whole seconds, as a `Lease` says them. All processes of an installation have the same one.
    pub const fn of_seconds(seconds: u64) -> Self {
        Self { duration: Duration::from_secs(seconds) }
    }

    fn renew_each(self) -> Duration {
        self.duration / 3
    }

    /// Shorter than the duration by what a call that was begun in the last moment may take until the server has carried it out.
    fn lead_within(self) -> Duration {
        self.duration * 2 / 3
    }

    /// How often the others look.
    fn look_each(self) -> Duration {
        self.duration / 6
    }

    /// Of one renewal: two fit in between the first try and the end.
    fn try_within(self) -> Duration {
        self.duration * 2 / 15
    }
}

impl Default for Term {
    fn default() -> Self {
        Self::of_seconds(6)
    }
}

/// A lease that is held.
#[derive(Clone, Debug)]
pub struct Held {
    lease: Lease,
    /// When the write that made it ours, or renewed it, was begun.
    since: Instant,
}

/// What a look at the lease says to a process that does not hold it.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Nobody holds it any more.
    Free,
    /// Somebody may.
    Held,
}

/// Which version was seen, and since when.
type Seen = Option<(Option<String>, Instant)>;

impl Election {
    /// The lease `name` of a namespace, for the process that is called `identity`, which must be another one for each process.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: String,
        term: Term,
        metrics: Metrics,
    ) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), identity, term, metrics }
    }

    /// Waits until this process holds the lease.
    pub async fn acquire(&self) -> Held {
        let mut seen = None;
        let mut said = false;
        loop {
            match self.try_to_acquire(&mut seen).await {
                Ok(Some(held)) => {
                    tracing::info!(identity = self.identity, "this operator leads");
                    return held;
                }
                Ok(None) => {}
                Err(error) if !std::mem::replace(&mut said, true) => {
                    tracing::warn!(%error, lease = self.name, "who leads cannot be told; asking again");
                }
                Err(error) => tracing::debug!(%error, lease = self.name),
            }
            sleep(self.term.look_each()).await;
        }
    }

    async fn try_to_acquire(&self, seen: &mut Seen) -> Result<Option<Held>, Failure> {
        let begun = Instant::now();
        let now = Timestamp::now();
        let written = match call_at_once(self.api.get_opt(&self.name)).await? {
            None => {
                let lease = self.first(now);
                call_at_once(self.api.create(&PostParams::default(), &lease)).await
            }
            Some(lease) => {
                if look(&lease, self.term, begun, seen) == Look::Held {
                    return Ok(None);
                }
                let lease = taken(lease, &self.identity, self.term, now);
                call_at_once(self.api.replace(&self.name, &PostParams::default(), &lease)).await
            }
        };
        match written {
            Ok(lease) => Ok(Some(Held { lease, since: begun })),
            // Somebody was quicker.
            Err(Failure::Conflict | Failure::AlreadyExists | Failure::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps the lease, and returns when this process leads no longer: within two thirds of its term since the last renewal, whatever the
    /// API server does.
    pub async fn keep(&self, mut held: Held) {
        loop {
            sleep_until(held.since + self.term.renew_each()).await;
            match timeout_at(held.since + self.term.lead_within(), self.renew(&held)).await {
                Ok(Some(renewed)) => held = renewed,
                Ok(None) => {
                    tracing::error!(identity = self.identity, "somebody else leads; this operator stops");
                    return;
                }
                Err(_) => {
                    tracing::error!(
                        identity = self.identity,
                        "the lease could not be renewed in time; this operator leads no longer"
                    );
                    return;
                }
            }
        }
    }

    /// None when it is somebody else's.
    async fn renew(&self, held: &Held) -> Option<Held> {
        let mut lease = held.lease.clone();
        loop {
            let since = Instant::now();
            let next = renewed(lease.clone(), Timestamp::now());
            let written = self.soon(self.api.replace(&self.name, &PostParams::default(), &next)).await;
            let renewal = if written.is_ok() { Renewal::Renewed } else { Renewal::Failed };
            self.metrics.renewal(renewal, since.elapsed());
            match written {
                Ok(lease) => return Some(Held { lease, since }),
                // Perhaps by a renewal of ours whose answer was lost.
                Err(Failure::Conflict | Failure::NotFound) => {
                    match self.soon(self.api.get_opt(&self.name)).await {
                        Ok(found) => lease = found.filter(|found| holder(found) == Some(&self.identity))?,
                        Err(error) => tracing::debug!(%error, "the lease cannot be read"),
                    }
                }
                Err(error) => tracing::debug!(%error, "the lease cannot be renewed now"),
            }
            sleep(RETRY).await;
        }
    }

    /// Lets go of the lease, if it is ours still, so that another one need not wait for its end.
    pub async fn release(&self) {
        let released = async {
            let Some(mut lease) = call_at_once(self.api.get_opt(&self.name)).await? else { return Ok(()) };
            if holder(&lease) == Some(&self.identity) {
                lease.spec.get_or_insert_default().holder_identity = Some(String::new());
                call_at_once(self.api.replace(&self.name, &PostParams::default(), &lease)).await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(error) = released.await {
            tracing::debug!(%error, "the lease could not be released; it ends by itself");
        }
    }

    /// A call that leaves time for another one.
    async fn soon<T>(&self, made: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
        let answer = timeout(self.term.try_within(), call_at_once(made)).await;
        answer.unwrap_or_else(|_| Err(Failure::Unavailable("no answer in time".to_owned())))
    }

    fn first(&self, now: Timestamp) -> Lease {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        let mut lease = taken(Lease { metadata, spec: None }, &self.identity, self.term, now);
        lease.spec.get_or_insert_default().lease_transitions = Some(0);
        lease
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref().filter(|holder| !holder.is_empty())
}

/// Whether somebody who sees this lease `now` may take it.
fn look(lease: &Lease, term: Term, now: Instant, seen: &mut Seen) -> Look {
    if holder(lease).is_none() {
        return Look::Free;
    }
    let version = lease.resource_version();
    let since = match seen {
        Some((known, since)) if *known == version => *since,
        _ => {
            *seen = Some((version, now));
            now
        }
    };
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    let duration =
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(term.duration, Duration::from_secs);
    if now.saturating_duration_since(since) >= duration { Look::Free } else { Look::Held }
}

fn taken(lease: Lease, identity: &str, term: Term, now: Timestamp) -> Lease {
    let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
    let spec = LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_duration_seconds: i32::try_from(term.duration.as_secs()).ok(),
        lease_transitions: Some(transitions.saturating_add(1)),
        ..LeaseSpec::default()
    };
    Lease { spec: Some(spec), ..lease }
}

fn renewed(mut lease: Lease, now: Timestamp) -> Lease {
    lease.spec.get_or_insert_default().renew_time = Some(MicroTime(now));
    lease
}

const RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use caudal_kubernetes::fake_server::{FakeServer, Trouble};

    const TERM: Term = Term::of_seconds(6);
    const DURATION: Duration = Duration::from_secs(6);
    const RENEW_EACH: Duration = Duration::from_secs(2);
    const LEAD_WITHIN: Duration = Duration::from_secs(4);
    const LOOK_EACH: Duration = Duration::from_secs(1);

    fn election(server: &FakeServer, identity: &str) -> Election {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        Election::new(server.client(), "caudal", "caudal-operator", identity.to_owned(), TERM, metrics)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_one_leads_and_the_second_when_the_first_has_let_go() {
        let server = FakeServer::new();
        let (one, two) = (election(&server, "one"), election(&server, "two"));
        let held = one.acquire().await;
        let keeping = async {
            assert!(
                timeout(Duration::from_secs(60), one.keep(held)).await.is_err(),
                "it leads for as long as it likes"
            );
            one.release().await;
            Instant::now()
        };
        let waiting = async {
            two.acquire().await;
            Instant::now()
        };
        let (released, taken) = tokio::join!(keeping, waiting);
        assert!(taken >= released && taken - released <= LOOK_EACH, "{:?}", taken - released);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_cannot_renew_stops_before_anybody_else_leads() {
        let server = FakeServer::new();
        let (one, two) = (election(&server, "one"), election(&server, "two"));
        let held = one.acquire().await;
        let cut_off = Instant::now();
        // Its calls come to nothing, and the other one's go on.
        let away = FakeServer::new();
        away.go_away();
        let elsewhere = election(&away, "one");
        let stopping = async {
            elsewhere.keep(held).await;
            Instant::now()
        };
        let waiting = async {
            two.acquire().await;
            Instant::now()
        };
        let (stopped, taken) = tokio::join!(stopping, waiting);
        assert!(stopped - cut_off <= LEAD_WITHIN, "{:?}", stopped - cut_off);
        assert!(
            taken - cut_off >= DURATION && taken - cut_off <= DURATION + LOOK_EACH * 2,
            "{:?}",
            taken - cut_off
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_whose_answer_was_lost_or_that_failed_for_a_moment_costs_no_leadership() {
        let server = FakeServer::new();
        let one = election(&server, "one");
        let held = one.acquire().await;
        server.trouble("PUT", Trouble::AnswerLost);
        server.trouble("PUT", Trouble::Answer(500, "InternalError"));
        server.trouble("PUT", Trouble::Answer(429, "TooManyRequests"));
        assert!(timeout(Duration::from_secs(60), one.keep(held)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_somebody_took_by_force_is_noticed_at_the_next_renewal() {
        let server = FakeServer::new();
        let one = election(&server, "one");
        let held = one.acquire().await;
        let api: Api<Lease> = Api::namespaced(server.client(), "caudal");
        let lease = api.get("caudal-operator").await.unwrap();
        api.replace("caudal-operator", &PostParams::default(), &taken(lease, "two", TERM, Timestamp::now()))
            .await
            .unwrap();
        let begun = Instant::now();
        one.keep(held).await;
        assert!(begun.elapsed() <= RENEW_EACH + RETRY, "{:?}", begun.elapsed());
        one.release().await;
        assert_eq!(holder(&api.get("caudal-operator").await.unwrap()).map(String::as_str), Some("two"));
    }
}
