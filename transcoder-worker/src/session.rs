//! One broadcast in one worker: the task that owns the packager and carries out what it says.

mod announcements;
mod rewind;
mod standing_due;
mod tally;
mod wind_down;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::feed::Event;
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{RenditionName, SessionId, StreamId};
use caudal_media::codec::PictureFormat;
use caudal_media::flv::{VideoTag, video_header};
use caudal_media::{Output, Packager, PackagerConfig, Resume};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use self::rewind::{Came, Rewind, Taken};
use self::standing_due::StandingDue;
use self::tally::Tally;
use crate::awaited::Awaited;
use crate::clock::WallClock;
use crate::closing::Closing;
use crate::encoder::{EncodeFrame, EncoderEvent, EncoderHandle, UNREADABLE};
use crate::feed::{FeedBroadcaster, FeedReader};
use crate::input::{InputBoard, InputEvent};
use crate::media_memory::MediaMemory;
use crate::metrics::Metrics;
use crate::milestones::Milestones;
use crate::poster::KeyPicture;
use crate::publication::Standing;
use crate::storage_writer::{Settled, StorageHandle};
use crate::store_queue::InitJob;

/// What the worker's HTTP side asks of a session.
pub(crate) enum Order {
    /// A new feed.
    Join(FeedReader),
    /// The epoch is the stream's now, behind this floor. For a worker that was made ready.
    Live(Option<Floor>),
    /// The broadcast is over.
    Finish,
}

/// Everything a session is given.
pub(crate) struct SessionParts {
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) resume: Option<Resume>,
    /// Renditions below the source that this worker can make.
    pub(crate) ladder: Vec<caudal_livestream::admission::LadderRung>,
    pub(crate) clock: WallClock,
    pub(crate) board: InputBoard,
    pub(crate) input: mpsc::Receiver<InputEvent>,
    /// What was read of the relay connection before the session began.
    pub(crate) relayed: Vec<InputEvent>,
    /// Cancelled when the worker is to go as soon as another one has the publisher.
    pub(crate) asked_to_leave: CancellationToken,
    pub(crate) feed: FeedBroadcaster,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) memory: Arc<Mutex<MediaMemory>>,
    pub(crate) storage: StorageHandle,
    pub(crate) settled: mpsc::Receiver<Settled>,
    pub(crate) standings: watch::Sender<Option<Standing>>,
    pub(crate) encoder: Option<EncoderHandle>,
    pub(crate) encoded: mpsc::Receiver<EncoderEvent>,
    /// Dropped when no more keyframes come.
    pub(crate) posters: Option<watch::Sender<Option<KeyPicture>>>,
    /// Cancelled to stop taking relay connections.
    pub(crate) input_closed: CancellationToken,
    pub(crate) metrics: Metrics,
    pub(crate) milestones: Milestones,
}

/// The task's own state.
pub(crate) struct Session {
    stream: StreamId,
    packager: Packager,
    parts: SessionParts,
    /// Whose media is being packaged.
    publisher: Option<SessionId>,
    ladder: Vec<caudal_livestream::admission::LadderRung>,
    encoder_started: bool,
    video_header: Option<(Bytes, PictureFormat)>,
    /// When the last byte of the tag that is being packaged arrived.
    arrived: Option<Instant>,
    awaited: Awaited,
    /// A part was announced, since the router was told what is awaited.
    part_announced: bool,
    /// Something was, since control readers were told how far the stream is.
    announced: bool,
    standing: StandingDue,
    /// What the window began with, to notice when it moves.
    windows: HashMap<RenditionName, caudal_livestream::Msn>,
    closing: Option<Closing>,
    /// The router has moved the publisher to another worker.
    moved: bool,
    leaving: bool,
    rewind: Rewind,
    tally: Tally,
}

impl Session {
    pub(crate) fn new(mut parts: SessionParts) -> Self {
        let assignment = Arc::clone(&parts.assignment);
        let ahead = assignment.mode == AssignmentMode::Prepare;
        let waited = parts.relayed.iter().map(InputEvent::media_len).fold(0, usize::saturating_add);
        let rewind = Rewind::new(parts.resume.as_ref().filter(|_| ahead), waited);
        let packager = Packager::new(PackagerConfig {
            stream: assignment.stream,
            epoch: assignment.epoch,
            latency_mode: assignment.latency_mode,
            ladder: parts.ladder.clone(),
            hints: assignment.hints,
            resume: parts.resume.take(),
        });
        Self {
            stream: assignment.stream,
            packager,
            publisher: None,
            ladder: assignment.ladder.clone(),
            parts,
            encoder_started: false,
            video_header: None,
            arrived: None,
            awaited: Awaited::default(),
            part_announced: false,
            announced: false,
            standing: StandingDue::default(),
            windows: HashMap::new(),
            closing: None,
            moved: false,
            leaving: false,
            rewind,
            tally: Tally::new(),
        }
    }

