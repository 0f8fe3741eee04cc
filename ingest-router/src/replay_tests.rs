use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn limits(span_ms: u64, bytes: usize) -> ReplayLimits {
    ReplayLimits { span: Duration::from_millis(span_ms), bytes }
}

fn video(first: u8, packet: u8, timestamp_ms: u32, length: usize) -> Tag {
    let mut body = vec![first, packet, 0, 0, 0];
    body.resize(length.max(5), 0);
    Tag { timestamp_ms, body: Body::Video(body.into()) }
}

fn header(mark: usize) -> Tag {
    video(0x17, 0, 0, 10 + mark)
}

fn keyframe(timestamp_ms: u32) -> Tag {
    video(0x17, 1, timestamp_ms, 100)
}

fn frame(timestamp_ms: u32) -> Tag {
    video(0x27, 1, timestamp_ms, 50)
}

fn audio_header() -> Tag {
    Tag { timestamp_ms: 0, body: Body::Audio(Bytes::from_static(&[0xAF, 0, 0x12, 0x10])) }
}

fn audio(timestamp_ms: u32) -> Tag {
    Tag { timestamp_ms, body: Body::Audio(Bytes::from_static(&[0xAF, 1, 0x21])) }
}

/// What a relay would send: role and timestamp of each tag.
fn drain(replay: &Replay, cursor: &mut Cursor) -> Vec<(Role, u32)> {
    std::iter::from_fn(|| replay.read(cursor)).map(|tag| (tag.role(), tag.timestamp_ms)).collect()
}

/// `gops` GOPs of four frames, a second each, from `start_ms` on.
fn push_gops(replay: &mut Replay, start_ms: u32, gops: u32) {
    for gop in 0..gops {
        let at = start_ms + gop * 1000;
        replay.push(keyframe(at));
        for index in 1..4 {
            replay.push(frame(at + index * 250));
        }
    }
}

fn two_gops_replayed(from_ms: u32) -> Vec<(Role, u32)> {
    let gop = |at| {
        let rest = (1..4).map(move |index| (Role::Frame, at + index * 250));
        std::iter::once((Role::Keyframe, at)).chain(rest)
    };
    std::iter::once((Role::VideoHeader, from_ms)).chain(gop(from_ms)).chain(gop(from_ms + 1000)).collect()
}

#[test]
fn a_replay_begins_with_headers_at_the_first_frames_time() {
    let mut replay = Replay::new(limits(2000, 1 << 20));
    replay.push(header(0));
    push_gops(&mut replay, 5000, 2);
    let mut cursor = replay.cursor(Beginning::Replay);
    assert_eq!(drain(&replay, &mut cursor), two_gops_replayed(5000));
    replay.push(keyframe(7000));
    assert_eq!(
        drain(&replay, &mut cursor),
        [(Role::Keyframe, 7000)],
        "a relay that is up to date gets each tag once"
    );
}

#[test]
fn two_whole_gops_and_the_span_are_kept_and_no_more() {
    for (span_ms, oldest_ms) in [(0, 7000), (2000, 7000), (2750, 7000), (2751, 6000), (5000, 4000)] {
        let mut replay = Replay::new(limits(span_ms, 1 << 20));
        replay.push(header(0));
        push_gops(&mut replay, 0, 10);
        let first = replay.read(&mut replay.cursor(Beginning::Replay)).map(|tag| tag.timestamp_ms);
        assert_eq!(first, Some(oldest_ms), "span of {span_ms} ms");
    }
}

#[test]
fn a_replay_covers_fifteen_seconds_and_is_never_more_than_a_worker_takes_at_once() {
    for (gop_s, shortest_s) in [(1, 15), (2, 15), (4, 15), (5, 15), (6, 14), (7, 14)] {
        let mut replay = Replay::new(ReplayLimits::default());
        replay.push(header(0));
        for second in 0..=120 {
            let at = second * 1000;
            replay.push(if second % gop_s == 0 { keyframe(at) } else { frame(at) });
            let sent = drain(&replay, &mut replay.cursor(Beginning::Replay));
            let oldest = sent.iter().map(|(_, at)| *at).min().unwrap();
            let covered = at - oldest;
            let wanted = (shortest_s * 1000).min(at);
            assert!(covered >= wanted, "GOPs of {gop_s} s: {covered} ms at {second} s");
            assert!(covered <= 21_000, "GOPs of {gop_s} s: {covered} ms at {second} s");
        }
    }
}

