//! What all requests share, and how they wait.

use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::record::Phase;
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{RenditionName, StreamId};
use caudal_media::lead_in::LeadIn;
use caudal_media::manifest::{self, Reach};
use caudal_service::forwarded::TrustedProxies;
use caudal_service::forwarding::ForwardingNotices;
use caudal_service::origin::Origin;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::answer::Refusal;
use crate::asker::Asker;
use crate::grant::Grant;
use crate::metrics::Metrics;
use crate::rendered::{RenditionView, StreamView};
use crate::stored_files::StoredFiles;
use crate::streams::Streams;
use crate::viewers::Viewers;
use crate::waiting_room::WaitingRoom;
use crate::watched::Watched;

/// Shared by all requests.
pub(crate) struct Edge {
    pub(crate) streams: Arc<Streams>,
    pub(crate) viewers: Arc<Viewers>,
    pub(crate) stored: StoredFiles,
    pub(crate) metrics: Metrics,
    pub(crate) waiting: WaitingRoom,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) forwarding: ForwardingNotices,
    pub(crate) shutdown: CancellationToken,
}

/// Where a stream's answers come from.
pub(crate) enum Source {
    /// From the worker's feed and what is remembered of it.
    Live(Arc<Watched>),
    /// From storage: the broadcast is over.
    Stored,
}

impl Edge {
    /// The stream that `asker` asks for, if the directory knows it and the request may watch it.
    pub(crate) fn grant(&self, stream: StreamId, asker: &Asker) -> Result<Grant, Refusal> {
        Grant::of(&self.streams, stream, asker).ok_or(Refusal::NotFound)
    }

    /// Where the stream's answers come from.
    pub(crate) fn source(&self, grant: &Grant) -> Source {
        if matches!(grant.record().status.phase, Phase::Ended | Phase::Failed) {
            // Whoever watched the end goes on from memory: the same playlist, with ENDLIST.
            self.streams
                .followed(grant.stream())
                .filter(|watched| watched.whole().borrow().is_some())
                .map_or(Source::Stored, Source::Live)
        } else {
            Source::Live(self.streams.follow(grant))
        }
    }

    /// The stream as it stands; waits for its first announcement.
    async fn stream_view(
        &self,
        watched: &Watched,
        address: Option<Origin>,
    ) -> Result<Arc<StreamView>, Refusal> {
        self.stream_view_once(watched, address, |_| true).await
    }

    /// The same, once a player that joins finds something where it begins, `PART-HOLD-BACK` from the end. With a lead-in
    /// that is at once; hls.js takes a gap there for a broken rendition and goes through all others.
    pub(crate) async fn stream_view_to_join(
        &self,
        watched: &Watched,
        address: Option<Origin>,
    ) -> Result<Arc<StreamView>, Refusal> {
        let has_enough = |timeline: &Timeline| {
            let lead = timeline.tracks.first();
            let media: u64 = lead.iter().flat_map(|track| &track.segments).map(|s| s.duration.0).sum();
            let has_lead_in = lead.is_some_and(|track| LeadIn::of(timeline, track).is_some());
            timeline.ended || has_lead_in || media >= timeline.part_hold_back.0
        };
        self.stream_view_once(watched, address, has_enough).await
    }

    /// The same, once a DASH manifest of it has a Period.
    pub(crate) async fn stream_view_with_a_period(
        &self,
        watched: &Watched,
        address: Option<Origin>,
    ) -> Result<Arc<StreamView>, Refusal> {
        let has_period =
            |timeline: &Timeline| timeline.ended || manifest::has_period(timeline, Reach::Finished);
        self.stream_view_once(watched, address, has_period).await
    }

    async fn stream_view_once(
        &self,
        watched: &Watched,
        address: Option<Origin>,
        holds: impl Fn(&Timeline) -> bool,
    ) -> Result<Arc<StreamView>, Refusal> {
        let mut whole = watched.whole();
        let ready = |view: Option<Arc<StreamView>>| view.filter(|view| holds(&view.timeline)).map(Ok);
        self.until(watched, address, &mut whole, STARTING, ready).await
    }

    /// A rendition of it and its changes; waits for the stream's first announcement.
    pub(crate) async fn rendition(
        &self,
        watched: &Watched,
        address: Option<Origin>,
        name: &RenditionName,
    ) -> Result<watch::Receiver<Arc<RenditionView>>, Refusal> {
        self.stream_view(watched, address).await?;
        watched.rendition(name).ok_or(Refusal::NotFound)
    }

    /// Waits for what `receiver` brings until `judge` has an answer, `patience` is over or the stream is gone. A waiting
    /// request takes one of the places of its `address`.
    pub(crate) async fn until<V: Clone, T>(
        &self,
        watched: &Watched,
        address: Option<Origin>,
        receiver: &mut watch::Receiver<V>,
        patience: Duration,
        mut judge: impl FnMut(V) -> Option<Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let deadline = Instant::now() + patience;
        let mut place = None;
        loop {
            let now = receiver.borrow_and_update().clone();
            if let Some(judged) = judge(now) {
                return judged;
            }
            if place.is_none() {
                place = Some(self.waiting.enter(watched, address)?);
            }
            tokio::select! {
                changed = receiver.changed() => if changed.is_err() { return Err(Refusal::NotFound) },
                () = watched.gone.cancelled() => return Err(Refusal::NotFound),
                () = self.shutdown.cancelled() => return Err(Refusal::Busy),
                () = sleep_until(deadline) => return Err(Refusal::Late),
            }
        }
    }
}

/// How long a blocked request waits: RFC 8216bis §6.2.5.2 says three target durations.
pub(crate) fn patience(timeline: &Timeline) -> Duration {
    Duration::from_secs(u64::from(timeline.target_duration)) * 3
}

/// How long the first request of a starting stream waits. Players give a manifest ten seconds or more.
const STARTING: Duration = Duration::from_secs(9);
