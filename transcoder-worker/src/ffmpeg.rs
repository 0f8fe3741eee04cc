//! The ffmpeg of this machine, found and tried once at the start.

mod hevc_probe;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;
use tokio::time::timeout;

/// An ffmpeg that is there, and has not said that it cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ffmpeg {
    path: PathBuf,
    /// What the probe at the start found.
    decodes_hevc: bool,
    nice: Option<PathBuf>,
}

impl Ffmpeg {
    /// Looks for `program` (a path, or a name in `PATH`), and tries what it can do. One that does not answer is used all the
    /// same: the machine may be busy, and a stream of H.264 that moves here must not lose its rungs for that. Whether it reads
    /// HEVC is not known then, so it is not given any.
    pub(crate) async fn find(program: &Path) -> Result<Self, NoFfmpeg> {
        let path = in_path(program).ok_or(NoFfmpeg::Missing)?;
        let found = Self { path, decodes_hevc: false, nice: in_path(Path::new("nice")) };
        let asked = Command::new(&found.path)
            .arg("-version")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .status();
        let (answer, decodes_hevc) =
            tokio::join!(timeout(PROBE_DEADLINE, asked), found.decodes(hevc_probe::HEVC_KEYFRAME));
        match answer {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => return Err(NoFfmpeg::Failed(status)),
            Ok(Err(error)) => return Err(NoFfmpeg::NotStarted(error)),
            Err(_) => {
                tracing::warn!(program = %found.path.display(), "ffmpeg did not answer within {PROBE_DEADLINE:?}; it is used all the same");
            }
        }
        Ok(Self { decodes_hevc: decodes_hevc.unwrap_or(false), ..found })
    }

    /// Whether the encoder can be fed a source with this codec header, an FLV VIDEODATA: H.264 in FLV's own form always,
    /// HEVC in Enhanced RTMP's if the probe saw a picture.
    pub(crate) fn reads(&self, header: &[u8]) -> bool {
        match header {
            [first, ..] if first & ENHANCED == 0 => first & 0x0F == AVC,
            [_, b'h', b'v', b'c', b'1', ..] => self.decodes_hevc,
            _ => false,
        }
    }

    /// A command for it with a cleared environment, a process group of its own and low priority: encoding must never
    /// take the processor from packaging.
    pub(crate) fn command(&self) -> std::process::Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = match &self.nice {
            Some(nice) => {
                let mut command = std::process::Command::new(nice);
                command.args(["-n", NICENESS]).arg(&self.path);
                command
            }
            None => std::process::Command::new(&self.path),
        };
        command.env_clear().process_group(0);
        command
    }
}

/// Why there is no ffmpeg to use.
#[derive(Debug, Error)]
pub(crate) enum NoFfmpeg {
    #[error("there is no such program")]
    Missing,
    #[error("it cannot be started: {0}")]
    NotStarted(#[source] io::Error),
    #[error("it could not even say its version ({0})")]
    Failed(ExitStatus),
}

fn in_path(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|found| found.is_file())
}

/// Starting it from a cold disk takes a second at most. Nobody is answered meanwhile, and a controller waits for five.
const PROBE_DEADLINE: Duration = Duration::from_secs(4);
/// Half way down: behind all of ours, before what runs at idle.
const NICENESS: &str = "10";
/// Enhanced RTMP's mark in a VIDEODATA's first byte.
const ENHANCED: u8 = 0x80;
/// FLV's codec id.
const AVC: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn h264_is_always_read_and_hevc_if_the_probe_saw_a_picture() {
        let found = Ffmpeg::find(Path::new("ffmpeg")).await.unwrap();
        for decodes_hevc in [false, true] {
            let ffmpeg = Ffmpeg { decodes_hevc, ..found.clone() };
            assert!(ffmpeg.reads(b"\x17\0\0\0\0avcC"));
            assert_eq!(ffmpeg.reads(b"\x90hvc1hvcC"), decodes_hevc);
            // Forms that no version of it is known to read.
            assert!(!ffmpeg.reads(b"\x90avc1avcC"));
            assert!(!ffmpeg.reads(b"\x1c\0\0\0\0hvcC"));
            assert!(!ffmpeg.reads(b""));
        }
    }

    #[tokio::test]
    async fn a_missing_or_broken_ffmpeg_is_none_and_says_why() {
        for (program, why) in [
            ("/nonexistent/ffmpeg", "there is no such program"),
            ("no-such-program-in-path", "there is no such program"),
            ("/bin/false", "it could not even say its version (exit status: 1)"),
            ("/etc/passwd", "it cannot be started: Permission denied (os error 13)"),
        ] {
            assert_eq!(Ffmpeg::find(Path::new(program)).await.unwrap_err().to_string(), why, "{program}");
        }
    }

    #[tokio::test]
    async fn an_ffmpeg_that_does_not_answer_in_time_is_used_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let program = hung(folder.path());
        let found = loop {
            match Ffmpeg::find(&program).await {
                // Another test's process, which is just being made, still has it open for writing.
                Err(NoFfmpeg::NotStarted(error)) if error.raw_os_error() == Some(26) => {}
                found => break found,
            }
        };
        assert_eq!(found.unwrap().path, program);
    }

    /// A program that never answers.
    pub(super) fn hung(folder: &Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let program = folder.join("ffmpeg");
        std::fs::write(&program, "#!/bin/sh\nexec /bin/sleep 600\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    }
}
