//! The role: waits until it leads, drives all streams for as long as it does, and lets go in order.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use caudal_controller::{
    Api, Backoff, Carriers, Controller, CredentialSource, LeftAlone, Pool, Queue, RecordStore as _,
    WallClock, WorkerLink,
};
use caudal_kubernetes::names::LEASE;
use caudal_livestream::proof::{AssignmentKeys, RoleKeys};
use caudal_livestream::{StreamId, WorkerId};
use caudal_service::health::Readiness;
use caudal_storage::{RoleSessions, SegmentStore};
use caudal_traces::Traces;
use kube::Client;
use prometheus::{IntGauge, Registry};
use thiserror::Error;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::build::PodSettings;
use crate::closed_pools;
use crate::departures::Departures;
use crate::drain::Drain;
use crate::events::{self, Notices};
use crate::lease::{Election, Held, Term};
use crate::letting_go::{self, LETTING_GO};
use crate::metrics::Metrics;
use crate::mislabelled::Mislabelled;
use crate::moves::Moves;
use crate::orphans::Orphans;
use crate::pauses::Pauses;
use crate::pods::Pods;
use crate::pools::Pools;
use crate::records::{LiveStreams, RecordSettings};
use crate::refill::Refill;
use crate::server_clock::{ServerClock, TermClock};
use crate::stream_sessions::StreamSessions;
use crate::upgrade::Upgrade;
use crate::workers::PodWorkers;

/// What an operator needs.
pub struct Config {
    /// A client of the API server.
    pub client: Client,
    /// What this process is called, in the lease and in Events: the pod's name, and something that no other process has.
    pub identity: String,
    /// How long its lease holds.
    pub term: Term,
    /// How workers' pods are made, and in which namespace all of it is.
    pub pods: PodSettings,
    /// The pool of streams that name none.
    pub pool: String,
    /// How many broadcasts are moved off nodes that are being emptied at the same time. With 0, nodes are not watched, which needs rights on
    /// the cluster.
    pub drain_moves: u32,
    /// How many live broadcasts a minute are moved off workers that were made before their pool's template or the image changed; with 0, none.
    pub moves_per_minute: u32,
    /// Where workers keep the streams' media; what of it nobody needs any more is removed.
    pub media: SegmentStore,
    /// How workers are spoken to.
    pub link: Arc<dyn WorkerLink>,
    /// Where workers' storage credentials come from; none where their pods have a Secret with some, or a volume.
    pub sessions: Option<RoleSessions>,
    /// Whom streams' beginnings and ends are reported to.
    pub api: Arc<dyn Api>,
    /// Signs assignments; workers hold its public half.
    pub assignments: AssignmentKeys,
    /// The router's role key, and those that it may still show.
    pub router_key: RoleKeys,
    /// The same of the edge, and of this operator as a reader of feeds.
    pub feed_key: RoleKeys,
    /// Where viewers reach the edge, as in `https://example.org`; none when it has no public address.
    pub edge: Option<String>,
    /// Where metrics are registered.
    pub registry: Registry,
    /// What is traced of the streams.
    pub traces: Traces,
    /// Set once pods and pools are known: from then on this process could lead.
    pub readiness: Readiness,
}

/// Why an operator cannot run.
#[derive(Debug, Error)]
pub enum Error {
    /// Something of this process is registered already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A watch has ended, and this process would know nothing new of pods, pools or nodes.
    #[error("a watch of the operator has ended: {0:?}")]
    Blind(Option<JoinError>),
}

