//! A WebSocket of texts (RFC 6455), both halves apart so that one task listens while another talks.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// What the server sends.
pub struct Listener {
    stream: OwnedReadHalf,
    buffer: BytesMut,
}

/// What the client sends.
pub struct Talker {
    stream: OwnedWriteHalf,
}

/// A frame.
pub enum Received {
    /// Whole.
    Text(BytesMut),
    /// To be answered with [`Talker::pong`].
    Ping(BytesMut),
}

/// Connects and shakes hands.
///
/// # Errors
/// When the answer is anything but 101.
pub async fn open(address: SocketAddr, path: &str) -> anyhow::Result<(Listener, Talker)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let mut listener = Listener { stream: read, buffer: BytesMut::with_capacity(READ) };
    let mut talker = Talker { stream: write };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n\r\n"
    );
    talker.stream.write_all(request.as_bytes()).await?;
    loop {
        if let Some(end) = listener.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = listener.buffer.split_to(end);
            listener.buffer.advance(4);
            ensure!(head.starts_with(b"HTTP/1.1 101"), "{path}: {}", String::from_utf8_lossy(&head));
            return Ok((listener, talker));
        }
        listener.more().await?;
    }
}

impl Listener {
    /// The next text or ping.
    ///
    /// # Errors
    /// When the server closes, or sends what no server sends.
    pub async fn next(&mut self) -> anyhow::Result<Received> {
        loop {
            let Some((kind, payload)) = self.frame()? else {
                self.more().await?;
                continue;
            };
            match kind {
                TEXT => return Ok(Received::Text(payload)),
                PING => return Ok(Received::Ping(payload)),
                PONG => {}
                CLOSE => {
                    let mut reason = payload;
                    let code = if reason.len() >= 2 { reason.get_u16() } else { 0 };
                    bail!("closed with {code} {}", String::from_utf8_lossy(&reason));
                }
                other => bail!("a frame of kind {other}"),
            }
        }
    }

    /// One whole frame, if the buffer has one.
    fn frame(&mut self) -> anyhow::Result<Option<(u8, BytesMut)>> {
        let mut head = self.buffer.as_ref();
        let (Ok(first), Ok(second)) = (head.try_get_u8(), head.try_get_u8()) else { return Ok(None) };
        ensure!(first & FINAL == FINAL, "a message in pieces");
        let length = match second {
            EXTENDED => head.try_get_u16().ok().map(u64::from),
            127 => head.try_get_u64().ok(),
            short => Some(u64::from(short)),
        };
        let Some(length) = length else { return Ok(None) };
        let (length, header) = (usize::try_from(length)?, self.buffer.len() - head.len());
        if head.len() < length {
            return Ok(None);
        }
        self.buffer.advance(header);
        Ok(Some((first & !FINAL, self.buffer.split_to(length))))
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(READ);
        let read = self.stream.read_buf(&mut self.buffer).await.context("reading")?;
        ensure!(read > 0, "the server hung up");
        Ok(())
    }
}

impl Talker {
    /// Sends a text of less than 64 KiB.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn send(&mut self, text: &str) -> anyhow::Result<()> {
        self.frame(TEXT, text.as_bytes()).await
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn pong(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        self.frame(PONG, payload).await
    }

    async fn frame(&mut self, kind: u8, payload: &[u8]) -> anyhow::Result<()> {
        let mut frame = vec![FINAL | kind];
        if let Ok(short @ ..EXTENDED) = u8::try_from(payload.len()) {
            frame.push(MASKED | short);
        } else {
            frame.push(MASKED | EXTENDED);
            frame.extend(u16::try_from(payload.len())?.to_be_bytes());
        }
        // A mask of zeros leaves the payload as it is.
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).await?;
        Ok(())
    }
}

const READ: usize = 4 * 1024;
/// Any 16 bytes; who asks for nobody's secrets need not make them up anew.
const NONCE: &str = "Y2F1ZGFsLWJlbmNoLWNoYQ==";
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// In place of the length: two bytes with the length follow.
const EXTENDED: u8 = 0x7e;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
