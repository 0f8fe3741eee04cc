//! The ffmpeg of this machine, found once at the start.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// An ffmpeg that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ffmpeg {
    path: PathBuf,
    version: (u32, u32),
    nice: Option<PathBuf>,
}

impl Ffmpeg {
    /// Looks for `program` (a path, or a name in `PATH`) and asks for its version.
    pub(crate) async fn find(program: &Path) -> Option<Self> {
        let path = in_path(program)?;
        let asked = Command::new(&path)
            .arg("-version")
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output();
        let answer = timeout(PROBE_DEADLINE, asked).await.ok()?.ok()?;
        let version = version(&String::from_utf8_lossy(&answer.stdout));
        Some(Self { path, version, nice: in_path(Path::new("nice")) })
    }

    /// Whether its FLV demuxer knows HEVC (Enhanced RTMP), which came with 6.1.
    pub(crate) fn reads_hevc_in_flv(&self) -> bool {
        self.version >= (6, 1)
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

fn in_path(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|found| found.is_file())
}

/// `ffmpeg version 5.1.9-0+deb12u1 Copyright …`, `ffmpeg version n7.1`, or a development build, which is newer than
/// any release we know.
fn version(text: &str) -> (u32, u32) {
    let Some(word) = text.strip_prefix("ffmpeg version ").and_then(|rest| rest.split_whitespace().next())
    else {
        return (0, 0);
    };
    let mut numbers =
        word.trim_start_matches('n').split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if major < 100 => (major, minor),
        (Some(Ok(major)), _) if major < 100 => (major, 0),
        _ => (99, 0),
    }
}

/// Starting it from a cold disk takes a second at most.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// Half way down: behind all of ours, before what runs at idle.
const NICENESS: &str = "10";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        for (text, expected) in [
            ("ffmpeg version 5.1.9-0+deb12u1 Copyright (c)", (5, 1)),
            ("ffmpeg version 7.1.5 Copyright", (7, 1)),
            ("ffmpeg version n6.1 Copyright", (6, 1)),
            ("ffmpeg version 8 Copyright", (8, 0)),
            ("ffmpeg version N-112233-gabc Copyright", (99, 0)),
            ("", (0, 0)),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_missing_ffmpeg_is_none() {
        assert_eq!(Ffmpeg::find(Path::new("/nonexistent/ffmpeg")).await, None);
        assert_eq!(Ffmpeg::find(Path::new("no-such-program-in-path")).await, None);
    }
}
