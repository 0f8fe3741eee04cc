//! The server's side of one connection, without I/O: bytes and time in, events and bytes out.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use rml_rtmp::messages::RtmpMessage;

use crate::aggregate::Aggregate;
use crate::bitrate_guard::BitrateGuard;
use crate::chunk_reader::ChunkReader;
use crate::chunk_writer::ChunkWriter;
use crate::codec;
use crate::handshake::{Handshake, Progress};
use crate::limits::{Limits, MAX_UNREAD_REPLIES, MIN_ACK_WINDOW, WINDOW_ACK_SIZE};
use crate::message::{Message, kind};
use crate::metadata::Metadata;
use crate::refusal::Refusal;
use crate::replies;
use crate::send_queue::SendQueue;
use crate::session_error::SessionError;
use crate::stream_request::{ConnectRequest, PublishRequested};

mod commands;

/// A publisher's connection from its first byte on.
///
/// The caller gives it what arrives ([`receive`](Self::receive), until it returns `None`), tells it the
/// time at [`next_deadline`](Self::next_deadline), and sends what stands in [`output`](Self::output).
/// Nothing is queued inside: one event comes out for each call, and what is not asked for stays in the
/// caller's buffer.
#[derive(Debug)]
pub struct ServerSession {
    limits: Limits,
    started: Instant,
    phase: Phase,
    reader: ChunkReader,
    writer: ChunkWriter,
    output: SendQueue,
    aggregate: Option<Aggregate>,
    connect: Option<ConnectRequest>,
    fc_publish: bool,
    commands: usize,
    streams: u32,
    received: u64,
    acknowledged: u64,
    ack_window: u32,
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Somebody wants to publish. Nothing more is read until
    /// [`accept_publish`](ServerSession::accept_publish) or
    /// [`reject_publish`](ServerSession::reject_publish).
    PublishRequested(Box<PublishRequested>),
    /// Something from the accepted publisher.
    Publisher(PublisherEvent),
    /// It ended before anything was accepted. Comes once, and nothing after it.
    Failed(SessionError),
}

/// What an accepted publisher does.
#[derive(Debug, Clone, PartialEq)]
pub enum PublisherEvent {
    /// `onMetaData`.
    Metadata(Box<Metadata>),
    /// An audio tag, as FLV holds it.
    Audio {
        /// Milliseconds, modulo 2^32.
        timestamp_ms: u32,
        /// The tag's body.
        data: Bytes,
    },
    /// A video tag, as FLV holds it.
    Video {
        /// Milliseconds, modulo 2^32.
        timestamp_ms: u32,
        /// The tag's body.
        data: Bytes,
    },
    /// It left, or was lost. Comes once, and nothing after it.
    Lost {
        /// It said so (`FCUnpublish`, `deleteStream`, `closeStream`).
        explicit: bool,
        /// How.
        reason: LossReason,
    },
}

/// How a publisher was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LossReason {
    /// It said that it ends.
    #[error("unpublished")]
    Unpublished,
    /// A router has moved it to another worker: it goes on there.
    #[error("moved to another worker")]
    HandedOver,
    /// Its connection ended.
    #[error("connection closed")]
    Closed,
    /// It broke a rule, or the connection broke.
    #[error(transparent)]
    Failed(SessionError),
}

enum Phase {
    Handshake { handshake: Handshake, deadline: Instant },
    Dialogue { deadline: Instant },
    Pending { stream_id: u32 },
    Live(Live),
    Closed,
}

#[derive(Debug)]
struct Live {
    stream_id: u32,
    /// For the next audio or video.
    media_deadline: Instant,
    last_byte: Instant,
    next_ping: Instant,
    bitrate: Option<BitrateGuard>,
    /// A second stream was refused: media counts only on the first one's id. Otherwise it counts on
    /// any, because encoders get the id wrong.
    exclusive: bool,
}

impl ServerSession {
    /// A session whose peer connected at `now`.
    pub fn new(now: Instant, limits: Limits) -> Self {
        let phase = Phase::Handshake { handshake: Handshake::server(), deadline: now + limits.handshake };
        Self {
            limits,
            started: now,
            phase,
            reader: ChunkReader::new(),
            writer: ChunkWriter::new(),
            output: SendQueue::default(),
            aggregate: None,
            connect: None,
            fc_publish: false,
            commands: 0,
            streams: 0,
            received: 0,
            acknowledged: 0,
            ack_window: WINDOW_ACK_SIZE,
        }
    }

