//! A simulated year of one channel: hours of quiet between minutes in which something happens to its encoder.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use prometheus::Registry;
use tokio::time::{advance, sleep};

use super::*;
use crate::fixtures::hd;

/// Plays ffmpeg: what goes in comes out on every rung, in the 31 bits that FLV has for a timestamp.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Stage>>);

#[derive(Default)]
struct Stage {
    mood: Mood,
    alive: usize,
    started: usize,
    /// The longest that a child has lived, by its own timestamps.
    oldest_ms: i64,
    /// Input that a real ffmpeg could not have taken.
    impossible: Vec<String>,
}

/// How children behave, running ones and later ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mood {
    #[default]
    Well,
    /// The machine makes so many rungs in real time.
    RoomFor(usize),
    /// They read, and nothing comes out.
    Hang,
    /// They end at the next frame.
    Die,
    /// None can be started.
    Missing,
}

impl Script {
    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().unwrap()
    }

    fn set(&self, mood: Mood) {
        self.stage().mood = mood;
    }

    async fn live(
        self,
        id: ChildId,
        rungs: Vec<RenditionName>,
        begin_ms: i64,
        mut frames: mpsc::Receiver<EncodeFrame>,
        killed: CancellationToken,
        events: mpsc::Sender<(ChildId, ChildEvent)>,
    ) {
        self.stage().alive += 1;
        loop {
            let frame = tokio::select! {
                biased;
                () = killed.cancelled() => break,
                frame = frames.recv() => frame,
            };
            let Some(EncodeFrame { timestamp_ms, body, .. }) = frame else { break };
            let own_ms = timestamp_ms - begin_ms;
            if !(0..1 << 31).contains(&own_ms) {
                self.stage().impossible.push(format!("{own_ms} ms in a child's own time"));
            }
            let mood = {
                let mut stage = self.stage();
                stage.oldest_ms = stage.oldest_ms.max(own_ms);
                stage.mood
            };
            match mood {
                Mood::Well | Mood::Missing => {}
                Mood::RoomFor(room) if rungs.len() <= room => {}
                Mood::RoomFor(_) => tokio::select! {
                    () = killed.cancelled() => break,
                    () = sleep(FRAME + FRAME / 2) => {}
                },
                Mood::Hang => {
                    killed.cancelled().await;
                    break;
                }
                Mood::Die => break,
            }
            for rung in &rungs {
                let tag = RungTag { rung: rung.clone(), timestamp_ms, body: body.clone() };
                // Nobody listens any more at the end.
                let _ = events.send((id, ChildEvent::Tag(tag))).await;
            }
        }
        self.stage().alive -= 1;
        let reason = "the script says so".to_owned();
        let _ = events.send((id, ChildEvent::Exited { reason })).await;
    }
}

impl Launcher for Script {
    fn reads(&self, _: &[u8]) -> bool {
        true
    }

    fn start(
        &self,
        work: &Work<'_>,
        begin_ms: i64,
        id: ChildId,
        events: &mpsc::Sender<(ChildId, ChildEvent)>,
        tasks: &TaskTracker,
    ) -> io::Result<Child> {
        if self.stage().mood == Mood::Missing {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.stage().started += 1;
        let (frames, queued) = mpsc::channel(512);
        let killed = CancellationToken::new();
        let rungs = work.rungs.iter().map(|rung| rung.name.clone()).collect();
        tasks.spawn(self.clone().live(id, rungs, begin_ms, queued, killed.clone(), events.clone()));
        Ok(Child::new(id, frames, killed))
    }
}

/// A worker's encoder and its session, at `now_ms` of the stream's timeline.
struct Worker {
    script: Script,
    frames: mpsc::Sender<EncodeFrame>,
    events: mpsc::Receiver<EncoderEvent>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    now_ms: i64,
    header: u8,
    fed: Vec<i64>,
    /// What came out of each rung, since this was last looked at.
    out: HashMap<RenditionName, Vec<i64>>,
    newest: HashMap<RenditionName, i64>,
    withdrawn: Vec<RenditionName>,
    failed: usize,
}

impl Worker {
    async fn start(script: Script, now_ms: i64, withdrawn: &[RenditionName]) -> Self {
        let (to_session, events) = mpsc::channel(4096);
        let (rungs, ordered) = mpsc::channel(1);
        let (frames, queued) = mpsc::channel(2048);
        let stop = CancellationToken::new();
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let (posters, _) = PosterOutlet::new(Duration::from_mins(1));
        let supervisor = Supervisor::new(script.clone(), metrics, posters, to_session);
        let task = tokio::spawn(supervisor.run(ordered, queued, stop.clone()));
        let (withdrawn, made): (Vec<_>, _) =
            LADDER.map(rung).into_iter().partition(|rung| withdrawn.contains(&rung.name));
        let names = withdrawn.iter().map(|rung| rung.name.clone()).collect();
        rungs.send(Rungs { made, withdrawn }).await.unwrap();
        let mut worker = Self {
            script,
            frames,
            events,
            stop,
            task,
            now_ms,
            header: 0,
            fed: Vec::new(),
            out: HashMap::new(),
            newest: HashMap::new(),
            withdrawn: names,
            failed: 0,
        };
        worker.new_header();
        worker
    }

