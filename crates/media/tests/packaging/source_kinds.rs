//! What sources are like, read from the parameter sets of real encoders and told in the timeline.

use std::process::Command;

use bytes::Bytes;
use caudal_livestream::timeline::{CaptionChannel, TrackMedia, VideoRange};
use caudal_media::codec::{Scan, VideoConfig};
use caudal_media::flv::VideoCodec;
use caudal_media::playlist::master;

use crate::recorder::{AVC_RECORD, Recorder, avc_frame, avc_header, config, rung};

/// A coded picture in annex B, gray so that it is no larger than a codec header may be.
fn coded(encoder: &str, filter: &str, options: &[&str]) -> Bytes {
    let format = if encoder == "libx265" { "hevc" } else { "h264" };
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "color=gray:size=640x360:rate=25"])
        .args(["-frames:v", "1", "-vf", filter, "-c:v", encoder, "-preset", "ultrafast"])
        .args(options)
        .args(["-f", format, "pipe:1"])
        .output()
        .expect("ffmpeg runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.into()
}

#[test]
fn what_encoders_write_of_their_pictures_is_read() {
    let eight = "format=yuv420p";
    let ten = "format=yuv420p10le";
    let wide = "format=yuv420p,setsar=16/11";
    let odd = "format=yuv420p,setsar=7/5";
    let square = (1, 1);
    let pq = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc";
    let hlg = "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc";
    let sdr = "colorprim=bt2020:transfer=bt2020-10:colormatrix=bt2020nc";
    for (filter, parameters, wanted) in [
        (eight, "scenecut=0", (square, Scan::Progressive, VideoRange::Sdr)),
        (wide, "scenecut=0", ((16, 11), Scan::Progressive, VideoRange::Sdr)),
        (odd, sdr, ((7, 5), Scan::Progressive, VideoRange::Sdr)),
        (ten, pq, (square, Scan::Progressive, VideoRange::Pq)),
        (ten, hlg, (square, Scan::Progressive, VideoRange::Hlg)),
        (wide, "tff=1", ((16, 11), Scan::Interlaced, VideoRange::Sdr)),
        (ten, &format!("bff=1:{hlg}")[..], (square, Scan::Interlaced, VideoRange::Hlg)),
    ] {
        let options = ["-flags", if parameters.contains("ff=1") { "+ildct+ilme" } else { "+cgop" }];
        let units = coded("libx264", filter, &[&options[..], &["-x264-params", parameters]].concat());
        let config = VideoConfig::parse(VideoCodec::Avc, &units).expect("parameter sets");
        let format = config.format();
        assert_eq!((format.pixel_aspect, format.scan, format.range), wanted, "H.264, {parameters}");
        assert_eq!((format.width, format.height), (640, 360), "H.264, {parameters}");
    }
    for (filter, parameters, wanted) in [
        (eight, "scaling-list=default", (square, Scan::Progressive, VideoRange::Sdr)),
        (wide, "bframes=4:ref=5:scaling-list=default", ((16, 11), Scan::Progressive, VideoRange::Sdr)),
        (odd, sdr, ((7, 5), Scan::Progressive, VideoRange::Sdr)),
        (ten, &format!("{pq}:hdr10=1")[..], (square, Scan::Progressive, VideoRange::Pq)),
        (ten, &format!("{hlg}:temporal-layers=1")[..], (square, Scan::Progressive, VideoRange::Hlg)),
        (eight, "interlace=tff", (square, Scan::Fields, VideoRange::Sdr)),
    ] {
        let parameters = format!("log-level=none:{parameters}");
        let units = coded("libx265", filter, &["-x265-params", &parameters]);
        let config = VideoConfig::parse(VideoCodec::Hevc, &units).expect("parameter sets");
        let format = config.format();
        assert_eq!((format.pixel_aspect, format.scan, format.range), wanted, "H.265, {parameters}");
        assert_eq!((format.width, format.height), (640, 360), "H.265, {parameters}");
    }
}

