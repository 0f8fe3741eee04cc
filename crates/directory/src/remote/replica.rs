//! A copy of a controller's streams, kept by the lines that it sends. No I/O, no clock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use caudal_livestream::StreamId;
use caudal_livestream::record::LiveStream;
use thiserror::Error;

use super::wire::{LineHead, LineKind, Mark, Moment};
use crate::Streams;

/// The copy. What a connection says counts as soon as it is a whole: nobody sees half of a change, or a directory of which
/// the rest has yet to come.
#[derive(Debug, Default)]
pub(super) struct Replica {
    streams: Streams,
    /// What this connection has said since its last mark.
    said: HashMap<StreamId, Option<Arc<LiveStream>>>,
    /// Streams that are there, and whose records cannot be read.
    unreadable: HashSet<StreamId>,
    /// Something of this connection could not be read at all: nobody knows which stream it was about.
    in_doubt: bool,
    /// How far the copy is; none until this connection has shown everything once.
    mark: Option<Mark>,
    /// When that was, by the controller's clock, if it has said so.
    said_at: Option<Moment>,
    /// Streams that are shown because a command's answer spoke of them, and how far the directory was then. This
    /// connection may be behind that, so that it does not name them yet.
    adopted: HashMap<StreamId, Mark>,
}

/// What is wrong with a line. The line is left out, all others count.
#[derive(Debug, Error)]
pub(super) enum Unreadable {
    /// It is no line of a directory.
    #[error("a line that is not the directory's: {0}")]
    Line(serde_json::Error),
    /// What it is about is known.
    #[error("the record of stream {0} cannot be read, perhaps because a newer release wrote it: {1}")]
    Record(StreamId, serde_json::Error),
    /// It lacks a field.
    #[error("a line of the directory without what it is about")]
    Incomplete,
    /// Longer than any record.
    #[error("a line that is too long")]
    TooLong,
}

/// More streams than a copy can hold: what comes is not a directory.
#[derive(Debug, Error)]
#[error("the controller has more than {MOST_STREAMS} streams")]
pub(super) struct TooMany;

impl Replica {
    /// All streams, as far as they are known.
    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// How far this connection has brought the copy.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// When the controller said so, by its own clock.
    pub(super) fn said_at(&self) -> Option<Moment> {
        self.said_at
    }

    /// Whether this connection has shown everything, but for records that cannot be read: one of those must not leave all
    /// other streams in doubt.
    pub(super) fn is_complete(&self) -> bool {
        self.mark.is_some() && !self.in_doubt
    }

    /// Whether the controller is known to have no such stream. What was said since the last mark counts too: a record that
    /// can be read again is no longer unreadable, and not yet in the copy.
    pub(super) fn is_missing(&self, stream: StreamId) -> bool {
        self.is_complete()
            && !self.unreadable.contains(&stream)
            && !self.said.contains_key(&stream)
            && !self.streams.contains_key(&stream)
    }

    /// A connection was lost, or a new one begins: everything will be said anew, and until then the copy stays.
    pub(super) fn begin(&mut self) {
        self.said.clear();
        self.unreadable.clear();
        self.in_doubt = false;
        self.mark = None;
    }

    /// Takes a line. `Ok(true)` when the copy is a whole again, changed or not.
    pub(super) fn hear(&mut self, line: &[u8]) -> Result<Result<bool, Unreadable>, TooMany> {
        let LineHead { kind, stream, mark, now_ms, record } = match serde_json::from_slice(line) {
            Ok(head) => head,
            Err(error) => return Ok(Err(self.doubt(Unreadable::Line(error)))),
        };
        match (kind, stream, record, mark) {
            (LineKind::Record, Some(stream), Some(record), _) => match serde_json::from_str(record.get()) {
                Ok(record) => {
                    self.unreadable.remove(&stream);
                    self.said.insert(stream, Some(Arc::new(record)));
                }
                Err(error) => {
                    // An older record of it stays: the stream is there.
                    if self.unreadable.insert(stream) {
                        self.room()?;
                        return Ok(Err(Unreadable::Record(stream, error)));
                    }
                }
            },
            (LineKind::Removed, Some(stream), _, _) => {
                self.unreadable.remove(&stream);
                self.said.insert(stream, None);
            }
            (LineKind::Whole, _, _, Some(mark)) => {
                self.said_at = now_ms.map(|ms| Moment { run: mark.run, ms });
                self.complete(mark);
                return Ok(Ok(true));
            }
            (LineKind::Other, ..) => {}
            _ => return Ok(Err(self.doubt(Unreadable::Incomplete))),
        }
        self.room()?;
        Ok(Ok(false))
    }

