//! A picture of the stream, for the page that lists it.

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

/// A keyframe with the codec header that it needs, both as FLV VIDEODATA.
#[derive(Clone, Debug)]
pub(crate) struct KeyPicture {
    pub(crate) header: Bytes,
    pub(crate) picture: Bytes,
    pub(crate) format: PictureFormat,
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

/// Stores the newest keyframe as `poster.jpg`: the first at once, then one each [`INTERVAL`].
pub(crate) async fn posters(
    ffmpeg: Ffmpeg,
    store: SegmentStore,
    stream: StreamId,
    mut pictures: watch::Receiver<Option<KeyPicture>>,
) {
    let mut warned = false;
    while pictures.changed().await.is_ok() {
        let begun = Instant::now();
        let Some(picture) = pictures.borrow_and_update().clone() else { continue };
        let made = async {
            let jpeg =
                timeout(DEADLINE, render(&ffmpeg, picture)).await.map_err(|_| PosterError::Deadline)??;
            store.put(&Key::Poster(stream), jpeg).await?;
            Ok::<_, PosterError>(())
        };
        match made.await {
            Ok(()) => warned = false,
            // The page then shows the last one, or none.
            Err(error) if !warned => {
                warned = true;
                tracing::warn!(%error, "no poster");
            }
            Err(_) => {}
        }
        sleep_until(begun + INTERVAL).await;
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

/// The issue's: a poster each ten seconds.
const INTERVAL: Duration = Duration::from_secs(10);
/// It takes 0.2 s on an idle machine.
const DEADLINE: Duration = Duration::from_secs(8);
/// Pixels across; a picture that has fewer keeps them.
const WIDTH: u32 = 640;
/// 640 pixels wide at this quality is 20 to 80 kB.
const MAX_JPEG: u64 = 1024 * 1024;

#[cfg(test)]
mod tests;
