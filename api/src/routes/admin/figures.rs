//! `GET /api/admin/figures`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use uuid::Uuid;

use crate::app::Streams;
use crate::auth::Admin;
use crate::error::Error;

/// How the platform does. What nobody measures yet is null, and not guessed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    live_streams: i64,
    viewers: i64,
    /// The most watched.
    streams: Vec<Watched>,
    /// From the camera to the screen, on average: players do not report theirs.
    mean_latency_ms: Option<f64>,
    /// The share of the last 30 days in which publishers were let in: nothing keeps it.
    rtmp_uptime: Option<f64>,
    /// Of those who were offered a subscription, the share that bought one: there are none.
    conversion: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Watched {
    id: Uuid,
    title: String,
    username: String,
    viewers: i32,
}

/// What there is to see of the platform as a whole, some seconds old.
pub(crate) async fn figures(State(streams): State<Arc<Streams>>, _: Admin) -> Result<Json<Figures>, Error> {
    let all = sqlx::query!(
        r#"select count(*) as "streams!", coalesce(sum(viewer_count), 0) as "viewers!" from streams where is_live"#
    )
    .fetch_one(&streams.database)
    .await?;
    let most_watched = sqlx::query_as!(
        Watched,
        r#"select s.id, s.title, u.username, s.viewer_count as viewers
           from streams s join users u on u.id = s.user_id
           where s.is_live order by s.viewer_count desc, s.id desc limit 100"#
    )
    .fetch_all(&streams.database)
    .await?;
    Ok(Json(Figures {
        live_streams: all.streams,
        viewers: all.viewers,
        streams: most_watched,
        mean_latency_ms: None,
        rtmp_uptime: None,
        conversion: None,
    }))
}
