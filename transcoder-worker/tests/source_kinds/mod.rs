//! Sources that are not progressive landscape SDR in FLV's own form: their rungs are, and the master says what is what.

use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use caudal_media::flv::TagKind;

use super::hevc_source::{encode_hevc, ffmpeg_decodes_it};
use super::media_check::Packaged;
use super::{TONE, encode, is_header, picture, publish};

/// Each field is black or white: scaled as they are, frames are gray.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rung_of_an_interlaced_source_has_a_frame_of_one_instant_for_each_of_its_frames() {
    let fields =
        "color=black:size=320x240:rate=50,geq=lum='16+219*mod(N,2)':cb=128:cr=128,interlace=lowpass=0";
    for coded in ["tff=1", "bff=1:bframes=2:b-adapt=0"] {
        let options = ["-flags", "+ildct+ilme", "-x264-params", &format!("scenecut=0:keyint=50:{coded}")];
        let packaged = publish(encode(&[fields, TONE], &options, 6)).await;
        assert!(luma_of(&packaged, "source").abs_diff(126) < 8, "half of its lines are white");
        let luma = luma_of(&packaged, "180p");
        assert!(!(24..=227).contains(&luma), "{coded}: {luma}");
        assert!(packaged.text("master.m3u8").contains("RESOLUTION=240x180"));
        packaged.whole();
    }
}

