//! What happens to streams, as Events that `kubectl describe` shows, and as lines of the log.

mod journal;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use caudal_controller::queue::{self, Receiver, Sender};
use caudal_controller::{MoveError, Notice, NoticeKind, Observer, Waiting};
use caudal_kubernetes::LiveStream;
use caudal_kubernetes::live_stream::Place;
use caudal_kubernetes::names::live_stream;
use caudal_livestream::record::{LiveStream as Shown, Phase};
use caudal_livestream::{StreamId, WorkerId};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Client, Resource as _};

use crate::records::LiveStreams;
use journal::Journal;

/// Takes what is to be told of streams from those who do not wait; where too much comes, the newest is lost.
#[derive(Clone)]
pub(crate) struct Notices {
    told: Sender<Told>,
    /// Where workers are.
    places: Arc<dyn Fn(WorkerId) -> Place + Send + Sync>,
    /// Each broadcast's last worker, and where that was: its pod is mostly gone when another one has the broadcast. Held for map
    /// operations only.
    last: Arc<Mutex<HashMap<StreamId, (WorkerId, Place)>>>,
}

/// What is to be told of a stream.
pub(crate) struct Told {
    stream: StreamId,
    event: Event,
    about: About,
}

/// Which LiveStream an Event is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// The one that there is; nothing is told of one that is gone.
    Present,
    /// One that is gone, and is known by its name alone.
    Gone,
}

impl Notices {
    /// With the end that [`publish`] reads; `waiting` counts what waits for it, and `places` says where workers are.
    pub(crate) fn channel(
        waiting: Waiting,
        places: Arc<dyn Fn(WorkerId) -> Place + Send + Sync>,
    ) -> (Self, Receiver<Told>) {
        let (told, read) = queue::channel(WAITING, waiting);
        (Self { told, places, last: Arc::default() }, read)
    }

    /// Nothing holds a LiveStream any more whose end the api has not acknowledged.
    pub(crate) fn released(&self, stream: StreamId, words: &str) {
        self.tell_about(
            stream,
            About::Gone,
            event(EventType::Warning, "Released", "Release", words.to_owned()),
        );
    }

    /// From which worker to which a broadcast goes; none while it has none, or has the one that it had.
    fn way(&self, before: Option<&Shown>, after: &Shown) -> Option<String> {
        let worker = after.status.worker?.worker;
        let place = (self.places)(worker);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.insert(after.spec.stream, (worker, place.clone()));
        drop(last);
        let known = known.or_else(|| {
            let worker = before?.status.worker?.worker;
            Some((worker, (self.places)(worker)))
        });
        let from = known.filter(|(known, _)| *known != worker);
        let to = in_words(worker, &place);
        Some(from.map_or_else(
            || format!("to {to}"),
            |(known, place)| format!("from {} to {to}", in_words(known, &place)),
        ))
    }

    /// An Event about a stream.
    pub(crate) fn tell(&self, stream: StreamId, event: Event) {
        self.tell_about(stream, About::Present, event);
    }

    /// An Event about a move of a stream, which names its channel; none where the stream is gone.
    pub(crate) fn tell_of_move(
        &self,
        streams: &LiveStreams,
        stream: StreamId,
        type_: EventType,
        reason: &str,
        words: &str,
    ) {
        let Some(resource) = streams.resource(stream) else { return };
        let note = format!("{}: {words}", resource.spec.channel.unwrap_or_default());
        self.tell(stream, event(type_, reason, "Move", note));
    }

    fn tell_about(&self, stream: StreamId, about: About, mut event: Event) {
        if let Some(note) = &mut event.note {
            note.truncate(note.floor_char_boundary(LONGEST_NOTE));
        }
        let _ = self.told.try_send(Told { stream, event, about });
    }
}

impl Observer for Notices {
    /// Routers, edges and the api read the resources themselves.
    fn show(&self, _record: Arc<Shown>) {}

