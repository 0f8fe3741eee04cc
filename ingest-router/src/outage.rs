//! That the controller does not take publishers, in the log: where it begins and where it ends, not at each publisher.

use std::sync::atomic::{AtomicBool, Ordering};

use caudal_directory::Unavailable;
use caudal_livestream::StreamId;

/// Whether the controller could not decide on the last publisher that it was asked about.
#[derive(Debug, Default)]
pub(crate) struct Outage(AtomicBool);

impl Outage {
    /// It decided on one, whatever that was.
    pub(crate) fn decided(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("the controller takes publishers again");
        }
    }

    /// It did not on that of `stream`.
    pub(crate) fn not_decided(&self, stream: StreamId, error: &Unavailable) {
        if self.0.swap(true, Ordering::Relaxed) {
            tracing::debug!(%stream, %error, "the controller does not take a publisher");
        } else {
            tracing::warn!(%stream, %error, "the controller does not take a publisher; encoders try again");
        }
    }
}
