//! A router with one publisher, whose stream goes from worker to worker.

use std::sync::Arc;
use std::time::Duration;

use caudal_media::flv::{FlvTag, TagKind};
use caudal_rtmp::{RelayError, RelayPublisher};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::publisher::{Encoder, Sent, is_header, is_keyframe, send};
use super::{Broadcast, Worker};

/// What becomes of the relay that is switched from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OldRelay {
    IsHandedOver,
    Breaks,
    /// It broke already: the next one begins at once, with the replay.
    IsReplayed,
}

/// A router with one publisher, which goes over to another relay at the next keyframe.
pub struct Router {
    switch: mpsc::Sender<(RelayPublisher<TcpStream>, OldRelay)>,
    /// The worker has dropped the relay.
    pub refused: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Router {
    pub fn start(relay: RelayPublisher<TcpStream>) -> Self {
        let (switch, switches) = mpsc::channel(1);
        let refused = Arc::new(Notify::new());
        Self { switch, task: tokio::spawn(route(relay, switches, Arc::clone(&refused))), refused }
    }

    pub async fn switch(&self, to: RelayPublisher<TcpStream>, old: OldRelay) {
        self.switch.send((to, old)).await.unwrap();
    }

    /// Waits until the worker drops the relay, and opens another one.
    pub async fn replays_to(&self, broadcast: &Broadcast, worker: &Worker) {
        timeout(Duration::from_secs(10), self.refused.notified()).await.expect("it asks for the replay");
        self.switch(broadcast.publish(worker, 2).await, OldRelay::IsReplayed).await;
    }

    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn route(
    mut relay: RelayPublisher<TcpStream>,
    mut switches: mpsc::Receiver<(RelayPublisher<TcpStream>, OldRelay)>,
    refused: Arc<Notify>,
) {
    let mut encoder = Encoder::start();
    let mut headers: Vec<FlvTag> = Vec::new();
    let mut sent = Sent::default();
    let mut next = None;
    loop {
        let tags = encoder.tags().await;
        if tags.is_empty() {
            return;
        }
        for tag in tags {
            next = switches.try_recv().ok().or(next);
            if tag.kind == TagKind::Script || is_header(&tag) {
                headers.push(tag.clone());
            }
            if let Some((to, _)) = next.take_if(|(_, old)| *old == OldRelay::IsReplayed) {
                relay = to;
                for tag in sent.replay() {
                    send(&mut relay, &tag);
                }
            }
            sent.keep(&tag);
            if is_keyframe(&tag)
                && let Some((to, old)) = next.take()
            {
                let old_relay = std::mem::replace(&mut relay, to);
                if old == OldRelay::IsHandedOver {
                    tokio::spawn(old_relay.hand_over());
                }
                for header in &headers {
                    send(&mut relay, &FlvTag { timestamp_ms: tag.timestamp_ms, ..header.clone() });
                }
            }
            send(&mut relay, &tag);
        }
        // A worker that was killed takes nothing any more; the next relay comes.
        if let Ok(Err(RelayError::Refused { .. })) = timeout(Duration::from_secs(1), relay.flush()).await {
            refused.notify_one();
        }
    }
}
