//! Spans over a server of this process that decodes what it is sent by the public definitions of OTLP. What a real collector makes of
//! them is not shown here.

#![expect(clippy::unwrap_used, reason = "clippy takes only #[test] functions for tests here")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use caudal_livestream::{StreamId, UnixMillis};
use caudal_traces::{Config, Export, Outcome, Share, Traces};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prometheus::{Registry, TextEncoder};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// A collector: answers with `status`, and keeps what it took.
#[derive(Clone)]
struct Collector {
    took: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    status: Arc<Mutex<StatusCode>>,
    url: String,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        let collector = Self { took: Arc::default(), status: Arc::new(Mutex::new(StatusCode::OK)), url };
        let kept = collector.clone();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            assert_eq!(headers.get("content-type").unwrap(), "application/x-protobuf");
            let status = *kept.status.lock().unwrap();
            if status.is_success() {
                kept.took.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
            }
            status
        };
        let app = Router::new().route("/base/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await });
        collector
    }

    fn answers(&self, status: StatusCode) {
        *self.status.lock().unwrap() = status;
    }

    fn spans(&self) -> Vec<Span> {
        let took = self.took.lock().unwrap();
        let scopes = took.iter().flat_map(|request| &request.resource_spans).flat_map(|of| &of.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    async fn until(&self, spans: usize) -> Vec<Span> {
        let waited = timeout(Duration::from_secs(20), async {
            while self.spans().len() < spans {
                sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(waited.await.is_ok(), "{:?}", self.spans());
        self.spans()
    }
}

fn start(url: &str, share: Share, registry: &Registry) -> (Traces, Export) {
    let config = Config {
        endpoint: url.parse().unwrap(),
        share,
        service: "caudal-test".to_owned(),
        instance: "one".to_owned(),
    };
    Export::start(config, registry).unwrap()
}

fn counted(registry: &Registry, line: &str) -> Option<u64> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test]
async fn spans_of_a_stream_from_two_processes_are_one_trace_under_the_streams_id() {
    let collector = Collector::start().await;
    let (one, two) = (Registry::new(), Registry::new());
    let ((traces, export), (others, other)) =
        (start(&collector.url, Share::ALL, &one), start(&collector.url, Share::ALL, &two));
    let running = tokio::spawn(export.run(std::future::pending()));
    let other = tokio::spawn(other.run(std::future::pending()));
    let stream = StreamId::generate();
    let mut child = others.begin(stream, "relay");
    child.note("caudal.epoch", 2);
    child.went(Outcome::Failed, "no answer");
    child.end();
    traces.whole(stream, "broadcast", UnixMillis(1_790_000_000_000)).end();
    let spans = collector.until(2).await;
    let bytes = stream.0.into_bytes();
    assert!(spans.iter().all(|span| span.trace_id == bytes), "the trace's id is the stream's");
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (whole, relay) = (of("broadcast"), of("relay"));
    assert_eq!((whole.span_id.as_slice(), whole.parent_span_id.len()), (bytes.split_at(8).1, 0));
    assert_eq!(Duration::from_nanos(whole.start_time_unix_nano), Duration::from_millis(1_790_000_000_000));
    assert_eq!(relay.parent_span_id, whole.span_id);
    assert_ne!(relay.span_id, whole.span_id);
    assert!(relay.end_time_unix_nano >= relay.start_time_unix_nano);
    let status = relay.status.clone().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "no answer"));
    assert_eq!(relay.attributes.first().unwrap().key, "caudal.epoch");
    running.abort();
    other.abort();
}

#[tokio::test]
async fn a_collector_that_is_away_costs_its_spans_and_nothing_else_and_the_rest_is_flushed_at_the_end() {
    let collector = Collector::start().await;
    collector.answers(StatusCode::SERVICE_UNAVAILABLE);
    let registry = Registry::new();
    let (traces, export) = start(&collector.url, Share::ALL, &registry);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(export.run(async {
        let _ = stopped.await;
    }));
    let stream = StreamId::generate();
    traces.begin(stream, "lost").end();
    let lost = "caudal_traces_dropped_spans_total{reason=\"export_failed\"}";
    timeout(Duration::from_secs(20), async {
        while counted(&registry, lost) != Some(1) {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    collector.answers(StatusCode::OK);
    traces.begin(stream, "kept").end();
    stop.send(()).unwrap();
    timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
    let spans = collector.spans();
    assert_eq!(spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["kept"]);
    assert_eq!(counted(&registry, "caudal_traces_exported_spans_total"), Some(1));
}

#[tokio::test]
async fn a_span_that_finds_the_queue_full_is_dropped_at_once() {
    let registry = Registry::new();
    // Nobody sends what is queued.
    let (traces, _export) = start("http://127.0.0.1:9", Share::ALL, &registry);
    let stream = StreamId::generate();
    let begun = std::time::Instant::now();
    for _ in 0..5_000 {
        traces.begin(stream, "one of many").end();
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let dropped = counted(&registry, "caudal_traces_dropped_spans_total{reason=\"queue_full\"}");
    assert_eq!(dropped, Some(5_000 - 4_096));
}

#[tokio::test]
async fn a_stream_out_of_the_share_and_a_process_that_traces_nothing_make_no_span() {
    let registry = Registry::new();
    let (traces, _export) = start("http://127.0.0.1:9", "0".parse().unwrap(), &registry);
    for traces in [traces, Traces::off()] {
        let mut span = traces.begin_at(StreamId::generate(), "nothing", UNIX_EPOCH);
        span.note("caudal.epoch", 1);
        assert_eq!(format!("{span:?}"), "Span(None)");
    }
}
