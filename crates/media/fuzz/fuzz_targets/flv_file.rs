#![no_main]
//! An FLV file from ffmpeg's pipe, however it is sliced.

use caudal_media::flv::{FlvDemuxer, flv_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let mut demuxer = FlvDemuxer::default();
    if first & 1 == 0 {
        demuxer.push(&flv_header());
    }
    for piece in rest.chunks(usize::from(first / 2) + 1) {
        demuxer.push(piece);
        loop {
            match demuxer.next_tag() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
