//! A copy of a controller's streams, kept by the lines that it sends. No I/O, no clock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use caudal_livestream::StreamId;
use caudal_livestream::record::LiveStream;
use thiserror::Error;

use super::wire::{LineHead, LineKind, Mark};
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

    /// Whether a stream that is not in the copy is none of the controller's, as far as this connection has heard.
    pub(super) fn is_complete(&self) -> bool {
        self.mark.is_some() && !self.in_doubt && self.unreadable.is_empty()
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
        let LineHead { kind, stream, mark, record } = match serde_json::from_slice(line) {
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

    /// Shows a stream that a command's answer spoke of, where the copy does not know it yet.
    pub(super) fn adopt(&mut self, record: &Arc<LiveStream>) {
        let stream = record.spec.stream;
        if !self.streams.contains_key(&stream) {
            self.streams.insert(Arc::clone(record));
        }
    }

    fn complete(&mut self, mark: Mark) {
        let first = self.mark.replace(mark).is_none();
        let said = std::mem::take(&mut self.said);
        if said.is_empty() && !first {
            return;
        }
        if first && !self.in_doubt {
            let is_gone = |stream: &StreamId| {
                !self.unreadable.contains(stream) && !matches!(said.get(stream), Some(Some(_)))
            };
            let known = self.streams.values().map(|record| record.spec.stream);
            for stream in known.filter(is_gone).collect::<Vec<_>>() {
                self.streams.remove(&stream);
            }
        }
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

    fn room(&self) -> Result<(), TooMany> {
        let most = self.said.len().max(self.streams.len()).max(self.unreadable.len());
        if most > MOST_STREAMS { Err(TooMany) } else { Ok(()) }
    }
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
        serde_json::to_vec(&Line::Whole { mark: Mark { run: Uuid::nil(), revision } }).unwrap()
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
        assert!(!replica.is_complete());
        // Said once, however often it changes.
        assert_eq!(hear(&mut replica, &[unreadable(&strange), whole(2)]), 0);
        hear(&mut replica, &[removed(strange.spec.stream), whole(3)]);
        assert!(replica.is_complete());
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

    #[test]
    fn a_stream_that_an_answer_spoke_of_is_shown_and_what_the_directory_says_of_it_counts_more() {
        let stream = stream_of("a");
        let mut live = stream.clone();
        live.status.phase = Phase::Live;
        let mut replica = Replica::default();
        replica.adopt(&Arc::new(stream.clone()));
        assert_eq!(replica.streams().get(&stream.spec.stream).unwrap().status.phase, Phase::Pending);
        hear(&mut replica, &[record(&live), whole(1)]);
        replica.adopt(&Arc::new(stream));
        assert_eq!(replica.streams().get(&live.spec.stream).unwrap().status.phase, Phase::Live);
    }
}
