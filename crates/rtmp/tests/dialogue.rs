//! What encoders say, and what they hear.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod encoder;

use bytes::Bytes;
use caudal_rtmp::{Event, FourCc, Limits, PublishMode, PublisherEvent, Refusal, SessionError};
use encoder::{Dialogue, connect_object, lost, object, plain_handshake, status, text};
use rml_amf0::Amf0Value;
use rml_rtmp::messages::{PeerBandwidthLimitType, RtmpMessage, UserControlEventType};

fn video(timestamp_ms: u32, data: &[u8]) -> Event {
    Event::Publisher(PublisherEvent::Video { timestamp_ms, data: Bytes::copy_from_slice(data) })
}

fn audio(timestamp_ms: u32, data: &[u8]) -> Event {
    Event::Publisher(PublisherEvent::Audio { timestamp_ms, data: Bytes::copy_from_slice(data) })
}

const FRAME: [u8; 6] = [0x17, 1, 0, 0, 0, 9];

#[test]
fn obs_talks_ahead_and_is_answered() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    assert_eq!(dialogue.set_chunk_size(4096), vec![]);
    // OBS does not wait for the answers.
    for (name, transaction, command_object, arguments) in [
        ("connect", 1.0, connect_object(), vec![]),
        ("releaseStream", 2.0, Amf0Value::Null, vec![text("key")]),
        ("FCPublish", 3.0, Amf0Value::Null, vec![text("key")]),
        ("createStream", 4.0, Amf0Value::Null, vec![]),
        ("_checkbw", 5.0, Amf0Value::Null, vec![]),
        ("somethingNew", 6.0, Amf0Value::Null, vec![]),
    ] {
        assert_eq!(dialogue.command(name, transaction, command_object, &arguments), vec![], "{name}");
    }
    let replies = dialogue.replies();
    let opening = [
        RtmpMessage::WindowAcknowledgement { size: 2_500_000 },
        RtmpMessage::SetPeerBandwidth { size: 2_500_000, limit_type: PeerBandwidthLimitType::Dynamic },
        RtmpMessage::SetChunkSize { size: 60_000 },
    ];
    assert_eq!(replies[..3], opening);
    let answers: Vec<_> = replies[3..]
        .iter()
        .map(|reply| match reply {
            RtmpMessage::Amf0Command { command_name, transaction_id, additional_arguments, .. } => {
                (command_name.as_str(), *transaction_id, additional_arguments.last().unwrap().clone())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(status(&answers[0].2).0, "NetConnection.Connect.Success");
    assert_eq!(answers[1], ("_result", 2.0, Amf0Value::Undefined));
    assert_eq!(answers[2], ("_result", 3.0, Amf0Value::Undefined));
    assert_eq!(answers[3], ("_result", 4.0, Amf0Value::Number(1.0)));
    assert_eq!(answers[4], ("_result", 5.0, Amf0Value::Undefined));
    assert_eq!(answers.len(), 5);

    let events = dialogue.publish(1, "key");
    let [Event::PublishRequested(request)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(request.key().expose(), "key");
    assert_eq!(request.mode, PublishMode::Live);
    assert_eq!(dialogue.replies(), vec![]);

    dialogue.session.accept_publish(dialogue.now);
    let replies = dialogue.replies();
    assert!(matches!(
        replies[0],
        RtmpMessage::UserControl { event_type: UserControlEventType::StreamBegin, stream_id: Some(1), .. }
    ));
    let names: Vec<_> = replies[1..]
        .iter()
        .map(|reply| match reply {
            RtmpMessage::Amf0Command { command_name, additional_arguments, .. } => {
                (command_name.as_str(), status(&additional_arguments[0]).0)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let start = "NetStream.Publish.Start".to_owned();
    assert_eq!(names, [("onFCPublish", start.clone()), ("onStatus", start)]);
    assert_eq!(dialogue.video(40, &FRAME), vec![video(40, &FRAME)]);
}

#[test]
fn media_sent_before_the_answer_waits_for_it() {
    // Some hardware encoders do not wait for `Publish.Start`.
    let (mut dialogue, _) = Dialogue::asking(Limits::default());
    assert_eq!(dialogue.video(0, &FRAME), vec![]);
    dialogue.session.accept_publish(dialogue.now);
    assert_eq!(dialogue.send(&[]), vec![video(0, &FRAME)]);
}

#[test]
fn refusals_are_on_status_of_level_error() {
    for refusal in [Refusal::Denied, Refusal::BadName, Refusal::Rejected] {
        let (mut dialogue, _) = Dialogue::asking(Limits::default());
        dialogue.replies();
        dialogue.session.reject_publish(refusal, "because");
        let replies = dialogue.command_replies();
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].0, "onStatus");
        assert_eq!(status(&replies[0].2), (refusal.code().to_owned(), "because".to_owned()));
        let Amf0Value::Object(information) = &replies[0].2 else { unreachable!() };
        assert_eq!(information["level"], text("error"));
        assert!(dialogue.session.is_closed());
        assert_eq!(dialogue.video(0, &FRAME), vec![]);
    }
}

#[test]
fn a_long_reason_is_cut() {
    let (mut dialogue, _) = Dialogue::asking(Limits::default());
    dialogue.session.reject_publish(Refusal::Rejected, &"ß".repeat(100_000));
    let replies = dialogue.command_replies();
    assert_eq!(status(&replies.last().unwrap().2).1, "ß".repeat(caudal_rtmp::MAX_DESCRIPTION));
}

#[test]
fn a_publisher_without_a_name_hears_so() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    dialogue.command("connect", 1.0, connect_object(), &[]);
    let events = dialogue.publish(1, "");
    assert_eq!(events, vec![Event::Failed(SessionError::UnexpectedCommand("publish"))]);
    let (code, description) = status(&dialogue.command_replies().last().unwrap().2);
    assert_eq!(code, "NetStream.Publish.BadName");
    assert!(description.contains("key is missing"));
}

#[test]
fn publish_without_connect_or_without_arguments_ends_it() {
    let expected = vec![Event::Failed(SessionError::UnexpectedCommand("publish"))];
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    assert_eq!(dialogue.publish(1, "key"), expected);

    let mut dialogue = Dialogue::after_handshake(Limits::default());
    dialogue.command("connect", 1.0, connect_object(), &[]);
    assert_eq!(dialogue.command_on(1, "publish", 2.0, Amf0Value::Null, &[]), expected);
}

#[test]
fn commands_that_are_too_short_are_ignored() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    for values in [
        vec![],
        vec![Amf0Value::Null],
        vec![text("createStream")],
        vec![text("deleteStream")],
        vec![text("FCUnpublish"), Amf0Value::Number(1.0)],
        vec![text("@setDataFrame")],
        vec![text("connect"), Amf0Value::Number(1.0)],
    ] {
        let payload = rml_amf0::serialize(&values).unwrap();
        assert_eq!(dialogue.message(20, 0, 0, &payload), vec![]);
        assert_eq!(dialogue.message(18, 0, 0, &payload), vec![]);
    }
    assert!(!dialogue.session.is_closed());
}

#[test]
fn a_mode_is_not_asked_for_and_may_be_anything() {
    for (mode, expected) in [
        (None, PublishMode::Live),
        (Some("LIVE"), PublishMode::Live),
        (Some("record"), PublishMode::Record),
        (Some("append"), PublishMode::Append),
        (Some("?"), PublishMode::Live),
    ] {
        let mut dialogue = Dialogue::after_handshake(Limits::default());
        dialogue.command("connect", 1.0, connect_object(), &[]);
        let arguments: Vec<_> = [Some("key"), mode].into_iter().flatten().map(text).collect();
        let events = dialogue.command_on(1, "publish", 2.0, Amf0Value::Null, &arguments);
        let [Event::PublishRequested(request)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(request.mode, expected);
    }
}

#[test]
fn commands_and_data_wrapped_as_amf3_are_understood() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    for values in [
        vec![text("connect"), Amf0Value::Number(1.0), connect_object()],
        vec![text("createStream"), Amf0Value::Number(2.0), Amf0Value::Null],
    ] {
        let payload = [vec![0], rml_amf0::serialize(&values).unwrap()].concat();
        assert_eq!(dialogue.message(17, 0, 0, &payload), vec![]);
    }
    assert_eq!(dialogue.command_replies().len(), 2);
    assert_eq!(dialogue.publish(1, "key").len(), 1);
    dialogue.session.accept_publish(dialogue.now);
    let metadata = vec![text("onMetaData"), object(&[("width", Amf0Value::Number(640.0))])];
    let payload = [vec![0], rml_amf0::serialize(&metadata).unwrap()].concat();
    let events = dialogue.message(15, 1, 0, &payload);
    let [Event::Publisher(PublisherEvent::Metadata(metadata))] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(metadata.width, Some(640));
}

#[test]
fn an_enhanced_encoder_hears_which_codecs_may_come() {
    let enhanced = object(&[
        ("app", text("live")),
        ("fourCcList", Amf0Value::StrictArray(vec![text("av01"), text("hvc1"), text("much too long")])),
        ("videoFourCcInfoMap", object(&[("vp09", Amf0Value::Number(3.0))])),
        ("capsEx", Amf0Value::Number(3.0)),
    ]);
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    dialogue.command("connect", 1.0, enhanced, &[]);
    let replies = dialogue.replies();
    let Some(RtmpMessage::Amf0Command { command_object: Amf0Value::Object(server), .. }) = replies.last()
    else {
        panic!("{replies:?}")
    };
    let codecs = Amf0Value::StrictArray(vec![text("avc1"), text("hvc1"), text("mp4a")]);
    assert_eq!(server["fourCcList"], codecs);
    let forward = Amf0Value::Number(4.0);
    assert_eq!(server["videoFourCcInfoMap"], object(&[("avc1", forward.clone()), ("hvc1", forward.clone())]));
    assert_eq!(server["audioFourCcInfoMap"], object(&[("mp4a", forward)]));
    assert_eq!(server["capsEx"], Amf0Value::Number(1.0));

    let events = dialogue.publish(1, "key");
    let [Event::PublishRequested(request)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(request.enhanced.fourcc, ["av01", "hvc1", "vp09"]);
    assert_eq!(request.enhanced.caps_ex, 3);
    assert!(request.enhanced.can_reconnect());
    assert!(request.enhanced.includes(FourCc(*b"hvc1")));
    assert!(!request.enhanced.includes(FourCc(*b"avc1")));
}

#[test]
fn a_publisher_is_asked_to_reconnect_about_its_connection_and_goes_on_meanwhile() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    dialogue.command(
        "connect",
        1.0,
        object(&[("app", text("live")), ("capsEx", Amf0Value::Number(1.0))]),
        &[],
    );
    dialogue.publish(1, "key");
    dialogue.session.ask_to_reconnect("Too early.");
    dialogue.session.accept_publish(dialogue.now);
    dialogue.replies();
    dialogue.session.ask_to_reconnect("The server is restarting.");
    let replies = dialogue.replies();
    let [RtmpMessage::Amf0Command { command_name, additional_arguments, .. }] = replies.as_slice() else {
        panic!("{replies:?}")
    };
    let Some(Amf0Value::Object(told)) = additional_arguments.first() else {
        panic!("{additional_arguments:?}")
    };
    assert_eq!(command_name, "onStatus");
    assert_eq!(told["code"], text("NetConnection.Connect.ReconnectRequest"));
    assert_eq!(told["level"], text("status"));
    let events = dialogue.message(9, 1, 0, &[0x17, 1, 0, 0, 0, 1]);
    assert!(matches!(events.as_slice(), [Event::Publisher(PublisherEvent::Video { .. })]), "{events:?}");
}

#[test]
fn an_old_encoder_hears_nothing_of_it() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    dialogue.command("connect", 1.0, connect_object(), &[]);
    let replies = dialogue.replies();
    let Some(RtmpMessage::Amf0Command { command_object: Amf0Value::Object(server), .. }) = replies.last()
    else {
        panic!("{replies:?}")
    };
    assert!(!server.contains_key("fourCcList"));
}

#[test]
fn hevc_passes_and_other_codecs_are_refused_by_name() {
    let mut dialogue = Dialogue::live(Limits::default());
    assert_eq!(dialogue.video(0, b"\x90hvc1cfg").len(), 1);
    dialogue.replies();
    let events = dialogue.video(0, b"\x90av01cfg");
    assert_eq!(lost(&events[0]), Some(false));
    let (code, description) = status(&dialogue.command_replies()[0].2);
    assert_eq!(code, "NetStream.Publish.Rejected");
    assert!(description.starts_with("av01 is not supported"), "{description}");
}

#[test]
fn a_second_stream_on_the_connection_is_refused_and_its_media_ignored() {
    let mut dialogue = Dialogue::live(Limits::default());
    // Before that, an id that is off does no harm.
    assert_eq!(dialogue.message(9, 0, 0, &FRAME).len(), 1);
    dialogue.command("createStream", 7.0, Amf0Value::Null, &[]);
    dialogue.replies();
    assert_eq!(dialogue.publish(2, "other"), vec![]);
    assert_eq!(status(&dialogue.command_replies()[0].2).0, "NetStream.Publish.BadName");
    assert_eq!(dialogue.message(9, 2, 40, &FRAME), vec![]);
    assert_eq!(dialogue.message(9, 1, 80, &FRAME), vec![video(80, &FRAME)]);
    // It may be cleared away without harm to the first.
    assert_eq!(dialogue.command("deleteStream", 8.0, Amf0Value::Null, &[Amf0Value::Number(2.0)]), vec![]);
    assert_eq!(dialogue.message(9, 1, 120, &FRAME), vec![video(120, &FRAME)]);
    let end = dialogue.command("deleteStream", 9.0, Amf0Value::Null, &[Amf0Value::Number(1.0)]);
    assert_eq!(lost(&end[0]), Some(true));
}

#[test]
fn aggregates_come_apart_with_their_own_times() {
    fn part(kind: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let time = timestamp.to_be_bytes();
        [&[kind][..], &length[1..], &time[1..], &time[..1], &[0, 0, 0], payload, &[0, 0, 0, 0]].concat()
    }
    let sound = [0xAF, 1, 7];
    let aggregate = [
        part(9, 0x0100_0000, &FRAME),
        part(8, 0x0100_0017, &sound),
        part(22, 0x0100_0020, &FRAME),
        part(9, 0x0100_0030, &FRAME),
    ]
    .concat();
    let mut dialogue = Dialogue::live(Limits::default());
    // What stands behind an aggregate in an aggregate, or is cut off, is left out.
    assert_eq!(dialogue.message(22, 1, 500, &aggregate), vec![video(500, &FRAME), audio(523, &sound)]);
    let cut = &part(9, 5, &FRAME)[..14];
    assert_eq!(dialogue.message(22, 1, 600, cut), vec![]);
    let mut no_pointer = part(8, 5, &sound);
    no_pointer.truncate(no_pointer.len() - 4);
    assert_eq!(dialogue.message(22, 1, 700, &no_pointer), vec![audio(700, &sound)]);
    // An end in the middle is the end.
    let unpublish = vec![text("FCUnpublish"), Amf0Value::Number(1.0), Amf0Value::Null];
    let unpublish = rml_amf0::serialize(&unpublish).unwrap();
    let aggregate = [part(20, 0, &unpublish), part(9, 0, &FRAME)].concat();
    let events = dialogue.message(22, 1, 800, &aggregate);
    assert_eq!(events.iter().map(lost).collect::<Vec<_>>(), [Some(true)]);
}

#[test]
fn every_way_of_leaving_is_one_loss() {
    type Leave = fn(&mut Dialogue) -> Vec<Event>;
    let ways: [(&str, Leave, bool); 9] = [
        ("FCUnpublish", |d| d.command("FCUnpublish", 6.0, Amf0Value::Null, &[text("key")]), true),
        (
            "deleteStream",
            |d| d.command("deleteStream", 7.0, Amf0Value::Null, &[Amf0Value::Number(1.0)]),
            true,
        ),
        ("deleteStream without id", |d| d.command("deleteStream", 7.0, Amf0Value::Null, &[]), true),
        ("closeStream", |d| d.command_on(1, "closeStream", 0.0, Amf0Value::Null, &[]), true),
        ("end of file", |d| d.session.handle_eof().into_iter().collect(), false),
        (
            "reset",
            |d| d.session.handle_io_error(std::io::ErrorKind::ConnectionReset).into_iter().collect(),
            false,
        ),
        ("nonsense", |d| d.send(&[0xFF; 64]), false),
        (
            "silence",
            |d| {
                d.now += Limits::default().idle;
                d.session.handle_timeout(d.now).into_iter().collect()
            },
            false,
        ),
        ("a hostile command", |d| d.message(20, 0, 0, &[10, 0, 0, 0, 1].repeat(100)), false),
    ];
    for (way, leave, explicit) in ways {
        let mut dialogue = Dialogue::live(Limits::default());
        dialogue.video(0, &FRAME);
        let events = leave(&mut dialogue);
        assert_eq!(events.iter().map(lost).collect::<Vec<_>>(), [Some(explicit)], "{way}");
        // Whatever else comes, it was lost once.
        assert_eq!(dialogue.video(1, &FRAME), vec![], "{way}");
        assert_eq!(dialogue.session.handle_eof(), None, "{way}");
        assert_eq!(dialogue.session.handle_timeout(dialogue.now + Limits::default().idle), None, "{way}");
        assert_eq!(dialogue.session.next_deadline(), None, "{way}");
    }
}

#[test]
fn leaving_before_publishing_is_no_loss() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    dialogue.command("connect", 1.0, connect_object(), &[]);
    // OBS clears away what an earlier session may have left.
    assert_eq!(dialogue.command("FCUnpublish", 2.0, Amf0Value::Null, &[text("key")]), vec![]);
    assert_eq!(dialogue.command("deleteStream", 3.0, Amf0Value::Null, &[Amf0Value::Number(1.0)]), vec![]);
    assert_eq!(dialogue.session.handle_eof(), Some(Event::Failed(SessionError::Closed)));
}

