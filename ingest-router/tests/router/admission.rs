//! Who is let in.

use caudal_directory::StreamDirectory as _;
use caudal_ingest_router::Limits;
use caudal_livestream::admission::DenialCode;
use caudal_livestream::record::{DesiredState, Phase};
use caudal_livestream::{Generation, StreamId};
use caudal_rtmp::{Refusal, RelayError};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::fake_api::Mood;
use crate::harness::{Harness, KEY, authorize, refusal, within};

#[tokio::test]
async fn a_publisher_with_a_good_key_is_in_the_directory_before_it_is_told() {
    let harness = Harness::start().await;
    let _encoder = harness.publish().await.unwrap();
    let record = harness.record();
    assert_eq!(record.spec.ingest.generation, Generation(1));
    assert_eq!(record.spec.ingest.router, harness.internal);
    assert_eq!((record.spec.channel.as_str(), record.spec.title.as_str()), ("ann", "hello"));
    assert_eq!(record.spec.reconnect_window_ms, 30_000);
    let asked = harness.api.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].key.reveal(), asked[0].app.as_str()), (KEY, "live"));
    assert_eq!(asked[0].remote, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(asked[0].session, record.spec.ingest.session);
    assert!(!serde_json::to_string(&*record).unwrap().contains(KEY), "only the key's hash is in the record");
    assert_eq!(harness.counted("caudal_ingest_router_publishers"), 1);
    harness.stop().await;
}

#[tokio::test]
async fn a_refused_publisher_is_told_why() {
    let unavailable = "The platform cannot check stream keys now. Try again in a moment.";
    for (mood, expected, message) in [
        (Mood::Deny(DenialCode::UnknownKey, "No such key."), Refusal::Denied, "No such key."),
        (Mood::Deny(DenialCode::Banned, "Banned."), Refusal::Denied, "Banned."),
        (Mood::Deny(DenialCode::Held, "Just ended."), Refusal::Denied, "Just ended."),
    ] {
        let harness = Harness::start().await;
        harness.api.set(mood);
        let error = harness.publish().await.unwrap_err();
        assert_eq!(refusal(&error), (Some(expected), message.to_owned()));
        assert!(harness.directory.watch().borrow().is_empty());
        assert_eq!(harness.counted("caudal_ingest_router_refusals_total"), 1);
        harness.stop().await;
    }
    let harness = Harness::with(|config| config.api_url = "http://127.0.0.1:1".into()).await;
    let error = harness.publish().await.unwrap_err();
    assert_eq!(
        refusal(&error),
        (Some(Refusal::Rejected), unavailable.to_owned()),
        "closed while the api is away"
    );
    harness.stop().await;
}

#[tokio::test]
async fn an_api_that_fails_for_a_moment_is_asked_again() {
    let harness = Harness::start().await;
    harness.api.set(Mood::Fail(1, Box::new(authorize(harness.stream))));
    let _encoder = harness.publish().await.unwrap();
    assert_eq!(harness.api.asked().len(), 3);
    harness.stop().await;
}

#[tokio::test]
async fn without_capacity_a_publisher_is_rejected() {
    let harness = Harness::start().await;
    harness.directory.set_full();
    let error = harness.publish().await.unwrap_err();
    assert_eq!(refusal(&error).0, Some(Refusal::Rejected));
    assert!(refusal(&error).1.contains("as many broadcasts as it may have"));
    harness.stop().await;
}

#[tokio::test]
async fn publishers_over_the_limit_are_rejected_and_their_places_come_back() {
    let harness = Harness::with(|config| config.limits = Limits { publishers: 1, ..Limits::default() }).await;
    let encoder = harness.publish().await.unwrap();
    harness.api.set(authorize(StreamId::generate()));
    let error = harness.publish().await.unwrap_err();
    assert_eq!(refusal(&error).0, Some(Refusal::Rejected));
    assert_eq!(harness.directory.watch().borrow().len(), 1, "no stream for a publisher that has no seat");
    harness.directory.change(harness.stream, |record| record.status.phase = Phase::Ended);
    drop(encoder);
    // The seat is free once the first one's session has ended, which its encoder cannot see.
    let freed = within(async {
        loop {
            match harness.publish().await {
                Ok(encoder) => return encoder,
                Err(error) => assert_eq!(refusal(&error).0, Some(Refusal::Rejected)),
            }
        }
    });
    drop(freed.await);
    harness.stop().await;
}

