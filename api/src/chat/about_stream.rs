//! What a room is told of its stream.

use caudal_livestream::StreamId;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::ChatError;
use super::draft::{Kind, fields_of_event};
use super::hub::Hub;
use crate::account::Streamer;
use crate::stream::Category;

/// That it is over. The room stays open for ten minutes more.
pub(crate) async fn tell_ended(
    hub: &Hub,
    stream: StreamId,
    ended_at: DateTime<Utc>,
    reason: Option<&str>,
) -> Result<(), ChatError> {
    let data = json!({ "streamId": stream, "endedAt": ended_at, "reason": reason });
    hub.log().tell(stream, Kind::StreamEnded, fields_of_event(&data)).await.map(drop)
}

/// What it is called and about now.
pub(crate) async fn tell_updated(
    hub: &Hub,
    stream: StreamId,
    title: &str,
    categories: &[Category],
) -> Result<(), ChatError> {
    let data = json!({ "streamId": stream, "title": title, "categories": categories });
    hub.log().tell(stream, Kind::StreamUpdated, fields_of_event(&data)).await.map(drop)
}

/// That somebody has begun to subscribe to its channel.
pub(crate) async fn tell_new_subscriber(
    hub: &Hub,
    stream: StreamId,
    user: &Streamer,
    tier: &str,
    months: i64,
) -> Result<(), ChatError> {
    let data = json!({ "streamId": stream, "user": user, "tier": tier, "months": months });
    hub.log().tell(stream, Kind::NewSubscriber, fields_of_event(&data)).await.map(drop)
}