#[test]
fn a_publisher_we_drop_hears_why() {
    let mut dialogue = Dialogue::live(Limits::default());
    dialogue.replies();
    dialogue.session.drop_publisher(Refusal::Rejected, "the key was changed");
    let (code, description) = status(&dialogue.command_replies()[0].2);
    assert_eq!((code.as_str(), description.as_str()), ("NetStream.Publish.Rejected", "the key was changed"));
    assert!(dialogue.session.is_closed());
}

#[test]
fn pings_are_answered_and_other_control_messages_ignored() {
    let mut dialogue = Dialogue::live(Limits::default());
    dialogue.replies();
    dialogue.message(4, 0, 0, &[0, 6, 0, 0, 0x12, 0x34]);
    assert!(matches!(
        dialogue.replies().as_slice(),
        [RtmpMessage::UserControl { event_type: UserControlEventType::PingResponse, timestamp: Some(time), .. }]
            if time.value == 0x1234
    ));
    for payload in [&[][..], &[0], &[0, 6], &[0, 6, 1], &[0, 3, 0, 0, 0, 1], &[0xFF, 0xFF, 1, 2, 3]] {
        assert_eq!(dialogue.message(4, 0, 0, payload), vec![]);
    }
    for kind in [3, 5, 6, 16, 19, 0, 255] {
        assert_eq!(dialogue.message(kind, 0, 0, &[1]), vec![]);
    }
    assert_eq!(dialogue.replies(), vec![]);
}