    /// A line was left out, whatever it said.
    pub(super) fn doubt(&mut self, why: Unreadable) -> Unreadable {
        self.in_doubt = true;
        why
    }

    /// Shows a stream that a command's answer spoke of when the directory was at `answered`, until the copy is that far and
    /// knows better.
    pub(super) fn adopt(&mut self, record: &Arc<LiveStream>, answered: Mark) {
        let stream = record.spec.stream;
        let is_behind = self.mark.is_none_or(|mark| !mark.shows(answered));
        if is_behind && !self.streams.contains_key(&stream) {
            self.streams.insert(Arc::clone(record));
            self.adopted.insert(stream, answered);
        }
    }

    fn complete(&mut self, mark: Mark) {
        let first = self.mark.replace(mark).is_none();
        let said = std::mem::take(&mut self.said);
        if said.is_empty() && self.adopted.is_empty() && !first {
            return;
        }
        for stream in self.missing(&said, mark, first) {
            self.streams.remove(&stream);
        }
        self.adopted.retain(|stream, answered| {
            !said.contains_key(stream)
                && !self.unreadable.contains(stream)
                && !is_past(mark, *answered, first)
        });
        for (stream, record) in said {
            match record {
                // Who compares records by address sees no change where there is none.
                Some(record) if self.streams.get(&stream) == Some(&record) => {}
                Some(record) => self.streams.insert(record),
                None => {
                    self.streams.remove(&stream);
                }
            }
        }
    }

    /// What the copy shows and the directory does not have at `mark`, by what it has not said.
    fn missing(
        &self,
        said: &HashMap<StreamId, Option<Arc<LiveStream>>>,
        mark: Mark,
        first: bool,
    ) -> Vec<StreamId> {
        if self.in_doubt {
            return Vec::new();
        }
        let is_missing = |stream: &StreamId| {
            !self.unreadable.contains(stream)
                && !matches!(said.get(stream), Some(Some(_)))
                && self.adopted.get(stream).is_none_or(|answered| is_past(mark, *answered, first))
        };
        if first {
            self.streams.values().map(|record| record.spec.stream).filter(is_missing).collect()
        } else {
            self.adopted.keys().copied().filter(is_missing).collect()
        }
    }

    fn room(&self) -> Result<(), TooMany> {
        let most = self.said.len().max(self.streams.len()).max(self.unreadable.len());
        if most > MOST_STREAMS { Err(TooMany) } else { Ok(()) }
    }
}

/// Whether a directory at `mark` shows what an answer spoke of at `answered`. One of another run does once it has been
/// read as a whole: what was answered was stored before.
fn is_past(mark: Mark, answered: Mark, first: bool) -> bool {
    mark.shows(answered) || (first && mark.run != answered.run)
}