#[test]
fn an_upright_source_gets_the_rungs_whose_shorter_side_is_smaller() {
    let upright = coded("libx264", "scale=1080:1920,setsar=1,format=yuv420p", &[]);
    let parsed = VideoConfig::parse(VideoCodec::Avc, &upright).expect("parameter sets");
    let ladder = [2160, 1080, 720, 480].map(|height| rung(&format!("{height}p"), height)).into();
    let mut recorder = Recorder::new(caudal_media::PackagerConfig { ladder, ..config() });
    recorder.video(0, avc_header(&parsed.record));
    for n in 0..30_u32 {
        recorder.at((n * 40).into());
        recorder.video(n * 40, avc_frame(n % 25 == 0, 0, 300));
    }
    recorder.tick();
    let timeline = recorder.timeline.expect("announced");
    let sizes: Vec<_> = timeline
        .tracks
        .iter()
        .filter_map(|track| match track.media {
            TrackMedia::Video { width, height, .. } => Some((track.name.to_string(), width, height)),
            TrackMedia::Audio { .. } => None,
        })
        .collect();
    let wanted = [("source", 1080, 1920), ("720p", 720, 1280), ("480p", 480, 854)];
    assert_eq!(sizes, wanted.map(|(name, width, height)| (name.to_owned(), width, height)));
}

/// A picture behind a message with these caption triplets.
fn captioned(keyframe: bool, triplets: &[u8]) -> Bytes {
    let count = u8::try_from(triplets.len() / 3).expect("a few");
    let payload = [b"\xB5\x00\x31GA94\x03", &[0x40 | count, 0xFF][..], triplets, &[0xFF]].concat();
    let sei = [&[6, 4, u8::try_from(payload.len()).expect("short")][..], &payload, &[0x80]].concat();
    let picture: &[u8] = if keyframe { b"\x65\x88\x84\x40" } else { b"\x41\x9a\x24\x40" };
    let mut body = vec![if keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0];
    for unit in [&sei[..], picture] {
        body.extend(u32::try_from(unit.len()).expect("short").to_be_bytes());
        body.extend(unit);
    }
    body.into()
}

#[test]
fn captions_are_announced_when_they_come_and_not_taken_back() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(25_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    let (padding, first, third): (&[u8], &[u8], &[u8]) =
        (b"\xFC\x80\x80\xFD\x80\x80", b"\xFC\x94\x20", b"\xFD\x15\x25");
    let mut masters = Vec::new();
    for n in 0..150_u32 {
        let triplets = match n {
            60 | 61 => first,
            100 => third,
            _ => padding,
        };
        recorder.at((n * 40).into());
        recorder.video(n * 40, captioned(n % 50 == 0, triplets));
        let text = recorder.timeline.as_ref().map(master).unwrap_or_default();
        let captions = text.matches("TYPE=CLOSED-CAPTIONS").count();
        assert!(!text.contains("CLOSED-CAPTIONS=NONE"), "{text}");
        assert_eq!(text.contains(",CLOSED-CAPTIONS=\"captions\""), captions > 0, "{text}");
        masters.push(captions);
    }
    assert_eq!((masters[59], masters[60], masters[99], masters[100], masters[149]), (0, 1, 1, 2, 2));
    recorder.finish();
    let timeline = recorder.packager.timeline().expect("announced");
    assert_eq!(timeline.captions, [CaptionChannel::Cea608(1), CaptionChannel::Cea608(3)]);
    assert_eq!(recorder.timeline.expect("snapshots").captions, timeline.captions);
}

#[test]
fn captions_before_the_first_playlist_are_in_it() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(25_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    // Before its picture, in a tag of its own.
    let alone = captioned(true, b"\xFC\x94\x20");
    let alone = alone.slice(..alone.len() - 8);
    recorder.video(0, alone);
    for n in 0..20_u32 {
        recorder.at((n * 40).into());
        recorder.video(n * 40, captioned(n == 0, b"\xFC\x80\x80"));
        if let Some(timeline) = &recorder.timeline {
            assert_eq!(timeline.captions, [CaptionChannel::Cea608(1)]);
        }
    }
    assert!(recorder.timeline.is_some());
}

