use super::*;
use crate::cmaf::{InitSegment, audio_init, video_init};
use crate::codec::VideoConfig;
use crate::flv::VideoCodec;
use crate::playlist::sample::{Broadcast, Step};

/// x264, 640x360 at 30 fps, High.
const AVC_RECORD: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";

fn pictures() -> InitSegment {
    let config = VideoConfig::parse(VideoCodec::Avc, &Bytes::from_static(AVC_RECORD)).unwrap();
    video_init(&config).unwrap()
}

fn sample(decode_time: u64, composition: i32, data: &'static [u8]) -> Sample {
    let data = Bytes::from_static(data);
    Sample { decode_time, duration: 33, composition, keyframe: true, idr: true, data }
}

/// Decode time of the first sample, samples, and where the last one ends.
fn times(data: &Bytes) -> (u64, usize, u64) {
    let mut rest: &[u8] = data;
    let moof = Moof::decode(&mut rest).unwrap();
    let track = &moof.traf[0];
    let samples = &track.trun[0].samples;
    let start = track.tfdt.as_ref().unwrap().base_media_decode_time;
    let each = track.tfhd.default_sample_duration;
    let length: u64 = samples.iter().map(|entry| u64::from(entry.duration.or(each).unwrap())).sum();
    (start, samples.len(), start + length)
}

fn lead_in(broadcast: &Broadcast) -> Option<LeadIn<'_>> {
    LeadIn::of(&broadcast.timeline, &broadcast.timeline.tracks[0])
}

/// The pieces that players fetch, in their order: all segments, or the last one in parts.
fn pieces(lead_in: LeadIn<'_>, in_parts: bool) -> Vec<Span> {
    let whole = if in_parts { 6 } else { 7 };
    let mut spans: Vec<Span> = (0..whole).map(|msn| lead_in.segment(Msn(msn)).unwrap()).collect();
    spans.extend(lead_in.parts().filter(|_| in_parts));
    spans
}

fn part_of(part_target: u64) -> Broadcast {
    let mut broadcast = Broadcast::new(&["source"]).with_lead_in().with(0, 1);
    broadcast.timeline.tracks[0].part_target = MediaDuration(part_target);
    broadcast
}

#[test]
fn pieces_of_pictures_follow_one_another_and_the_first_media_follows_them() {
    let init = pictures();
    for composition in [0, 66, -500] {
        for start in [14_000_u64, 24_000, 1 << 40] {
            let samples = [sample(start, composition, b"picture"), sample(start + 33, 0, b"next")];
            let first = fragment(1, &samples, SampleTiming::Each).unwrap();
            for in_parts in [false, true] {
                let broadcast = part_of(202_000);
                let mut at = start - 14_000;
                for span in pieces(lead_in(&broadcast).unwrap(), in_parts) {
                    let made = make(span, &init.data, &first).unwrap();
                    let (from, samples, to) = times(&made);
                    assert_eq!((from, samples), (at, 1), "{span:?}");
                    let read = FirstSample::read(&made).unwrap();
                    assert_eq!((read.composition, &read.data[..]), (composition, &b"picture"[..]));
                    at = to;
                }
                assert_eq!(at, start);
            }
        }
    }
}

