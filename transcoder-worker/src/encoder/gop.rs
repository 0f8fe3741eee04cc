//! The source's current GOP, kept so that a new ffmpeg can begin at its keyframe.

use caudal_media::codec::PictureFormat;

use super::EncodeFrame;

/// Codec header and frames since the last keyframe.
#[derive(Debug, Default)]
pub(crate) struct Gop {
    header: Option<EncodeFrame>,
    frames: Vec<EncodeFrame>,
    bytes: usize,
}

/// What a frame means to a running child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Feed it on.
    Next,
    /// Nothing can be decoded from it yet, or nothing new is in it.
    Nothing,
    /// The codec header has changed and this is the first keyframe behind it: a new child begins here.
    Restart,
}

impl Gop {
    pub(crate) fn take(&mut self, frame: &EncodeFrame) -> Taken {
        if frame.sequence_header.is_some() {
            let same = |known: &EncodeFrame| {
                (&known.body, known.sequence_header) == (&frame.body, frame.sequence_header)
            };
            if self.header.as_ref().is_some_and(same) {
                return Taken::Nothing;
            }
            self.header = Some(frame.clone());
            // What came before it needs the old header.
            self.clear();
            return Taken::Nothing;
        }
        if self.header.is_none() {
            return Taken::Nothing;
        }
        let first = self.frames.is_empty();
        if frame.keyframe {
            let restart = first && self.bytes == CLEARED;
            self.frames.clear();
            self.bytes = frame.body.len();
            self.frames.push(frame.clone());
            return if restart { Taken::Restart } else { Taken::Next };
        }
        if first {
            // Behind a changed header only a keyframe helps; behind a GOP that was too long to keep, a child that runs
            // can go on.
            return if self.bytes == CLEARED { Taken::Nothing } else { Taken::Next };
        }
        self.bytes = self.bytes.saturating_add(frame.body.len());
        if self.bytes > MAX_BYTES || self.frames.len() >= MAX_FRAMES {
            self.frames.clear();
        } else {
            self.frames.push(frame.clone());
        }
        Taken::Next
    }

    /// What a new child is fed first; none when it must wait for a keyframe.
    pub(crate) fn replay(&self) -> Option<impl Iterator<Item = EncodeFrame> + '_> {
        let (header, first) = (self.header.as_ref()?, self.frames.first()?);
        let header = EncodeFrame { timestamp_ms: first.timestamp_ms, ..header.clone() };
        Some(std::iter::once(header).chain(self.frames.iter().cloned()))
    }

    /// The codec header's body, and what it is the header of.
    pub(crate) fn header(&self) -> Option<(&bytes::Bytes, PictureFormat)> {
        let header = self.header.as_ref()?;
        Some((&header.body, header.sequence_header?))
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.bytes = CLEARED;
    }
}

/// No frame since the codec header.
const CLEARED: usize = 0;
/// Four seconds at 50 Mb/s.
const MAX_BYTES: usize = 24 * 1024 * 1024;
/// Eight seconds at 60 frames a second, and less than a child's queue holds.
const MAX_FRAMES: usize = 500;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::fixtures::hd;

    fn frame(timestamp_ms: i64, kind: char) -> EncodeFrame {
        EncodeFrame {
            timestamp_ms,
            body: Bytes::from(format!("{kind}{timestamp_ms}")),
            keyframe: kind == 'K',
            sequence_header: (kind == 'H').then(hd),
        }
    }

    fn replayed(gop: &Gop) -> Vec<i64> {
        gop.replay().map(|frames| frames.map(|frame| frame.timestamp_ms).collect()).unwrap_or_default()
    }

    #[test]
    fn a_new_child_begins_with_the_header_and_the_last_keyframe() {
        let mut gop = Gop::default();
        assert_eq!(gop.take(&frame(1, 'K')), Taken::Nothing, "no header yet");
        gop.take(&frame(2, 'H'));
        assert_eq!(gop.take(&frame(3, 'F')), Taken::Nothing, "no keyframe yet");
        assert_eq!(gop.take(&frame(4, 'K')), Taken::Restart);
        assert_eq!(gop.take(&frame(5, 'F')), Taken::Next);
        assert_eq!(replayed(&gop), [4, 4, 5]);
        assert_eq!(gop.take(&frame(6, 'K')), Taken::Next);
        assert_eq!(replayed(&gop), [6, 6]);
    }

    #[test]
    fn only_a_changed_header_restarts() {
        let mut gop = Gop::default();
        gop.take(&frame(2, 'H'));
        gop.take(&frame(4, 'K'));
        assert_eq!(gop.take(&frame(2, 'H')), Taken::Nothing);
        assert_eq!(gop.take(&frame(5, 'F')), Taken::Next, "the same header changes nothing");
        gop.take(&frame(6, 'H'));
        assert_eq!(replayed(&gop), [0_i64; 0]);
        assert_eq!(gop.take(&frame(7, 'F')), Taken::Nothing);
        assert_eq!(gop.take(&frame(8, 'K')), Taken::Restart);
    }

    #[test]
    fn a_gop_too_long_to_keep_is_fed_on_but_not_kept() {
        let mut gop = Gop::default();
        gop.take(&frame(0, 'H'));
        gop.take(&frame(0, 'K'));
        for at in 1..2000 {
            assert_eq!(gop.take(&frame(at, 'F')), Taken::Next);
        }
        assert_eq!(replayed(&gop), [0_i64; 0]);
        assert_eq!(gop.take(&frame(2000, 'K')), Taken::Next);
        assert_eq!(replayed(&gop), [2000, 2000]);
    }
}
