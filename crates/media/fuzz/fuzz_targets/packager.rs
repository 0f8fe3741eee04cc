#![no_main]
//! A publisher that sends anything, at any time. Each act: kind, timestamp step, length, bytes.

use bytes::Bytes;
use caudal_livestream::admission::LatencyMode;
use caudal_livestream::{Epoch, Generation, SessionId, StreamId, UnixMillis};
use caudal_media::{Packager, PackagerConfig, SourceMetadata};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut packager = Packager::new(PackagerConfig {
        stream: StreamId(uuid::Uuid::nil()),
        epoch: Epoch(1),
        latency_mode: LatencyMode::Low,
        ladder: Vec::new(),
        hints: None,
        resume: None,
    });
    let session = SessionId(uuid::Uuid::nil());
    packager.publisher(session, Generation(1));
    packager.metadata(&SourceMetadata { has_video: true, ..SourceMetadata::default() });
    let (mut rest, mut stamp, mut now) = (data, 0_u32, 0_i64);
    // Without headers nothing reaches the tracks; with them, the units of every tag do.
    if data.first().is_some_and(|first| first & 0x10 == 0) {
        packager.video(0, Bytes::from_static(AVC_HEADER), UnixMillis(0));
        packager.audio(0, Bytes::from_static(b"\xaf\0\x11\x90"), UnixMillis(0));
    }
    while let [kind, step, length, tail @ ..] = rest {
        let (body, after) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = after;
        now += i64::from(*step);
        let at = UnixMillis(now);
        stamp = stamp.wrapping_add(if kind & 0x80 == 0 { (*step).into() } else { u32::from(*step) << 24 });
        let body = Bytes::copy_from_slice(body);
        match kind & 0x0F {
            0..=6 => packager.video(stamp, body, at),
            7..=11 => packager.audio(stamp, body, at),
            12 => packager.publisher_lost(at),
            13 => packager.publisher(session, Generation(2)),
            _ => packager.tick(at),
        }
        while packager.poll().is_some() {}
    }
    packager.finish(UnixMillis(now));
});

/// x264, Baseline, 1280x720.
const AVC_HEADER: &[u8] = b"\x17\0\0\0\0\x01\x42\xc0\x1f\xff\xe1\0\x17\x67\x42\xc0\x1f\xda\x01\x40\x16\xec\x04\x40\0\0\x03\0\x40\0\0\x0f\x03\xc6\x0c\xa8\x01\0\x04\x68\xce\x0f\xc8";
