//! What a new worker is given of the past: headers, and whole GOPs that reach back far enough.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::tag::{Body, Role, Tag};
use crate::timestamps::Timestamps;

/// The last media of one publisher. It is also what a relay reads from, each at its own [`Cursor`], so that no relay
/// needs a buffer of its own.
#[derive(Debug)]
pub(crate) struct Replay {
    limits: ReplayLimits,
    entries: VecDeque<Entry>,
    /// Sequence number of the oldest entry; they run on for the life of the session.
    first: u64,
    /// Where decoding can begin, oldest first. Entries before the first of them serve only relays that are on their
    /// way.
    entry_points: VecDeque<EntryPoint>,
    headers: Arc<Headers>,
    timestamps: Timestamps,
    bytes: usize,
    frames: u64,
    video: bool,
    /// Something came that decoding can begin with.
    decodable: bool,
    /// Until then, relays begin anywhere: see [`Replay::open_anywhere`].
    open_anywhere: bool,
    /// The first entry behind the last timestamp jump.
    run: u64,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayLimits {
    /// Media that the kept GOPs cover at least, once there has been so much.
    pub(crate) span: Duration,
    /// Never more than this, whatever it covers then.
    pub(crate) bytes: usize,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self { span: SPAN, bytes: MAX_BYTES }
    }
}

/// A relay's place in a [`Replay`].
#[derive(Debug)]
pub(crate) struct Cursor {
    place: Place,
    /// Headers that go out before the entry at `place`.
    pending: VecDeque<Tag>,
    /// [`Entry::frames`] of the last entry that was read.
    frames: Option<u64>,
    dropped: u64,
}

/// Where one relay ends and the next one begins: before an entry point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch {
    sequence: u64,
    /// When the entry point is shown or heard. Sound before it goes to the relay that ends, however late it comes.
    shown_ms: u32,
}

/// What the relay that ends at a [`Switch`] sends next.
#[derive(Debug)]
pub(crate) enum Rest {
    Tag(Tag),
    /// Sound from before the switch is still on its way.
    Awaited,
    /// It has everything.
    Complete,
}

/// Where a relay begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// With all that is kept.
    Replay,
    /// With the next keyframe to come: what is kept may be what kills workers.
    NextKeyframe,
}

impl Beginning {
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::NextKeyframe => "next keyframe",
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Until there is an entry point at or behind this.
    EntryPointFrom(u64),
    At(u64),
}

#[derive(Debug)]
struct Entry {
    tag: Tag,
    role: Role,
    /// Frames up to and with this entry, since the session began.
    frames: u64,
}

#[derive(Debug)]
struct EntryPoint {
    sequence: u64,
    timestamp_ms: u32,
    /// In force here.
    headers: Arc<Headers>,
}

/// What a decoder needs before the first frame.
#[derive(Clone, Debug, Default)]
struct Headers {
    metadata: Option<Tag>,
    video: Option<Tag>,
    colour: Option<Tag>,
    audio: Option<Tag>,
}

