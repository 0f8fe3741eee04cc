use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::TagKind;

/// Takes an FLV file apart as it arrives.
#[derive(Debug, Default)]
pub struct FlvDemuxer {
    buffer: BytesMut,
    header_read: bool,
}

/// One tag of an FLV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlvTag {
    /// What it carries.
    pub kind: TagKind,
    /// Its time, with the extension byte on top.
    pub timestamp_ms: u32,
    /// Its body.
    pub body: Bytes,
}

/// Why bytes are no FLV file. The demuxer is of no more use then.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FlvError {
    /// It does not begin as one.
    #[error("no FLV header")]
    NoHeader,
    /// The header is longer than any known.
    #[error("an FLV header of {0} bytes")]
    LongHeader(u32),
    /// A tag type that FLV does not have.
    #[error("FLV tag type {0}")]
    UnknownTag(u8),
    /// A tag over [`MAX_TAG`].
    #[error("an FLV tag of {0} bytes")]
    LongTag(usize),
}

impl FlvDemuxer {
    /// Takes in more of the file. Bounded by what the caller reads at once plus one tag, if it takes all tags out
    /// before it pushes again.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole tag; `None` until more bytes come.
    ///
    /// # Errors
    /// [`FlvError`] when what is there is no FLV.
    pub fn next_tag(&mut self) -> Result<Option<FlvTag>, FlvError> {
        if !self.header_read && !self.read_header()? {
            return Ok(None);
        }
        let Some(head) = self.buffer.first_chunk::<TAG_HEAD>() else { return Ok(None) };
        let [kind, size_a, size_b, size_c, time_a, time_b, time_c, time_top, ..] = *head;
        let size = usize::try_from(u32::from_be_bytes([0, size_a, size_b, size_c])).unwrap_or(usize::MAX);
        if size > MAX_TAG {
            return Err(FlvError::LongTag(size));
        }
        let kind = match kind {
            8 => TagKind::Audio,
            9 => TagKind::Video,
            18 => TagKind::Script,
            unknown => return Err(FlvError::UnknownTag(unknown)),
        };
        let whole = TAG_HEAD.saturating_add(size).saturating_add(PREVIOUS_SIZE);
        if self.buffer.len() < whole {
            self.buffer.reserve(whole.saturating_sub(self.buffer.len()));
            return Ok(None);
        }
        self.buffer.advance(TAG_HEAD);
        let body = self.buffer.split_to(size).freeze();
        self.buffer.advance(PREVIOUS_SIZE);
        Ok(Some(FlvTag { kind, timestamp_ms: u32::from_be_bytes([time_top, time_a, time_b, time_c]), body }))
    }

    fn read_header(&mut self) -> Result<bool, FlvError> {
        if let Some(signature) = self.buffer.first_chunk::<3>()
            && signature != b"FLV"
        {
            return Err(FlvError::NoHeader);
        }
        let Some(header) = self.buffer.first_chunk::<FILE_HEAD>() else { return Ok(false) };
        let [.., a, b, c, d] = *header;
        let length = u32::from_be_bytes([a, b, c, d]);
        let long = || FlvError::LongHeader(length);
        let size = usize::try_from(length).map_err(|_| long())?;
        if !(FILE_HEAD..=MAX_FILE_HEAD).contains(&size) {
            return Err(long());
        }
        let whole = size.saturating_add(PREVIOUS_SIZE);
        if self.buffer.len() < whole {
            return Ok(false);
        }
        self.buffer.advance(whole);
        self.header_read = true;
        Ok(true)
    }
}

/// As large as an RTMP message may be.
pub const MAX_TAG: usize = 8 * 1024 * 1024;
const TAG_HEAD: usize = 11;
const PREVIOUS_SIZE: usize = 4;
const FILE_HEAD: usize = 9;
/// Every known writer writes 9.
const MAX_FILE_HEAD: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flv::{flv_header, flv_tag_head, flv_tag_tail};

    fn file() -> Vec<u8> {
        let mut file = flv_header().to_vec();
        for (kind, at, body) in [
            (TagKind::Script, 0, &b"meta"[..]),
            (TagKind::Video, 0x0100_0002, &[7; 300]),
            (TagKind::Audio, u32::MAX, &[]),
        ] {
            file.extend_from_slice(&flv_tag_head(kind, at, body.len()).expect("small"));
            file.extend_from_slice(body);
            file.extend_from_slice(&flv_tag_tail(body.len()));
        }
        file
    }

    #[test]
    fn what_the_muxer_writes_is_read_back_however_it_is_sliced() {
        let file = file();
        for step in [1, 2, 7, 100, file.len()] {
            let mut demuxer = FlvDemuxer::default();
            let mut tags = Vec::new();
            for piece in file.chunks(step) {
                demuxer.push(piece);
                while let Some(tag) = demuxer.next_tag().expect("an FLV file") {
                    tags.push((tag.kind, tag.timestamp_ms, tag.body.len()));
                }
            }
            assert_eq!(
                tags,
                [(TagKind::Script, 0, 4), (TagKind::Video, 0x0100_0002, 300), (TagKind::Audio, u32::MAX, 0)]
            );
        }
    }

    #[test]
    fn what_is_no_flv_is_refused() {
        let cases: [(&[u8], FlvError); 4] = [
            (b"RIFFxxxxxxxxxxxxxxxxxxx", FlvError::NoHeader),
            (b"FLV\x01\x05\xff\xff\xff\xff\0\0\0\0", FlvError::LongHeader(u32::MAX)),
            (b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x63\0\0\0\0\0\0\0\0\0\0", FlvError::UnknownTag(0x63)),
            (b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x09\xff\xff\xff\0\0\0\0\0\0\0", FlvError::LongTag(0x00ff_ffff)),
        ];
        for (bytes, error) in cases {
            let mut demuxer = FlvDemuxer::default();
            demuxer.push(bytes);
            assert_eq!(demuxer.next_tag(), Err(error));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), valid_start in any::<bool>()) {
            let mut demuxer = FlvDemuxer::default();
            if valid_start {
                demuxer.push(&flv_header());
            }
            demuxer.push(&bytes);
            while let Ok(Some(_)) = demuxer.next_tag() {}
        }
    }
}