/// Runs until `shutdown`. Streams that are not over stay as they are, for the next operator; their workers serve on.
///
/// # Errors
/// [`Error::Metrics`] before anything was done, [`Error::Blind`] once all that was begun has ended.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let metrics = Metrics::register(&config.registry)?;
    let (pods, pools, left_alone) = (Pods::default(), Pools::default(), LeftAlone::default());
    let namespace = config.pods.namespace.clone();
    let mut following = JoinSet::new();
    {
        let (pods, pools, client, namespace) =
            (pods.clone(), pools.clone(), config.client.clone(), namespace.clone());
        following.spawn(async move {
            tokio::join!(pods.follow(client.clone(), &namespace), pools.follow(client, &namespace));
        });
    }
    if config.drain_moves > 0 {
        let (pods, client) = (pods.clone(), config.client.clone());
        following.spawn(async move { pods.follow_nodes(client).await });
    }
    let stop = shutdown.child_token();
    let blind = {
        let mut leading = pin!(async {
            // It may be told to end before it knows of one pod.
            let known = async { tokio::join!(pods.whole(), pools.whole()) };
            if stop.run_until_cancelled(known).await.is_some() {
                config.readiness.set(true);
                Box::pin(lead_when_elected(&config, &pods, &pools, &left_alone, &metrics, &stop)).await;
                config.readiness.set(false);
            }
        });
        tokio::select! {
            () = &mut leading => None,
            // None ends by itself.
            Some(ended) = following.join_next() => {
                stop.cancel();
                leading.await;
                Some(Error::Blind(ended.err()))
            }
        }
    };
    following.shutdown().await;
    // Whether it led or not: the others are told to end at the same time.
    letting_go::if_namespace_goes(&config.client, &namespace).await;
    blind.map_or(Ok(()), Err)
}

/// Leads whenever nobody else does, until `shutdown`.
async fn lead_when_elected(
    config: &Config,
    pods: &Pods,
    pools: &Pools,
    left_alone: &LeftAlone,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) {
    let election = Election::new(
        config.client.clone(),
        &config.pods.namespace,
        LEASE,
        config.identity.clone(),
        config.term,
        metrics.clone(),
    );
    let (mut backoff, mut panics) = (Backoff::new(AGAIN, LONGEST_PAUSE), Panics::default());
    let mut stood_aside = None;
    while let Some(held) = shutdown.run_until_cancelled(election.acquire()).await {
        let (begun, over) = (Instant::now(), CancellationToken::new());
        let client = held.leadership().client(&config.client);
        let mut telling = JoinSet::new();
        let before = stood_aside;
        let leading = async {
            let (pods, pools, left_alone) = (pods.clone(), pools.clone(), left_alone.clone());
            let (panics, telling, over) = (&mut panics, &mut telling, over.clone());
            let stood_aside = &mut stood_aside;
            let leading = Leading { client, left_alone, panics, telling, stood_aside, over };
            lead(config, metrics, pods, pools, leading).await;
        };
        Box::pin(for_a_term(&election, held, leading, &over, &metrics.leads, shutdown)).await;
        let _ = timeout(TOLD_WITHIN, telling.join_next()).await;
        if shutdown.is_cancelled() {
            break;
        }
        // The lease may have gone with its namespace, and then nobody leads here any more.
        letting_go::if_namespace_goes(&config.client, &config.pods.namespace).await;
        // What ended this term at once may end the next one too, and another process may have more luck.
        if begun.elapsed() > LONGEST_PAUSE {
            backoff.reset();
        }
        if stood_aside == before {
            shutdown.run_until_cancelled(backoff.wait()).await;
        } else {
            // Long enough for any other process to take the lease.
            shutdown.run_until_cancelled(sleep(LONGEST_PAUSE)).await;
        }
    }
}

/// What panics in streams' tasks mean for the terms of this process. A panic ends its term, so that the next one drives that stream too, but only
/// one in an hour does: until then that stream stands still, and the others go on.
#[derive(Default)]
struct Panics {
    /// When one has last ended a term.
    last: Option<Instant>,
}

impl Panics {
    /// Resolves when a panic, after which `broken` resolves, is to end the term.
    async fn end_term(&mut self, broken: impl Future<Output = ()>) {
        broken.await;
        if let Some(last) = self.last {
            sleep_until(last + PANIC_EACH).await;
        }
        self.last = Some(Instant::now());
    }
}

/// What a term has of its own.
struct Leading<'a> {
    /// Sends nothing once this process may lead no longer.
    client: Client,
    left_alone: LeftAlone,
    panics: &'a mut Panics,
    /// Tasks that go on when it is over: what they tell is how it ended.
    telling: &'a mut JoinSet<()>,
    /// When this process has last ended a term because it reached no worker.
    stood_aside: &'a mut Option<Instant>,
    /// Cancelled when it is to end.
    over: CancellationToken,
}

