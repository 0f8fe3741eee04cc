//! The client's side of one connection, without I/O: it publishes, as a router to a worker.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use rml_amf0::Amf0Value;
use rml_rtmp::messages::RtmpMessage;

use crate::amf;
use crate::chunk_reader::ChunkReader;
use crate::chunk_writer::ChunkWriter;
use crate::handshake::{Handshake, Progress};
use crate::limits::{CHUNK_SIZE, MAX_COMMANDS, MAX_MESSAGE};
use crate::message::{Message, kind};
use crate::metadata::{Metadata, SET_DATA_FRAME};
use crate::replies::{self, AWAITS, HAND_OVER, command, object, string};
use crate::send_queue::SendQueue;
use crate::session_error::SessionError;

/// What a relay publishes, and to which app.
#[derive(Clone)]
pub struct RelayTarget {
    /// The application, without slashes.
    pub app: String,
    /// The stream's name, with its query.
    pub stream_name: String,
    /// `tcUrl`; it decides nothing in our workers.
    pub tc_url: String,
}

impl fmt::Debug for RelayTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, stream_name: _, tc_url: _ } = self;
        f.debug_struct("RelayTarget").field("app", app).field("stream_name", &"***").finish_non_exhaustive()
    }
}

/// A relay's connection from its first byte on.
#[derive(Debug)]
pub struct ClientSession {
    target: RelayTarget,
    phase: Phase,
    reader: ChunkReader,
    writer: ChunkWriter,
    output: SendQueue,
    commands: usize,
    stream_id: u32,
}

/// What the server did.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// Media may be sent.
    Published,
    /// It said no, before or after it had said yes.
    Refused {
        /// The code of `onStatus` or `_error`.
        code: String,
        /// Its description.
        description: String,
    },
    /// Media before this timestamp is of no use to it yet.
    Awaits(u32),
    /// What it sent is not RTMP as we take it.
    Failed(SessionError),
}

enum Phase {
    Handshake(Handshake),
    Connecting,
    Creating,
    Publishing,
    Live,
    Closed,
}

impl ClientSession {
    /// A session that has its first bytes ready in [`output`](Self::output).
    pub fn new(target: RelayTarget) -> Result<Self, SessionError> {
        let mut output = SendQueue::default();
        let handshake = Handshake::client(&mut output)?;
        Ok(Self {
            target,
            phase: Phase::Handshake(handshake),
            reader: ChunkReader::new(),
            writer: ChunkWriter::new(),
            output,
            commands: 0,
            stream_id: 0,
        })
    }

    /// Takes bytes from `input` up to the next event; `None` when it needs more of them.
    pub fn receive(&mut self, input: &mut BytesMut) -> Option<ClientEvent> {
        loop {
            let message = match &mut self.phase {
                Phase::Closed => return None,
                Phase::Handshake(_) if input.is_empty() => return None,
                Phase::Handshake(handshake) => {
                    match handshake.take(input, &mut self.output) {
                        Ok(Progress::Open) => {}
                        Ok(Progress::Done) => self.connect(),
                        Err(error) => return Some(self.fail(error)),
                    }
                    continue;
                }
                _ => match self.reader.next_message(input) {
                    Ok(Some(message)) => message,
                    Ok(None) => return None,
                    Err(error) => return Some(self.fail(error.into())),
                },
            };
            if let Some(event) = self.handle(&message) {
                return Some(event);
            }
        }
    }

    /// What is to be sent, as a buffer to be advanced.
    pub fn output(&mut self) -> &mut SendQueue {
        &mut self.output
    }

    /// Queues an audio tag. Empty and over-long ones are left out; the server would not take them.
    pub fn send_audio(&mut self, timestamp_ms: u32, tag: Bytes) {
        self.send_media(AUDIO_CHUNK_STREAM, kind::AUDIO, timestamp_ms, tag);
    }

    /// Queues a video tag, as [`send_audio`](Self::send_audio).
    pub fn send_video(&mut self, timestamp_ms: u32, tag: Bytes) {
        self.send_media(VIDEO_CHUNK_STREAM, kind::VIDEO, timestamp_ms, tag);
    }

    /// Queues `onMetaData` with `@setDataFrame` before it.
    pub fn send_metadata(&mut self, timestamp_ms: u32, metadata: &Metadata) {
        let Ok(name) = rml_amf0::serialize(&vec![string(SET_DATA_FRAME)]) else { return };
        let payload = Bytes::from([name.as_slice(), &metadata.raw].concat());
        if amf::decode(&payload).error.is_none() {
            self.send_media(DATA_CHUNK_STREAM, kind::DATA_AMF0, timestamp_ms, payload);
        }
    }

    /// Queues what says that the publisher has ended its stream.
    pub fn unpublish(&mut self) {
        if !matches!(self.phase, Phase::Live) {
            return;
        }
        let name = string(&self.target.stream_name);
        self.send_command(command("FCUnpublish", 6.0, Amf0Value::Null, vec![name]), 0);
        let id = Amf0Value::Number(f64::from(self.stream_id));
        self.send_command(command("deleteStream", 7.0, Amf0Value::Null, vec![id]), 0);
        self.phase = Phase::Closed;
    }

    /// Queues what says that the publisher goes on at another worker.
    pub fn hand_over(&mut self) {
        if matches!(self.phase, Phase::Live) {
            self.send_command(command(HAND_OVER, 0.0, Amf0Value::Null, vec![]), 0);
            self.phase = Phase::Closed;
        }
    }