#[tokio::test]
async fn connections_over_the_limit_make_room_and_their_places_come_back() {
    let limits = Limits { waiting: 3, ..Limits::default() };
    let harness = Harness::with(|config| config.limits = limits).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(harness.rtmp).await.unwrap());
    }
    assert_eq!(within(silent[0].read(&mut [0])).await.unwrap_or(0), 0, "closed without waiting for a word");
    assert_eq!(harness.counted("caudal_ingest_router_refusals_total"), 1);
    drop(silent);
    drop(harness.publish().await.unwrap());
    harness.stop().await;
}

#[tokio::test]
async fn for_a_stream_that_has_ended_the_api_is_asked_for_a_new_one() {
    let harness = Harness::start().await;
    drop(harness.publish().await.unwrap());
    harness.directory.change(harness.stream, |record| record.spec.desired_state = DesiredState::Ended);
    let _encoder = harness.publish().await.unwrap();
    let asked = harness.api.asked();
    assert_eq!(
        asked.iter().map(|request| request.ended).collect::<Vec<_>>(),
        [None, None, Some(harness.stream)]
    );
    assert_eq!(harness.directory.watch().borrow().len(), 2);
    harness.stop().await;
}

#[tokio::test]
async fn while_the_api_is_away_only_open_broadcasts_get_their_publisher_back() {
    let away = |harness: &Harness| Mood::Fail(u32::MAX, Box::new(authorize(harness.stream)));
    let harness = Harness::start().await;
    drop(harness.publish().await.unwrap());
    harness.api.set(away(&harness));
    let returned = harness.publish().await.unwrap();
    assert_eq!(harness.record().spec.ingest.generation, Generation(2));
    drop(returned);

    let error = harness.publish_key("another-key").await.unwrap_err();
    assert_eq!(refusal(&error).0, Some(Refusal::Rejected), "a first start");

    harness.api.set(Mood::Deny(DenialCode::Banned, "Banned."));
    assert_eq!(refusal(&harness.publish().await.unwrap_err()).0, Some(Refusal::Denied));
    harness.api.set(away(&harness));
    let error = harness.publish().await.unwrap_err();
    assert_eq!(refusal(&error).0, Some(Refusal::Rejected), "a refusal is remembered");

    harness.api.set(authorize(harness.stream));
    drop(harness.publish().await.unwrap());
    harness.api.set(away(&harness));
    harness.directory.change(harness.stream, |record| record.spec.key_revoked = true);
    let error = harness.publish().await.unwrap_err();
    assert_eq!(refusal(&error).0, Some(Refusal::Rejected), "a rotated key");
    harness.stop().await;
}

#[tokio::test]
async fn while_the_controller_is_away_nobody_hears_that_a_key_cannot_be_checked() {
    let harness = Harness::start().await;
    let told = async |key: &str| {
        let error = harness.publish_key(key).await.unwrap_err();
        let (refusal, words) = refusal(&error);
        assert_eq!(refusal, Some(Refusal::Rejected));
        words.clone()
    };
    harness.directory.set_away(true);
    let first = told(KEY).await;
    assert!(first.starts_with("The platform cannot start broadcasts right now."), "{first}");

    harness.directory.set_away(false);
    drop(harness.publish().await.unwrap());
    harness.directory.set_away(true);
    let returning = told(KEY).await;
    assert!(returning.starts_with("The platform cannot connect an encoder to this broadcast"), "{returning}");

    // Both are away: only the key of an open broadcast is known.
    harness.api.set(Mood::Fail(u32::MAX, Box::new(authorize(harness.stream))));
    assert_eq!(told(KEY).await, returning);
    let stranger = told("another-key").await;
    assert!(stranger.starts_with("The platform cannot check stream keys now."), "{stranger}");
    harness.stop().await;
}

#[tokio::test]
async fn guessing_keys_is_slowed_down_without_asking_the_api() {
    let harness = Harness::start().await;
    harness.api.set(Mood::Deny(DenialCode::UnknownKey, "No such key."));
    for guess in 0..30 {
        let error: RelayError = harness.publish_key(&format!("guess-{guess}")).await.unwrap_err();
        assert_eq!(refusal(&error).0, Some(Refusal::Denied));
    }
    assert_eq!(harness.api.asked().len(), 10);
    harness.stop().await;
}
