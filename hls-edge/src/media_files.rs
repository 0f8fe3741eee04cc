//! Parts, segments and initialization segments.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline, Track};
use caudal_livestream::{Epoch, Msn, PartNumber, RenditionName, StreamId};
use caudal_media::lead_in::LeadIn;
use caudal_media::playlist::next_part;
use caudal_service::origin::Origin;
use caudal_storage::{Key, StreamFile};

use crate::answer::{Cache, Refusal, media};
use crate::asker::Asker;
use crate::edge::{Edge, Source, patience};
use crate::lead_in::LeadInFile;
use crate::memory::FileKey;
use crate::playlists::newest;
use crate::rendered::RenditionView;
use crate::request::MediaFile;
use crate::routes::count;
use crate::sources::AnnouncedSize;
use crate::watched::{Fetched, Watched};

/// `GET /live/{stream}/{rendition}/{file}`
pub(crate) async fn get_media_file(
    State(edge): State<Arc<Edge>>,
    Path((stream, rendition, file)): Path<(String, String, String)>,
    method: Method,
    asker: Asker,
    asked: HeaderMap,
) -> Response {
    let kind = match file.as_bytes() {
        [b'p' | b'l', ..] => "part",
        [b'i', ..] => "init",
        _ => "segment",
    };
    let answer = async {
        let stream: StreamId = stream.parse().map_err(|_| Refusal::NotFound)?;
        let rendition: RenditionName = rendition.parse().map_err(|_| Refusal::NotFound)?;
        let file: MediaFile = file.parse().map_err(|_| Refusal::NotFound)?;
        let grant = edge.grant(stream, &asker)?;
        let content_type = if rendition.as_str() == AUDIO { "audio/mp4" } else { "video/mp4" };
        match edge.source(&grant) {
            Source::Stored => {
                let stored = stored_file(&rendition, &file).ok_or(Refusal::NotFound)?;
                let data = edge.stored.listed(stream, &rendition, &file.to_string(), stored).await?;
                Ok(media(data, content_type, Cache::Immutable, &asked))
            }
            Source::Live(watched) => {
                let key = FileKey { rendition, file };
                let (data, cache) = live(&edge, &watched, asker.origin, key.clone()).await?;
                edge.streams.media().admit(&data)?;
                let response = media(data, content_type, cache, &asked);
                // Nobody watches by looking at headers, or at a byte of each part.
                let whole = method == Method::GET && response.status() == StatusCode::OK;
                if let Some((msn, newest)) = position(&watched, &key).filter(|_| whole) {
                    edge.viewers.fetched(stream, &asker, msn, newest);
                }
                Ok(response)
            }
        }
    };
    count(&edge.metrics, kind, answer.await)
}

async fn live(
    edge: &Edge,
    watched: &Watched,
    address: Option<Origin>,
    key: FileKey,
) -> Result<(Bytes, Cache), Refusal> {
    let mut receiver = edge.rendition(watched, address, &key.rendition).await?;
    watched.want(std::slice::from_ref(&key.rendition));
    match &key.file {
        MediaFile::Part(epoch, number) => {
            let (epoch, number) = (*epoch, *number);
            if let Some(data) = watched.memory().get(&key) {
                return Ok((data, Cache::Immutable));
            }
            let patience = patience(&receiver.borrow().timeline);
            let found = edge
                .until(watched, address, &mut receiver, patience, |view| locate_part(&view, epoch, number))
                .await
                // A hint that came to nothing.
                .map_err(|refusal| if refusal == Refusal::Late { Refusal::NotFound } else { refusal })?;
            Ok((part(edge, watched, key, &found, number).await?, Cache::Immutable))
        }
        file @ (MediaFile::Segment(..) | MediaFile::LeadInPart(..)) => {
            let view = receiver.borrow_and_update().clone();
            let track = view.track().ok_or(Refusal::NotFound)?;
            match (LeadInFile::of(&view.timeline, track, file), file) {
                (Some(lead_in), _) => lead_in.get(edge, watched, (view.timeline.as_ref(), track), &key).await,
                (None, MediaFile::Segment(msn, epoch)) => {
                    segment(edge, watched, &view.timeline, track, (*msn, *epoch), &key).await
                }
                (None, _) => Err(Refusal::NotFound),
            }
        }
        MediaFile::Init(hash) => {
            let view = receiver.borrow_and_update().clone();
            let known =
                |track: &Track| track.segments.iter().any(|segment| segment.init.as_ref() == Some(hash));
            let kept = watched.memory().get(&key).is_some();
            if !kept && !view.track().is_some_and(known) {
                return Err(Refusal::NotFound);
            }
            Ok((init(edge, watched, &key).await?, Cache::Immutable))
        }
    }
}