    /// Takes bytes from `input` up to the next event; `None` when it needs more of them, or more than
    /// bytes: a decision, or nothing because it has ended.
    ///
    /// Outside of those two states at most a partial chunk header stays behind in `input`.
    pub fn receive(&mut self, now: Instant, input: &mut BytesMut) -> Option<Event> {
        loop {
            if let Some(message) = self.aggregate.as_mut().and_then(Aggregate::next_message) {
                match self.handle(message) {
                    None => continue,
                    event => return event,
                }
            }
            self.aggregate = None;
            let before = input.len();
            let message = match self.phase {
                Phase::Pending { .. } | Phase::Closed => return None,
                Phase::Handshake { .. } if input.is_empty() => return None,
                Phase::Handshake { .. } => {
                    if let Err(error) = self.shake_hands(now, input) {
                        return self.fail(error);
                    }
                    None
                }
                Phase::Dialogue { .. } | Phase::Live(_) => match self.reader.next_message(input) {
                    Ok(Some(message)) => Some(message),
                    Ok(None) => {
                        return match self.count(now, before - input.len()) {
                            Ok(()) => None,
                            Err(error) => self.fail(error),
                        };
                    }
                    Err(error) => return self.fail(error.into()),
                },
            };
            if let Err(error) = self.count(now, before - input.len()) {
                return self.fail(error);
            }
            if let Some(event) = message.and_then(|message| self.handle(message)) {
                return Some(event);
            }
        }
    }

    /// The peer will send nothing more.
    pub fn handle_eof(&mut self) -> Option<Event> {
        match self.phase {
            Phase::Live(_) => Some(self.lose(false, LossReason::Closed)),
            _ => self.fail(SessionError::Closed),
        }
    }

