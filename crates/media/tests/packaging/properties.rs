//! Whatever a publisher does, the promises that [`Recorder`] checks hold.

use bytes::Bytes;
use caudal_livestream::{Generation, SessionId, UnixMillis};
use proptest::prelude::*;

use crate::recorder::{
    AVC_RECORD, NOW, OTHER_AVC_RECORD, Recorder, aac_frame, aac_header, avc_frame, avc_header, config, hints,
    rendition, rung,
};

#[derive(Clone, Debug)]
enum Act {
    /// A picture so many milliseconds after the last one, by the encoder's clock.
    Picture {
        after: u32,
        keyframe: bool,
        composition: i32,
    },
    Sounds(u32),
    Hole(u32),
    Jump(i32),
    /// Only one track's clock jumps: the video's, if true.
    JumpAlone(bool, i32),
    VideoHeader(bool),
    AudioHeader(bool),
    Tick(i64),
    Lost,
    Back {
        anew: bool,
    },
    Bytes(Vec<u8>),
    /// The rung's encoder has made what it was given so far.
    Encode,
}

fn act() -> impl Strategy<Value = Act> {
    let picture = (
        prop_oneof![8 => Just(33_u32), 2 => 1..90_u32, 1 => 90..400_u32, 1 => 400..7_000_u32],
        prop::bool::weighted(0.06),
        -100..100_i32,
    )
        .prop_map(|(after, keyframe, composition)| Act::Picture { after, keyframe, composition });
    prop_oneof![
        60 => picture,
        40 => (1..4_u32).prop_map(Act::Sounds),
        2 => (100..4_000_u32).prop_map(Act::Hole),
        1 => any::<i32>().prop_map(Act::Jump),
        1 => (any::<bool>(), prop_oneof![any::<i32>(), -5_000..5_000]).prop_map(|(video, by)| Act::JumpAlone(video, by)),
        1 => any::<bool>().prop_map(Act::VideoHeader),
        1 => any::<bool>().prop_map(Act::AudioHeader),
        3 => (0..3_000_i64).prop_map(Act::Tick),
        1 => Just(Act::Lost),
        1 => any::<bool>().prop_map(|anew| Act::Back { anew }),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Act::Bytes),
        20 => Just(Act::Encode),
    ]
}

fn perform(acts: &[Act], has_audio: bool, keyframe_ms: Option<u32>) -> Recorder {
    let mut config = config();
    config.hints = keyframe_ms.map(hints);
    config.ladder = vec![rung("240p", 240)];
    let mut recorder = Recorder::new(config);
    recorder.metadata(Some(30_000), true, has_audio);
    if has_audio {
        recorder.audio(0, aac_header());
    }
    recorder.video(0, avc_header(AVC_RECORD));
    let (mut wall, mut picture, mut sound) = (0_i64, 0_u32, 0_u32);
    let mut generation = 1;
    for act in acts {
        match act {
            Act::Picture { after, keyframe, composition } => {
                picture = picture.wrapping_add(*after);
                wall += i64::from(*after);
                recorder.at(wall);
                recorder.video(picture, avc_frame(*keyframe, *composition, 50));
            }
            Act::Sounds(count) => {
                for _ in 0..*count {
                    sound = sound.wrapping_add(21);
                    recorder.audio(sound, aac_frame());
                }
            }
            Act::Hole(length) => {
                picture = picture.wrapping_add(*length);
                sound = picture;
                wall += i64::from(*length);
            }
            Act::Jump(by) => {
                picture = picture.wrapping_add_signed(*by);
                sound = picture;
            }
            Act::JumpAlone(true, by) => picture = picture.wrapping_add_signed(*by),
            Act::JumpAlone(false, by) => sound = sound.wrapping_add_signed(*by),
            Act::VideoHeader(other) => {
                recorder.video(picture, avc_header(if *other { OTHER_AVC_RECORD } else { AVC_RECORD }));
            }
            Act::AudioHeader(other) => {
                recorder
                    .audio(sound, if *other { Bytes::from_static(b"\xaf\0\x12\x08") } else { aac_header() });
            }
            Act::Tick(after) => {
                wall += after;
                recorder.at(wall);
                recorder.tick();
            }
            Act::Lost => recorder.packager.publisher_lost(UnixMillis(NOW + wall)),
            Act::Back { anew } => {
                generation += 1;
                let session = if *anew {
                    SessionId(uuid::Uuid::from_u128(generation))
                } else {
                    SessionId(uuid::Uuid::nil())
                };
                recorder.packager.publisher(session, Generation(u32::try_from(generation).expect("few")));
                if *anew {
                    (picture, sound) = (0, 0);
                    recorder.video(picture, avc_header(AVC_RECORD));
                    recorder.audio(sound, aac_header());
                }
            }
            Act::Bytes(bytes) => {
                recorder.video(picture, Bytes::from(bytes.clone()));
                recorder.audio(sound, Bytes::from(bytes.clone()));
            }
            Act::Encode => {
                recorder.encode(&rendition("240p"));
            }
        }
    }
    recorder.at(wall + 1_000);
    recorder.finish();
    recorder
}

