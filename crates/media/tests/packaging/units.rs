//! Publishers whose tags do not hold what they should: one picture or one sound each, as their header says.

use bytes::Bytes;
use caudal_livestream::{Generation, SessionId, UnixMillis};
use caudal_media::MediaReport;
use caudal_media::flv::{VideoCodec, VideoTag};
use mp4_atom::{Decode as _, FourCC, Header, Moof, TrunSamples};

use crate::recorder::{AVC_RECORD, NOW, Recorder, avc_frame, avc_header, config, rendition, rung};

/// The tags of a picture, which is an IDR picture or not.
type Tags = fn(bool) -> Vec<Bytes>;

const IDR: &[u8] = b"\x65\x88\x84\x40";
/// A P slice, `slice_type` 5.
const INTER: &[u8] = b"\x41\x9a\x24\x40";
const SEI: &[u8] = b"\x06\x01\x01\x40\x80";
const RECOVERY_POINT: &[u8] = b"\x06\x06\x01\xc4\x80";
const DELIMITER: &[u8] = b"\x09\xf0";
const FILLER: &[u8] = b"\x0c\xff\xff\x80";

fn by_lengths(units: &[&[u8]]) -> Vec<u8> {
    let unit = |unit: &&[u8]| [&u32::try_from(unit.len()).expect("short").to_be_bytes()[..], unit].concat();
    units.iter().flat_map(unit).collect()
}

fn annex_b(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 0, 1][..], unit].concat()).collect()
}

fn tag(keyframe: bool, data: &[u8]) -> Bytes {
    Bytes::from([&[if keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0][..], data].concat())
}

/// Six seconds at 30 frames a second; `body` makes the tags of each picture.
fn publish(recorder: &mut Recorder, body: impl Fn(bool) -> Vec<Bytes>) {
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    send(recorder, body);
}

fn send(recorder: &mut Recorder, body: impl Fn(bool) -> Vec<Bytes>) {
    for n in 0..180_u32 {
        let at = n * 100 / 3;
        recorder.at(at.into());
        for tag in body(n % 60 == 0) {
            recorder.video(at, tag);
        }
    }
    recorder.finish();
}

/// The units of every sample in the source's parts, told apart by their lengths.
fn samples(recorder: &Recorder) -> Vec<Vec<Vec<u8>>> {
    let mut samples = Vec::new();
    let mut file = &recorder.files[&rendition("source")][..];
    while !file.is_empty() {
        let moof = Moof::decode(&mut file).expect("a moof");
        let entries = match &moof.traf[0].trun[0].samples {
            TrunSamples::Explicit(entries) => entries.as_slice(),
            TrunSamples::Inherited { .. } => &[],
        };
        let mdat = Header::decode(&mut file).expect("a header");
        let sizes = entries.iter().map(|entry| usize::try_from(entry.size.expect("a size")).expect("small"));
        assert_eq!((mdat.kind, mdat.size), (FourCC::new(b"mdat"), Some(sizes.clone().sum())));
        for size in sizes {
            let (sample, behind) = file.split_at(size);
            samples.push(units(sample));
            file = behind;
        }
    }
    samples
}

fn units(sample: &[u8]) -> Vec<Vec<u8>> {
    let (mut units, mut rest) = (Vec::new(), sample);
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (unit, behind) = behind.split_at(usize::try_from(u32::from_be_bytes(*length)).expect("small"));
        units.push(unit.to_vec());
        rest = behind;
    }
    assert!(rest.is_empty());
    units
}

fn slice(keyframe: bool) -> &'static [u8] {
    if keyframe { IDR } else { INTER }
}