    /// Runs until the broadcast is over or `leave` is cancelled, and then until everything is stored, or long enough.
    pub(crate) async fn run(mut self, leave: CancellationToken) -> Closing {
        let mut ticked = Instant::now();
        let mut tick = ticked;
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for event in std::mem::take(&mut self.parts.relayed) {
            self.input(event);
        }
        self.carry_out();
        let closing = loop {
            if self.moved {
                break Closing::HandedOver;
            }
            if self.leaving
                && let Some(closing) = Closing::of_leaving(&self.parts.board.state())
            {
                break closing;
            }
            tokio::select! {
                biased;
                () = leave.cancelled() => {
                    break if self.leaving { Closing::NotHandedOver } else { Closing::ToldToEnd };
                }
                () = self.parts.asked_to_leave.cancelled(), if !self.leaving => {
                    tracing::info!(stream = %self.stream, "asked to leave; serving on until another worker has the stream");
                    self.leaving = true;
                    self.parts.board.leave();
                    self.parts.feed.announce(&Event::Input(self.parts.board.state()), None);
                }
                order = self.parts.orders.recv() => match order {
                    Some(Order::Join(reader)) => self.join(reader),
                    // It does already.
                    Some(Order::Live(_)) => {}
                    Some(Order::Finish) => break Closing::Finish,
                    None => break Closing::ToldToEnd,
                },
                Some(event) = self.parts.input.recv() => {
                    self.input(event);
                    self.carry_out();
                    let rest = self.tell_awaited();
                    // Media brings the time with it: a timer beside it would double how often the worker is woken.
                    let now = Instant::now();
                    if self.parts.input.is_empty() && now.duration_since(ticked) >= TICK {
                        self.packager.tick(self.parts.clock.now());
                        ticked = now;
                    }
                    tick = now + rest.map_or(QUIET, |rest| rest + QUIET);
                }
                Some(event) = self.parts.encoded.recv() => { self.encoded(event); }
                Some(settled) = self.parts.settled.recv() => self.settled(&settled),
                // A timer of its own each time: one that is put off keeps its place in tokio's wheel, and wakes from there.
                () = sleep_until(tick) => {
                    self.packager.tick(self.parts.clock.now());
                    ticked = Instant::now();
                    tick = ticked + TICK;
                }
                _ = heartbeat.tick() => self.heartbeat(),
            }
            self.carry_out();
        };
        self.wind_down(closing).await;
        closing
    }

    fn input(&mut self, event: InputEvent) {
        match self.rewind.take(event, Instant::now()) {
            Taken::Take(event) => self.package(event),
            Taken::TakeAll(events, came) => {
                self.log_replay(came);
                self.package_all(events);
            }
            Taken::Nothing => {}
            Taken::Ask(again) => {
                tracing::info!(stream = %self.stream, "the worker before has not stored all that it announced: the router is asked for its replay");
                again.cancel();
            }
        }
    }

    fn log_replay(&self, came: Came) {
        let stream = self.stream;
        match came {
            Came::Replay => tracing::info!(%stream, "the router's replay has come"),
            Came::TooLittle => {
                tracing::warn!(%stream, "the router's replay begins too late: what was not stored is lost");
            }
            Came::AnotherPublisher => {
                tracing::warn!(%stream, "another publisher came instead of the replay: what was not stored is lost");
            }
            Came::Nobody => {
                tracing::warn!(%stream, "the router has not come with its replay: what was not stored is lost");
            }
        }
    }

    fn package_all(&mut self, events: Vec<InputEvent>) {
        for event in events {
            self.package(event);
        }
    }