    /// The connection broke.
    pub fn handle_io_error(&mut self, error: std::io::ErrorKind) -> Option<Event> {
        self.fail(SessionError::Io(error))
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None` while a decision is
    /// awaited and at the end.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Handshake { deadline, .. } | Phase::Dialogue { deadline } => Some(*deadline),
            Phase::Live(live) => {
                let idle = live.last_byte + self.limits.idle;
                Some(idle.min(live.next_ping).min(live.media_deadline))
            }
            Phase::Pending { .. } | Phase::Closed => None,
        }
    }

    /// Does what is due at `now`. What has arrived goes to [`receive`](Self::receive) first: a consumer
    /// that did not read is not a publisher that did not send.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event> {
        let error = match &mut self.phase {
            Phase::Handshake { deadline, .. } if now >= *deadline => SessionError::HandshakeTimeout,
            Phase::Dialogue { deadline } if now >= *deadline => SessionError::PublishTimeout,
            Phase::Live(live) if now >= live.last_byte + self.limits.idle => SessionError::Idle,
            Phase::Live(live) if now >= live.media_deadline => SessionError::NoMedia,
            Phase::Live(live) if now >= live.next_ping => {
                live.next_ping = now + self.limits.ping;
                let millis = now.saturating_duration_since(self.started).as_millis();
                self.send_control(replies::ping_request(low_half(millis)));
                return None;
            }
            _ => return None,
        };
        self.fail(error)
    }

    /// What is to be sent, as a buffer to be advanced.
    pub fn output(&mut self) -> &mut SendQueue {
        &mut self.output
    }

    /// Whether it has ended. What stands in [`output`](Self::output) is still to be sent.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Lets the publisher in. Without a request it does nothing.
    pub fn accept_publish(&mut self, now: Instant) {
        let Phase::Pending { stream_id } = self.phase else { return };
        self.reader.set_max_message(self.limits.max_message);
        self.send_control(replies::stream_begin(stream_id));
        if self.fc_publish {
            self.send_command(replies::fc_publishing(), stream_id);
        }
        self.send_command(replies::publishing(), stream_id);
        self.phase = Phase::Live(Live {
            stream_id,
            media_deadline: now + self.limits.first_media,
            last_byte: now,
            next_ping: now + self.limits.ping,
            bitrate: self.limits.max_bitrate.map(|limit| BitrateGuard::new(limit, now)),
            exclusive: false,
        });
    }

    /// Refuses the publisher, with a reason that a person can read. Without a request it does nothing.
    pub fn reject_publish(&mut self, refusal: Refusal, description: &str) {
        let Phase::Pending { stream_id } = self.phase else { return };
        self.send_command(replies::refused(refusal, description), stream_id);
        self.phase = Phase::Closed;
    }

    /// Ends an accepted publisher, with a reason that a person can read. OBS tries to come back.
    pub fn drop_publisher(&mut self, refusal: Refusal, description: &str) {
        let Phase::Live(Live { stream_id, .. }) = self.phase else { return };
        self.send_command(replies::refused(refusal, description), stream_id);
        self.phase = Phase::Closed;
    }

    /// Asks an accepted publisher to open another connection and to leave this one then (Enhanced RTMP v2, *Reconnect
    /// Request*). Its media is taken until it does. One that has not said that it understands this would skip it.
    pub fn ask_to_reconnect(&mut self, description: &str) {
        if matches!(self.phase, Phase::Live(_)) {
            // About the connection, not about its stream.
            self.send_command(replies::reconnect_request(description), 0);
        }
    }

    /// Tells an accepted peer of ours which tag is needed next: earlier ones may wait for it. An encoder skips that.
    pub fn awaits(&mut self, timestamp_ms: u32) {
        if matches!(self.phase, Phase::Live(_)) {
            self.writer.write(CONTROL_CHUNK_STREAM, &replies::awaits(timestamp_ms), &mut self.output);
        }
    }

    fn shake_hands(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), SessionError> {
        let Phase::Handshake { handshake, .. } = &mut self.phase else { return Ok(()) };
        if handshake.take(input, &mut self.output)? == Progress::Done {
            self.phase = Phase::Dialogue { deadline: now + self.limits.publish };
        }
        Ok(())
    }

    /// Counts bytes that were taken: the peer lives, is acknowledged, and must not be too fast.
    fn count(&mut self, now: Instant, bytes: usize) -> Result<(), SessionError> {
        if bytes == 0 {
            return Ok(());
        }
        self.received = self.received.wrapping_add(u64::try_from(bytes).unwrap_or(0));
        if self.received.wrapping_sub(self.acknowledged) >= u64::from(self.ack_window) {
            self.acknowledged = self.received;
            self.send_control(replies::acknowledgement(low_half(self.received.into())));
        }
        if let Phase::Live(live) = &mut self.phase {
            live.last_byte = now;
            if let Some(guard) = &mut live.bitrate
                && !guard.allows(now, bytes)
            {
                return Err(SessionError::TooFast(self.limits.max_bitrate.unwrap_or(0)));
            }
        }
        if self.output.remaining() > MAX_UNREAD_REPLIES {
            return Err(SessionError::PeerDoesNotRead);
        }
        Ok(())
    }

    fn handle(&mut self, message: Message) -> Option<Event> {
        match message.kind {
            kind::AUDIO | kind::VIDEO => self.handle_media(message),
            kind::DATA_AMF0 | kind::DATA_AMF3 => {
                self.media_stream(message.stream_id)?;
                let metadata = Metadata::read(&message.payload)?;
                Some(Event::Publisher(PublisherEvent::Metadata(Box::new(metadata))))
            }
            kind::AGGREGATE => {
                self.media_stream(message.stream_id)?;
                self.aggregate = Some(Aggregate::new(message));
                None
            }
            kind::COMMAND_AMF0 | kind::COMMAND_AMF3 => self.handle_command(&message),
            kind::WINDOW_ACK_SIZE => {
                let window = message.payload.as_ref().try_get_u32().ok()?;
                self.ack_window = window.max(MIN_ACK_WINDOW);
                None
            }
            kind::USER_CONTROL => {
                let mut payload = message.payload.as_ref();
                if payload.try_get_u16() == Ok(PING_REQUEST) {
                    let time = payload.try_get_u32().ok()?;
                    self.send_control(replies::ping_response(time));
                }
                None
            }
            _ => None,
        }
    }

    fn handle_media(&mut self, message: Message) -> Option<Event> {
        let patience = self.limits.media;
        let live = self.media_stream(message.stream_id)?;
        let Message { timestamp: timestamp_ms, payload: data, .. } = message;
        // Some encoders send empty tags as keep-alive.
        if data.is_empty() {
            return None;
        }
        live.media_deadline = live.last_byte + patience;
        let (unsupported, event) = if message.kind == kind::AUDIO {
            (codec::unsupported_audio(&data), PublisherEvent::Audio { timestamp_ms, data })
        } else {
            (codec::unsupported_video(&data), PublisherEvent::Video { timestamp_ms, data })
        };
        match unsupported {
            Some(name) => self.fail(SessionError::UnsupportedCodec(name)),
            None => Some(Event::Publisher(event)),
        }
    }

    /// The accepted publisher, if media with this id is its.
    fn media_stream(&mut self, stream_id: u32) -> Option<&mut Live> {
        match &mut self.phase {
            Phase::Live(live) if !live.exclusive || live.stream_id == stream_id => Some(live),
            _ => None,
        }
    }

    fn lose(&mut self, explicit: bool, reason: LossReason) -> Event {
        self.phase = Phase::Closed;
        self.aggregate = None;
        Event::Publisher(PublisherEvent::Lost { explicit, reason })
    }

    fn fail(&mut self, error: SessionError) -> Option<Event> {
        match self.phase {
            Phase::Closed => None,
            Phase::Live(Live { stream_id, .. }) => {
                self.send_command(replies::refused(Refusal::Rejected, &error.told()), stream_id);
                Some(self.lose(false, LossReason::Failed(error)))
            }
            _ => {
                self.phase = Phase::Closed;
                Some(Event::Failed(error))
            }
        }
    }

    fn send_control(&mut self, message: RtmpMessage) {
        self.send(CONTROL_CHUNK_STREAM, message, 0);
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

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Handshake { handshake, .. } => handshake.fmt(f),
            Self::Dialogue { .. } => f.write_str("Dialogue"),
            Self::Pending { .. } => f.write_str("Pending"),
            Self::Live(live) => live.fmt(f),
            Self::Closed => f.write_str("Closed"),
        }
    }
}

/// Counters on the wire have 32 bits and wrap.
fn low_half(number: u128) -> u32 {
    u32::try_from(number & u128::from(u32::MAX)).unwrap_or(0)
}

/// RTMP 1.0 §5.4: control messages.
const CONTROL_CHUNK_STREAM: u8 = 2;
/// Where every server and encoder talks.
const COMMAND_CHUNK_STREAM: u8 = 3;

/// RTMP 1.0 §7.1.7.
const PING_REQUEST: u16 = 6;