/// An initialization segment that the timeline names: from memory, the worker or storage.
pub(crate) async fn init(edge: &Edge, watched: &Watched, key: &FileKey) -> Result<Bytes, Refusal> {
    let kept = watched.memory().get(key);
    if let Some(kept) = kept {
        return Ok(kept);
    }
    // On the heap, as all fetches: every request would be as large as what only those do that find nothing in memory.
    let fetch = Box::pin(async {
        let in_storage = from_storage(edge, watched, key);
        // Wherever it came from: it is small, and no player begins without it.
        match worker_or_storage(edge, watched, key, AnnouncedSize::Init, in_storage).await? {
            Fetched::Recent(data) | Fetched::Stored(data) => Ok(Fetched::Recent(data)),
        }
    });
    watched.fetch_once(key, fetch).await
}

/// From the worker, or else from storage.
async fn worker_or_storage(
    edge: &Edge,
    watched: &Watched,
    key: &FileKey,
    size: AnnouncedSize,
    stored: impl Future<Output = Result<Bytes, Refusal>>,
) -> Result<Fetched, Refusal> {
    match edge.streams.sources().ask_worker(watched, key, size).await {
        Ok(data) => Ok(Fetched::Recent(data)),
        Err(asked) => match stored.await {
            // A worker that did not answer, or that there was no room to ask, may have what is not in storage.
            Err(Refusal::NotFound) => Err(asked),
            stored => stored.map(Fetched::Stored),
        },
    }
}

/// The segment of a part that was announced; `None` while it is to come: the very next one, which players are told to ask for in
/// advance, or what another edge, which a balancer let this player ask for its playlist, has heard of already.
fn locate_part(view: &RenditionView, epoch: Epoch, number: PartNumber) -> Option<Result<Segment, Refusal>> {
    let (timeline, Some(track)) = (&view.timeline, view.track()) else { return Some(Err(Refusal::NotFound)) };
    let holds = |segment: &&Segment| {
        segment.epoch == epoch && segment.parts.iter().any(|announced| announced.number == number)
    };
    if let Some(segment) = track.segments.iter().rev().find(holds) {
        return Some(Ok(segment.clone()));
    }
    // Each epoch counts its parts from 0.
    let next = if epoch == timeline.epoch { next_part(timeline, track).0 } else { 0 };
    let soon = next..=next.saturating_add(AHEAD);
    let epochs = timeline.epoch.0..=timeline.epoch.0.saturating_add(EPOCHS_AHEAD);
    let to_come = epochs.contains(&epoch.0) && soon.contains(&number.0);
    if to_come && !timeline.ended { None } else { Some(Err(Refusal::NotFound)) }
}

/// A busy edge may hear of parts a second later than another one: five of 0.2 s.
const AHEAD: u64 = 5;
/// An epoch is skipped when its worker is lost before it announces anything.
const EPOCHS_AHEAD: u32 = 2;

/// A part that was announced: from memory, the worker, or its stored segment.
pub(crate) async fn part(
    edge: &Edge,
    watched: &Watched,
    key: FileKey,
    segment: &Segment,
    number: PartNumber,
) -> Result<Bytes, Refusal> {
    if let Some(data) = watched.memory().get(&key) {
        return Ok(data);
    }
    let (offset, length) = segment.part_range(number).ok_or(Refusal::NotFound)?;
    let whole =
        FileKey { rendition: key.rendition.clone(), file: MediaFile::Segment(segment.msn, segment.epoch) };
    let slice = || -> Option<Bytes> {
        let data = watched.memory().get(&whole)?;
        let from = usize::try_from(offset).ok()?;
        let to = from.checked_add(usize::try_from(length).ok()?)?;
        (to <= data.len()).then(|| data.slice(from..to))
    };
    if let Some(data) = slice() {
        return Ok(data);
    }
    let stored = async {
        let file = stored_file(&whole.rendition, &whole.file).filter(|_| segment.phase != SegmentPhase::Open);
        let stored = Key::Live(watched.stream, file.ok_or(Refusal::NotFound)?);
        let range = offset..offset.saturating_add(u64::from(length));
        edge.stored.range(stored, range).await?.ok_or(Refusal::NotFound)
    };
    let size = AnnouncedSize::of_part(segment.epoch, length);
    let fetch = Box::pin(worker_or_storage(edge, watched, &key, size, stored));
    watched.fetch_once(&key, fetch).await
}

