//! Two encoders, one key.

use std::time::{Duration, Instant, SystemTime};

use caudal_livestream::admission::SecondPublisher;
use caudal_livestream::feed::InputState;
use caudal_livestream::record::Ingest;
use caudal_livestream::router_session::RouterSession;
use caudal_livestream::{Generation, SessionId, StreamId};
use caudal_rtmp::Refusal;
use caudal_service::internal::SIGNATURE_HEADER;
use reqwest::StatusCode;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::fake_worker::FakeWorker;
use crate::harness::{Frame, Harness, refusal, send_frame, send_headers, signer, within};
use crate::written_log::WrittenLog;

fn input(harness: &Harness, up: bool, silent_ms: u64) -> InputState {
    let ingest = &harness.record().spec.ingest;
    InputState {
        session: Some(ingest.session),
        generation: ingest.generation,
        up,
        silent_ms: Some(silent_ms),
        ..InputState::default()
    }
}

#[tokio::test]
async fn while_the_worker_hears_the_first_one_the_second_gets_bad_name() {
    let harness = Harness::start().await;
    let (mut first, mut worker) = harness.live().await;
    worker.say(input(&harness, true, 20));
    let error = harness.publish().await.unwrap_err();
    assert_eq!(refusal(&error).0, Some(Refusal::BadName));
    assert_eq!(harness.record().spec.ingest.generation, Generation(1));
    send_headers(&mut first).await;
    send_frame(&mut first, 0, Frame::Key, 100).await;
    worker.hears_video().await;
    harness.stop().await;
}

#[tokio::test]
async fn the_log_says_whose_second_one_was_refused() {
    let log = WrittenLog::default();
    let _logging = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish().set_default();
    let harness = Harness::start().await;
    let (_first, worker) = harness.live().await;
    worker.say(input(&harness, true, 20));
    harness.publish().await.unwrap_err();
    let whose = format!("stream={} channel=\"ann\"", harness.record().spec.stream);
    harness.stop().await;
    let written = log.text();
    let line = written.lines().find(|line| line.contains("publisher refused")).unwrap();
    assert!(line.contains(&whose), "{line}");
}

#[tokio::test]
async fn a_first_one_that_the_worker_has_not_heard_for_two_seconds_is_taken_over() {
    let harness = Harness::start().await;
    let (mut first, mut worker) = harness.live().await;
    worker.say(input(&harness, true, 2500));
    let mut second = harness.publish().await.unwrap();
    assert_eq!(harness.record().spec.ingest.generation, Generation(2));
    let told = within(first.lost()).await;
    assert_eq!(
        refusal(&told),
        (
            Some(Refusal::BadName),
            "Another encoder has taken over this stream. Stop that one before you start this one again."
                .into()
        )
    );
    assert_eq!(worker.hears_relay().await, ("0".into(), "2".into()));
    send_headers(&mut second).await;
    send_frame(&mut second, 0, Frame::Key, 100).await;
    worker.hears_video().await;
    assert_eq!(harness.counted("caudal_ingest_router_takeovers_total"), 1);
    harness.stop().await;
}

#[tokio::test]
async fn a_publisher_returns_to_a_stream_that_waits_for_it() {
    let harness = Harness::start().await;
    let (first, mut worker) = harness.live().await;
    drop(first);
    assert!(!worker.hears_loss().await);
    worker.say(input(&harness, false, 100));
    let _second = harness.publish().await.unwrap();
    assert_eq!(worker.hears_relay().await, ("0".into(), "2".into()));
    harness.stop().await;
}

#[tokio::test]
async fn a_publisher_that_returns_again_and_again_waits_from_its_third_return_on() {
    let harness = Harness::start().await;
    let (mut encoder, worker) = harness.live().await;
    let mut knocks = Vec::new();
    for _ in 0..3 {
        drop(encoder);
        worker.say(input(&harness, false, 100));
        knocks.push(Instant::now());
        encoder = harness.publish().await.unwrap();
    }
    assert!(knocks[1].elapsed() >= Duration::from_secs(1));
    assert_eq!(harness.record().spec.ingest.generation, Generation(4));
    harness.stop().await;
}

