//! What a server says, as values; `rml_rtmp` turns them into bytes.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use rml_amf0::Amf0Value;
use rml_rtmp::messages::{PeerBandwidthLimitType, RtmpMessage, UserControlEventType};
use rml_rtmp::time::RtmpTimestamp;

use crate::codec::{FourCc, SUPPORTED_AUDIO, SUPPORTED_VIDEO};
use crate::limits::{MAX_DESCRIPTION, WINDOW_ACK_SIZE};
use crate::message::{Message, kind};
use crate::refusal::Refusal;
use crate::stream_request::EnhancedCapabilities;

/// The command of ours by which a router says that the publisher goes on at another worker.
pub(crate) const HAND_OVER: &str = "caudalHandOver";

/// The user control event of ours by which a worker says which tag it needs next, by its timestamp. Peers skip events that
/// they do not know.
pub(crate) const AWAITS: u16 = 0x4361;

/// See [`AWAITS`].
pub(crate) fn awaits(timestamp_ms: u32) -> Message {
    let mut payload = BytesMut::with_capacity(6);
    payload.put_u16(AWAITS);
    payload.put_u32(timestamp_ms);
    Message { timestamp: 0, kind: kind::USER_CONTROL, stream_id: 0, payload: Bytes::from(payload) }
}

/// What opens the server's side, in nginx-rtmp's order, which every encoder has met.
pub(crate) fn opening(chunk_size: u32) -> [RtmpMessage; 3] {
    [
        RtmpMessage::WindowAcknowledgement { size: WINDOW_ACK_SIZE },
        RtmpMessage::SetPeerBandwidth { size: WINDOW_ACK_SIZE, limit_type: PeerBandwidthLimitType::Dynamic },
        RtmpMessage::SetChunkSize { size: chunk_size },
    ]
}

pub(crate) fn acknowledgement(received: u32) -> RtmpMessage {
    RtmpMessage::Acknowledgement { sequence_number: received }
}

pub(crate) fn ping_request(time: u32) -> RtmpMessage {
    user_control(UserControlEventType::PingRequest, None, Some(time))
}

pub(crate) fn ping_response(time: u32) -> RtmpMessage {
    user_control(UserControlEventType::PingResponse, None, Some(time))
}

pub(crate) fn stream_begin(stream_id: u32) -> RtmpMessage {
    user_control(UserControlEventType::StreamBegin, Some(stream_id), None)
}

/// The answer to `connect`. To an encoder that speaks Enhanced RTMP it says, by the specification's
/// names, which codecs may come.
pub(crate) fn connected(transaction: f64, offered: &EnhancedCapabilities) -> RtmpMessage {
    let mut server = vec![
        ("fmsVer", string("FMS/3,0,1,123")),
        ("capabilities", Amf0Value::Number(31.0)),
        ("mode", Amf0Value::Number(1.0)),
    ];
    if offered.is_offered() {
        let names = SUPPORTED_VIDEO.iter().chain(&SUPPORTED_AUDIO);
        server.extend([
            ("fourCcList", Amf0Value::StrictArray(names.map(|name| string(&name.to_string())).collect())),
            ("videoFourCcInfoMap", info_map(&SUPPORTED_VIDEO)),
            ("audioFourCcInfoMap", info_map(&SUPPORTED_AUDIO)),
            // Reconnect requests, but no multitrack.
            ("capsEx", Amf0Value::Number(CAPABILITIES)),
        ]);
    }
    let information = object([
        ("level", string("status")),
        ("code", string("NetConnection.Connect.Success")),
        ("description", string("Connection succeeded.")),
        ("objectEncoding", Amf0Value::Number(0.0)),
    ]);
    command("_result", transaction, object(server), vec![information])
}

/// `_result` without anything in it: what `releaseStream` and its kind are answered with.
pub(crate) fn done(transaction: f64) -> RtmpMessage {
    command("_result", transaction, Amf0Value::Null, vec![Amf0Value::Undefined])
}

