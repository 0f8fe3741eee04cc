use bytes::Bytes;
use caudal_livestream::Msn;
use caudal_livestream::feed::Event;
use caudal_livestream::timeline::{Segment, SegmentPhase};

use crate::announcer::Announcer;
use crate::cmaf::video_init;
use crate::codec::VideoConfig;
use crate::cut_plan::CutPlan;
use crate::flv::{VideoTag, begins_decoding};
use crate::nal;
use crate::report::MediaReport;
use crate::sample::Sample;
use crate::track::{Covered, Track};

/// A rendition that ffmpeg makes: follows the plan by presentation time.
#[derive(Debug)]
pub(super) struct Rung {
    pub(super) track: Track,
    config: Option<VideoConfig>,
    /// The last picture's decode time as packaged, in milliseconds.
    last: Option<i64>,
    /// When that picture is shown, in milliseconds.
    shown: Option<i64>,
    /// True until a keyframe has come that a decoder can begin with.
    waits_for_keyframe: bool,
    /// Presentation time (µs) where an earlier epoch's media ends; earlier pictures are dropped.
    behind: Option<i64>,
    standing: Standing,
}

/// One picture of the encoder's.
struct Coded {
    keyframe: bool,
    idr: bool,
    data: Bytes,
}

/// Whether a rung is made, and whether players are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Shown,
    Withdrawn,
    /// An encoder makes it again; its first segment is this one or a later one.
    Returning {
        from: Msn,
    },
    /// It has segments, but not yet enough of them to be played.
    Growing,
}

impl Rung {
    pub(super) fn new(track: Track, behind: Option<i64>) -> Self {
        let standing = Standing::Shown;
        Self { track, config: None, last: None, shown: None, waits_for_keyframe: true, behind, standing }
    }

    /// One that an earlier epoch withdrew.
    pub(super) fn withdrawn(track: Track) -> Self {
        Self { standing: Standing::Withdrawn, ..Self::new(track, None) }
    }

    pub(super) fn withdraw(&mut self, announcer: &mut Announcer) {
        if self.standing == Standing::Shown {
            announcer.announce(Event::Withdrawn { rendition: self.track.name.clone() }, None);
        }
        self.standing = Standing::Withdrawn;
    }

    /// Its encoder is there again. Segments begin at the same instants in all renditions, so this rung has none before
    /// the one that is opened `next`.
    pub(super) fn come_back(&mut self, next: Msn) {
        if self.standing != Standing::Withdrawn {
            return;
        }
        self.track.abandon_samples();
        self.waits_for_keyframe = true;
        self.behind = None;
        // Storage may have forgotten the initialization segment since.
        self.config = None;
        let from = next.max(self.track.cursor.next());
        self.standing = Standing::Returning { from };
    }

    /// Whether this picture is the first one of a segment, with which a rung that comes back can begin.
    fn begin_again(
        &mut self,
        mut from: Msn,
        presentation: i64,
        keyframe: bool,
        plan: &CutPlan,
        announcer: &mut Announcer,
    ) -> bool {
        let half = plan.frame() / 2;
        // Its encoder may have taken longer to start than the plan remembers.
        from = from.max(plan.first_msn().unwrap_or(from));
        while let Some(segment) = plan.segment(from)
            && segment.start + segment.shift + half < presentation
        {
            from = from.next();
        }
        self.standing = Standing::Returning { from };
        let begins = plan
            .segment(from)
            .is_some_and(|first| keyframe && !first.gap && presentation + half >= first.start + first.shift);
        if begins {
            self.standing = Standing::Growing;
            self.track.skip_to(from);
            // What is left of the old segments does not lead to these.
            if let Some(model) = announcer.track_mut(&self.track.name) {
                model.segments.clear();
            }
            announcer.snapshot();
        }
        begins
    }

    /// Shows it again once a player finds enough of it.
    fn show(&mut self, announcer: &mut Announcer) {
        let Some(model) =
            announcer.track_mut(&self.track.name).filter(|_| self.standing == Standing::Growing)
        else {
            return;
        };
        let whole = |segment: &&Segment| segment.phase != SegmentPhase::Open;
        let without_gap =
            model.segments.iter().rev().filter(whole).take_while(|segment| !segment.gap).count();
        if without_gap >= SHOWN_WITH {
            model.withdrawn = false;
            self.standing = Standing::Shown;
            announcer.report(MediaReport::RungReturned { rendition: self.track.name.clone() });
            announcer.snapshot();
        }
    }

    /// Whether it has to follow the plan.
    pub(super) fn is_made(&self) -> bool {
        matches!(self.standing, Standing::Shown | Standing::Growing)
    }

    /// Its next encoder begins at a keyframe that may lie before what is missing: nothing to wait for.
    pub(super) fn failed(&mut self) {
        self.waits_for_keyframe = self.last.is_none();
    }

