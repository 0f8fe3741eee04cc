//! Leaders that die in any of their writes, one after the other, while streams come and go: no epoch ever has two workers, no stream is
//! lost, no pod is left over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use caudal_kubernetes::{LiveStream, LiveStreamStatus, names};
use caudal_livestream::StreamId;
use caudal_livestream::record::Phase;
use caudal_operator::Term;
use futures::future::{join_all, pending};
use http::{Method, Request};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::client::Body;
use kube::{Api, Client, ResourceExt as _};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::records::open;
use crate::server::{another_client, until};
use crate::world::World;

/// What becomes of the write in which a leader dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastWrite {
    /// It never got to the server.
    Lost,
    /// The server carried it out.
    Done,
}

/// A client whose process dies in its `nth` write: nothing that it asks for afterwards is asked of anybody.
fn mortal(
    client: Client,
    namespace: &str,
    nth: u32,
    last: LastWrite,
) -> (Client, CancellationToken, Arc<AtomicU32>) {
    let (written, died) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
    let (dies, count) = (died.clone(), Arc::clone(&written));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, written, dies) = (client.clone(), Arc::clone(&written), dies.clone());
        async move {
            let dying = request.method() != Method::GET && written.fetch_add(1, Ordering::Relaxed) + 1 >= nth;
            if dies.is_cancelled() || (dying && last == LastWrite::Lost) {
                dies.cancel();
                return pending().await;
            }
            let answer = client.send(request).await;
            if dying || dies.is_cancelled() {
                dies.cancel();
                return pending().await;
            }
            answer
        }
    });
    (Client::new(service, namespace), died, count)
}

/// Streams come, go, are moved, and lose their workers.
struct Churn<'a> {
    world: &'a World,
    streams: Api<LiveStream>,
    dice: SmallRng,
    /// Those that nobody has ended.
    wanted: Vec<StreamId>,
    /// Those that were ended and may not be over yet.
    ending: Vec<StreamId>,
    /// Those that have lost a worker. A second and a third loss soon after would end the broadcast, as they should.
    robbed: HashSet<StreamId>,
}

impl Churn<'_> {
    async fn run(&mut self, until: &CancellationToken) {
        while until.run_until_cancelled(sleep(EACH)).await.is_some() {
            self.turn().await;
        }
    }

    async fn turn(&mut self) {
        if self.wanted.len() < STREAMS {
            self.forget_what_is_over().await;
            if self.ending.len() < ENDING {
                self.wanted.push(open(self.world.client.clone(), &self.world.namespace).await);
                return;
            }
        }
        if self.wanted.is_empty() {
            return;
        }
        let at = self.dice.random_range(0..self.wanted.len());
        let stream = self.wanted[at];
        match self.dice.random_range(0..4) {
            0 => {
                self.patch(stream, json!({ "spec": { "desiredState": "Ended" } })).await;
                self.ending.push(self.wanted.swap_remove(at));
            }
            1 => {
                self.streams.delete(&names::live_stream(stream), &DeleteParams::default()).await.unwrap();
                self.ending.push(self.wanted.swap_remove(at));
            }
            2 => {
                let order = json!({ "metadata": { "annotations": { names::MOVE_ANNOTATION: "now" } } });
                self.patch(stream, order).await;
            }
            _ if !self.robbed.insert(stream) => {}
            _ => {
                for pod in self.pods_of(stream).await.iter().take(1) {
                    self.world.workers.end(pod.uid().unwrap().parse().unwrap());
                    // It may be gone by now.
                    let node_lost = DeleteParams::default().grace_period(0);
                    let _ = self.world.pods().delete(&pod.name_any(), &node_lost).await;
                }
            }
        }
    }

    async fn forget_what_is_over(&mut self) {
        let mut ending = Vec::new();
        for stream in self.ending.drain(..) {
            let found = self.streams.get_opt(&names::live_stream(stream)).await.unwrap();
            let over = |status: LiveStreamStatus| matches!(status.phase, Phase::Ended | Phase::Failed);
            if found.is_some_and(|found| !found.status.is_some_and(over)) {
                ending.push(stream);
            }
        }
        self.ending = ending;
    }

    async fn patch(&self, stream: StreamId, patch: Value) {
        let name = names::live_stream(stream);
        self.streams.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn pods_of(&self, stream: StreamId) -> Vec<Pod> {
        let of_it = ListParams::default().labels(&format!("{}={stream}", names::STREAM_LABEL));
        self.world.pods().list(&of_it).await.unwrap().items
    }
}

/// How leaders die.
#[derive(Clone, Copy)]
enum Deaths {
    /// In a write.
    Writing,
    /// At any moment after they have begun to lead.
    AtAnyMoment,
}

