//! Keeps one ffmpeg running: starts it, replaces it when it is dead, hung or too slow, and lets no frame out twice.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use caudal_livestream::RenditionName;
use caudal_livestream::admission::LadderRung;
use caudal_media::flv::VideoTag;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::child::{Child, ChildEvent, ChildId, LONGEST_LIFE_MS, Launcher, RungTag, Work};
use super::comeback::Comeback;
use super::gop::{Gop, Taken};
use super::pace::{Judgement, Pace};
use super::{EncodeFrame, EncoderEvent, Rungs, UNREADABLE};
use crate::metrics::Metrics;
use crate::poster::PosterOutlet;

pub(crate) struct Supervisor<N> {
    launcher: N,
    metrics: Metrics,
    posters: PosterOutlet,
    to_session: mpsc::Sender<EncoderEvent>,
    /// Largest first; empty until the track set is frozen, and when none is left.
    rungs: Vec<LadderRung>,
    comeback: Comeback,
    gop: Gop,
    current: Option<Running>,
    before: Option<Predecessor>,
    /// The newest frame that the session got, of each rung.
    forwarded: HashMap<RenditionName, i64>,
    children: ChildEvents,
    tasks: TaskTracker,
    started: u64,
    failures: u32,
    retry_at: Option<Instant>,
    failed: HashSet<RenditionName>,
    draining: bool,
}

/// What all children say, tagged with which of them it was.
type ChildEvents = (mpsc::Sender<(ChildId, ChildEvent)>, mpsc::Receiver<(ChildId, ChildEvent)>);

struct Running {
    child: Child,
    since: Instant,
    first_in: i64,
    pace: Pace,
    /// The newest frame out of each rung, whether the session got it or not.
    out: HashMap<RenditionName, i64>,
    /// What came while its predecessor was still to be heard.
    held: Vec<RungTag>,
}

/// A child that is fed no more.
struct Predecessor {
    child: Child,
    until: Instant,
    handover: Handover,
}

/// When a child's successor is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handover {
    /// The successor begins behind the last frame of its predecessor, and so waits for it.
    AfterPredecessor,
    /// The successor repeats the GOP, and takes over wherever it is ahead.
    WhenAhead,
}

impl<N: Launcher> Supervisor<N> {
    pub(crate) fn new(
        launcher: N,
        metrics: Metrics,
        posters: PosterOutlet,
        to_session: mpsc::Sender<EncoderEvent>,
    ) -> Self {
        Self {
            launcher,
            metrics,
            posters,
            to_session,
            rungs: Vec::new(),
            comeback: Comeback::default(),
            gop: Gop::default(),
            current: None,
            before: None,
            forwarded: HashMap::new(),
            // Full when the session is busy; then the children wait.
            children: mpsc::channel(CHILD_EVENTS),
            tasks: TaskTracker::new(),
            started: 0,
            failures: 0,
            retry_at: None,
            failed: HashSet::new(),
            draining: false,
        }
    }