#[test]
fn pieces_of_sound_are_whole_silent_frames_that_end_where_the_first_sound_begins() {
    for record in [
        &[0x11, 0x90][..],
        // 44.1 kHz mono, 48 kHz 5.1, HE-AAC of 24 kHz, 8 kHz, frames of 960 samples.
        &[0x12, 0x08],
        &[0x11, 0xb0],
        &[0x2b, 0x11, 0x88, 0x00],
        &[0x15, 0x88],
        &[0x11, 0x94],
    ] {
        let config = AacConfig::parse(&Bytes::copy_from_slice(record)).unwrap();
        let init = audio_init(&config).unwrap();
        let frame = u64::from(config.frame_samples);
        let start = 24 * u64::from(config.core_rate) + 17;
        let timing = SampleTiming::Constant(config.frame_samples);
        let first =
            fragment(1, &[sample(start, 0, b"sound"), sample(start + frame, 0, b"more")], timing).unwrap();
        // As long as the frames that `audio_stride` puts into a part.
        let micros = frame * 1_000_000 / u64::from(config.core_rate);
        for part_target in
            [202_000_u64, 1_001_000].map(|video| (video.div_ceil(micros) * micros).max(7 * micros))
        {
            for in_parts in [false, true] {
                let broadcast = part_of(part_target);
                let mut at = None;
                for span in pieces(lead_in(&broadcast).unwrap(), in_parts) {
                    let made = make(span, &init.data, &first).unwrap();
                    let (from, samples, to) = times(&made);
                    assert!(samples > 0 && at.is_none_or(|at| at == from), "{record:x?} {span:?}");
                    assert_eq!(FirstSample::read(&made).unwrap().data, config.silent_frame());
                    let nominal = start - ticks(i64::try_from(span.before.0).unwrap(), config.core_rate);
                    assert!(from.abs_diff(nominal) <= frame / 2 + 1, "{from} is not near {nominal}");
                    at = Some(to);
                }
                assert_eq!(at, Some(start), "{record:x?}");
            }
        }
    }
}

#[test]
fn parts_are_never_longer_than_their_target_and_only_the_last_one_is_much_shorter() {
    for target in (100_000..3_000_000).step_by(1_000) {
        let broadcast = part_of(target);
        let parts: Vec<u64> = lead_in(&broadcast).unwrap().parts().map(|part| part.length.0).collect();
        assert_eq!(parts.iter().sum::<u64>(), SEGMENT.0, "{target}");
        assert!(parts.iter().all(|part| (1..=target).contains(part)), "{parts:?} of {target}");
        if let [parts @ .., _last] = &parts[..] {
            assert!(parts.iter().all(|part| part * 100 >= target * 85), "{parts:?} of {target}");
        }
    }
    // Nobody wrote these.
    for damaged in [0, 1, u64::MAX] {
        assert!(lead_in(&part_of(damaged)).unwrap().parts().count() <= 100);
    }
}

#[test]
fn there_is_a_lead_in_while_the_broadcasts_first_segment_is_there_and_says_so() {
    assert!(lead_in(&Broadcast::new(&["source"]).with(0, 1)).is_none(), "no word of it");
    assert!(lead_in(&Broadcast::new(&["source"]).with_lead_in()).is_none(), "nothing yet");
    let mut broadcast = Broadcast::new(&["source"]).with_lead_in().with(3, 2);
    let of = lead_in(&broadcast).unwrap();
    assert_eq!((of.segment(Msn(7)), of.part(10), of.part(usize::MAX)), (None, None, None));
    assert_eq!(of.first().msn, Msn(7));
    broadcast.step(Step::End);
    assert!(lead_in(&broadcast).is_some(), "players have just read of it");
    assert!(
        lead_in(&Broadcast::new(&["source"]).with_lead_in().with(20, 0)).is_none(),
        "it has left the window"
    );
    let mut lost = Broadcast::new(&["source"]).with_lead_in().with(1, 0);
    lost.timeline.tracks[0].segments[0].gap = true;
    assert!(lead_in(&lost).is_none());
}

#[test]
fn what_no_packager_writes_makes_no_lead_in() {
    let init = pictures();
    let first = fragment(1, &[sample(24_000, 0, b"picture")], SampleTiming::Each).unwrap();
    let span = Span { before: MediaDuration::from_secs(2), length: SEGMENT };
    make(span, &init.data, &first).unwrap();
    for length in 0..init.data.len() {
        assert!(make(span, &init.data[..length], &first).is_err(), "{length} bytes of an init");
    }
    for length in 0..first.len() {
        assert!(make(span, &init.data, &first.slice(..length)).is_err(), "{length} bytes of a part");
    }
    let early = fragment(1, &[sample(1_999, 0, b"picture")], SampleTiming::Each).unwrap();
    assert_eq!(make(span, &init.data, &early), Err(LeadInError::NoRoom));
    let sound = audio_init(&AacConfig::silence()).unwrap();
    let moment = Span { before: span.before, length: MediaDuration::from_millis(1) };
    assert_eq!(make(moment, &sound.data, &first), Err(LeadInError::NoFrame));
}
