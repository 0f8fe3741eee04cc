//! What publishers send.

use crate::recorder::{AVC_RECORD, Recorder, aac_frame, aac_header, avc_frame, avc_header};

/// A publisher that interleaves as OBS does.
pub(crate) struct Publisher {
    pub(crate) fps: i64,
    pub(crate) gop: i64,
    pub(crate) composition: i32,
    pub(crate) video: bool,
    pub(crate) audio: bool,
}

pub(crate) const OBS: Publisher = Publisher { fps: 30, gop: 60, composition: 66, video: true, audio: true };

impl Publisher {
    pub(crate) fn begin(&self, recorder: &mut Recorder) {
        recorder.metadata(Some(u32::try_from(self.fps * 1000).expect("small")), self.video, self.audio);
        self.headers(recorder);
    }

    pub(crate) fn headers(&self, recorder: &mut Recorder) {
        if self.audio {
            recorder.audio(0, aac_header());
        }
        if self.video {
            recorder.video(0, avc_header(AVC_RECORD));
        }
    }

    /// Sends the media from one millisecond to another, stamped `offset` later, at those times of the wall clock.
    pub(crate) fn send(&self, recorder: &mut Recorder, from: i64, to: i64, offset: i64) {
        self.send_but(recorder, from, to, offset, 0..0, 0..0);
    }

    pub(crate) fn send_but(
        &self,
        recorder: &mut Recorder,
        from: i64,
        to: i64,
        offset: i64,
        no_video: std::ops::Range<i64>,
        no_audio: std::ops::Range<i64>,
    ) {
        let mut tags: Vec<(i64, bool, i64)> = Vec::new();
        if self.video {
            tags.extend(
                (0..).map(|n| ((n * 2000 + self.fps) / (2 * self.fps), true, n)).take_while(|tag| tag.0 < to),
            );
        }
        if self.audio {
            tags.extend((0..).map(|n| (n * 1024 * 1000 / 48_000, false, n)).take_while(|tag| tag.0 < to));
        }
        tags.retain(|(at, video, _)| {
            *at >= from && !(if *video { &no_video } else { &no_audio }).contains(at)
        });
        tags.sort_unstable();
        for (at, video, n) in tags {
            recorder.at(at);
            let stamp = u32::try_from((at + offset).rem_euclid(1 << 32)).expect("32 bits");
            if video {
                recorder.video(stamp, avc_frame(n % self.gop == 0, self.composition, 2000));
            } else {
                recorder.audio(stamp, aac_frame());
            }
        }
    }
}
