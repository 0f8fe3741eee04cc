use proptest::prelude::*;

use super::*;
use crate::limits::{MAX_AMF_BYTES, MAX_AMF_DEPTH, MAX_AMF_VALUES};

fn string(text: &str) -> Vec<u8> {
    [&[2][..], &u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn number(number: f64) -> Vec<u8> {
    [&[0][..], &number.to_be_bytes()].concat()
}

fn property(name: &str, value: &[u8]) -> Vec<u8> {
    [&string(name)[1..], value].concat()
}

fn data(head: &[u8], properties: &[Vec<u8>], tail: &[u8]) -> Bytes {
    [head, &properties.concat(), tail].concat().into()
}

fn object_message(properties: &[Vec<u8>]) -> Bytes {
    data(&[string("onMetaData"), vec![3]].concat(), properties, &[0, 0, 9])
}

#[test]
fn what_obs_says_is_understood() {
    let properties = [
        property("duration", &number(0.0)),
        property("fileSize", &number(0.0)),
        property("width", &number(1920.0)),
        property("height", &number(1080.0)),
        property("videocodecid", &number(7.0)),
        property("videodatarate", &number(6000.0)),
        property("framerate", &number(60.0)),
        property("audiocodecid", &number(10.0)),
        property("audiodatarate", &number(160.0)),
        property("audiosamplerate", &number(48000.0)),
        property("audiosamplesize", &number(16.0)),
        property("audiochannels", &number(2.0)),
        property("stereo", &[1, 1]),
        property("2.1", &[1, 0]),
        property("encoder", &string("obs-output module (libobs version 30.0.0)")),
    ];
    let head = [string("@setDataFrame"), string("onMetaData"), vec![8, 0, 0, 0, 20]].concat();
    let payload = data(&head, &properties, &[0, 0, 9]);
    let metadata = Metadata::read(&payload).unwrap();
    let expected = Metadata {
        width: Some(1920),
        height: Some(1080),
        frame_rate: Some(60.0),
        video_data_rate: Some(6000.0),
        audio_data_rate: Some(160.0),
        audio_sample_rate: Some(48000.0),
        audio_channels: Some(2),
        stereo: Some(true),
        has_video: true,
        has_audio: true,
        encoder: Some("obs-output module (libobs version 30.0.0)".to_owned()),
        raw: payload.slice(16..),
    };
    assert_eq!(metadata, expected);
}

#[test]
fn values_that_cannot_be_true_are_left_out() {
    let metadata = Metadata::read(&object_message(&[
        property("width", &number(f64::NAN)),
        property("height", &number(-1080.0)),
        property("framerate", &number(f64::INFINITY)),
        property("audiochannels", &number(1e300)),
        property("videodatarate", &string("2500.5")),
        property("stereo", &number(1.0)),
        property("videocodecid", &string("")),
        property("audiocodecid", &string("mp4a")),
    ]))
    .unwrap();
    let expected = Metadata {
        video_data_rate: Some(2500.5),
        has_audio: true,
        raw: metadata.raw.clone(),
        ..Metadata::default()
    };
    assert_eq!(metadata, expected);
}

#[test]
fn every_kind_of_value_is_stepped_over() {
    let odd = [
        property("date", &[&[11][..], &1.5_f64.to_be_bytes(), &[0, 0]].concat()),
        property("long", &[&[12, 0, 0, 0, 3][..], b"abc"].concat()),
        property("xml", &[&[15, 0, 0, 0, 4][..], b"<a/>"].concat()),
        property("list", &[&[10, 0, 0, 0, 2, 5, 6][..]].concat()),
        property("typed", &[16, 0, 1, b'T', 0, 0, 9]),
        property("reference", &[7, 0, 1]),
        property("unsupported", &[13]),
        property("null", &[5]),
        property("", &[6]),
        property("nested", &[&[8, 0, 0, 0, 0][..], &property("a", &[1, 1]), &[0, 0, 9]].concat()),
        property("bytes", &string("\u{fffd}")),
        property("width", &number(640.0)),
    ];
    let payload = object_message(&odd);
    let metadata = Metadata::read(&payload).unwrap();
    assert_eq!(metadata.width, Some(640));
    assert_eq!(metadata.raw, payload);
}

#[test]
fn metadata_that_is_cut_off_counts_as_far_as_it_goes_and_is_passed_on_whole() {
    let payload = object_message(&[
        property("width", &number(640.0)),
        property("nested", &[3, 0, 0, 9]),
        property("height", &number(360.0)),
        property("encoder", &string("hardware")),
    ]);
    let mut widths = 0;
    for length in 0..payload.len() {
        let Some(metadata) = Metadata::read(&payload.slice(..length)) else {
            assert!(length < string("onMetaData").len());
            continue;
        };
        widths += usize::from(metadata.width == Some(640));
        assert!(amf::decode(&metadata.raw).error.is_none());
        assert_eq!(Metadata::read(&metadata.raw), Some(metadata));
    }
    assert!(widths > 50);
}

#[test]
fn amf3_wrapped_and_bare_metadata_are_the_same() {
    let bare = object_message(&[property("width", &number(640.0))]);
    let wrapped: Bytes = [&[0][..], &bare].concat().into();
    assert_eq!(Metadata::read(&wrapped), Metadata::read(&bare));
}

#[test]
fn other_data_is_no_metadata() {
    for payload in [
        data(&string("onTextData"), &[], &[3, 0, 0, 9]),
        data(&string("@setDataFrame"), &[], &[]),
        data(&string("@setDataFrame"), &[string("onCuePoint")], &[]),
        data(&number(1.0), &[], &[]),
        data(&[17, 1, 2], &[], &[]),
        Bytes::new(),
    ] {
        assert_eq!(Metadata::read(&payload), None, "{payload:x?}");
    }
    let nothing_said = Metadata::read(&data(&string("onMetaData"), &[], &[])).unwrap();
    assert_eq!(nothing_said.width, None);
}

#[test]
fn nesting_is_read_to_its_bound_and_refused_beyond() {
    let nested = |depth: usize| -> Bytes {
        let mut payload = string("onMetaData");
        for _ in 0..depth {
            payload.extend_from_slice(&[10, 0, 0, 0, 1]);
        }
        payload.push(5);
        payload.into()
    };
    assert_eq!(amf::decode(&nested(MAX_AMF_DEPTH)).error, None);
    assert_eq!(amf::decode(&nested(MAX_AMF_DEPTH + 1)).error, Some(amf::AmfError::TooDeep));
    assert_eq!(Metadata::read(&nested(MAX_AMF_DEPTH + 1)), None);
    // What aborts a process that recurses on it.
    for marker in
        [&[10, 0, 0, 0, 1][..], &[3, 0, 1, b'a'], &[8, 0, 0, 0, 1, 0, 1, b'a'], &[16, 0, 0, 0, 1, b'a']]
    {
        let bomb: Vec<u8> = marker.iter().copied().cycle().take(MAX_AMF_BYTES).collect();
        assert_eq!(amf::decode(&bomb).error, Some(amf::AmfError::TooDeep));
    }
}

#[test]
fn size_and_number_of_values_are_bounded() {
    assert_eq!(
        amf::decode(&vec![5; MAX_AMF_BYTES + 1]).error,
        Some(amf::AmfError::TooLong(MAX_AMF_BYTES + 1))
    );
    assert_eq!(amf::decode(&vec![5; MAX_AMF_VALUES]).error, None);
    assert_eq!(amf::decode(&vec![5; MAX_AMF_VALUES + 1]).error, Some(amf::AmfError::TooManyValues));
    // A count that nothing follows reserves nothing.
    assert_eq!(amf::decode(&[10, 0xFF, 0xFF, 0xFF, 0xFF]).error, Some(amf::AmfError::Truncated));
    assert_eq!(amf::decode(&[12, 0xFF, 0xFF, 0xFF, 0xFF]).error, Some(amf::AmfError::Truncated));
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        any::<f64>().prop_map(number),
        "[a-z]{0,8}".prop_map(|text| string(&text)),
        Just(vec![5]),
        Just(vec![1, 1]),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(("[a-z]{0,5}", inner.clone()), 0..5).prop_map(|properties| {
                let properties: Vec<_> =
                    properties.iter().map(|(name, value)| property(name, value)).collect();
                [vec![3], properties.concat(), vec![0, 0, 9]].concat()
            }),
            prop::collection::vec(inner, 0..5).prop_map(|items| {
                let count = u32::try_from(items.len()).unwrap().to_be_bytes();
                [&[10][..], &count, &items.concat()].concat()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        crate::fuzzing::amf(&bytes);
    }

    #[test]
    fn likely_metadata_is_read_or_refused(value in value(), cut in 0..400_usize) {
        let mut payload = [string("@setDataFrame"), string("onMetaData"), value].concat();
        payload.truncate(cut.max(20));
        crate::fuzzing::amf(&payload);
    }
}
