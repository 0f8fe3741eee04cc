//! Whether anything that a publisher sends can be packaged, and if not, what it sends.

use caudal_livestream::UnixMillis;

/// One publisher's media since some of it could last be packaged.
#[derive(Debug, Default)]
pub(super) struct UnplayableWatch {
    /// For how long media has come, in milliseconds. Time in which none came does not count: a camera that takes a
    /// minute to wake, or a line that stalled, is somebody else's to judge.
    heard_ms: i64,
    last: Option<UnixMillis>,
    /// Something of this publisher's could be packaged before, or could not because it may change so often only.
    lenient: bool,
    pictures: Progress,
    sound: Progress,
}

/// The furthest that one kind of media came.
#[derive(Debug, Default)]
struct Progress {
    got: Got,
    why: Option<String>,
}

/// How far media comes before something stops it, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Got {
    #[default]
    Nothing,
    /// Tags that hold none of it.
    Empty,
    /// It came before its codec header, or without one.
    Headless,
    /// A codec, or a codec header, that cannot be used.
    Refused,
    /// A good codec header.
    Header,
    /// Frames that are not what they say.
    Broken,
    /// Pictures, none of which a decoder can begin with.
    NoKeyframe,
    /// Frames that can be decoded: only their timestamps can be at fault.
    Frames,
    /// Its codec header cannot be written as an initialization segment.
    Unwritable,
}

impl Progress {
    fn saw(&mut self, got: Got, why: Option<String>) {
        if got >= self.got {
            *self = Self { got, why };
        }
    }

    fn in_words(&self, what: &str) -> String {
        let why = self.why.as_deref().unwrap_or_default();
        let why: String = why.chars().take(MAX_WHY).collect();
        match self.got {
            Got::Nothing => format!("no {what} came"),
            Got::Empty => format!("messages came that hold no {what}"),
            Got::Headless => format!("{what} came without a codec header"),
            Got::Refused => format!("the {what} cannot be used ({why})"),
            Got::Header => format!("a codec header came, but no {what}"),
            Got::Broken => format!("{what} came that cannot be read ({why})"),
            Got::NoKeyframe => format!("{what} came, but no keyframe"),
            Got::Frames => format!("{what} came, but with timestamps that jump or stand still"),
            Got::Unwritable => format!("{what} came that no file can hold ({why})"),
        }
    }
}

impl UnplayableWatch {
    /// A tag has come.
    pub(super) fn heard(&mut self, now: UnixMillis) {
        let since = self.last.replace(now).map_or(0, |last| now.0.saturating_sub(last.0));
        self.heard_ms = self.heard_ms.saturating_add(since.clamp(0, MAX_PAUSE_MS));
    }

    pub(super) fn pictures(&mut self, got: Got, why: Option<String>) {
        self.pictures.saw(got, why);
    }

    pub(super) fn sound(&mut self, got: Got, why: Option<String>) {
        self.sound.saw(got, why);
    }

    /// Something could be packaged.
    pub(super) fn packaged(&mut self) {
        *self = Self { last: self.last, lenient: true, ..Self::default() };
    }

    /// The publisher has used up its changes, and is not listened to for a while.
    pub(super) fn changes_refused(&mut self) {
        self.lenient = true;
    }

    /// What came, in words for the streamer, once none of it could be packaged for too long. Said anew after as long again:
    /// the first time, nobody may have listened.
    pub(super) fn verdict(&mut self) -> Option<String> {
        let patience = if self.lenient { LATER_PATIENCE_MS } else { FIRST_PATIENCE_MS };
        if self.heard_ms < patience {
            return None;
        }
        self.heard_ms = 0;
        Some(format!("{}; {}", self.pictures.in_words("video"), self.sound.in_words("sound")))
    }
}

/// A longer pause between tags does not count as time in which media came.
const MAX_PAUSE_MS: i64 = 1_000;
/// A first keyframe may be 20 s away. The router may have waited 17 s for one before; a publisher that is at fault is
/// told why well within the minute that a broadcast has for its first segment.
const FIRST_PATIENCE_MS: i64 = 20_000;
/// One that has used up its changes is ignored for a minute.
const LATER_PATIENCE_MS: i64 = 90_000;
/// Two such reasons and the words around them fit an encoder's dialog.
const MAX_WHY: usize = 60;
