//! `GET /api/admin/figures`

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use caudal_livestream::StreamId;
use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::Streams;
use crate::auth::Admin;
use crate::billing;
use crate::error::Error;
use crate::rtmp_door;

/// How the platform does. What nobody measures yet is null, and not guessed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    live_streams: i64,
    viewers: i64,
    /// The most watched.
    streams: Vec<Watched>,
    /// From receiving a picture to its viewers' screens, the mean of all whose players told it in the last 45 seconds.
    mean_latency_ms: Option<u64>,
    /// The share of the last 30 days' probes, of 1, that found that publishers can come in.
    rtmp_uptime: Option<f64>,
    /// Of those who were offered a subscription in the last 30 days, the share that bought one, of 1. Null where nobody was.
    conversion: Option<f64>,
}

/// A live stream, by how many watch it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WatchedStream)]
pub(crate) struct Watched {
    id: Uuid,
    title: String,
    username: String,
    viewers: i32,
    /// As of the platform, of this stream's viewers.
    mean_latency_ms: Option<u64>,
}

/// What there is to see of the platform as a whole, some seconds old.
#[utoipa::path(
    get, path = "/api/admin/figures", security(("admin" = [])),
    responses((status = 200, body = Figures)),
)]
pub(crate) async fn figures(State(streams): State<Arc<Streams>>, _: Admin) -> Result<Json<Figures>, Error> {
    let all = sqlx::query!(
        r#"select count(*) as "streams!", coalesce(sum(viewer_count), 0) as "viewers!" from streams where is_live"#
    )
    .fetch_one(&streams.database)
    .await?;
    let most_watched = sqlx::query!(
        r#"select s.id, s.title, u.username, s.viewer_count as viewers
           from streams s join users u on u.id = s.user_id
           where s.is_live order by s.viewer_count desc, s.id desc limit 100"#
    )
    .fetch_all(&streams.database)
    .await?;
    let (presence, now) = (streams.audience.presence(), Instant::now());
    let most_watched = most_watched.into_iter().map(|row| Watched {
        id: row.id,
        title: row.title,
        username: row.username,
        viewers: row.viewers,
        mean_latency_ms: presence.latencies(StreamId(row.id), now).mean_ms(),
    });
    Ok(Json(Figures {
        live_streams: all.streams,
        viewers: all.viewers,
        streams: most_watched.collect(),
        mean_latency_ms: presence.all_latencies(now).mean_ms(),
        rtmp_uptime: rtmp_door::uptime(&streams.database, Utc::now()).await?,
        conversion: billing::conversion(&streams.database).await?,
    }))
}
