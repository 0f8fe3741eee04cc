//! A picture of the stream, for the page that lists it.

mod plan;

use std::process::Stdio;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use caudal_livestream::StreamId;
use caudal_media::codec::PictureFormat;
use caudal_media::flv::{TagKind, flv_header, flv_tag_head, flv_tag_tail};
use caudal_storage::{Key, SegmentStore};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::encoder::progressive_sdr;
use crate::ffmpeg::Ffmpeg;
use plan::{Plan, Rungs};

pub(crate) use plan::FIRST;

/// A keyframe with the codec header that it needs, both as FLV VIDEODATA.
#[derive(Clone, Debug)]
pub(crate) struct KeyPicture {
    pub(crate) header: Bytes,
    pub(crate) picture: Bytes,
    pub(crate) format: PictureFormat,
}

/// Where encoders put the posters that they make beside their rungs.
#[derive(Clone, Debug)]
pub(crate) struct PosterOutlet {
    /// How often an encoder is to make one.
    pub(crate) every: Duration,
    to: watch::Sender<Encoded>,
}

/// What encoders have made.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    makers: usize,
    newest: Option<Bytes>,
}

/// One encoder that makes posters, for as long as it does.
#[derive(Debug)]
pub(crate) struct PosterMaker(watch::Sender<Encoded>);

impl PosterOutlet {
    /// An outlet, and where the posters come out.
    pub(crate) fn new(every: Duration) -> (Self, watch::Receiver<Encoded>) {
        let (to, from) = watch::channel(Encoded::default());
        (Self { every, to }, from)
    }

    pub(crate) fn maker(&self) -> PosterMaker {
        // Wakes nobody: how many there are matters only when a poster is due.
        self.to.send_if_modified(|encoded| {
            encoded.makers = encoded.makers.saturating_add(1);
            false
        });
        PosterMaker(self.to.clone())
    }
}

impl PosterMaker {
    /// A JPEG. Never waits: one that has not been taken yet is replaced.
    pub(crate) fn made(&self, poster: Bytes) {
        self.0.send_modify(|encoded| encoded.newest = Some(poster));
    }
}

impl Drop for PosterMaker {
    fn drop(&mut self) {
        self.0.send_if_modified(|encoded| {
            encoded.makers = encoded.makers.saturating_sub(1);
            false
        });
    }
}

#[derive(Debug, Error)]
enum PosterError {
    #[error("ffmpeg: {0}")]
    Ffmpeg(#[from] std::io::Error),
    #[error("ffmpeg took longer than {DEADLINE:?}")]
    Deadline,
    #[error("ffmpeg does not decode the publisher's codec")]
    Unreadable,
    #[error("ffmpeg made no picture")]
    Nothing,
    #[error(transparent)]
    Storage(#[from] caudal_storage::StorageError),
}

/// Stores a stream's posters: those of its encoder, or, when none come from there, the newest keyframe.
pub(crate) struct Posters {
    ffmpeg: Ffmpeg,
    store: SegmentStore,
    stream: StreamId,
    plan: Plan,
    warned: bool,
}

impl Posters {
    /// `every` is how long a poster stays.
    pub(crate) fn new(ffmpeg: Ffmpeg, store: SegmentStore, stream: StreamId, every: Duration) -> Self {
        Self { ffmpeg, store, stream, plan: Plan::new(every), warned: false }
    }

    /// Until there are no more `pictures`.
    pub(crate) async fn run(
        mut self,
        mut pictures: watch::Receiver<Option<KeyPicture>>,
        mut encoded: watch::Receiver<Encoded>,
    ) {
        loop {
            let rungs = if encoded.borrow().makers > 0 { Rungs::MakePosters } else { Rungs::None };
            let due = self.plan.due(rungs);
            tokio::select! {
                changed = pictures.changed() => match changed {
                    Ok(()) => self.plan.keyframe(Instant::now()),
                    Err(_) => break,
                },
                Ok(()) = encoded.changed() => {
                    let poster = encoded.borrow_and_update().newest.clone();
                    if let Some(poster) = poster {
                        let stored = self.put(poster).await;
                        self.note(stored);
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    // An encoder may have begun meanwhile.
                    let makers = encoded.borrow().makers;
                    if makers == 0 || rungs == Rungs::MakePosters {
                        self.make(&pictures).await;
                    }
                }
            }
        }
        if self.plan.owes_one() {
            self.make(&pictures).await;
        }
    }

    /// Makes a poster of the newest keyframe.
    async fn make(&mut self, pictures: &watch::Receiver<Option<KeyPicture>>) {
        let Some(picture) = pictures.borrow().clone() else { return };
        let made = match timeout(DEADLINE, render(&self.ffmpeg, picture)).await {
            Ok(Ok(poster)) => self.put(poster).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PosterError::Deadline),
        };
        self.note(made);
    }

    async fn put(&self, poster: Bytes) -> Result<(), PosterError> {
        self.store.put(&Key::Poster(self.stream), poster).await?;
        Ok(())
    }

    fn note(&mut self, made: Result<(), PosterError>) {
        let Err(error) = made else {
            self.warned = false;
            self.plan.made(Instant::now());
            return;
        };
        self.plan.failed(Instant::now());
        // The page then shows the last one, or none.
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(%error, "no poster");
        }
    }
}

async fn render(ffmpeg: &Ffmpeg, picture: KeyPicture) -> Result<Bytes, PosterError> {
    if !ffmpeg.reads(&picture.header) {
        return Err(PosterError::Unreadable);
    }
    let mut command = ffmpeg.command();
    let size @ (width, height) = picture.format.within_width(WIDTH);
    let filter = format!("{}scale={width}:{height},setsar=1", progressive_sdr(&picture.format, size));
    command
        .args(INPUT)
        .args(["-vf", &filter])
        .args(OUTPUT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = Command::from(command).kill_on_drop(true).spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            stdin.write_all(&flv_header()).await?;
            // Twice, because a decoder may hold one picture back.
            for body in [&picture.header, &picture.picture, &picture.picture] {
                let head = flv_tag_head(TagKind::Video, 0, body.len()).map_err(std::io::Error::other)?;
                let tail = flv_tag_tail(body.len());
                let mut tag = Bytes::copy_from_slice(&head).chain(body.clone()).chain(&tail[..]);
                stdin.write_all_buf(&mut tag).await?;
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let read = async {
        let mut jpeg = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MAX_JPEG).read_to_end(&mut jpeg).await?;
        }
        Ok::<_, std::io::Error>(jpeg)
    };
    // ffmpeg may close its input once it has its one frame; the picture says whether it went well.
    let (_, jpeg) = tokio::join!(write, read);
    let jpeg = jpeg?;
    child.wait().await?;
    if jpeg.is_empty() { Err(PosterError::Nothing) } else { Ok(jpeg.into()) }
}

const INPUT: [&str; 12] = [
    "-hide_banner",
    "-nostdin",
    "-loglevel",
    "quiet",
    "-threads",
    "1",
    "-f",
    "flv",
    "-i",
    "pipe:0",
    "-frames:v",
    "1",
];
const OUTPUT: [&str; 8] = ["-c:v", "mjpeg", "-q:v", "4", "-f", "image2pipe", "-y", "pipe:1"];

/// It takes 0.2 s on an idle machine.
const DEADLINE: Duration = Duration::from_secs(8);
/// Pixels across; a picture that has fewer keeps them.
pub(crate) const WIDTH: u32 = 640;
/// 640 pixels wide at this quality is 20 to 80 kB.
const MAX_JPEG: u64 = 1024 * 1024;

#[cfg(test)]
mod tests;
