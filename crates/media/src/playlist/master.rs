//! The multivariant playlist.

use caudal_livestream::RenditionName;
use caudal_livestream::timeline::{Timeline, Track, TrackMedia, VideoRange};

use super::Text;

/// `master.m3u8`: every video rendition with the audio group, or the audio alone. Its URIs are relative, so that a
/// token in the path is inherited.
pub fn master(timeline: &Timeline) -> String {
    let mut text = Text::new();
    let audio = timeline.tracks.iter().find(|track| !track.is_video() && !track.withdrawn);
    let mut videos = timeline.tracks.iter().filter(|track| track.is_video() && !track.withdrawn).peekable();
    if videos.peek().is_none() {
        if let Some(audio) = audio {
            variant(&mut text, audio, None, "");
        }
        return text.0;
    }
    if let Some(audio) = audio {
        let channels = match audio.media {
            TrackMedia::Audio { channels, .. } => channels,
            TrackMedia::Video { .. } => 0,
        };
        text.line(format_args!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{GROUP}\",NAME=\"{name}\",DEFAULT=YES,AUTOSELECT=YES,\
             CHANNELS=\"{channels}\",URI=\"{name}/index.m3u8\"",
            name = audio.name,
        ));
    }
    for (index, channel) in timeline.captions.iter().enumerate() {
        // Of a group's members that players may choose by themselves, none may be like another (§4.4.6.1.1), and what
        // language they are in is not known.
        let chosen = if index == 0 { ",AUTOSELECT=YES" } else { "" };
        text.line(format_args!(
            "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"{CAPTIONS}\",NAME=\"{channel}\"{chosen},INSTREAM-ID=\"{channel}\"",
        ));
    }
    let captions = captions(timeline);
    let ranged = timeline.tracks.iter().any(|track| range(track) != VideoRange::Sdr);
    for video in videos {
        let range = match range(video) {
            VideoRange::Pq => ",VIDEO-RANGE=PQ",
            VideoRange::Hlg => ",VIDEO-RANGE=HLG",
            // What has no range is SDR, but beside others it is better said.
            VideoRange::Sdr if ranged => ",VIDEO-RANGE=SDR",
            VideoRange::Sdr => "",
        };
        variant(&mut text, video, audio, &format!("{range}{captions}"));
    }
    text.0
}

/// The same for each variant, as the pictures of all have the same captions. Before the first has come nothing is claimed: a
/// player that reads `NONE` shows none of those that come later. Only when nothing more comes is it known that there are none.
fn captions(timeline: &Timeline) -> String {
    match (timeline.captions.is_empty(), timeline.ended) {
        (false, _) => format!(",CLOSED-CAPTIONS=\"{CAPTIONS}\""),
        (true, false) => String::new(),
        (true, true) => ",CLOSED-CAPTIONS=NONE".to_owned(),
    }
}

fn range(track: &Track) -> VideoRange {
    match track.media {
        TrackMedia::Video { range, .. } => range,
        TrackMedia::Audio { .. } => VideoRange::Sdr,
    }
}

/// Whether a master that [`master`] wrote names a rendition.
pub fn names(master: &str, rendition: &RenditionName) -> bool {
    let file = format!("{rendition}/index.m3u8");
    let attribute = format!("URI=\"{file}\"");
    master.lines().any(|line| line == file || line.contains(&attribute))
}

/// `pictures` is what is said of its pictures beside their size.
fn variant(text: &mut Text, track: &Track, audio: Option<&Track>, pictures: &str) {
    let with_audio = |own: u32, theirs: fn(&Track) -> u32| own.saturating_add(audio.map_or(0, theirs)).max(1);
    let peak = with_audio(track.peak_bandwidth, |audio| audio.peak_bandwidth);
    let average = with_audio(track.average_bandwidth, |audio| audio.average_bandwidth);
    let mut codecs = track.codecs.clone();
    if let Some(audio) = audio {
        codecs.push(',');
        codecs.push_str(&audio.codecs);
    }
    let picture = match track.media {
        TrackMedia::Video { width, height, frame_rate_milli, .. } => format!(
            ",RESOLUTION={width}x{height},FRAME-RATE={}.{:03}{pictures}",
            frame_rate_milli / 1000,
            frame_rate_milli % 1000
        ),
        TrackMedia::Audio { .. } => String::new(),
    };
    let group = if audio.is_some() { format!(",AUDIO=\"{GROUP}\"") } else { String::new() };
    text.line(format_args!(
        "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{codecs}\"{picture}{group}",
        peak = peak.max(average),
    ));
    text.line(format_args!("{}/index.m3u8", track.name));
}

/// There is one audio rendition, hence one group.
const GROUP: &str = "audio";
const CAPTIONS: &str = "captions";
