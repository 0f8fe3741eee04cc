//! A stream as JSON.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use caudal_livestream::StreamId;
use caudal_livestream::record::Phase;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::{Category, StreamError, StreamRow};
use crate::account::Streamer;
use crate::app::Streams;
use crate::error::Error;
use crate::known_version;

/// What everybody may know of a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Stream)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamView {
    #[schema(value_type = Uuid)]
    id: StreamId,
    user: Streamer,
    title: String,
    description: String,
    categories: Vec<Category>,
    language: Option<String>,
    thumbnail_url: Option<String>,
    /// The HLS master playlist; null while only a playback token opens it.
    stream_url: Option<String>,
    dash_url: Option<String>,
    is_live: bool,
    viewer_count: u32,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    /// The lifecycle's own word, where it knows the stream.
    #[schema(value_type = Option<PhaseName>)]
    phase: Option<Phase>,
    #[serde(skip)]
    revision: i32,
}

/// Where a broadcast stands, in the lifecycle's own word.
#[derive(ToSchema)]
#[schema(as = Phase)]
#[expect(dead_code, reason = "the livestream crate knows nothing of schemas; this says its words")]
pub(crate) enum PhaseName {
    Pending,
    Starting,
    Live,
    Reconnecting,
    Ending,
    Ended,
    Failed,
    Unknown,
}

impl StreamView {
    pub(crate) fn new(streams: &Streams, row: StreamRow) -> Self {
        let id = StreamId(row.id);
        let open_to_all = row.access.is_open_to_all();
        let known = streams.control.inspect(id);
        // A picture is made of nothing but video; before the publisher has said what comes, one is expected.
        let media = known.as_ref().and_then(|stream| stream.status.media.as_ref());
        let sound_only =
            media.is_some_and(|media| media.video_codec.is_none() && media.audio_codec.is_some());
        let thumbnail = || (!sound_only).then(|| streams.urls.thumbnail(id));
        Self {
            id,
            user: Streamer {
                id: row.user_id,
                username: row.username,
                display_name: row.display_name,
                avatar: row.avatar_url,
            },
            title: row.title,
            description: row.description,
            categories: row.categories.0,
            language: row.language,
            // The cover is nobody's secret where the stream is.
            thumbnail_url: row.thumbnail_url.or_else(thumbnail).filter(|_| open_to_all),
            stream_url: open_to_all.then(|| row.stream_url.unwrap_or_else(|| streams.urls.stream(id))),
            dash_url: open_to_all.then(|| streams.urls.dash(id)),
            is_live: row.is_live,
            viewer_count: if row.is_live { streams.audience.viewers(id) } else { 0 },
            started_at: row.started_at,
            ended_at: row.ended_at,
            created_at: row.created_at,
            phase: known.map(|stream| stream.status.phase),
            revision: row.revision,
        }
    }

    /// The answer to a GET: `304` when the reader has exactly this.
    pub(crate) fn unless_known(self, headers: &HeaderMap) -> Response {
        known_version::unless_known(self.into_response(), headers)
    }
}

/// `"{revision}.{hash}"`: the whole for If-None-Match, the part before the dot for If-Match, because a viewer more is no reason to
/// refuse a new title. The hash is of all that is shown, names of people and categories too, which change without a revision.
fn etag(revision: i32, shown: &[u8]) -> String {
    let hash = Sha256::digest(shown);
    format!("\"{revision}.{}\"", hex::encode(hash.get(..12).unwrap_or_default()))
}

impl IntoResponse for StreamView {
    fn into_response(self) -> Response {
        let shown = match serde_json::to_vec(&self) {
            Ok(shown) => shown,
            Err(error) => {
                return Error::Internal(format!("a stream that cannot be shown: {error}")).into_response();
            }
        };
        let tag = etag(self.revision, &shown);
        let about = [
            (header::CONTENT_TYPE, "application/json"),
            (header::ETAG, tag.as_str()),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (about, shown).into_response()
    }
}

/// The revision that If-Match asks for; none when anything will do.
pub(crate) fn wanted_revision(headers: &HeaderMap) -> Result<Option<i32>, StreamError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let value = value.to_str().unwrap_or_default().trim();
    if value == "*" {
        return Ok(None);
    }
    // One tag, as we gave it; a list, or another server's tag, matches nothing of ours.
    let revision = value.trim_start_matches("W/").trim_matches('"').split('.').next();
    revision.and_then(|revision| revision.parse().ok()).map(Some).ok_or(StreamError::Changed)
}