pub(crate) fn number_result(transaction: f64, number: f64) -> RtmpMessage {
    command("_result", transaction, Amf0Value::Null, vec![Amf0Value::Number(number)])
}

pub(crate) fn failed(transaction: f64, description: &str) -> RtmpMessage {
    let information = status_object("error", "NetConnection.Call.Failed", description);
    command("_error", transaction, Amf0Value::Null, vec![information])
}

pub(crate) fn publishing() -> RtmpMessage {
    status("onStatus", "status", "NetStream.Publish.Start", "Publishing.")
}

/// The answer to `FCPublish`, which some hardware encoders wait for.
pub(crate) fn fc_publishing() -> RtmpMessage {
    status("onFCPublish", "status", "NetStream.Publish.Start", "Publishing.")
}

pub(crate) fn unpublished() -> RtmpMessage {
    status("onStatus", "status", "NetStream.Unpublish.Success", "Stream is now unpublished.")
}

pub(crate) fn refused(refusal: Refusal, description: &str) -> RtmpMessage {
    status("onStatus", "error", refusal.code(), description)
}

/// Enhanced RTMP v2, *Reconnect Request*, without a `tcUrl`: the publisher comes back to the address that it has.
pub(crate) fn reconnect_request(description: &str) -> RtmpMessage {
    status("onStatus", "status", "NetConnection.Connect.ReconnectRequest", description)
}

pub(crate) fn play_refused(description: &str) -> RtmpMessage {
    status("onStatus", "error", "NetStream.Play.Failed", description)
}

pub(crate) fn command(
    name: &str,
    transaction: f64,
    command_object: Amf0Value,
    additional_arguments: Vec<Amf0Value>,
) -> RtmpMessage {
    RtmpMessage::Amf0Command {
        command_name: name.to_owned(),
        transaction_id: transaction,
        command_object,
        additional_arguments,
    }
}

pub(crate) fn object<'a>(properties: impl IntoIterator<Item = (&'a str, Amf0Value)>) -> Amf0Value {
    let properties: HashMap<_, _> =
        properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Amf0Value::Object(properties)
}

pub(crate) fn string(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

/// The message's bytes; `None` only for text over 64 KiB, which is never given.
pub(crate) fn encode(message: RtmpMessage, stream_id: u32) -> Option<Message> {
    let payload = message.into_message_payload(RtmpTimestamp::new(0), stream_id).ok()?;
    Some(Message { timestamp: 0, kind: payload.type_id, stream_id, payload: payload.data })
}

fn user_control(
    event_type: UserControlEventType,
    stream_id: Option<u32>,
    timestamp: Option<u32>,
) -> RtmpMessage {
    let timestamp = timestamp.map(RtmpTimestamp::new);
    RtmpMessage::UserControl { event_type, stream_id, buffer_length: None, timestamp }
}

fn status(name: &str, level: &str, code: &str, description: &str) -> RtmpMessage {
    command(name, 0.0, Amf0Value::Null, vec![status_object(level, code, description)])
}

fn status_object(level: &str, code: &str, description: &str) -> Amf0Value {
    let description: String = description.chars().take(MAX_DESCRIPTION).collect();
    object([
        ("level", string(level)),
        ("code", string(code)),
        ("description", Amf0Value::Utf8String(description)),
    ])
}

fn info_map(codecs: &[FourCc]) -> Amf0Value {
    object(
        codecs
            .iter()
            .map(FourCc::to_string)
            .collect::<Vec<_>>()
            .iter()
            .map(|name| (name.as_str(), Amf0Value::Number(CAN_FORWARD))),
    )
}

/// Enhanced RTMP v2, `CapsExMask`: this server asks publishers to reconnect.
const CAPABILITIES: f64 = 1.0;
/// Enhanced RTMP v2, `FourCcInfoMask`: packaged as it comes.
const CAN_FORWARD: f64 = 4.0;
