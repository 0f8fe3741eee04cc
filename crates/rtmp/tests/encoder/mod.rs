//! An encoder's side of the wire, made of `rml_rtmp`'s own writer and reader, so that two
//! implementations check each other.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use caudal_rtmp::{Event, Limits, PublishRequested, PublisherEvent, ServerSession};
use rml_amf0::Amf0Value;
use rml_rtmp::chunk_io::{ChunkDeserializer, ChunkSerializer};
use rml_rtmp::messages::{MessagePayload, RtmpMessage};
use rml_rtmp::time::RtmpTimestamp;

pub(crate) const HANDSHAKE: usize = 1 + 2 * 1536;

/// C0, C1 and C2 without digest.
pub(crate) fn plain_handshake() -> Vec<u8> {
    let mut bytes = vec![0; HANDSHAKE];
    bytes[0] = 3;
    bytes
}

pub(crate) fn text(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

pub(crate) fn object(properties: &[(&str, Amf0Value)]) -> Amf0Value {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Amf0Value::Object(properties.collect::<HashMap<_, _>>())
}

pub(crate) fn connect_object() -> Amf0Value {
    object(&[("app", text("live")), ("tcUrl", text("rtmp://host/live")), ("flashVer", text("FMLE/3.0"))])
}

/// A session and the encoder that talks to it.
pub(crate) struct Dialogue {
    pub(crate) now: Instant,
    pub(crate) session: ServerSession,
    serializer: ChunkSerializer,
    deserializer: ChunkDeserializer,
    input: BytesMut,
    handshake_read: bool,
}

impl Dialogue {
    pub(crate) fn new(limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            now,
            session: ServerSession::new(now, limits),
            serializer: ChunkSerializer::new(),
            deserializer: ChunkDeserializer::new(),
            input: BytesMut::new(),
            handshake_read: false,
        }
    }

    pub(crate) fn after_handshake(limits: Limits) -> Self {
        let mut dialogue = Self::new(limits);
        assert_eq!(dialogue.send(&plain_handshake()), vec![]);
        dialogue
    }

    /// Up to the question whether it may publish.
    pub(crate) fn asking(limits: Limits) -> (Self, Box<PublishRequested>) {
        let mut dialogue = Self::after_handshake(limits);
        assert_eq!(dialogue.command("connect", 1.0, connect_object(), &[]), vec![]);
        assert_eq!(dialogue.command("createStream", 2.0, Amf0Value::Null, &[]), vec![]);
        let mut events = dialogue.publish(1, "key");
        let Some(Event::PublishRequested(request)) = events.pop() else { panic!("{events:?}") };
        (dialogue, request)
    }

    pub(crate) fn live(limits: Limits) -> Self {
        let (mut dialogue, _) = Self::asking(limits);
        dialogue.session.accept_publish(dialogue.now);
        dialogue
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.input.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(event) = self.session.receive(self.now, &mut self.input) {
            events.push(event);
        }
        events
    }

    pub(crate) fn message(&mut self, kind: u8, stream_id: u32, timestamp: u32, payload: &[u8]) -> Vec<Event> {
        let payload = MessagePayload {
            timestamp: RtmpTimestamp::new(timestamp),
            type_id: kind,
            message_stream_id: stream_id,
            data: Bytes::copy_from_slice(payload),
        };
        let packet = self.serializer.serialize(&payload, false, false).unwrap();
        self.send(&packet.bytes)
    }

    pub(crate) fn set_chunk_size(&mut self, size: u32) -> Vec<Event> {
        let packet = self.serializer.set_max_chunk_size(size, RtmpTimestamp::new(0)).unwrap();
        self.send(&packet.bytes)
    }

    pub(crate) fn command(
        &mut self,
        name: &str,
        transaction: f64,
        object: Amf0Value,
        arguments: &[Amf0Value],
    ) -> Vec<Event> {
        self.command_on(0, name, transaction, object, arguments)
    }

    pub(crate) fn command_on(
        &mut self,
        stream_id: u32,
        name: &str,
        transaction: f64,
        object: Amf0Value,
        arguments: &[Amf0Value],
    ) -> Vec<Event> {
        let mut values = vec![text(name), Amf0Value::Number(transaction), object];
        values.extend_from_slice(arguments);
        self.message(20, stream_id, 0, &rml_amf0::serialize(&values).unwrap())
    }

    pub(crate) fn publish(&mut self, stream_id: u32, name: &str) -> Vec<Event> {
        self.command_on(stream_id, "publish", 5.0, Amf0Value::Null, &[text(name), text("live")])
    }

    pub(crate) fn video(&mut self, timestamp: u32, payload: &[u8]) -> Vec<Event> {
        self.message(9, 1, timestamp, payload)
    }

    /// What the session has to say since the last time, read by `rml_rtmp`.
    pub(crate) fn replies(&mut self) -> Vec<RtmpMessage> {
        let output = self.session.output();
        if !self.handshake_read && output.remaining() >= HANDSHAKE {
            output.advance(HANDSHAKE);
            self.handshake_read = true;
        }
        let bytes = output.copy_to_bytes(output.remaining());
        let mut replies = Vec::new();
        let mut next: &[u8] = &bytes;
        while let Some(payload) = self.deserializer.get_next_message(next).unwrap() {
            next = &[];
            let message = payload.to_rtmp_message().unwrap();
            if let RtmpMessage::SetChunkSize { size } = message {
                self.deserializer.set_max_chunk_size(usize::try_from(size).unwrap()).unwrap();
            }
            replies.push(message);
        }
        replies
    }

    /// The replies that are commands: name, transaction, last argument.
    pub(crate) fn command_replies(&mut self) -> Vec<(String, f64, Amf0Value)> {
        let replies = self.replies().into_iter().filter_map(|reply| match reply {
            RtmpMessage::Amf0Command { command_name, transaction_id, mut additional_arguments, .. } => {
                let last = additional_arguments.pop().unwrap_or(Amf0Value::Null);
                Some((command_name, transaction_id, last))
            }
            _ => None,
        });
        replies.collect()
    }
}

/// `code` and `description` of a status.
pub(crate) fn status(information: &Amf0Value) -> (String, String) {
    let Amf0Value::Object(properties) = information else { panic!("{information:?}") };
    let text = |name: &str| properties[name].clone().get_string().unwrap();
    (text("code"), text("description"))
}

pub(crate) fn lost(event: &Event) -> Option<bool> {
    match event {
        Event::Publisher(PublisherEvent::Lost { explicit, .. }) => Some(*explicit),
        _ => None,
    }
}