    fn changed(&self, before: Option<&Shown>, after: &Shown) {
        let way = self.way(before, after);
        if let Some(notice) = Notice::of_change(before, after) {
            let way =
                way.filter(|_| matches!(notice.kind, NoticeKind::Moved(_) | NoticeKind::WorkerReplaced(_)));
            let words = way.map_or_else(|| notice.to_string(), |way| format!("{notice}, {way}"));
            tracing::info!(stream = %notice.stream, "{words}");
            self.tell(notice.stream, of_notice(&notice, words));
        }
    }

    fn not_moved(&self, record: &Shown, error: &MoveError) {
        let note =
            format!("{}: its worker asked to hand it over, and could not: {error}", record.spec.channel);
        self.tell(record.spec.stream, event(EventType::Warning, "MoveFailed", "Move", note));
    }

    fn lost(&self, last: &Shown) {
        let stream = last.spec.stream;
        let words = format!(
            "its LiveStream was removed while it was {:?}: nothing held it any more, and nobody waited for its end",
            last.status.phase
        );
        tracing::warn!(%stream, channel = last.spec.channel, "{words}");
        let note = format!("{}: {words}", last.spec.channel);
        self.tell_about(stream, About::Gone, event(EventType::Warning, "Removed", "End", note));
    }

    fn hide(&self, stream: StreamId) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream);
    }
}

/// Publishes the Events one after the other, until nobody sends any more.
pub(crate) async fn publish(
    client: Client,
    instance: String,
    streams: LiveStreams,
    namespace: String,
    mut notices: Receiver<Told>,
) {
    let mut journal = Journal::new(Api::namespaced(client, &namespace), instance);
    while let Some(Told { stream, event, about }) = notices.recv().await {
        let mut about = match (about, streams.resource(stream)) {
            (_, Some(resource)) => resource.object_ref(&()),
            (About::Gone, None) => gone(&namespace),
            (About::Present, None) => continue,
        };
        about.name = Some(live_stream(stream));
        let reason = event.reason.clone();
        if let Err(error) = journal.write(event, about).await {
            tracing::debug!(%error, %stream, reason, "an Event could not be written");
        }
    }
}

fn gone(namespace: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(LiveStream::api_version(&()).into_owned()),
        kind: Some(LiveStream::kind(&()).into_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectReference::default()
    }
}

fn in_words(worker: WorkerId, place: &Place) -> String {
    let pod = place.pod.as_ref().map_or_else(|| format!("worker {worker}"), |pod| format!("pod {pod}"));
    place.node.as_ref().map_or_else(|| pod.clone(), |node| format!("{pod} on node {node}"))
}

fn of_notice(notice: &Notice, words: String) -> Event {
    let (type_, reason, action) = match &notice.kind {
        NoticeKind::Starting => (EventType::Normal, "Starting", "Start"),
        NoticeKind::WentLive => (EventType::Normal, "WentLive", "Start"),
        NoticeKind::Reconnecting => (EventType::Warning, "PublisherLost", "Wait"),
        NoticeKind::Back => (EventType::Normal, "PublisherBack", "Wait"),
        NoticeKind::NoWorker(_) => (EventType::Warning, "NoWorker", "Assign"),
        NoticeKind::WorkerReplaced(_) => (EventType::Warning, "WorkerReplaced", "Recover"),
        NoticeKind::Moved(_) => (EventType::Normal, "Moved", "Move"),
        NoticeKind::Ended(_) if notice.phase == Phase::Failed => (EventType::Warning, "Failed", "End"),
        NoticeKind::Ended(_) => (EventType::Normal, "Ended", "End"),
    };
    event(type_, reason, action, words)
}

/// An Event that no other object has to do with.
pub(crate) fn event(type_: EventType, reason: &str, action: &str, note: String) -> Event {
    let (reason, action) = (reason.to_owned(), action.to_owned());
    Event { type_, reason, note: Some(note), action, secondary: None }
}

/// More than happens in the second that a slow API server takes.
const WAITING: usize = 1024;
/// As the API has it.
const LONGEST_NOTE: usize = 1024;
