//! Names of stored objects: built from parsed types, and parsed back.

use std::fmt;
use std::str::FromStr;

use caudal_livestream::{Epoch, InitHash, Msn, RenditionName, StreamId};
use thiserror::Error;
use uuid::Uuid;

/// One stored object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// `live/{stream}/…`
    Live(StreamId, StreamFile),
    /// `thumbnails/{stream}/poster.jpg`
    Poster(StreamId),
    /// `pictures/{kind}/{id}.jpg`: somebody uploaded it. A changed picture has another id.
    Picture(PictureKind, Uuid),
}

/// What an uploaded picture is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PictureKind {
    /// A person.
    Avatar,
    /// A broadcast.
    Thumbnail,
    /// A category.
    Icon,
}

impl PictureKind {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Avatar, Self::Thumbnail, Self::Icon];

    /// The folder that such pictures lie in.
    fn folder(self) -> &'static str {
        match self {
            Self::Avatar => "avatars",
            Self::Thumbnail => "thumbnails",
            Self::Icon => "icons",
        }
    }
}

/// What lies under `live/{stream}/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamFile {
    /// `state-{epoch}.json`: the claim of an epoch and, later, its timeline.
    State(Epoch),
    /// `probe`: written and removed again by a worker that gets ready, to see whether it could.
    Probe,
    /// `log/{epoch}-{k}.json`: finished segments, an object a minute.
    Log(Epoch, u32),
    /// `master.m3u8`
    Master,
    /// `manifest.mpd`
    Manifest,
    /// `{rendition}/index.m3u8`
    Playlist(RenditionName),
    /// `{rendition}/init-{hash}.mp4`
    Init(RenditionName, InitHash),
    /// `{rendition}/{msn}-{epoch}.m4s`
    Segment(RenditionName, Msn, Epoch),
}

/// Whether a power cut may undo a write that was answered. A bucket keeps everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It may not: the file and its folder are synced before the write is answered.
    Synced,
    /// It may; a crash of this process alone does not.
    Lazy,
}

/// The text names no object of ours.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a name in the segment store")]
pub struct InvalidKey;

impl Key {
    /// MIME type, as a file server or S3 should say it.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Poster(_) | Self::Picture(..) => "image/jpeg",
            Self::Live(_, file) => match file {
                StreamFile::State(_) | StreamFile::Log(..) => "application/json",
                StreamFile::Probe => "application/octet-stream",
                StreamFile::Master | StreamFile::Playlist(_) => "application/vnd.apple.mpegurl",
                StreamFile::Manifest => "application/dash+xml",
                StreamFile::Init(rendition, _) | StreamFile::Segment(rendition, ..) => {
                    if rendition.as_str() == AUDIO { "audio/mp4" } else { "video/mp4" }
                }
            },
        }
    }

    /// `Cache-Control`, as a CDN in front of the bucket should see it.
    pub fn cache_control(&self) -> &'static str {
        match self {
            // It is replaced about once a minute, and is not to be much older for a cache.
            Self::Poster(_) => "public, max-age=5",
            Self::Picture(..) => IMMUTABLE,
            Self::Live(_, file) => match file {
                // Only workers and edges read these, and they need the newest.
                StreamFile::State(_) | StreamFile::Log(..) | StreamFile::Probe => "no-cache",
                // Half the smallest target duration.
                StreamFile::Master | StreamFile::Playlist(_) | StreamFile::Manifest => "public, max-age=1",
                StreamFile::Init(..) | StreamFile::Segment(..) => IMMUTABLE,
            },
        }
    }

    /// What a power cut must not undo: what nobody would write again. Playlists are rendered anew from the state with
    /// the next segment, and posters from the next picture. A probe is to meet what a state would.
    pub fn durability(&self) -> Durability {
        match self {
            Self::Live(
                _,
                StreamFile::State(_)
                | StreamFile::Probe
                | StreamFile::Log(..)
                | StreamFile::Init(..)
                | StreamFile::Segment(..),
            )
            | Self::Picture(..) => Durability::Synced,
            Self::Live(_, StreamFile::Master | StreamFile::Manifest | StreamFile::Playlist(_))
            | Self::Poster(_) => Durability::Lazy,
        }
    }

    /// Bytes: no such object of ours is longer. A longer one is neither written nor read; whoever may write one broadcast's
    /// files is not to fill the memory of those who serve all of them.
    pub fn longest(&self) -> u64 {
        match self {
            Self::Poster(_) => LONGEST_POSTER,
            Self::Picture(..) => LONGEST_PICTURE,
            Self::Live(_, file) => match file {
                StreamFile::State(_) => LONGEST_STATE,
                StreamFile::Probe => LONGEST_PROBE,
                StreamFile::Master => LONGEST_MASTER,
                StreamFile::Manifest | StreamFile::Playlist(_) => LONGEST_PLAYLIST,
                StreamFile::Init(..) => LONGEST_INIT,
                // What storage refuses is gathered for the next log, and no role reads logs.
                StreamFile::Log(..) | StreamFile::Segment(..) => LONGEST_MEDIA,
            },
        }
    }

    /// True for what is written once and never changes.
    pub fn is_immutable(&self) -> bool {
        matches!(
            self,
            Self::Live(_, StreamFile::Init(..) | StreamFile::Segment(..) | StreamFile::Log(..))
                | Self::Picture(..)
        )
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live(stream, file) => write!(f, "live/{stream}/{file}"),
            Self::Poster(stream) => write!(f, "thumbnails/{stream}/poster.jpg"),
            Self::Picture(kind, id) => write!(f, "pictures/{}/{id}.jpg", kind.folder()),
        }
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let key = if let Some(rest) = text.strip_prefix("live/") {
            let (stream, file) = rest.split_once('/').ok_or(InvalidKey)?;
            Self::Live(stream.parse().map_err(|_| InvalidKey)?, file.parse()?)
        } else if let Some(rest) = text.strip_prefix("pictures/") {
            let (folder, file) = rest.split_once('/').ok_or(InvalidKey)?;
            let kind = PictureKind::ALL.into_iter().find(|kind| kind.folder() == folder).ok_or(InvalidKey)?;
            let id = file.strip_suffix(".jpg").ok_or(InvalidKey)?;
            Self::Picture(kind, id.parse().map_err(|_| InvalidKey)?)
        } else {
            let rest = text.strip_prefix("thumbnails/").ok_or(InvalidKey)?;
            let stream = rest.strip_suffix("/poster.jpg").ok_or(InvalidKey)?;
            Self::Poster(stream.parse().map_err(|_| InvalidKey)?)
        };
        canonical(key, text)
    }
}

