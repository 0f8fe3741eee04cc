//! Publishers of which nothing can be played.

use super::*;

#[test]
fn a_publisher_of_which_nothing_can_be_played_ends_its_broadcast_with_what_it_sent() {
    let words = "video came, but no keyframe; no sound came";
    let unplayable = |generation| InputState {
        session: Some(SessionId::generate()),
        generation,
        up: true,
        silent_ms: Some(0),
        unplayable: Some(words.to_owned()),
        ..InputState::default()
    };
    // Before anything could be watched, and in the middle of a broadcast.
    for (mut scene, phase) in [(Scene::starting(), Phase::Failed), (Scene::live(), Phase::Ending)] {
        scene.publisher_up();
        // One that was replaced says nothing about its successor.
        scene.say(Input::PublisherChosen(Generation(2)));
        scene.input(unplayable(Generation(1)));
        assert!(!scene.phase().is_over());
        scene.input(unplayable(Generation(2)));
        assert_eq!(scene.phase(), phase);
        let status = scene.machine.status(None);
        assert_eq!(status.end_reason, Some(EndReason::NothingPlayable));
        let reason = format!("what was sent cannot be played: {words}");
        assert_eq!(status.reason.as_ref(), Some(&reason));
        // What the publisher does from then on changes nothing of it.
        scene.publisher_gone(false);
        assert_eq!(scene.machine.status(None).reason, Some(reason));
    }
    let mut scene = Scene::starting();
    scene.input(unplayable(Generation(1)));
    let done = scene.done().unwrap();
    assert_eq!((done.reason, done.detail.as_deref()), (EndReason::NothingPlayable, Some(words)));
    assert!(!done.published);
}

#[test]
fn who_is_turned_away_for_its_media_before_the_first_segment_may_try_again_in_the_same_broadcast() {
    for mut scene in [Scene::opened(), Scene::starting()] {
        let mut generation = Generation(1);
        let mut tries = 0;
        while !scene.phase().is_over() {
            generation = generation.next();
            scene.say(Input::PublisherChosen(generation));
            scene.say(Input::MediaRefused(Generation(1), "an earlier one".to_owned()));
            scene.say(Input::MediaRefused(generation, "av01 is not supported".to_owned()));
            scene.after(1_000);
            tries += 1;
        }
        assert!((55..=61).contains(&tries), "{tries} in a broadcast's first minute");
        let reason = scene.machine.status(None).reason;
        assert_eq!(reason.as_deref(), Some("what was sent cannot be played: av01 is not supported"));
        // The first reason stays.
        scene.say(Input::End(EndReason::EndedByOwner));
        assert_eq!(scene.machine.end_reason(), Some(EndReason::NothingPlayable));
    }

    // Whose settings are right the second time is live with them.
    let mut scene = Scene::starting();
    scene.say(Input::MediaRefused(Generation(1), "MP3 is not supported".to_owned()));
    let reason = scene.machine.status(None).reason;
    assert_eq!(
        reason.as_deref(),
        Some("what was sent cannot be played: MP3 is not supported"),
        "told at once"
    );
    scene.say(Input::PublisherChosen(Generation(2)));
    scene.publisher_up();
    scene.announce(1);
    assert_eq!((scene.phase(), scene.machine.status(None).reason), (Phase::Live, None));
}

#[test]
fn one_bad_message_ends_no_broadcast_and_a_second_within_a_minute_does() {
    let refused = |generation| Input::MediaRefused(generation, "PCM is not supported".to_owned());
    let mut scene = Scene::live();
    scene.say(refused(Generation(1)));
    scene.say(Input::PublisherChosen(Generation(2)));
    scene.announce(20);
    scene.after(60_000);
    scene.say(refused(Generation(2)));
    assert!(!scene.phase().is_over() && scene.machine.end_reason().is_none());
    scene.say(Input::PublisherChosen(Generation(3)));
    scene.announce(30);
    scene.after(59_999);
    scene.say(refused(Generation(3)));
    assert_eq!(scene.machine.end_reason(), Some(EndReason::NothingPlayable));
}

