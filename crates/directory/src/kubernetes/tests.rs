//! Commands and the copy against an API server of this process, with awkward answers.

use std::time::Duration;

use caudal_kubernetes::fake_server::{FakeServer, Trouble};
use caudal_kubernetes::names;
use caudal_livestream::admission::LadderRung;
use caudal_livestream::fixtures::{ingest, spec};
use caudal_livestream::record::{DesiredState, Phase};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, Generation, UnixMillis};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::StreamControl as _;

struct Cluster {
    server: FakeServer,
}

impl Cluster {
    fn new() -> Self {
        let server = FakeServer::new();
        server.create(
            "workerpools",
            json!({ "metadata": { "name": "default" }, "spec": { "maxWorkers": 2, "warm": { "min": 0, "percentOfLive": 0, "max": 0 } } }),
        );
        Self { server }
    }

    async fn as_role(&self, reader: Reader) -> Arc<KubernetesDirectory> {
        let directory = KubernetesDirectory::start(self.server.client(), "caudal", reader);
        directory.read_once().await;
        if reader == Reader::Router {
            while directory.shared.pools().is_unread() {
                tokio::task::yield_now().await;
            }
        }
        directory
    }

    fn resource(&self, stream: StreamId) -> Option<Value> {
        self.server.get("livestreams", &names::live_stream(stream))
    }

    /// As an operator of another release shows it, whose own record nobody here can read.
    fn set_status(&self, stream: StreamId, mut status: Value) {
        status["lifecycle"] = json!({ "version": 9 });
        self.server.change("livestreams", &names::live_stream(stream), |resource| {
            resource["status"] = status;
        });
    }

    fn trouble(&self, words: &str, trouble: Trouble) {
        self.server.trouble(words, trouble);
    }
}

/// Waits until the copy of a directory is so.
async fn shows(directory: &KubernetesDirectory, what: impl Fn(&Streams) -> bool) {
    let mut streams = directory.watch();
    timeout(Duration::from_secs(60), streams.wait_for(|streams| what(streams))).await.unwrap().unwrap();
}

