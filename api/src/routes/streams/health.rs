//! `GET /api/streams/:id/health`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use caudal_livestream::record::{MediaInfo, Phase};
use caudal_livestream::{StreamId, UnixMillis};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Streams;
use crate::error::Error;
use crate::stream::{OwnedStream, PhaseName, StreamPath};

/// How a stream stands, for its owner.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    #[schema(value_type = PhaseName)]
    phase: Phase,
    /// What the router measures, or wrote to the record when it last changed; null while nobody publishes.
    ingest: Option<Ingest>,
    /// Names, the source first.
    renditions: Vec<String>,
    /// What it waits for, or why it ended.
    reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Ingest {
    /// In bits a second.
    bitrate: u64,
    fps: f64,
    keyframe_interval_ms: Option<u32>,
    width: Option<u32>,
    height: Option<u32>,
    video_codec: Option<String>,
    audio_codec: Option<String>,
    encoder: Option<String>,
    b_frames: Option<bool>,
    dropped_frames: u64,
    connected_at: Option<DateTime<Utc>>,
}

impl From<MediaInfo> for Ingest {
    fn from(media: MediaInfo) -> Self {
        Self {
            bitrate: media.bitrate,
            fps: f64::from(media.fps_milli) / 1000.0,
            keyframe_interval_ms: media.keyframe_interval_ms,
            width: media.width,
            height: media.height,
            video_codec: media.video_codec,
            audio_codec: media.audio_codec,
            encoder: media.encoder,
            b_frames: media.b_frames,
            dropped_frames: media.dropped_frames,
            connected_at: media.connected_at.and_then(|UnixMillis(at)| DateTime::from_timestamp_millis(at)),
        }
    }
}

/// What the streamer's page shows while live.
#[utoipa::path(
    get, path = "/api/streams/{id}/health", security(("owner" = [])),
    params(StreamPath),
    responses(
        (status = 200, body = Health),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn health(
    State(streams): State<Arc<Streams>>,
    OwnedStream(stream): OwnedStream,
) -> Result<Json<Health>, Error> {
    let Some(live) = streams.control.inspect(StreamId(stream.id)) else {
        // Nothing of it exists: no publisher came yet, or all is over.
        let phase = if stream.ended_at.is_some() { Phase::Ended } else { Phase::Pending };
        return Ok(Json(Health { phase, ingest: None, renditions: Vec::new(), reason: None }));
    };
    let over = live.status.phase.is_over();
    let measured = if over { None } else { streams.figures.of(&live).await };
    let rungs = live.spec.renditions.iter().map(|rung| rung.name.to_string());
    Ok(Json(Health {
        phase: live.status.phase,
        ingest: measured.or_else(|| live.status.media.clone()).map(Ingest::from),
        renditions: std::iter::once("source".to_owned()).chain(rungs).collect(),
        reason: live.status.reason.clone(),
    }))
}
