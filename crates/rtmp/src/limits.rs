//! Every bound of a session, each with the reason for its number.

use std::time::Duration;

/// What one session may take. The defaults are the constants of this module.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time for the handshake, from the first moment. See [`HANDSHAKE_TIMEOUT`].
    pub handshake: Duration,
    /// Time from the handshake to `publish`. See [`PUBLISH_TIMEOUT`].
    pub publish: Duration,
    /// Time from acceptance to the first audio or video. See [`FIRST_MEDIA_TIMEOUT`].
    pub first_media: Duration,
    /// Time from any audio or video to the next. See [`MEDIA_TIMEOUT`].
    pub media: Duration,
    /// Time without a byte after which a publisher is gone. See [`IDLE_TIMEOUT`].
    pub idle: Duration,
    /// Interval of ping requests. See [`PING_INTERVAL`].
    pub ping: Duration,
    /// Largest message of an accepted publisher, in bytes. See [`MAX_MESSAGE`].
    pub max_message: usize,
    /// Bits per second, averaged over [`BITRATE_WINDOW`]; `None` for a trusted peer (a router's relay
    /// opens with a replay at line speed).
    pub max_bitrate: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: HANDSHAKE_TIMEOUT,
            publish: PUBLISH_TIMEOUT,
            first_media: FIRST_MEDIA_TIMEOUT,
            media: MEDIA_TIMEOUT,
            idle: IDLE_TIMEOUT,
            ping: PING_INTERVAL,
            max_message: MAX_MESSAGE,
            max_bitrate: Some(MAX_BITRATE),
        }
    }
}

/// A handshake is 3 KiB and two round trips: 5 s passes the worst mobile uplink and is no home for a
/// slow-handshake attack.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// `connect`, `createStream` and `publish` are three round trips.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Encoders start in a second or two; SRS has allowed 20 s for the first packet for years.
pub const FIRST_MEDIA_TIMEOUT: Duration = Duration::from_secs(20);

/// As long as silence on the wire: a phone's app in the background answers pings for hours, and its viewers look at a
/// still picture.
pub const MEDIA_TIMEOUT: Duration = IDLE_TIMEOUT;

/// The mission's setting, two pings: a publisher that is silent for so long is a half-open connection.
pub const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// The mission's setting (`ping: 30`).
pub const PING_INTERVAL: Duration = Duration::from_secs(30);

/// A keyframe of 8 MiB would be a 2 s GOP of 33 Mb/s in a single picture.
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// Before `publish` is accepted a peer has only commands to send; the largest seen is a `connect` of
/// under 2 KiB.
pub const MAX_MESSAGE_BEFORE_PUBLISH: usize = 64 * 1024;

/// Messages begun and not finished may declare this many of the largest message together: one, and as
/// much again for what is interleaved with it. Before `publish` is accepted that is 128 KiB, so that
/// 10,000 strangers hold 1.3 GB at the very most.
pub const UNFINISHED_MESSAGES: usize = 2;

/// Encoders use four or five chunk streams. Each costs some 80 bytes for the connection's life.
pub const MAX_CHUNK_STREAMS: usize = 32;

/// The chunk size that we announce: nginx-rtmp's and SRS's, so every encoder has met it. A frame of
/// 6 Mb/s video fits in one chunk.
pub const CHUNK_SIZE: u32 = 60_000;

/// Above this a chunk is a whole message whatever it says: a message's length has 24 bits.
pub const MAX_CHUNK_SIZE: u32 = 0x00FF_FFFF;

/// Window that we announce and, for peers that announce none, acknowledge by (rml_rtmp's and
/// nginx-rtmp's order of magnitude: 4 s of 5 Mb/s).
pub const WINDOW_ACK_SIZE: u32 = 2_500_000;

/// A peer that asks for an acknowledgement at every byte gets one each 64 KiB: we would otherwise send
/// 16 bytes for each one of its.
pub const MIN_ACK_WINDOW: u32 = 64 * 1024;

/// AMF nesting. Encoders' metadata is two deep; 4,000 levels overflow a 2 MiB stack, 32 nothing.
pub const MAX_AMF_DEPTH: usize = 32;

/// One AMF message: commands and metadata are below 4 KiB, the rest is room for odd encoders.
pub const MAX_AMF_BYTES: usize = 64 * 1024;

/// Values in one AMF message; a one-byte `null` costs 56 bytes once it is read.
pub const MAX_AMF_VALUES: usize = 2048;

/// Commands before `publish` is accepted: real encoders send five.
pub const MAX_COMMANDS: usize = 32;

/// `createStream` requests on a connection: encoders need one.
pub const MAX_STREAMS: u32 = 8;

/// Parameters kept from a `?query`; a worker's relay has four.
pub const MAX_QUERY_PARAMETERS: usize = 16;

/// Characters of an app, a stream name, a URL. Keys and tokens have at most a few hundred.
pub const MAX_NAME: usize = 2048;

/// The best 1080p60 encoders stop at 12 Mb/s, 4K at 40.
pub const MAX_BITRATE: u64 = 50_000_000;

/// Bitrate is averaged over this: an encoder that comes back from a network stall sends what it held
/// (OBS: a few seconds) at line speed, and that is not an attack.
pub const BITRATE_WINDOW: Duration = Duration::from_secs(10);

/// Replies that the peer does not read: pings and acknowledgements are below 1 KiB a minute.
pub const MAX_UNREAD_REPLIES: usize = 64 * 1024;

/// After a refusal, time for the peer to read it and close first: a close with unread input makes the
/// kernel send a reset, and the peer may never see why it was refused.
pub const LINGER: Duration = Duration::from_secs(2);

/// Characters of a description in `onStatus`.
pub const MAX_DESCRIPTION: usize = 1024;

/// Media that waits to be written to a relay: a replay (24 MiB at most) and as much again. Above it
/// nothing is queued.
pub const MAX_RELAY_QUEUE: usize = 48 * 1024 * 1024;
