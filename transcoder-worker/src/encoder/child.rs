//! One ffmpeg process: its pipes and its end.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use caudal_livestream::RenditionName;
use caudal_livestream::admission::LadderRung;
use caudal_media::codec::PictureFormat;
use caudal_media::flv::{FlvDemuxer, TagKind, flv_header, flv_tag_head, flv_tag_tail};
use command_fds::{CommandFdExt as _, FdMapping};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::EncodeFrame;
use super::jpegs::JpegCutter;
use super::recipe::{FIRST_PIPE, arguments, poster_pipe};
use crate::ffmpeg::Ffmpeg;
use crate::poster::{PosterMaker, PosterOutlet};

/// Counts children, so that what an old one still says is known as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChildId(pub(crate) u64);

/// What a child does.
#[derive(Debug)]
pub(crate) enum ChildEvent {
    /// A rung's codec header or picture.
    Tag(RungTag),
    /// It ended, and all it wrote has been read.
    Exited { reason: String },
}

/// FLV VIDEODATA of a rung.
#[derive(Debug)]
pub(crate) struct RungTag {
    pub(crate) rung: RenditionName,
    /// On the stream's timeline.
    pub(crate) timestamp_ms: i64,
    pub(crate) body: Bytes,
}

/// What a child is to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) rungs: &'a [LadderRung],
    /// The source's.
    pub(crate) format: PictureFormat,
    /// Where its posters go; none when it is to make rungs only.
    pub(crate) posters: Option<&'a PosterOutlet>,
}

/// Makes children: ffmpeg, or a script in its place, because a year of them takes too long otherwise.
pub(crate) trait Launcher: Send + Sync + 'static {
    /// Whether a child can be fed a source with this codec header.
    fn reads(&self, header: &[u8]) -> bool;

    /// Starts a child whose first frame is the one at `begin_ms`. Its events come on `events`; when that is full the
    /// child waits. Its tasks run on `tasks`.
    ///
    /// # Errors
    /// When no process can be started.
    fn start(
        &self,
        work: &Work<'_>,
        begin_ms: i64,
        id: ChildId,
        events: &mpsc::Sender<(ChildId, ChildEvent)>,
        tasks: &TaskTracker,
    ) -> io::Result<Child>;
}

/// A running ffmpeg. Dropped, it is killed.
pub(crate) struct Child {
    pub(crate) id: ChildId,
    frames: Option<mpsc::Sender<EncodeFrame>>,
    _killed: DropGuard,
}

/// The child does not read.
#[derive(Debug)]
pub(crate) struct Full;

impl Launcher for Ffmpeg {
    fn reads(&self, header: &[u8]) -> bool {
        self.reads(header)
    }

    fn start(
        &self,
        work: &Work<'_>,
        begin_ms: i64,
        id: ChildId,
        events: &mpsc::Sender<(ChildId, ChildEvent)>,
        tasks: &TaskTracker,
    ) -> io::Result<Child> {
        let Work { rungs, posters, .. } = *work;
        let mut outputs = Vec::new();
        let mut mappings = Vec::new();
        for (rung, child_fd) in rungs.iter().zip(FIRST_PIPE..) {
            let (reader, writer) = io::pipe()?;
            mappings.push(FdMapping { parent_fd: OwnedFd::from(writer), child_fd });
            outputs.push((rung.name.clone(), pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?));
        }
        let mut pictures = None;
        if let Some(outlet) = posters {
            let (reader, writer) = io::pipe()?;
            mappings.push(FdMapping { parent_fd: OwnedFd::from(writer), child_fd: poster_pipe(rungs) });
            pictures = Some((pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?, outlet.maker()));
        }
        let mut command = self.command();
        command.args(arguments(work)).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        let mut command = tokio::process::Command::from(command);
        let mut process = command.kill_on_drop(true).spawn()?;
        // The writing ends of the pipes live in `command`: they must close here for the readers ever to see an end.
        drop(command);

        let killed = CancellationToken::new();
        let mut readers = JoinSet::new();
        for (rung, output) in outputs {
            readers.spawn(read_rung(output, rung, begin_ms, id, events.clone()));
        }
        if let Some((output, maker)) = pictures {
            readers.spawn(read_posters(output, maker));
        }
        // Full when ffmpeg has not read for as long: it is hung or too slow, and is replaced.
        let (frames, queued) = mpsc::channel(INPUT_QUEUE);
        let stdin = process.stdin.take();
        let stderr = process.stderr.take();
        let (events, stop) = (events.clone(), killed.clone());
        tasks.spawn(async move {
            let pid = process.id();
            let ended = async {
                let said = stderr.map(last_words);
                let write = async {
                    if let Some(stdin) = stdin {
                        // A broken pipe shows in the exit status.
                        let _ = write_frames(stdin, begin_ms, queued).await;
                    }
                };
                let said = async {
                    match said {
                        Some(said) => said.await,
                        None => String::new(),
                    }
                };
                let wait = async {
                    tokio::select! {
                        status = process.wait() => status,
                        () = stop.cancelled() => {
                            kill_group(pid);
                            process.wait().await
                        }
                    }
                };
                tokio::pin!(write, wait);
                let both = async {
                    tokio::select! {
                        status = &mut wait => status,
                        () = &mut write => wait.await,
                    }
                };
                tokio::join!(both, said)
            };
            let (status, said) = ended.await;
            // Their pipes have ended with the process.
            let _ = timeout(PIPE_DEADLINE, async { while readers.join_next().await.is_some() {} }).await;
            let reason = match status {
                Ok(status) => format!("{status}: {said}"),
                Err(error) => error.to_string(),
            };
            // The supervisor may be gone already.
            let _ = events.send((id, ChildEvent::Exited { reason })).await;
        });
        Ok(Child::new(id, frames, killed))
    }
}

