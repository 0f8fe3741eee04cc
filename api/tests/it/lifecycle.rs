//! A lifecycle that remembers what it was told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use caudal_directory::{StreamControl, Unavailable};
use caudal_livestream::admission::LadderRung;
use caudal_livestream::fixtures::spec;
use caudal_livestream::record::{LiveStream, MediaInfo, Phase, Spec, Status};
use caudal_livestream::report::EndReason;
use caudal_livestream::{SessionId, StreamId, UnixMillis};
use futures::future::BoxFuture;
use tokio::sync::watch;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    End(StreamId, EndReason),
    Drop(StreamId),
    Revoke(StreamId),
}

pub(crate) struct Lifecycle {
    orders: watch::Sender<Vec<Order>>,
    streams: Mutex<HashMap<StreamId, Arc<LiveStream>>>,
    away: Mutex<bool>,
}

impl Lifecycle {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { orders: watch::Sender::default(), streams: Mutex::default(), away: Mutex::default() })
    }

    pub(crate) fn orders(&self) -> Vec<Order> {
        self.orders.borrow().clone()
    }

    /// Each order as it was given first: the background may have repeated them meanwhile.
    pub(crate) fn distinct_orders(&self) -> Vec<Order> {
        let mut distinct = Vec::new();
        for order in self.orders() {
            if !distinct.contains(&order) {
                distinct.push(order);
            }
        }
        distinct
    }

    /// Every call fails from now on and what it shows is old, or it works again.
    pub(crate) fn set_away(&self, away: bool) {
        *self.away.lock().unwrap() = away;
    }

    /// The router created the stream.
    pub(crate) fn knows(&self, stream: StreamId, phase: Phase) {
        self.knows_of("ana", stream, phase);
    }

    /// The router created a stream of `channel`.
    pub(crate) fn knows_of(&self, channel: &str, stream: StreamId, phase: Phase) {
        let rung =
            |name: &str, height| LadderRung { name: name.parse().unwrap(), height, bitrate: 1_000_000 };
        let record = LiveStream {
            spec: Spec {
                stream,
                channel: channel.into(),
                title: "Title".into(),
                renditions: vec![rung("720p", 720), rung("480p", 480)],
                record: true,
                ..spec()
            },
            status: Status {
                phase,
                started_at: Some(UnixMillis(1_700_000_000_000)),
                media: Some(MediaInfo {
                    bitrate: 6_000_000,
                    fps_milli: 29_970,
                    keyframe_interval_ms: Some(2_000),
                    width: Some(1920),
                    height: Some(1080),
                    video_codec: Some("H.264".into()),
                    audio_codec: Some("AAC".into()),
                    encoder: Some("obs-output module".into()),
                    b_frames: Some(false),
                    dropped_frames: 3,
                    connected_at: Some(UnixMillis(1_700_000_000_000)),
                }),
                ..Status::default()
            },
        };
        self.streams.lock().unwrap().insert(stream, Arc::new(record));
    }

    /// The router at `url` holds its publisher, whose session this is.
    pub(crate) fn is_published_at(&self, stream: StreamId, url: &str) -> SessionId {
        let mut streams = self.streams.lock().unwrap();
        let ingest = &mut Arc::make_mut(streams.get_mut(&stream).unwrap()).spec.ingest;
        url.clone_into(&mut ingest.router);
        ingest.session
    }

    /// Its record is gone.
    pub(crate) fn forgets(&self, stream: StreamId) {
        self.streams.lock().unwrap().remove(&stream);
    }

    /// The publisher sends no pictures.
    pub(crate) fn hears_sound_alone(&self, stream: StreamId) {
        let mut streams = self.streams.lock().unwrap();
        let record = Arc::make_mut(streams.get_mut(&stream).unwrap());
        record.status.media.as_mut().unwrap().video_codec = None;
    }

    /// Until `order` was given.
    pub(crate) async fn was_told(&self, order: &Order) {
        let mut orders = self.orders.subscribe();
        let told = orders.wait_for(|orders| orders.contains(order));
        tokio::time::timeout(Duration::from_secs(20), told).await.expect("the order never came").unwrap();
    }

    fn take(&self, order: Order) -> Result<(), Unavailable> {
        if *self.away.lock().unwrap() {
            return Err(Unavailable("away".into()));
        }
        self.orders.send_modify(|orders| orders.push(order));
        Ok(())
    }
}

impl StreamControl for Lifecycle {
    fn end(&self, stream: StreamId, reason: EndReason) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.take(Order::End(stream, reason)) })
    }

    fn drop_publisher(&self, stream: StreamId, _: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.take(Order::Drop(stream)) })
    }

    fn revoke_key(&self, stream: StreamId) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.take(Order::Revoke(stream)) })
    }

    fn inspect(&self, stream: StreamId) -> Option<Arc<LiveStream>> {
        self.streams.lock().unwrap().get(&stream).cloned()
    }

    fn running(&self) -> Vec<Arc<LiveStream>> {
        self.streams.lock().unwrap().values().cloned().collect()
    }

    fn is_current(&self) -> bool {
        !*self.away.lock().unwrap()
    }
}