#[test]
fn what_was_wrong_with_one_publisher_is_not_said_of_the_next_one() {
    let mut scene = Scene::starting();
    let state = |generation, up, silent_ms| InputState {
        session: Some(SessionId::generate()),
        generation,
        up,
        silent_ms,
        ..InputState::default()
    };
    scene.input(state(Generation(1), true, None));
    scene.input(state(Generation(1), false, None));
    scene.say(Input::PublisherChosen(Generation(2)));
    scene.input(state(Generation(2), true, Some(0)));
    // Its worker dies, and the next one has not heard of it yet.
    scene.input(state(Generation(2), false, None));
    scene.after(90_000);
    assert_ne!(scene.machine.end_reason(), None);
    assert_ne!(scene.machine.end_reason(), Some(EndReason::NothingPlayable));
}

#[test]
fn an_encoder_without_a_source_comes_back_until_the_broadcast_fails_and_says_so() {
    let mut scene = Scene::starting();
    let mut generation = Generation(1);
    // The router closes its connection after 20 s without media; it tries again at once.
    while !scene.phase().is_over() {
        let state =
            |up| InputState { session: Some(SessionId::generate()), generation, up, ..InputState::default() };
        scene.input(state(true));
        scene.after(20_000);
        scene.input(state(false));
        scene.after(2_000);
        generation = generation.next();
        scene.say(Input::PublisherChosen(generation));
    }
    let done = scene.done().unwrap();
    assert_eq!(done.reason, EndReason::NothingPlayable);
    assert_eq!(done.detail.as_deref(), Some("neither pictures nor sound came"));
    assert_eq!(scene.phase(), Phase::Failed);

    // One that never comes back is told of in the same words.
    let mut scene = Scene::starting();
    scene.publisher_up();
    scene.publisher_gone(false);
    scene.after(30_000);
    assert_eq!(scene.machine.end_reason(), Some(EndReason::NothingPlayable));
    // Who said good-bye wanted it so.
    let mut scene = Scene::starting();
    scene.publisher_up();
    scene.publisher_gone(true);
    scene.after(5_000);
    assert_eq!(scene.machine.end_reason(), Some(EndReason::Unpublished));
    // And one that did send something was lost.
    let mut scene = Scene::starting();
    scene.input(InputState {
        silent_ms: Some(100),
        session: Some(SessionId::generate()),
        ..InputState::default()
    });
    scene.after(30_000);
    assert_eq!(scene.machine.end_reason(), Some(EndReason::PublisherLost));
}

/// A record that is longer than its store takes can never be stored again, and its broadcast never be ended.
#[test]
fn whoever_talks_much_makes_no_record_longer_than_its_store_takes() {
    let words = || "é".repeat(40_000);
    let unplayable = InputState {
        session: Some(SessionId::generate()),
        generation: Generation(1),
        up: true,
        unplayable: Some(words()),
        ..InputState::default()
    };
    let leaving = InputState { up: false, leaving: true, ..unplayable.clone() };
    let inputs = |epoch| {
        [
            Input::NoWorker(epoch, words()),
            Input::NoCredentials(epoch, words()),
            Input::MediaRefused(Generation(1), words()),
            Input::Publisher(epoch, unplayable.clone()),
            Input::Publisher(epoch, leaving.clone()),
        ]
    };
    for mut scene in [Scene::opened(), Scene::starting(), Scene::live()] {
        for input in inputs(scene.epoch()) {
            let said = format!("{input:?}").chars().take(20).collect::<String>();
            scene.say(input);
            let stored = serde_json::to_string(&scene.machine).unwrap();
            assert!(stored.len() < 4_096, "{said}: {} bytes", stored.len());
            let reason = scene.machine.status(None).reason.unwrap_or_default();
            assert!(reason.len() < 600, "{said}: {} bytes", reason.len());
        }
    }
}
