//! What stands before a broadcast's first media: made of that once for everybody who asks meanwhile, and the same at every
//! edge.

use bytes::Bytes;
use caudal_livestream::timeline::{Segment, Timeline, Track};
use caudal_media::lead_in::{LeadIn, Span, make};

use crate::answer::{Cache, Refusal};
use crate::edge::Edge;
use crate::media_files::{init, part, segment};
use crate::memory::{FileKey, part as part_key};
use crate::request::MediaFile;
use crate::watched::{Fetched, Watched};

/// A file of the lead-in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeadInFile<'a> {
    span: Span,
    first: &'a Segment,
}

impl<'a> LeadInFile<'a> {
    /// None when `file` is no file of the rendition's lead-in, or the lead-in can be had no longer: it goes with the first
    /// segment, which stays in the live window at least three target durations longer than playlists list the lead-in.
    pub(crate) fn of(timeline: &Timeline, track: &'a Track, file: &MediaFile) -> Option<Self> {
        let lead_in = LeadIn::of(timeline, track)?;
        let (epoch, span) = match file {
            MediaFile::Segment(msn, epoch) => (epoch, lead_in.segment(*msn)),
            MediaFile::LeadInPart(epoch, index) => (epoch, lead_in.part(*index)),
            MediaFile::Part(..) | MediaFile::Init(_) => return None,
        };
        let first = lead_in.first();
        span.filter(|_| *epoch == first.epoch).map(|span| Self { span, first })
    }

    /// Its bytes. The name will never mean others: the first segment's frames are the same whoever packages them.
    pub(crate) async fn get(
        self,
        edge: &Edge,
        watched: &Watched,
        (timeline, track): (&Timeline, &Track),
        key: &FileKey,
    ) -> Result<(Bytes, Cache), Refusal> {
        if let Some(data) = watched.memory().get(key) {
            return Ok((data, Cache::Immutable));
        }
        // On the heap: every request for media would be as large as what only these do.
        let making = Box::pin(async {
            let hash = self.first.init.clone().ok_or(Refusal::NotFound)?;
            let init_key = FileKey { rendition: track.name.clone(), file: MediaFile::Init(hash) };
            let init = init(edge, watched, &init_key).await?;
            let first = self.first_media(edge, watched, (timeline, track)).await?;
            make(self.span, &init, &first).map(Fetched::Recent).map_err(|error| {
                tracing::warn!(stream = %watched.stream, %error, "no lead-in");
                Refusal::NotFound
            })
        });
        Ok((watched.fetch_once(key, making).await?, Cache::Immutable))
    }

    /// The first segment's first part, or all of it where it was made without parts.
    async fn first_media(
        self,
        edge: &Edge,
        watched: &Watched,
        (timeline, track): (&Timeline, &Track),
    ) -> Result<Bytes, Refusal> {
        let (msn, epoch) = (self.first.msn, self.first.epoch);
        if let Some(first) = self.first.parts.first() {
            let key = part_key(&track.name, epoch, first.number);
            return part(edge, watched, key, self.first, first.number).await;
        }
        let key = FileKey { rendition: track.name.clone(), file: MediaFile::Segment(msn, epoch) };
        Ok(segment(edge, watched, timeline, track, (msn, epoch), &key).await?.0)
    }
}
