//! The ffmpeg command line that makes the rungs. Each choice is measured; see docs/performance.md.

use caudal_livestream::admission::LadderRung;

use super::child::Work;
use super::source_filter::progressive_sdr;
use crate::poster::{FIRST, WIDTH};

/// The first of the rungs' pipes; 0, 1 and 2 are the standard ones.
pub(crate) const FIRST_PIPE: i32 = 3;

/// The pipe behind the rungs'.
pub(crate) fn poster_pipe(rungs: &[LadderRung]) -> i32 {
    rungs.iter().fold(FIRST_PIPE, |pipe, _| pipe + 1)
}

/// Arguments for one child: FLV video on standard input, an FLV for each rung on its own pipe, and JPEGs on the pipe behind
/// those if it is to make posters.
pub(crate) fn arguments(work: &Work<'_>) -> Vec<String> {
    let rungs = work.rungs;
    let mut arguments: Vec<String> = FLV_INPUT.iter().map(|&argument| argument.to_owned()).collect();
    arguments.push("-filter_complex".to_owned());
    arguments.push(filter(work));
    for (index, (rung, pipe)) in rungs.iter().zip(FIRST_PIPE..).enumerate() {
        let rate = |bits: u32| bits.to_string();
        arguments.extend(["-map".to_owned(), format!("[o{index}]")]);
        arguments.extend(ENCODE.iter().map(|&argument| argument.to_owned()));
        arguments.extend([
            "-b:v".to_owned(),
            rate(rung.bitrate),
            "-maxrate".to_owned(),
            rate(rung.bitrate.saturating_add(rung.bitrate / 10)),
            "-bufsize".to_owned(),
            rate(rung.bitrate),
        ]);
        arguments.extend(OUTPUT.iter().map(|&argument| argument.to_owned()));
        arguments.push(format!("pipe:{pipe}"));
    }
    if work.posters.is_some() {
        arguments.extend(POSTER.iter().map(|&argument| argument.to_owned()));
        arguments.push(format!("pipe:{}", poster_pipe(rungs)));
    }
    arguments
}

/// One decoder, a scaler for each rung. A rung above a source that has shrunk keeps the source's size. For posters a frame
/// is chosen before it is scaled: the others cost nothing.
fn filter(Work { rungs, format: source, posters }: &Work<'_>) -> String {
    let mut inputs: Vec<String> = (0..rungs.len()).map(|index| format!("[s{index}]")).collect();
    let scaled = rungs.iter().enumerate().map(|(index, rung)| {
        let (width, height) = source.scaled_to(rung.height);
        format!("[s{index}]scale={width}:{height}:flags=bilinear,setsar=1[o{index}]")
    });
    let poster = posters.map(|outlet| {
        inputs.push("[p]".to_owned());
        let (first, every) = (FIRST.as_secs_f64(), outlet.every.as_secs_f64());
        let (width, height) = source.within_width(WIDTH);
        format!(
            "[p]select='if(isnan(prev_selected_t),gte(t,{first}),gte(t-prev_selected_t,{every}))',\
             scale={width}:{height},setsar=1[poster]"
        )
    });
    let largest = rungs.iter().map(|rung| rung.height).max().unwrap_or(0);
    let prepared = progressive_sdr(source, source.scaled_to(largest));
    let split = format!("[0:v]{prepared}split={}{}", inputs.len(), inputs.concat());
    std::iter::once(split).chain(scaled).chain(poster).collect::<Vec<_>>().join(";")
}

/// FLV on standard input. Without `-probesize` and `-analyzeduration` it waits five seconds, and so it does with an
/// `-analyzeduration` of 0, which means its default. The probe takes four pictures or so many bytes: of slides a few seconds apart
/// the first must be enough. More decoder threads hold more frames back; never `-fflags nobuffer`, which loses what was probed.
pub(crate) const FLV_INPUT: [&str; 18] = [
    "-hide_banner",
    "-nostats",
    "-nostdin",
    "-loglevel",
    "error",
    "-flags",
    "low_delay",
    "-probesize",
    "32",
    "-analyzeduration",
    "1",
    "-threads",
    "1",
    "-copyts",
    "-f",
    "flv",
    "-i",
    "pipe:0",
];