impl fmt::Display for StreamFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(epoch) => write!(f, "state-{epoch}.json"),
            Self::Probe => f.write_str("probe"),
            Self::Log(epoch, k) => write!(f, "log/{epoch}-{k}.json"),
            Self::Master => f.write_str("master.m3u8"),
            Self::Manifest => f.write_str("manifest.mpd"),
            Self::Playlist(rendition) => write!(f, "{rendition}/index.m3u8"),
            Self::Init(rendition, hash) => write!(f, "{rendition}/init-{hash}.mp4"),
            Self::Segment(rendition, msn, epoch) => write!(f, "{rendition}/{msn}-{epoch}.m4s"),
        }
    }
}

impl FromStr for StreamFile {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        canonical(parse_stream_file(text).ok_or(InvalidKey)?, text)
    }
}

fn parse_stream_file(text: &str) -> Option<StreamFile> {
    match text {
        "master.m3u8" => return Some(StreamFile::Master),
        "manifest.mpd" => return Some(StreamFile::Manifest),
        "probe" => return Some(StreamFile::Probe),
        _ => {}
    }
    let Some((folder, name)) = text.split_once('/') else {
        let epoch = text.strip_prefix("state-")?.strip_suffix(".json")?;
        return epoch.parse().ok().map(StreamFile::State);
    };
    // A rendition could be called `log` too; its files end otherwise.
    if folder == "log"
        && let Some(stem) = name.strip_suffix(".json")
    {
        let (epoch, k) = stem.split_once('-')?;
        return Some(StreamFile::Log(epoch.parse().ok()?, k.parse().ok()?));
    }
    let rendition: RenditionName = folder.parse().ok()?;
    if name == "index.m3u8" {
        return Some(StreamFile::Playlist(rendition));
    }
    if let Some(hash) = name.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4")) {
        return Some(StreamFile::Init(rendition, hash.parse().ok()?));
    }
    let (msn, epoch) = name.strip_suffix(".m4s")?.split_once('-')?;
    Some(StreamFile::Segment(rendition, msn.parse().ok()?, epoch.parse().ok()?))
}

/// `+7-1.m4s` and `007-1.m4s` are numbers to a parser, and would be second names of one object.
fn canonical<T: fmt::Display>(value: T, text: &str) -> Result<T, InvalidKey> {
    if value.to_string() == text { Ok(value) } else { Err(InvalidKey) }
}

