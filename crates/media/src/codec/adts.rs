//! ADTS (ISO/IEC 14496-3 §1.A.2.2): AAC frames with headers of their own, which some encoders put into FLV as they are.

use bytes::{Buf as _, Bytes};

use super::ConfigError;
use super::bits::BitWriter;

/// One raw frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdtsFrame {
    /// The `AudioSpecificConfig` that its header amounts to.
    pub(crate) record: Bytes,
    /// Until the next one, rounded down.
    pub(crate) milliseconds: u32,
    pub(crate) data: Bytes,
}

/// The frames of one tag; None when it holds a raw frame, as it should. A raw frame cannot be mistaken: one that begins
/// with twelve set bits would end before its first channel.
///
/// # Errors
/// [`ConfigError`] when the first header is wrong. What follows the last whole frame is dropped.
pub(crate) fn frames(data: &Bytes) -> Result<Option<Vec<AdtsFrame>>, ConfigError> {
    if !matches!(data.as_ref(), [0xFF, second, ..] if second & 0xF6 == 0xF0) {
        return Ok(None);
    }
    let mut rest = data.clone();
    let mut frames = vec![frame(&mut rest).ok_or_else(|| ConfigError::Broken("ADTS".to_owned()))?];
    while frames.len() < MAX_FRAMES
        && let Some(next) = frame(&mut rest)
    {
        frames.push(next);
    }
    Ok(Some(frames))
}

fn frame(rest: &mut Bytes) -> Option<AdtsFrame> {
    let head = *rest.first_chunk::<HEAD>()?;
    let [0xFF, second, rates, middle, length, low, blocks] = head else { return None };
    let (profile, rate, channels) = (rates >> 6, rates >> 2 & 0x0F, (rates & 1) << 2 | middle >> 6);
    let whole = usize::from(middle & 3) << 11 | usize::from(length) << 3 | usize::from(low >> 5);
    let head_size = if second & 1 == 0 { HEAD + CHECKSUM } else { HEAD };
    let hertz = *super::aac::RATES.get(usize::from(rate))?;
    // Frames of several blocks have no length for each.
    if second & 0xF6 != 0xF0 || blocks & 3 != 0 || whole < head_size || whole > rest.len() {
        return None;
    }
    let mut data = rest.split_to(whole);
    data.advance(head_size);
    let mut record = BitWriter::default();
    record.put(5, u32::from(profile) + 1);
    record.put(4, rate.into());
    record.put(4, channels.into());
    record.put(3, 0);
    Some(AdtsFrame { record: Bytes::from(record.finish()), milliseconds: FRAME_MILLISAMPLES / hertz, data })
}

const HEAD: usize = 7;
const CHECKSUM: usize = 2;
const FRAME_MILLISAMPLES: u32 = 1024 * 1000;
/// A tag with more sound than a second has been misread.
const MAX_FRAMES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 48 kHz, stereo, AAC-LC.
    fn adts(payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len() + HEAD).expect("short");
        let mut bytes = vec![0xFF, 0xF1, 0x4C, 0x80, length >> 3, length << 5, 0xFC];
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn frames_come_out_raw_with_the_configuration_that_their_headers_say() {
        let bytes = [adts(b"one"), adts(b"three"), vec![0xFF, 0xF1, 0]].concat();
        let frames = frames(&Bytes::from(bytes)).expect("ADTS").expect("ADTS");
        let data: Vec<&[u8]> = frames.iter().map(|frame| frame.data.as_ref()).collect();
        assert_eq!(data, [&b"one"[..], b"three"]);
        assert!(frames.iter().all(|frame| frame.record == [0x11, 0x90][..] && frame.milliseconds == 21));
    }

    #[test]
    fn a_header_with_a_checksum_is_two_bytes_longer() {
        let mut bytes = adts(b"ccsound");
        bytes[1] = 0xF0;
        let frames = frames(&Bytes::from(bytes)).expect("ADTS").expect("ADTS");
        assert_eq!(frames[0].data, "sound");
    }

    #[test]
    fn raw_frames_are_no_adts_and_broken_adts_is_refused() {
        assert_eq!(frames(&Bytes::from_static(b"\x21\x10\x04\x60\x8c\x1c")), Ok(None));
        assert_eq!(frames(&Bytes::new()), Ok(None));
        let whole = adts(b"sound");
        for cut in 2..whole.len() {
            assert!(frames(&Bytes::from(whole[..cut].to_vec())).is_err(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_frames_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = frames(&Bytes::from([&[0xFF, 0xF1][..], &bytes].concat()));
        }
    }
}