#[test]
fn pictures_do_not_move_in_a_segment_that_the_sound_made_longer_than_they_may() {
    let next = Act::Picture { after: 33, keyframe: false, composition: 0 };
    let mut acts = vec![Act::Picture { after: 33, keyframe: true, composition: 0 }, Act::Hole(269)];
    acts.extend([next.clone(), next.clone(), next.clone()]);
    acts.extend([1, 1, 2, 2].map(Act::Sounds));
    acts.extend([next.clone(), Act::JumpAlone(false, 2048), Act::Sounds(2), next]);
    let recorder = perform(&acts, true, Some(500));
    assert!(recorder.ended);
    recorder.check_alignment(i64::MAX);
}

fn picture(after: u32, keyframe: bool, composition: i32) -> Act {
    Act::Picture { after, keyframe, composition }
}

#[test]
fn sound_that_comes_too_late_for_a_run_does_not_end_the_wait_for_its_pictures() {
    let next = || picture(33, false, 0);
    let mut acts = vec![picture(33, true, 0), next(), next(), next(), next(), picture(2_926, false, 0)];
    acts.extend([next(), next(), next(), Act::Back { anew: true }, Act::Sounds(2)]);
    acts.extend([picture(33, true, -51), picture(90, false, 0), Act::AudioHeader(true), next()]);
    perform(&acts, false, None).check_alignment(i64::MAX);
}

#[test]
fn a_gap_before_a_runs_first_picture_lies_where_its_pictures_do() {
    let next = || picture(33, false, 0);
    let mut acts = vec![Act::AudioHeader(true), next(), Act::Jump(3_022), Act::Sounds(1), next()];
    acts.extend([
        picture(3_950, false, 0),
        picture(339, false, 0),
        picture(321, false, 0),
        next(),
        next(),
        next(),
    ]);
    acts.extend([
        Act::Back { anew: false },
        next(),
        next(),
        picture(126, false, 0),
        next(),
        Act::Sounds(1),
        next(),
    ]);
    acts.extend([picture(33, true, -15), Act::Jump(-234), next(), Act::Back { anew: true }, Act::Sounds(1)]);
    acts.extend([Act::JumpAlone(true, 661), Act::Hole(331), Act::Sounds(1), picture(166, true, 85), next()]);
    acts.extend([picture(4_334, false, 0), Act::JumpAlone(false, 1_449), Act::Sounds(3), next()]);
    perform(&acts, false, None).check_alignment(i64::MAX);
}

#[test]
fn a_run_that_goes_on_with_a_gop_does_not_overlap_the_one_that_sound_began() {
    let next = || picture(33, false, 0);
    let mut acts =
        vec![picture(33, true, 83), picture(150, false, 0), Act::Back { anew: true }, Act::Sounds(2)];
    acts.extend([Act::JumpAlone(false, 886), Act::Sounds(3), Act::Sounds(2), next(), picture(33, true, 0)]);
    acts.extend([next(), next(), Act::AudioHeader(true), next(), next(), next(), Act::Sounds(1)]);
    acts.extend([Act::Sounds(1), Act::Sounds(3), Act::AudioHeader(false), next(), Act::Sounds(3)]);
    perform(&acts, false, None).check_alignment(i64::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_whatever_a_publisher_does(
        acts in prop::collection::vec(act(), 1..400),
        has_audio in any::<bool>(),
        keyframe_ms in prop::option::of(500..9_000_u32),
    ) {
        let recorder = perform(&acts, has_audio, keyframe_ms);
        prop_assert!(recorder.ended || recorder.timeline.is_none());
        recorder.check_alignment(i64::MAX);
    }

    #[test]
    fn the_same_acts_give_the_same_bytes(acts in prop::collection::vec(act(), 1..120)) {
        let (one, two) = (perform(&acts, true, None), perform(&acts, true, None));
        prop_assert_eq!(one.files, two.files);
        prop_assert_eq!(one.timeline, two.timeline);
    }
}
