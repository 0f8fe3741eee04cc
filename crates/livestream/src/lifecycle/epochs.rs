//! The epochs that a broadcast has given to its workers.

use serde::{Deserialize, Serialize};

use crate::Epoch;

/// Which epoch the stream's worker has, and which were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "StoredEpochs")]
pub(super) struct Epochs {
    /// The highest that was ever given, be it to a move that came to nothing: none is given twice. It has this name in the
    /// record because the release before counts on from there.
    #[serde(rename = "epoch")]
    given: Epoch,
    /// That of the stream's worker, while it is not the highest one.
    #[serde(rename = "currentEpoch", skip_serializing_if = "Option::is_none")]
    current: Option<Epoch>,
}

/// As this release and the one before have written it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredEpochs {
    epoch: Epoch,
    #[serde(default)]
    current_epoch: Option<Epoch>,
    /// The release before wrote the serving worker's epoch as `epoch`, and here the highest that a move was given.
    #[serde(default)]
    spent: Epoch,
}

impl From<StoredEpochs> for Epochs {
    fn from(StoredEpochs { epoch, current_epoch, spent }: StoredEpochs) -> Self {
        let given = epoch.max(spent);
        Self { given, current: current_epoch.or((epoch < given).then_some(epoch)) }
    }
}

impl Epochs {
    pub(super) fn first() -> Self {
        Self { given: Epoch(1), current: None }
    }

    /// That of the stream's worker, or of the one that it is to get.
    pub(super) fn current(self) -> Epoch {
        self.current.unwrap_or(self.given)
    }

    pub(super) fn highest(self) -> Epoch {
        self.given
    }

    /// The stream's next worker gets one that no worker was ever told of.
    pub(super) fn give(&mut self) {
        *self = Self { given: self.given.next(), current: None };
    }

    /// The same for a second worker: the stream stays with the one that it has.
    pub(super) fn give_beside(&mut self) -> Epoch {
        *self = Self { given: self.given.next(), current: Some(self.current()) };
        self.given
    }

    /// Epochs up to this one were given by whoever drove the stream before, and are not to be given again.
    pub(super) fn skip_to(&mut self, highest: Epoch) {
        let known = self.given;
        if highest > known && highest.0.saturating_sub(known.0) <= LONGEST_SKIP {
            *self = Self { given: highest, current: Some(self.current()) };
        }
    }

    /// The second worker, which has this epoch, is the stream's.
    pub(super) fn move_on(&mut self, to: Epoch) {
        self.current = (to < self.given).then_some(to);
    }
}

/// A broadcast that gets a worker each second has that many in eleven days. A number beyond was not given by anybody.
const LONGEST_SKIP: u32 = 1_000_000;
