//! What happens to streams, as Events that `kubectl describe` shows, and as lines of the log.

use std::sync::Arc;

use caudal_controller::queue::{self, Receiver, Sender};
use caudal_controller::{Notice, NoticeKind, Observer, Waiting};
use caudal_kubernetes::LiveStream;
use caudal_kubernetes::calls::call_later;
use caudal_kubernetes::names::live_stream;
use caudal_livestream::StreamId;
use caudal_livestream::record::LiveStream as Shown;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource as _};

use crate::records::LiveStreams;

/// Takes what is to be told of streams from those who do not wait; where too much comes, the newest is lost.
#[derive(Clone)]
pub(crate) struct Notices(Sender<Told>);

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
    /// With the end that [`publish`] reads; `waiting` counts what waits for it.
    pub(crate) fn channel(waiting: Waiting) -> (Self, Receiver<Told>) {
        let (notices, read) = queue::channel(WAITING, waiting);
        (Self(notices), read)
    }

    /// Nothing holds a LiveStream any more whose end the api has not acknowledged.
    pub(crate) fn released(&self, stream: StreamId, words: &str) {
        let (reason, action) = ("Released".to_owned(), "Release".to_owned());
        let note = Some(words.to_owned());
        self.tell_about(
            stream,
            About::Gone,
            Event { type_: EventType::Warning, reason, note, action, secondary: None },
        );
    }

    /// An Event about a stream.
    pub(crate) fn tell(&self, stream: StreamId, event: Event) {
        self.tell_about(stream, About::Present, event);
    }

    fn tell_about(&self, stream: StreamId, about: About, mut event: Event) {
        if let Some(note) = &mut event.note {
            note.truncate(note.floor_char_boundary(LONGEST_NOTE));
        }
        let _ = self.0.try_send(Told { stream, event, about });
    }
}

impl Observer for Notices {
    /// Routers, edges and the api read the resources themselves.
    fn show(&self, _record: Arc<Shown>) {}

    fn changed(&self, before: Option<&Shown>, after: &Shown) {
        if let Some(notice) = Notice::of_change(before, after) {
            tracing::info!(stream = %notice.stream, "{notice}");
            self.tell(notice.stream, event(&notice));
        }
    }

    fn lost(&self, last: &Shown) {
        let stream = last.spec.stream;
        let words = format!(
            "its LiveStream was removed while it was {:?}: nothing held it any more, and nobody waited for its end",
            last.status.phase
        );
        tracing::warn!(%stream, channel = last.spec.channel, "{words}");
        let note = Some(format!("{}: {words}", last.spec.channel));
        let (reason, action) = ("Removed".to_owned(), "End".to_owned());
        self.tell_about(
            stream,
            About::Gone,
            Event { type_: EventType::Warning, reason, note, action, secondary: None },
        );
    }

    fn hide(&self, _stream: StreamId) {}
}

/// Publishes the Events one after the other, until nobody sends any more.
pub(crate) async fn publish(
    client: Client,
    instance: String,
    streams: LiveStreams,
    namespace: String,
    mut notices: Receiver<Told>,
) {
    let reporter = Reporter { controller: "caudal.dev/operator".to_owned(), instance: Some(instance) };
    let recorder = Recorder::new(client, reporter);
    while let Some(Told { stream, event, about }) = notices.recv().await {
        let mut about = match (about, streams.resource(stream)) {
            (_, Some(resource)) => resource.object_ref(&()),
            (About::Gone, None) => gone(&namespace),
            (About::Present, None) => continue,
        };
        about.name = Some(live_stream(stream));
        if let Err(error) = call_later(Box::pin(recorder.publish(&event, &about))).await {
            tracing::debug!(%error, %stream, reason = event.reason, "an Event could not be written");
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

fn event(notice: &Notice) -> Event {
    let (type_, reason, action) = match &notice.kind {
        NoticeKind::Starting => (EventType::Normal, "Starting", "Start"),
        NoticeKind::WentLive => (EventType::Normal, "WentLive", "Start"),
        NoticeKind::Reconnecting => (EventType::Warning, "PublisherLost", "Wait"),
        NoticeKind::Back => (EventType::Normal, "PublisherBack", "Wait"),
        NoticeKind::NoWorker(_) => (EventType::Warning, "NoWorker", "Assign"),
        NoticeKind::WorkerReplaced(_) => (EventType::Warning, "WorkerReplaced", "Recover"),
        NoticeKind::Moved(_) => (EventType::Normal, "Moved", "Move"),
        NoticeKind::Ended(_) => (EventType::Normal, "Ended", "End"),
    };
    let (reason, action) = (reason.to_owned(), action.to_owned());
    Event { type_, reason, note: Some(notice.to_string()), action, secondary: None }
}

/// More than happens in the second that a slow API server takes.
const WAITING: usize = 1024;
/// As the API has it.
const LONGEST_NOTE: usize = 1024;