    pub(super) fn video(
        &mut self,
        timestamp_ms: i64,
        body: &Bytes,
        plan: &CutPlan,
        announcer: &mut Announcer,
    ) {
        if self.standing == Standing::Withdrawn {
            return;
        }
        match VideoTag::parse(body) {
            Err(error) => announcer.report(MediaReport::Malformed { reason: error.to_string() }),
            Ok(VideoTag::Colour(_) | VideoTag::Nothing) => {}
            Ok(VideoTag::SequenceHeader { codec, record }) => match VideoConfig::parse(codec, &record) {
                Ok(config) => self.header(config, announcer),
                Err(error) => announcer.report(MediaReport::Malformed { reason: error.to_string() }),
            },
            Ok(VideoTag::Frame { codec, flagged, composition_ms, data }) => {
                let Some(config) = &self.config else { return };
                let keyframe = begins_decoding(codec, flagged, &data, config.length_size);
                if (self.waits_for_keyframe && !keyframe) || !config.is_whole(&data) {
                    return;
                }
                self.waits_for_keyframe = false;
                let presentation = timestamp_ms + i64::from(composition_ms);
                let idr = keyframe && nal::is_idr(codec, &data, config.length_size.into());
                self.picture(presentation, Coded { keyframe, idr, data }, plan, announcer);
            }
        }
    }

    fn header(&mut self, config: VideoConfig, announcer: &mut Announcer) {
        if self.config.as_ref() == Some(&config) {
            return;
        }
        let init = match video_init(&config) {
            Ok(init) => init,
            Err(error) => return announcer.report(MediaReport::Malformed { reason: error.to_string() }),
        };
        self.track.set_init(&init, announcer);
        // The master playlist was written before the encoder said what it makes.
        if announcer.track_mut(&self.track.name).is_some_and(|model| config.describe(model)) {
            announcer.snapshot();
        }
        self.config = Some(config);
    }

    fn picture(&mut self, presentation: i64, coded: Coded, plan: &CutPlan, announcer: &mut Announcer) {
        let Coded { keyframe, idr, data } = coded;
        if let Standing::Returning { from } = self.standing
            && !self.begin_again(from, presentation * 1000, keyframe, plan, announcer)
        {
            return;
        }
        // The source's delay, so that decode times of all renditions agree and none is after its presentation.
        let shift = plan.shift_at(presentation * 1000) / 1000;
        let decode = presentation - shift;
        if self.last.is_some_and(|last| decode <= last) {
            return;
        }
        if self.behind.is_some_and(|end| presentation * 1000 + plan.frame() / 2 < end)
            || self.track.pending() > MAX_PENDING
        {
            return;
        }
        let Ok(decode_time) = u64::try_from(decode) else { return };
        // Metadata may claim longer frames than there are: the next picture then comes sooner.
        let before = self.last.replace(decode);
        self.shown = Some(presentation);
        let frame = before.map_or(plan.frame(), |before| plan.frame().min((decode - before) * 1000));
        let at = decode * 1000;
        self.track.settle(plan, Covered::To(at + frame / 4), Some(decode_time), announcer);
        let composition = i32::try_from(shift).unwrap_or(0);
        if plan.is_lost(at) {
            return;
        }
        self.track.push(Sample { decode_time, duration: 0, composition, keyframe, idr, data });
        self.track.settle(plan, Covered::To(at + frame + frame / 4), None, announcer);
        self.show(announcer);
    }

    /// Closes everything: the encoder makes no more pictures.
    pub(super) fn finish(&mut self, plan: &CutPlan, announcer: &mut Announcer) {
        let end = self.last.map_or(i64::MIN, |last| last * 1000 + plan.frame() + plan.frame() / 4);
        self.track.settle(plan, Covered::Ends(end), None, announcer);
        self.track.settle(plan, Covered::All, None, announcer);
    }

    /// Closes what the source's pictures do not fill any further, once the encoder has made all of them. While it is late, only
    /// what is more than [`MAX_LAG`] segments behind is given up.
    pub(super) fn keep_up(&mut self, plan: &CutPlan, announcer: &mut Announcer) {
        if let (Some(own), Some(source)) = (self.shown, plan.last_shown())
            && own * 1000 >= source
        {
            self.track.settle(plan, Covered::All, None, announcer);
            self.show(announcer);
        }
        while let Some(newest) = plan.newest_closed()
            && newest.0.saturating_sub(self.track.cursor.0) > MAX_LAG
            && let Some(segment) = plan.segment(self.track.cursor)
            && let Some(end) = segment.end
        {
            let before: Msn = self.track.cursor;
            if segment.rebuilt.is_some() {
                self.track.lose(segment, end, announcer);
                continue;
            }
            self.track.settle(plan, Covered::To(end), None, announcer);
            if self.track.cursor == before {
                return;
            }
        }
    }
}

/// An encoder whose times are nonsense must not fill the memory.
const MAX_PENDING: usize = 2_000;
/// A worker that begins with a replay has ten source segments of 2 s before the encoder has made one, and two more while it
/// starts and catches up. Encoders take a second at most to start anew; viewers have left the rung long before this.
const MAX_LAG: u64 = 14;
/// Players begin up to three segments before the end (RFC 8216 §6.3.3).
const SHOWN_WITH: usize = 3;