const AUDIO: &str = "audio";
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// The live window, which as a feed's snapshot is 1.2 MB at the very most, and half a kilobyte of whose it is.
const LONGEST_STATE: u64 = 4 * MIB;
const LONGEST_PROBE: u64 = 2 * MIB;
/// A line of some hundred bytes for each of eight renditions, and one for each of 67 channels of captions.
const LONGEST_MASTER: u64 = 256 * KIB;
/// The live window again: 180 segments of 200 bytes in a playlist; in a manifest a Period for each of some 40 discontinuities,
/// with eight representations of 700 bytes.
const LONGEST_PLAYLIST: u64 = 2 * MIB;
/// A codec's configuration is 16 KiB at most, and what is around it a kilobyte.
const LONGEST_INIT: u64 = MIB;
/// A picture 640 pixels wide: 20 to 80 kB. Workers cut what ffmpeg says off behind 1 MiB and what it wrote at once.
const LONGEST_POSTER: u64 = 2 * MIB;
/// 1280 by 720 pixels: 150 to 400 kB, and under 2 MB when they are pure noise.
const LONGEST_PICTURE: u64 = 4 * MIB;
/// A GOP of 10 s at 50 Mb/s is 63 MB; nothing of ours is longer than two of them.
const LONGEST_MEDIA: u64 = 128 * MIB;
const MIB: u64 = 1024 * KIB;
const KIB: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn every_kind_of_object_has_the_name_that_a_file_server_shows() {
        for name in [
            "state-3.json",
            "probe",
            "log/3-12.json",
            "master.m3u8",
            "manifest.mpd",
            "720p/index.m3u8",
            "audio/init-0a1b2c3d.mp4",
            "source/7-1.m4s",
            "log/7-1.m4s",
        ] {
            let path = format!("live/{STREAM}/{name}");
            let key: Key = path.parse().unwrap_or_else(|_| panic!("{path}"));
            assert_eq!(key.to_string(), path);
        }
        let poster = format!("thumbnails/{STREAM}/poster.jpg");
        assert_eq!(poster.parse::<Key>().unwrap(), Key::Poster(STREAM.parse().unwrap()));
        for (kind, folder) in PictureKind::ALL.into_iter().zip(["avatars", "thumbnails", "icons"]) {
            let picture = format!("pictures/{folder}/{STREAM}.jpg");
            let key = Key::Picture(kind, STREAM.parse().unwrap());
            assert_eq!((picture.parse(), key.to_string()), (Ok(key), picture));
        }
    }

    #[test]
    fn a_power_cut_takes_nothing_that_is_written_only_once() {
        for (name, durability) in [
            ("state-3.json", Durability::Synced),
            ("log/3-12.json", Durability::Synced),
            ("audio/init-0a1b2c3d.mp4", Durability::Synced),
            ("source/7-1.m4s", Durability::Synced),
            ("master.m3u8", Durability::Lazy),
            ("manifest.mpd", Durability::Lazy),
            ("720p/index.m3u8", Durability::Lazy),
        ] {
            assert_eq!(
                format!("live/{STREAM}/{name}").parse::<Key>().unwrap().durability(),
                durability,
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_not_exactly_such_a_name_is_refused() {
        for name in [
            "",
            "state-.json",
            "state-1.json#1",
            "state-+1.json",
            "probe-1",
            "../master.m3u8",
            "source/../index.m3u8",
            "source/007-1.m4s",
            "source/7-1.m4s/",
            "source//7-1.m4s",
            "Source/7-1.m4s",
            "source/init-.mp4",
            "source/7.m4s",
            "source/99999999999999999999-1.m4s",
        ] {
            assert_eq!(format!("live/{STREAM}/{name}").parse::<Key>(), Err(InvalidKey), "{name}");
        }
        assert_eq!("live/not-an-id/master.m3u8".parse::<Key>(), Err(InvalidKey));
        assert_eq!(format!("live/{}/master.m3u8", STREAM.to_uppercase()).parse::<Key>(), Err(InvalidKey));
        assert_eq!(format!("other/{STREAM}/master.m3u8").parse::<Key>(), Err(InvalidKey));
        for name in [
            "avatars/me.jpg".to_owned(),
            format!("avatars/{STREAM}"),
            format!("avatars/{STREAM}.png"),
            format!("avatars/{{{STREAM}}}.jpg"),
            format!("avatars/{}.jpg", STREAM.replace('-', "")),
            format!("avatars/{}.jpg", STREAM.to_uppercase()),
            format!("avatars/../icons/{STREAM}.jpg"),
            format!("others/{STREAM}.jpg"),
            format!("{STREAM}.jpg"),
        ] {
            assert_eq!(format!("pictures/{name}").parse::<Key>(), Err(InvalidKey), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_parses_prints_as_itself(text in "(live|thumbnails|pictures)/01890a5d-ac96-774b-bcce-b302099a8057/[a-z0-9./-]{0,24}") {
            if let Ok(key) = text.parse::<Key>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }

        #[test]
        fn segments_come_back_as_they_went(rendition in "[a-z0-9][a-z0-9-]{0,31}", msn: u64, epoch: u32) {
            let file = StreamFile::Segment(rendition.parse().unwrap(), Msn(msn), Epoch(epoch));
            prop_assert_eq!(file.to_string().parse::<StreamFile>(), Ok(file));
        }
    }
}