#[test]
fn acknowledgements_count_everything_received() {
    let mut dialogue = Dialogue::live(Limits::default());
    dialogue.set_chunk_size(60_000);
    dialogue.replies();
    let mut frame = vec![0; 50_000];
    frame[0] = 0x17;
    let mut acknowledged = Vec::new();
    for timestamp in 0..120 {
        dialogue.video(timestamp, &frame);
        for reply in dialogue.replies() {
            let RtmpMessage::Acknowledgement { sequence_number } = reply else { panic!("{reply:?}") };
            acknowledged.push(sequence_number);
        }
    }
    // 6 MB at a window of 2.5 MB.
    assert_eq!(acknowledged.len(), 2);
    assert!((2_500_000..2_551_000).contains(&acknowledged[0]), "{acknowledged:?}");
    assert!((5_000_000..5_102_000).contains(&acknowledged[1]), "{acknowledged:?}");
}

#[test]
fn a_window_of_one_byte_does_not_make_us_talkative() {
    let mut dialogue = Dialogue::live(Limits::default());
    dialogue.message(5, 0, 0, &1_u32.to_be_bytes());
    dialogue.set_chunk_size(60_000);
    dialogue.replies();
    for timestamp in 0..2000 {
        dialogue.video(timestamp, &[0x17; 100]);
    }
    assert_eq!(dialogue.replies().len(), 3);
}