impl Child {
    /// One that reads `frames`, and ends at once when `killed` is cancelled.
    pub(super) fn new(id: ChildId, frames: mpsc::Sender<EncodeFrame>, killed: CancellationToken) -> Self {
        Self { id, frames: Some(frames), _killed: killed.drop_guard() }
    }

    /// Queues a frame.
    pub(crate) fn feed(&self, frame: EncodeFrame) -> Result<(), Full> {
        match &self.frames {
            // A child that has exited says so by its event.
            Some(frames) => match frames.try_send(frame) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => Err(Full),
            },
            None => Ok(()),
        }
    }

    /// Frames that it has not read yet.
    pub(crate) fn queued(&self) -> usize {
        self.frames.as_ref().map_or(0, |frames| frames.max_capacity().saturating_sub(frames.capacity()))
    }

    /// Nothing more will be fed: it encodes what it has, and ends.
    pub(crate) fn close(&mut self) {
        self.frames = None;
    }
}

fn kill_group(pid: Option<u32>) {
    if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
        // It may have ended just now.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// In the child's own time, which begins with its first frame: FLV's runs out after 2^31 ms, which a broadcast may outlive
/// ([`LONGEST_LIFE_MS`]).
async fn write_frames(
    mut stdin: ChildStdin,
    begin_ms: i64,
    mut frames: mpsc::Receiver<EncodeFrame>,
) -> io::Result<()> {
    stdin.write_all(&flv_header()).await?;
    while let Some(frame) = frames.recv().await {
        let length = frame.body.len();
        let own_ms = u32::try_from((frame.timestamp_ms - begin_ms).max(0)).map_err(io::Error::other)?;
        let head = flv_tag_head(TagKind::Video, own_ms, length).map_err(io::Error::other)?;
        let tail = flv_tag_tail(length);
        let mut tag = Bytes::copy_from_slice(&head).chain(frame.body).chain(&tail[..]);
        stdin.write_all_buf(&mut tag).await?;
    }
    stdin.shutdown().await
}

async fn read_rung(
    mut output: pipe::Receiver,
    rung: RenditionName,
    begin_ms: i64,
    id: ChildId,
    events: mpsc::Sender<(ChildId, ChildEvent)>,
) {
    let mut demuxer = FlvDemuxer::default();
    let mut buffer = BytesMut::with_capacity(READ_SIZE);
    loop {
        buffer.clear();
        match output.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => demuxer.push(&buffer),
        }
        loop {
            match demuxer.next_tag() {
                Ok(Some(tag)) if tag.kind == TagKind::Video => {
                    let timestamp_ms = begin_ms + i64::from(tag.timestamp_ms);
                    let tag = RungTag { rung: rung.clone(), timestamp_ms, body: tag.body };
                    if events.send((id, ChildEvent::Tag(tag))).await.is_err() {
                        return;
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%rung, %error, "ffmpeg's output is no FLV");
                    return;
                }
            }
        }
    }
}

/// Always reads on: a full pipe would hold up the rungs.
async fn read_posters(mut output: pipe::Receiver, maker: PosterMaker) {
    let mut cutter = JpegCutter::default();
    let mut buffer = BytesMut::with_capacity(READ_SIZE);
    while let Ok(1..) = output.read_buf(&mut buffer).await {
        if let Some(poster) = cutter.push(&buffer) {
            maker.made(poster);
        }
        buffer.clear();
    }
}

/// The end of what the child writes to its standard error, on one line.
async fn last_words(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let excess = kept.len().saturating_sub(MAX_LAST_WORDS);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).trim().replace('\n', "; ")
}

/// Twenty days: FLV's 31-bit timestamps end after 24.
pub(crate) const LONGEST_LIFE_MS: i64 = 20 * 24 * 3600 * 1000;
/// A replay comes in one burst. A slow child is judged by its pace long before it is this far behind.
const INPUT_QUEUE: usize = super::FRAME_QUEUE;
const READ_SIZE: usize = 64 * 1024;
/// A pipe's buffer is read in a moment; longer means that a grandchild holds it.
const PIPE_DEADLINE: Duration = Duration::from_secs(1);
const MAX_LAST_WORDS: usize = 512;