#[test]
fn whatever_stands_around_a_picture_each_sample_is_one_picture_in_the_order_that_decoders_want() {
    let cases: [(&str, Tags, &[&[u8]]); 11] = [
        ("a clean one", |key| vec![tag(key, &by_lengths(&[DELIMITER, SEI, slice(key)]))], &[DELIMITER, SEI]),
        (
            "a tag with only an SEI",
            |key| vec![tag(key, &by_lengths(&[SEI])), tag(key, &by_lengths(&[slice(key)]))],
            &[SEI],
        ),
        (
            "a message in a tag of its own before a delimiter",
            |key| vec![tag(key, &by_lengths(&[SEI])), tag(key, &by_lengths(&[DELIMITER, slice(key)]))],
            &[DELIMITER, SEI],
        ),
        (
            "a tag with only a delimiter",
            |key| vec![tag(key, &by_lengths(&[DELIMITER])), tag(key, &by_lengths(&[slice(key)]))],
            &[],
        ),
        ("an empty unit before a slice", |key| vec![tag(key, &by_lengths(&[b"", slice(key)]))], &[]),
        (
            "zero bytes behind the last unit",
            |key| vec![tag(key, &[&by_lengths(&[slice(key)])[..], &[0; 3]].concat())],
            &[],
        ),
        ("many of them", |key| vec![tag(key, &[&by_lengths(&[slice(key)])[..], &[0; 9]].concat())], &[]),
        ("filler before the slice", |key| vec![tag(key, &by_lengths(&[FILLER, slice(key), FILLER]))], &[]),
        ("annex B", |key| vec![tag(key, &annex_b(&[DELIMITER, SEI, slice(key)]))], &[DELIMITER, SEI]),
        (
            "annex B with short start codes and zero bytes",
            |key| {
                vec![tag(
                    key,
                    &[&b"\0\0\x01\x09\xf0\0\0\0\x01"[..], SEI, b"\0\0\x01", slice(key), b"\0\0"].concat(),
                )]
            },
            &[DELIMITER, SEI],
        ),
        (
            "annex B behind one length",
            |key| vec![tag(key, &by_lengths(&[&annex_b(&[SEI, slice(key)])]))],
            &[SEI],
        ),
    ];
    for (case, tags, before) in cases {
        let mut recorder = Recorder::new(config());
        publish(&mut recorder, tags);
        assert_eq!(recorder.reports, [], "{case}");
        assert_eq!(recorder.of("source").len(), 3, "{case}");
        assert!(recorder.of("source").iter().all(|segment| segment.independent), "{case}");
        let samples = samples(&recorder);
        assert_eq!(samples.len(), 180, "{case}");
        for (n, units) in samples.iter().enumerate() {
            let wanted: Vec<&[u8]> = before.iter().copied().chain([slice(n % 60 == 0)]).collect();
            assert_eq!(*units, wanted, "{case}: {n}");
        }
    }
}

#[test]
fn a_message_behind_a_picture_goes_before_the_next_one() {
    let mut recorder = Recorder::new(config());
    publish(&mut recorder, |key| vec![tag(key, &by_lengths(&[slice(key), SEI]))]);
    assert_eq!(samples(&recorder)[..2], [vec![IDR.to_vec()], vec![SEI.to_vec(), INTER.to_vec()]]);
}

#[test]
fn pictures_that_come_two_in_a_tag_become_a_sample_each_between_the_times_of_their_tags() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    for n in 0..90_u32 {
        let (at, key) = (n * 200 / 3, n % 30 == 0);
        recorder.at(at.into());
        let units = [DELIMITER, SEI, slice(key), DELIMITER, INTER];
        recorder.video(at, tag(key, &if n % 2 == 0 { by_lengths(&units) } else { annex_b(&units) }));
    }
    recorder.finish();
    assert_eq!(recorder.reports, []);
    for (n, units) in samples(&recorder).iter().enumerate() {
        let wanted: &[&[u8]] = match n {
            _ if n % 60 == 0 => &[DELIMITER, SEI, IDR],
            _ if n % 2 == 0 => &[DELIMITER, SEI, INTER],
            _ => &[DELIMITER, INTER],
        };
        assert_eq!(units, wanted, "{n}");
    }
    let times: Vec<i64> =
        recorder.encodes.iter().filter(|(.., header)| !header).map(|(at, ..)| at - 24_000).collect();
    assert_eq!((times.len(), &times[2..7]), (180, &[66, 99, 133, 166, 200][..]));
    assert_eq!(recorder.of("source").len(), 3);
}

#[test]
fn a_publisher_of_messages_alone_fills_no_memory_and_begins_with_its_first_picture() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    let long = [SEI, &[0x40; 1000]].concat();
    for n in 0..1000 {
        recorder.video(n, tag(true, &by_lengths(&[&long])));
    }
    recorder.video(1000, tag(true, &by_lengths(&[IDR])));
    recorder.finish();
    let sample: usize = samples(&recorder)[0].iter().map(Vec::len).sum();
    assert!(sample < 70_000, "{sample}");
}

