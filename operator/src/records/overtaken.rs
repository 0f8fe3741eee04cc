//! What became of a write, where somebody else may have been quicker.

use caudal_controller::{StoreError, Version};
use caudal_kubernetes::calls::{Failure, call};
use caudal_kubernetes::{LiveStream, names};
use caudal_livestream::StreamId;

use super::cache::Held;
use super::{Shared, unavailable};

impl Shared {
    /// The record as it is now, for whoever wrote at version `tried`.
    pub(super) async fn overtaken(&self, stream: StreamId, tried: Option<Version>) -> StoreError {
        // Where many wait for the server, the watch has mostly told of it by now.
        if !self.is_newest(stream, tried) {
            return self.newer(stream);
        }
        let asked = self.cache().version(stream);
        let resource = match call(self.api.get(&names::live_stream(stream))).await {
            Ok(resource) => resource,
            Err(Failure::NotFound) => {
                self.cache().remove(stream);
                return StoreError::Gone;
            }
            Err(error) => return unavailable(&error),
        };
        self.cache().step_back(&resource, asked);
        let _ = self.take_in(resource);
        self.newer(stream)
    }

    /// Whether nothing newer than this version is known of a stream's resource.
    pub(super) fn is_newest(&self, stream: StreamId, version: Option<Version>) -> bool {
        let known = self.cache().version(stream);
        known.zip(version).is_none_or(|(known, version)| known <= version)
    }

    fn newer(&self, stream: StreamId) -> StoreError {
        let known = self.cache().read(stream);
        match known {
            Some(Ok(Held::Record(stored))) => StoreError::Conflict(stored),
            // Another controller has nothing left to do for it.
            Some(Ok(Held::Memento(_))) | None => StoreError::Gone,
            Some(Err(error)) => StoreError::Refused(error.to_string()),
        }
    }

    /// What became of a write of `stream` at version `tried`.
    pub(super) async fn written(
        &self,
        stream: StreamId,
        tried: Option<Version>,
        outcome: Result<LiveStream, Failure>,
    ) -> Result<LiveStream, StoreError> {
        match outcome {
            Ok(resource) => Ok(resource),
            Err(Failure::Conflict | Failure::AlreadyExists | Failure::NotFound) => {
                Err(self.overtaken(stream, tried).await)
            }
            Err(Failure::Refused(reason)) => Err(StoreError::Refused(reason)),
            Err(Failure::Quota(reason) | Failure::Forbidden(reason) | Failure::Unavailable(reason)) => {
                Err(StoreError::Unavailable(reason))
            }
        }
    }
}
