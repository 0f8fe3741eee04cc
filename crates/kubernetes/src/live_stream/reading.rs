//! What a resource says, to whoever drives broadcasts and to whoever follows them.

use caudal_livestream::StreamId;
use caudal_livestream::record::{self, DesiredState, Status};
use caudal_livestream::report::EndReason;

use super::{Incomplete, LiveStream, LiveStreamStatus};
use crate::names;

impl LiveStream {
    /// Whose resource this is; none when its name is not that stream's.
    pub fn stream(&self) -> Option<StreamId> {
        let named = self.metadata.name.as_deref().and_then(names::stream_of);
        named.filter(|stream| *stream == self.spec.stream)
    }

    /// Its `resourceVersion`, which grows with each change.
    pub fn version(&self) -> Option<u64> {
        self.metadata.resource_version.as_deref()?.parse().ok()
    }

    /// Whether somebody has deleted it. A finalizer may hold it still.
    pub fn is_being_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// What is wanted of the broadcast. A deletion reads as an end.
    ///
    /// # Errors
    /// [`Incomplete`] for one that was ended before it was created.
    pub fn wanted(&self) -> Result<record::Spec, Incomplete> {
        let mut spec = self.spec.to_record()?;
        if self.is_being_deleted() {
            spec.desired_state = DesiredState::Ended;
            spec.end_reason.get_or_insert(EndReason::EndedByOwner);
        }
        Ok(spec)
    }

    /// The broadcast as the other roles know it.
    ///
    /// # Errors
    /// [`Incomplete`] for one that was ended before it was created.
    pub fn to_record(&self) -> Result<record::LiveStream, Incomplete> {
        let status = self.status.as_ref().map_or_else(Status::default, LiveStreamStatus::to_record);
        Ok(record::LiveStream { spec: self.wanted()?, status })
    }
}
