use super::*;

fn clock() -> SourceClock {
    SourceClock::new(SessionId::generate(), Generation(1))
}

fn at(ms: i64) -> Placed {
    Placed::At(MediaTime(ms * 1000))
}

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

#[test]
fn the_first_timestamp_lies_at_24_seconds_and_the_others_around_it() {
    let mut clock = clock();
    assert_eq!(clock.place(Input::Video, 5_000, None, NOW), at(24_000));
    assert_eq!(clock.place(Input::Audio, 4_990, None, NOW), at(23_990));
    assert_eq!(clock.place(Input::Video, 7_999, None, NOW), at(26_999));
    assert_eq!(clock.date(MediaTime(24_000_000)), NOW);
}

#[test]
fn a_wrap_of_32_bits_means_nothing() {
    let mut clock = clock();
    assert_eq!(clock.place(Input::Video, u32::MAX - 20, None, NOW), at(24_000));
    assert_eq!(clock.place(Input::Video, 12, None, NOW), at(24_033));
    assert_eq!(clock.state().map(|state| (state.wraps, state.last_rtmp)), Some((1, 12)));
    let mut resumed = SourceClock::resume(clock.state().expect("media came"));
    assert_eq!(resumed.place(Input::Video, 45, None, NOW), at(24_066));
}

#[test]
fn a_jump_over_three_seconds_is_placed_by_the_wall_clock() {
    let mut clock = clock();
    assert_eq!(clock.place(Input::Video, 0, None, NOW), at(24_000));
    assert_eq!(clock.place(Input::Video, 3_000, None, NOW), at(27_000));
    assert_eq!(clock.place(Input::Video, 6_001, None, NOW), Placed::Jump);
    assert!(clock.rebase(Input::Video, 6_001, MediaTime(27_040_000), UnixMillis(NOW.0 + 8_000)));
    assert_eq!(clock.place(Input::Video, 6_001, None, NOW), at(32_000));
    // Audio that was still queued from before the jump.
    assert_eq!(clock.place(Input::Audio, 2_900, None, NOW), Placed::Drop);
}

#[test]
fn the_timeline_never_runs_backwards_when_the_wall_clock_does() {
    let mut clock = clock();
    assert_eq!(clock.place(Input::Video, 100_000, None, NOW), at(24_000));
    assert!(clock.rebase(Input::Video, 0, MediaTime(26_000_000), UnixMillis(NOW.0 - 60_000)));
    assert_eq!(clock.place(Input::Video, 0, None, NOW), at(26_000));
}

#[test]
fn a_seventh_change_in_a_minute_is_refused() {
    let mut clock = clock();
    let allowed = (0..8).filter(|second| clock.allow_change(UnixMillis(second * 1000))).count();
    assert_eq!(allowed, 6);
    assert!(clock.allow_change(UnixMillis(60_000)));
}

#[test]
fn a_replay_is_dropped_up_to_what_was_consumed_of_each_track() {
    let session = SessionId::generate();
    let mut clock = SourceClock::new(session, Generation(1));
    assert_eq!(clock.place(Input::Video, 0, None, NOW), at(24_000));
    for second in 1..=10 {
        clock.place(Input::Video, second * 1000, None, NOW);
    }
    clock.connect(session, Generation(1));
    let video = Some(MediaTime(34_033_000));
    let audio = Some(MediaTime(33_900_000));
    for second in 0..=10 {
        assert_eq!(clock.place(Input::Video, second * 1000, video, NOW), Placed::Drop);
    }
    assert_eq!(clock.place(Input::Audio, 9_880, audio, NOW), Placed::Drop);
    assert_eq!(clock.place(Input::Audio, 9_901, audio, NOW), at(33_901));
    assert_eq!(clock.place(Input::Video, 10_033, video, NOW), at(34_033));
}
