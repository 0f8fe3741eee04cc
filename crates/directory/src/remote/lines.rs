//! Lines out of pieces of an answer, none longer than allowed.

use bytes::{Buf as _, Bytes, BytesMut};

/// Cuts what comes into lines. A line that is too long is left out whole, and costs no memory beyond the limit.
#[derive(Debug)]
pub(super) struct Lines {
    longest: usize,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
    /// In the middle of a line that is too long.
    skipping: bool,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A line, without its end.
    Line(Bytes),
    /// A line of more bytes than allowed was left out.
    TooLong,
}

impl Lines {
    pub(super) fn new(longest: usize) -> Self {
        Self { longest, buffer: BytesMut::new(), searched: 0, skipping: false }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole line of what was pushed; call until there is none before pushing more.
    pub(super) fn next(&mut self) -> Option<Cut> {
        let end = self.buffer.iter().skip(self.searched).position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| end + self.searched) else {
            if self.skipping || self.buffer.len() > self.longest {
                self.skipping = true;
                self.buffer.clear();
            }
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(end);
        self.buffer.advance(1);
        self.searched = 0;
        let too_long = std::mem::take(&mut self.skipping) || line.len() > self.longest;
        Some(if too_long { Cut::TooLong } else { Cut::Line(line.freeze()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&str]) -> Vec<String> {
        let mut lines = Lines::new(5);
        let mut cut = Vec::new();
        for piece in pieces {
            lines.push(piece.as_bytes());
            while let Some(next) = lines.next() {
                cut.push(match next {
                    Cut::Line(line) => String::from_utf8(line.to_vec()).unwrap(),
                    Cut::TooLong => "too long".to_owned(),
                });
            }
            assert!(lines.buffer.len() <= 5, "no more than a line is kept: {}", lines.buffer.len());
        }
        cut
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut_into_pieces() {
        assert_eq!(cut(&["one\ntwo\n\nth", "r", "ee\n"]), ["one", "two", "", "three"]);
        assert_eq!(cut(&["one", "\n", "two"]), ["one"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_the_next_one_is_whole() {
        for pieces in
            [&["123456\nnext\n"][..], &["123456", "\nnext\n"], &["1234", "567890", "1234", "56\nne", "xt\n"]]
        {
            assert_eq!(cut(pieces), ["too long", "next"], "{pieces:?}");
        }
        assert_eq!(cut(&["12345\n"]), ["12345"]);
    }
}
