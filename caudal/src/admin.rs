//! `caudal admin`: asks the platform that runs with a data folder to do something, and says what came of it.
//!
//! * `role` – who is an admin, with the database at hand or through the platform
//! * `target` – which stream somebody means
//! * `message` – what is asked and answered
//! * `socket` – the platform's side
//! * `asking` – the administrator's side, and what is in the way
//! * `words` – answers, for a person
//!
//! The way is a unix socket in the data folder, which only the platform's user can reach: whoever may write there may do
//! anything to the platform anyway.

mod asking;
mod message;
mod role;
mod socket;
mod target;
mod words;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use caudal_livestream::StreamId;
use caudal_service::secret;
use clap::{Args, Subcommand};
use secrecy::SecretString;

use crate::settings::{self, Faults, Given, WebOrigin};
use crate::standalone::{ADMIN, default_data_folder};
pub use message::ListedWorker;
use message::{Answer, ListedStream, Request};
pub use socket::{Accounts, Platform, serve_if_possible};
pub use target::Target;

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
        /// The stream's id, the address of its watch page, or its channel's name.
        // Not parsed by clap, which would show a stream key that was pasted by mistake.
        stream: OsString,
    },
    /// List the broadcasts, each with its worker and that one's process
    ///
    /// The worker is named as in the log: its lines carry `worker=` and this id (`"worker"` in JSON). A broadcast that
    /// is over stays in the list for ten minutes.
    Streams,
    /// List the workers that run, each with its process, and the broadcast that it was started for
    ///
    /// The one without a broadcast is kept warm for the next one.
    Workers,
    /// Make somebody an admin of the platform, or take that away again
    ///
    /// The first admin is made in this way; admins make others on their page. Where DATABASE_URL or DATABASE_URL_FILE is set, as in a
    /// pod of the api, that database is used; else, and always with --data-dir, the platform of the data folder is asked, which must be
    /// running.
    MakeAdmin {
        /// The person's username.
        name: OsString,
        /// Take it away.
        #[arg(long)]
        remove: bool,
    },
    /// Make a link by which somebody chooses a new password, to be handed on to them
    ///
    /// Asks the platform of the data folder; with `DATABASE_URL` and `CAUDAL_PUBLIC_API_URL`, as an api in a process of its own has them,
    /// the database itself.
    ResetPassword {
        /// The person's username or email address.
        name: OsString,
        /// The address of the web pages, where the database is given.
        #[arg(long, env = "CAUDAL_PUBLIC_API_URL", value_name = "URL", hide_env_values = true)]
        public_api_url: Option<OsString>,
    },
}

/// Carries out one command.
///
/// # Errors
/// [`Faults`] when the settings lead to no platform, or the stream is named in no way that is known.
pub async fn run(settings: &AdminSettings, given: &Given) -> Result<ExitCode, Faults> {
    // Not needed where the database is at hand.
    let data = || data_folder(settings, given);
    let told = match &settings.command {
        AdminCommand::Move { stream } => {
            let data = data()?;
            let target = Target::read(stream)
                .map_err(|reason| Faults(vec![format!("{reason}; `caudal admin streams` lists all")]))?;
            move_stream(&data, target).await
        }
        AdminCommand::Streams => streams(&data()?).await.map(|streams| words::of_streams(&streams)),
        AdminCommand::ResetPassword { name, public_api_url } => {
            let name = name.to_str().ok_or_else(|| Faults(vec![NO_NAME.to_owned()]))?;
            if let Some(accounts) = accounts(settings, public_api_url.as_ref(), given)? {
                accounts.reset_password(name).await.map(|link| words::of_link(&link))
            } else {
                let request = Request::ResetPassword { name: name.to_owned() };
                ask(&data()?, &request).await.and_then(words::of_reset)
            }
        }
        AdminCommand::Workers => match ask(&data()?, &Request::Workers {}).await {
            Ok(answer) => words::of_workers(&answer),
            Err(obstacle) => Err(obstacle),
        },
        AdminCommand::MakeAdmin { name, remove } => {
            role::set(name, !remove, database_at_hand(given)?, data).await?
        }
    };
    Ok(match told {
        Ok(words) => match print(&words) {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever reads has had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("caudal: the answer cannot be written to standard output: {error}");
                ExitCode::FAILURE
            }
        },
        Err(words) => {
            eprintln!("caudal: {words}");
            ExitCode::FAILURE
        }
    })
}

