//! Records in a real server's LiveStreams.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use caudal_controller::{Change, Durability, Record, RecordStore as _, StoreError};
use caudal_kubernetes::live_stream::Place;
use caudal_kubernetes::{LiveStream, LiveStreamSpec, names};
use caudal_livestream::lifecycle::{Input, ReportKind};
use caudal_livestream::record::{Phase, Spec, WorkerAddress};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, StreamId, UnixMillis, WorkerId};
use caudal_operator::{LiveStreams, RecordSettings};
use futures::StreamExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::server::{namespace, until};

pub(crate) fn store(client: Client, namespace: &str) -> LiveStreams {
    let settings = RecordSettings {
        namespace: namespace.to_owned(),
        wall: Arc::new(SystemTime::now),
        places: Arc::new(|_| Place::default()),
        playback: Arc::new(|_| None),
    };
    LiveStreams::new(client, settings)
}

/// As a router creates it.
pub(crate) async fn open(client: Client, namespace: &str) -> StreamId {
    open_as(client, namespace, &caudal_livestream::fixtures::spec()).await
}

/// The same of this broadcast.
pub(crate) async fn open_as(client: Client, namespace: &str, spec: &Spec) -> StreamId {
    let resource = LiveStream::new(&names::live_stream(spec.stream), LiveStreamSpec::of(spec));
    Api::<LiveStream>::namespaced(client, namespace).create(&PostParams::default(), &resource).await.unwrap();
    spec.stream
}

fn over_and_told(record: &mut Record) {
    // The server's clock: an end of long ago would be collected at once, and a start of then would have failed.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = UnixMillis(i64::try_from(since.as_millis()).unwrap());
    let worker = WorkerAddress {
        worker: WorkerId::generate(),
        rtmp: "10.1.2.4:1935".parse().unwrap(),
        http: "10.1.2.4:8080".parse().unwrap(),
    };
    record.machine.handle(now, Input::WorkerClaimed(Epoch(1), worker));
    record.machine.handle(now, Input::End(EndReason::EndedByOwner));
    record.machine.handle(now, Input::Acknowledged(ReportKind::Done));
    assert!(record.machine.is_settled());
}

#[tokio::test]
async fn a_record_is_stored_guarded_told_and_removed() {
    let Some((client, namespace)) = namespace().await else { return };
    let api: Api<LiveStream> = Api::namespaced(client.clone(), &namespace);
    let stream = open(client.clone(), &namespace).await;
    let name = names::live_stream(stream);
    let ours = store(client.clone(), &namespace);
    let mut stored = ours.load().await.unwrap().pop().unwrap();
    let mut changes = ours.changes();
    stored.version = ours.store(&stored.record, &stored.version, Durability::Synced).await.unwrap();
    // The same again is no write.
    assert_eq!(
        ours.store(&stored.record, &stored.version, Durability::Synced).await.unwrap(),
        stored.version
    );

    let media = json!({ "status": { "media": { "bitrate": 6_000_000 } } });
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(media)).await.unwrap();
    let title = json!({ "spec": { "title": "Another day" } });
    api.patch(&name, &PatchParams::default(), &Patch::Merge(title)).await.unwrap();
    loop {
        let Some(Change::Changed(told)) = changes.next().await else { panic!("nothing was told") };
        assert_eq!(told.record.machine, stored.record.machine);
        if told.record.spec.unwrap().title == "Another day" {
            break;
        }
    }
    let mut ended = stored.clone();
    over_and_told(&mut ended.record);
    let Err(StoreError::Conflict(newer)) =
        ours.store(&ended.record, &ended.version, Durability::Synced).await
    else {
        panic!("no conflict")
    };
    assert_eq!(newer.record.machine, stored.record.machine);
    ended.record.spec.clone_from(&newer.record.spec);
    ours.store(&ended.record, &newer.version, Durability::Synced).await.unwrap();
    let written = api.get(&name).await.unwrap();
    assert_eq!(written.metadata.finalizers.unwrap_or_default(), Vec::<String>::new());
    let status = written.status.unwrap();
    assert_eq!((status.phase, status.media.unwrap().bitrate), (Phase::Ended, 6_000_000));

    ours.remove(stream).await.unwrap();
    let kept = api.get(&name).await.unwrap();
    assert_eq!(kept.status.unwrap().lifecycle, None, "for people only");
    assert_eq!(ours.load().await.unwrap(), []);
    let ttl = json!({ "spec": { "ttlSecondsAfterEnded": 0 } });
    api.patch(&name, &PatchParams::default(), &Patch::Merge(ttl)).await.unwrap();
    let collecting = store(client, &namespace);
    collecting.load().await.unwrap();
    tokio::select! {
        () = collecting.collect(&|_, _| {}) => {}
        () = until("collected", async || api.get_opt(&name).await.unwrap().is_none().then_some(())) => {}
    }
    loop {
        match changes.next().await {
            Some(Change::Removed(removed)) => break assert_eq!(removed, stream),
            Some(Change::Changed(_)) => {}
            None => panic!("the watch ended"),
        }
    }
}

#[tokio::test]
async fn a_deleted_resource_stays_until_the_api_knows_of_the_end() {
    let Some((client, namespace)) = namespace().await else { return };
    let api: Api<LiveStream> = Api::namespaced(client.clone(), &namespace);
    let stream = open(client.clone(), &namespace).await;
    let name = names::live_stream(stream);
    let ours = store(client, &namespace);
    let mut stored = ours.load().await.unwrap().pop().unwrap();
    stored.version = ours.store(&stored.record, &stored.version, Durability::Synced).await.unwrap();
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    let mut stored = ours.load().await.unwrap().pop().unwrap();
    over_and_told(&mut stored.record);
    ours.store(&stored.record, &stored.version, Durability::Synced).await.unwrap();
    assert!(api.get_opt(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn the_end_of_an_unknown_stream_is_a_resource_of_its_own() {
    let Some((client, namespace)) = namespace().await else { return };
    let ours = store(client.clone(), &namespace);
    let ended = Record::ended(StreamId::generate(), EndReason::KeyRotated, UnixMillis(1_800_000_000_000));
    ours.create(&ended).await.unwrap();
    let found = store(client, &namespace).load().await.unwrap().pop().unwrap();
    assert_eq!(found.record, ended);
    assert!(matches!(ours.create(&ended).await, Err(StoreError::Conflict(_))));
}
