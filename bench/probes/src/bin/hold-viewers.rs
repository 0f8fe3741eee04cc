//! Many low-latency viewers of one stream: each waits for the next playlist of picture and sound and then takes the
//! part that it announces, as hls.js does. Tells how long after the first of them the others have it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use caudal_bench::connection::Connection;
use caudal_bench::percentiles;
use clap::Parser;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

/// Holds viewers for a while and prints, as JSON, how late each had each part.
#[derive(Parser)]
struct Arguments {
    /// The edge.
    address: SocketAddr,
    /// The stream's id.
    stream: String,
    /// How many watch; each has a connection for the picture and one for the sound.
    #[arg(long, default_value_t = 1000)]
    viewers: u32,
    /// How long to measure, after all have come.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Rc::new(Arguments::parse());
    LocalSet::new().run_until(measure(arguments)).await
}

async fn measure(arguments: Rc<Arguments>) -> anyhow::Result<()> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let mut viewers: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for number in 0..arguments.viewers {
        for rendition in RENDITIONS {
            let (arguments, seen) = (Rc::clone(&arguments), Rc::clone(&seen));
            viewers.spawn_local(async move { watch(&arguments, number, rendition, &seen).await });
        }
        sleep(BETWEEN_ARRIVALS).await;
    }
    sleep(SETTLE).await;
    seen.borrow_mut().start();
    let end = timeout(Duration::from_secs(arguments.seconds), async {
        match viewers.join_next().await {
            Some(Ok(Err(error))) => error,
            _ => anyhow::anyhow!("a viewer ended"),
        }
    })
    .await;
    if let Ok(error) = end {
        return Err(error);
    }
    viewers.abort_all();
    seen.borrow_mut().print(&arguments)
}

/// Follows one rendition on one connection.
async fn watch(
    arguments: &Arguments,
    number: u32,
    rendition: &'static str,
    seen: &RefCell<Seen>,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(arguments.address).await?;
    let base = format!("/live/{}/{rendition}/", arguments.stream);
    let viewer = format!("v={number}");
    let playlist = connection.get(&format!("{base}index.m3u8?{viewer}")).await?;
    let mut position = Position::read(&playlist)?;
    loop {
        let Position { msn, parts, last } = position;
        let url = format!("{base}index.m3u8?_HLS_msn={msn}&_HLS_part={parts}&_HLS_skip=YES&{viewer}");
        let playlist = connection.get(&url).await?;
        let now = Instant::now();
        position = Position::read(&playlist)?;
        ensure!(position.last.1 > last.1, "the playlist did not go on: {url}");
        for part in last.1.saturating_add(1)..=position.last.1 {
            seen.borrow_mut().announced(rendition, part, now);
        }
        let (epoch, part) = position.last;
        connection.get(&format!("{base}p{epoch}-{part}.m4s?{viewer}")).await?;
        seen.borrow_mut().fetched(rendition, part, Instant::now());
    }
}

/// Where a playlist ends.
#[derive(Clone, Copy)]
struct Position {
    /// The segment that is not finished.
    msn: u64,
    /// How many parts it has.
    parts: u64,
    /// Epoch and number of the newest part.
    last: (u64, u64),
}

impl Position {
    fn read(playlist: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(playlist)?;
        let mut position = Self { msn: 0, parts: 0, last: (0, 0) };
        for line in text.lines() {
            if let Some(part) = line.strip_prefix("#EXT-X-PART:") {
                position.parts += 1;
                let (_, name) = part.split_once("URI=\"p").context("a part's URI")?;
                let (epoch, rest) = name.split_once('-').context("a part's epoch")?;
                let (number, _) = rest.split_once('.').context("a part's number")?;
                position.last = (epoch.parse()?, number.parse()?);
            } else if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                position.msn += first.parse::<u64>()?;
            } else if let Some(skipped) = line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS=") {
                position.msn += skipped.parse::<u64>()?;
            } else if !line.is_empty() && !line.starts_with('#') {
                position.msn += 1;
                position.parts = 0;
            }
        }
        Ok(position)
    }
}

/// When the first viewer had a part, and how much later the others.
#[derive(Default)]
struct Seen {
    started: bool,
    announced: Lateness,
    fetched: Lateness,
}

#[derive(Default)]
struct Lateness {
    first: HashMap<(&'static str, u64), Instant>,
    late: Vec<Duration>,
}

impl Lateness {
    fn note(&mut self, rendition: &'static str, part: u64, now: Instant) {
        let first = *self.first.entry((rendition, part)).or_insert(now);
        self.late.push(now.duration_since(first));
    }
}

impl Seen {
    fn start(&mut self) {
        self.started = true;
    }

    fn announced(&mut self, rendition: &'static str, part: u64, now: Instant) {
        if self.started {
            self.announced.note(rendition, part, now);
        }
    }

    fn fetched(&mut self, rendition: &'static str, part: u64, now: Instant) {
        if self.started {
            self.fetched.note(rendition, part, now);
        }
    }

    fn print(&mut self, arguments: &Arguments) -> anyhow::Result<()> {
        let answers = u32::try_from(self.announced.late.len() + self.fetched.late.len())?;
        let seconds = u32::try_from(arguments.seconds)?;
        let (announced, fetched) =
            (percentiles(&mut self.announced.late), percentiles(&mut self.fetched.late));
        println!(
            "{}",
            serde_json::json!({
                "viewers": arguments.viewers,
                "answersPerSecond": f64::from(answers) / f64::from(seconds),
                "playlist": announced,
                "part": fetched,
            })
        );
        Ok(())
    }
}

const RENDITIONS: [&str; 2] = ["source", "audio"];
/// A thousand viewers come within two seconds: this is about viewers that are there, not about a rush.
const BETWEEN_ARRIVALS: Duration = Duration::from_millis(2);
const SETTLE: Duration = Duration::from_secs(3);