#[test]
fn a_mistake_that_comes_with_each_tag_is_reported_once_for_a_connection() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    for connection in 1..=3_u32 {
        let from = connection * 1000;
        recorder.packager.publisher(SessionId(uuid::Uuid::nil()), Generation(connection));
        for at in (from..from + 1000).step_by(40) {
            recorder.at(at.into());
            recorder.video(at, tag(at == from, &by_lengths(&[slice(at == from)])));
            recorder.video(at, tag(false, b"\0\0\x40\0\x65\x88"));
        }
        assert_eq!(std::mem::take(&mut recorder.reports).len(), 1, "{connection}");
    }
    assert!(recorder.parts > 0);
}

#[test]
fn a_decoder_begins_where_the_units_say_whatever_the_flag_says() {
    let independent = |recorder: &Recorder| -> Vec<bool> {
        recorder.encodes.iter().filter(|(.., header)| !header).map(|(_, _, key, _)| *key).collect()
    };
    let cases: [(&str, Tags); 5] = [
        ("an IDR picture that is marked as inter", |key| vec![tag(false, &by_lengths(&[slice(key)]))]),
        ("everything marked as key", |key| vec![tag(true, &by_lengths(&[slice(key)]))]),
        ("a recovery point instead of an IDR picture", |key| {
            vec![tag(false, &by_lengths(if key { &[RECOVERY_POINT, INTER] } else { &[INTER] }))]
        }),
        ("a recovery point in a tag of its own", |key| {
            let mut tags = vec![tag(false, &by_lengths(&[INTER]))];
            if key {
                tags.insert(0, tag(false, &by_lengths(&[RECOVERY_POINT])));
            }
            tags
        }),
        ("annex B that is marked as inter", |key| vec![tag(false, &annex_b(&[slice(key)]))]),
    ];
    for (case, tags) in cases {
        let mut recorder = Recorder::new(config());
        publish(&mut recorder, tags);
        let wanted: Vec<bool> = (0..180).map(|n| n % 60 == 0).collect();
        assert_eq!(independent(&recorder), wanted, "{case}");
        for segment in recorder.of("source") {
            let parts: Vec<bool> = segment.parts.iter().map(|part| part.independent).collect();
            assert_eq!(
                parts,
                [true, false, false, false, false, false, false, false, false, false],
                "{case}"
            );
        }
    }
}

#[test]
fn where_a_decoder_begins_is_read_with_the_lengths_that_the_header_says() {
    let mut record = AVC_RECORD.to_vec();
    record[4] = 0xfe;
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, avc_header(&record));
    // Intra slices that are not called keyframes. By lengths of four bytes, each tag would hold an IDR slice.
    let intra = [&b"\x41\x88"[..], &[0x55; 767]].concat();
    let inter = [&b"\0\0\x03\x06\x05\x80\0\x03\x01"[..], &intra].concat();
    send(&mut recorder, |key| {
        vec![if key { tag(true, b"\0\0\x04\x65\x88\x84\x40") } else { tag(false, &inter) }]
    });
    let keyframes: Vec<bool> =
        recorder.encodes.iter().filter(|(.., header)| !header).map(|(_, _, key, _)| *key).collect();
    assert_eq!(keyframes, (0..180).map(|n| n % 60 == 0).collect::<Vec<_>>());
}

#[test]
fn a_keyframe_flag_on_an_intra_picture_that_is_no_idr_picture_is_believed() {
    let mut recorder = Recorder::new(config());
    // `slice_type` 7.
    let intra = b"\x41\x88\x84\x40";
    publish(&mut recorder, |key| vec![tag(key, &by_lengths(&[if key { intra } else { INTER }]))]);
    assert!(recorder.of("source").iter().all(|segment| segment.independent));
    assert_eq!(recorder.of("source").len(), 3);
}

#[test]
fn a_header_with_spare_bytes_starts_the_stream_and_is_the_same_header_as_one_without() {
    let baseline: &[u8] = b"\x01\x42\xc0\x1f\xff\xe1\0\x17\x67\x42\xc0\x1f\xda\x01\x40\x16\xec\x04\x40\0\0\x03\0\x40\0\0\x0f\x03\xc6\x0c\xa8\x01\0\x04\x68\xce\x0f\xc8";
    for spare in [&[][..], &[0], &[0; 3], &[0xff]] {
        let mut recorder = Recorder::new(config());
        recorder.metadata(Some(30_000), true, false);
        recorder.video(0, avc_header(&[baseline, spare].concat()));
        send(&mut recorder, |key| vec![tag(key, &by_lengths(&[slice(key)])), avc_header(baseline)]);
        assert_eq!(recorder.reports, [], "{spare:x?}");
        assert_eq!(recorder.of("source").len(), 3, "{spare:x?}");
    }
}

