//! The controller's way to workers, over HTTP.

use caudal_controller::{Announcement, Announcements, LinkLost, NotAssigned, WorkerLink};
use caudal_livestream::assignment::Floor;
use caudal_livestream::feed::{Event, Frame};
use caudal_livestream::proof::{Proof, SignedAssignment};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::timeline::Timeline;
use futures::future::BoxFuture;

use crate::{AssignError, Feed, FeedRenditions, WorkerClient};

impl WorkerLink for WorkerClient {
    fn assign<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        assignment: &'a SignedAssignment,
    ) -> BoxFuture<'a, Result<(), NotAssigned>> {
        Box::pin(async move {
            WorkerClient::assign(self, worker, assignment).await.map_err(|error| match error {
                AssignError::Unreachable(_) | AssignError::Refused(EXPIRED) => {
                    NotAssigned::AskAgain(error.to_string())
                }
                AssignError::Conflict | AssignError::Refused(_) => NotAssigned::Refused(error.to_string()),
            })
        })
    }

    fn follow<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        proof: &'a Proof,
    ) -> BoxFuture<'a, Result<Box<dyn Announcements>, LinkLost>> {
        Box::pin(async move {
            let feed = self.feed(worker, proof, FeedRenditions::None).await;
            let feed = feed.map_err(|error| LinkLost(error.to_string()))?;
            let announcements: Box<dyn Announcements> =
                Box::new(AnnouncementsOfFeed { feed, timeline: None });
            Ok(announcements)
        })
    }
}

/// A feed without media, of which only the end of everything announced is kept.
struct AnnouncementsOfFeed {
    feed: Feed,
    timeline: Option<Timeline>,
}

impl Announcements for AnnouncementsOfFeed {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Announcement>, LinkLost>> {
        Box::pin(async move {
            match self.feed.next().await {
                Ok(Some(Frame::Event(Event::End))) => Ok(Some(Announcement::End)),
                Ok(Some(Frame::Event(Event::Input(state)))) => Ok(Some(Announcement::Input(state))),
                Ok(Some(Frame::Event(event))) => self.take(&event),
                Ok(Some(Frame::Bytes(_))) => Ok(Some(Announcement::Alive)),
                Ok(None) => Ok(None),
                Err(error) => Err(LinkLost(error.to_string())),
            }
        })
    }
}

impl AnnouncementsOfFeed {
    fn take(&mut self, event: &Event) -> Result<Option<Announcement>, LinkLost> {
        match (event, &mut self.timeline) {
            (Event::Snapshot(whole), _) => self.timeline = Some(whole.as_ref().clone()),
            (event, Some(timeline)) => timeline.apply(event).map_err(|error| {
                tracing::warn!(%error, "a worker's feed does not follow");
                LinkLost(error.to_string())
            })?,
            // Nothing but heartbeats comes before the first snapshot.
            (_, None) => {}
        }
        Ok(Some(self.floor().map_or(Announcement::Alive, Announcement::Floor)))
    }

    /// The end of everything announced.
    fn floor(&self) -> Option<Floor> {
        let lasts =
            self.timeline.iter().flat_map(|timeline| &timeline.tracks).filter_map(|t| t.segments.back());
        lasts
            .map(|last| Floor {
                msn: last.msn,
                discontinuity: last.discontinuity,
                media_end: last.start.plus(last.duration),
            })
            .max_by_key(|floor| (floor.msn, floor.media_end))
    }
}

/// 410: the worker reads the clock as later than `expires`.
const EXPIRED: u16 = 410;
