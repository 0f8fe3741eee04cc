use std::path::Path;

use caudal_media::codec::VideoConfig;
use caudal_media::flv::{FlvDemuxer, VideoTag};

use super::*;

/// The first picture of 320x240 that libx264 makes with these options.
fn keyframe(source: &str, options: &[&str]) -> KeyPicture {
    let output = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", source, "-frames:v", "1"])
        .args(["-c:v", "libx264", "-preset", "ultrafast"])
        .args(options)
        .args(["-f", "flv", "pipe:1"])
        .output()
        .unwrap();
    let mut demuxer = FlvDemuxer::default();
    demuxer.push(&output.stdout);
    let mut tags =
        std::iter::from_fn(|| demuxer.next_tag().unwrap()).filter(|tag| tag.kind == TagKind::Video);
    let (header, picture) = (tags.next().unwrap().body, tags.next().unwrap().body);
    let Ok(VideoTag::SequenceHeader { codec, record }) = VideoTag::parse(&header) else { panic!("a header") };
    let format = VideoConfig::parse(codec, &record).unwrap().format();
    KeyPicture { header, picture, format }
}

/// Width and height of the poster, and the mean of its gray values.
async fn poster(picture: KeyPicture) -> (u32, u32, u32) {
    let ffmpeg = Ffmpeg::find(Path::new("ffmpeg")).await.unwrap();
    let jpeg = render(&ffmpeg, picture).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poster.jpg");
    std::fs::write(&file, jpeg).unwrap();
    let output = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(&file)
        .args(["-pix_fmt", "gray", "-f", "image2pipe", "-c:v", "pgm", "pipe:1"])
        .output()
        .unwrap();
    let pgm = output.stdout;
    let head: Vec<u32> =
        String::from_utf8_lossy(&pgm[..20]).split_whitespace().skip(1).flat_map(str::parse).take(2).collect();
    let [width, height] = head[..] else { panic!("not a PGM") };
    let samples = &pgm[pgm.len() - usize::try_from(width * height).unwrap()..];
    (width, height, samples.iter().map(|sample| u32::from(*sample)).sum::<u32>() / (width * height))
}

#[tokio::test]
async fn a_poster_of_fields_shows_one_of_them() {
    let fields =
        "color=black:size=320x240:rate=50,geq=lum='16+219*mod(N,2)':cb=128:cr=128,interlace=lowpass=0";
    let picture = keyframe(fields, &["-flags", "+ildct+ilme", "-x264-params", "tff=1"]);
    let (width, height, gray) = poster(picture).await;
    assert_eq!((width, height), (320, 240));
    assert!(!(8..=247).contains(&gray), "{gray}");
}

/// White of 203 cd/m².
#[tokio::test]
async fn a_poster_of_hdr_is_as_bright_as_the_picture() {
    for (transfer, code) in [("smpte2084", 573), ("arib-std-b67", 721)] {
        let white = format!("color=gray:size=320x240,format=yuv420p10le,geq=lum={code}:cb=512:cr=512");
        let colours = format!("colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc");
        let (.., gray) = poster(keyframe(&white, &["-x264-params", &colours])).await;
        assert!(gray.abs_diff(228) < 6, "{transfer}: {gray}");
    }
}

#[tokio::test]
async fn a_poster_has_square_pixels() {
    let picture = keyframe("testsrc2=size=320x240,setsar=3/2", &["-pix_fmt", "yuv420p"]);
    let (width, height, _) = poster(picture).await;
    assert_eq!((width, height), (480, 240));
}

#[tokio::test]
async fn a_broadcast_that_ends_at_once_has_a_poster() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let ffmpeg = Ffmpeg::find(Path::new("ffmpeg")).await.unwrap();
    let stream = StreamId::generate();
    let (pictures, newest) = watch::channel(None);
    let (_, encoded) = PosterOutlet::new(EVERY);
    pictures.send_replace(Some(keyframe("testsrc2=size=320x240", &["-pix_fmt", "yuv420p"])));
    drop(pictures);
    Posters::new(ffmpeg, store.clone(), stream, EVERY).run(newest, encoded).await;
    let poster = store.get(&Key::Poster(stream)).await.unwrap().unwrap();
    assert!(poster.starts_with(&[0xFF, 0xD8]));
}

#[tokio::test]
async fn the_posters_of_an_encoder_are_stored_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let ffmpeg = Ffmpeg::find(Path::new("ffmpeg")).await.unwrap();
    let stream = StreamId::generate();
    let (pictures, newest) = watch::channel(None);
    let (outlet, encoded) = PosterOutlet::new(EVERY);
    let posters = Posters::new(ffmpeg, store.clone(), stream, EVERY);
    let making = tokio::spawn(posters.run(newest, encoded));
    pictures.send_replace(Some(keyframe("testsrc2=size=320x240", &["-pix_fmt", "yuv420p"])));
    let maker = outlet.maker();
    for poster in ["first", "second"] {
        maker.made(poster.into());
        let stored = async {
            while store.get(&Key::Poster(stream)).await.unwrap().as_deref() != Some(poster.as_bytes()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), stored).await.expect("the poster is stored");
    }
    drop(maker);
    drop(pictures);
    making.await.unwrap();
    assert_eq!(store.get(&Key::Poster(stream)).await.unwrap().as_deref(), Some(&b"second"[..]));
}

const EVERY: Duration = Duration::from_mins(1);
