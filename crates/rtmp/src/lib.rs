//! RTMP sessions that no peer can hurt: the publisher's side of the door, and the relay to a worker.
//!
//! The core ([`ServerSession`], [`ClientSession`]) does no I/O and knows no clock: bytes and `now` go
//! in, events and bytes come out. The shells ([`PublisherConnection`], [`RelayClient`]) put a socket
//! and a timer around it.
//!
//! # What is ours and what is `rml_rtmp`'s
//!
//! `rml_rtmp` does the handshake (digest and plain) and turns messages and AMF0 values into bytes.
//! Everything that reads a peer's bytes after the handshake is ours: its chunk reader and its AMF0
//! reader can be made to panic, or to abort the process, by peers that have not logged in yet. Its two
//! session types are not used either. `ServerSession` drops what we need from `connect` (`tcUrl`,
//! `fourCcList`), wants a publish mode, refuses with `_error`, which OBS ignores, and acknowledges
//! wrongly; `ClientSession` reads with the same faulty chunk reader and loses a refusal's description.
//! The dialogue that remains is a dozen commands, in [`ServerSession`] and [`ClientSession`]. Nor is
//! its `ChunkSerializer`: it copies each payload twice, swallows empty messages, and repeats full
//! headers inside a message when compression is off, which no reader takes.
//!
//! # What this crate refuses to know
//!
//! Whether a key is good, what a frame holds (beyond the name of its codec), where a stream goes. It
//! keeps no media: one message at a time passes through it, and when the consumer does not read,
//! neither does the session, so that TCP holds the publisher back.

mod aggregate;
mod amf;
mod bitrate_guard;
mod chunk_reader;
mod chunk_writer;
mod client_session;
mod codec;
#[doc(hidden)]
pub mod fuzzing;
mod greeting;
mod handshake;
mod limits;
mod message;
mod metadata;
mod publisher_connection;
mod refusal;
mod relay_client;
mod replies;
mod send_queue;
mod server_session;
mod session_error;
mod stream_request;
mod wire;

pub use amf::AmfError;
pub use chunk_reader::ChunkError;
pub use client_session::{ClientEvent, ClientSession, RelayTarget};
pub use codec::{FourCc, SUPPORTED_AUDIO, SUPPORTED_VIDEO};
pub use greeting::{GreetingError, greet};
pub use limits::*;
pub use metadata::Metadata;
pub use publisher_connection::{PublishRequest, PublisherConnection, PublisherStream};
pub use refusal::Refusal;
pub use relay_client::{RelayClient, RelayError, RelayPublisher};
pub use send_queue::SendQueue;
pub use server_session::{Event, LossReason, PublisherEvent, ServerSession};
pub use session_error::SessionError;
pub use stream_request::{EnhancedCapabilities, PublishMode, PublishRequested, Query, StreamKey};
