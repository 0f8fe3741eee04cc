//! What a command wants of a LiveStream as it is: nothing any more, or one write.

use std::sync::Arc;

use caudal_kubernetes::live_stream::{Ingest as IngestFields, Media};
use caudal_kubernetes::{LiveStream as Resource, LiveStreamSpec, names};
use caudal_livestream::record::{
    DesiredState, DropPublisher, Ingest, LiveStream, MediaInfo, Phase, RelayFailures, Spec,
};
use caudal_livestream::report::EndReason;
use caudal_livestream::{SessionId, StreamId};
use kube::Resource as _;
use serde_json::{Value, json};

use crate::{OpenError, ReconnectError};

/// Whether a command has to know what the server has before its first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fresh {
    /// Where the copy does not know the stream, the server is asked.
    WhereUnknown,
    /// The first write tells.
    NotNeeded,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Step<T> {
    /// Nothing any more.
    Done(T),
    /// This, and then it is looked at again.
    Write(Write),
}

/// One write.
#[derive(Debug)]
pub(super) enum Write {
    /// A new resource.
    Create(Box<Resource>),
    /// Fields that are this role's alone.
    Apply(Value),
    /// The same of the status.
    ApplyStatus(Value),
    /// Fields that others may write too.
    Merge(Value),
}

/// The stream of `spec`, opened by its first publisher.
pub(super) fn opened(known: Option<&Resource>, spec: &Spec) -> Result<Step<Arc<LiveStream>>, OpenError> {
    let Some(known) = known else {
        return Ok(Step::Write(Write::Create(Box::new(resource(spec.stream, LiveStreamSpec::of(spec))))));
    };
    match known.to_record() {
        Ok(record) if record.spec.ingest.session == spec.ingest.session => Ok(Step::Done(Arc::new(record))),
        Ok(record) => Err(OpenError::Exists(Arc::new(record))),
        // It was ended before it was opened.
        Err(_) => {
            let mut record = LiveStream { spec: spec.clone(), status: status_of(known) };
            record.spec.desired_state = DesiredState::Ended;
            if !record.status.phase.is_over() {
                record.status.phase = Phase::Ending;
            }
            Err(OpenError::Exists(Arc::new(record)))
        }
    }
}

/// `ingest` as the publisher.
pub(super) fn reconnected(
    known: Option<&Resource>,
    ingest: &Ingest,
) -> Result<Step<Arc<LiveStream>>, ReconnectError> {
    let known = known.ok_or(ReconnectError::Unknown)?;
    let record = known.to_record().map_err(|_| ReconnectError::Over(Phase::Ending))?;
    let phase = record.status.phase;
    if record.spec.ingest.session == ingest.session {
        return Ok(Step::Done(Arc::new(record)));
    }
    if phase.is_over() {
        return Err(ReconnectError::Over(phase));
    }
    if record.spec.desired_state == DesiredState::Ended {
        return Err(ReconnectError::Over(Phase::Ending));
    }
    if ingest.generation != record.spec.ingest.generation.next() {
        return Err(ReconnectError::Stale(record.spec.ingest.generation));
    }
    Ok(Step::Write(apply_ingest(known, ingest)))
}

/// The failures of the router's relay, as far as they are news of the publisher that there is.
pub(super) fn with_failures(known: Option<&Resource>, failures: &RelayFailures) -> Step<()> {
    let Some((known, mut ingest)) = published_by(known, failures.session) else { return Step::Done(()) };
    if failures.new_since(ingest.relay.as_ref()) == 0 {
        return Step::Done(());
    }
    ingest.relay = Some(*failures);
    Step::Write(apply_ingest(known, &ingest))
}

/// Why the publisher that there is was turned away.
pub(super) fn with_refusal(known: Option<&Resource>, session: SessionId, words: &str) -> Step<()> {
    let Some((known, mut ingest)) = published_by(known, session) else { return Step::Done(()) };
    if ingest.refused.is_some() {
        return Step::Done(());
    }
    ingest.refused = Some(shortened(words));
    Step::Write(apply_ingest(known, &ingest))
}

/// What the publisher that there is sends.
pub(super) fn with_media(known: Option<&Resource>, session: SessionId, media: &MediaInfo) -> Step<()> {
    let Some((known, _)) = published_by(known, session) else { return Step::Done(()) };
    let media = Media::from(media);
    if known.status.as_ref().and_then(|status| status.media.as_ref()) == Some(&media) {
        return Step::Done(());
    }
    Step::Write(Write::ApplyStatus(with_head(known, json!({ "status": { "media": media } }))))
}

