//! Segments that an earlier epoch announced and nobody stored.

use bytes::{Bytes, BytesMut};
use caudal_livestream::{Msn, PartNumber};

/// The part numbers of an earlier epoch. Rebuilt segments reuse them, so that their bytes match what that epoch stored.
#[derive(Debug, Default)]
pub(super) struct Rebuilding {
    /// First part numbers, where they are known.
    pub(super) numbers: Vec<(Msn, PartNumber)>,
    /// Of the next fragment.
    pub(super) next: PartNumber,
    /// Nothing can be made again, because part numbers are missing in between.
    pub(super) is_impossible: bool,
    /// The segment that is open, so far.
    pub(super) bytes: BytesMut,
}

impl Rebuilding {
    pub(super) fn number(&mut self, msn: Msn, opens: bool) -> PartNumber {
        if opens && let Some((_, first)) = self.numbers.iter().find(|(known, _)| *known == msn) {
            self.next = *first;
        }
        let number = self.next;
        self.next = PartNumber(number.0.saturating_add(1));
        number
    }

    pub(super) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }
}
