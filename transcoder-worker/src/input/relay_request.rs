//! A relay's request to publish at a worker: read, and judged.

use caudal_livestream::assignment::Assignment;
use caudal_livestream::feed::InputState;
use caudal_livestream::proof::Proof;
use caudal_livestream::{Epoch, Generation, SessionId};
use caudal_rtmp::PublishRequested;
use thiserror::Error;

/// A relay's request to publish, as it came.
pub(crate) struct RelayRequest<'a> {
    app: &'a str,
    stream: &'a str,
    epoch: Option<&'a str>,
    session: Option<&'a str>,
    generation: Option<&'a str>,
    auth: Option<&'a str>,
}

impl<'a> RelayRequest<'a> {
    pub(super) fn of(request: &'a PublishRequested) -> Self {
        let field = |name| request.query.get(name);
        Self {
            app: &request.app,
            stream: request.name.expose(),
            epoch: field("epoch"),
            session: field("session"),
            generation: field("generation"),
            auth: field("auth"),
        }
    }
}

/// Who wants to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) session: SessionId,
    pub(crate) generation: Generation,
}

/// Why a relay is refused; always as `BadName`, upon which the router reads the directory again.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    #[error("this worker has no stream")]
    Idle,
    #[error("not this worker's stream")]
    OtherStream,
    #[error("the request to publish is incomplete")]
    Malformed,
    #[error("the proof does not fit")]
    BadProof,
    #[error("this worker has epoch {0}")]
    OtherEpoch(Epoch),
    #[error("the publisher is of generation {0} by now")]
    OldGeneration(Generation),
    #[error("another session has this generation")]
    OtherSession,
}

/// Decides on a request to publish, given the assignment and the publisher so far.
pub(crate) fn admit(
    assignment: Option<&Assignment>,
    known: &InputState,
    request: &RelayRequest<'_>,
) -> Result<Candidate, NotAdmitted> {
    let assignment = assignment.ok_or(NotAdmitted::Idle)?;
    if request.app != APP || request.stream != assignment.stream.to_string() {
        return Err(NotAdmitted::OtherStream);
    }
    let proof = Proof::from_peer(request.auth.ok_or(NotAdmitted::Malformed)?);
    if !assignment.knows_router(&proof) {
        return Err(NotAdmitted::BadProof);
    }
    if request.epoch.ok_or(NotAdmitted::Malformed)?.parse() != Ok(assignment.epoch) {
        return Err(NotAdmitted::OtherEpoch(assignment.epoch));
    }
    let session = request.session.and_then(|text| text.parse().ok()).ok_or(NotAdmitted::Malformed)?;
    let generation: Generation =
        request.generation.and_then(|text| text.parse().ok()).ok_or(NotAdmitted::Malformed)?;
    let lowest = known.generation.max(assignment.generation);
    if generation < lowest {
        return Err(NotAdmitted::OldGeneration(lowest));
    }
    // The same session may relay anew at any time; two sessions of one generation cannot both be right.
    if generation == known.generation && known.session.is_some_and(|other| other != session) {
        return Err(NotAdmitted::OtherSession);
    }
    Ok(Candidate { session, generation })
}

/// The application of relays, ARCHITECTURE §3.5.
pub(super) const APP: &str = "relay";

#[cfg(test)]
pub(super) mod tests {
    use caudal_livestream::proof::RoleKey;
    use caudal_livestream::{StreamId, WorkerId};

    use super::*;
    use crate::fixtures;

    pub(crate) fn assignment(
        stream: StreamId,
        epoch: Epoch,
        generation: Generation,
        key: &RoleKey,
    ) -> Assignment {
        Assignment {
            generation,
            input_key_digest: key.proof(stream, epoch).digest(),
            feed_key_digest: RoleKey::new([8; 32]).proof(stream, epoch).digest(),
            ..fixtures::assignment(WorkerId::generate(), stream, epoch)
        }
    }

    #[test]
    fn while_the_routers_key_is_changed_it_may_show_either() {
        let (stream, epoch) = (StreamId::generate(), Epoch(3));
        let (current, next, strange) = (RoleKey::new([7; 32]), RoleKey::new([9; 32]), RoleKey::new([1; 32]));
        let mut assignment = assignment(stream, epoch, Generation(1), &current);
        assignment.other_input_key_digests = vec![next.proof(stream, epoch).digest()];
        assert!(assignment.knows_router(&current.proof(stream, epoch)));
        assert!(assignment.knows_router(&next.proof(stream, epoch)));
        assert!(!assignment.knows_router(&strange.proof(stream, epoch)));
        assert!(!assignment.knows_reader(&next.proof(stream, epoch)), "the edge has a key of its own");
    }

    #[test]
    fn a_relay_is_admitted_by_its_proof_epoch_and_generation() {
        let (stream, epoch) = (StreamId::generate(), Epoch(3));
        let key = RoleKey::new([7; 32]);
        let proof = key.proof(stream, epoch);
        let assignment = assignment(stream, epoch, Generation(4), &key);
        let (name, session) = (stream.to_string(), SessionId::generate());
        let session_text = session.to_string();
        let good = || RelayRequest {
            app: "relay",
            stream: &name,
            epoch: Some("3"),
            session: Some(&session_text),
            generation: Some("4"),
            auth: Some(proof.reveal()),
        };
        let publishing = |generation, session| InputState {
            session: Some(session),
            generation: Generation(generation),
            ..InputState::default()
        };
        let nobody = InputState::default();
        let ask = |known: &InputState, request: RelayRequest<'_>| admit(Some(&assignment), known, &request);

        let admitted = Ok(Candidate { session, generation: Generation(4) });
        assert_eq!(ask(&nobody, good()), admitted);
        assert_eq!(ask(&publishing(4, session), good()), admitted, "the same session relays anew");
        assert_eq!(ask(&publishing(3, SessionId::generate()), good()), admitted, "a takeover");
        assert_eq!(ask(&publishing(4, SessionId::generate()), good()), Err(NotAdmitted::OtherSession));
        assert_eq!(ask(&publishing(5, session), good()), Err(NotAdmitted::OldGeneration(Generation(5))));

        assert_eq!(admit(None, &nobody, &good()), Err(NotAdmitted::Idle));
        assert_eq!(ask(&nobody, RelayRequest { app: "live", ..good() }), Err(NotAdmitted::OtherStream));
        assert_eq!(ask(&nobody, RelayRequest { stream: "x", ..good() }), Err(NotAdmitted::OtherStream));
        assert_eq!(
            ask(&nobody, RelayRequest { epoch: Some("2"), ..good() }),
            Err(NotAdmitted::OtherEpoch(epoch))
        );
        let below = RelayRequest { generation: Some("3"), ..good() };
        assert_eq!(ask(&nobody, below), Err(NotAdmitted::OldGeneration(Generation(4))));
        let other = key.proof(stream, Epoch(2));
        assert_eq!(
            ask(&nobody, RelayRequest { auth: Some(other.reveal()), ..good() }),
            Err(NotAdmitted::BadProof)
        );
        for missing in [
            RelayRequest { auth: None, ..good() },
            RelayRequest { session: None, ..good() },
            RelayRequest { session: Some("me"), ..good() },
            RelayRequest { generation: Some("-1"), ..good() },
        ] {
            assert_eq!(ask(&nobody, missing), Err(NotAdmitted::Malformed));
        }
    }
}
