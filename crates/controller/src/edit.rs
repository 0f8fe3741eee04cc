//! What a stream's users want changed, and what that means for its lifecycle.

use caudal_livestream::lifecycle::Input;
use caudal_livestream::record::{DesiredState, DropPublisher, Ingest, Phase, RelayFailures, Spec};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Generation, UnixMillis};
use thiserror::Error;

use crate::record_store::Record;

/// A change of the spec. It can be made again on a record that somebody else has changed meanwhile.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Reconnect(Ingest),
    RelayFailed(RelayFailures),
    End(EndReason),
    DropPublisher(String),
    RevokeKey,
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no such stream.
    #[error("the stream is unknown")]
    Unknown,
    /// Somebody else was decided on meanwhile; read the record again.
    #[error("the stream's publisher is of generation {0} by now")]
    Stale(Generation),
    /// The stream takes no publisher any more.
    #[error("the stream is {0:?}")]
    Over(Phase),
    /// Try again later.
    #[error("{0}")]
    Unavailable(String),
}

impl Edit {
    pub(crate) fn apply(&self, record: &mut Record, now: UnixMillis) -> Result<(), Refusal> {
        match self {
            Self::Reconnect(ingest) => {
                let phase = record.machine.phase();
                let spec = record.spec.as_mut().ok_or(Refusal::Unknown)?;
                if phase.is_over() {
                    return Err(Refusal::Over(phase));
                }
                if ingest.generation != spec.ingest.generation.next() {
                    return Err(Refusal::Stale(spec.ingest.generation));
                }
                spec.ingest = ingest.clone();
                // It was meant for the one before.
                spec.drop = None;
                record.machine.handle(now, Input::PublisherChosen(ingest.generation));
            }
            Self::RelayFailed(told) => {
                let ingest = record.spec.as_mut().map(|spec| &mut spec.ingest);
                let Some(ingest) = ingest.filter(|ingest| ingest.session == told.session) else {
                    return Ok(());
                };
                let known = ingest.relay;
                if told.new_since(known.as_ref()) > 0 {
                    ingest.relay = Some(*told);
                    hear_of_failures(record, known, now);
                }
            }
            Self::End(reason) => {
                if let Some(spec) = &mut record.spec {
                    spec.desired_state = DesiredState::Ended;
                    spec.end_reason.get_or_insert(*reason);
                }
                record.machine.handle(now, Input::End(*reason));
            }
            Self::DropPublisher(reason) => {
                if let Some(spec) = &mut record.spec {
                    spec.drop = Some(DropPublisher { session: spec.ingest.session, reason: reason.clone() });
                }
            }
            Self::RevokeKey => {
                if let Some(spec) = &mut record.spec {
                    spec.key_revoked = true;
                }
                record.machine.handle(now, Input::KeyRevoked);
            }
        }
        Ok(())
    }
}

/// Takes over a spec that somebody else wrote, and tells the lifecycle what is new in it.
pub(crate) fn take_spec(record: &mut Record, newer: &Spec, now: UnixMillis) {
    let known = record.spec.replace(newer.clone()).and_then(|before| before.ingest.relay);
    hear_of_failures(record, known, now);
    record.heed_spec(now);
}

/// Tells the lifecycle of each failure in the spec that is not among those that were `known`.
fn hear_of_failures(record: &mut Record, known: Option<RelayFailures>, now: UnixMillis) {
    let ingest = record.spec.as_ref().map(|spec| &spec.ingest);
    let told = ingest.and_then(|ingest| ingest.relay.filter(|told| told.session == ingest.session));
    let Some(told) = told else { return };
    for _ in 0..told.new_since(known.as_ref()).min(FAILURES_AT_ONCE) {
        record.machine.handle(now, Input::RelayFailed(told.epoch));
    }
}

/// More than the lifecycle needs to judge a worker, however high a count is.
const FAILURES_AT_ONCE: u32 = 16;