/// A whole segment, with how long caches may keep it.
pub(crate) async fn segment(
    edge: &Edge,
    watched: &Watched,
    timeline: &Timeline,
    track: &Track,
    (msn, epoch): (Msn, Epoch),
    key: &FileKey,
) -> Result<(Bytes, Cache), Refusal> {
    let listed = track.segments.iter().find(|segment| segment.msn == msn);
    if is_gap(timeline, track, listed, msn, epoch) {
        return Ok((Bytes::from_static(NOTHING), Cache::Seconds(1)));
    }
    let unstored = match listed {
        Some(segment) if segment.epoch != epoch || segment.phase == SegmentPhase::Open => {
            return Err(Refusal::NotFound);
        }
        Some(segment) => Some(segment).filter(|segment| segment.phase != SegmentPhase::Stored),
        // Gone from the playlist, but not for longer than a player may still have it in its own.
        None if left_lately(timeline, track, msn, epoch) => None,
        None => return Err(Refusal::NotFound),
    };
    let cache = if unstored.is_none() { Cache::Immutable } else { Cache::Seconds(1) };
    if let Some(data) = watched.memory().get(key) {
        return Ok((data, cache));
    }
    let fetch = Box::pin(async {
        let in_storage = from_storage(edge, watched, key);
        let Some(unstored) = unstored else { return in_storage.await.map(Fetched::Stored) };
        // One that is not known to be stored may be all the same: its worker was lost before it was announced.
        worker_or_storage(edge, watched, key, AnnouncedSize::of_segment(unstored), in_storage).await
    });
    Ok((watched.fetch_once(key, fetch).await?, cache))
}

/// Whether playlists list it as `EXT-X-GAP`: the model's own gaps, and those before first media that has no lead-in.
fn is_gap(timeline: &Timeline, track: &Track, listed: Option<&Segment>, msn: Msn, epoch: Epoch) -> bool {
    let without_lead_in =
        |first: &Segment| first.msn == timeline.first_msn && LeadIn::of(timeline, track).is_none();
    match listed {
        Some(segment) => segment.gap && segment.epoch == epoch,
        None => {
            msn < timeline.first_msn
                && epoch <= timeline.epoch
                && !timeline.ended
                && track.segments.front().is_some_and(without_lead_in)
        }
    }
}

/// RFC 8216bis §6.2.2: a segment stays as long as the longest playlist that held it.
fn left_lately(timeline: &Timeline, track: &Track, msn: Msn, epoch: Epoch) -> bool {
    let Some(first) = track.segments.front() else { return false };
    let window = u64::try_from(track.segments.len()).unwrap_or(u64::MAX);
    epoch <= timeline.epoch
        && msn >= timeline.first_msn
        && msn < first.msn
        && msn.0 >= first.msn.0.saturating_sub(window)
}

async fn from_storage(edge: &Edge, watched: &Watched, key: &FileKey) -> Result<Bytes, Refusal> {
    let file = stored_file(&key.rendition, &key.file).ok_or(Refusal::NotFound)?;
    edge.stored.media(Key::Live(watched.stream, file)).await?.ok_or(Refusal::NotFound)
}

/// The segment that a file is media of, and the rendition's last one; `None` for what is not media.
fn position(watched: &Watched, key: &FileKey) -> Option<(Msn, Msn)> {
    let view = watched.rendition(&key.rendition)?.borrow().clone();
    let track = view.track()?;
    let holds = |segment: &&Segment| match &key.file {
        MediaFile::Part(epoch, number) => {
            segment.epoch == *epoch && segment.parts.iter().any(|part| part.number == *number)
        }
        MediaFile::Segment(msn, epoch) => segment.msn == *msn && segment.epoch == *epoch,
        // All of it is one picture: who fetches nothing else goes along with no stream.
        MediaFile::Init(_) | MediaFile::LeadInPart(..) => false,
    };
    let segment = track.segments.iter().rev().find(holds).filter(|segment| !segment.gap)?;
    Some((segment.msn, newest(track)?))
}

/// Parts are never stored, nor is the lead-in.
fn stored_file(rendition: &RenditionName, file: &MediaFile) -> Option<StreamFile> {
    match file {
        MediaFile::Part(..) | MediaFile::LeadInPart(..) => None,
        MediaFile::Segment(msn, epoch) => Some(StreamFile::Segment(rendition.clone(), *msn, *epoch)),
        MediaFile::Init(hash) => Some(StreamFile::Init(rendition.clone(), hash.clone())),
    }
}

const AUDIO: &str = "audio";
/// An empty `free` box. Players that know `EXT-X-GAP` do not ask; VLC 3 does, and never recovers from a 404 there.
const NOTHING: &[u8] = b"\0\0\0\x08free";