    fn package(&mut self, event: InputEvent) {
        let now = self.parts.clock.now();
        self.arrived = None;
        self.awaited.no_tag();
        match event {
            InputEvent::Up { session, generation, .. } => {
                tracing::info!(stream = %self.stream, %session, generation = generation.0, "publisher");
                self.publisher = Some(session);
                self.standing.up(Instant::now());
                self.awaited = Awaited::default();
                self.packager.publisher(session, generation);
                self.parts.feed.announce(&Event::Input(self.parts.board.state()), None);
            }
            InputEvent::Down => {
                self.packager.publisher_lost(now);
                self.parts.feed.announce(&Event::Input(self.parts.board.state()), None);
            }
            InputEvent::HandedOver => {
                tracing::info!(stream = %self.stream, "the publisher goes on at another worker");
                self.moved = true;
                self.parts.feed.announce(&Event::Input(self.parts.board.state()), None);
            }
            InputEvent::Metadata(metadata) => self.packager.metadata(&metadata),
            InputEvent::Video { timestamp_ms, body, arrived } => {
                self.parts.metrics.input_bytes.inc_by(self.tally.bytes(body.len()));
                self.picture(&body);
                self.arrived = Some(arrived);
                self.awaited.tag(timestamp_ms);
                self.packager.video(timestamp_ms, body, now);
            }
            InputEvent::Audio { timestamp_ms, body, arrived } => {
                self.parts.metrics.input_bytes.inc_by(self.tally.bytes(body.len()));
                self.arrived = Some(arrived);
                self.awaited.tag(timestamp_ms);
                self.packager.audio(timestamp_ms, body, now);
            }
        }
    }

    /// Lets the router keep what completes no part, once everything that it has sent is packaged, and says for how long. Rungs
    /// want each picture at once.
    fn tell_awaited(&mut self) -> Option<Duration> {
        if !self.parts.input.is_empty() || !std::mem::take(&mut self.part_announced) {
            return None;
        }
        if !self.parts.ladder.is_empty() || self.leaving {
            return None;
        }
        let tracks = &self.packager.timeline()?.tracks;
        let (timestamp_ms, span) =
            self.awaited.next(tracks.iter().filter(|track| !track.withdrawn).count())?;
        self.parts.board.awaits(timestamp_ms);
        Some(span)
    }

    /// Counts pictures, and looks whether ffmpeg can read them.
    fn picture(&mut self, body: &Bytes) {
        match VideoTag::parse(body) {
            Ok(VideoTag::SequenceHeader { codec, record }) => {
                // In the form in which the packager hands it to the encoder.
                let header = video_header(codec, &record);
                let rungs = !self.encoder_started && !self.parts.ladder.is_empty();
                if rungs && self.parts.encoder.as_ref().is_some_and(|encoder| !encoder.reads(&header)) {
                    tracing::warn!(stream = %self.stream, %codec, "{UNREADABLE}");
                    // What an earlier worker announced leaves when the track set is known.
                    self.parts.ladder.clear();
                    self.packager.without_rungs();
                }
            }
            Ok(VideoTag::Frame { .. }) => self.tally.frame(),
            // The packager reports what cannot be read.
            Ok(VideoTag::Colour(_) | VideoTag::Nothing) | Err(_) => {}
        }
    }

    /// Keeps the newest keyframe for the poster, which takes one when it is due.
    fn keep_for_poster(&mut self, frame: &EncodeFrame) {
        if let Some(format) = frame.sequence_header {
            self.video_header = Some((frame.body.clone(), format));
        } else if let Some((header, format)) = self.video_header.as_ref().filter(|_| frame.keyframe) {
            let (header, format) = (header.clone(), *format);
            let picture = KeyPicture { header, picture: frame.body.clone(), format };
            if let Some(posters) = &self.parts.posters {
                posters.send_replace(Some(picture));
            }
        }
    }

    fn encoded(&mut self, event: EncoderEvent) -> Drained {
        match event {
            EncoderEvent::Video { rung, timestamp_ms, body } => {
                self.parts.milestones.encoded();
                self.packager.rung_video(&rung, timestamp_ms, body);
            }
            EncoderEvent::Failed(rung) => {
                tracing::warn!(%rung, "ffmpeg does not come back: the rendition has gaps until it does");
                self.packager.rung_failed(&rung);
            }
            EncoderEvent::Withdrawn(rung) => self.packager.withdraw(&rung),
            EncoderEvent::Returned(rung) => self.packager.rung_returns(&rung),
            EncoderEvent::Drained => return Drained::Yes,
        }
        Drained::NotYet
    }

    fn settled(&mut self, settled: &Settled) {
        self.memory().settled(&settled.rendition, settled.msn);
        if settled.stored {
            self.packager.stored(&settled.rendition, settled.msn);
        }
    }

