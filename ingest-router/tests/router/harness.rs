//! A router with everything around it made up, and an encoder that publishes to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_ingest_router::{Config, Drain, Error, Internal, Limits, RECONNECT_WINDOW, run};
use caudal_livestream::StreamId;
use caudal_livestream::admission::SecondPublisher;
use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::LiveStream;
use caudal_rtmp::{Refusal, RelayClient, RelayError, RelayPublisher, RelayTarget};
use caudal_service::internal::{CallerKey, Signer, Verifier};
use prometheus::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::fake_api::{FakeApi, Mood};
use crate::fake_directory::FakeDirectory;
use crate::fake_worker::FakeWorker;

pub(crate) const KEY: &str = "a-secret-stream-key";

pub(crate) struct Harness {
    pub(crate) api: FakeApi,
    pub(crate) directory: Arc<FakeDirectory>,
    pub(crate) stream: StreamId,
    pub(crate) rtmp: SocketAddr,
    pub(crate) internal: String,
    pub(crate) registry: Registry,
    pub(crate) shutdown: CancellationToken,
    pub(crate) router: JoinHandle<Result<(), Error>>,
}

pub(crate) type Encoder = RelayPublisher<TcpStream>;

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings of its own.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let verifier = Verifier::new().allow("ingest-router", caller_key());
        let stream = StreamId::generate();
        let api = FakeApi::start(verifier.clone(), authorize(stream)).await;
        let directory = Arc::new(FakeDirectory::default());
        let rtmp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let internal = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (rtmp_address, internal_address) = (rtmp.local_addr().unwrap(), internal.local_addr().unwrap());
        let registry = Registry::new();
        let mut config = Config {
            rtmp,
            rtmps: None,
            internal: Internal { listener: internal, verifier, advertised: None },
            directory: directory.clone(),
            api_url: api.url.clone(),
            signer: signer(),
            input_key: input_key(),
            second_publisher: None,
            reconnect_window: RECONNECT_WINDOW,
            limits: Limits {
                drain: Drain { farewell: Duration::from_secs(10), ..Drain::default() },
                ..Limits::default()
            },
            redis_url: None,
            registry: registry.clone(),
            traces: caudal_traces::Traces::off(),
        };
        change(&mut config);
        let shutdown = CancellationToken::new();
        let router = tokio::spawn(run(config, shutdown.clone()));
        let internal = format!("http://{internal_address}");
        Self { api, directory, stream, rtmp: rtmp_address, internal, registry, shutdown, router }
    }

    /// A publisher that was let in, its stream, and the worker that takes it.
    pub(crate) async fn live(&self) -> (Encoder, FakeWorker) {
        let encoder = self.publish().await.unwrap();
        let mut worker = FakeWorker::start().await;
        self.directory.assign(self.stream, worker.address, 0);
        worker.hears_relay().await;
        (encoder, worker)
    }

    pub(crate) async fn publish(&self) -> Result<Encoder, RelayError> {
        self.publish_key(KEY).await
    }

    pub(crate) async fn publish_key(&self, key: &str) -> Result<Encoder, RelayError> {
        RelayClient::connect_tcp(self.rtmp, target(key), Instant::now() + Duration::from_secs(20)).await
    }

    pub(crate) fn record(&self) -> Arc<LiveStream> {
        use caudal_directory::StreamDirectory as _;
        self.directory.get(self.stream).unwrap()
    }

    /// The sum of a metric's values, whatever its labels.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect(name);
        let values = family.get_metric().iter().map(|metric| {
            let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
            format!("{value:.0}").parse::<u64>().unwrap()
        });
        values.sum()
    }

    /// Waits until a metric has come to so much.
    pub(crate) async fn counts(&self, name: &str, wanted: u64) {
        within(async {
            while self.counted(name) < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert_eq!(self.counted(name), wanted, "{name}");
    }

    /// How many values a histogram holds, and their sum.
    pub(crate) fn observed(&self, name: &str) -> (u64, f64) {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect(name);
        let histogram = family.get_metric()[0].get_histogram();
        (histogram.get_sample_count(), histogram.get_sample_sum())
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        within(self.router).await.unwrap().unwrap();
    }
}

pub(crate) fn authorize(stream: StreamId) -> Mood {
    Mood::Authorize { stream, policy: SecondPublisher::Reject }
}

pub(crate) fn target(key: &str) -> RelayTarget {
    RelayTarget { app: "live".into(), stream_name: key.into(), tc_url: "rtmp://localhost/live".into() }
}

pub(crate) fn caller_key() -> CallerKey {
    CallerKey::new(*b"0123456789abcdef0123456789abcdef")
}

pub(crate) fn signer() -> Signer {
    Signer::new("ingest-router", caller_key())
}

pub(crate) fn input_key() -> RoleKey {
    RoleKey::new([7; 32])
}

pub(crate) fn refusal(error: &RelayError) -> (Option<Refusal>, String) {
    match error {
        RelayError::Refused { refusal, description, .. } => (*refusal, description.clone()),
        other => panic!("not refused but: {other}"),
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("nothing happened in 20 s")
}

/// What encoders send: headers first.
pub(crate) async fn send_headers<IO: AsyncRead + AsyncWrite + Unpin + Send>(
    encoder: &mut RelayPublisher<IO>,
) {
    encoder.send_video(0, AVC_HEADER).unwrap();
    encoder.send_audio(0, Bytes::from_static(&[0xAF, 0, 0x12, 0x10])).unwrap();
    within(encoder.flush()).await.unwrap();
}

/// One video frame.
pub(crate) async fn send_frame<IO>(
    encoder: &mut RelayPublisher<IO>,
    timestamp_ms: u32,
    kind: Frame,
    length: usize,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut body = vec![if kind == Frame::Key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
    body.resize(length.max(9), 0);
    encoder.send_video(timestamp_ms, body.into()).unwrap();
    within(encoder.flush()).await.unwrap();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Key,
    Inter,
}

pub(crate) const HEADER: [u8; 2] = [0x17, 0];
pub(crate) const KEYFRAME: [u8; 2] = [0x17, 1];
pub(crate) const INTER: [u8; 2] = [0x27, 1];

/// x264's configuration of a 1280x720 stream.
pub(crate) const AVC_HEADER: Bytes = Bytes::from_static(&[
    0x17, 0, 0, 0, 0, 1, 0x42, 0xC0, 0x1F, 0xFF, 0xE1, 0, 0x17, 0x67, 0x42, 0xC0, 0x1F, 0xDA, 1, 0x40, 0x16,
    0xEC, 4, 0x40, 0, 0, 3, 0, 0x40, 0, 0, 0x0F, 3, 0xC6, 0x0C, 0xA8, 1, 0, 4, 0x68, 0xCE, 0x0F, 0xC8,
]);