#[test]
fn fifteen_seconds_of_eleven_megabits_a_second_fit_in_its_memory() {
    let mut replay = Replay::new(ReplayLimits::default());
    replay.push(header(0));
    for index in 0..1800_u32 {
        // 60 pictures a second, a GOP of two seconds.
        let at = index * 50 / 3;
        let first = if index % 120 == 0 { 0x17 } else { 0x27 };
        replay.push(video(first, 1, at, 11_000_000 / 8 / 60));
    }
    let sent = drain(&replay, &mut replay.cursor(Beginning::Replay));
    let oldest = sent.iter().map(|(_, at)| *at).min().unwrap();
    assert!(1799 * 50 / 3 - oldest >= 15_000, "{oldest}");
    assert!(replay.held_bytes() <= 24 << 20);
}

#[test]
fn a_replay_that_is_cut_keeps_its_last_whole_gop_and_goes_on() {
    let mut replay = Replay::new(ReplayLimits::default());
    replay.push(header(0));
    for second in 0..=20 {
        replay.push(if second % 2 == 0 { keyframe(second * 1000) } else { frame(second * 1000) });
    }
    let oldest = |replay: &Replay| {
        drain(replay, &mut replay.cursor(Beginning::Replay)).iter().map(|(_, at)| *at).min().unwrap()
    };
    replay.cut(replay.held_bytes());
    assert!(oldest(&replay) <= 5000);
    replay.cut(0);
    assert_eq!(oldest(&replay), 18_000);
    replay.push(frame(21_000));
    assert_eq!(oldest(&replay), 18_000);
}

#[test]
fn headers_are_those_in_force_at_the_first_frame() {
    let mut replay = Replay::new(limits(0, 1 << 20));
    replay.push(header(1));
    push_gops(&mut replay, 0, 3);
    replay.push(header(2));
    replay.push(keyframe(3000));
    let mut cursor = replay.cursor(Beginning::Replay);
    let lengths: Vec<usize> = std::iter::from_fn(|| replay.read(&mut cursor))
        .filter(|tag| tag.role() == Role::VideoHeader)
        .map(|tag| tag.len())
        .collect();
    assert_eq!(lengths, [11, 12]);
}

#[test]
fn what_decoding_cannot_begin_with_reaches_a_worker_all_the_same() {
    // AVC's first byte of an inter picture, and Sorenson H.263's.
    for (what, first, role) in
        [("pictures without a keyframe", 0x27, Role::Frame), ("an unknown codec", 0x22, Role::Other)]
    {
        let tag = |timestamp_ms| video(first, 1, timestamp_ms, 50);
        let mut replay = Replay::new(limits(2000, 1 << 20));
        replay.push(header(0));
        let mut waiting = replay.cursor(Beginning::Replay);
        for index in 0..125 {
            replay.push(tag(index * 40));
        }
        assert_eq!(drain(&replay, &mut waiting), [], "{what}");
        assert!(replay.is_closed() && replay.is_read(&waiting), "{what}");
        replay.open_anywhere();
        for index in 125..200 {
            replay.push(tag(index * 40));
        }
        let expected: Vec<_> = std::iter::once((Role::VideoHeader, 5000))
            .chain((125..200).map(|index| (role, index * 40)))
            .collect();
        assert_eq!(drain(&replay, &mut waiting), expected, "{what}");
        // A relay that must not begin with what is kept finds a beginning as well.
        let mut later = replay.cursor(Beginning::NextKeyframe);
        for index in 200..300 {
            replay.push(tag(index * 40));
        }
        assert!(!drain(&replay, &mut later).is_empty(), "{what}");
        // And from the first keyframe on only keyframes count.
        replay.push(keyframe(12_000));
        let mut last = replay.cursor(Beginning::NextKeyframe);
        for index in 301..400 {
            replay.push(tag(index * 40));
        }
        assert_eq!(drain(&replay, &mut last), [], "{what}");
    }
}

#[test]
fn a_timestamp_jump_empties_it_but_takes_nothing_from_a_relay_on_its_way() {
    let mut replay = Replay::new(limits(0, 1 << 20));
    replay.push(header(0));
    push_gops(&mut replay, 0, 2);
    let mut on_its_way = replay.cursor(Beginning::Replay);
    assert_eq!(replay.read(&mut on_its_way).map(|tag| tag.role()), Some(Role::VideoHeader));
    assert!(replay.push(frame(60_000)));
    replay.push(keyframe(61_000));
    assert_eq!(drain(&replay, &mut on_its_way).len(), 8 + 2);
    let mut new = replay.cursor(Beginning::Replay);
    assert_eq!(drain(&replay, &mut new), [(Role::VideoHeader, 61_000), (Role::Keyframe, 61_000)]);
    assert_eq!(on_its_way.take_dropped(), 0);
}