impl Replay {
    /// An empty one.
    pub(crate) fn new(limits: ReplayLimits) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            first: 0,
            entry_points: VecDeque::new(),
            headers: Arc::default(),
            timestamps: Timestamps::default(),
            bytes: 0,
            frames: 0,
            video: false,
            decodable: false,
            open_anywhere: false,
            run: 0,
        }
    }

    /// Keeps `tag` and lets go of what is no longer needed. True at a timestamp jump: what was kept then is no
    /// replay any more.
    pub(crate) fn push(&mut self, tag: Tag) -> bool {
        let role = tag.role();
        let jumped = self.timestamps.jumps(&tag, role);
        if jumped {
            self.entry_points.clear();
            self.run = self.next_sequence();
        }
        let header = |tag: &Tag| Some(tag.detached());
        match role {
            Role::Metadata => Arc::make_mut(&mut self.headers).metadata = header(&tag),
            Role::VideoHeader => Arc::make_mut(&mut self.headers).video = header(&tag),
            Role::VideoColour => Arc::make_mut(&mut self.headers).colour = header(&tag),
            Role::AudioHeader => Arc::make_mut(&mut self.headers).audio = header(&tag),
            Role::Other if !self.open_anywhere => return jumped,
            Role::Keyframe | Role::Frame | Role::Audio | Role::Other => {}
        }
        self.video |= matches!(role, Role::VideoHeader | Role::Keyframe | Role::Frame);
        // Without video, any audio frame will do.
        let decodable = role == Role::Keyframe || (role == Role::Audio && !self.video);
        if decodable && !self.decodable {
            self.decodable = true;
            if std::mem::take(&mut self.open_anywhere) {
                self.entry_points.clear();
            }
        }
        let opens =
            decodable || (self.open_anywhere && self.last_opened(tag.timestamp_ms) >= OPEN_ANYWHERE_EVERY);
        if opens {
            self.entry_points.push_back(EntryPoint {
                sequence: self.next_sequence(),
                timestamp_ms: tag.timestamp_ms,
                headers: Arc::clone(&self.headers),
            });
        }
        if opens || role == Role::Frame {
            self.frames = self.frames.saturating_add(1);
        }
        self.bytes = self.bytes.saturating_add(cost(&tag));
        let newest = tag.timestamp_ms;
        self.entries.push_back(Entry { tag, role, frames: self.frames });
        self.let_go(newest);
        jumped
    }

    /// Lets go of the oldest media beyond so many bytes; the last whole GOP and the open one stay.
    pub(crate) fn cut(&mut self, bytes: usize) {
        while self.bytes > bytes && self.entry_points.len() > LEAST_GOPS {
            self.let_go_first_gop();
        }
    }

    /// Whether nothing has come so far that decoding can begin with.
    pub(crate) fn is_closed(&self) -> bool {
        !self.decodable
    }

    /// From now on, and until something comes that decoding can begin with, relays begin anywhere, and with anything. What
    /// is wrong with such media the worker must see, to say it; and sound may be good beside pictures that are not. Only
    /// for a publisher of whom nothing could be decoded yet.
    pub(crate) fn open_anywhere(&mut self) {
        self.open_anywhere = true;
    }

    /// How much media came since the last entry point, up to this timestamp.
    fn last_opened(&self, timestamp_ms: u32) -> Duration {
        self.entry_points.back().map_or(Duration::MAX, |point| behind(point.timestamp_ms, timestamp_ms))
    }

    /// A relay's place at `beginning`.
    pub(crate) fn cursor(&self, beginning: Beginning) -> Cursor {
        let from = match beginning {
            Beginning::Replay => self.first,
            Beginning::NextKeyframe => self.next_sequence(),
        };
        Cursor { place: Place::EntryPointFrom(from), pending: VecDeque::new(), frames: None, dropped: 0 }
    }

    /// Everything that has come so far lies before this.
    pub(crate) fn end(&self) -> u64 {
        self.next_sequence()
    }

    /// The first place at or behind `from` where one relay can end and another one begin.
    pub(crate) fn switch(&self, from: u64) -> Option<Switch> {
        let point = self.entry_points.iter().find(|point| point.sequence >= from)?;
        let tag = &self.entry(point.sequence)?.tag;
        Some(Switch { sequence: point.sequence, shown_ms: tag.shown_ms() })
    }

    /// The place of the relay that begins at `switch`: headers, the entry point, the sound that was sent before a picture and
    /// belongs beside it, and then what follows.
    pub(crate) fn cursor_behind(&self, switch: Switch) -> Option<Cursor> {
        let point = self.entry_points.iter().find(|point| point.sequence == switch.sequence)?;
        let entry = self.entry(switch.sequence)?;
        let mut sound = VecDeque::new();
        // Sound alone follows in its own order.
        let before = if entry.tag.role() == Role::Audio { switch.sequence } else { self.first.max(self.run) };
        for sequence in (before..switch.sequence).rev() {
            let Some(Entry { tag, .. }) = self.entry(sequence) else { break };
            let ahead = behind(switch.shown_ms, tag.timestamp_ms);
            let late = behind(tag.timestamp_ms, switch.shown_ms);
            match tag.role() {
                // What comes before it is under another configuration.
                Role::AudioHeader => break,
                Role::Audio if ahead <= LONGEST_REPLAY && late <= SOUND_BEFORE => {
                    sound.push_front(tag.clone());
                }
                Role::Keyframe | Role::Frame if late > INTERLEAVED => break,
                _ => {}
            }
        }
        let mut pending = point.headers.stamped(point.timestamp_ms);
        pending.push_back(entry.tag.clone());
        pending.extend(sound);
        let place = Place::At(switch.sequence.saturating_add(1));
        Some(Cursor { place, pending, frames: Some(entry.frames), dropped: 0 })
    }

    /// What the relay at `cursor`, which ends at `switch`, sends next: all that came before it, and sound that came
    /// later and lies before it.
    pub(crate) fn read_before(&self, cursor: &mut Cursor, switch: Switch) -> Rest {
        loop {
            match cursor.place {
                Place::At(sequence)
                    if sequence >= self.first.max(switch.sequence) && cursor.pending.is_empty() =>
                {
                    let Some(entry) = self.entry(sequence) else { return self.sound_awaited(switch) };
                    cursor.place = Place::At(sequence.saturating_add(1));
                    let late = behind(entry.tag.timestamp_ms, switch.shown_ms);
                    match entry.tag.role() {
                        Role::Audio if !late.is_zero() && late <= SOUND_AWAITED => {
                            return Rest::Tag(entry.tag.clone());
                        }
                        // Sound has come as far as the switch, or is another configuration's or another run's.
                        Role::Audio | Role::AudioHeader => return Rest::Complete,
                        _ => {}
                    }
                }
                // A relay that fell out of the replay has nothing to end.
                Place::At(sequence) if sequence < self.first => return Rest::Complete,
                Place::EntryPointFrom(from) if from >= switch.sequence => return Rest::Complete,
                _ => match self.read(cursor) {
                    Some(tag) => return Rest::Tag(tag),
                    None => return Rest::Complete,
                },
            }
        }
    }

    /// Whether sound can still come that lies before `switch`.
    fn sound_awaited(&self, switch: Switch) -> Rest {
        let newest = (self.first.max(self.run)..self.next_sequence())
            .rev()
            .filter_map(|sequence| self.entry(sequence))
            .find(|entry| entry.tag.role() == Role::Audio)
            .map(|entry| entry.tag.timestamp_ms);
        let awaited = newest.is_some_and(|newest| {
            let missing = behind(newest, switch.shown_ms);
            !missing.is_zero() && missing <= SOUND_AWAITED
        });
        if awaited { Rest::Awaited } else { Rest::Complete }
    }

    /// What the relay at `cursor` sends next; `None` until more arrives. A relay that was so slow that its place is
    /// gone goes on at the next keyframe, headers first.
    pub(crate) fn read(&self, cursor: &mut Cursor) -> Option<Tag> {
        if let Some(header) = cursor.pending.pop_front() {
            return Some(header);
        }
        let sequence = match cursor.place {
            Place::At(sequence) if sequence >= self.first => sequence,
            Place::At(from) | Place::EntryPointFrom(from) => {
                cursor.place = Place::EntryPointFrom(from);
                let entry_point = self.entry_points.iter().find(|point| point.sequence >= from)?;
                cursor.place = Place::At(entry_point.sequence);
                cursor.pending = entry_point.headers.stamped(entry_point.timestamp_ms);
                if let Some(seen) = cursor.frames.take() {
                    // The entry point itself is a frame, and will be read.
                    let before = self.entry(entry_point.sequence)?.frames.saturating_sub(1);
                    cursor.dropped = cursor.dropped.saturating_add(before.saturating_sub(seen));
                }
                match cursor.pending.pop_front() {
                    Some(header) => return Some(header),
                    None => entry_point.sequence,
                }
            }
        };
        let (sequence, entry) = self.entry_from(sequence)?;
        cursor.place = Place::At(sequence.saturating_add(1));
        cursor.frames = Some(entry.frames);
        Some(entry.tag.clone())
    }

    /// The next one that is of use: sound beside a picture that lasts for minutes has long been played.
    fn entry_from(&self, sequence: u64) -> Option<(u64, &Entry)> {
        let newest_ms = self.entries.back()?.tag.timestamp_ms;
        (sequence..self.next_sequence()).find_map(|sequence| {
            let entry = self.entry(sequence)?;
            let outdated =
                entry.tag.role() == Role::Audio && behind(entry.tag.timestamp_ms, newest_ms) > LONGEST_REPLAY;
            (!outdated).then_some((sequence, entry))
        })
    }

    /// Whether there is nothing to be read at `cursor` now.
    pub(crate) fn is_read(&self, cursor: &Cursor) -> bool {
        let anything = match cursor.place {
            Place::At(sequence) if sequence >= self.first => sequence < self.next_sequence(),
            Place::At(from) | Place::EntryPointFrom(from) => {
                self.entry_points.back().is_some_and(|point| point.sequence >= from)
            }
        };
        cursor.pending.is_empty() && !anything
    }

    /// How far what is to be read at `cursor` begins before this timestamp; none without anything, or where not all of it are
    /// frames from before it that decoding cannot begin with.
    pub(crate) fn only_before(&self, cursor: &Cursor, timestamp_ms: u32) -> Option<Duration> {
        let Place::At(from) = cursor.place else { return None };
        if !cursor.pending.is_empty() || from < self.first {
            return None;
        }
        let ahead = behind(self.entry(from)?.tag.timestamp_ms, timestamp_ms);
        let mut unread = (from..self.next_sequence()).filter_map(|sequence| self.entry(sequence));
        let only = unread.all(|entry| {
            matches!(entry.role, Role::Frame | Role::Audio)
                && !behind(entry.tag.timestamp_ms, timestamp_ms).is_zero()
        });
        only.then_some(ahead)
    }

    /// How much media waits behind `cursor`.
    pub(crate) fn lag(&self, cursor: &Cursor) -> Duration {
        let sequence = match cursor.place {
            Place::At(sequence) => sequence.max(self.first),
            Place::EntryPointFrom(_) => self.first,
        };
        match (self.entry(sequence), self.entries.back()) {
            (Some(next), Some(last)) => behind(next.tag.timestamp_ms, last.tag.timestamp_ms),
            _ => Duration::ZERO,
        }
    }

    /// Bytes held, with what each tag costs beside its body.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes
    }

    fn next_sequence(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX))
    }

    fn entry(&self, sequence: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }

    fn let_go(&mut self, newest_ms: u32) {
        // The last two whole GOPs and the one that is open, or of long ones fewer.
        while let [Some(first), Some(second)] = [self.entry_points.front(), self.entry_points.get(1)] {
            let (all, without_first) =
                (behind(first.timestamp_ms, newest_ms), behind(second.timestamp_ms, newest_ms));
            let long = without_first >= self.limits.span || all > LONGEST_BURST;
            let enough = long && self.entry_points.len() > KEPT_GOPS;
            if !enough && without_first < LONGEST_REPLAY.max(self.limits.span) {
                break;
            }
            self.let_go_first_gop();
        }
        while self.bytes > self.limits.bytes && !self.entries.is_empty() {
            match self.entry_points.front() {
                Some(oldest) if oldest.sequence <= self.first && self.entry_points.len() > 1 => {
                    self.let_go_first_gop();
                }
                // A single GOP that is too large: it cannot be replayed, and frames without its beginning only serve
                // relays that are on their way.
                Some(oldest) if oldest.sequence <= self.first => self.entry_points.clear(),
                _ => self.let_go_first(),
            }
        }
    }

    fn let_go_first_gop(&mut self) {
        self.entry_points.pop_front();
        let Some(next) = self.entry_points.front().map(|point| point.sequence) else { return };
        while self.first < next {
            self.let_go_first();
        }
    }

    fn let_go_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes = self.bytes.saturating_sub(cost(&entry.tag));
            self.first = self.first.saturating_add(1);
        }
    }
}

