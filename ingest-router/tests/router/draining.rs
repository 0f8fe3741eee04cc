//! A router that is told to stop while others run: its publishers go to them.

use std::time::Duration;

use caudal_ingest_router::{Config, Drain};
use caudal_livestream::feed::InputState;
use caudal_livestream::{Generation, StreamId};
use caudal_rtmp::Refusal;
use rml_amf0::{Amf0Value, serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fake_worker::FakeWorker;
use crate::harness::{Harness, KEY, authorize, refusal, within};

fn draining(accept: Duration, spread: Duration) -> impl FnOnce(&mut Config) {
    move |config| config.limits.drain = Drain { accept, spread, ..config.limits.drain }
}

#[tokio::test]
async fn whoever_a_load_balancer_still_sends_is_taken_for_a_while() {
    let harness = Harness::with(draining(Duration::from_secs(3), Duration::ZERO)).await;
    harness.shutdown.cancel();
    let mut encoder = harness.publish().await.unwrap();
    assert_eq!(refusal(&within(encoder.lost()).await).0, Some(Refusal::Rejected));
    harness.stop().await;
}

#[tokio::test]
async fn publishers_are_let_go_of_one_by_one() {
    let harness = Harness::with(draining(Duration::ZERO, Duration::from_secs(6))).await;
    let mut encoders = Vec::new();
    for _ in 0..2 {
        harness.api.set(authorize(StreamId::generate()));
        encoders.push(harness.publish().await.unwrap());
    }
    harness.shutdown.cancel();
    let losses = encoders.iter_mut().map(|encoder| Box::pin(encoder.lost()));
    let (first, _, others) = within(futures::future::select_all(losses)).await;
    assert_eq!(refusal(&first).0, Some(Refusal::Rejected));
    assert_eq!(harness.counted("caudal_ingest_router_publishers"), 1, "the other one goes on");
    for other in others {
        assert_eq!(refusal(&within(other).await).0, Some(Refusal::Rejected));
    }
    harness.stop().await;
}

#[tokio::test]
async fn an_encoder_that_can_reconnect_is_asked_to_and_takes_over_from_itself() {
    let first = Harness::start().await;
    let (directory, stream) = (first.directory.clone(), first.stream);
    let second = Harness::with(|config| config.directory = directory).await;
    second.api.set(authorize(stream));
    let mut encoder = ReconnectingEncoder::publish(&first).await;
    let worker = FakeWorker::start().await;
    first.directory.assign(stream, worker.address, 0);
    let ingest = first.record().spec.ingest.clone();
    worker.say(InputState {
        session: Some(ingest.session),
        generation: ingest.generation,
        up: true,
        silent_ms: Some(20),
        ..InputState::default()
    });
    let rival = second.publish().await.unwrap_err();
    assert_eq!(refusal(&rival).0, Some(Refusal::BadName), "it is on the air");

    first.shutdown.cancel();
    encoder.hears("NetConnection.Connect.ReconnectRequest").await;
    let _itself = second.publish().await.unwrap();
    assert_eq!(first.record().spec.ingest.generation, Generation(ingest.generation.0 + 1));
    first.stop().await;
    second.stop().await;
}

/// Says in `connect` that it understands requests to reconnect, as our relays do not.
struct ReconnectingEncoder {
    socket: TcpStream,
    heard: Vec<u8>,
}

impl ReconnectingEncoder {
    async fn publish(harness: &Harness) -> Self {
        let mut socket = TcpStream::connect(harness.rtmp).await.unwrap();
        // The plain handshake needs no answer to go on.
        let mut said = vec![3];
        said.resize(1 + 2 * 1536, 0);
        let connect = Amf0Value::Object(
            [
                ("app".to_owned(), Amf0Value::Utf8String("live".to_owned())),
                ("capsEx".to_owned(), Amf0Value::Number(1.0)),
            ]
            .into(),
        );
        said.extend(command(0, &[text("connect"), Amf0Value::Number(1.0), connect]));
        said.extend(command(0, &[text("createStream"), Amf0Value::Number(2.0), Amf0Value::Null]));
        let publish = [text("publish"), Amf0Value::Number(3.0), Amf0Value::Null, text(KEY), text("live")];
        said.extend(command(1, &publish));
        socket.write_all(&said).await.unwrap();
        let mut encoder = Self { socket, heard: Vec::new() };
        encoder.hears("NetStream.Publish.Start").await;
        encoder
    }

    async fn hears(&mut self, words: &str) {
        let heard = async {
            while !self.heard.windows(words.len()).any(|window| window == words.as_bytes()) {
                assert_ne!(self.socket.read_buf(&mut self.heard).await.unwrap(), 0, "closed before {words}");
            }
        };
        within(heard).await;
    }
}

fn text(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

/// A command in a single chunk: at most 128 bytes.
fn command(stream: u8, values: &[Amf0Value]) -> Vec<u8> {
    let body = serialize(&values.to_vec()).unwrap();
    assert!(body.len() <= 128);
    let length = u8::try_from(body.len()).unwrap();
    [vec![3, 0, 0, 0, 0, 0, length, 20, stream, 0, 0, 0], body].concat()
}
