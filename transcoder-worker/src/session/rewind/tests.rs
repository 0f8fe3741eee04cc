use bytes::Bytes;
use caudal_livestream::state::InputClock;
use caudal_livestream::timeline::SegmentPhase;
use caudal_livestream::{Generation, MediaTime, StreamId, UnixMillis};
use caudal_media::Beyond;

use super::*;
use crate::fixtures::{segment, timeline};

/// The worker before has stored all up to 16 s of media time, which is that timestamp of `session`.
fn behind(session: SessionId) -> Resume {
    let timeline = timeline(StreamId::generate(), vec![segment(7, SegmentPhase::Stored)]);
    let clock = InputClock {
        session,
        generation: Generation(1),
        offset: MediaTime(0),
        wraps: 0,
        last_rtmp: 16_000,
        date_anchor: UnixMillis(0),
    };
    Resume { timeline, clock: Some(clock), floor: None, beyond: Beyond::SameEpoch }
}

fn up(session: SessionId) -> InputEvent {
    InputEvent::Up { session, generation: Generation(1), again: CancellationToken::new() }
}

fn picture(timestamp_ms: u32, arrived: Instant) -> InputEvent {
    InputEvent::Video { timestamp_ms, body: Bytes::from_static(b"picture"), arrived }
}

/// Timestamps of media, and where connections begin and end.
fn said(events: &[InputEvent]) -> Vec<String> {
    let words = events.iter().map(|event| match event {
        InputEvent::Up { .. } => "up".to_owned(),
        InputEvent::Down => "down".to_owned(),
        InputEvent::HandedOver => "handed over".to_owned(),
        InputEvent::Metadata(_) => "metadata".to_owned(),
        InputEvent::Video { timestamp_ms, .. } | InputEvent::Audio { timestamp_ms, .. } => {
            timestamp_ms.to_string()
        }
    });
    words.collect()
}

/// The session has asked for the replay at the first media, at 20 s; some more has waited with that.
fn asked(session: SessionId, now: Instant) -> Rewind {
    let mut rewind = Rewind::new(Some(&behind(session)), 1_000_000);
    assert!(matches!(rewind.take(up(session), now), Taken::Take(_)));
    assert!(matches!(rewind.take(picture(20_000, now - Duration::from_secs(8)), now), Taken::Ask(_)));
    assert!(matches!(rewind.take(picture(21_000, now), now), Taken::Nothing));
    rewind
}

#[tokio::test(start_paused = true)]
async fn the_replay_is_asked_for_as_long_as_a_router_may_still_have_it() {
    let now = Instant::now() + Duration::from_hours(1);
    let session = SessionId::generate();
    for (case, begins_ms, ago, waited, asks) in [
        ("nothing is missing", 16_000, 0, 0, false),
        ("it has just come", 18_000, 0, 500_000, true),
        ("it has waited for storage for long", 18_000, 12, 12_000_000, true),
        ("for longer than a replay reaches", 18_000, 29, 1_000_000, false),
        ("so much is missing", 47_000, 0, 0, false),
        ("a replay has no room for so much", 18_000, 12, 22_000_000, false),
        ("another publisher's", 18_000, 0, 0, false),
    ] {
        let of = if case == "another publisher's" { SessionId::generate() } else { session };
        let mut rewind = Rewind::new(Some(&behind(session)), waited);
        let _ = rewind.take(up(of), now);
        let taken = rewind.take(picture(begins_ms, now - Duration::from_secs(ago)), now);
        assert_eq!(matches!(taken, Taken::Ask(_)), asks, "{case}");
        assert_eq!(matches!(taken, Taken::Take(_)), !asks, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_reaches_far_enough_is_taken_instead_of_what_came_before_and_another_one_behind_that() {
    let (now, session) = (Instant::now() + Duration::from_hours(1), SessionId::generate());
    let all = ["20000", "21000", "up", "22000"];
    let others = ["20000", "21000", "down", "up", "0"];
    let another = SessionId::generate();
    let cases: [(&str, SessionId, u32, &[&str], Came); 4] = [
        ("longer", session, 14_000, &["up", "14000"], Came::Replay),
        ("as long", session, 20_000, &["up", "20000"], Came::Replay),
        ("the router had let go of that", session, 22_000, &all, Came::TooLittle),
        ("another publisher's", another, 0, &others, Came::AnotherPublisher),
    ];
    for (case, of, begins_ms, taken, came) in cases {
        let mut rewind = asked(session, now);
        for event in [InputEvent::Down, up(of)] {
            assert!(matches!(rewind.take(event, now), Taken::Nothing), "{case}");
        }
        let Taken::TakeAll(events, was) = rewind.take(picture(begins_ms, now), now) else { panic!("{case}") };
        assert_eq!((said(&events), was), (taken.iter().map(ToString::to_string).collect(), came), "{case}");
        assert!(matches!(rewind.take(picture(begins_ms + 40, now), now), Taken::Take(_)));
        assert!(rewind.overdue(now + PATIENCE).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_is_taken_when_no_other_connection_comes_or_the_stream_goes_on_elsewhere() {
    let (now, session) = (Instant::now() + Duration::from_hours(1), SessionId::generate());
    let late = now + PATIENCE;
    let mut rewind = asked(session, now);
    let _ = rewind.take(InputEvent::Down, now);
    assert!(rewind.overdue(late - Duration::from_millis(1)).is_none());
    assert_eq!(said(&rewind.overdue(late).unwrap()), ["20000", "21000", "down"]);
    assert!(rewind.overdue(late).is_none());

    let mut rewind = asked(session, now);
    let _ = rewind.take(up(session), now);
    assert_eq!(said(&rewind.overdue(late).unwrap()), ["20000", "21000", "up"], "its media is late");

    for (event, said_of_it) in [(InputEvent::Down, "down"), (InputEvent::HandedOver, "handed over")] {
        let mut rewind = asked(session, now);
        let _ = rewind.take(up(session), now);
        let Taken::TakeAll(events, _) = rewind.take(event, now) else { panic!("{said_of_it}") };
        assert_eq!(said(&events), ["20000", "21000", "up", said_of_it]);
    }

    let another = SessionId::generate();
    let mut rewind = asked(session, now);
    let _ = rewind.take(up(another), now);
    assert_eq!(said(&rewind.overdue(late).unwrap()), ["20000", "21000", "down", "up"]);

    let mut rewind = asked(session, now);
    assert_eq!(said(&rewind.give_up()), ["20000", "21000", "down"], "the session ends before the answer");
    assert!(rewind.give_up().is_empty() && rewind.overdue(late).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_the_media_came_by_is_ended_and_no_later_one() {
    let (now, session) = (Instant::now() + Duration::from_hours(1), SessionId::generate());
    let mut rewind = Rewind::new(Some(&behind(session)), 0);
    let [first, second] = [CancellationToken::new(), CancellationToken::new()];
    let begins = |again: &CancellationToken| InputEvent::Up {
        session,
        generation: Generation(1),
        again: again.clone(),
    };
    // All of it waited for storage: the router has dialled again by itself meanwhile.
    let _ = rewind.take(begins(&first), now);
    let Taken::Ask(again) = rewind.take(picture(20_000, now), now) else { panic!("it asks") };
    again.cancel();
    assert!(first.is_cancelled() && !second.is_cancelled());
    let _ = rewind.take(InputEvent::Down, now);
    let _ = rewind.take(begins(&second), now);
    let Taken::TakeAll(events, Came::Replay) = rewind.take(picture(14_000, now), now) else {
        panic!("its replay")
    };
    assert_eq!(said(&events), ["up", "14000"]);
}
