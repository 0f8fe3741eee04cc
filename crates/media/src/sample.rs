use bytes::Bytes;

/// One access unit of any codec, ready for a fragment. Times in ticks of its track's timescale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Decode time on the stream's timeline.
    pub(crate) decode_time: u64,
    /// Until the next one.
    pub(crate) duration: u32,
    /// Presentation time minus decode time; negative where an encoder does not delay what it reorders.
    pub(crate) composition: i32,
    /// A place where a decoder can begin.
    pub(crate) keyframe: bool,
    /// A picture that may be sent again behind itself: with it a decoder forgets what came before.
    pub(crate) idr: bool,
    /// As the publisher sent it.
    pub(crate) data: Bytes,
}
