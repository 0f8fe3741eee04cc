//! `master.m3u8`, `index.m3u8` and `manifest.mpd`.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use caudal_livestream::timeline::{Timeline, Track};
use caudal_livestream::{Msn, RenditionName, StreamId};
use caudal_media::{manifest, playlist};
use caudal_storage::StreamFile;

use crate::answer::{Cache, Refusal, text};
use crate::asker::Asker;
use crate::edge::{Edge, Source, patience};
use crate::reload::{Reload, decide};
use crate::request::{Directives, query_value};
use crate::routes::count;

/// `GET /live/{stream}/master.m3u8`. With `?viewer=new` a player of a live stream is sent on to the same with a ticket.
pub(crate) async fn get_master(
    State(edge): State<Arc<Edge>>,
    Path(stream): Path<String>,
    RawQuery(query): RawQuery,
    asker: Asker,
    asked: HeaderMap,
) -> Response {
    let answer = async {
        let stream: StreamId = stream.parse().map_err(|_| Refusal::NotFound)?;
        let grant = edge.grant(stream, &asker)?;
        match edge.source(&grant) {
            Source::Stored => {
                let master = edge.stored.whole(stream, StreamFile::Master).await?;
                Ok(text(&master, playlist::CONTENT_TYPE, Cache::Seconds(1), &asked))
            }
            Source::Live(_) if wants_ticket(query.as_deref()) && !edge.viewers.has_ticket(stream, &asker) => {
                Ok(ticketed(stream, &edge.viewers.new_ticket(stream), asker.ticket.is_some()))
            }
            Source::Live(watched) => {
                let view = edge.stream_view_to_join(&watched, asker.origin).await?;
                // What a player asks for next; its feed is opened meanwhile.
                let tracks = &view.timeline.tracks;
                let first = tracks.iter().find(|track| track.is_video() && !track.withdrawn);
                let sound = tracks.iter().find(|track| !track.is_video() && !track.withdrawn);
                let names: Vec<_> = first.into_iter().chain(sound).map(|track| track.name.clone()).collect();
                watched.want(&names);
                Ok(text(&view.master(), playlist::CONTENT_TYPE, plain(&view.timeline), &asked))
            }
        }
    };
    count(&edge.metrics, "master", answer.await)
}

/// `GET /live/{stream}/manifest.mpd`
pub(crate) async fn get_manifest(
    State(edge): State<Arc<Edge>>,
    Path(stream): Path<String>,
    asker: Asker,
    asked: HeaderMap,
) -> Response {
    let answer = async {
        let stream: StreamId = stream.parse().map_err(|_| Refusal::NotFound)?;
        let grant = edge.grant(stream, &asker)?;
        match edge.source(&grant) {
            Source::Stored => {
                let manifest = edge.stored.whole(stream, StreamFile::Manifest).await?;
                Ok(text(&manifest, manifest::CONTENT_TYPE, Cache::Seconds(1), &asked))
            }
            Source::Live(watched) => {
                let view = edge.stream_view_with_a_period(&watched, asker.origin).await?;
                Ok(text(&view.manifest(), manifest::CONTENT_TYPE, plain(&view.timeline), &asked))
            }
        }
    };
    count(&edge.metrics, "manifest", answer.await)
}

/// `GET /live/{stream}/{rendition}/index.m3u8?_HLS_msn=&_HLS_part=&_HLS_skip=`
pub(crate) async fn get_media_playlist(
    State(edge): State<Arc<Edge>>,
    Path((stream, rendition)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    asker: Asker,
    asked: HeaderMap,
) -> Response {
    let answer = async {
        let stream: StreamId = stream.parse().map_err(|_| Refusal::NotFound)?;
        let rendition: RenditionName = rendition.parse().map_err(|_| Refusal::NotFound)?;
        let query = query.as_deref().unwrap_or_default();
        let directives = Directives::parse(query)?;
        let grant = edge.grant(stream, &asker)?;
        match edge.source(&grant) {
            Source::Stored => {
                let playlist = edge.stored.playlist(stream, &rendition).await?;
                Ok(text(&playlist, playlist::CONTENT_TYPE, Cache::Seconds(1), &asked))
            }
            Source::Live(watched) => {
                let mut receiver = edge.rendition(&watched, asker.origin, &rendition).await?;
                watched.want(&[rendition]);
                let patience = patience(&receiver.borrow().timeline);
                let view = edge
                    .until(&watched, asker.origin, &mut receiver, patience, |view| {
                        let Some(track) = view.track() else { return Some(Err(Refusal::NotFound)) };
                        // An encoder that has just begun: players take a playlist of nothing for a broken one.
                        if track.segments.is_empty() && !view.timeline.ended {
                            return None;
                        }
                        match directives
                            .until
                            .map_or(Reload::Now, |until| decide(&view.timeline, track, until))
                        {
                            Reload::Now => Some(Ok(view)),
                            Reload::Wait => None,
                            Reload::TooFar => Some(Err(Refusal::TooFarAhead)),
                        }
                    })
                    .await?;
                if let Some(newest) = view.track().and_then(newest) {
                    edge.viewers.asked(stream, &asker, newest);
                }
                let cache = if directives.until.is_some() { Cache::Shared } else { plain(&view.timeline) };
                Ok(text(&view.playlist(directives.delivery), playlist::CONTENT_TYPE, cache, &asked))
            }
        }
    };
    count(&edge.metrics, "playlist", answer.await)
}

fn wants_ticket(query: Option<&str>) -> bool {
    query.and_then(|query| query_value(query, "viewer")) == Some("new")
}

/// Sends a player to where all its requests carry `ticket`. Relative, as the edge does not know what proxies make of its
/// address; `from_ticket` says that the player is at an address with a ticket, which is not for this stream.
fn ticketed(stream: StreamId, ticket: &str, from_ticket: bool) -> Response {
    let up = if from_ticket { "../../../.." } else { "../.." };
    let location = format!("{up}/v/{ticket}/live/{stream}/master.m3u8");
    let headers = [(LOCATION, location), (CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
}

/// The last segment of a rendition, whole or not.
pub(crate) fn newest(track: &Track) -> Option<Msn> {
    track.segments.back().map(|segment| segment.msn)
}

/// Half a target duration: RFC 8216bis §B.1.
fn plain(timeline: &Timeline) -> Cache {
    Cache::Seconds((timeline.target_duration / 2).max(1))
}
