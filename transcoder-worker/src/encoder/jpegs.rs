//! The pictures in what ffmpeg writes to the posters' pipe: JPEGs, one behind the other.

use bytes::{Bytes, BytesMut};

/// Cuts a stream of bytes into JPEGs.
#[derive(Debug, Default)]
pub(super) struct JpegCutter {
    kept: BytesMut,
}

impl JpegCutter {
    /// Takes what was read. Returns the newest picture that is whole with it.
    pub(super) fn push(&mut self, read: &[u8]) -> Option<Bytes> {
        self.kept.extend_from_slice(read);
        let mut newest = None;
        // Neither the scan (ITU T.81 §B.1.1.5 puts a zero behind each 0xFF) nor ffmpeg's tables hold the mark of the end.
        while let Some(end) = self.kept.windows(END.len()).position(|mark| mark == END) {
            let picture = self.kept.split_to(end + END.len()).freeze();
            if picture.starts_with(&START) {
                newest = Some(picture);
            }
        }
        if self.kept.len() > MAX_JPEG {
            // The rest of that picture has no start marker, so it is dropped too.
            self.kept.clear();
        }
        newest
    }
}

const START: [u8; 2] = [0xFF, 0xD8];
const END: [u8; 2] = [0xFF, 0xD9];
/// A poster, 640 pixels wide, has 20 to 80 kB.
const MAX_JPEG: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: [u8; 7] = [0xFF, 0xD8, 1, 0xFF, 0, 0xFF, 0xD9];

    #[test]
    fn a_picture_is_cut_out_however_its_bytes_arrive() {
        for at in 1..PICTURE.len() {
            let mut cutter = JpegCutter::default();
            assert_eq!(cutter.push(&PICTURE[..at]), None);
            assert_eq!(cutter.push(&PICTURE[at..]).as_deref(), Some(&PICTURE[..]), "{at}");
        }
        let mut cutter = JpegCutter::default();
        let newest = [0xFF, 0xD8, 2, 0xFF, 0xD9];
        let read = [&PICTURE[..], &newest, &PICTURE[..3]].concat();
        assert_eq!(cutter.push(&read).as_deref(), Some(&newest[..]));
        assert_eq!(cutter.push(&PICTURE[3..]).as_deref(), Some(&PICTURE[..]));
    }

    #[test]
    fn a_picture_without_end_is_let_go_and_the_next_one_is_found() {
        let mut cutter = JpegCutter::default();
        assert_eq!(cutter.push(&START), None);
        for _ in 0..100 {
            assert_eq!(cutter.push(&[0; 16_000]), None);
            assert!(cutter.kept.len() <= MAX_JPEG);
        }
        assert_eq!(cutter.push(&END), None);
        assert_eq!(cutter.push(&PICTURE).as_deref(), Some(&PICTURE[..]));
    }
}
