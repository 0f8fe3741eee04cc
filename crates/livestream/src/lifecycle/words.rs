//! Words of others, such as a worker's of its publisher: what of them is kept.

use super::Input;

impl Input {
    /// The same with no more words than a record, an Event and a row have room for. A record that is too long can be stored
    /// neither now nor later, and its broadcast not even be ended.
    pub(super) fn with_few_words(mut self) -> Self {
        match &mut self {
            Self::NoWorker(_, words) | Self::NoCredentials(_, words) | Self::MediaRefused(_, words) => {
                cut(words);
            }
            Self::Publisher(_, state) => {
                if let Some(words) = &mut state.unplayable {
                    cut(words);
                }
            }
            Self::Tick
            | Self::PublisherChosen(_)
            | Self::WorkerClaimed(..)
            | Self::NoCapacity(_)
            | Self::WorkerComing(_)
            | Self::EpochsClaimed(_)
            | Self::AssignmentTaken(..)
            | Self::Announced(..)
            | Self::Finished(_)
            | Self::WorkerLost(..)
            | Self::RelayFailed(_)
            | Self::Released(_)
            | Self::Withdrawn(_)
            | Self::End(_)
            | Self::KeyRevoked
            | Self::Measured(_)
            | Self::Acknowledged(_)
            | Self::Move => {}
        }
        self
    }
}

fn cut(words: &mut String) {
    words.truncate(words.floor_char_boundary(LONGEST_WORDS));
}

/// Bytes: what a scheduler says of a hundred nodes is no longer, and an Event takes twice that.
const LONGEST_WORDS: usize = 512;