/// One installation, in which that many leaders die. What was found wrong.
async fn installation(number: u64, term: Term, how: Deaths, deaths: u32) -> Vec<String> {
    // Workers of ended streams are in the way until a leader lives long enough; what a full pool does is not asked here.
    let Some(world) = World::with_room_for(60).await else { return Vec::new() };
    let streams = Api::namespaced(world.client.clone(), &world.namespace);
    let dice = SmallRng::seed_from_u64(number);
    let mut churn = Churn {
        world: &world,
        streams: streams.clone(),
        dice,
        wanted: Vec::new(),
        ending: Vec::new(),
        robbed: HashSet::new(),
    };
    let mut dice = SmallRng::seed_from_u64(!number);
    let (over, mut wrong) = (CancellationToken::new(), Vec::new());
    let leaders = async {
        for death in 0..deaths {
            let name = format!("leader-{death}");
            match how {
                Deaths::Writing => {
                    let last = if dice.random() { LastWrite::Lost } else { LastWrite::Done };
                    let nth = dice.random_range(1..=WRITES);
                    let (client, died, written) = mortal(another_client().await, &world.namespace, nth, last);
                    let leader = world.operator_with(&name, client, term);
                    // A renewal of the lease is a write, too.
                    if timeout(DIES_WITHIN, died.cancelled()).await.is_err() {
                        let written = written.load(Ordering::Relaxed);
                        wrong.push(format!(
                            "{name} wrote {written} times, not {nth}; {:?} leads",
                            world.leader().await
                        ));
                    }
                    leader.kill();
                }
                Deaths::AtAnyMoment => {
                    let leader = world.operator_with(&name, another_client().await, term);
                    until("a leader", async || (world.leader().await == Some(name.clone())).then_some(()))
                        .await;
                    sleep(Duration::from_millis(dice.random_range(0..LEADS_MS))).await;
                    leader.kill();
                }
            }
        }
        over.cancel();
    };
    tokio::join!(leaders, churn.run(&over));

    let wanted: HashSet<StreamId> = churn.wanted.iter().copied().collect();
    let last = world.operator_with("last", another_client().await, term);
    let deadline = Instant::now() + SETTLES_WITHIN;
    loop {
        let unsettled = unsettled(&world, &streams, &wanted).await;
        if unsettled.is_empty() || Instant::now() > deadline {
            wrong.extend(unsettled);
            break;
        }
        sleep(LOOK).await;
    }
    for place in world.workers.twins.lock().unwrap().iter() {
        wrong.push(format!("two workers of {place:?}"));
    }
    last.stop().await;
    world.kubelet.abort();
    wrong
}

/// What is not yet as it is to be.
async fn unsettled(world: &World, streams: &Api<LiveStream>, wanted: &HashSet<StreamId>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut live = HashMap::new();
    for resource in streams.list(&ListParams::default()).await.unwrap() {
        let stream = resource.spec.stream;
        let status = resource.status.clone().unwrap_or_default();
        match (wanted.contains(&stream), status.phase) {
            (true, Phase::Live) => {
                live.insert(stream, status.worker.map(|worker| worker.id.to_string()));
            }
            (false, Phase::Ended) if resource.metadata.deletion_timestamp.is_none() => {}
            (_, phase) => {
                let (lifecycle, metadata) = (status.lifecycle, resource.metadata);
                wrong
                    .push(format!("{stream} is {phase:?}: {:?}, {lifecycle:?}, {metadata:?}", status.reason));
            }
        }
    }
    let missing = wanted.iter().filter(|stream| !live.contains_key(stream));
    wrong.extend(missing.map(|stream| format!("{stream} is not live")));
    let mut idle = 0;
    for pod in world.pods().list(&ListParams::default()).await.unwrap() {
        let Some(stream) = pod.labels().get(names::STREAM_LABEL) else {
            idle += 1;
            continue;
        };
        let stream: StreamId = stream.parse().unwrap();
        if live.get(&stream).is_none_or(|worker| *worker != pod.uid()) {
            wrong.push(format!("{} is left over of {stream}", pod.name_any()));
        }
    }
    if idle != 1 {
        wrong.push(format!("{idle} workers wait"));
    }
    wrong
}

async fn nothing_is_wrong_after(term: Term, how: Deaths, deaths: u32) {
    let each = deaths.div_ceil(u32::try_from(INSTALLATIONS).unwrap());
    let found = join_all((0..INSTALLATIONS).map(|number| installation(number, term, how, each))).await;
    let wrong: Vec<_> = found.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn number(setting: &str, otherwise: u32) -> u32 {
    std::env::var(setting).map_or(otherwise, |said| said.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_write_a_leader_dies_in_no_epoch_has_two_workers_and_nothing_is_lost_or_left_over() {
    nothing_is_wrong_after(Term::of_seconds(1), Deaths::Writing, number("CAUDAL_ABORTS", 40)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_that_is_killed_at_any_moment_with_the_lease_that_installations_have() {
    nothing_is_wrong_after(Term::default(), Deaths::AtAnyMoment, number("CAUDAL_KILLS", 8)).await;
}

/// At the same time: a leader spends most of its life waiting.
const INSTALLATIONS: u64 = 8;
/// The latest write that a leader dies in. A stream's start takes some ten.
const WRITES: u32 = 24;
/// How long a leader leads at most before it is killed.
const LEADS_MS: u64 = 4_000;
const DIES_WITHIN: Duration = Duration::from_secs(30);
/// A worker of which no broadcast knows is looked at for 70 s before it is deleted, and no leader before the last one lives so long.
const SETTLES_WITHIN: Duration = Duration::from_secs(150);
/// What all have looks at hundreds of streams, and eight installations share a server.
const LOOK: Duration = Duration::from_secs(2);
/// How often something happens to a stream, and how many there are of them.
const EACH: Duration = Duration::from_millis(200);
const STREAMS: usize = 3;
/// Streams whose end no leader has lived long enough to see: with more, the pool would be full of their workers, and new streams fail for
/// want of room as they should.
const ENDING: usize = 12;
