use super::TagKind;
use super::demuxer::{FlvError, MAX_TAG};

/// The beginning of an FLV file that holds video alone: ffmpeg then waits for no audio while it probes.
pub fn flv_header() -> [u8; 13] {
    [b'F', b'L', b'V', 1, VIDEO_ONLY, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// What stands before a tag's body of `length` bytes; the body follows uncopied, then [`flv_tag_tail`].
///
/// # Errors
/// [`FlvError::LongTag`] when no tag may be that long.
pub fn flv_tag_head(kind: TagKind, timestamp_ms: u32, length: usize) -> Result<[u8; 11], FlvError> {
    if length > MAX_TAG {
        return Err(FlvError::LongTag(length));
    }
    let size = u32::try_from(length).map_err(|_| FlvError::LongTag(length))?;
    let [_, size_a, size_b, size_c] = size.to_be_bytes();
    let [time_top, time_a, time_b, time_c] = timestamp_ms.to_be_bytes();
    let kind = match kind {
        TagKind::Audio => 8,
        TagKind::Video => 9,
        TagKind::Script => 18,
    };
    Ok([kind, size_a, size_b, size_c, time_a, time_b, time_c, time_top, 0, 0, 0])
}

/// What stands after a tag's body of `length` bytes.
pub fn flv_tag_tail(length: usize) -> [u8; 4] {
    u32::try_from(length.saturating_add(11)).unwrap_or(u32::MAX).to_be_bytes()
}

const VIDEO_ONLY: u8 = 1;
