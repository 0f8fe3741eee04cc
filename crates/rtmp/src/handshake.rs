//! What goes before the first message of a connection.

use std::fmt;

use bytes::BytesMut;
use rml_rtmp::handshake::{self, HandshakeProcessResult, PeerType};

use crate::send_queue::SendQueue;
use crate::session_error::SessionError;

/// One side's handshake, which takes no byte that lies behind it.
pub(crate) struct Handshake {
    inner: Box<handshake::Handshake>,
    left: usize,
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The peer owes more.
    Open,
    /// What comes next is a message.
    Done,
}

impl Handshake {
    /// The side that waits for the other one.
    pub(crate) fn server() -> Self {
        Self::new(PeerType::Server)
    }

    /// The side that begins: its first bytes go to `output`.
    pub(crate) fn client(output: &mut SendQueue) -> Result<Self, SessionError> {
        let mut begun = Self::new(PeerType::Client);
        let first = begun.inner.generate_outbound_p0_and_p1().map_err(|_| SessionError::BadHandshake)?;
        output.push(first.into());
        Ok(begun)
    }

    fn new(side: PeerType) -> Self {
        Self { inner: Box::new(handshake::Handshake::new(side)), left: HANDSHAKE_BYTES }
    }

    /// Takes what is its own from `input`.
    pub(crate) fn take(
        &mut self,
        input: &mut BytesMut,
        output: &mut SendQueue,
    ) -> Result<Progress, SessionError> {
        // Given no more than is the handshake's, `rml_rtmp` buffers no more and gives nothing back.
        let bytes = input.split_to(input.len().min(self.left));
        self.left -= bytes.len();
        let (response, progress) = match self.inner.process_bytes(&bytes) {
            Ok(HandshakeProcessResult::InProgress { response_bytes }) => (response_bytes, Progress::Open),
            Ok(HandshakeProcessResult::Completed { response_bytes, .. }) => (response_bytes, Progress::Done),
            Err(_) => return Err(SessionError::BadHandshake),
        };
        output.push(response.into());
        Ok(progress)
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("left", &self.left).finish_non_exhaustive()
    }
}

/// C0, C1 and C2 of a client; S0, S1 and S2 of a server.
const HANDSHAKE_BYTES: usize = 1 + 1536 + 1536;