#[test]
fn a_header_that_cannot_be_used_leaves_the_one_before_it_in_force() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    recorder.video(0, avc_header(b"\x01\x64"));
    send(&mut recorder, |key| vec![tag(key, &by_lengths(&[slice(key)]))]);
    assert_eq!(recorder.of("source").len(), 3);
}

#[test]
fn a_publisher_without_a_codec_header_is_understood_by_the_parameter_sets_before_its_keyframes() {
    let (sps, pps) = (&AVC_RECORD[8..34], &AVC_RECORD[37..43]);
    for separate in [false, true] {
        let mut recorder = Recorder::new(config());
        recorder.metadata(Some(30_000), true, false);
        let tags = |key: bool| match (key, separate) {
            (false, _) => vec![tag(false, &annex_b(&[INTER]))],
            (true, false) => vec![tag(true, &annex_b(&[sps, pps, IDR]))],
            (true, true) => [sps, pps, IDR].map(|unit| tag(true, &annex_b(&[unit]))).to_vec(),
        };
        send(&mut recorder, tags);
        assert!(recorder.refusals().is_empty(), "{separate}: {:?}", recorder.reports);
        assert_eq!(recorder.of("source").len(), 3, "{separate}");
        assert_eq!(samples(&recorder).len(), 180, "{separate}");
    }
}

#[test]
fn times_before_their_decoding_are_kept() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    for n in 0..60_u32 {
        let composition = if n == 0 { 0 } else { [66, -33, -33][usize::try_from(n % 3).expect("small")] };
        recorder.video(n * 100 / 3, avc_frame(n == 0, composition, 100));
    }
    recorder.finish();
    let file = &recorder.files[&rendition("source")];
    let negative = file.windows(4).filter(|bytes| *bytes == (-33_i32).to_be_bytes()).count();
    assert_eq!(negative, 40, "two of three pictures");
    assert!(file.windows(5).any(|bytes| bytes == b"trun\x01"), "version 1 has signed offsets");
}

#[test]
fn what_ffmpeg_does_not_know_is_handed_to_it_in_a_form_that_it_does() {
    let mut ladder = config();
    ladder.ladder = vec![rung("240p", 240)];
    let mut recorder = Recorder::new(ladder);
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, Bytes::from([b"\x90avc1", AVC_RECORD].concat()));
    recorder.video(0, Bytes::from([&b"\x91avc1\0\0\x42"[..], &by_lengths(&[IDR])].concat()));
    recorder.video(33, Bytes::from([&b"\xa3avc1"[..], &by_lengths(&[INTER])].concat()));
    recorder.finish();
    let bodies: Vec<&[u8]> = recorder.encodes.iter().map(|(_, body, ..)| &body[..5]).collect();
    assert_eq!(bodies, [&b"\x17\0\0\0\0"[..], b"\x17\x01\0\0\x42", b"\x27\x01\0\0\0"]);
}

#[test]
fn hevc_by_its_old_number_is_handed_to_ffmpeg_as_enhanced_rtmp() {
    let hvcc: &[u8] = &[
        0x01, 0x01, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x78, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 0x03,
        0xa0, 0, 1, 0, 0x18, 0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0, 0, 3, 0, 0, 3, 0, 0, 3, 0, 0,
        3, 0, 0x78, 0xf0, 0x24, 0xa1, 0, 1, 0, 0x1f, 0x42, 0x01, 0x01, 0x01, 0x60, 0, 0, 3, 0, 0, 3, 0, 0, 3,
        0, 0, 3, 0, 0x78, 0xa0, 0x02, 0x80, 0x80, 0x2d, 0x1f, 0xe5, 0xf9, 0x24, 0x6d, 0x9e, 0xd9, 0xa2, 0, 1,
        0, 7, 0x44, 1, 0xc1, 0x90, 0x95, 0x81, 0x12,
    ];
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, Bytes::from([b"\x1c\0\0\0\0", hvcc].concat()));
    recorder.video(0, Bytes::from([&b"\x1c\x01\0\0\x42"[..], &by_lengths(&[b"\x26\x01\xaf\x09"])].concat()));
    recorder.video(33, Bytes::from([&b"\x2c\x01\0\0\0"[..], &by_lengths(&[b"\x02\x01\xd0\x09"])].concat()));
    recorder.finish();
    let bodies: Vec<&[u8]> = recorder.encodes.iter().map(|(_, body, ..)| &body[..8]).collect();
    assert_eq!(bodies, [&b"\x90hvc1\x01\x01\x60"[..], b"\x91hvc1\0\0\x42", b"\xa1hvc1\0\0\0"]);
    let Ok(VideoTag::SequenceHeader { codec: VideoCodec::Hevc, record }) =
        VideoTag::parse(&recorder.encodes[0].1)
    else {
        panic!("a header first");
    };
    assert_eq!(record, hvcc);
}

