//! The lifecycle as the api uses it: patches that the operator heeds.

use std::sync::Arc;
use std::time::Duration;

use caudal_kubernetes::calls::{Failure, call};
use caudal_kubernetes::names;
use caudal_livestream::lifecycle::MoveRefusal;
use caudal_livestream::record::{LiveStream, Phase, Status};
use caudal_livestream::report::EndReason;
use caudal_livestream::{StreamId, WorkerId};
use futures::future::BoxFuture;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::wanted::{Fresh, Step, asked_to_move, dropped, ended, revoked};
use super::{KubernetesDirectory, Shared};
use crate::{MoveError, Moved, StreamControl, StreamDirectory as _, Unavailable};

impl Shared {
    async fn move_stream(&self, stream: StreamId) -> Result<Moved, MoveError> {
        let began = Instant::now();
        let id = Uuid::now_v7().to_string();
        let mut streams = self.streams.subscribe();
        let from = self
            .carry_out(stream, Fresh::WhereUnknown, |known| -> Result<Step<WorkerId>, MoveError> {
                let known = known.ok_or(MoveError::Unknown)?;
                let record = known.to_record().map_err(|_| MoveError::Unknown)?;
                let from = serving(&record.status)?;
                Ok(match asked_to_move(known, &id) {
                    Step::Done(()) => Step::Done(from),
                    Step::Write(write) => Step::Write(write),
                })
            })
            .await?;
        let moved = streams.wait_for(|streams| {
            let status = streams.get(&stream).map(|record| &record.status);
            status.is_none_or(|status| {
                status.phase.is_over() || status.worker.is_some_and(|worker| worker.worker != from)
            })
        });
        let late = || MoveError::Unavailable(LATE.to_owned());
        let streams = timeout(MOVED_WITHIN, moved).await.map_err(|_| late())?.map_err(|_| late())?;
        let status = streams.get(&stream).map(|record| &record.status).ok_or(MoveError::Unknown)?;
        match status.worker.filter(|_| !status.phase.is_over()) {
            Some(to) => Ok(Moved {
                from,
                to: to.worker,
                epoch: status.epoch,
                stepped_in: false,
                took: began.elapsed(),
            }),
            None => Err(MoveError::Unavailable("the broadcast has ended meanwhile".to_owned())),
        }
    }

    async fn is_certainly_missing(&self, stream: StreamId) -> bool {
        // The watch's connection may have been cut off without anybody knowing yet.
        let asked = call(self.api.get_metadata(&names::live_stream(stream))).await;
        matches!(asked, Err(Failure::NotFound))
    }
}

/// The worker that could hand over.
fn serving(status: &Status) -> Result<WorkerId, MoveRefusal> {
    if let Some(next) = status.next {
        return Err(MoveRefusal::UnderWay(next.epoch));
    }
    let worker = status.worker.ok_or(MoveRefusal::NoWorker);
    match status.phase {
        Phase::Ending | Phase::Ended | Phase::Failed => Err(MoveRefusal::Over),
        Phase::Pending => Err(MoveRefusal::NoWorker),
        Phase::Starting => Err(MoveRefusal::NotStarted),
        Phase::Reconnecting => Err(MoveRefusal::NoPublisher),
        Phase::Live | Phase::Unknown => Ok(worker?.worker),
    }
}

impl StreamControl for KubernetesDirectory {
    fn end(&self, stream: StreamId, reason: EndReason) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let decide = |known: Option<&_>| Ok(ended(known, stream, reason));
            self.shared.carry_out(stream, Fresh::WhereUnknown, decide).await
        })
    }

    fn drop_publisher(&self, stream: StreamId, reason: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let decide = |known: Option<&_>| Ok(dropped(known, &reason));
            self.shared.carry_out(stream, Fresh::WhereUnknown, decide).await
        })
    }

    fn revoke_key(&self, stream: StreamId) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let decide = |known: Option<&_>| Ok(revoked(known));
            self.shared.carry_out(stream, Fresh::WhereUnknown, decide).await
        })
    }

    fn move_stream(&self, stream: StreamId) -> BoxFuture<'_, Result<Moved, MoveError>> {
        Box::pin(self.shared.move_stream(stream))
    }

    fn inspect(&self, stream: StreamId) -> Option<Arc<LiveStream>> {
        self.get(stream)
    }

    fn running(&self) -> Vec<Arc<LiveStream>> {
        self.shared.streams.borrow().values().cloned().collect()
    }

    fn is_current(&self) -> bool {
        self.shared.replica().is_current()
    }

    fn is_missing(&self, stream: StreamId) -> bool {
        self.shared.replica().is_missing(stream)
    }

    fn is_certainly_missing(&self, stream: StreamId) -> BoxFuture<'_, bool> {
        Box::pin(self.shared.is_certainly_missing(stream))
    }
}

/// As long as a move takes that is begun anew once.
const MOVED_WITHIN: Duration = Duration::from_secs(80);
const LATE: &str =
    "the stream has not moved within 80 s; the operator's log and the LiveStream's events say why";
