//! A worker that only listens: it tells what its router sends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use caudal_livestream::WorkerId;
use caudal_livestream::feed::InputState;
use caudal_livestream::record::WorkerAddress;
use caudal_rtmp::{Limits, PublisherConnection, PublisherEvent, Refusal};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What a worker hears.
#[derive(Debug)]
pub(crate) enum Heard {
    Relay { app: String, stream: String, epoch: String, session: String, generation: String, auth: String },
    Event(PublisherEvent),
}

/// How it treats a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Listen,
    /// Listens, and says behind each tag that it needs nothing of the next so many milliseconds.
    Await(u32),
    /// Takes it and reads nothing.
    Freeze,
    Refuse(Refusal),
    /// Takes it and hangs up.
    HangUp,
}

pub(crate) struct FakeWorker {
    pub(crate) address: WorkerAddress,
    heard: mpsc::UnboundedReceiver<Heard>,
    manner: watch::Sender<Manner>,
    input: Arc<Mutex<InputState>>,
    tasks: Vec<JoinHandle<()>>,
}

impl FakeWorker {
    pub(crate) async fn start() -> Self {
        let rtmp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = WorkerAddress {
            worker: WorkerId::generate(),
            rtmp: rtmp.local_addr().unwrap(),
            http: http.local_addr().unwrap(),
        };
        let (sender, heard) = mpsc::unbounded_channel();
        let manner = watch::Sender::new(Manner::Listen);
        let input = Arc::new(Mutex::new(InputState::default()));
        let routes = Router::new().route("/input", get(answer_input)).with_state(Arc::clone(&input));
        let manners = manner.subscribe();
        let tasks = vec![
            tokio::spawn(async move { axum::serve(http, routes).await.unwrap() }),
            tokio::spawn(async move {
                let mut relays = tokio::task::JoinSet::new();
                loop {
                    let (socket, _) = rtmp.accept().await.unwrap();
                    relays.spawn(relay(socket, sender.clone(), manners.clone()));
                }
            }),
        ];
        Self { address, heard, manner, input, tasks }
    }

    pub(crate) fn treat(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// What it says of its publisher.
    pub(crate) fn say(&self, input: InputState) {
        *self.input.lock().unwrap() = input;
    }

    pub(crate) async fn hears(&mut self) -> Heard {
        timeout(Duration::from_secs(20), self.heard.recv()).await.expect("the worker heard nothing").unwrap()
    }

    /// The next relay: epoch and generation.
    pub(crate) async fn hears_relay(&mut self) -> (String, String) {
        loop {
            if let Heard::Relay { epoch, generation, .. } = self.hears().await {
                return (epoch, generation);
            }
        }
    }

    /// The next video: its first two bytes and its timestamp.
    pub(crate) async fn hears_video(&mut self) -> ([u8; 2], u32) {
        loop {
            if let Heard::Event(PublisherEvent::Video { timestamp_ms, data }) = self.hears().await {
                return ([data[0], data[1]], timestamp_ms);
            }
        }
    }

    /// Whether the publisher said good-bye.
    pub(crate) async fn hears_loss(&mut self) -> bool {
        loop {
            if let Heard::Event(PublisherEvent::Lost { explicit, .. }) = self.hears().await {
                return explicit;
            }
        }
    }

    /// Listeners and relays are gone, without a word.
    pub(crate) async fn die(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for FakeWorker {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn answer_input(State(input): State<Arc<Mutex<InputState>>>) -> Json<InputState> {
    Json(input.lock().unwrap().clone())
}

async fn relay(socket: TcpStream, heard: mpsc::UnboundedSender<Heard>, mut manners: watch::Receiver<Manner>) {
    let limits = Limits { max_bitrate: None, ..Limits::default() };
    let Ok(request) = PublisherConnection::accept_tcp(socket, limits).await else { return };
    let details = request.details();
    let query = |name| details.query.get(name).unwrap_or_default().to_owned();
    let relay = Heard::Relay {
        app: details.app.clone(),
        stream: details.name.expose().to_owned(),
        epoch: query("epoch"),
        session: query("session"),
        generation: query("generation"),
        auth: query("auth"),
    };
    let manner = *manners.borrow();
    if let Manner::Refuse(refusal) = manner {
        let _ = heard.send(relay);
        request.reject(refusal, "no").await;
        return;
    }
    let mut publisher = request.accept().await;
    let _ = heard.send(relay);
    if manner == Manner::HangUp {
        return;
    }
    let _ = manners.wait_for(|manner| *manner != Manner::Freeze).await;
    while let Some(event) = publisher.next_event().await {
        if let (
            Manner::Await(span),
            PublisherEvent::Video { timestamp_ms, .. } | PublisherEvent::Audio { timestamp_ms, .. },
        ) = (manner, &event)
        {
            publisher.awaits(timestamp_ms.wrapping_add(span));
        }
        let _ = heard.send(Heard::Event(event));
    }
}
