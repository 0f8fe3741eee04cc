//! A broadcast's spec as the parts of the platform know it, and as it stands in a resource.

use caudal_livestream::StreamId;
use caudal_livestream::admission::{BroadcastHints, LadderRung};
use caudal_livestream::record::{self, DesiredState, DropPublisher, MediaInfo, RelayFailures};
use thiserror::Error;

use super::words::{duration, duration_ms, micro_time, unix_millis};
use super::{
    DropOrder, Hints, Ingest, LiveStreamSpec, Media, Relay, Rung, default_pool, default_ttl, default_window,
};

/// What a resource that was created as ended, by nobody who knew more than its id, does not say.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("spec.channel or spec.ingest is missing")]
pub struct Incomplete;

impl LiveStreamSpec {
    /// As a router creates it.
    pub fn of(spec: &record::Spec) -> Self {
        Self {
            stream: spec.stream,
            channel: Some(spec.channel.clone()),
            title: spec.title.clone(),
            access: spec.access,
            pool: spec.pool.clone().unwrap_or_else(default_pool),
            renditions: spec.renditions.iter().map(Rung::from).collect(),
            latency_mode: spec.latency_mode,
            reconnect_window: duration(spec.reconnect_window_ms),
            record: spec.record,
            hints: spec.hints.map(Hints::from),
            ttl_seconds_after_ended: default_ttl(),
            desired_state: spec.desired_state,
            end_reason: spec.end_reason,
            drop: spec.drop.as_ref().map(DropOrder::from),
            key_revoked: spec.key_revoked,
            ingest: Some(Ingest::from(&spec.ingest)),
        }
    }

    /// A broadcast that is to end, and that no router has created.
    pub fn ended(stream: StreamId) -> Self {
        Self {
            stream,
            channel: None,
            title: String::new(),
            access: caudal_livestream::admission::Access::default(),
            pool: default_pool(),
            renditions: Vec::new(),
            latency_mode: caudal_livestream::admission::LatencyMode::default(),
            reconnect_window: default_window(),
            record: false,
            hints: None,
            ttl_seconds_after_ended: default_ttl(),
            desired_state: DesiredState::Ended,
            end_reason: None,
            drop: None,
            key_revoked: false,
            ingest: None,
        }
    }

    /// As the parts of the platform know it.
    ///
    /// # Errors
    /// [`Incomplete`] for one that was ended before it was created.
    pub fn to_record(&self) -> Result<record::Spec, Incomplete> {
        let (Some(channel), Some(ingest)) = (&self.channel, &self.ingest) else { return Err(Incomplete) };
        Ok(record::Spec {
            stream: self.stream,
            channel: channel.clone(),
            title: self.title.clone(),
            access: self.access,
            pool: Some(self.pool.clone()),
            renditions: self.renditions.iter().map(LadderRung::from).collect(),
            latency_mode: self.latency_mode,
            reconnect_window_ms: duration_ms(self.reconnect_window),
            record: self.record,
            hints: self.hints.map(BroadcastHints::from),
            desired_state: self.desired_state,
            end_reason: self.end_reason,
            drop: self.drop.as_ref().map(DropPublisher::from),
            key_revoked: self.key_revoked,
            ingest: ingest.into(),
        })
    }
}

impl From<&LadderRung> for Rung {
    fn from(rung: &LadderRung) -> Self {
        Self { name: rung.name.clone(), height: rung.height, bitrate: rung.bitrate }
    }
}

impl From<&Rung> for LadderRung {
    fn from(rung: &Rung) -> Self {
        Self { name: rung.name.clone(), height: rung.height, bitrate: rung.bitrate }
    }
}

impl From<BroadcastHints> for Hints {
    fn from(hints: BroadcastHints) -> Self {
        let BroadcastHints { keyframe_ms, max_frame_ms, fps_milli } = hints;
        Self { keyframe_ms, max_frame_ms, fps_milli }
    }
}

impl From<Hints> for BroadcastHints {
    fn from(hints: Hints) -> Self {
        let Hints { keyframe_ms, max_frame_ms, fps_milli } = hints;
        Self { keyframe_ms, max_frame_ms, fps_milli }
    }
}

impl From<&DropPublisher> for DropOrder {
    fn from(drop: &DropPublisher) -> Self {
        Self { session: drop.session, reason: drop.reason.clone() }
    }
}

impl From<&DropOrder> for DropPublisher {
    fn from(drop: &DropOrder) -> Self {
        Self { session: drop.session, reason: drop.reason.clone() }
    }
}

impl From<&record::Ingest> for Ingest {
    fn from(ingest: &record::Ingest) -> Self {
        Self {
            session: ingest.session,
            generation: ingest.generation,
            router: ingest.router.clone(),
            key_hash: ingest.key_hash.clone(),
            relay: ingest.relay.map(|relay| Relay {
                epoch: relay.epoch,
                session: relay.session,
                failures: relay.failures,
                last_failed_at: micro_time(relay.last_failed_at),
            }),
            refused: ingest.refused.clone(),
        }
    }
}

impl From<&Ingest> for record::Ingest {
    fn from(ingest: &Ingest) -> Self {
        Self {
            session: ingest.session,
            generation: ingest.generation,
            router: ingest.router.clone(),
            key_hash: ingest.key_hash.clone(),
            relay: ingest.relay.as_ref().map(|relay| RelayFailures {
                epoch: relay.epoch,
                session: relay.session,
                failures: relay.failures,
                last_failed_at: unix_millis(&relay.last_failed_at),
            }),
            refused: ingest.refused.clone(),
        }
    }
}

impl From<&MediaInfo> for Media {
    fn from(media: &MediaInfo) -> Self {
        Self {
            bitrate: media.bitrate,
            fps_milli: media.fps_milli,
            keyframe_interval_ms: media.keyframe_interval_ms,
            width: media.width,
            height: media.height,
            video_codec: media.video_codec.clone(),
            audio_codec: media.audio_codec.clone(),
            encoder: media.encoder.clone(),
            b_frames: media.b_frames,
            dropped_frames: media.dropped_frames,
            connected_at: media.connected_at.map(micro_time),
        }
    }
}

impl From<&Media> for MediaInfo {
    fn from(media: &Media) -> Self {
        Self {
            bitrate: media.bitrate,
            fps_milli: media.fps_milli,
            keyframe_interval_ms: media.keyframe_interval_ms,
            width: media.width,
            height: media.height,
            video_codec: media.video_codec.clone(),
            audio_codec: media.audio_codec.clone(),
            encoder: media.encoder.clone(),
            b_frames: media.b_frames,
            dropped_frames: media.dropped_frames,
            connected_at: media.connected_at.as_ref().map(unix_millis),
        }
    }
}
