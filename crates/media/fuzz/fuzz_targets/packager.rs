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