fn print(words: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{words}")?;
    output.flush()
}

async fn move_stream(data: &Path, target: Target) -> Result<String, String> {
    let stream = match target {
        Target::Stream(stream) => stream,
        Target::Channel(channel) => on_the_air(&streams(data).await?, &channel)?,
    };
    words::of_move(stream, &ask(data, &Request::Move { stream }).await?)
}

/// The broadcast of a channel that is not over. One that is ending may be listed beside its successor.
fn on_the_air(streams: &[ListedStream], channel: &str) -> Result<StreamId, String> {
    let of_channel = |one: &&ListedStream| one.channel.eq_ignore_ascii_case(channel);
    streams.iter().filter(of_channel).find(|one| !one.phase.is_over()).map(|one| one.stream).ok_or_else(
        || {
            let named = target::shown(channel).unwrap_or_else(|| "that was named".to_owned());
            format!("no broadcast of the channel {named} is on the air; `caudal admin streams` lists all")
        },
    )
}

async fn streams(data: &Path) -> Result<Vec<ListedStream>, String> {
    match ask(data, &Request::Streams {}).await? {
        Answer::Streams { streams } => Ok(streams),
        Answer::Refused { reason } => Err(reason),
        Answer::Moved { .. }
        | Answer::Workers { .. }
        | Answer::Failed { .. }
        | Answer::Told { .. }
        | Answer::ResetLink { .. } => Err(words::STRANGE.to_owned()),
    }
}

async fn ask(data: &Path, request: &Request) -> Result<Answer, String> {
    asking::ask(&data.join(ADMIN), request).await.map_err(|error| asking::obstacle(data, &error))
}

/// The accounts of an api that is a process of its own, where this one has what that one has.
fn accounts(
    settings: &AdminSettings,
    public_api_url: Option<&OsString>,
    given: &Given,
) -> Result<Option<Accounts>, Faults> {
    let not_empty = |value: &&OsString| !value.is_empty();
    let fault = |words: String| Faults(vec![words]);
    let in_file = match settings.config.as_ref().filter(not_empty) {
        Some(file) => settings::in_file(&crate::command(), Path::new(file), given, PUBLIC_API_URL)?,
        None => None,
    };
    let database_url = database_at_hand(given)?;
    let (Some(database_url), Some(url)) =
        (database_url, public_api_url.filter(not_empty).cloned().or(in_file))
    else {
        return Ok(None);
    };
    caudal_api::check_database_url(&database_url).map_err(|error| fault(format!("DATABASE_URL: {error}")))?;
    let url = url.to_str().unwrap_or_default().parse::<WebOrigin>();
    let url = url.map_err(|error| fault(format!("{PUBLIC_API_URL}: {error}")))?;
    Ok(Some(Accounts { database_url, public_url: url.as_str().to_owned() }))
}

/// The database of an api that is a process of its own. A `DATABASE_URL` may be in the environment for something else: who says
/// `--data-dir` means the platform there.
fn database_at_hand(given: &Given) -> Result<Option<SecretString>, Faults> {
    if given.by_flag("CAUDAL_DATA_DIR") {
        return Ok(None);
    }
    secret::read("DATABASE_URL").map_err(|error| Faults(vec![error.to_string()]))
}

/// An empty variable is as good as none; a `PathBuf` among the settings would refuse it.
fn data_folder(settings: &AdminSettings, given: &Given) -> Result<PathBuf, Faults> {
    let not_empty = |path: &Option<OsString>| path.clone().filter(|path| !path.is_empty()).map(PathBuf::from);
    let in_file = match not_empty(&settings.config) {
        Some(file) => settings::in_file(&crate::command(), &file, given, "CAUDAL_DATA_DIR")?,
        None => None,
    };
    not_empty(&settings.data_dir).or(in_file.map(PathBuf::from)).or_else(default_data_folder).ok_or_else(
        || {
            Faults(vec![
                "there is no HOME to look for data in; give --data-dir or set CAUDAL_DATA_DIR".to_owned(),
            ])
        },
    )
}