    fn connect(&mut self) {
        self.send(CONTROL_CHUNK_STREAM, RtmpMessage::SetChunkSize { size: CHUNK_SIZE }, 0);
        self.writer.set_chunk_size(CHUNK_SIZE);
        let properties = object([
            ("app", string(&self.target.app)),
            ("type", string("nonprivate")),
            ("flashVer", string("FMLE/3.0 (compatible; Caudal)")),
            ("tcUrl", string(&self.target.tc_url)),
        ]);
        self.send_command(command("connect", CONNECT, properties, vec![]), 0);
        self.phase = Phase::Connecting;
    }

    fn handle(&mut self, message: &Message) -> Option<ClientEvent> {
        match message.kind {
            kind::USER_CONTROL => self.handle_control(&message.payload),
            kind::COMMAND_AMF0 => self.handle_command(&message.payload),
            _ => None,
        }
    }

    fn handle_control(&mut self, mut payload: &[u8]) -> Option<ClientEvent> {
        match (payload.try_get_u16().ok()?, payload.try_get_u32().ok()?, &self.phase) {
            (PING_REQUEST, time, _) => {
                self.send(CONTROL_CHUNK_STREAM, replies::ping_response(time), 0);
                None
            }
            (AWAITS, timestamp_ms, Phase::Live) => Some(ClientEvent::Awaits(timestamp_ms)),
            _ => None,
        }
    }

    fn handle_command(&mut self, payload: &[u8]) -> Option<ClientEvent> {
        let decoded = amf::decode(payload);
        if let Some(error) = decoded.error.filter(|error| error.is_hostile()) {
            return Some(self.fail(error.into()));
        }
        self.commands += 1;
        if self.commands > MAX_COMMANDS {
            return Some(self.fail(SessionError::TooManyCommands));
        }
        let mut values = decoded.values.iter();
        let name = values.next().and_then(amf::text)?;
        let transaction = values.next().and_then(amf::number).unwrap_or(0.0);
        let arguments = values.as_slice();
        let information = arguments.last().unwrap_or(&Amf0Value::Null);
        let answers = |request: f64| (transaction - request).abs() < 0.5;
        match (name, &self.phase) {
            ("_result", Phase::Connecting) if answers(CONNECT) => {
                let name = || string(&self.target.stream_name);
                let requests = [
                    command("releaseStream", 2.0, Amf0Value::Null, vec![name()]),
                    command("FCPublish", 3.0, Amf0Value::Null, vec![name()]),
                    command("createStream", CREATE_STREAM, Amf0Value::Null, vec![]),
                ];
                for request in requests {
                    self.send_command(request, 0);
                }
                self.phase = Phase::Creating;
                None
            }
            ("_result", Phase::Creating) if answers(CREATE_STREAM) => {
                self.stream_id = stream_id(information)?;
                let arguments = vec![string(&self.target.stream_name), string("live")];
                self.send_command(command("publish", 5.0, Amf0Value::Null, arguments), self.stream_id);
                self.phase = Phase::Publishing;
                None
            }
            ("_error", Phase::Connecting) if answers(CONNECT) => Some(self.refused(information)),
            ("_error", Phase::Creating) if answers(CREATE_STREAM) => Some(self.refused(information)),
            ("onStatus", _) if property(information, "level") == "error" => Some(self.refused(information)),
            ("onStatus", Phase::Publishing) if property(information, "code") == PUBLISH_START => {
                self.phase = Phase::Live;
                Some(ClientEvent::Published)
            }
            _ => None,
        }
    }

    fn refused(&mut self, information: &Amf0Value) -> ClientEvent {
        self.phase = Phase::Closed;
        ClientEvent::Refused {
            code: property(information, "code").to_owned(),
            description: property(information, "description").to_owned(),
        }
    }

    fn fail(&mut self, error: SessionError) -> ClientEvent {
        self.phase = Phase::Closed;
        ClientEvent::Failed(error)
    }

    fn send_media(&mut self, chunk_stream: u8, kind: u8, timestamp: u32, payload: Bytes) {
        if matches!(self.phase, Phase::Live) && !payload.is_empty() && payload.len() <= MAX_MESSAGE {
            let message = Message { timestamp, kind, stream_id: self.stream_id, payload };
            self.writer.write(chunk_stream, &message, &mut self.output);
        }
    }

    fn send_command(&mut self, message: RtmpMessage, stream_id: u32) {
        self.send(COMMAND_CHUNK_STREAM, message, stream_id);
    }

    fn send(&mut self, chunk_stream: u8, message: RtmpMessage, stream_id: u32) {
        if let Some(message) = replies::encode(message, stream_id) {
            self.writer.write(chunk_stream, &message, &mut self.output);
        }
    }
}

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake(_) => "Handshake",
            Self::Connecting => "Connecting",
            Self::Creating => "Creating",
            Self::Publishing => "Publishing",
            Self::Live => "Live",
            Self::Closed => "Closed",
        })
    }
}

fn property<'a>(information: &'a Amf0Value, name: &str) -> &'a str {
    amf::property(information, name).and_then(amf::text).unwrap_or_default()
}

fn stream_id(value: &Amf0Value) -> Option<u32> {
    format!("{:.0}", amf::number(value)?).parse().ok()
}

const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;
const PUBLISH_START: &str = "NetStream.Publish.Start";
const PING_REQUEST: u16 = 6;

const CONTROL_CHUNK_STREAM: u8 = 2;
const COMMAND_CHUNK_STREAM: u8 = 3;
const AUDIO_CHUNK_STREAM: u8 = 4;
const DATA_CHUNK_STREAM: u8 = 5;
const VIDEO_CHUNK_STREAM: u8 = 6;