/// Enhanced RTMP's `colorInfo`, PQ in BT.2020.
const COLOR_INFO: &[u8] = b"\x94avc1\x02\0\x09colorInfo\x03\0\x0bcolorConfig\x03\0\x17transferCharacteristics\0\x40\x30\0\0\0\0\0\0\0\0\x09\0\0\x09";

#[test]
fn colours_beside_the_parameter_sets_make_a_source_hdr() {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(25_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    recorder.video(0, Bytes::from_static(COLOR_INFO));
    for n in 0..100_u32 {
        recorder.at((n * 40).into());
        // As a relay that begins anew repeats them.
        if n == 50 {
            recorder.video(n * 40, avc_header(AVC_RECORD));
            recorder.video(n * 40, Bytes::from_static(COLOR_INFO));
        }
        recorder.video(n * 40, avc_frame(n % 50 == 0, 0, 300));
    }
    recorder.finish();
    let timeline = recorder.timeline.as_ref().expect("announced");
    assert!(matches!(timeline.tracks[0].media, TrackMedia::Video { range: VideoRange::Pq, .. }));
    assert!(recorder.of("source").iter().all(|segment| segment.discontinuity == 0));
    let (.., init) = recorder.inits.iter().find(|(of, ..)| of.as_str() == "source").expect("an init");
    let colr = b"colrnclx\0\x09\0\x10\0\x09\0";
    assert!(init.windows(colr.len()).any(|window| window == colr), "players are told as well");
}

/// A hundred pictures at 25 frames a second, each `gop`th a keyframe, and colours before the `at`th.
fn coloured_before(at: u32, gop: u32, colour: &'static [u8]) -> Recorder {
    let mut recorder = Recorder::new(config());
    recorder.metadata(Some(25_000), true, false);
    recorder.video(0, avc_header(AVC_RECORD));
    for n in 0..100_u32 {
        recorder.at((n * 40).into());
        if n == at {
            recorder.video(n * 40, Bytes::from_static(colour));
        }
        recorder.video(n * 40, avc_frame(n % gop == 0, 0, 300));
    }
    recorder.finish();
    let pictures = recorder.encodes.iter().filter(|(.., header)| !header).count();
    assert_eq!(pictures, 100, "none is lost");
    recorder
}

fn is_pq(recorder: &Recorder) -> bool {
    let timeline = recorder.timeline.as_ref().expect("announced");
    matches!(timeline.tracks[0].media, TrackMedia::Video { range: VideoRange::Pq, .. })
}

#[test]
fn colours_that_come_between_keyframes_hold_from_the_next_one_on_and_cost_no_picture() {
    let recorder = coloured_before(30, 50, COLOR_INFO);
    let discontinuities: Vec<_> = recorder.of("source").iter().map(|segment| segment.discontinuity).collect();
    assert_eq!(discontinuities, [0, 1]);
    assert!(is_pq(&recorder));
}

#[test]
fn colours_that_come_behind_the_first_keyframe_do_not_cost_it() {
    let recorder = coloured_before(1, 50, COLOR_INFO);
    assert!(recorder.of("source").iter().all(|segment| segment.independent && segment.discontinuity == 0));
    assert!(is_pq(&recorder));
}

#[test]
fn colours_that_leave_the_initialization_segment_as_it_is_make_no_discontinuity() {
    // BT.709.
    let sdr = b"\x94avc1\x02\0\x09colorInfo\x03\0\x0bcolorConfig\x03\0\x17transferCharacteristics\0\x3f\xf0\0\0\0\0\0\0\0\0\x09\0\0\x09";
    let recorder = coloured_before(30, 50, sdr);
    assert!(recorder.of("source").iter().all(|segment| segment.discontinuity == 0));
    assert_eq!(recorder.inits.iter().filter(|(of, ..)| of.as_str() == "source").count(), 1);
}