const PUBLIC_API_URL: &str = "CAUDAL_PUBLIC_API_URL";
const NO_NAME: &str = "expected a username or an email address";

#[cfg(test)]
mod tests {
    use caudal_livestream::Epoch;
    use caudal_livestream::record::Phase;
    use clap::FromArgMatches as _;

    use super::*;
    use crate::{Cli, CliCommand, ToolCommand};

    fn folder(flags: &[&str]) -> Result<PathBuf, Faults> {
        let arguments = ["caudal", "admin", "streams"].into_iter().chain(flags.iter().copied());
        let matches = crate::command().try_get_matches_from(arguments).unwrap();
        let given = Given::by_clap(&crate::command(), &matches);
        let CliCommand::Tool(ToolCommand::Admin(settings)) = Cli::from_arg_matches(&matches).unwrap().command
        else {
            unreachable!()
        };
        data_folder(&settings, &given)
    }

    #[test]
    fn the_data_folder_is_the_one_given_else_the_one_in_the_file_and_an_empty_value_is_none() {
        let here = tempfile::tempdir().unwrap();
        let file = here.path().join("caudal.conf");
        // A controller's own setting may be in it, too.
        std::fs::write(&file, "CAUDAL_INTERNAL_BIND = 10.0.0.7\nCAUDAL_DATA_DIR = /srv/in-the-file\n")
            .unwrap();
        let file = file.to_str().unwrap();
        for (flags, expected) in [
            (["--data-dir=/srv/given", &format!("--config={file}")], "/srv/given"),
            (["--data-dir=", &format!("--config={file}")], "/srv/in-the-file"),
        ] {
            assert_eq!(folder(&flags), Ok(PathBuf::from(expected)), "{flags:?}");
        }
        assert_eq!(folder(&["--data-dir=", "--config="]).ok(), default_data_folder());
    }

    #[test]
    fn a_settings_file_is_checked_as_the_platform_checks_it() {
        let here = tempfile::tempdir().unwrap();
        let file = here.path().join("caudal.conf");
        std::fs::write(&file, "CAUDAL_DATA_DIR = /srv/caudal\nCAUDAL_DATA_DIRR = /srv\nhunter2\n").unwrap();
        let flag = format!("--config={}", file.display());
        let faults = folder(&[&flag]).unwrap_err().0;
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("line 2: there is no setting CAUDAL_DATA_DIRR"), "{faults:?}");
        assert!(faults[1].contains("line 3: expected NAME = value"), "{faults:?}");
        // Also where the folder is given: the platform would not have started with that file.
        assert!(folder(&["--data-dir=/srv/given", &flag]).is_err());
        let missing = folder(&["--data-dir=", "--config=/nowhere"]).unwrap_err().to_string();
        assert!(missing.starts_with("--config is \"/nowhere\": it cannot be read"), "{missing}");
    }

    #[test]
    fn a_channels_broadcast_is_the_one_that_is_not_over() {
        let listed = |channel: &str, phase| ListedStream {
            stream: StreamId::generate(),
            channel: channel.to_owned(),
            phase,
            epoch: Epoch(1),
            next: None,
            worker: None,
            pid: None,
        };
        let streams = [
            listed("ana", Phase::Ended),
            listed("ana", Phase::Ending),
            listed("ben", Phase::Live),
            listed("Ana", Phase::Reconnecting),
        ];
        assert_eq!(on_the_air(&streams, "ana"), Ok(streams[3].stream));
        let said = on_the_air(&streams, "nobody").unwrap_err();
        assert!(said.starts_with("no broadcast of the channel \"nobody\" is on the air; "), "{said}");
        let said = on_the_air(&streams, "live_secret").unwrap_err();
        assert!(said.contains("is on the air") && !said.contains("live_secret"), "{said}");
    }
}
