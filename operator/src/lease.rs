//! Who leads: a `Lease` that one process at a time holds, and gives up by itself before anybody else may take it.
//!
//! A holder renews it three times within its duration, and stops to lead when two thirds of that have passed since it began the last
//! renewal that succeeded. Others take it when they have seen it unchanged for its whole duration, by their own clocks alone: what the machines'
//! wall clocks say is only for people. Each write is for the version that was read.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use caudal_kubernetes::calls::{Failure, call_at_once};

use crate::leadership::Leadership;
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

    /// Shorter than the duration by what a call that was begun in the last moment usually takes until the server has carried it out. One that
    /// takes longer changes nothing that the next leader relies on: what has a version is guarded by it, and what is made has a name of its own.
    fn lead_within(self) -> Duration {
        self.duration * 2 / 3
    }

    /// How often the others look.
    fn look_each(self) -> Duration {
        self.duration / 6
    }

    /// Between two tries of a renewal, the first of which may yet be answered: a third one is begun before the end.
    fn try_each(self) -> Duration {
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
    leadership: Leadership,
}

impl Held {
    /// What the calls of whoever leads by it go by.
    pub fn leadership(&self) -> &Leadership {
        &self.leadership
    }
}

/// What a look at the lease says to a process that does not hold it.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Nobody holds it any more.
    Free,
    /// Somebody may.
    Held,
}