/// The end of a stream, known or not.
pub(super) fn ended(known: Option<&Resource>, stream: StreamId, reason: EndReason) -> Step<()> {
    let Some(known) = known else {
        let mut spec = LiveStreamSpec::ended(stream);
        spec.end_reason = Some(reason);
        return Step::Write(Write::Create(Box::new(resource(stream, spec))));
    };
    if known.spec.desired_state == DesiredState::Ended || is_over(known) {
        return Step::Done(());
    }
    let spec = json!({ "desiredState": DesiredState::Ended, "endReason": reason });
    Step::Write(Write::Merge(guarded(known, json!({ "spec": spec }))))
}

/// An order to drop the publisher that there is. Without a stream there is none.
pub(super) fn dropped(known: Option<&Resource>, reason: &str) -> Step<()> {
    let Some(known) = known.filter(|known| !is_over(known)) else { return Step::Done(()) };
    let Some(session) = known.spec.ingest.as_ref().map(|ingest| ingest.session) else {
        return Step::Done(());
    };
    let before = known.spec.drop.as_ref().map(DropPublisher::from);
    if before.is_some_and(|before| before.session == session) {
        return Step::Done(());
    }
    let drop = json!({ "session": session, "reason": shortened(reason) });
    Step::Write(Write::Merge(guarded(known, json!({ "spec": { "drop": drop } }))))
}

/// A key that no longer counts. Without a stream nothing was authorized by it.
pub(super) fn revoked(known: Option<&Resource>) -> Step<()> {
    let Some(known) = known.filter(|known| !known.spec.key_revoked && !is_over(known)) else {
        return Step::Done(());
    };
    Step::Write(Write::Merge(guarded(known, json!({ "spec": { "keyRevoked": true } }))))
}

/// The resource and its publisher, if that is `session`.
fn published_by(known: Option<&Resource>, session: SessionId) -> Option<(&Resource, Ingest)> {
    let known = known.filter(|known| !is_over(known))?;
    let ingest = known.spec.ingest.as_ref().filter(|ingest| ingest.session == session)?;
    Some((known, Ingest::from(ingest)))
}

fn is_over(known: &Resource) -> bool {
    known.status.as_ref().is_some_and(|status| status.phase.is_over())
}

fn status_of(known: &Resource) -> caudal_livestream::record::Status {
    known.status.as_ref().map(caudal_kubernetes::LiveStreamStatus::to_record).unwrap_or_default()
}

/// Held until the api knows of its end, also where it is deleted before an operator has seen it.
fn resource(stream: StreamId, spec: LiveStreamSpec) -> Resource {
    let mut resource = Resource::new(&names::live_stream(stream), spec);
    resource.metadata.finalizers = Some(vec![names::END_FINALIZER.to_owned()]);
    resource
}

fn apply_ingest(known: &Resource, ingest: &Ingest) -> Write {
    let ingest = IngestFields::from(ingest);
    Write::Apply(with_head(known, json!({ "spec": { "ingest": ingest } })))
}

/// What a server-side apply has to say beside its fields.
fn with_head(known: &Resource, fields: Value) -> Value {
    let mut object = guarded(known, fields);
    if let (Value::Object(object), Some(name)) = (&mut object, &known.metadata.name) {
        object.insert("apiVersion".to_owned(), json!(Resource::api_version(&())));
        object.insert("kind".to_owned(), json!(Resource::kind(&())));
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.insert("name".to_owned(), json!(name));
        }
    }
    object
}

/// Makes a patch fail on any other version of the resource, and on any other resource of its name.
fn guarded(known: &Resource, mut patch: Value) -> Value {
    if let Value::Object(patch) = &mut patch {
        let metadata = patch.entry("metadata").or_insert_with(|| json!({}));
        if let Value::Object(metadata) = metadata {
            metadata.insert("uid".to_owned(), json!(known.metadata.uid));
            metadata.insert("resourceVersion".to_owned(), json!(known.metadata.resource_version));
        }
    }
    patch
}

/// As long as the schema lets words to a publisher be.
fn shortened(words: &str) -> String {
    words.chars().take(LONGEST_WORDS).collect()
}

const LONGEST_WORDS: usize = 512;
