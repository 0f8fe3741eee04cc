//! HTTP/1.1 over one connection that is kept.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// HTTP/1.1 with as little work as the machine that it shares with the server allows.
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(READ) })
    }

    /// The body of a 200.
    ///
    /// # Errors
    /// On any other answer, or none.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<BytesMut> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        let (head, length) = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.buffer.split_to(end);
                self.buffer.advance(4);
                let length = content_length(&head).with_context(|| path.to_owned())?;
                break (head, length);
            }
            self.more().await?;
        };
        while self.buffer.len() < length {
            self.more().await?;
        }
        let body = self.buffer.split_to(length);
        if !head.starts_with(b"HTTP/1.1 200") {
            bail!("{path}: {}", String::from_utf8_lossy(&head));
        }
        Ok(body)
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(READ);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(read > 0, "the server closed a connection");
        Ok(())
    }
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    let text = std::str::from_utf8(head)?;
    let line = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    Ok(line.context("no content length")?.trim().parse()?)
}

const READ: usize = 16 * 1024;
