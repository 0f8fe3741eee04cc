//! FLV: the file form that ffmpeg reads and writes, and the bodies of video and audio tags that RTMP carries.

mod body;
mod colour_info;
mod demuxer;
mod multitrack;
mod muxer;
mod tag;

pub use body::video_header;
pub(crate) use body::{is_plain_frame, video_frame};
pub use demuxer::{FlvDemuxer, FlvError, FlvTag, MAX_TAG};
pub use muxer::{flv_header, flv_tag_head, flv_tag_tail};
pub use tag::{AudioCodec, AudioTag, TagError, USUAL_LENGTH_SIZE, VideoCodec, VideoTag, begins_decoding};

/// What a tag of an FLV file carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    /// AUDIODATA.
    Audio,
    /// VIDEODATA.
    Video,
    /// SCRIPTDATA: AMF0.
    Script,
}