    /// The publisher changes its encoder's settings.
    fn new_header(&mut self) {
        self.header += 1;
        let body = Bytes::from(vec![0x17, 0, 0, 0, 0, self.header]);
        self.feed(EncodeFrame {
            timestamp_ms: self.now_ms,
            body,
            keyframe: false,
            sequence_header: Some(hd()),
        });
    }

    fn feed(&mut self, frame: EncodeFrame) {
        self.frames.try_send(frame).unwrap();
    }

    /// Media in real time.
    async fn run(&mut self, seconds: u32) {
        for n in 0..seconds * FRAMES_A_SECOND {
            let keyframe = n % (2 * FRAMES_A_SECOND) == 0;
            let body = Bytes::from_static(if keyframe { b"\x17\x01\0\0\0k" } else { b"\x27\x01\0\0\0p" });
            self.feed(EncodeFrame { timestamp_ms: self.now_ms, body, keyframe, sequence_header: None });
            self.fed.push(self.now_ms);
            sleep(FRAME).await;
            self.now_ms += i64::try_from(FRAME.as_millis()).unwrap();
            self.listen();
        }
    }

    fn listen(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                EncoderEvent::Video { rung, timestamp_ms, body } => {
                    if body[1] == 0 {
                        continue;
                    }
                    let newest = self.newest.entry(rung.clone()).or_insert(-1);
                    assert!(timestamp_ms > *newest, "{rung}: {timestamp_ms} after {newest}");
                    *newest = timestamp_ms;
                    self.out.entry(rung).or_default().push(timestamp_ms);
                }
                EncoderEvent::Withdrawn(rung) => self.withdrawn.push(rung),
                EncoderEvent::Returned(rung) => self.withdrawn.retain(|known| *known != rung),
                EncoderEvent::Failed(_) => self.failed += 1,
                EncoderEvent::Drained => panic!("nobody asked"),
            }
        }
        assert!(self.script.stage().alive <= 2, "one that runs, and one that it follows");
    }

    /// Nobody publishes for a while.
    async fn is_quiet(&mut self, ms: i64) {
        advance(Duration::from_millis(ms.unsigned_abs())).await;
        self.now_ms += ms;
        self.listen();
    }

    /// All rungs have all pictures since this was last called.
    fn is_whole(&mut self, when: &str) {
        let fed = std::mem::take(&mut self.fed);
        let out = std::mem::take(&mut self.out);
        assert_eq!(self.withdrawn, [], "{when}");
        for name in LADDER.map(|height| rung(height).name) {
            assert!(out.get(&name) == Some(&fed), "{when}: {name} lacks pictures");
        }
    }

    fn forget(&mut self) {
        self.fed.clear();
        self.out.clear();
    }

    async fn stops(self) -> (Script, i64, Vec<RenditionName>) {
        self.stop.cancel();
        self.task.await.unwrap();
        assert_eq!(self.script.stage().alive, 0);
        (self.script, self.now_ms, self.withdrawn)
    }
}

fn rung(height: u32) -> LadderRung {
    LadderRung { name: format!("{height}p").parse().unwrap(), height, bitrate: height * 3000 }
}