#[test]
fn a_relay_that_lags_too_far_goes_on_at_the_next_keyframe_and_the_loss_is_counted() {
    let mut replay = Replay::new(limits(0, 1 << 20));
    replay.push(header(0));
    push_gops(&mut replay, 0, 1);
    let mut cursor = replay.cursor(Beginning::Replay);
    assert_eq!(drain(&replay, &mut cursor).len(), 5);
    push_gops(&mut replay, 1000, 9);
    let resumed = drain(&replay, &mut cursor);
    assert_eq!(&resumed[..2], [(Role::VideoHeader, 7000), (Role::Keyframe, 7000)]);
    assert_eq!(resumed.len(), 1 + 12);
    assert_eq!(cursor.take_dropped(), 24, "GOPs at 1 to 6 s");
    assert_eq!(cursor.take_dropped(), 0);
}

#[test]
fn a_beginning_at_the_next_keyframe_sends_nothing_of_the_past() {
    let mut replay = Replay::new(limits(10_000, 1 << 20));
    replay.push(header(0));
    push_gops(&mut replay, 0, 3);
    let mut cursor = replay.cursor(Beginning::NextKeyframe);
    assert_eq!(drain(&replay, &mut cursor), []);
    replay.push(frame(3000));
    assert_eq!(drain(&replay, &mut cursor), []);
    replay.push(keyframe(3250));
    assert_eq!(drain(&replay, &mut cursor), [(Role::VideoHeader, 3250), (Role::Keyframe, 3250)]);
}

#[test]
fn a_gop_over_the_limit_is_not_replayed_and_the_next_one_is() {
    let mut replay = Replay::new(limits(0, 10_000));
    replay.push(header(0));
    replay.push(keyframe(0));
    for index in 1..200 {
        replay.push(frame(index * 10));
    }
    assert!(replay.held_bytes() <= 10_000);
    assert_eq!(drain(&replay, &mut replay.cursor(Beginning::Replay)), []);
    replay.push(keyframe(2000));
    replay.push(frame(2010));
    assert_eq!(
        drain(&replay, &mut replay.cursor(Beginning::Replay)),
        [(Role::VideoHeader, 2000), (Role::Keyframe, 2000), (Role::Frame, 2010)]
    );
}

#[test]
fn without_video_any_audio_frame_opens_a_replay() {
    let mut replay = Replay::new(limits(1000, 1 << 20));
    replay.push(audio_header());
    for index in 0..200 {
        replay.push(audio(index * 20));
    }
    let sent = drain(&replay, &mut replay.cursor(Beginning::Replay));
    assert_eq!(&sent[..2], [(Role::AudioHeader, 2980), (Role::Audio, 2980)]);
    assert_eq!(sent.len(), 1 + 51);
}

#[test]
fn the_span_is_counted_across_the_wrap() {
    let mut replay = Replay::new(limits(2750, 1 << 20));
    replay.push(header(0));
    let start = u32::MAX - 4999;
    for gop in 0..10u32 {
        let at = start.wrapping_add(gop * 1000);
        for index in 0..4u32 {
            let at = at.wrapping_add(index * 250);
            replay.push(if index == 0 { keyframe(at) } else { frame(at) });
        }
    }
    let first = replay.read(&mut replay.cursor(Beginning::Replay)).map(|tag| tag.timestamp_ms);
    assert_eq!(first, Some(2000));
}

fn any_tag() -> impl Strategy<Value = (u8, u32, usize)> {
    (0u8..6, prop_oneof![9 => 0u32..200, 1 => 0u32..10_000_000], 5usize..3000)
}

proptest! {
    /// Whatever a publisher sends and however slowly a relay reads: memory stays within the limit, and what the
    /// relay sends begins with a header and a keyframe, again after each loss.
    #[test]
    fn memory_is_bounded_and_relays_can_always_decode(
        tags in prop::collection::vec(any_tag(), 1..400),
        reads in prop::collection::vec(0usize..4, 1..400),
    ) {
        let limit = 64 * 1024;
        let mut replay = Replay::new(limits(1000, limit));
        replay.push(header(0));
        let mut cursor = replay.cursor(Beginning::Replay);
        let mut decodable = false;
        let mut now = 0u32;
        let mut pushed = 0u64;
        let mut sent = 0u64;
        for ((kind, step, length), reads) in tags.into_iter().zip(reads.into_iter().cycle()) {
            now = now.wrapping_add(step);
            let tag = match kind {
                0 => video(0x17, 1, now, length),
                1 => video(0x17, 0, now, 20),
                2 => audio(now),
                _ => video(0x27, 1, now, length),
            };
            pushed += u64::from(matches!(tag.role(), Role::Keyframe | Role::Frame));
            replay.push(tag);
            prop_assert!(replay.held_bytes() <= limit);
            for _ in 0..reads {
                let Some(tag) = replay.read(&mut cursor) else { break };
                decodable |= tag.role() == Role::Keyframe;
                prop_assert!(decodable || tag.role() != Role::Frame);
                sent += u64::from(matches!(tag.role(), Role::Keyframe | Role::Frame));
                if cursor.take_dropped() > 0 {
                    prop_assert_eq!(tag.role(), Role::VideoHeader);
                    decodable = false;
                }
            }
        }
        prop_assert!(sent <= pushed);
    }
}