/// Leads by `leading`, which ends in order once `over` is cancelled: when the lease is lost, or at `shutdown`. The lease is kept until then, so
/// that nobody else leads while the streams' tasks end, and what these leave behind is not sent any more.
async fn for_a_term(
    election: &Election,
    held: Held,
    leading: impl Future<Output = ()>,
    over: &CancellationToken,
    leads: &IntGauge,
    shutdown: &CancellationToken,
) {
    let leadership = held.leadership().clone();
    leads.set(1);
    let until_told = async {
        tokio::pin!(leading);
        tokio::select! {
            () = &mut leading => return,
            () = shutdown.cancelled() => over.cancel(),
        }
        leading.await;
    };
    let led = async {
        tokio::pin!(until_told);
        tokio::select! {
            () = &mut until_told => {
                leadership.end();
                election.release().await;
            }
            () = election.keep(held) => {
                leads.set(0);
                over.cancel();
                until_told.await;
            }
        }
    };
    let late = async {
        shutdown.cancelled().await;
        sleep(CLOSING).await;
    };
    tokio::select! {
        () = led => {}
        // What follows has its own time, whatever the streams' tasks wait for.
        () = late => {
            tracing::warn!("the streams' tasks did not end in time; the lease ends by itself");
        }
    }
    leadership.end();
    leads.set(0);
}

/// Drives all streams.
async fn lead(config: &Config, metrics: &Metrics, pods: Pods, pools: Pools, leading: Leading<'_>) {
    let Leading { client, left_alone, panics, telling, stood_aside, over } = leading;
    let machine: WallClock = Arc::new(SystemTime::now);
    let measured = read("the API server's clock cannot be read", || ServerClock::measured(&client, &machine));
    let Some(clock) = over.run_until_cancelled(measured).await else { return };
    let wall = clock.wall();
    let term_clock = TermClock::start(&wall);
    pods.begin_term(term_clock.clone());
    let places = pods.clone();
    let edge = config.edge.clone();
    let streams = LiveStreams::new(
        client.clone(),
        RecordSettings {
            namespace: config.pods.namespace.clone(),
            wall: Arc::clone(&wall),
            places: Arc::new(move |worker: WorkerId| places.place(worker)),
            playback: Arc::new(move |stream: StreamId| {
                edge.as_ref().map(|edge| format!("{edge}/live/{stream}/master.m3u8"))
            }),
        },
    );
    let loaded = read("the streams cannot be read", || streams.load());
    let Some(records) = over.run_until_cancelled(loaded).await else { return };
    tracing::info!(streams = records.len(), "taking up the streams that there are");
    let workers = PodWorkers::new(
        client.clone(),
        pods.clone(),
        pools.clone(),
        Arc::new(streams.clone()),
        config.pods.clone(),
        metrics.clone(),
    );
    let places = pods.clone();
    let (notices, read) = Notices::channel(
        metrics.streams.waiting(Queue::Events),
        Arc::new(move |worker: WorkerId| places.place(worker)),
    );
    let carriers = Carriers {
        store: Arc::new(streams.clone()),
        workers: Arc::new(workers.clone()),
        pool: Pool(config.pool.clone()),
        link: Arc::clone(&config.link),
        credentials: config
            .sessions
            .clone()
            .map(|role| -> Arc<dyn CredentialSource> { Arc::new(StreamSessions::new(role)) }),
        api: Arc::clone(&config.api),
        observer: Arc::new(notices.clone()),
        assignments: config.assignments.clone(),
        router_key: config.router_key.clone(),
        feed_key: config.feed_key.clone(),
        metrics: metrics.streams.clone(),
        traces: config.traces.clone(),
        left_alone,
    };
    let controller =
        Arc::new(Controller::start(carriers, config.media.clone(), Arc::clone(&wall), records, |_, _| {}));
    // The last Events are about how this term ends, and nothing is decided by them: they need no lease.
    telling.spawn(events::publish(
        config.client.clone(),
        config.identity.clone(),
        streams.clone(),
        config.pods.namespace.clone(),
        read,
    ));
    let mut beside = JoinSet::new();
    let pauses = Pauses::new(streams.clone(), pools.clone(), config.pool.clone());
    beside.spawn(pauses.clone().tell(notices.clone()));
    beside.spawn(closed_pools::open_what_was_left_closed(
        client.clone(),
        config.pods.namespace.clone(),
        pools.clone(),
        Arc::clone(&wall),
    ));
    beside.spawn(letting_go::while_leading(client.clone(), config.pods.namespace.clone(), streams.clone()));
    let released = notices.clone();
    let refill = Refill::new(
        &client,
        pods.clone(),
        pools.clone(),
        config.pods.clone(),
        metrics.clone(),
        term_clock.clone(),
    );
    beside.spawn(refill.run());
    beside.spawn(clock.follow(client.clone(), term_clock));
    let orphans = Orphans::new(&client, &config.pods.namespace, pods.clone(), pools.clone(), streams.clone());
    beside.spawn(orphans.run());
    let namespace = &config.pods.namespace;
    let mislabelled = Mislabelled::new(&client, namespace, pods.clone(), pools.clone(), streams.clone());
    beside.spawn(mislabelled.run());
    let at_once = usize::try_from(config.drain_moves).unwrap_or(usize::MAX);
    let departures = || Departures::new(streams.clone(), Arc::clone(&controller), notices.clone());
    let drain = Drain::new(pods.clone(), streams.clone(), pauses.clone(), departures(), at_once);
    beside.spawn(drain.run());
    if config.moves_per_minute > 0 {
        let upgrade = Upgrade {
            pods,
            pools,
            streams: streams.clone(),
            pauses: pauses.clone(),
            settings: config.pods.clone(),
            departures: departures(),
        };
        beside.spawn(upgrade.run(config.moves_per_minute));
    }
    beside.spawn(Moves::new(streams.clone(), pauses, Arc::clone(&controller), notices).run());
    beside.spawn(async move { streams.collect(&|stream, words| released.released(stream, words)).await });
    tokio::select! {
        () = over.cancelled() => {}
        // None ends by itself.
        ended = beside.join_next() => tracing::error!(?ended, "a part of the operator ended; beginning again"),
        () = panics.end_term(controller.broken()) => {
            tracing::error!("a stream's task ended before its stream; beginning again");
        }
        () = controller.deaf() => {
            tracing::error!("what others change is not heard any more; beginning again");
        }
        () = is_to_stand_aside(*stood_aside, &controller) => {
            tracing::error!("no worker of most broadcasts can be reached; perhaps another operator reaches them, and may lead");
            *stood_aside = Some(Instant::now());
        }
    }
    beside.shutdown().await;
    controller.close().await;
    workers.close().await;
}

