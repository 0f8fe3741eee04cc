//! Where assignments are handed in: checked, claimed, and passed on to whoever carries them out.

use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use axum::http::StatusCode;
use caudal_livestream::assignment::{Assignment, AssignmentMode};
use caudal_livestream::credentials::SealingPublicKey;
use caudal_livestream::proof::{OrderError, Signed, SignedAssignment, SignedRenewal};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::Ownership;
use caudal_livestream::timeline::Track;
use caudal_livestream::{InstallationId, WorkerId};
use caudal_storage::{ClaimError, SealError, SegmentStore};
use ed25519_dalek::VerifyingKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::timeout;

use crate::assignment::{Refusal, Verdict, judge};
use crate::claim::{CLAIM_DEADLINE, EpochClaim, Unclaimed};
use crate::clock::WallClock;
use crate::http::Held;
use crate::input::InputBoard;
use crate::media_memory::MediaMemory;
use crate::salvage::Before;
use crate::session::Order;
use crate::storage_credentials::StorageCredentials;

/// Takes assignments, one after the other.
pub(crate) struct AssignmentDesk {
    pub(crate) worker: WorkerId,
    /// Several while the controller's key is changed.
    pub(crate) controller: Vec<VerifyingKey>,
    pub(crate) address: WorkerAddress,
    pub(crate) store: SegmentStore,
    /// What comes with assignments for the store; none where that has credentials of its own.
    pub(crate) credentials: Option<Arc<StorageCredentials>>,
    /// Whether there is an ffmpeg.
    pub(crate) encodes: bool,
    pub(crate) taken: Mutex<Option<Taken>>,
    /// What the HTTP side shows, from before the assignment is acknowledged.
    pub(crate) held: watch::Sender<Option<Held>>,
    /// What the RTMP side lets in, from then too.
    pub(crate) assigned: watch::Sender<Option<Arc<Assignment>>>,
    pub(crate) board: InputBoard,
    pub(crate) start: mpsc::Sender<Begun>,
}

/// What the worker has.
pub(crate) struct Taken {
    assignment: Arc<Assignment>,
    orders: mpsc::Sender<Order>,
}

/// An assignment that was taken. Its epoch is claimed, unless it is one to get ready.
pub(crate) struct Begun {
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) before: Option<Before>,
    pub(crate) owner: Ownership,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) memory: Arc<StdMutex<MediaMemory>>,
}

