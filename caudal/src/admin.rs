//! `caudal admin`: asks the platform that runs with a data folder to do something, and says what came of it.
//!
//! The way is a unix socket in the data folder, which only the platform's user can reach: whoever may write there may do
//! anything to the platform anyway.

mod message;
mod socket;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use caudal_livestream::StreamId;
use clap::{Args, Subcommand};

use crate::settings;
use crate::standalone::{ADMIN, default_data_folder};
use message::{Answer, Request};
pub use socket::serve_if_possible;

/// Which platform, and what of it.
#[derive(Args, Clone, Debug)]
pub struct AdminSettings {
    /// The running platform's data folder.
    #[arg(long, env = "CAUDAL_DATA_DIR", value_name = "FOLDER", global = true)]
    data_dir: Option<OsString>,
    /// The running platform's settings file: the data folder is read from it where it is not given.
    #[arg(long, env = "CAUDAL_CONFIG", value_name = "FILE", global = true)]
    config: Option<OsString>,
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum AdminCommand {
    /// Move a live stream to another worker, without viewers noticing
    ///
    /// Exit status: 0 once the other worker has the stream and has announced media of it, 1 when it has not.
    Move {
        /// The stream's id, as in the address of its page.
        stream: StreamId,
    },
}

/// Carries out one command.
pub async fn run(settings: &AdminSettings) -> ExitCode {
    match carry_out(settings).await {
        Ok(words) => {
            println!("{words}");
            ExitCode::SUCCESS
        }
        Err(words) => {
            eprintln!("caudal: {words}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(settings: &AdminSettings) -> Result<String, String> {
    let data = data_folder(settings)?;
    let AdminCommand::Move { stream } = settings.command;
    let answer = socket::ask(&data.join(ADMIN), &Request::Move { stream }).await.map_err(|error| {
        format!(
            "no platform answers in {}: {error}. Start it, or name its data folder by CAUDAL_DATA_DIR or CAUDAL_CONFIG",
            data.display()
        )
    })?;
    in_words(stream, &answer)
}

fn in_words(stream: StreamId, answer: &Answer) -> Result<String, String> {
    match answer {
        Answer::Moved { from, to, epoch, stepped_in, took_ms } => {
            let (seconds, tenths) = (took_ms / 1000, took_ms % 1000 / 100);
            Ok(if *stepped_in {
                format!(
                    "Stream {stream} is on worker {to}, epoch {epoch}, after {seconds}.{tenths} s. Worker {from} ended before it could hand over, so viewers may have seen a hitch."
                )
            } else {
                format!(
                    "Moved stream {stream} from worker {from} to worker {to}, epoch {epoch}, in {seconds}.{tenths} s."
                )
            })
        }
        Answer::Refused { reason } => Err(format!("stream {stream} was not moved: {reason}")),
    }
}

/// An empty variable is as good as none; a `PathBuf` among the settings would refuse it.
fn data_folder(settings: &AdminSettings) -> Result<PathBuf, String> {
    let given = |path: &Option<OsString>| path.clone().filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(folder) = given(&settings.data_dir) {
        return Ok(folder);
    }
    let in_file = match given(&settings.config) {
        Some(file) => settings::value_in_file(&file, "CAUDAL_DATA_DIR")
            .map_err(|reason| format!("CAUDAL_CONFIG is {}: {reason}", file.display()))?,
        None => None,
    };
    in_file
        .map(PathBuf::from)
        .or_else(default_data_folder)
        .ok_or_else(|| "there is no HOME to look for data in; set CAUDAL_DATA_DIR".to_owned())
}

#[cfg(test)]
mod tests {
    use caudal_livestream::{Epoch, WorkerId};
    use clap::FromArgMatches as _;

    use super::*;
    use crate::{Cli, RoleCommand};

    fn folder(flags: &[&str]) -> Result<PathBuf, String> {
        let stream = StreamId::generate().to_string();
        let arguments = ["caudal", "admin", "move", stream.as_str()].into_iter().chain(flags.iter().copied());
        let matches = crate::command().try_get_matches_from(arguments).unwrap();
        let RoleCommand::Admin(settings) = Cli::from_arg_matches(&matches).unwrap().role else {
            unreachable!()
        };
        data_folder(&settings)
    }

    #[test]
    fn the_data_folder_is_the_one_given_else_the_one_in_the_file_and_an_empty_value_is_none() {
        let here = tempfile::tempdir().unwrap();
        let file = here.path().join("caudal.conf");
        std::fs::write(&file, "CAUDAL_DATA_DIR = /srv/in-the-file\n").unwrap();
        let file = file.to_str().unwrap();
        for (flags, expected) in [
            (["--data-dir=/srv/given", &format!("--config={file}")], "/srv/given"),
            (["--data-dir=", &format!("--config={file}")], "/srv/in-the-file"),
        ] {
            assert_eq!(folder(&flags), Ok(PathBuf::from(expected)), "{flags:?}");
        }
        assert_eq!(folder(&["--data-dir=", "--config="]).ok(), default_data_folder());
        assert!(folder(&["--data-dir=", "--config=/nowhere"]).is_err());
    }

    #[test]
    fn the_words_name_the_workers_and_say_when_one_stepped_in() {
        let stream = StreamId::generate();
        let (from, to) = (WorkerId::generate(), WorkerId::generate());
        let moved = |stepped_in| Answer::Moved { from, to, epoch: Epoch(3), stepped_in, took_ms: 1234 };
        let plain = in_words(stream, &moved(false)).unwrap();
        assert_eq!(
            plain,
            format!("Moved stream {stream} from worker {from} to worker {to}, epoch 3, in 1.2 s.")
        );
        let hitch = in_words(stream, &moved(true)).unwrap();
        assert!(hitch.contains("may have seen a hitch") && hitch.contains("ended before it could hand over"));
        let refused = Answer::Refused { reason: "the publisher is away".to_owned() };
        assert!(in_words(stream, &refused).unwrap_err().ends_with("was not moved: the publisher is away"));
    }
}