    fn join(&mut self, reader: FeedReader) {
        self.parts.feed.join(reader, self.told().as_ref(), self.parts.board.state());
    }

    /// The timeline as others are to know it: a worker that goes must not say that the broadcast is over.
    fn told(&self) -> Option<Timeline> {
        let timeline = self.packager.timeline()?;
        Some(match self.closing {
            None | Some(Closing::Finish) => timeline.clone(),
            Some(_) => Timeline { ended: false, ..timeline.clone() },
        })
    }

    fn heartbeat(&mut self) {
        self.parts.feed.announce(&Event::Heartbeat, None);
        if let Some(events) = self.rewind.overdue(Instant::now()) {
            self.log_replay(Came::Nobody);
            self.parts.board.nobody_came();
            self.package_all(events);
        }
        self.tally.report(&self.parts.metrics);
        let held = self.memory().bytes();
        self.parts.metrics.memory_bytes.set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    /// Does everything that the packager wants done.
    fn carry_out(&mut self) {
        while let Some(output) = self.packager.poll() {
            match output {
                Output::Init { rendition, hash, data } => {
                    self.memory().add_init(&rendition, hash.clone(), data.clone());
                    self.parts.storage.init(InitJob { rendition, hash, data });
                }
                Output::Announce { event, data } => self.announce(&event, data),
                Output::Encode { timestamp_ms, body, keyframe, sequence_header } => {
                    let frame = EncodeFrame { timestamp_ms, body, keyframe, sequence_header };
                    self.keep_for_poster(&frame);
                    if let Some(encoder) = &mut self.parts.encoder {
                        encoder.frame(frame);
                    }
                }
                Output::Report(report) => tracing::info!(stream = %self.stream, "{report}"),
                Output::Unplayable(what) => {
                    tracing::warn!(stream = %self.stream, what, "nothing of what the publisher sends can be packaged");
                    if let Some(publisher) = self.publisher {
                        self.parts.board.give_up(publisher, what);
                    }
                    self.parts.feed.announce(&Event::Input(self.parts.board.state()), None);
                }
            }
        }
        self.start_encoder();
        if std::mem::take(&mut self.announced)
            && let Some(timeline) = self.packager.timeline()
        {
            self.parts.feed.tell_floor(timeline);
        }
        if self.standing.take(self.packager.is_rebuilding(), Instant::now()) {
            self.publish_standing(false);
        }
    }

    /// Once the track set is frozen: says what is missing before it; the encoder gets its rungs, those that it cannot make leave.
    fn start_encoder(&mut self) {
        if self.encoder_started {
            return;
        }
        let Some(timeline) = self.packager.timeline() else { return };
        self.encoder_started = true;
        if let Some(lost) = self.packager.lost_at_seam() {
            tracing::info!(stream = %self.stream, lost_ms = lost.0 / 1000, "went on for another worker");
            self.parts.board.went_on(lost);
            self.parts.feed.announce(&Event::Input(self.parts.board.state()), None);
        }
        let (mut made, mut withdrawn, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for rung in &self.ladder {
            let Some(track) = timeline.track(&rung.name) else { continue };
            let rungs = match (self.parts.ladder.contains(rung), track.withdrawn) {
                (true, false) => &mut made,
                (true, true) => &mut withdrawn,
                (false, _) => &mut missing,
            };
            rungs.push(rung.clone());
        }
        for rung in missing {
            self.packager.withdraw(&rung.name);
        }
        if let Some(encoder) = &self.parts.encoder {
            if !made.is_empty() {
                self.parts.milestones.encoder_starts();
            }
            encoder.start(made, withdrawn);
        }
        // The withdrawals.
        self.carry_out();
    }

    fn publish_standing(&self, closed: bool) {
        if let Some(timeline) = self.told() {
            self.parts.standings.send_replace(Some(Standing {
                timeline,
                clock: self.packager.clock(),
                closed,
            }));
        }
    }

    fn memory(&self) -> MutexGuard<'_, MediaMemory> {
        self.parts.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Drained {
    Yes,
    NotYet,
}

/// The packager's own wish: it closes what is late within a quarter of a part.
const TICK: Duration = Duration::from_millis(50);
/// When the first tick comes after the last tag: before anything can be late, which takes a part and a frame. Less would not
/// save all it can, because tokio's timer also wakes at every 64 ms boundary behind which one of its timers is due.
const QUIET: Duration = Duration::from_millis(150);
const HEARTBEAT: Duration = Duration::from_secs(1);
