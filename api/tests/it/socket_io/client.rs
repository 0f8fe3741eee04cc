//! A client of Socket.IO, over a WebSocket or by polling.

use std::collections::VecDeque;

use caudal_livestream::StreamId;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::soon;
use crate::running::{Running, send};

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How packets of Engine.IO travel.
enum Carrier {
    Socket(Box<Socket>),
    Polling { http: reqwest::Client, url: String },
}

pub(super) struct Client {
    carrier: Carrier,
    pub(super) sid: String,
    pub(super) arrived: VecDeque<String>,
    asked: u64,
}

#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Event(String, Value),
    Answer(u64, Value),
    Other(String),
    Disconnected,
    /// By Engine.IO, or under it.
    Closed,
}

impl Client {
    /// Over a WebSocket from the beginning, and into the namespace.
    pub(super) async fn connect(api: &Running, auth: Value) -> Self {
        let mut client = Self::open(api, "").await;
        client.enter(auth).await;
        client
    }

    /// As the official client begins unless it is told otherwise.
    pub(super) async fn poll(api: &Running, auth: Value) -> Self {
        let mut client = Self::knock(api).await;
        client.enter(auth).await;
        client
    }

    pub(super) async fn open(api: &Running, query: &str) -> Self {
        let mut socket = dial(api, query).await.unwrap();
        let opened = soon(socket.next()).await.unwrap().unwrap().into_text().unwrap();
        let opened: Value = serde_json::from_str(opened.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(opened["upgrades"], json!([]));
        let sid = opened["sid"].as_str().unwrap().to_owned();
        Self { carrier: Carrier::Socket(socket.into()), sid, arrived: VecDeque::new(), asked: 0 }
    }

    pub(super) async fn knock(api: &Running) -> Self {
        let answer = api.get("/socket.io/?EIO=4&transport=polling").await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
        let opened: Value =
            serde_json::from_str(answer.json.as_str().unwrap().strip_prefix('0').unwrap()).unwrap();
        assert_eq!(opened["upgrades"], json!(["websocket"]));
        let sid = opened["sid"].as_str().unwrap().to_owned();
        let url = format!("{}/socket.io/?EIO=4&transport=polling&sid={sid}", api.url);
        let carrier = Carrier::Polling { http: api.http.clone(), url };
        Self { carrier, sid, arrived: VecDeque::new(), asked: 0 }
    }

    pub(super) async fn enter(&mut self, auth: Value) {
        self.send(&format!("40{auth}")).await;
        match self.next().await {
            Heard::Other(packet) => assert!(packet.starts_with(r#"0{"sid":""#), "{packet}"),
            other => panic!("{other:?}"),
        }
    }

    /// Goes on over a WebSocket.
    pub(super) async fn change(&mut self, api: &Running) {
        let mut socket = dial(api, &format!("&sid={}", self.sid)).await.unwrap();
        socket.send("2probe".into()).await.unwrap();
        assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text("3probe"));
        socket.send("5".into()).await.unwrap();
        self.carrier = Carrier::Socket(socket.into());
    }

    /// A packet of Engine.IO; whether it went out.
    pub(super) async fn send(&mut self, packet: &str) -> bool {
        match &mut self.carrier {
            Carrier::Socket(socket) => socket.send(packet.into()).await.is_ok(),
            Carrier::Polling { http, url } => {
                let answer = send(http.post(url.as_str()).body(packet.to_owned())).await;
                answer.status == 200
            }
        }
    }

    /// What one look brings; none at the end.
    pub(super) async fn look(&mut self) -> Option<()> {
        match &mut self.carrier {
            Carrier::Socket(socket) => match soon(socket.next()).await {
                Some(Ok(Message::Text(text))) => self.arrived.push_back(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            },
            Carrier::Polling { http, url } => {
                let answer = soon(http.get(url.as_str()).send()).await.unwrap();
                if answer.status() != 200 {
                    return None;
                }
                let text = answer.text().await.unwrap();
                self.arrived
                    .extend(text.split('\u{1e}').filter(|packet| !packet.is_empty()).map(str::to_owned));
            }
        }
        Some(())
    }

    /// The next of Socket.IO's packets that is no count of viewers; pings are answered.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            let Some(packet) = self.arrived.pop_front() else {
                if self.look().await.is_none() {
                    return Heard::Closed;
                }
                continue;
            };
            match packet.split_at(1) {
                ("2", "") => drop(self.send("3").await),
                ("1", "") => return Heard::Closed,
                ("6", "") => {}
                ("4", "1") => return Heard::Disconnected,
                ("4", text) if text.starts_with(['2', '3']) => {
                    let at = text.find('[').unwrap();
                    let data: Vec<Value> = serde_json::from_str(&text[at..]).unwrap();
                    if text.starts_with('3') {
                        return Heard::Answer(text[1..at].parse().unwrap(), data[0].clone());
                    }
                    if data[0] != "viewer_count" {
                        return Heard::Event(data[0].as_str().unwrap().to_owned(), data[1].clone());
                    }
                }
                ("4", text) => return Heard::Other(text.to_owned()),
                other => panic!("{other:?}"),
            }
        }
    }

    pub(super) async fn hear(&mut self, event: &str) -> Value {
        match soon(self.next()).await {
            Heard::Event(name, data) if name == event => data,
            other => panic!("{other:?} instead of {event}"),
        }
    }

    /// Without a callback.
    pub(super) async fn tell(&mut self, event: &str, data: Value) {
        assert!(self.send(&format!("42{}", json!([event, data]))).await);
    }

    pub(super) async fn ask(&mut self, event: &str, data: Value) -> Value {
        self.asked += 1;
        let asked = self.asked;
        assert!(self.send(&format!("42{asked}{}", json!([event, data]))).await);
        match soon(self.next()).await {
            Heard::Answer(of, data) if of == asked => data,
            other => panic!("{other:?} instead of the answer to {event}"),
        }
    }

    pub(super) async fn join(&mut self, stream: StreamId) -> Value {
        let joined = self.ask("join_stream", json!(stream)).await;
        assert_eq!((&joined["ok"], &joined["streamId"]), (&json!(true), &json!(stream)), "{joined}");
        joined
    }

    pub(super) async fn say(&mut self, stream: StreamId, text: &str) -> Value {
        let answer = self.ask("send_message", json!({ "streamId": stream, "message": text })).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer["message"].clone()
    }
}

pub(super) async fn dial(api: &Running, query: &str) -> Result<Socket, tungstenite::Error> {
    let url = format!("{}/socket.io/?EIO=4&transport=websocket{query}", api.url.replace("http", "ws"));
    Ok(connect_async(url).await?.0)
}
