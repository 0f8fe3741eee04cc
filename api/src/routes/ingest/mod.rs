//! The router's question and the controller's reports: the mission's prePublish, postPublish and donePublish. All are
//! signed and idempotent.

mod authorize;
mod done;
mod published;

pub(crate) use authorize::authorize;
pub(crate) use done::done;
pub(crate) use published::published;
