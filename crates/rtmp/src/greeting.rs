//! A look at whether somebody takes publishers: what every encoder does first, and nothing after that.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::handshake::{Handshake, Progress};
use crate::send_queue::SendQueue;
use crate::session_error::SessionError;

/// Why a peer takes no publishers.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    /// The connection broke, or the peer closed it.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// The peer answers, and does not speak RTMP.
    #[error(transparent)]
    Protocol(#[from] SessionError),
}

/// Goes through the handshake (C0 and C1, S0 to S2, C2) and leaves. The caller sets the deadline.
///
/// # Errors
/// When the peer does not do its part.
pub async fn greet<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO) -> Result<(), GreetingError> {
    let (mut output, mut input) = (SendQueue::default(), BytesMut::with_capacity(ANSWER));
    let mut handshake = Handshake::client(&mut output)?;
    loop {
        io.write_all_buf(&mut output).await?;
        io.flush().await?;
        if io.read_buf(&mut input).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        if handshake.take(&mut input, &mut output)? == Progress::Done {
            break;
        }
    }
    io.write_all_buf(&mut output).await?;
    // It has said yes already: how the peer takes the end is its own business.
    let _ = io.shutdown().await;
    Ok(())
}

/// S0, S1 and S2, and the beginning of whatever a peer says that does not wait for its turn.
const ANSWER: usize = 4096;
