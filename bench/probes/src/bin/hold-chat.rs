//! A room full of people, some of whom talk: how late everybody hears a message, whether anybody misses one, and how
//! long it takes until all are back after all were cut off.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use caudal_bench::percentiles;
use caudal_bench::web_socket::{self, Listener, Received, Talker};
use clap::Parser;
use tokio::sync::Mutex;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Fills a room, lets people talk in it, cuts everybody off and lets them return. Prints a line of JSON when all are there, when
/// talking begins, and the figures at the end. Access tokens of those who talk are read from standard input, a line each.
#[derive(Clone, Parser)]
struct Arguments {
    /// The api.
    address: SocketAddr,
    /// The stream's id.
    stream: String,
    /// How many only listen.
    #[arg(long, default_value_t = 1000)]
    listeners: u32,
    /// Messages a second, of all who talk.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How long they talk.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Speak Socket.IO instead of raw JSON.
    #[arg(long)]
    socket_io: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Rc::new(Arguments::parse());
    let tokens: Vec<String> = std::io::stdin().lines().collect::<Result<_, _>>()?;
    ensure!(!tokens.is_empty(), "nobody talks: access tokens come by standard input");
    LocalSet::new().run_until(measure(arguments, tokens)).await
}

async fn measure(arguments: Rc<Arguments>, tokens: Vec<String>) -> anyhow::Result<()> {
    let room = Rc::new(Room::default());
    let mut people: JoinSet<anyhow::Result<Position>> = JoinSet::new();
    for _ in 0..arguments.listeners {
        let (listener, talker) = enter(&arguments, None, None).await?;
        people.spawn_local(Rc::clone(&room).listen(listener, Rc::new(Mutex::new(talker))));
    }
    let mut voices = Vec::new();
    for token in &tokens {
        let (listener, mut talker) = enter(&arguments, None, Some(token)).await?;
        if !arguments.socket_io {
            talker
                .send(&serde_json::json!({"event": "authenticate", "data": {"token": token}}).to_string())
                .await?;
        }
        let talker = Rc::new(Mutex::new(talker));
        people.spawn_local(Rc::clone(&room).listen(listener, Rc::clone(&talker)));
        voices.push(talker);
    }
    println!("{}", serde_json::json!({"connected": people.len()}));
    sleep(SETTLE).await;
    println!("{}", serde_json::json!({"talking": true}));
    let end = timeout(Duration::from_secs(arguments.seconds), async {
        tokio::select! {
            end = talk(&arguments, &room, &voices) => end,
            Some(end) = people.join_next() => Err(end.map_or_else(Into::into, |end| end.err().unwrap_or_else(|| anyhow::anyhow!("somebody left")))),
        }
    });
    if let Ok(Err(error)) = end.await {
        return Err(error);
    }
    // What was said last is still on its way.
    sleep(SETTLE).await;
    println!("{}", serde_json::json!({"silent": true}));
    room.over.cancel();
    let mut positions = Vec::new();
    while let Some(position) = people.join_next().await {
        positions.push(position??);
    }
    let last = positions.iter().map(|position| position.offset).max().unwrap_or_default();
    let missed: u64 = positions.iter().map(|position| position.missed() + last - position.offset).sum();
    let back = return_all(&arguments, &positions).await?;
    let said = room.sent.borrow().len();
    println!(
        "{}",
        serde_json::json!({
            "people": positions.len(),
            "said": said,
            "refused": room.refused.get(),
            "heard": room.late.borrow().len(),
            "missed": missed,
            "late": percentiles(&mut room.late.borrow_mut()),
            "returnSeconds": back.as_secs_f64(),
        })
    );
    Ok(())
}

/// Says something in turns.
async fn talk(arguments: &Arguments, room: &Room, voices: &[Rc<Mutex<Talker>>]) -> anyhow::Result<()> {
    let (between, began) = (Duration::from_secs_f64(1.0 / arguments.rate), Instant::now());
    for (number, voice) in (0_u32..).zip(voices.iter().cycle()) {
        sleep_until((began + between * number).into()).await;
        let text = format!("{MARK}{number} and some words more, as people use");
        room.sent.borrow_mut().push(Instant::now());
        let event = if arguments.socket_io {
            let data = serde_json::json!(["send_message", {"streamId": arguments.stream, "message": text}]);
            format!("42{number}{data}")
        } else {
            serde_json::json!({"event": "send_message", "data": {"message": text}, "id": number}).to_string()
        };
        voice.lock().await.send(&event).await?;
    }
    Ok(())
}

/// All at once, as after a restart of the server: until the last one is in the room.
async fn return_all(arguments: &Rc<Arguments>, positions: &[Position]) -> anyhow::Result<Duration> {
    let mut coming = JoinSet::new();
    let began = Instant::now();
    for position in positions.iter().copied() {
        let arguments = Rc::clone(arguments);
        coming.spawn_local(async move { enter(&arguments, Some(position), None).await });
    }
    let mut sockets = Vec::new();
    while let Some(entered) = coming.join_next().await {
        sockets.push(entered??);
    }
    Ok(began.elapsed())
}