fn failures(session: SessionId, failures: u32) -> RelayFailures {
    RelayFailures { epoch: Epoch(1), session, failures, last_failed_at: UnixMillis(1_800_000_000_000) }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_a_router_opens_is_in_its_own_copy_at_once_and_soon_in_everybodys() {
    let cluster = Cluster::new();
    let (router, edge) = (cluster.as_role(Reader::Router).await, cluster.as_role(Reader::Edge).await);
    let wanted = spec();
    let record = router.open(wanted.clone()).await.unwrap();
    assert_eq!(record.spec.ingest, wanted.ingest);
    assert!(router.get(wanted.stream).is_some());
    shows(&edge, |streams| streams.contains_key(&wanted.stream)).await;
    let resource = cluster.resource(wanted.stream).unwrap();
    assert_eq!(resource["metadata"]["finalizers"], json!([names::END_FINALIZER]));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_or_refused_is_made_once() {
    let cluster = Cluster::new();
    let router = cluster.as_role(Reader::Router).await;
    for trouble in
        [Trouble::AnswerLost, Trouble::Answer(500, "InternalError"), Trouble::Answer(429, "TooManyRequests")]
    {
        cluster.trouble("POST livestreams", trouble);
        let wanted = spec();
        router.open(wanted.clone()).await.unwrap();
        for trouble in [
            Trouble::AnswerLost,
            Trouble::Answer(503, "ServiceUnavailable"),
            Trouble::Overtaken(|resource| resource["status"] = json!({ "phase": "Starting" })),
        ] {
            cluster.trouble("PATCH livestreams", trouble);
            let record = router.get(wanted.stream).unwrap();
            let next = ingest(record.spec.ingest.generation.next().0);
            let record = router.reconnect(wanted.stream, next.clone()).await.unwrap();
            assert_eq!(record.spec.ingest, next);
        }
        cluster.server.vanish("livestreams", &names::live_stream(wanted.stream));
        shows(&router, |streams| !streams.contains_key(&wanted.stream)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_routers_that_open_one_stream_agree_on_whose_it_is() {
    let cluster = Cluster::new();
    let (one, other) = (cluster.as_role(Reader::Router).await, cluster.as_role(Reader::Router).await);
    let first = spec();
    let second = Spec { ingest: ingest(1), ..first.clone() };
    match tokio::join!(one.open(first), other.open(second)) {
        (Ok(record), Err(OpenError::Exists(found))) | (Err(OpenError::Exists(found)), Ok(record)) => {
            assert_eq!(found.spec.ingest, record.spec.ingest);
        }
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_publishers_that_come_back_at_once_one_is_told_that_the_other_was_faster() {
    let cluster = Cluster::new();
    let (one, other) = (cluster.as_role(Reader::Router).await, cluster.as_role(Reader::Router).await);
    let stream = one.open(spec()).await.unwrap().spec.stream;
    shows(&other, |streams| streams.contains_key(&stream)).await;
    let (first, second) = (ingest(2), ingest(2));
    let outcomes = tokio::join!(one.reconnect(stream, first), other.reconnect(stream, second));
    let stale = |outcome: &Result<_, _>| matches!(outcome, Err(ReconnectError::Stale(Generation(2))));
    assert!(outcomes.0.is_ok() != outcomes.1.is_ok(), "{outcomes:?}");
    assert!(stale(&outcomes.0) != stale(&outcomes.1), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_deleted_is_not_made_again_by_whoever_still_writes_to_it() {
    let cluster = Cluster::new();
    let router = cluster.as_role(Reader::Router).await;
    let record = router.open(spec()).await.unwrap();
    let (stream, session) = (record.spec.stream, record.spec.ingest.session);
    // The router's copy does not know it yet.
    cluster.trouble("PATCH livestreams", Trouble::Vanished);
    router.worker_unreachable(stream, failures(session, 1)).await;
    assert!(cluster.resource(stream).is_none());
    assert!(matches!(router.reconnect(stream, ingest(2)).await, Err(ReconnectError::Unknown)));
    router.report_media(stream, session, MediaInfo::default()).await;
    assert!(cluster.resource(stream).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_publisher_is_not_let_into_what_is_over_or_is_to_end() {
    let cluster = Cluster::new();
    let (router, api) = (cluster.as_role(Reader::Router).await, cluster.as_role(Reader::Api).await);
    let stream = router.open(spec()).await.unwrap().spec.stream;
    api.end(stream, EndReason::EndedByOwner).await.unwrap();
    api.end(stream, EndReason::KeyRotated).await.unwrap();
    let ended = cluster.resource(stream).unwrap();
    assert_eq!(
        (&ended["spec"]["desiredState"], &ended["spec"]["endReason"]),
        (&json!("Ended"), &json!("ended_by_owner"))
    );
    assert!(matches!(router.reconnect(stream, ingest(2)).await, Err(ReconnectError::Over(Phase::Ending))));
    cluster.set_status(stream, json!({ "phase": "Ended" }));
    assert!(matches!(router.reconnect(stream, ingest(2)).await, Err(ReconnectError::Over(_))));
    // One that was ended before anybody opened it.
    let early = spec();
    api.end(early.stream, EndReason::EndedByOwner).await.unwrap();
    match router.open(early).await.unwrap_err() {
        OpenError::Exists(record) => assert_eq!(record.spec.desired_state, DesiredState::Ended),
        error => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_router_tells_of_its_publisher_counts_while_that_is_the_publisher() {
    let cluster = Cluster::new();
    let router = cluster.as_role(Reader::Router).await;
    let record = router.open(spec()).await.unwrap();
    let (stream, session) = (record.spec.stream, record.spec.ingest.session);
    let media =
        MediaInfo { bitrate: 6_000_000, video_codec: Some("H.264".to_owned()), ..MediaInfo::default() };
    router.report_media(stream, session, media.clone()).await;
    router.worker_unreachable(stream, failures(session, 2)).await;
    router.worker_unreachable(stream, failures(session, 2)).await;
    router.media_refused(stream, session, "x".repeat(600)).await;
    let told = router.get(stream).unwrap();
    assert_eq!(told.status.media, Some(media.clone()));
    assert_eq!(told.spec.ingest.relay, Some(failures(session, 2)));
    assert_eq!(told.spec.ingest.refused.as_ref().unwrap().len(), 512);
    let writes = cluster.server.writes().len();
    // Of a publisher that is not the stream's, nothing is written.
    let strange = SessionId::generate();
    router.report_media(stream, strange, MediaInfo::default()).await;
    router.worker_unreachable(stream, failures(strange, 9)).await;
    router.media_refused(stream, strange, "no".to_owned()).await;
    router.report_media(stream, session, media).await;
    assert_eq!(cluster.server.writes().len(), writes);
}

#[tokio::test(start_paused = true)]
async fn a_router_hears_whether_what_it_tells_was_taken() {
    let cluster = Cluster::new();
    let router = cluster.as_role(Reader::Router).await;
    let record = router.open(spec()).await.unwrap();
    let (stream, session) = (record.spec.stream, record.spec.ingest.session);
    let refuses = || cluster.trouble("PATCH livestreams", Trouble::Answer(422, "Invalid"));
    refuses();
    assert!(!router.report_media(stream, session, MediaInfo::default()).await);
    refuses();
    assert!(!router.media_refused(stream, session, "no".to_owned()).await);
    refuses();
    assert!(!router.worker_unreachable(stream, failures(session, 1)).await);
    assert!(router.report_media(stream, session, MediaInfo::default()).await);
    assert!(router.media_refused(stream, session, "no".to_owned()).await);
    assert!(router.worker_unreachable(stream, failures(session, 1)).await);
    // Of another session's there is nothing left to be done.
    assert!(router.media_refused(stream, SessionId::generate(), "no".to_owned()).await);
    cluster.server.go_away();
    assert!(!router.worker_unreachable(stream, failures(session, 2)).await);
}

#[tokio::test(start_paused = true)]
async fn what_the_api_wants_is_written_once_and_is_nothing_where_there_is_no_stream() {
    let cluster = Cluster::new();
    let (router, api) = (cluster.as_role(Reader::Router).await, cluster.as_role(Reader::Api).await);
    let stream = router.open(spec()).await.unwrap().spec.stream;
    for _ in 0..2 {
        cluster.trouble("PATCH livestreams", Trouble::AnswerLost);
        api.drop_publisher(stream, "enough".to_owned()).await.unwrap();
        api.revoke_key(stream).await.unwrap();
    }
    let record = api.inspect(stream).unwrap();
    assert_eq!(record.spec.drop.as_ref().unwrap().reason, "enough");
    assert!(record.spec.key_revoked);
    let nobody = StreamId::generate();
    api.drop_publisher(nobody, "enough".to_owned()).await.unwrap();
    api.revoke_key(nobody).await.unwrap();
    assert!(cluster.resource(nobody).is_none());
}

#[tokio::test(start_paused = true)]
async fn as_many_streams_are_opened_as_the_pool_has_workers() {
    let cluster = Cluster::new();
    let router = cluster.as_role(Reader::Router).await;
    let (first, second, third) = (spec(), spec(), spec());
    let opened =
        tokio::join!(router.open(first.clone()), router.open(second.clone()), router.open(third.clone()));
    let outcomes = [opened.0.is_ok(), opened.1.is_ok(), opened.2.is_ok()];
    assert_eq!(outcomes, [true, true, false], "the last of three that come at once");
    assert!(matches!(router.open(third.clone()).await, Err(OpenError::NoCapacity)));
    // A repeated question of one that is in is no new stream.
    assert!(router.open(first.clone()).await.is_ok());
    cluster.set_status(first.stream, json!({ "phase": "Ended" }));
    shows(&router, |streams| streams.get(&first.stream).unwrap().status.phase == Phase::Ended).await;
    router.open(third).await.unwrap();
    // What was deleted before any operator had seen it will have no worker, however long it takes until the api knows of its end.
    let deleted = spec();
    assert!(matches!(router.open(deleted.clone()).await, Err(OpenError::NoCapacity)));
    let second = second.stream;
    cluster.server.change("livestreams", &names::live_stream(second), |resource| {
        resource["metadata"]["deletionTimestamp"] = json!(caudal_kubernetes::fake_server::TIME);
    });
    let is_to_end = |streams: &Streams| {
        streams.get(&second).is_some_and(|record| record.spec.desired_state == DesiredState::Ended)
    };
    shows(&router, is_to_end).await;
    router.open(deleted).await.unwrap();
    let elsewhere = Spec { pool: Some("nowhere".to_owned()), ..spec() };
    assert!(matches!(router.open(elsewhere).await, Err(OpenError::NoPool(pool)) if pool == "nowhere"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_the_qualities_that_its_pools_workers_are_made_for() {
    let cluster = Cluster::new();
    let rung =
        |height: u32| LadderRung { name: format!("{height}p").parse().unwrap(), height, bitrate: 1_200_000 };
    let asked = Spec { renditions: vec![rung(720), rung(480)], ..spec() };
    let router = cluster.as_role(Reader::Router).await;
    assert_eq!(router.open(asked.clone()).await.unwrap().spec.renditions, [], "whatever the api knows of");

    cluster.server.change("workerpools", "default", |pool| {
        pool["spec"]["ladder"] = json!([{ "name": "480p", "height": 480, "bitrate": 1_200_000 }]);
    });
    let router = cluster.as_role(Reader::Router).await;
    let asked = Spec { renditions: asked.renditions, ..spec() };
    assert_eq!(router.open(asked).await.unwrap().spec.renditions, [rung(480)]);
}

#[tokio::test(start_paused = true)]
async fn while_the_api_server_is_away_the_last_copy_stays_and_commands_say_so_in_time() {
    let cluster = Cluster::new();
    let router = cluster.as_role(Reader::Router).await;
    let stream = router.open(spec()).await.unwrap().spec.stream;
    let api = cluster.as_role(Reader::Api).await;
    cluster.server.go_away();
    assert!(!router.follows(true).await && !api.follows(true).await);
    assert!(router.get(stream).is_some() && api.inspect(stream).is_some());
    assert!(!api.is_current() && !api.is_missing(StreamId::generate()));
    assert!(!api.is_certainly_missing(StreamId::generate()).await);
    let begun = tokio::time::Instant::now();
    assert!(matches!(router.open(spec()).await, Err(OpenError::Unavailable(_))));
    assert!(api.end(stream, EndReason::EndedByOwner).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(router.get(stream).is_some());
    cluster.server.come_back();
    assert!(router.follows(false).await && api.follows(false).await);
    let opened = router.open(spec()).await.unwrap().spec.stream;
    shows(&api, |streams| streams.contains_key(&opened)).await;
    assert!(api.is_certainly_missing(StreamId::generate()).await);
}