impl Cursor {
    /// Frames that this relay was too slow for, since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

impl Headers {
    /// In the order in which encoders send them.
    fn stamped(&self, timestamp_ms: u32) -> VecDeque<Tag> {
        let all = [&self.metadata, &self.video, &self.colour, &self.audio];
        all.into_iter().flatten().map(|header| header.at(timestamp_ms)).collect()
    }
}

fn cost(tag: &Tag) -> usize {
    let beside = match tag.body {
        // Parsed, it is a few strings and numbers more.
        Body::Metadata(_) => 1024,
        Body::Audio(_) | Body::Video(_) => 128,
    };
    tag.len().saturating_add(beside)
}

/// Time from one timestamp to a later one, across the 32-bit wrap; none when it is not later.
fn behind(earlier_ms: u32, later_ms: u32) -> Duration {
    let ahead = later_ms.wrapping_sub(earlier_ms);
    if ahead > u32::MAX / 2 { Duration::ZERO } else { Duration::from_millis(u64::from(ahead)) }
}

/// A worker that goes on behind another one takes the frames that it needs of this: one lies across the switch.
const SOUND_BEFORE: Duration = Duration::from_millis(300);
/// No encoder sends a track so much sooner than the other one.
const INTERLEAVED: Duration = Duration::from_secs(6);
/// Sound that is later than this is not waited for: it may have ended.
const SOUND_AWAITED: Duration = Duration::from_secs(1);
/// Where relays may begin anywhere: often enough for a relay that must not begin with what is kept.
const OPEN_ANYWHERE_EVERY: Duration = Duration::from_secs(2);
/// One whole GOP and the open one: a worker goes on with these, and viewers miss what only the former one had.
const LEAST_GOPS: usize = 2;
/// Two whole GOPs and the open one.
const KEPT_GOPS: usize = 3;
/// A worker rebuilds nothing that is older, and older sound than this is for nobody.
const LONGEST_REPLAY: Duration = Duration::from_secs(30);
/// That a worker is lost shows after 3 s, its successor may take 10 s to start, and it makes again what viewers have seen
/// and storage has not.
const SPAN: Duration = Duration::from_secs(15);
/// Workers take media that is up to 20 s ahead of the wall clock (ARCHITECTURE §5), and the first one of a broadcast gets
/// the whole replay at once.
const LONGEST_BURST: Duration = Duration::from_secs(20);
/// 15 s and the open GOP of 11 Mb/s: what a worker rebuilds segments from, and the most that one publisher costs this process.
pub(crate) const MAX_BYTES: usize = 24 * 1024 * 1024;

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