#[tokio::test]
async fn without_a_worker_the_router_judges_its_own_publisher() {
    let harness = Harness::start().await;
    let mut first = harness.publish().await.unwrap();
    send_headers(&mut first).await;
    let mut timestamp = 0;
    let publishing = async {
        loop {
            send_frame(&mut first, timestamp, Frame::Key, 100).await;
            timestamp += 20;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let second = tokio::select! {
        () = publishing => unreachable!(),
        second = harness.publish() => second,
    };
    assert_eq!(refusal(&second.unwrap_err()).0, Some(Refusal::BadName));
    // Nobody sends any more; its connection is half open for all that the router knows.
    let _third = harness.publish().await.unwrap();
    assert_eq!(harness.record().spec.ingest.generation, Generation(2));
    harness.stop().await;
}

#[tokio::test]
async fn a_worker_that_has_not_met_the_publisher_is_no_judge() {
    let harness = Harness::start().await;
    let _first = harness.publish().await.unwrap();
    let worker = FakeWorker::start().await;
    worker.say(InputState {
        session: Some(SessionId::generate()),
        up: true,
        silent_ms: Some(0),
        ..InputState::default()
    });
    harness.directory.assign(harness.stream, worker.address, 0);
    // The router knows: a publisher without media for two seconds.
    let _second = harness.publish().await.unwrap();
    harness.stop().await;
}

#[tokio::test]
async fn another_router_is_asked_and_its_silence_is_a_takeover() {
    let harness = Harness::start().await;
    drop(harness.publish().await.unwrap());
    let own_url = harness.internal.clone();
    harness
        .directory
        .change(harness.stream, |record| record.spec.ingest.router = "http://127.0.0.1:1".into());
    let _second = harness.publish().await.unwrap();
    assert_eq!(harness.record().spec.ingest.router, own_url);
    harness.stop().await;
}

#[tokio::test]
async fn a_publisher_that_was_outrun_is_judged_again_against_the_faster_one() {
    let harness = Harness::start().await;
    drop(harness.publish().await.unwrap());
    let rival = Ingest {
        session: SessionId::generate(),
        generation: Generation(2),
        ..harness.record().spec.ingest.clone()
    };
    harness.directory.let_in_first(rival);
    let _encoder = harness.publish().await.unwrap();
    assert_eq!(
        harness.record().spec.ingest.generation,
        Generation(3),
        "the faster one is not there, says its router"
    );

    let worker = FakeWorker::start().await;
    let session = SessionId::generate();
    let input = |generation, up| InputState {
        session: Some(session),
        generation,
        up,
        silent_ms: Some(0),
        ..InputState::default()
    };
    let rival = Ingest { session, generation: Generation(4), ..harness.record().spec.ingest.clone() };
    harness.directory.let_in_first(rival);
    harness
        .directory
        .change(harness.stream, |record| record.spec.ingest.router = "http://127.0.0.1:1".into());
    harness.directory.assign(harness.stream, worker.address, 0);
    worker.say(input(Generation(3), false));
    let publishing = harness.publish();
    let said = async {
        harness.directory.wait_for(|record| record.spec.ingest.generation == Generation(4)).await;
        worker.say(input(Generation(4), true));
    };
    let (outcome, ()) = tokio::join!(publishing, said);
    assert_eq!(refusal(&outcome.unwrap_err()).0, Some(Refusal::BadName));
    harness.stop().await;
}

#[tokio::test]
async fn by_the_policy_or_the_setting_the_newcomer_wins_over_a_live_one() {
    for by_setting in [false, true] {
        let harness = Harness::with(|config| {
            config.second_publisher = by_setting.then_some(SecondPublisher::Takeover);
        })
        .await;
        if !by_setting {
            let mood = crate::fake_api::Mood::Authorize {
                stream: harness.stream,
                policy: SecondPublisher::Takeover,
            };
            harness.api.set(mood);
        }
        let (mut first, worker) = harness.live().await;
        worker.say(input(&harness, true, 0));
        let _second = harness.publish().await.unwrap();
        assert_eq!(refusal(&within(first.lost()).await).0, Some(Refusal::BadName));
        harness.stop().await;
    }
}

#[tokio::test]
async fn other_routers_are_answered_when_they_sign() {
    let harness = Harness::start().await;
    let mut encoder = harness.publish().await.unwrap();
    send_headers(&mut encoder).await;
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let ask = async |stream: StreamId, sign: bool| {
        let path = format!("/session/{stream}");
        let mut request = client.get(format!("{}{path}", harness.internal));
        if sign {
            request = request.header(SIGNATURE_HEADER, signer().sign("GET", &path, b"", SystemTime::now()));
        }
        request.send().await.unwrap()
    };
    let answer = ask(harness.stream, true).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let state: InputState = answer.json().await.unwrap();
    assert_eq!((state.session, state.up), (Some(harness.record().spec.ingest.session), true));
    // The router measures once a second, and the first time may be before the headers are read.
    let measured = async {
        loop {
            let session: RouterSession = ask(harness.stream, true).await.json().await.unwrap();
            if let Some(media) = session.media.filter(|media| media.video_codec.is_some()) {
                return media;
            }
            tokio::task::yield_now().await;
        }
    };
    let media = within(measured).await;
    assert_eq!((media.video_codec.as_deref(), media.width), (Some("H.264"), Some(1280)));
    assert_eq!(ask(harness.stream, false).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(StreamId::generate(), true).await.status(), StatusCode::NOT_FOUND);
    harness.stop().await;
}