/// H.264 Main, 640x384, in fields; `frame_num` has four bits.
const FIELDS_RECORD: &[u8] =
    b"\x01\x4d\x40\x1e\xff\xe1\0\x09\x67\x4d\x40\x1e\xda\x02\x81\x84\x80\x01\0\x04\x68\xce\x0f\xc8";

/// Field `n` of a publisher of 50 fields a second, with an IDR picture each two seconds.
fn field(n: u32) -> Bytes {
    let (frame, bottom) = (n / 2 % 50, n % 2);
    let idr = frame == 0 && bottom == 0;
    let frame_num = u8::try_from(frame % 16 * 8 + bottom * 2).expect("seven bits");
    // first_mb_in_slice 0, slice_type 7, pic_parameter_set_id 0, frame_num, field_pic_flag 1, bottom_field_flag.
    let slice = [if idr { 0x65 } else { 0x41 }, 0x88, 0x85 | frame_num, 0x54];
    tag(idr, &by_lengths(&[&slice]))
}

#[test]
fn a_replay_that_begins_between_the_fields_of_a_frame_is_packaged_once() {
    let mut recorder = Recorder::new(config());
    let send = |recorder: &mut Recorder, fields: std::ops::Range<u32>, late: u32| {
        for n in fields {
            recorder.at((n * 20 + late).into());
            recorder.video(n * 20, field(n));
        }
    };
    recorder.metadata(Some(25_000), true, false);
    recorder.video(0, avc_header(FIELDS_RECORD));
    send(&mut recorder, 0..251, 0);
    recorder.packager.publisher_lost(UnixMillis(NOW + 5_020));
    recorder.packager.publisher(SessionId(uuid::Uuid::nil()), Generation(2));
    recorder.video(4_000, avc_header(FIELDS_RECORD));
    send(&mut recorder, 200..251, 1_020);
    send(&mut recorder, 251..400, 1_020);
    recorder.finish();
    assert_eq!(recorder.reports, []);
    let frames = samples(&recorder);
    assert!(frames.iter().all(|units| units.len() == 2), "both fields of each");
    assert_eq!(frames.len(), 200);
}

#[test]
fn a_message_that_waited_for_its_picture_is_not_taken_twice_with_a_replay() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(30_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    for n in 0..60_u32 {
        recorder.at((n * 33).into());
        recorder.video(n * 33, tag(n == 0, &by_lengths(&[slice(n == 0)])));
    }
    recorder.video(60 * 33, tag(true, &by_lengths(&[SEI])));
    recorder.packager.publisher_lost(UnixMillis(NOW + 1_980));
    recorder.packager.publisher(SessionId(uuid::Uuid::nil()), Generation(2));
    for units in [&[SEI][..], &[IDR]] {
        recorder.video(60 * 33, tag(true, &by_lengths(units)));
    }
    recorder.finish();
    let samples = samples(&recorder);
    assert_eq!((samples.len(), &samples[60]), (61, &vec![SEI.to_vec(), IDR.to_vec()]));
}

#[test]
fn a_second_track_is_reported_once_and_the_first_is_packaged() {
    let mut recorder = Recorder::new(config());
    let track = |number: u8, key: bool| {
        let head = [if key { 0x96 } else { 0xa6 }, 0x01];
        Bytes::from([&head[..], b"avc1", &[number, 0, 0, 0], &by_lengths(&[slice(key)])].concat())
    };
    publish(&mut recorder, |key| vec![track(0, key), track(1, key)]);
    let second = MediaReport::UnsupportedCodec { codec: "a second video track".to_owned() };
    assert_eq!(recorder.reports, [second]);
    assert_eq!(samples(&recorder).len(), 180);
}