    /// Until `stop`. Once `frames` has ended, what was fed still comes out.
    pub(crate) async fn run(
        mut self,
        mut ordered: mpsc::Receiver<Rungs>,
        mut frames: mpsc::Receiver<EncodeFrame>,
        stop: CancellationToken,
    ) {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due =
                [self.retry_at, self.before.as_ref().map(|before| before.until)].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((id, event)) = self.children.1.recv() => self.child_event(id, event).await,
                Some(Rungs { made, withdrawn }) = ordered.recv() => {
                    self.rungs = largest_first(made);
                    self.comeback = Comeback::of(largest_first(withdrawn), Instant::now());
                    self.start_if_possible().await;
                }
                frame = frames.recv(), if !self.draining => match frame {
                    Some(frame) => self.frame(frame).await,
                    None => self.drain().await,
                },
                _ = second.tick() => self.judge().await,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.due().await,
            }
        }
        // Kills what runs, and waits until it has been reaped.
        self.current = None;
        self.before = None;
        self.tasks.close();
        while !self.tasks.is_empty() {
            tokio::select! {
                () = self.tasks.wait() => {}
                Some(_) = self.children.1.recv() => {}
            }
        }
    }

    /// Nothing more will be fed.
    async fn drain(&mut self) {
        self.draining = true;
        self.retry_at = None;
        match &mut self.current {
            Some(running) => running.child.close(),
            None => self.tell(EncoderEvent::Drained).await,
        }
    }

    async fn frame(&mut self, frame: EncodeFrame) {
        match self.gop.take(&frame) {
            Taken::Nothing => {}
            Taken::Restart => self.begin_anew(Handover::AfterPredecessor).await,
            Taken::Next if frame.keyframe && self.has_room() => self.let_one_back().await,
            Taken::Next if frame.keyframe && self.is_old(frame.timestamp_ms) => {
                self.begin_anew(Handover::AfterPredecessor).await;
            }
            Taken::Next => match &mut self.current {
                Some(running) => {
                    running.pace.input(frame.timestamp_ms, Instant::now());
                    let full = running.child.feed(frame).is_err();
                    self.metrics.encoder_queue.set(i64::try_from(running.child.queued()).unwrap_or(i64::MAX));
                    if full {
                        self.child_lost("it does not read its input").await;
                    }
                }
                None => self.start_if_possible().await,
            },
        }
    }

    /// Starts another child in place of the one that runs, which drains what it has.
    async fn begin_anew(&mut self, handover: Handover) {
        if let Some(Running { mut child, .. }) = self.current.take() {
            child.close();
            self.before = Some(Predecessor { child, until: Instant::now() + DRAIN, handover });
        }
        self.start_if_possible().await;
    }

    /// Whether a rung that was withdrawn is to be tried again.
    fn has_room(&self) -> bool {
        self.comeback.is_due(Instant::now())
            && self.before.is_none()
            && self.retry_at.is_none()
            && self.gop.header().is_some_and(|(header, _)| self.launcher.reads(header))
            && self.current.as_ref().is_none_or(|running| running.pace.keeps_up())
    }

    /// Whether the child that runs is to be replaced before its time runs out.
    fn is_old(&self, now_ms: i64) -> bool {
        self.current.as_ref().is_some_and(|running| now_ms - running.first_in > LONGEST_LIFE_MS)
    }

    /// At a keyframe: its child has nothing to catch up with.
    async fn let_one_back(&mut self) {
        let Some(rung) = self.comeback.take(Instant::now()) else { return };
        tracing::info!(rung = %rung.name, "a withdrawn rendition is tried again");
        self.tell(EncoderEvent::Returned(rung.name.clone())).await;
        self.rungs.insert(0, rung);
        self.begin_anew(Handover::AfterPredecessor).await;
    }

    async fn start_if_possible(&mut self) {
        if self.current.is_some() || self.rungs.is_empty() || self.draining || self.retry_at.is_some() {
            return;
        }
        let Some((header, format)) = self.gop.header() else { return };
        // Only after a change in mid-stream; at its start the session asks.
        if !self.launcher.reads(header) {
            tracing::warn!("{UNREADABLE}");
            while !self.rungs.is_empty() {
                self.withdraw_largest(Instant::now(), "ffmpeg cannot read the source").await;
            }
            return;
        }
        let Some(replay) = self.gop.replay().map(Iterator::collect::<Vec<_>>) else { return };
        self.started = self.started.saturating_add(1);
        let id = ChildId(self.started);
        let now = Instant::now();
        let first_in = replay.first().map_or(0, |frame| frame.timestamp_ms);
        let (events, tasks) = (&self.children.0, &self.tasks);
        // An ffmpeg that cannot make posters is still to make rungs.
        let posters = (self.failures <= POSTER_FAILURES).then_some(&self.posters);
        let work = Work { rungs: &self.rungs, format, posters };
        let child = match self.launcher.start(&work, first_in, id, events, tasks) {
            Ok(child) => child,
            Err(error) => {
                tracing::warn!(%error, "ffmpeg does not start");
                self.try_later(now).await;
                return;
            }
        };
        let mut pace = Pace::new(now);
        for frame in replay {
            pace.input(frame.timestamp_ms, now);
            // The kept GOP is shorter than the queue.
            let _ = child.feed(frame);
        }
        let running = Running { child, since: now, first_in, pace, out: HashMap::new(), held: Vec::new() };
        self.current = Some(running);
    }

    async fn child_event(&mut self, id: ChildId, event: ChildEvent) {
        let is_current = self.current.as_ref().is_some_and(|running| running.child.id == id);
        let is_before = self.before.as_ref().is_some_and(|before| before.child.id == id);
        match event {
            ChildEvent::Tag(tag) if is_current => self.current_tag(tag).await,
            ChildEvent::Tag(tag) if is_before => {
                let overtaken = self.current.as_ref().is_some_and(|running| {
                    running.out.get(&tag.rung).is_some_and(|at| *at >= tag.timestamp_ms)
                        && running.held.is_empty()
                });
                if !overtaken {
                    self.forward(tag).await;
                }
            }
            ChildEvent::Exited { .. } if is_current && self.draining => {
                self.current = None;
                self.tell(EncoderEvent::Drained).await;
            }
            ChildEvent::Exited { reason } if is_current => self.child_lost(&reason).await,
            ChildEvent::Exited { .. } if is_before => self.predecessor_over().await,
            // Of a child that was replaced and forgotten.
            ChildEvent::Tag(_) | ChildEvent::Exited { .. } => {}
        }
    }

    async fn current_tag(&mut self, tag: RungTag) {
        let wait = self.before.as_ref().is_some_and(|before| before.handover == Handover::AfterPredecessor);
        let Some(running) = &mut self.current else { return };
        if !is_header(&tag) {
            running.out.insert(tag.rung.clone(), tag.timestamp_ms);
            let all = self
                .rungs
                .iter()
                .map(|rung| running.out.get(&rung.name).copied())
                .collect::<Option<Vec<_>>>();
            if let Some(slowest) = all.and_then(|all| all.into_iter().min()) {
                running.pace.output(slowest, Instant::now());
            }
        }
        if wait && running.held.len() < MAX_HELD {
            running.held.push(tag);
            return;
        }
        if wait {
            self.predecessor_over().await;
        }
        self.forward(tag).await;
        // Once it is ahead everywhere, nobody listens to the one before it.
        let forwarded = &self.forwarded;
        let ahead = self.current.as_ref().is_some_and(|running| {
            self.rungs.iter().all(|rung| running.out.get(&rung.name) >= forwarded.get(&rung.name))
        });
        if ahead && self.before.as_ref().is_some_and(|before| before.handover == Handover::WhenAhead) {
            self.before = None;
        }
    }

    async fn predecessor_over(&mut self) {
        self.before = None;
        let held = self.current.as_mut().map(|running| std::mem::take(&mut running.held)).unwrap_or_default();
        for tag in held {
            self.forward(tag).await;
        }
    }

    /// Gives a tag to the session, unless it had that frame from an earlier child.
    async fn forward(&mut self, tag: RungTag) {
        let is_header = is_header(&tag);
        let RungTag { rung, timestamp_ms, body } = tag;
        if !self.rungs.iter().any(|known| known.name == rung) {
            return;
        }
        if !is_header {
            if self.forwarded.get(&rung).is_some_and(|last| *last >= timestamp_ms) {
                return;
            }
            self.forwarded.insert(rung.clone(), timestamp_ms);
            self.failed.remove(&rung);
        }
        self.tell(EncoderEvent::Video { rung, timestamp_ms, body }).await;
    }

    async fn child_lost(&mut self, reason: &str) {
        let now = Instant::now();
        if let Some(running) = self.current.take() {
            self.metrics.encoder_restarts.inc();
            tracing::warn!(reason, "ffmpeg is lost and is started anew");
            if now.duration_since(running.since) > STEADY {
                self.failures = 0;
            }
        }
        self.before = None;
        self.try_later(now).await;
        self.due().await;
    }

    async fn try_later(&mut self, now: Instant) {
        let pause = match self.failures {
            0 => Duration::ZERO,
            n => FIRST_RETRY.saturating_mul(1_u32.checked_shl(n).unwrap_or(u32::MAX)).min(LAST_RETRY),
        };
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + pause);
        if self.failures > PATIENCE && self.is_on_trial(now) {
            self.failures = 0;
            self.withdraw_largest(now, "ffmpeg fails with it").await;
        }
        if self.failures > PATIENCE {
            let owed: Vec<_> = self.rungs.iter().map(|rung| rung.name.clone()).collect();
            for rung in owed {
                if self.failed.insert(rung.clone()) {
                    self.tell(EncoderEvent::Failed(rung)).await;
                }
            }
        }
    }

    async fn due(&mut self) {
        let now = Instant::now();
        if self.before.as_ref().is_some_and(|before| before.until <= now) {
            self.predecessor_over().await;
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.start_if_possible().await;
        }
    }

    /// Once a second.
    async fn judge(&mut self) {
        let Some(running) = &mut self.current else { return };
        let now = Instant::now();
        let (judgement, speed) = running.pace.judge(running.first_in, now);
        self.metrics.encoder_speed.set(speed);
        match judgement {
            _ if self.draining => {}
            Judgement::KeepsUp => {}
            Judgement::Hung if !self.is_on_trial(now) => self.child_lost("nothing comes out of it").await,
            Judgement::Hung | Judgement::TooSlow => {
                // Two digits are all that anybody compares.
                let speed = (speed * 100.0).round() / 100.0;
                tracing::warn!(speed, "encoding is slower than real time");
                self.metrics.encoder_too_slow.inc();
                self.withdraw_largest(now, "it takes more CPU than the worker has").await;
                self.begin_anew(Handover::WhenAhead).await;
            }
        }
    }

    /// Whether the largest rung is one that has only just been tried again: what goes wrong then is likely its doing, and
    /// must not cost the others.
    fn is_on_trial(&self, now: Instant) -> bool {
        self.rungs.first().is_some_and(|largest| self.comeback.is_on_trial(&largest.name, now))
    }

    /// `reason` is for whoever runs the platform.
    async fn withdraw_largest(&mut self, now: Instant, reason: &str) {
        if self.rungs.is_empty() {
            return;
        }
        let largest = self.rungs.remove(0);
        tracing::warn!(rung = %largest.name, reason, "the largest rendition is withdrawn");
        self.tell(EncoderEvent::Withdrawn(largest.name.clone())).await;
        self.comeback.withdrew(largest, now);
    }

    async fn tell(&self, event: EncoderEvent) {
        // The session may have ended.
        let _ = self.to_session.send(event).await;
    }
}

fn largest_first(mut rungs: Vec<LadderRung>) -> Vec<LadderRung> {
    rungs.sort_by_key(|rung| std::cmp::Reverse(rung.height));
    rungs
}

fn is_header(tag: &RungTag) -> bool {
    !matches!(VideoTag::parse(&tag.body), Ok(VideoTag::Frame { .. }))
}

const CHILD_EVENTS: usize = 64;
/// A child that has run for so long was not broken by how it was started.
const STEADY: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(8);
/// Starts that may fail before the packager is told not to wait: with their pauses about two seconds.
const PATIENCE: u32 = 3;
/// After more lost children in a row than this, the next one makes no posters.
const POSTER_FAILURES: u32 = 1;
/// A child encodes what it holds back in 0.1 s; a slow one gets a chance to hand over its last second.
const DRAIN: Duration = Duration::from_secs(2);
/// Two seconds of three rungs at 60 frames.
const MAX_HELD: usize = 360;

#[cfg(test)]
mod year_tests;