/// Connects, and waits until the room has answered.
async fn enter(
    arguments: &Arguments,
    since: Option<Position>,
    token: Option<&str>,
) -> anyhow::Result<(Listener, Talker)> {
    let since = since.map(|Position { epoch, offset, .. }| format!("{epoch}.{offset}"));
    if !arguments.socket_io {
        let query = since.map_or_else(String::new, |since| format!("?since={since}"));
        let path = format!("/ws/chat/{}{query}", arguments.stream);
        let (mut listener, mut talker) = web_socket::open(arguments.address, &path).await?;
        wait_for(&mut listener, &mut talker, "\"joined\"").await?;
        return Ok((listener, talker));
    }
    let (mut listener, mut talker) =
        web_socket::open(arguments.address, "/socket.io/?EIO=4&transport=websocket").await?;
    wait_for(&mut listener, &mut talker, "0{").await?;
    let auth = token.map_or_else(String::new, |token| serde_json::json!({"token": token}).to_string());
    talker.send(&format!("40{auth}")).await?;
    wait_for(&mut listener, &mut talker, "40").await?;
    let join = serde_json::json!(["join_stream", {"streamId": arguments.stream, "since": since}]);
    talker.send(&format!("420{join}")).await?;
    let answer = wait_for(&mut listener, &mut talker, "430").await?;
    ensure!(!answer.contains("\"ok\":false"), "{answer}");
    Ok((listener, talker))
}

async fn wait_for(listener: &mut Listener, talker: &mut Talker, what: &str) -> anyhow::Result<String> {
    loop {
        match timeout(PATIENCE, listener.next()).await.context("no answer")?? {
            Received::Ping(payload) => talker.pong(&payload).await?,
            Received::Text(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                // Engine.IO's first ping comes with its greeting.
                if text == ENGINE_PING {
                    talker.send(ENGINE_PONG).await?;
                } else if text.contains(what) {
                    return Ok(text);
                }
            }
        }
    }
}

/// What everybody has heard.
#[derive(Default)]
struct Room {
    sent: RefCell<Vec<Instant>>,
    late: RefCell<Vec<Duration>>,
    refused: Cell<u64>,
    over: CancellationToken,
}

impl Room {
    /// Until all is over; where the last event stood.
    async fn listen(
        self: Rc<Self>,
        mut listener: Listener,
        talker: Rc<Mutex<Talker>>,
    ) -> anyhow::Result<Position> {
        let mut position = Position::default();
        loop {
            let received = tokio::select! {
                received = listener.next() => received?,
                () = self.over.cancelled() => return Ok(position),
            };
            match received {
                Received::Ping(payload) => talker.lock().await.pong(&payload).await?,
                Received::Text(text) => {
                    let text = std::str::from_utf8(&text)?;
                    if text == ENGINE_PING {
                        talker.lock().await.send(ENGINE_PONG).await?;
                    } else {
                        self.hear(text, &mut position, Instant::now())?;
                    }
                }
            }
        }
    }

    fn hear(&self, text: &str, position: &mut Position, now: Instant) -> anyhow::Result<()> {
        if text.contains("\"ok\":false") {
            self.refused.set(self.refused.get() + 1);
            return Ok(());
        }
        if text.contains("\"resync\"") {
            bail!("events were lost: {text}");
        }
        let (Some(epoch), Some(offset)) =
            (number_after(text, "\"epoch\":"), number_after(text, "\"offset\":"))
        else {
            return Ok(());
        };
        if position.heard == 0 {
            position.first = offset;
        }
        position.heard += 1;
        // An answer may overtake events that were before it.
        if offset > position.offset {
            (position.epoch, position.offset) = (epoch, offset);
        }
        if text.contains("\"new_message\"")
            && let Some(number) = number_after(text, MARK)
            && let Some(sent) = self.sent.borrow().get(usize::try_from(number)?)
        {
            self.late.borrow_mut().push(now.duration_since(*sent));
        }
        Ok(())
    }
}

/// Where somebody is in the room's order.
#[derive(Clone, Copy, Default)]
struct Position {
    epoch: u64,
    /// Of the first and of the last event.
    first: u64,
    offset: u64,
    /// How many events and answers; with nothing missed as many as there are from the first to the last.
    heard: u64,
}

impl Position {
    fn missed(self) -> u64 {
        if self.heard == 0 { 0 } else { (self.offset + 1 - self.first).saturating_sub(self.heard) }
    }
}

fn number_after(text: &str, mark: &str) -> Option<u64> {
    let (_, rest) = text.split_once(mark)?;
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Before the number of a message, in its text.
const MARK: &str = "number ";
const SETTLE: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(30);
/// Of Engine.IO.
const ENGINE_PING: &str = "2";
const ENGINE_PONG: &str = "3";