#[tokio::test(start_paused = true)]
async fn a_year_of_one_channel_keeps_every_rung() {
    let mut worker = Worker::start(Script::default(), 10_000, &[]).await;
    // Once a day; and whenever 31 or 32 bits of milliseconds are full.
    let mut stretches: Vec<i64> = (0..365).map(|day| day * DAY + DAY / 2).collect();
    stretches.extend((1..=14).map(|half| (half << 31) - 6_000));
    stretches.sort_unstable();
    let (mut bad_moments, mut workers) = (0, 1);
    for at in stretches {
        let day = at / DAY;
        let quiet = at - worker.now_ms;
        worker.is_quiet(quiet).await;
        worker.run(12).await;
        worker.is_whole(&format!("day {day}"));
        let script = worker.script.clone();
        let trouble = match day % 37 {
            4 => Some((Mood::RoomFor(1), 14)),
            9 => Some((Mood::RoomFor(0), 24)),
            14 => Some((Mood::Hang, 5)),
            19 => Some((Mood::Die, 5)),
            24 => Some((Mood::Missing, 3)),
            _ => None,
        };
        if let Some((mood, seconds)) = trouble {
            script.set(mood);
            if mood == Mood::Missing {
                // Only a child that is needed is missed.
                worker.new_header();
            }
            worker.run(seconds).await;
            if matches!(mood, Mood::RoomFor(_)) {
                assert!(!worker.withdrawn.is_empty(), "day {day}");
            }
            script.set(Mood::Well);
            // Until the rungs are tried again, the second half a minute after the first.
            worker.run(if mood == Mood::RoomFor(0) { 100 } else { 50 }).await;
            worker.forget();
            worker.run(12).await;
            worker.is_whole(&format!("behind {mood:?} on day {day}"));
            bad_moments += 1;
        }
        // The publisher changes its encoder's settings, and another worker goes on.
        if day % 41 == 20 {
            worker.new_header();
            worker.run(6).await;
            worker.is_whole(&format!("another header on day {day}"));
        }
        if day % 53 == 30 {
            script.set(Mood::RoomFor(1));
            worker.run(14).await;
            script.set(Mood::Well);
            let (script, now_ms, withdrawn) = worker.stops().await;
            assert_eq!(withdrawn.len(), 1);
            worker = Worker::start(script, now_ms, &withdrawn).await;
            worker.run(40).await;
            worker.forget();
            worker.run(12).await;
            worker.is_whole(&format!("the worker after day {day}"));
            workers += 1;
        }
        assert!(worker.newest.len() == LADDER.len() && worker.out.is_empty());
    }
    let (script, ..) = worker.stops().await;
    let stage = script.stage();
    assert!(stage.impossible.is_empty(), "{:?}", stage.impossible);
    assert!(
        stage.oldest_ms > 9 * DAY && stage.oldest_ms <= LONGEST_LIFE_MS + DAY,
        "{}",
        stage.oldest_ms / DAY
    );
    assert!(bad_moments > 40 && workers > 5, "{bad_moments} {workers}");
    assert!(stage.started < 400, "children are not started without need: {}", stage.started);
}

#[tokio::test(start_paused = true)]
async fn a_child_is_renewed_after_twenty_days_and_no_picture_is_missing() {
    let mut worker = Worker::start(Script::default(), 10_000, &[]).await;
    for day in 0..90 {
        worker.run(8).await;
        worker.is_whole(&format!("day {day}"));
        worker.is_quiet(DAY - 8_000).await;
    }
    let (script, ..) = worker.stops().await;
    let stage = script.stage();
    assert_eq!(stage.started, 5, "at the start, and every twenty days");
    assert!(stage.impossible.is_empty(), "{:?}", stage.impossible);
    assert!(stage.oldest_ms < 1 << 31);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_never_has_room_is_not_tried_for_ever_more_often() {
    let mut worker = Worker::start(Script::default(), 10_000, &[]).await;
    worker.script.set(Mood::RoomFor(1));
    worker.run(3_600).await;
    let started = worker.script.stage().started;
    assert!((6..=20).contains(&started), "{started} in an hour");
    let small = rung(LADDER[1]).name;
    assert!(!worker.withdrawn.contains(&small), "what can be made is made");
    worker.script.set(Mood::Well);
    worker.run(17 * 60).await;
    worker.forget();
    worker.run(12).await;
    worker.is_whole("a quarter of an hour later");
    worker.stops().await;
}

/// Largest first.
const LADDER: [u32; 2] = [720, 360];
const DAY: i64 = 86_400_000;
const FRAME: Duration = Duration::from_millis(100);
const FRAMES_A_SECOND: u32 = 10;