#[test]
fn a_player_is_told_that_there_is_nothing_to_play() {
    let mut dialogue = Dialogue::after_handshake(Limits::default());
    dialogue.command("connect", 1.0, connect_object(), &[]);
    let events = dialogue.command_on(1, "play", 4.0, Amf0Value::Null, &[text("key")]);
    assert_eq!(events, vec![Event::Failed(SessionError::NotAPublisher)]);
    assert_eq!(status(&dialogue.command_replies().last().unwrap().2).0, "NetStream.Play.Failed");
}

#[test]
fn one_byte_at_a_time_is_the_same_as_all_at_once() {
    let mut dialogue = Dialogue::new(Limits::default());
    for byte in plain_handshake() {
        assert_eq!(dialogue.send(&[byte]), vec![]);
    }
    dialogue.command("connect", 1.0, connect_object(), &[]);
    assert_eq!(dialogue.publish(0, "key").len(), 1);
    dialogue.session.accept_publish(dialogue.now);
    let mut events = Vec::new();
    // A full header, 300 bytes in chunks of 128.
    let mut bytes = vec![6, 0, 0, 9, 0, 1, 44, 9, 1, 0, 0, 0];
    bytes.extend([0x17; 128]);
    bytes.push(0xC6);
    bytes.extend([0x17; 128]);
    bytes.push(0xC6);
    bytes.extend([0x17; 44]);
    for byte in bytes {
        events.extend(dialogue.send(&[byte]));
    }
    assert_eq!(events, vec![video(9, &[0x17; 300])]);
}