/// Keyframes exactly where the source has them, timestamps untouched. `superfast` keeps three rungs of 1080p30 at 0.7
/// of a core; `veryfast` falls behind real time on two.
const ENCODE: [&str; 16] = [
    "-c:v",
    "libx264",
    "-preset",
    "superfast",
    "-tune",
    "zerolatency",
    "-profile:v",
    "high",
    "-pix_fmt",
    "yuv420p",
    "-force_key_frames",
    "source",
    "-x264-params",
    "scenecut=0:keyint=infinite:open-gop=0",
    "-enc_time_base",
    "1:1000",
];

const OUTPUT: [&str; 10] = [
    "-fps_mode",
    "passthrough",
    "-avoid_negative_ts",
    "disabled",
    "-flvflags",
    "no_duration_filesize",
    "-flush_packets",
    "1",
    "-f",
    "flv",
];

/// Each picture goes out at once: more encoder threads hold some back, and without `-fps_mode` each is repeated until the
/// next one.
const POSTER: [&str; 14] = [
    "-map",
    "[poster]",
    "-c:v",
    "mjpeg",
    "-threads",
    "1",
    "-q:v",
    "4",
    "-fps_mode",
    "passthrough",
    "-flush_packets",
    "1",
    "-f",
    "image2pipe",
];

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::fixtures::hd;
    use crate::poster::PosterOutlet;

    #[tokio::test]
    async fn a_still_scene_comes_out_while_its_input_is_open() {
        let still = Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-nostdin",
                "-f",
                "lavfi",
                "-i",
                "color=gray:size=320x180:rate=30",
                "-t",
                "1",
            ])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-f", "flv"])
            .args(["-flvflags", "no_duration_filesize", "pipe:1"])
            .output()
            .unwrap()
            .stdout;
        assert!(!still.is_empty() && still.len() < 32_768, "less than what is probed: {}", still.len());
        let mut command = Command::new("ffmpeg");
        command.args(FLV_INPUT).args(["-frames:v", "1", "-f", "rawvideo", "pipe:1"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&still).await.unwrap();
        let mut picture = Vec::new();
        let mut stdout = child.stdout.take().unwrap();
        let read = tokio::time::timeout(Duration::from_secs(60), stdout.read_to_end(&mut picture)).await;
        assert_eq!(read.expect("it waits for more").unwrap(), 320 * 180 * 3 / 2);
        drop(stdin);
    }

    #[test]
    fn every_rung_has_its_scaler_rate_and_pipe() {
        let rung = |height: u32, bitrate| LadderRung {
            name: format!("{height}p").parse().unwrap(),
            height,
            bitrate,
        };
        let rungs = [rung(720, 2_500_000), rung(360, 600_000)];
        let line = arguments(&Work { rungs: &rungs, format: hd(), posters: None }).join(" ");
        assert!(line.contains(
            "[0:v]split=2[s0][s1];[s0]scale=1280:720:flags=bilinear,setsar=1[o0];[s1]scale=640:360:flags="
        ));
        assert!(line.contains("-b:v 2500000 -maxrate 2750000 -bufsize 2500000 -fps_mode"));
        assert!(line.ends_with("-b:v 600000 -maxrate 660000 -bufsize 600000 -fps_mode passthrough -avoid_negative_ts disabled -flvflags no_duration_filesize -flush_packets 1 -f flv pipe:4"));
        assert_eq!(line.matches("-force_key_frames source").count(), 2);

        let (outlet, _) = PosterOutlet::new(Duration::from_mins(1));
        let line = arguments(&Work { rungs: &rungs, format: hd(), posters: Some(&outlet) }).join(" ");
        assert!(line.contains("[0:v]split=3[s0][s1][p];[s0]"));
        assert!(line.contains(
            ";[p]select='if(isnan(prev_selected_t),gte(t,3),gte(t-prev_selected_t,60))',scale=640:360,"
        ));
        assert!(line.ends_with("-flush_packets 1 -f flv pipe:4 -map [poster] -c:v mjpeg -threads 1 -q:v 4 -fps_mode passthrough -flush_packets 1 -f image2pipe pipe:5"));
    }
}