#[test]
fn of_long_gops_no_more_is_kept_than_decoding_needs_and_half_a_minute() {
    for gop_s in [12, 25, 100] {
        let mut replay = Replay::new(limits(8000, 1 << 20));
        replay.push(header(0));
        for second in 0..=gop_s * 3 + gop_s / 2 {
            let at = second * 1000;
            replay.push(if second % gop_s == 0 { keyframe(at) } else { frame(at) });
            let mut cursor = replay.cursor(Beginning::Replay);
            let oldest = drain(&replay, &mut cursor).iter().map(|(_, at)| *at).min().unwrap();
            assert!(at - oldest < gop_s * 1000 + 30_000, "{gop_s}: {oldest} at {at}");
        }
    }
}

#[test]
fn sound_beside_a_picture_that_lasts_for_minutes_is_not_replayed_from_its_beginning() {
    let mut replay = Replay::new(limits(8000, 1 << 20));
    replay.push(header(0));
    replay.push(keyframe(0));
    for second in 0..=100 {
        replay.push(audio(second * 1000));
    }
    let mut cursor = replay.cursor(Beginning::Replay);
    let replayed = drain(&replay, &mut cursor);
    assert_eq!(replayed.first(), Some(&(Role::VideoHeader, 0)));
    assert_eq!(replayed.get(1), Some(&(Role::Keyframe, 0)));
    assert_eq!(replayed.get(2), Some(&(Role::Audio, 70_000)));
    assert_eq!(replayed.last(), Some(&(Role::Audio, 100_000)));
    assert!(replay.is_read(&cursor));
}

/// What a relay that ends at `switch` still sends.
fn drain_before(replay: &Replay, cursor: &mut Cursor, switch: Switch) -> (Vec<(Role, u32)>, bool) {
    let mut sent = Vec::new();
    loop {
        match replay.read_before(cursor, switch) {
            Rest::Tag(tag) => sent.push((tag.role(), tag.timestamp_ms)),
            Rest::Awaited => return (sent, false),
            Rest::Complete => return (sent, true),
        }
    }
}

#[test]
fn a_switch_loses_no_frame_and_doubles_no_picture() {
    let mut replay = Replay::new(limits(2000, 1 << 20));
    replay.push(header(0));
    replay.push(audio_header());
    push_gops(&mut replay, 5000, 2);
    let mut old = replay.cursor(Beginning::Replay);
    drain(&replay, &mut old);
    let ready = replay.end();
    replay.push(frame(6900));
    assert_eq!(replay.switch(ready), None, "only a keyframe will do");
    replay.push(audio(6890));
    replay.push(keyframe(7000));
    replay.push(frame(7250));
    let switch = replay.switch(ready).unwrap();
    let mut next = replay.cursor_behind(switch).unwrap();
    let (sent, complete) = drain_before(&replay, &mut old, switch);
    assert_eq!(sent, [(Role::Frame, 6900), (Role::Audio, 6890)]);
    assert!(!complete, "sound up to the switch is still on its way");
    replay.push(audio(6990));
    replay.push(audio(7010));
    let (sent, complete) = drain_before(&replay, &mut old, switch);
    assert_eq!((sent, complete), (vec![(Role::Audio, 6990)], true));
    assert_eq!(
        drain(&replay, &mut next),
        [
            (Role::VideoHeader, 7000),
            (Role::AudioHeader, 7000),
            (Role::Keyframe, 7000),
            // The next worker takes the frame that lies across the switch, whoever has sent what.
            (Role::Audio, 6890),
            (Role::Frame, 7250),
            (Role::Audio, 6990),
            (Role::Audio, 7010),
        ]
    );
    assert_eq!(next.take_dropped(), 0);
}

