use caudal_kubernetes::LiveStreamSpec;
use caudal_livestream::fixtures;
use caudal_livestream::record::{DesiredState, Phase};

use super::*;

/// A resource as the server has it at `version`.
fn resource(spec: &caudal_livestream::record::Spec, version: u64) -> Resource {
    let mut resource = Resource::new(&names::live_stream(spec.stream), LiveStreamSpec::of(spec));
    resource.metadata.resource_version = Some(version.to_string());
    resource
}

fn is(resource: Resource) -> News<Resource> {
    News::Is(Box::new(resource))
}

fn gone(stream: StreamId) -> News<Resource> {
    News::Gone { name: names::live_stream(stream), uid: None }
}

fn hear(replica: &mut Replica, news: impl IntoIterator<Item = News<Resource>>) {
    news.into_iter().for_each(|news| replica.take(news));
}

#[test]
fn a_stream_is_missing_once_everything_was_told_and_while_changes_are_heard() {
    let (spec, strange) = (fixtures::spec(), StreamId::generate());
    let nobody = StreamId::generate();
    let mut replica = Replica::default();
    hear(&mut replica, [is(resource(&spec, 1)), News::Unreadable(names::live_stream(strange))]);
    assert!(!replica.is_current() && !replica.is_missing(nobody));
    hear(&mut replica, [News::Whole]);
    assert!(replica.is_missing(nobody));
    assert!(!replica.is_missing(spec.stream) && !replica.is_missing(strange));
    hear(&mut replica, [News::Interrupted]);
    assert!(!replica.is_current() && !replica.is_missing(nobody));
    assert!(replica.streams().contains_key(&spec.stream), "the last copy stays");
    hear(&mut replica, [News::Resumed, gone(spec.stream), gone(strange)]);
    assert!(replica.is_missing(spec.stream) && replica.is_missing(strange));
}

#[test]
fn what_becomes_unreadable_stays_as_it_was_last_read() {
    let spec = fixtures::spec();
    let mut replica = Replica::default();
    hear(
        &mut replica,
        [is(resource(&spec, 1)), News::Whole, News::Unreadable(names::live_stream(spec.stream))],
    );
    assert_eq!(replica.streams().get(&spec.stream).unwrap().spec.channel, spec.channel);
    assert!(replica.is_current());
}

#[test]
fn an_answer_counts_before_the_watch_is_that_far_and_older_news_do_not() {
    let spec = fixtures::spec();
    let mut newer = spec.clone();
    newer.title = "another".to_owned();
    let title = |replica: &Replica| replica.streams().get(&spec.stream).unwrap().spec.title.clone();
    let mut replica = Replica::default();
    hear(&mut replica, [News::Whole]);
    replica.adopt(resource(&newer, 9));
    assert_eq!(title(&replica), "another");
    hear(&mut replica, [is(resource(&spec, 8))]);
    assert_eq!(title(&replica), "another");
    hear(&mut replica, [is(resource(&spec, 10))]);
    assert_eq!(title(&replica), spec.title);
}

#[test]
fn an_answer_that_comes_behind_a_deletion_brings_nothing_back() {
    let spec = fixtures::spec();
    let mut replica = Replica::default();
    hear(&mut replica, [is(resource(&spec, 1)), News::Whole, gone(spec.stream)]);
    replica.adopt(resource(&spec, 2));
    assert!(replica.is_missing(spec.stream));
}

#[test]
fn a_stream_that_no_list_has_goes_though_an_answer_spoke_of_it() {
    let (told, lost) = (fixtures::spec(), fixtures::spec());
    let mut replica = Replica::default();
    hear(&mut replica, [News::Whole]);
    replica.adopt(resource(&told, 3));
    replica.adopt(resource(&lost, 4));
    // The watch had to list everything anew, and perhaps began before the answers.
    hear(&mut replica, [News::Interrupted, News::Whole]);
    assert_eq!(replica.streams().len(), 2);
    hear(&mut replica, [is(resource(&told, 3)), News::Interrupted, News::Whole]);
    assert!(replica.streams().contains_key(&told.stream));
    assert!(replica.is_missing(lost.stream));
}

#[test]
fn a_change_that_nobody_reads_is_no_change() {
    let spec = fixtures::spec();
    let mut replica = Replica::default();
    hear(&mut replica, [is(resource(&spec, 1)), News::Whole]);
    let before = replica.streams().clone();
    let mut annotated = resource(&spec, 2);
    annotated.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
    hear(&mut replica, [is(annotated)]);
    assert!(replica.streams().ptr_eq(&before));
    assert_eq!(replica.known(spec.stream).unwrap().version(), Some(2), "a write goes by the newest version");
}

#[test]
fn a_deletion_reads_as_an_end_and_one_that_was_never_opened_as_nothing_to_watch() {
    let spec = fixtures::spec();
    let mut deleted = resource(&spec, 2);
    deleted.metadata.deletion_timestamp =
        Some(serde_json::from_value(serde_json::json!("2027-01-15T08:00:00Z")).unwrap());
    let never = StreamId::generate();
    let mut never_opened = Resource::new(&names::live_stream(never), LiveStreamSpec::ended(never));
    never_opened.metadata.resource_version = Some("3".to_owned());
    let mut replica = Replica::default();
    hear(&mut replica, [is(deleted), is(never_opened), News::Whole]);
    let record = replica.streams().get(&spec.stream).unwrap();
    assert_eq!((record.spec.desired_state, record.status.phase), (DesiredState::Ended, Phase::Pending));
    assert!(!replica.streams().contains_key(&never) && !replica.is_missing(never));
}

#[test]
fn what_somebody_wrote_over_a_status_is_not_believed_where_the_operators_record_says_otherwise() {
    use caudal_kubernetes::{LiveStreamStatus, StoredLifecycle};
    use caudal_livestream::lifecycle::Lifecycle;
    use caudal_livestream::{Generation, UnixMillis};

    let spec = fixtures::spec();
    let phase = |replica: &Replica| replica.streams().get(&spec.stream).unwrap().status.phase;
    let ended = LiveStreamStatus { phase: Phase::Ended, ..LiveStreamStatus::default() };
    let mut replica = Replica::default();
    // Before any operator has written it.
    let mut forged = resource(&spec, 1);
    forged.metadata.finalizers = Some(vec![names::END_FINALIZER.to_owned()]);
    forged.status = Some(ended.clone());
    hear(&mut replica, [is(forged.clone())]);
    assert_eq!(phase(&replica), Phase::Pending);
    // Afterwards.
    let machine = Lifecycle::new(spec.stream, 30_000, Generation(1), UnixMillis(1_800_000_000_000));
    let stored = Some(StoredLifecycle::of(&machine).unwrap());
    (forged.status, forged.metadata.resource_version) =
        (Some(LiveStreamStatus { lifecycle: stored, ..ended }), Some("2".to_owned()));
    hear(&mut replica, [is(forged)]);
    assert_eq!(phase(&replica), Phase::Pending);
}
