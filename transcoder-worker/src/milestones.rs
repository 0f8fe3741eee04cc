//! What is traced of a worker's one stream: how long it took to be watched, and to end.

use caudal_livestream::assignment::{Assignment, AssignmentMode};
use caudal_livestream::{Epoch, StreamId};
use caudal_traces::{Outcome, Span, Traces};

/// The spans of one epoch, from its assignment on. A span that is still open when the worker ends ends with it, as one that failed.
pub(crate) struct Milestones {
    traces: Traces,
    stream: StreamId,
    epoch: Epoch,
    first_part: Option<Span>,
    first_segment: Option<Span>,
    encoder: Option<Span>,
    ending: Option<Span>,
}

impl Milestones {
    /// From now on, because the assignment was just taken.
    pub(crate) fn new(traces: Traces, assignment: &Assignment) -> Self {
        let (stream, epoch) = (assignment.stream, assignment.epoch);
        let mut milestones = Self {
            traces,
            stream,
            epoch,
            first_part: None,
            first_segment: None,
            encoder: None,
            ending: None,
        };
        // One that closes a broadcast announces no media.
        if assignment.mode != AssignmentMode::Finish {
            milestones.first_part = Some(milestones.begin("first part"));
            milestones.first_segment = Some(milestones.begin("first segment"));
        }
        milestones
    }

    /// A part was announced.
    pub(crate) fn part(&mut self) {
        well(&mut self.first_part);
    }

    /// A segment was announced.
    pub(crate) fn segment(&mut self) {
        well(&mut self.first_segment);
    }

    /// ffmpeg is started.
    pub(crate) fn encoder_starts(&mut self) {
        self.encoder = Some(self.begin("encoder start"));
    }

    /// It gives its first picture.
    pub(crate) fn encoded(&mut self) {
        well(&mut self.encoder);
    }

    /// The playlists are being closed, or the stream is handed over.
    pub(crate) fn ends(&mut self, reason: &str) {
        let mut span = self.begin("worker ending");
        span.note("caudal.reason", reason);
        self.ending = Some(span);
    }

    fn begin(&self, name: &'static str) -> Span {
        let mut span = self.traces.begin(self.stream, name);
        span.note("caudal.epoch", self.epoch);
        span
    }
}

impl Drop for Milestones {
    fn drop(&mut self) {
        well(&mut self.ending);
        for mut span in [&mut self.first_part, &mut self.first_segment, &mut self.encoder]
            .into_iter()
            .filter_map(Option::take)
        {
            span.went(Outcome::Failed, "the worker ended before");
        }
    }
}

fn well(span: &mut Option<Span>) {
    if let Some(mut span) = span.take() {
        span.went(Outcome::Well, "");
    }
}