/// Which version was seen, none where the lease was missing, and since when.
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
        let asked = Instant::now();
        let found = call_at_once(self.api.get_opt(&self.name)).await?;
        if look(found.as_ref(), &self.identity, self.term, asked, seen) == Look::Held {
            return Ok(None);
        }
        let (since, now) = (Instant::now(), Timestamp::now());
        let params = PostParams::default();
        let written = match found {
            None => call_at_once(self.api.create(&params, &self.first(now))).await,
            Some(lease) => {
                let lease = taken(lease, &self.identity, self.term, now);
                call_at_once(self.api.replace(&self.name, &params, &lease)).await
            }
        };
        match written {
            Ok(lease) => {
                let leadership = Leadership::until(since + self.term.lead_within());
                Ok(Some(Held { lease, since, leadership }))
            }
            // Somebody was quicker.
            Err(Failure::Conflict | Failure::AlreadyExists | Failure::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps the lease, and returns when this process leads no longer: within two thirds of its term since the last renewal, whatever the
    /// API server does.
    pub async fn keep(&self, mut held: Held) {
        loop {
            let renewing = held.since + self.term.renew_each();
            sleep_until(renewing).await;
            match timeout_at(held.since + self.term.lead_within(), self.renew(&held)).await {
                Ok(Some(renewed)) => {
                    self.metrics.renewal(Renewal::Renewed, renewing.elapsed());
                    held = renewed;
                    held.leadership.prolong(held.since + self.term.lead_within());
                }
                Ok(None) => {
                    tracing::error!(
                        identity = self.identity,
                        "the lease is not this operator's any more; it leads no longer"
                    );
                    break;
                }
                Err(_) => {
                    self.metrics.renewal(Renewal::Failed, renewing.elapsed());
                    tracing::error!(
                        identity = self.identity,
                        "the lease could not be renewed in time; this operator leads no longer"
                    );
                    break;
                }
            }
        }
        held.leadership.end();
    }

    /// None when it is somebody else's. A try that is not answered soon may be lost, or be answered late by a slow server: so another one
    /// is begun beside it, and whichever succeeds first counts.
    async fn renew(&self, held: &Held) -> Option<Held> {
        let mut tries = FuturesUnordered::new();
        tries.push(self.try_to_renew(held, Duration::ZERO));
        loop {
            tokio::select! {
                Some(outcome) = tries.next() => match outcome {
                    Ok(renewed) => return renewed,
                    Err(error) => {
                        tracing::debug!(%error, "the lease cannot be renewed now");
                        tries.push(self.try_to_renew(held, RETRY));
                    }
                },
                () = sleep(self.term.try_each()) => tries.push(self.try_to_renew(held, Duration::ZERO)),
            }
        }
    }

    /// None when it is somebody else's.
    async fn try_to_renew(&self, held: &Held, pause: Duration) -> Result<Option<Held>, Failure> {
        sleep(pause).await;
        let mut lease = held.lease.clone();
        loop {
            let since = Instant::now();
            let next = renewed(lease, &self.identity, self.term, Timestamp::now());
            let written = call_at_once(self.api.replace(&self.name, &PostParams::default(), &next)).await;
            match written {
                Ok(lease) => {
                    return Ok(Some(Held { lease, since, leadership: held.leadership.clone() }));
                }
                // Perhaps by a try of ours whose answer was lost, or is still to come.
                Err(Failure::Conflict | Failure::NotFound) => {
                    let found = call_at_once(self.api.get_opt(&self.name)).await?;
                    match found.filter(|found| holder(found) == Some(&self.identity)) {
                        Some(found) => lease = found,
                        None => return Ok(None),
                    }
                }
                Err(error) => {
                    self.metrics.renewal(Renewal::Failed, since.elapsed());
                    return Err(error);
                }
            }
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

/// Whether `identity`, who asked for the lease at `asked` and was answered this just now, may take it. No two processes have one identity, and
/// this one does not lead any more: a lease of its own is left of a term that is over, or of a taking whose answer was lost.
fn look(lease: Option<&Lease>, identity: &str, term: Term, asked: Instant, seen: &mut Seen) -> Look {
    // Who deletes a lease that is held ends nobody's leadership: its holder leads until it notices.
    let is_free = lease.map_or(seen.is_none(), |lease| holder(lease).is_none_or(|holder| holder == identity));
    if is_free {
        return Look::Free;
    }
    let version = lease.and_then(ResourceExt::resource_version);
    let since = match seen {
        Some((known, since)) if *known == version => *since,
        _ => {
            // It may have been renewed until the moment in which the server answered.
            let now = Instant::now();
            *seen = Some((version, now));
            now
        }
    };
    let seconds = lease.and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds);
    let duration =
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(term.duration, Duration::from_secs);
    if asked.saturating_duration_since(since) >= duration { Look::Free } else { Look::Held }
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

/// With the holder's own term: the others go by what the lease says of it, whoever has edited that meanwhile.
fn renewed(mut lease: Lease, identity: &str, term: Term, now: Timestamp) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(identity.to_owned());
    spec.renew_time = Some(MicroTime(now));
    spec.lease_duration_seconds = i32::try_from(term.duration.as_secs()).ok();
    lease
}

const RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use caudal_kubernetes::calls::DEADLINE;
    use caudal_kubernetes::fake_server::{FakeServer, Trouble};
    use tokio::time::{advance, timeout};

    const TERM: Term = Term::of_seconds(6);
    const DURATION: Duration = Duration::from_secs(6);
    const RENEW_EACH: Duration = Duration::from_secs(2);
    const LEAD_WITHIN: Duration = Duration::from_secs(4);
    const LOOK_EACH: Duration = Duration::from_secs(1);

    fn election(server: &FakeServer, identity: &str) -> Election {
        election_over(server.client(), identity)
    }

    fn election_over(client: Client, identity: &str) -> Election {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        Election::new(client, "caudal", "caudal-operator", identity.to_owned(), TERM, metrics)
    }

    /// A server that answers each call after this time, half of which it needs to come to it.
    fn slow(server: &FakeServer, takes: Duration) -> Client {
        let server = server.client();
        let service = tower::service_fn(move |request| {
            let server = server.clone();
            async move {
                sleep(takes / 2).await;
                let answer = server.send(request).await;
                sleep(takes / 2).await;
                answer
            }
        });
        Client::new(service, "caudal")
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
    async fn a_term_that_somebody_edits_is_the_holders_again_once_it_renews() {
        let server = FakeServer::new();
        let (one, two) = (election(&server, "one"), election(&server, "two"));
        let held = one.acquire().await;
        server.change("leases", "caudal-operator", |lease| {
            lease["spec"]["leaseDurationSeconds"] = serde_json::json!(600);
        });
        assert!(timeout(RENEW_EACH * 2, one.keep(held)).await.is_err());
        // It has died.
        let begun = Instant::now();
        two.acquire().await;
        assert!(begun.elapsed() <= DURATION + LOOK_EACH * 2, "{:?}", begun.elapsed());
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
    async fn a_taking_whose_answer_was_lost_and_a_term_that_was_lost_are_not_waited_for() {
        let server = FakeServer::new();
        let one = election(&server, "one");
        let begun = Instant::now();
        server.trouble("POST", Trouble::AnswerLost);
        let held = one.acquire().await;
        // The answer is waited for, and no lease behind that.
        assert!(begun.elapsed() <= DEADLINE + LOOK_EACH, "{:?}", begun.elapsed());
        server.go_away();
        one.keep(held).await;
        server.come_back();
        let begun = Instant::now();
        one.acquire().await;
        assert!(begun.elapsed() <= LOOK_EACH, "{:?}", begun.elapsed());
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

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_slow_and_answers_costs_no_leadership() {
        for millis in [700, 900, 1_300, 1_900] {
            let server = FakeServer::new();
            let one = election_over(slow(&server, Duration::from_millis(millis)), "one");
            let held = one.acquire().await;
            let kept = timeout(Duration::from_mins(10), one.keep(held)).await;
            assert!(kept.is_err(), "{millis} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_told_of_late_is_as_young_as_the_answer() {
        let mut lease = taken(Lease::default(), "one", TERM, Timestamp::now());
        lease.metadata.resource_version = Some("7".to_owned());
        let (asked, mut seen) = (Instant::now(), None);
        // It was renewed just before this answer.
        advance(Duration::from_secs(5)).await;
        assert_eq!(look(Some(&lease), "two", TERM, asked, &mut seen), Look::Held);
        advance(Duration::from_secs(5)).await;
        assert_eq!(look(Some(&lease), "two", TERM, Instant::now(), &mut seen), Look::Held);
        advance(Duration::from_secs(1)).await;
        assert_eq!(look(Some(&lease), "two", TERM, Instant::now(), &mut seen), Look::Free);
    }

    #[tokio::test(start_paused = true)]
    async fn who_deletes_a_lease_makes_nobody_lead_before_its_holder_has_stopped() {
        let server = FakeServer::new();
        let (one, two) = (election(&server, "one"), election(&server, "two"));
        let held = one.acquire().await;
        let stopping = async {
            one.keep(held).await;
            Instant::now()
        };
        let waiting = async {
            two.acquire().await;
            Instant::now()
        };
        let deleting = async {
            // Just after it was renewed.
            sleep(RENEW_EACH * 2 + RETRY).await;
            server.vanish("leases", "caudal-operator");
            Instant::now()
        };
        let (stopped, taken, deleted) = tokio::join!(stopping, waiting, deleting);
        assert!(taken >= stopped, "{:?} too soon", stopped - taken);
        assert!(taken - deleted <= DURATION + LOOK_EACH * 2, "{:?}", taken - deleted);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_leader_decided_is_not_sent_once_its_lease_may_be_over() {
        let server = FakeServer::new();
        let one = election(&server, "one");
        let held = one.acquire().await;
        let client = held.leadership().client(&server.client());
        let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client, "caudal");
        let sent = async |name: &str| {
            let answer = call_at_once(pods.delete(name, &kube::api::DeleteParams::default())).await;
            (answer.unwrap_err(), server.writes().contains(&format!("DELETE pods/{name}")))
        };
        assert_eq!(sent("first").await, (Failure::NotFound, true));
        let kept = timeout(Duration::from_secs(60), one.keep(held)).await;
        assert!(kept.is_err() && sent("much-later").await.1, "each renewal prolongs it");
        sleep(LEAD_WITHIN).await;
        let (failure, sent) = sent("too-late").await;
        assert!(!sent && failure.to_string().ends_with("leads no longer"), "{failure}");
    }
}