/// Why an assignment is refused.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Unsigned(#[from] OrderError),
    #[error(transparent)]
    Judged(#[from] Refusal),
    #[error(transparent)]
    Unclaimed(#[from] Unclaimed),
    #[error(transparent)]
    Sealed(#[from] SealError),
    #[error("no storage credentials came with the assignment, and the worker has none of its own")]
    NoCredentials,
    #[error("it has no ffmpeg, so the stream would lose its renditions")]
    CannotEncode,
    #[error("the worker ends")]
    Leaving,
}

impl Refused {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unsigned(OrderError::BadSignature) => StatusCode::FORBIDDEN,
            Self::Unsigned(_) | Self::Sealed(_) => StatusCode::BAD_REQUEST,
            Self::Judged(refusal) => refusal.status(),
            Self::Unclaimed(Unclaimed::Claim(ClaimError::Taken(_)) | Unclaimed::Behind(_)) => {
                StatusCode::CONFLICT
            }
            Self::Unclaimed(_) | Self::NoCredentials | Self::CannotEncode | Self::Leaving => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

impl AssignmentDesk {
    /// The order, and the key that it is signed with.
    fn verified<T>(&self, signed: &Signed<T>) -> Result<(T, VerifyingKey), OrderError>
    where
        T: Serialize + DeserializeOwned,
    {
        for key in &self.controller {
            match signed.verify(key) {
                Ok(offered) => return Ok((offered, *key)),
                Err(OrderError::BadSignature) => {}
                Err(error) => return Err(error),
            }
        }
        Err(OrderError::BadSignature)
    }

    /// Checks an assignment and does what it says; returns once its epoch is claimed, or everything is ready for that.
    pub(crate) async fn take(&self, signed: &SignedAssignment) -> Result<(), Refused> {
        let (offered, signer) = self.verified(signed)?;
        let mut taken = self.taken.lock().await;
        let held = taken.as_ref().map(|taken| taken.assignment.as_ref());
        // Not the worker's own clock: the controller reads the machine's, and that may have been set since the start.
        let verdict = judge(self.worker, held, &offered, WallClock::start().now())?;
        self.take_credentials(&offered, verdict)?;
        match verdict {
            Verdict::Same => Ok(()),
            Verdict::End => match taken.as_ref() {
                Some(taken) => taken.orders.send(Order::Finish).await.map_err(|_| Refused::Leaving),
                None => Ok(()),
            },
            Verdict::GoLive => match taken.as_mut() {
                Some(taken) => {
                    let order = Order::Live(offered.floor);
                    taken.orders.send(order).await.map_err(|_| Refused::Leaving)?;
                    taken.assignment = Arc::new(offered);
                    Ok(())
                }
                None => Ok(()),
            },
            Verdict::Take => {
                let installation = InstallationId::of(&signer);
                let owner = Ownership { installation, record: offered.record };
                let before = if offered.mode == AssignmentMode::Prepare {
                    self.ready_for(&offered).await?;
                    None
                } else {
                    let (store, floor) = (&self.store, offered.floor);
                    EpochClaim { store, address: self.address, assignment: &offered, owner, floor }
                        .make()
                        .await?
                };
                let assignment = Arc::new(offered);
                // Full when the session is busy; then a new feed waits.
                let (orders_in, orders) = mpsc::channel(ORDER_QUEUE);
                *taken = Some(Taken { assignment: Arc::clone(&assignment), orders: orders_in.clone() });
                let memory = Arc::new(StdMutex::new(MediaMemory::new(PARTS_KEPT_AT_FIRST, MAX_MEDIA_MEMORY)));
                self.held.send_replace(Some(Held {
                    assignment: Arc::clone(&assignment),
                    orders: orders_in,
                    memory: Arc::clone(&memory),
                    board: self.board.clone(),
                }));
                if assignment.mode != AssignmentMode::Finish {
                    self.assigned.send_replace(Some(Arc::clone(&assignment)));
                }
                self.start
                    .send(Begun { assignment, before, owner, orders, memory })
                    .await
                    .map_err(|_| Refused::Leaving)
            }
        }
    }

    /// What storage credentials are to be sealed to, where the worker waits for some.
    pub(crate) fn key(&self) -> Option<SealingPublicKey> {
        self.credentials.as_ref().map(|credentials| credentials.key())
    }

    /// Takes new storage credentials for the assignment that the worker has.
    pub(crate) fn renew(&self, signed: &SignedRenewal) -> Result<(), Refused> {
        let (order, _) = self.verified(signed)?;
        if order.worker != self.worker {
            return Err(Refusal::NotForMe.into());
        }
        let held = self.held.borrow().as_ref().map(|held| Arc::clone(&held.assignment));
        let held = held.ok_or(Refusal::NoStream)?;
        if order.stream != held.stream {
            return Err(Refusal::OtherStream.into());
        }
        if order.epoch != held.epoch {
            return Err(Refusal::OtherEpoch(held.epoch.0).into());
        }
        match &self.credentials {
            Some(credentials) => Ok(credentials.take(&order.renewed, order.recipient())?),
            None => Ok(()),
        }
    }

    /// Before storage is asked anything.
    fn take_credentials(&self, offered: &Assignment, verdict: Verdict) -> Result<(), Refused> {
        match (&self.credentials, &offered.credentials) {
            (Some(credentials), Some(sealed)) => Ok(credentials.take(sealed, offered.recipient())?),
            // Later orders go to a worker that has some, and has them renewed.
            (Some(_), None) if verdict == Verdict::Take => Err(Refused::NoCredentials),
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// What is wrong with this worker would show itself when the old one is gone: a storage that it cannot read or write, or
    /// no ffmpeg for a stream that has renditions.
    async fn ready_for(&self, offered: &Assignment) -> Result<(), Refused> {
        let stream = offered.stream;
        let tried = async {
            let claims = self.store.claims(stream).await?;
            self.store.prove_writable(stream).await?;
            Ok::<_, Unclaimed>(claims.filled.and_then(|state| state.filled))
        };
        let filled = timeout(CLAIM_DEADLINE, tried).await.map_err(|_| Unclaimed::Deadline)??;
        let is_encoded =
            |track: &Track| !track.withdrawn && offered.ladder.iter().any(|rung| rung.name == track.name);
        if !self.encodes && filled.is_some_and(|filled| filled.timeline.tracks.iter().any(is_encoded)) {
            return Err(Refused::CannotEncode);
        }
        Ok(())
    }
}

const ORDER_QUEUE: usize = 32;
/// Until the target duration is known: six times the longest.
const PARTS_KEPT_AT_FIRST: Duration = Duration::from_mins(1);
/// With the queue for storage, which shares its bytes, what one stream may hold: a minute of 20 Mb/s and its rungs.
const MAX_MEDIA_MEMORY: usize = 384 * 1024 * 1024;