#[test]
fn sound_that_was_sent_ahead_of_the_switch_goes_to_the_next_worker_too() {
    let mut replay = Replay::new(limits(2000, 1 << 20));
    replay.push(header(0));
    replay.push(audio_header());
    push_gops(&mut replay, 0, 1);
    let mut old = replay.cursor(Beginning::Replay);
    let ready = replay.end();
    for at in (500..1500).step_by(100) {
        replay.push(audio(at));
    }
    replay.push(keyframe(1000));
    let switch = replay.switch(ready).unwrap();
    let mut next = replay.cursor_behind(switch).unwrap();
    let sound: Vec<u32> = drain(&replay, &mut next)
        .into_iter()
        .filter_map(|(role, at)| (role == Role::Audio).then_some(at))
        .collect();
    assert_eq!(sound, [700, 800, 900, 1000, 1100, 1200, 1300, 1400]);
    let (_, complete) = drain_before(&replay, &mut old, switch);
    assert!(complete, "it has all that lies before the switch");
}

#[test]
fn a_switch_behind_a_timestamp_jump_sends_no_old_sound() {
    let mut replay = Replay::new(limits(2000, 1 << 20));
    replay.push(header(0));
    replay.push(audio_header());
    push_gops(&mut replay, 10_000, 2);
    replay.push(audio(11_900));
    let ready = replay.end();
    assert!(replay.push(keyframe(200)));
    let switch = replay.switch(ready).unwrap();
    let mut next = replay.cursor_behind(switch).unwrap();
    assert_eq!(
        drain(&replay, &mut next),
        [(Role::VideoHeader, 200), (Role::AudioHeader, 200), (Role::Keyframe, 200)]
    );
    let mut old = replay.cursor(Beginning::NextKeyframe);
    assert!(drain_before(&replay, &mut old, switch).1, "sound of another run is not waited for");
}

#[test]
fn a_publisher_without_sound_switches_at_once() {
    let mut replay = Replay::new(limits(2000, 1 << 20));
    replay.push(header(0));
    push_gops(&mut replay, 0, 1);
    let mut old = replay.cursor(Beginning::Replay);
    drain(&replay, &mut old);
    let ready = replay.end();
    replay.push(keyframe(1000));
    let switch = replay.switch(ready).unwrap();
    assert_eq!(drain_before(&replay, &mut old, switch), (Vec::new(), true));
}

#[test]
fn sound_alone_switches_between_two_frames_and_sends_none_twice() {
    let mut replay = Replay::new(limits(2000, 1 << 20));
    replay.push(audio_header());
    let sound = |from: u32| (from..from + 500).step_by(20).map(audio);
    for tag in sound(5000) {
        replay.push(tag);
    }
    let mut old = replay.cursor(Beginning::Replay);
    drain(&replay, &mut old);
    let ready = replay.end();
    for tag in sound(5500) {
        replay.push(tag);
    }
    let switch = replay.switch(ready).unwrap();
    assert_eq!(drain_before(&replay, &mut old, switch), (Vec::new(), true));
    let mut next = replay.cursor_behind(switch).unwrap();
    let expected: Vec<_> = [(Role::AudioHeader, 5500)]
        .into_iter()
        .chain((5500..6000).step_by(20).map(|at| (Role::Audio, at)))
        .collect();
    assert_eq!(drain(&replay, &mut next), expected);
}

#[test]
fn what_is_not_awaited_may_wait_unless_decoding_can_begin_with_it_or_what_is_awaited_is_there() {
    let mut replay = Replay::new(limits(2000, 1 << 20));
    replay.push(header(0));
    replay.push(keyframe(1000));
    let mut cursor = replay.cursor(Beginning::Replay);
    assert_eq!(replay.only_before(&cursor, 1200), None, "headers come first");
    drain(&replay, &mut cursor);
    assert_eq!(replay.only_before(&cursor, 1200), None, "there is nothing");
    replay.push(frame(1040));
    replay.push(audio(1050));
    let ahead = |replay: &Replay, cursor: &Cursor, awaited| {
        replay.only_before(cursor, awaited).map(|ahead| ahead.as_millis())
    };
    assert_eq!(ahead(&replay, &cursor, 1200), Some(160));
    assert_eq!(ahead(&replay, &cursor, 1050), None, "that is there");
    replay.push(frame(1200));
    assert_eq!(ahead(&replay, &cursor, 1200), None, "and goes with what lies before it");
    drain(&replay, &mut cursor);
    replay.push(keyframe(1240));
    assert_eq!(ahead(&replay, &cursor, 1400), None, "whoever begins there needs it at once");
}
