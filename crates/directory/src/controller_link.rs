//! The controller's way to workers, over HTTP.

use caudal_controller::{Announcement, Announcements, LinkLost, NotAssigned, WorkerLink};
use caudal_livestream::credentials::SealingPublicKey;
use caudal_livestream::proof::{Proof, SignedAssignment, SignedRenewal};
use caudal_livestream::record::WorkerAddress;
use futures::future::BoxFuture;

use crate::{AssignError, ControlEvent, ControlFeed, FeedLost, WorkerClient, WorkerUnreachable};

impl WorkerLink for WorkerClient {
    fn assign<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        assignment: &'a SignedAssignment,
    ) -> BoxFuture<'a, Result<(), NotAssigned>> {
        Box::pin(async move {
            WorkerClient::assign(self, worker, assignment).await.map_err(|error| not_assigned(&error))
        })
    }

    fn key<'a>(
        &'a self,
        worker: &'a WorkerAddress,
    ) -> BoxFuture<'a, Result<Option<SealingPublicKey>, NotAssigned>> {
        Box::pin(
            async move { WorkerClient::key(self, worker).await.map_err(|error| not_assigned(&error.into())) },
        )
    }

    fn renew<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        renewal: &'a SignedRenewal,
    ) -> BoxFuture<'a, Result<(), NotAssigned>> {
        Box::pin(async move {
            WorkerClient::renew(self, worker, renewal).await.map_err(|error| not_assigned(&error))
        })
    }

    fn follow<'a>(
        &'a self,
        worker: &'a WorkerAddress,
        proof: &'a Proof,
    ) -> BoxFuture<'a, Result<Box<dyn Announcements>, LinkLost>> {
        Box::pin(async move {
            let feed = self.control_feed(worker, proof).await;
            let feed: Box<dyn Announcements> = Box::new(feed.map_err(|error| LinkLost(error.to_string()))?);
            Ok(feed)
        })
    }
}

fn not_assigned(error: &AssignError) -> NotAssigned {
    match error {
        AssignError::Unreachable(WorkerUnreachable::Unconnected { .. }) => {
            NotAssigned::Unconnected(error.to_string())
        }
        AssignError::Unreachable(_)
        | AssignError::Unable(_)
        | AssignError::Refused { status: EXPIRED, .. } => NotAssigned::Unsettled(error.to_string()),
        AssignError::Conflict(_) | AssignError::Refused { .. } => NotAssigned::Refused(error.to_string()),
    }
}

impl Announcements for ControlFeed {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Announcement>, LinkLost>> {
        Box::pin(async move {
            let event = match ControlFeed::next(self).await {
                Err(FeedLost::Closed) => return Ok(Some(Announcement::Closed)),
                event => event.map_err(|error| LinkLost(error.to_string()))?,
            };
            Ok(event.map(|event| match event {
                ControlEvent::Input(state) => Announcement::Input(state),
                ControlEvent::Floor(floor) => Announcement::Floor(floor),
                ControlEvent::Reached(floor) => Announcement::Reached(floor),
                ControlEvent::Heartbeat => Announcement::Alive,
                ControlEvent::End => Announcement::End,
            }))
        })
    }
}

/// 410: the worker reads the clock as later than `expires`.
const EXPIRED: u16 = 410;
