//! From a publisher's tags to CMAF parts and segments, and from the timeline to playlists and manifests.
//!
//! Knows codecs, FLV, fMP4, HLS and DASH. Refuses to know sockets, files, clocks and threads: bytes and instants
//! come in, bytes and events come out, and the same input gives the same output.

mod access_unit;
mod announcer;
mod audio_input;
mod captions;
mod cmaf;
pub mod codec;
mod cut_plan;
mod field_pairs;
pub mod flv;
mod framing;
mod grid;
mod input_clock;
pub mod lead_in;
mod nal;
mod packager;
mod report;
mod sample;
mod seam;
mod track;

pub use packager::{Beyond, Output, Packager, PackagerConfig, Resume, SourceMetadata};
pub use report::{DiscontinuityCause, MediaReport};

pub mod manifest;
pub mod playlist;
