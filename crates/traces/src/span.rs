//! Spans, and the queue that they go into when they are over.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caudal_livestream::{StreamId, UnixMillis};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as Sent, Status};
use prometheus::IntCounter;
use tokio::sync::mpsc;

use crate::sampling::Share;

/// Where spans go. Cheap to clone; off unless [`Export::start`](crate::Export::start) made it, and then a span costs nothing.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Queue>>);

struct Queue {
    share: Share,
    spans: mpsc::Sender<Sent>,
    lost: IntCounter,
}

/// Something that is going on. It is over when it is dropped, at the latest.
#[must_use = "a span is over when it is dropped"]
pub struct Span(Option<Box<Open>>);

struct Open {
    queue: Arc<Queue>,
    sent: Sent,
}

/// How something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Well,
    /// Not so.
    Failed,
}

impl Traces {
    /// Nothing is traced.
    pub fn off() -> Self {
        Self(None)
    }

    /// With the end that is sent from; where it is full, `lost` counts what is dropped.
    pub(crate) fn queue(share: Share, lost: IntCounter) -> (Self, mpsc::Receiver<Sent>) {
        let (spans, read) = mpsc::channel(WAITING);
        (Self(Some(Arc::new(Queue { share, spans, lost }))), read)
    }

    /// Something of a stream begins now.
    pub fn begin(&self, stream: StreamId, name: &'static str) -> Span {
        self.begin_at(stream, name, SystemTime::now())
    }

    /// It has begun then.
    pub fn begin_at(&self, stream: StreamId, name: &'static str, begun: SystemTime) -> Span {
        self.open(stream, name, begun, Place::Child)
    }

    /// The whole broadcast, which all other spans of the stream lie in, once it is over. To be said by one process, once.
    pub fn whole(&self, stream: StreamId, name: &'static str, begun: UnixMillis) -> Span {
        let millis = u64::try_from(begun.0).unwrap_or_default();
        self.open(stream, name, UNIX_EPOCH + Duration::from_millis(millis), Place::Root)
    }

    fn open(&self, stream: StreamId, name: &'static str, begun: SystemTime, place: Place) -> Span {
        let Some(queue) = self.0.as_ref().filter(|queue| queue.share.holds(stream)) else {
            return Span(None);
        };
        let trace = stream.0.into_bytes();
        let [_, _, _, _, _, _, _, _, root @ ..] = trace;
        let (own, parent) = match place {
            Place::Root => (root, Vec::new()),
            Place::Child => (rand::random::<[u8; 8]>(), root.to_vec()),
        };
        Span(Some(Box::new(Open {
            queue: Arc::clone(queue),
            sent: Sent {
                trace_id: trace.to_vec(),
                span_id: own.to_vec(),
                parent_span_id: parent,
                flags: SAMPLED,
                name: name.to_owned(),
                kind: SpanKind::Internal.into(),
                start_time_unix_nano: nanos(begun),
                ..Sent::default()
            },
        })))
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Traces(on)" } else { "Traces(off)" })
    }
}

impl Span {
    /// One of a stream that is not traced.
    pub fn none() -> Self {
        Self(None)
    }

    /// Says something of it: an epoch, a reason, a count. No key, address or person.
    pub fn note(&mut self, key: &'static str, value: impl fmt::Display) {
        if let Some(open) = &mut self.0 {
            open.sent.attributes.push(attribute(key, value.to_string()));
        }
    }

    /// How it went; a reason is for people.
    pub fn went(&mut self, outcome: Outcome, reason: &str) {
        if let Some(open) = &mut self.0 {
            let code = match outcome {
                Outcome::Well => StatusCode::Ok,
                Outcome::Failed => StatusCode::Error,
            };
            open.sent.status = Some(Status { message: reason.to_owned(), code: code.into() });
        }
    }

    /// It is over.
    pub fn end(self) {
        drop(self);
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.as_ref().map(|open| open.sent.name.as_str());
        f.debug_tuple("Span").field(&name).finish()
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let Open { queue, mut sent } = *open;
        // The machine's clock may have been set back meanwhile.
        sent.end_time_unix_nano = nanos(SystemTime::now()).max(sent.start_time_unix_nano);
        if queue.spans.try_send(sent).is_err() {
            queue.lost.inc();
        }
    }
}

pub(crate) fn attribute(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy)]
enum Place {
    Root,
    Child,
}

/// W3C's flag, without which some collectors drop a span.
const SAMPLED: u32 = 1;
/// A platform of a thousand streams makes a few in a second; when a collector is away, the newest are dropped.
const WAITING: usize = 4_096;