/// Resolves when this process is to let another one lead. Once in a while only: where all workers are out of order, no other one finds any.
async fn is_to_stand_aside(last: Option<Instant>, controller: &Controller) {
    if let Some(last) = last {
        sleep_until(last + ASIDE_EACH).await;
    }
    controller.cut_off().await;
}

/// Reads what a term cannot begin without, however often that has to be tried. `fails` is said once.
async fn read<T, E: Display, R: Future<Output = Result<T, E>>>(
    fails: &str,
    mut read: impl FnMut() -> R,
) -> T {
    let mut said = false;
    loop {
        match read().await {
            Ok(read) => return read,
            Err(error) if !std::mem::replace(&mut said, true) => {
                tracing::warn!(%error, "{fails}; trying again");
            }
            Err(error) => tracing::debug!(%error, "{fails}"),
        }
        sleep(AGAIN).await;
    }
}

const AGAIN: Duration = Duration::from_secs(1);
/// Between two terms of this process that end by themselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Longer than a broadcast waits for a worker.
const ASIDE_EACH: Duration = Duration::from_mins(10);
/// Between two panics that end a term: one stream that panics each time must not stop all others.
const PANIC_EACH: Duration = Duration::from_hours(1);
/// What streams' tasks have begun is a few calls each.
const CLOSING: Duration = Duration::from_secs(12);
/// A few Events, which are for people.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// How long [`run`] may take from `shutdown` to its end: an operator's pod has 40 s, of which its process needs some for its other parts.
pub const END_WITHIN: Duration =
    Duration::from_secs(CLOSING.as_secs() + TOLD_WITHIN.as_secs() + LETTING_GO.as_secs() + 1);

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use caudal_controller::{Announcements, LinkLost, NotAcknowledged, NotAssigned};
    use caudal_kubernetes::fake_server::{FakeServer, Trouble};
    use caudal_kubernetes::{LiveStream, LiveStreamSpec, names};
    use caudal_livestream::credentials::SealingPublicKey;
    use caudal_livestream::lifecycle::ReportOrder;
    use caudal_livestream::proof::{Proof, RoleKey, SignedAssignment, SignedRenewal};
    use caudal_livestream::record::WorkerAddress;
    use ed25519_dalek::SigningKey;
    use futures::future::{BoxFuture, pending, ready};
    use serde_json::json;

    use super::*;
    use crate::build::tests::settings;

    /// Workers of whom nothing is heard, and an api that only listens.
    #[derive(Default)]
    struct Others(Mutex<Vec<ReportOrder>>);

    impl WorkerLink for Others {
        fn assign<'a>(
            &'a self,
            _worker: &'a WorkerAddress,
            _assignment: &'a SignedAssignment,
        ) -> BoxFuture<'a, Result<(), NotAssigned>> {
            Box::pin(pending())
        }

        fn key<'a>(
            &'a self,
            _worker: &'a WorkerAddress,
        ) -> BoxFuture<'a, Result<Option<SealingPublicKey>, NotAssigned>> {
            Box::pin(pending())
        }

        fn renew<'a>(
            &'a self,
            _worker: &'a WorkerAddress,
            _renewal: &'a SignedRenewal,
        ) -> BoxFuture<'a, Result<(), NotAssigned>> {
            Box::pin(pending())
        }

        fn follow<'a>(
            &'a self,
            _worker: &'a WorkerAddress,
            _proof: &'a Proof,
        ) -> BoxFuture<'a, Result<Box<dyn Announcements>, LinkLost>> {
            Box::pin(pending())
        }
    }

    impl Api for Others {
        fn report<'a>(&'a self, report: &'a ReportOrder) -> BoxFuture<'a, Result<(), NotAcknowledged>> {
            self.0.lock().unwrap().push(report.clone());
            Box::pin(ready(Ok(())))
        }
    }

    /// An operator of one namespace, which knows no nodes.
    fn config(client: Client, media: &Path, others: &Arc<Others>) -> Config {
        Config {
            client,
            identity: "one".to_owned(),
            term: Term::default(),
            pods: settings(),
            pool: "default".to_owned(),
            drain_moves: 0,
            moves_per_minute: 0,
            media: SegmentStore::folder(media).unwrap(),
            link: Arc::<Others>::clone(others),
            sessions: None,
            api: Arc::<Others>::clone(others),
            assignments: SigningKey::from_bytes(&[9; 32]).into(),
            router_key: RoleKey::new([1; 32]).into(),
            feed_key: RoleKey::new([2; 32]).into(),
            edge: None,
            registry: Registry::new(),
            traces: Traces::off(),
            readiness: Readiness::default(),
        }
    }

    /// The server, which says what time it is as well, and takes no Events.
    fn with_a_clock(server: &FakeServer) -> Client {
        let server = server.client();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let server = server.clone();
            async move {
                let answer = match request.uri().path() {
                    "/version" => {
                        http::Response::builder().header(http::header::DATE, "Fri, 15 Jan 2027 08:00:00 GMT")
                    }
                    path if path.ends_with("/events") => http::Response::builder().status(404),
                    _ => return server.send(request).await,
                };
                Ok(answer.body(kube::client::Body::empty()).unwrap())
            }
        });
        Client::new(service, "caudal")
    }

    /// Waits until it is so.
    async fn until(what: &str, so: impl Fn() -> bool) {
        let waiting = async {
            while !so() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        assert!(timeout(Duration::from_mins(2), waiting).await.is_ok(), "never {what}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_that_does_not_know_the_pools_yet_is_not_ready_and_does_not_lead() {
        let (server, media) = (FakeServer::new(), tempfile::tempdir().unwrap());
        let config = config(server.client(), media.path(), &Arc::default());
        let readiness = config.readiness.clone();
        server.trouble("GET workerpools", Trouble::Silence);
        let shutdown = CancellationToken::new();
        let looking = async {
            let leads = || server.get("leases", LEASE).is_some();
            sleep(Duration::from_secs(10)).await;
            assert!(!readiness.get() && !leads());
            // The list is given up, and asked for once more.
            until("leading", leads).await;
            assert!(readiness.get());
            shutdown.cancel();
        };
        let (ran, ()) = tokio::join!(Box::pin(run(config, shutdown.clone())), looking);
        ran.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_routers_measured_of_a_broadcast_is_among_what_the_api_is_told_of_its_end() {
        let (server, media, others) =
            (FakeServer::new(), tempfile::tempdir().unwrap(), Arc::<Others>::default());
        let config = config(with_a_clock(&server), media.path(), &others);
        let spec = caudal_livestream::fixtures::spec();
        let name = names::live_stream(spec.stream);
        let created = LiveStream::new(&name, LiveStreamSpec::of(&spec));
        server.create("livestreams", serde_json::to_value(created).unwrap());
        let lifecycle = || server.get("livestreams", &name).unwrap()["status"]["lifecycle"].clone();
        let shutdown = CancellationToken::new();
        let happens = async {
            until("taken up", || lifecycle().is_object()).await;
            server.change("livestreams", &name, |resource| {
                resource["status"]["media"] = json!({ "fpsMilli": 30_000, "keyframeIntervalMs": 8_000 });
            });
            until("measured", || lifecycle()["hints"].is_object()).await;
            server.change("livestreams", &name, |resource| resource["spec"]["desiredState"] = json!("Ended"));
            until("told", || !others.0.lock().unwrap().is_empty()).await;
            shutdown.cancel();
        };
        let (ran, ()) = tokio::join!(Box::pin(run(config, shutdown.clone())), happens);
        ran.unwrap();
        let told = others.0.lock().unwrap().clone();
        let [ReportOrder::Done(done)] = told.as_slice() else { panic!("{told:?}") };
        let hints = done.hints.unwrap();
        assert_eq!((hints.keyframe_ms, hints.max_frame_ms, hints.fps_milli), (8_000, 34, 30_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_a_term_at_once_unless_one_has_within_the_hour_and_is_not_forgotten_then() {
        let mut panics = Panics::default();
        let begun = Instant::now();
        panics.end_term(async {}).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // The next term meets it at once.
        let ended = timeout(Duration::from_mins(59), panics.end_term(async {})).await;
        assert!(ended.is_err(), "{:?}", begun.elapsed());
        panics.end_term(async {}).await;
        assert_eq!(begun.elapsed(), Duration::from_hours(1));
        // One that begins within the hour after, and lasts.
        let days = Duration::from_hours(30 * 24);
        let begun = Instant::now();
        panics.end_term(sleep(days)).await;
        assert_eq!(begun.elapsed(), days);
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_that_is_told_to_end_and_takes_its_time_keeps_the_lease_until_it_has_ended() {
        let server = FakeServer::new();
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let election = |identity: &str| {
            let identity = identity.to_owned();
            Election::new(server.client(), "caudal", LEASE, identity, Term::default(), metrics.clone())
        };
        // Longer than a lease, and longer than there is time for.
        for (closing, is_let_go_of) in [(10, true), (3_600, false)] {
            let (one, two) = (election("one"), election("two"));
            let held = one.acquire().await;
            let (over, shutdown) = (CancellationToken::new(), CancellationToken::new());
            let leading = async {
                over.cancelled().await;
                sleep(Duration::from_secs(closing)).await;
            };
            let told = async {
                sleep(Duration::from_secs(3)).await;
                shutdown.cancel();
            };
            let leads = async {
                for_a_term(&one, held, leading, &over, &metrics.leads, &shutdown).await;
                Instant::now()
            };
            let waiting = async {
                let held = two.acquire().await;
                (held, Instant::now())
            };
            let ((), ended, (_, taken)) = tokio::join!(told, leads, waiting);
            assert!(taken >= ended, "{:?} too soon", ended - taken);
            assert_eq!(taken - ended < Duration::from_secs(2), is_let_go_of, "{:?}", taken - ended);
            two.release().await;
        }
    }
}
