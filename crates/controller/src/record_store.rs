//! Where the streams' records are kept.

use std::collections::HashSet;

use caudal_livestream::lifecycle::{Input, Lifecycle};
use caudal_livestream::record::{DesiredState, LiveStream, MediaInfo, Spec};
use caudal_livestream::report::EndReason;
use caudal_livestream::{StreamId, UnixMillis};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Keeps one record a stream, and guards each by a version.
pub trait RecordStore: Send + Sync + 'static {
    /// All records. One that cannot be understood is reported in the log, and keeps no other from being read.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a record may be missing from what was read.
    fn load(&self) -> BoxFuture<'_, Result<Vec<Stored>, StoreError>>;

    /// Adds a stream's first record.
    ///
    /// # Errors
    /// [`StoreError`]; `Conflict` when there is one already.
    fn create<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Version, StoreError>>;

    /// Replaces the record that has `version`.
    ///
    /// # Errors
    /// [`StoreError`]; after `Unavailable` it may have been replaced all the same.
    fn store<'a>(
        &'a self,
        record: &'a Record,
        version: &'a Version,
        durability: Durability,
    ) -> BoxFuture<'a, Result<Version, StoreError>>;

    /// Removes a stream's record; it is no error when there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; it may have been removed all the same.
    fn remove(&self, stream: StreamId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// What others change from now on. The controller's own writes, and anything older, may be among it: it looks at the
    /// version. The newest state of a record is enough: several changes may come as one. What was removed never comes
    /// again.
    fn changes(&self) -> BoxStream<'static, Change>;

    /// Streams that something in the store is named after, be it a record or what cannot be understood as one. Nobody knows
    /// what the latter are, so nothing of theirs is taken to be left over. A store that keeps nothing but records may
    /// leave this empty.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when one may be missing from what was read.
    fn named(&self) -> BoxFuture<'_, Result<HashSet<StreamId>, StoreError>> {
        Box::pin(std::future::ready(Ok(HashSet::new())))
    }

    /// Whether there is something of this stream's besides its record, which could not be understood as one. Then its media
    /// stays, whatever the record says.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when that cannot be told now.
    fn was_put_aside(&self, stream: StreamId) -> BoxFuture<'_, Result<bool, StoreError>> {
        let _ = stream;
        Box::pin(std::future::ready(Ok(false)))
    }

    /// Whether somebody wants a stream to stay as it is once it has ended, with its media. Without a look: as far as is known.
    fn is_paused(&self, stream: StreamId) -> bool {
        let _ = stream;
        false
    }

    /// What the controller does while nothing can be stored.
    fn when_it_fails(&self) -> WhenItFails {
        WhenItFails::Wait
    }
}

/// What is kept of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// None for a stream that was ended before anyone created it; elsewhere that may be written as
    /// [`DesiredState::Ended`] alone.
    pub spec: Option<Spec>,
    /// Where it stands.
    pub machine: Lifecycle,
}

impl Record {
    /// A stream that somebody created and no controller has looked at yet.
    pub fn opened(spec: Spec, now: UnixMillis) -> Self {
        let machine = Lifecycle::new(spec.stream, spec.reconnect_window_ms, spec.ingest.generation, now);
        let mut record = Self { spec: Some(spec), machine };
        record.heed_spec(now);
        record
    }

    /// Tells the machine what stands in the spec and it may not have heard of, because somebody else wrote it.
    pub fn heed_spec(&mut self, now: UnixMillis) {
        let Some(spec) = &self.spec else { return };
        if spec.ingest.generation > self.machine.generation() {
            self.machine.handle(now, Input::PublisherChosen(spec.ingest.generation));
        }
        if let Some(words) = spec.ingest.refused.clone() {
            self.machine.handle(now, Input::MediaRefused(spec.ingest.generation, words));
        }
        if self.machine.end_reason().is_none() {
            if spec.desired_state == DesiredState::Ended {
                let reason = spec.end_reason.unwrap_or(EndReason::EndedByOwner);
                self.machine.handle(now, Input::End(reason));
            } else if spec.key_revoked {
                self.machine.handle(now, Input::KeyRevoked);
            }
        }
    }

    /// A stream that is to end, and that nobody has created here.
    pub fn ended(stream: StreamId, reason: EndReason, now: UnixMillis) -> Self {
        Self { spec: None, machine: Lifecycle::tombstone(stream, reason, now) }
    }

    /// Whose it is.
    pub fn stream(&self) -> StreamId {
        self.machine.stream()
    }

    /// What everybody may know of it; none while there is nothing to be known.
    pub fn shown(&self, media: Option<MediaInfo>) -> Option<LiveStream> {
        if self.machine.orders().forget {
            return None;
        }
        Some(LiveStream { spec: self.spec.clone()?, status: self.machine.status(media) })
    }
}

/// A record as the store has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// What guards it.
    pub version: Version,
    /// How others read it.
    pub shown: Shown,
    /// What was measured of its publishers, where that is written beside the record; none where the controller is told of it otherwise.
    pub media: Option<MediaInfo>,
}

/// How others read a record, in a store that shows them what follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// As it is; or nobody reads it.
    #[default]
    AsItIs,
    /// Otherwise: somebody has written over what is shown, or has asked for it to say more. It is stored again as it is.
    Otherwise,
    /// Not at all. No controller has stored it yet, and the record is what any of them makes of what the stream's creator wrote.
    NotYet,
}

/// The store's own mark of one state of a record. A later state of the same record has a higher one, so that news which
/// was on its way while a newer state was written is known to be old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// What somebody else did.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The record is now so; it may be a new one.
    Changed(Box<Stored>),
    /// The record is gone.
    Removed(StreamId),
}

/// Whether a machine's crash may lose what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It may not: something will be done on the strength of it.
    Synced,
    /// It may. A crash of the controller alone loses nothing of it but the announced position, which comes back with the
    /// worker's feed.
    Lazy,
}

/// What the controller does while nothing can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenItFails {
    /// Nothing but trying again: whatever is done must be found by the next controller.
    Wait,
    /// Goes on from what it could not store. Only for a store that nobody else reads, and whose failure must not end
    /// running streams: a full disk.
    GoOn,
}

/// Why a record was not read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Somebody else wrote it since; this is what they wrote.
    #[error("somebody else has changed the record")]
    Conflict(Box<Stored>),
    /// Somebody has removed it.
    #[error("the record was removed")]
    Gone,
    /// The store does not take this record, and would not take it again.
    #[error("the store refuses the record: {0}")]
    Refused(String),
    /// Try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}