/// Ten times what a platform is made for, and about 100 MB.
const MOST_STREAMS: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::super::wire::Line;
    use super::*;
    use crate::remote::tests::stream_of;
    use caudal_livestream::record::Phase;
    use uuid::Uuid;

    fn record(record: &LiveStream) -> Vec<u8> {
        serde_json::to_vec(&Line::Record { stream: record.spec.stream, record }).unwrap()
    }

    fn removed(stream: StreamId) -> Vec<u8> {
        serde_json::to_vec(&Line::Removed { stream }).unwrap()
    }

    fn whole(revision: u64) -> Vec<u8> {
        serde_json::to_vec(&Line::Whole { mark: Mark { run: Uuid::nil(), revision }, now_ms: 0 }).unwrap()
    }

    /// Without its `spec.channel` no record of any release.
    fn unreadable(of: &LiveStream) -> Vec<u8> {
        let mut line: serde_json::Value = serde_json::from_slice(&record(of)).unwrap();
        line["record"]["spec"].as_object_mut().unwrap().remove("channel");
        serde_json::to_vec(&line).unwrap()
    }

    fn hear(replica: &mut Replica, lines: &[Vec<u8>]) -> usize {
        lines.iter().filter(|line| replica.hear(line).unwrap().is_err()).count()
    }

    fn known(replica: &Replica) -> HashSet<StreamId> {
        replica.streams().values().map(|record| record.spec.stream).collect()
    }

    #[test]
    fn nothing_is_shown_before_everything_was_said_and_from_then_on_each_change() {
        let (a, b) = (stream_of("a"), stream_of("b"));
        let mut replica = Replica::default();
        replica.begin();
        hear(&mut replica, &[record(&a), record(&b)]);
        assert!(known(&replica).is_empty() && !replica.is_complete());
        hear(&mut replica, &[whole(1)]);
        assert_eq!(known(&replica), HashSet::from([a.spec.stream, b.spec.stream]));
        assert!(replica.is_complete());
        let mut live = a.clone();
        live.status.phase = Phase::Live;
        hear(&mut replica, &[record(&live), removed(b.spec.stream), whole(2)]);
        assert_eq!(replica.streams().get(&a.spec.stream).unwrap().status.phase, Phase::Live);
        assert_eq!(known(&replica), HashSet::from([a.spec.stream]));
        assert_eq!(replica.mark().unwrap().revision, 2);
    }

    #[test]
    fn the_last_copy_stays_until_a_new_connection_has_said_everything_and_what_is_the_same_stays_the_same() {
        let (kept, lost) = (stream_of("kept"), stream_of("lost"));
        let mut replica = Replica::default();
        hear(&mut replica, &[record(&kept), record(&lost), whole(1)]);
        let before = Arc::clone(replica.streams().get(&kept.spec.stream).unwrap());
        replica.begin();
        assert!(!replica.is_complete());
        assert_eq!(known(&replica).len(), 2);
        hear(&mut replica, &[record(&kept)]);
        assert_eq!(known(&replica).len(), 2);
        hear(&mut replica, &[whole(7)]);
        assert_eq!(known(&replica), HashSet::from([kept.spec.stream]));
        assert!(Arc::ptr_eq(&before, replica.streams().get(&kept.spec.stream).unwrap()));
    }

    #[test]
    fn a_record_that_cannot_be_read_costs_no_other_and_makes_its_stream_neither_known_nor_missing() {
        let (strange, fine) = (stream_of("strange"), stream_of("fine"));
        let mut replica = Replica::default();
        assert_eq!(hear(&mut replica, &[unreadable(&strange), record(&fine), whole(1)]), 1);
        assert_eq!(known(&replica), HashSet::from([fine.spec.stream]));
        assert!(replica.is_complete() && !replica.is_missing(strange.spec.stream));
        assert!(replica.is_missing(StreamId::generate()));
        // Said once, however often it changes.
        assert_eq!(hear(&mut replica, &[unreadable(&strange), whole(2)]), 0);
        hear(&mut replica, &[removed(strange.spec.stream), whole(3)]);
        assert!(replica.is_missing(strange.spec.stream));
    }

    #[test]
    fn a_stream_whose_record_can_be_read_again_is_not_missing_before_the_change_is_whole() {
        let stream = stream_of("a");
        let mut replica = Replica::default();
        hear(&mut replica, &[unreadable(&stream), whole(1), record(&stream)]);
        assert!(known(&replica).is_empty() && !replica.is_missing(stream.spec.stream));
        hear(&mut replica, &[whole(2)]);
        assert!(!replica.is_missing(stream.spec.stream));
    }

    #[test]
    fn a_record_that_becomes_unreadable_stays_as_it_was_last_read_over_a_new_connection_too() {
        let stream = stream_of("a");
        let mut replica = Replica::default();
        hear(&mut replica, &[record(&stream), whole(1), unreadable(&stream), whole(2)]);
        assert_eq!(**replica.streams().get(&stream.spec.stream).unwrap(), stream);
        replica.begin();
        hear(&mut replica, &[unreadable(&stream), whole(1)]);
        assert_eq!(**replica.streams().get(&stream.spec.stream).unwrap(), stream);
        hear(&mut replica, &[record(&stream), whole(2)]);
        assert!(replica.is_complete());
    }

    #[test]
    fn a_line_that_is_none_leaves_doubt_until_the_next_connection_and_removes_nothing() {
        let stream = stream_of("a");
        let mut replica = Replica::default();
        hear(&mut replica, &[record(&stream), whole(1)]);
        for garbage in [&b"{"[..], b"", b"\xff", br#"{"kind":"record"}"#, br#"{"kind":"whole"}"#] {
            replica.begin();
            assert_eq!(hear(&mut replica, &[garbage.to_vec(), whole(2)]), 1, "{garbage:?}");
            assert_eq!(known(&replica), HashSet::from([stream.spec.stream]), "{garbage:?}");
            assert!(!replica.is_complete(), "{garbage:?}");
        }
        replica.begin();
        hear(&mut replica, &[whole(3)]);
        assert!(known(&replica).is_empty() && replica.is_complete());
    }

    #[test]
    fn a_kind_of_line_and_fields_that_only_a_later_release_knows_are_passed_over() {
        let stream = stream_of("a");
        let mut line: serde_json::Value = serde_json::from_slice(&record(&stream)).unwrap();
        line["later"] = 1.into();
        line["record"]["later"] = 1.into();
        let mut replica = Replica::default();
        let lines = [br#"{"kind":"later","x":1}"#.to_vec(), serde_json::to_vec(&line).unwrap(), whole(1)];
        assert_eq!(hear(&mut replica, &lines), 0);
        assert!(replica.is_complete());
        assert_eq!(**replica.streams().get(&stream.spec.stream).unwrap(), stream);
    }

    fn at(revision: u64) -> Mark {
        Mark { run: Uuid::nil(), revision }
    }

    #[test]
    fn a_stream_that_an_answer_spoke_of_is_shown_and_what_the_directory_says_of_it_counts_more() {
        let stream = stream_of("a");
        let mut live = stream.clone();
        live.status.phase = Phase::Live;
        let mut replica = Replica::default();
        replica.adopt(&Arc::new(stream.clone()), at(1));
        assert_eq!(replica.streams().get(&stream.spec.stream).unwrap().status.phase, Phase::Pending);
        hear(&mut replica, &[record(&live), whole(1)]);
        replica.adopt(&Arc::new(stream), at(1));
        assert_eq!(replica.streams().get(&live.spec.stream).unwrap().status.phase, Phase::Live);
    }

    #[test]
    fn a_stream_of_an_answer_stays_while_a_connection_tells_of_the_time_before_it() {
        let (before, opened) = (stream_of("before"), stream_of("opened"));
        let mut replica = Replica::default();
        replica.begin();
        // The connection has begun to say how the directory was before the stream was opened.
        hear(&mut replica, &[record(&before)]);
        replica.adopt(&Arc::new(opened.clone()), at(5));
        let both = HashSet::from([before.spec.stream, opened.spec.stream]);
        for revision in [3, 4] {
            hear(&mut replica, &[whole(revision)]);
            assert_eq!(known(&replica), both, "at {revision}");
        }
        hear(&mut replica, &[record(&opened), whole(5), whole(6)]);
        assert_eq!(known(&replica), both);
        hear(&mut replica, &[removed(opened.spec.stream), whole(7)]);
        assert_eq!(known(&replica), HashSet::from([before.spec.stream]));
    }

    #[test]
    fn a_stream_of_an_answer_that_the_directory_never_shows_goes_once_the_copy_is_past_it() {
        let ended = stream_of("ended");
        let next_run =
            serde_json::to_vec(&Line::Whole { mark: Mark { run: Uuid::max(), revision: 1 }, now_ms: 0 })
                .unwrap();
        for (case, lines) in [
            ("the same connection", vec![whole(4), whole(5)]),
            ("the first word of the next run", vec![next_run]),
        ] {
            let mut replica = Replica::default();
            replica.adopt(&Arc::new(ended.clone()), at(5));
            hear(&mut replica, &lines);
            assert!(known(&replica).is_empty(), "{case}");
            assert!(replica.adopted.is_empty(), "{case}");
        }
        let mut replica = Replica::default();
        hear(&mut replica, &[whole(5)]);
        replica.adopt(&Arc::new(ended), at(5));
        assert!(known(&replica).is_empty(), "the copy was as far already");
    }
}
