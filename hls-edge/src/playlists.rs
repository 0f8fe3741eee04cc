//! `master.m3u8`, `index.m3u8` and `manifest.mpd`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{RenditionName, StreamId};
use caudal_media::{manifest, playlist};
use caudal_storage::{Key, StreamFile};

use crate::answer::{Cache, Refusal, text};
use crate::edge::{Edge, Origin, patience};
use crate::reload::{Reload, decide};
use crate::rendered::Rendered;
use crate::request::Directives;
use crate::routes::{count, viewer};

/// `GET /live/{stream}/master.m3u8`
pub(crate) async fn get_master(
    State(edge): State<Arc<Edge>>,
    Path(stream): Path<String>,
    asked: HeaderMap,
) -> Response {
    let answer = async {
        let stream: StreamId = stream.parse().map_err(|_| Refusal::NotFound)?;
        let (_, origin) = edge.origin(stream)?;
        match origin {
            Origin::Stored => stored(&edge, stream, StreamFile::Master, playlist::CONTENT_TYPE, &asked).await,
            Origin::Live(watched) => {
                let view = edge.stream_view_to_join(&watched).await?;
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
    let response = answer.await.unwrap_or_else(Refusal::into_response);
    count(&edge.metrics, "master", response)
}

/// `GET /live/{stream}/manifest.mpd`
pub(crate) async fn get_manifest(
    State(edge): State<Arc<Edge>>,
    Path(stream): Path<String>,
    asked: HeaderMap,
) -> Response {
    let answer = async {
        let stream: StreamId = stream.parse().map_err(|_| Refusal::NotFound)?;
        let (_, origin) = edge.origin(stream)?;
        match origin {
            Origin::Stored => {
                stored(&edge, stream, StreamFile::Manifest, manifest::CONTENT_TYPE, &asked).await
            }
            Origin::Live(watched) => {
                let view = edge.stream_view_with_a_segment(&watched).await?;
                Ok(text(&view.manifest(), manifest::CONTENT_TYPE, plain(&view.timeline), &asked))
            }
        }
    };
    let response = answer.await.unwrap_or_else(Refusal::into_response);
    count(&edge.metrics, "manifest", response)
}

/// `GET /live/{stream}/{rendition}/index.m3u8?_HLS_msn=&_HLS_part=&_HLS_skip=`
pub(crate) async fn get_media_playlist(
    State(edge): State<Arc<Edge>>,
    Path((stream, rendition)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    asked: HeaderMap,
) -> Response {
    let answer = async {
        let stream: StreamId = stream.parse().map_err(|_| Refusal::NotFound)?;
        let rendition: RenditionName = rendition.parse().map_err(|_| Refusal::NotFound)?;
        let query = query.as_deref().unwrap_or_default();
        let directives = Directives::parse(query)?;
        let (_, origin) = edge.origin(stream)?;
        edge.viewers.saw(stream, viewer(query, peer, &asked), Instant::now());
        match origin {
            Origin::Stored => {
                stored(&edge, stream, StreamFile::Playlist(rendition), playlist::CONTENT_TYPE, &asked).await
            }
            Origin::Live(watched) => {
                let mut receiver = edge.rendition(&watched, &rendition).await?;
                watched.want(&[rendition]);
                let patience = patience(&receiver.borrow().timeline);
                let view = edge
                    .until(&watched, &mut receiver, patience, |view| {
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
                let cache = if directives.until.is_some() { Cache::Shared } else { plain(&view.timeline) };
                Ok(text(&view.playlist(directives.delivery), playlist::CONTENT_TYPE, cache, &asked))
            }
        }
    };
    let response = answer.await.unwrap_or_else(Refusal::into_response);
    count(&edge.metrics, "playlist", response)
}

/// A file of a broadcast that is over, as its last worker left it.
async fn stored(
    edge: &Edge,
    stream: StreamId,
    file: StreamFile,
    content_type: &'static str,
    asked: &HeaderMap,
) -> Result<Response, Refusal> {
    let found = edge.store.get(&Key::Live(stream, file)).await.map_err(|error| {
        tracing::warn!(%stream, %error, "storage");
        Refusal::Unavailable
    })?;
    let data = found.ok_or(Refusal::NotFound)?;
    Ok(text(&Rendered::of(data), content_type, Cache::Seconds(1), asked))
}

/// Half a target duration: RFC 8216bis §B.1.
fn plain(timeline: &Timeline) -> Cache {
    Cache::Seconds((timeline.target_duration / 2).max(1))
}
