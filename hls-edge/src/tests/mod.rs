//! The edge over real connections: a listener, a worker that announces what the test says, storage in a folder.
#![allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "small numbers")]

mod bad_workers;
mod broadcast;
mod fake_directory;
mod fake_worker;
mod grants;
mod lead_in;
mod life;
mod media;
mod mirror_cases;
mod moving;
mod reload_table;
mod strangers;
mod viewing;
mod waiting;

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_directory::{Audience as _, LocalAudience};
use caudal_livestream::StreamId;
use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::Phase;
use caudal_service::http::HttpLimits;
use caudal_storage::SegmentStore;
use prometheus::Registry;
use reqwest::{Client, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Config, EdgeLimits, Error, TicketKey, run};
use fake_directory::FakeDirectory;
use fake_worker::FakeWorker;

/// A running edge with one stream in its directory.
struct Scene {
    stream: StreamId,
    directory: Arc<FakeDirectory>,
    audience: Arc<LocalAudience>,
    store: SegmentStore,
    folder: tempfile::TempDir,
    registry: Registry,
    address: SocketAddr,
    client: Client,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), Error>>,
}

impl Scene {
    async fn new() -> Self {
        Self::with_limits(EdgeLimits::default()).await
    }

    async fn with_limits(limits: EdgeLimits) -> Self {
        let stream = StreamId::generate();
        let directory = Arc::new(FakeDirectory::new(stream));
        let audience = Arc::new(LocalAudience::default());
        let folder = tempfile::tempdir().unwrap();
        let store = SegmentStore::folder(folder.path()).unwrap();
        let registry = Registry::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let config = Config {
            listener,
            tls: None,
            directory: Arc::<FakeDirectory>::clone(&directory),
            audience: Arc::<LocalAudience>::clone(&audience),
            store: store.clone(),
            feed_key: feed_key(),
            ticket_key: TicketKey::new([9; 32]),
            trusted_proxies: "127.0.0.0/8".parse().unwrap(),
            registry: registry.clone(),
            limits,
            http: HttpLimits::default(),
            leaving: CancellationToken::new(),
        };
        let running = tokio::spawn(run(config, shutdown.clone()));
        // Made by the worker client in the edge, too; the test's client may be first.
        caudal_service::install_crypto();
        let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { stream, directory, audience, store, folder, registry, address, client, shutdown, running }
    }

    /// A worker of this scene's stream that the directory names.
    async fn worker(&self, epoch: u32) -> FakeWorker {
        let worker = FakeWorker::start(self.stream, epoch, &feed_key(), self.store.clone()).await;
        self.directory.assign(&worker, Phase::Live);
        worker
    }

    /// The same as the first one, with its first segment closed and stored.
    async fn worker_with_a_stored_segment(&self) -> FakeWorker {
        let worker = self.worker(1).await;
        worker.announce(&["source"]);
        for _ in 1..5 {
            worker.part();
        }
        worker.close();
        worker.store().await;
        worker
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{}", self.address, path.replace("{s}", &self.stream.to_string()))
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// Until there is room for it.
    async fn until_had(&self, path: &str) {
        let begun = Instant::now();
        while self.status(path).await == 503 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{path} stays refused");
        }
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    async fn text(&self, path: &str) -> String {
        let response = self.get(path).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    async fn bytes(&self, path: &str) -> Bytes {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.unwrap()
    }

    /// Nobody can say now whether it is there.
    async fn cannot_say(&self, path: &str) {
        let response = self.get(path).await;
        assert_eq!(response.status(), 503, "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
    }

    /// A stored file of the stream that cannot be opened and that nobody is refused.
    fn hang(&self, file: &str) -> Hanging {
        Hanging::at(self.path(file))
    }

    /// Where a stored file of the stream lies.
    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(format!("live/{}/{file}", self.stream))
    }

    /// A request under way.
    fn start(&self, path: &str) -> JoinHandle<(u16, String)> {
        let request = self.client.get(self.url(path));
        tokio::spawn(async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        })
    }

    fn metric(&self, name: &str) -> i64 {
        let family = self.registry.gather().into_iter().find(|family| family.name() == name);
        family.map_or(0, |family| {
            let values =
                family.get_metric().iter().map(|m| m.get_gauge().get_value() + m.get_counter().get_value());
            values.sum::<f64>() as i64
        })
    }

    async fn until_waiting(&self, requests: i64) {
        until("requests wait", || self.metric("caudal_hls_edge_waiting_requests") == requests).await;
    }

    fn viewers(&self) -> u32 {
        self.audience.viewers(self.stream)
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

/// A file whose readers wait, as on a volume that hangs, until this is dropped.
pub(crate) struct Hanging {
    path: PathBuf,
}

impl Hanging {
    pub(crate) fn at(path: PathBuf) -> Self {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        Self { path }
    }

    /// Lets those go who wait now; none when nobody does.
    pub(crate) fn let_go(&self) -> Option<std::fs::File> {
        std::fs::OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&self.path).ok()
    }
}

/// A runtime does not end while somebody waits.
impl Drop for Hanging {
    fn drop(&mut self) {
        // Whoever opens it before it is gone finds a writer.
        let _writer = std::fs::OpenOptions::new().read(true).write(true).open(&self.path);
        std::fs::remove_file(&self.path).unwrap();
    }
}

const O_NONBLOCK: i32 = 0o4000;

fn feed_key() -> RoleKey {
    RoleKey::new([7; 32])
}

/// Looks again and again until `condition` holds; fails after ten seconds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same for what a request answers.
async fn until_text(scene: &Scene, path: &str, holds: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    loop {
        let text = scene.text(path).await;
        if holds(&text) {
            return text;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{path} stays {text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