/// White as BT.2408 has it, 203 cd/m², which takes 58 % of PQ's values and 75 % of HLG's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rung_of_an_hdr_source_is_sdr_of_the_same_brightness() {
    for (transfer, range, code) in [("smpte2084", "PQ", 573), ("arib-std-b67", "HLG", 721)] {
        let white =
            format!("color=gray:size=320x240:rate=25,format=yuv420p10le,geq=lum={code}:cb=512:cr=512");
        let colours = format!("scenecut=0:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc");
        let options = ["-g", "50", "-pix_fmt", "yuv420p10le", "-x264-params", &colours];
        let packaged = publish(encode(&[&white, TONE], &options, 5)).await;
        let master = packaged.text("master.m3u8");
        let variant = |name: &str| {
            let lines: Vec<_> = master.lines().collect();
            let at = lines.iter().position(|line| *line == format!("{name}/index.m3u8")).unwrap();
            lines[at - 1].to_owned()
        };
        assert!(variant("source").contains(&format!(",VIDEO-RANGE={range}")), "{master}");
        assert!(variant("180p").contains(",VIDEO-RANGE=SDR"), "{master}");
        let entries = "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries";
        assert_eq!(probe(&packaged, "180p", entries), "yuv420p,tv,bt709,bt709,bt709");
        // 80 % of the light that SDR has.
        let luma = luma_of(&packaged, "180p");
        assert!(luma.abs_diff(212) < 5, "{range}: {luma}");
        packaged.whole();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rung_is_named_after_its_shorter_side_and_has_square_pixels() {
    for (source, aspect, made) in [("240x320", "1", "180,240,1:1"), ("320x240", "3/2", "360,180,1:1")] {
        let pictures = format!("testsrc2=size={source}:rate=25,setsar={aspect}");
        let packaged = publish(encode(&[&pictures, TONE], &["-g", "50"], 5)).await;
        assert_eq!(probe(&packaged, "180p", "stream=width,height,sample_aspect_ratio"), made);
        let sizes = [source, &made[..7].replace(',', "x")].map(|size| format!("RESOLUTION={size},"));
        let master = packaged.text("master.m3u8");
        assert!(sizes.iter().all(|size| master.contains(size)), "{sizes:?} in {master}");
        packaged.whole();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h264_under_its_fourcc_has_a_ladder() {
    let mut tags = encode(&[&picture("rate=25"), TONE], &["-g", "50", "-bf", "2"], 5);
    for tag in tags.iter_mut().filter(|tag| tag.kind == TagKind::Video) {
        let kind = 0x80 | (tag.body[0] & 0x70);
        let body = match tag.body[1] {
            0 => [&[kind][..], b"avc1", &tag.body[5..]].concat(),
            1 => [&[kind | 1][..], b"avc1", &tag.body[2..]].concat(),
            _ => [&[kind | 2][..], b"avc1"].concat(),
        };
        tag.body = body.into();
    }
    let packaged = publish(tags).await;
    assert_eq!(packaged.seen("180p"), "h264,avc1,240,180");
    packaged.whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hevc_under_its_old_number_has_a_ladder_if_ffmpeg_decodes_it() {
    let mut tags = encode_hevc(&picture("rate=25"), "keyint=50:scenecut=0:open-gop=0", 5);
    for tag in &mut tags {
        let (first, rest) = (tag.body[0], &tag.body[5..]);
        let kind = (first & 0x70) | 0x0C;
        let body = if first == 0x90 {
            [&[kind, 0, 0, 0, 0][..], rest].concat()
        } else {
            [&[kind, 1][..], rest].concat()
        };
        tag.body = body.into();
    }
    let packaged = publish(tags).await;
    assert_eq!(packaged.seen("source"), "hevc,hvc1,320,240");
    assert_eq!(packaged.segments.contains_key("180p"), ffmpeg_decodes_it());
    packaged.whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captions_are_in_every_rendition_and_in_the_master() {
    let mut tags = encode(&[&picture("rate=25"), TONE], &["-g", "50", "-bf", "2"], 6);
    for (n, tag) in tags.iter_mut().filter(|tag| tag.kind == TagKind::Video && !is_header(tag)).enumerate() {
        if tag.body[1] == 1 {
            tag.body = captioned(&tag.body, u8::try_from(n).unwrap());
        }
    }
    let packaged = publish(tags).await;
    let master = packaged.text("master.m3u8");
    assert!(master.contains("TYPE=CLOSED-CAPTIONS,GROUP-ID=\"captions\",NAME=\"CC1\""), "{master}");
    assert_eq!(master.matches(",CLOSED-CAPTIONS=\"captions\"").count(), 2, "{master}");
    let manifest = packaged.text("manifest.mpd");
    assert!(manifest.contains("\"urn:scte:dash:cc:cea-608:2015\" value=\"CC1=und\""), "{manifest}");
    let shown = |rendition: &str| {
        let frames = decode(&packaged, rendition, &["-show_entries", "frame_side_data=side_data_type"]);
        frames.matches("Closed Captions").count()
    };
    let (source, rung) = (shown("source"), shown("180p"));
    assert!(source > 40, "{source}");
    assert_eq!(source, rung, "each picture's captions are in the rung's picture too");
    packaged.whole();
}

/// The picture behind a message that resumes caption loading, and says a letter.
fn captioned(body: &Bytes, letter: u8) -> Bytes {
    let message = [0xFC, 0x94, 0x20, 0xFC, 0x41 + letter % 26, 0x80];
    let payload = [b"\xB5\x00\x31GA94\x03\x42\xFF", &message[..], &[0xFF]].concat();
    let unit = [&[6, 4, u8::try_from(payload.len()).unwrap()][..], &payload, &[0x80]].concat();
    let length = u32::try_from(unit.len()).unwrap().to_be_bytes();
    [&body[..5], &length, &unit, &body[5..]].concat().into()
}

/// The first whole segment as a file of its own.
fn first_segment(packaged: &Packaged, rendition: &str, path: &Path) {
    let first = packaged.segments[rendition].iter().find(|segment| !segment.gap).unwrap();
    let folder = packaged.live.join(rendition);
    let init = std::fs::read(folder.join(format!("init-{}.mp4", first.init.as_ref().unwrap()))).unwrap();
    let media = std::fs::read(folder.join(format!("{}-1.m4s", first.msn))).unwrap();
    std::fs::write(path, [init, media].concat()).unwrap();
}

/// What ffprobe says of it.
fn decode(packaged: &Packaged, rendition: &str, asked: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.mp4");
    first_segment(packaged, rendition, &path);
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v"])
        .args(asked)
        .args(["-of", "csv=p=0"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn probe(packaged: &Packaged, rendition: &str, entries: &str) -> String {
    decode(packaged, rendition, &["-show_entries", entries])
}

/// The mean of the tenth picture's luma samples, in eight bits.
fn luma_of(packaged: &Packaged, rendition: &str) -> u32 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.mp4");
    first_segment(packaged, rendition, &path);
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(&path)
        .args(["-vf", "select=eq(n\\,9),format=yuv420p,extractplanes=y", "-frames:v", "1"])
        .args(["-f", "rawvideo", "pipe:1"])
        .output()
        .unwrap();
    let samples = output.stdout;
    assert!(!samples.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    samples.iter().map(|sample| u32::from(*sample)).sum::<u32>() / u32::try_from(samples.len()).unwrap()
}
