//! Commands that are repeated, that come late, or that somebody else was faster than.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};

use super::*;

#[tokio::test]
async fn a_command_whose_answer_was_lost_can_be_repeated() {
    let controller = Arc::new(Controller::default());
    let listening = Listening::at("127.0.0.1:0", &controller).await;
    let router = listening.read_by("ingest-router");
    let stream = stream_of("a");
    for _ in 0..2 {
        let opened = within(router.open(stream.spec.clone())).await.unwrap();
        assert_eq!(opened.spec, stream.spec);
    }
    let back = ingest(2);
    for _ in 0..2 {
        let reconnected = within(router.reconnect(stream.spec.stream, back.clone())).await.unwrap();
        assert_eq!(reconnected.spec.ingest, back);
    }
    // A rival of the same generation is none of these.
    let rival = within(router.reconnect(stream.spec.stream, ingest(2))).await.unwrap_err();
    assert!(matches!(rival, ReconnectError::Stale(Generation(2))));
    router.close().await;
    listening.end().await;
}

/// As where the controller was stopped meanwhile, and finds the command in its socket.
#[tokio::test]
async fn nothing_comes_of_a_command_whose_publisher_has_been_told_that_there_was_no_answer() {
    let controller = Arc::new(Controller::default());
    let listening = Listening::at("127.0.0.1:0", &controller).await;
    let router = listening.read_by("ingest-router");
    within(router.read_once()).await;
    let until = router.shared.waits_until().unwrap();
    let deadline = controller_clock::millis(COMMAND_DEADLINE);
    assert!((deadline - 1000..deadline + 20_000).contains(&until.ms), "{until:?}");
    sleep(Duration::from_millis(20)).await;
    let (past, other) = (wire::Moment { ms: 1, ..until }, wire::Moment { run: uuid::Uuid::nil(), ms: 1 });
    for (by, begun) in [(Some(past), false), (Some(until), true), (Some(other), true), (None, true)] {
        let spec = stream_of("a").spec;
        let stream = spec.stream;
        let opened = within(router.shared.command(wire::OPEN, &wire::Open { spec, by })).await;
        assert_eq!((opened.is_ok(), controller.get(stream).is_some()), (begun, begun), "{by:?}");
        let taken = wire::Reconnect { stream, ingest: ingest(2), by };
        let taken = within(router.shared.command(wire::RECONNECT, &taken)).await;
        assert_eq!(taken.is_ok(), begun, "{by:?}");
    }
    router.close().await;
    listening.end().await;
}

#[tokio::test]
async fn a_stream_that_was_ended_before_it_was_opened_is_over_at_the_other_end_too() {
    let spec = stream_of("a").spec;
    let controller = Arc::new(Controller { ended: HashSet::from([spec.stream]), ..Controller::default() });
    let listening = Listening::at("127.0.0.1:0", &controller).await;
    let router = listening.read_by("ingest-router");
    for opened in [controller.open(spec.clone()).await, within(router.open(spec)).await] {
        match opened.unwrap_err() {
            OpenError::Exists(record) => assert!(!record.is_open(), "{record:?}"),
            other => panic!("{other}"),
        }
    }
    router.close().await;
    listening.end().await;
}

/// As one that was killed and has been started anew.
#[tokio::test]
async fn a_controller_that_left_a_command_unanswered_is_asked_again() {
    let (controller, stop) = (Arc::new(Controller::default()), CancellationToken::new());
    let heard = Arc::new(AtomicBool::new(false));
    let routes = directory_routes(controller.clone(), controller.clone(), &callers(), stop.clone());
    let routes = routes.layer(from_fn(move |request: Request, next: Next| {
        let is_first = request.uri().path() == wire::OPEN && !heard.swap(true, Ordering::Relaxed);
        async move {
            if is_first {
                pending::<()>().await;
            }
            next.run(request).await
        }
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let router = reader(listener.local_addr().unwrap(), "ingest-router");
    let task = tokio::spawn(HttpServer::new(listener, HttpLimits::default()).serve(routes, stop.clone()));
    let spec = stream_of("a").spec;
    let opened = within(router.open(spec.clone())).await.unwrap();
    assert_eq!(opened.spec, spec);
    router.close().await;
    stop.cancel();
    task.await.unwrap().unwrap();
}
