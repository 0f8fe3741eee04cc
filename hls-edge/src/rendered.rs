//! Playlists as they stand at one moment, each rendered and compressed once for everybody who asks.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use caudal_livestream::RenditionName;
use caudal_livestream::timeline::{Timeline, Track};
use caudal_media::manifest::{Reach, dash};
use caudal_media::playlist::{Delivery, master, media};
use flate2::Compression;
use flate2::write::GzEncoder;

/// A text in both forms that a player may ask for.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) plain: Bytes,
    gzip: OnceLock<Bytes>,
}

impl Rendered {
    pub(crate) fn new(text: String) -> Self {
        Self { plain: Bytes::from(text), gzip: OnceLock::new() }
    }

    /// Of a text that is stored.
    pub(crate) fn of(data: Bytes) -> Self {
        Self { plain: data, gzip: OnceLock::new() }
    }

    pub(crate) fn gzip(&self) -> Bytes {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::with_capacity(1024), Compression::fast());
            // Writing into memory cannot fail.
            let _ = encoder.write_all(&self.plain);
            encoder.finish().map_or_else(|_| Bytes::new(), Bytes::from)
        };
        self.gzip.get_or_init(compress).clone()
    }

    /// Bytes of both forms, as far as they are there.
    pub(crate) fn size(&self) -> usize {
        self.plain.len().saturating_add(self.gzip.get().map_or(0, Bytes::len))
    }
}

/// A stream between two announcements.
#[derive(Debug)]
pub(crate) struct StreamView {
    pub(crate) timeline: Arc<Timeline>,
    master: OnceLock<Arc<Rendered>>,
    manifest: OnceLock<Arc<Rendered>>,
}

impl StreamView {
    pub(crate) fn new(timeline: Arc<Timeline>) -> Self {
        Self { timeline, master: OnceLock::new(), manifest: OnceLock::new() }
    }

    pub(crate) fn master(&self) -> Arc<Rendered> {
        Arc::clone(self.master.get_or_init(|| Arc::new(Rendered::new(master(&self.timeline)))))
    }

    pub(crate) fn manifest(&self) -> Arc<Rendered> {
        Arc::clone(
            self.manifest.get_or_init(|| Arc::new(Rendered::new(dash(&self.timeline, Reach::Finished)))),
        )
    }
}

/// One rendition between two announcements of it. Its renderings live as long as somebody may ask for them: the next
/// announcement brings a new view.
#[derive(Debug)]
pub(crate) struct RenditionView {
    pub(crate) timeline: Arc<Timeline>,
    index: usize,
    full: OnceLock<Arc<Rendered>>,
    delta: OnceLock<Arc<Rendered>>,
}

impl RenditionView {
    /// None when the timeline has no such rendition, or no longer.
    pub(crate) fn new(timeline: &Arc<Timeline>, name: &RenditionName) -> Option<Self> {
        let index = timeline.tracks.iter().position(|track| track.name == *name && !track.withdrawn)?;
        Some(Self { timeline: Arc::clone(timeline), index, full: OnceLock::new(), delta: OnceLock::new() })
    }

    pub(crate) fn track(&self) -> Option<&Track> {
        self.timeline.tracks.get(self.index)
    }

    pub(crate) fn playlist(&self, delivery: Delivery) -> Arc<Rendered> {
        let cell = match delivery {
            Delivery::Full => &self.full,
            Delivery::Delta => &self.delta,
        };
        // `get_or_init` lets one caller render while the others wait for it: hundreds are woken by one part.
        Arc::clone(cell.get_or_init(|| {
            let text = self.track().map(|track| media(&self.timeline, track, delivery)).unwrap_or_default();
            Arc::new(Rendered::new(text))
        }))
    }
}
