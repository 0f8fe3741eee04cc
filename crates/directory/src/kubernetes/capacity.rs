//! What a pool has for broadcasts: room, and the qualities that its workers are made for. Routers count for themselves, so several may
//! let in one too many at the same moment; the operator has the last word.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use caudal_kubernetes::watching::News;
use caudal_kubernetes::{LiveStream as Resource, LiveStreamSpec, WorkerPool};
use caudal_livestream::StreamId;
use caudal_livestream::admission::LadderRung;
use caudal_livestream::record::{DesiredState, Spec};
use kube::ResourceExt as _;

use super::replica::Replica;
use crate::OpenError;

/// The pools as they are.
#[derive(Default)]
pub(super) struct Pools {
    known: HashMap<String, Pool>,
    /// Those that are there and cannot be understood, as when an operator of a later release has words for them that this one lacks.
    unreadable: HashSet<String>,
    /// All were told once.
    whole: bool,
    opening: Opening,
}

struct Pool {
    most: u32,
    ladder: Vec<LadderRung>,
}

/// Streams that this router opens just now, and their pools.
type Opening = Arc<Mutex<HashMap<StreamId, String>>>;

/// Room for one stream, while it is opened.
pub(super) struct Place {
    stream: StreamId,
    opening: Opening,
}

impl Pools {
    /// Takes what the watch tells.
    pub(super) fn take(&mut self, news: News<WorkerPool>) {
        match news {
            News::Is(pool) => {
                let ladder = pool.spec.ladder.iter().map(LadderRung::from).collect();
                self.unreadable.remove(&pool.name_any());
                self.known.insert(pool.name_any(), Pool { most: pool.spec.max_workers, ladder });
            }
            News::Gone { name, .. } => {
                self.known.remove(&name);
                self.unreadable.remove(&name);
            }
            News::Whole => self.whole = true,
            // What was known of it still holds.
            News::Unreadable(name) => {
                self.unreadable.insert(name);
            }
            News::Interrupted | News::Resumed => {}
        }
    }

    /// Whether they could not be read yet.
    #[cfg(test)]
    pub(super) fn is_unread(&self) -> bool {
        !self.whole
    }

    /// What the workers of the pool of `spec` make below the source, because nothing else is what their pods are sized for; none where
    /// the pool is not known.
    pub(super) fn ladder(&self, spec: &Spec) -> Option<Vec<LadderRung>> {
        Some(self.known.get(&LiveStreamSpec::of(spec).pool)?.ladder.clone())
    }

    /// Room for the stream of `spec` among those of `replica`. While the pools could not be read, nobody is turned away for them, nor for one
    /// that cannot be understood: the operator may understand it.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoCapacity`] when its pool has none, [`OpenError::NoPool`] when there is no such pool.
    pub(super) fn place(&self, spec: &Spec, replica: &Replica) -> Result<Place, OpenError> {
        let pool = LiveStreamSpec::of(spec).pool;
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        match self.known.get(&pool) {
            None if self.whole && !self.unreadable.contains(&pool) => return Err(OpenError::NoPool(pool)),
            None => {}
            Some(Pool { most, .. }) => {
                let open = replica.resources().filter(|resource| takes_place(resource, &pool)).count();
                let unseen =
                    opening.iter().filter(|(stream, of)| **of == pool && replica.known(**stream).is_none());
                if open + unseen.count() >= usize::try_from(*most).unwrap_or(usize::MAX) {
                    return Err(OpenError::NoCapacity);
                }
            }
        }
        opening.insert(spec.stream, pool);
        Ok(Place { stream: spec.stream, opening: Arc::clone(&self.opening) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.stream);
    }
}

/// Whether a worker of the pool has the stream or will have it. One that is to end before an operator has seen it gets none.
fn takes_place(resource: &Resource, pool: &str) -> bool {
    let is_over = resource.status.as_ref().is_some_and(|status| status.phase.is_over());
    let is_to_end = resource.is_being_deleted() || resource.spec.desired_state == DesiredState::Ended;
    let unseen = resource.status.as_ref().is_none_or(|status| status.observed_generation.is_none());
    let gets_none = is_over || is_to_end && unseen;
    resource.spec.pool == pool && resource.spec.ingest.is_some() && !gets_none
}

#[cfg(test)]
mod tests {
    use caudal_livestream::fixtures::spec;

    use super::*;

    #[test]
    fn a_pool_that_cannot_be_understood_turns_nobody_away_and_one_that_is_not_there_does() {
        let mut pools = Pools::default();
        let of = |pools: &Pools| pools.place(&spec(), &Replica::default()).map(drop);
        pools.take(News::Unreadable("default".to_owned()));
        pools.take(News::Whole);
        assert!(of(&pools).is_ok());
        pools.take(News::Gone { name: "default".to_owned(), uid: None });
        assert!(matches!(of(&pools), Err(OpenError::NoPool(pool)) if pool == "default"));
    }
}
