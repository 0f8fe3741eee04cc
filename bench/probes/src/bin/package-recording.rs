//! What packaging alone costs: a recorded FLV goes through the packager in memory, again and again as one long stream.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use caudal_livestream::admission::LatencyMode;
use caudal_livestream::feed::Event;
use caudal_livestream::{Epoch, Generation, SessionId, StreamId, UnixMillis};
use caudal_media::flv::{FlvDemuxer, FlvTag, TagKind};
use caudal_media::{Output, Packager, PackagerConfig, SourceMetadata};
use clap::Parser;
use sha2::{Digest as _, Sha256};

/// Packages a recording and prints, as JSON, the share of a core that it would take live.
#[derive(Parser)]
struct Arguments {
    /// An FLV file of H.264 and AAC.
    recording: PathBuf,
    /// How often it is played, one after the other.
    #[arg(long, default_value_t = 10)]
    times: u32,
    /// Also print the SHA-256 of every byte and announcement, by which two builds are compared. Hashing counts into the share.
    #[arg(long)]
    digest: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let tags = read(&arguments.recording)?;
    let length = tags.iter().map(|tag| tag.timestamp_ms).max().unwrap_or(0).saturating_add(FRAME_MS);
    let mut stream = Stream { hash: arguments.digest.then(Sha256::new), ..Stream::default() };
    let before = cpu_nanoseconds()?;
    for time in 0..arguments.times {
        for tag in &tags {
            stream.take(tag, length.saturating_mul(time));
        }
    }
    let spent = seconds(cpu_nanoseconds()?.saturating_sub(before));
    let media = f64::from(length) / 1000.0 * f64::from(arguments.times);
    ensure!(stream.parts > 0, "nothing was packaged");
    let digest = stream.hash.take().map(|hash| {
        let words = hash.finalize().into_iter().map(|byte| format!("{byte:02x}"));
        words.collect::<String>()
    });
    println!(
        "{}",
        serde_json::json!({
            "mediaSeconds": media,
            "cpuSeconds": spent,
            "sharePercent": 100.0 * spent / media,
            "parts": stream.parts,
            "digest": digest,
            "megabits": f64::from(u32::try_from(stream.bytes / 1000)?) * 8.0 / 1000.0 / media,
        })
    );
    Ok(())
}

fn read(recording: &PathBuf) -> anyhow::Result<Vec<FlvTag>> {
    let mut demuxer = FlvDemuxer::default();
    demuxer.push(&fs::read(recording).with_context(|| recording.display().to_string())?);
    let mut tags = Vec::new();
    while let Some(tag) = demuxer.next_tag()? {
        // A buffer of its own, as a tag has that came over a network.
        tags.push(FlvTag { body: Bytes::copy_from_slice(&tag.body), ..tag });
    }
    Ok(tags)
}

/// One broadcast, and what a worker does with what comes out of it, without the doing.
struct Stream {
    packager: Packager,
    ticked: u32,
    parts: u64,
    bytes: u64,
    hash: Option<Sha256>,
}

impl Default for Stream {
    fn default() -> Self {
        let mut packager = Packager::new(PackagerConfig {
            stream: StreamId::generate(),
            epoch: Epoch(1),
            latency_mode: LatencyMode::Low,
            ladder: Vec::new(),
            hints: None,
            resume: None,
        });
        packager.publisher(SessionId::generate(), Generation(1));
        packager.metadata(&SourceMetadata { has_video: true, has_audio: true, ..SourceMetadata::default() });
        Self { packager, ticked: 0, parts: 0, bytes: 0, hash: None }
    }
}

impl Stream {
    fn take(&mut self, tag: &FlvTag, offset: u32) {
        let at = tag.timestamp_ms.saturating_add(offset);
        let now = UnixMillis(BEGINNING.saturating_add(i64::from(at)));
        match tag.kind {
            TagKind::Video => self.packager.video(at, tag.body.clone(), now),
            TagKind::Audio => self.packager.audio(at, tag.body.clone(), now),
            TagKind::Script => {}
        }
        if at >= self.ticked.saturating_add(TICK_MS) {
            self.ticked = at;
            self.packager.tick(now);
        }
        while let Some(output) = self.packager.poll() {
            let (event, data) = match output {
                Output::Announce { event, data } => (event, data),
                Output::Init { data, .. } => {
                    self.hash(&data);
                    continue;
                }
                _ => continue,
            };
            // A snapshot bears the random id of its stream, and says nothing that the others do not.
            if !matches!(event, Event::Snapshot(_)) {
                self.hash(&event.encode());
            }
            if let Some(data) = &data {
                self.hash(data);
            }
            self.bytes += data.map_or(0, |data| u64::try_from(data.len()).unwrap_or(0));
            match event {
                Event::Part(_) => self.parts += 1,
                // Else no segment would ever leave the window.
                Event::Segment(of) => self.packager.stored(&of.rendition, of.segment.msn),
                _ => {}
            }
        }
    }

    fn hash(&mut self, bytes: &[u8]) {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
    }
}

/// What this thread has run for: wall time would count what others took of the processor.
fn cpu_nanoseconds() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_whitespace().next().context("schedstat")?;
    Ok(first.parse()?)
}

fn seconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64()
}

/// Between the last frame of one round and the first of the next.
const FRAME_MS: u32 = 33;
/// As often as a worker does.
const TICK_MS: u32 = 50;
const BEGINNING: i64 = 1_700_000_000_000;
