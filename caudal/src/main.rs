//! The one executable: reads settings, starts roles, prints what a person needs to know.

mod secrets;
mod settings;
mod standalone;
mod storage;
mod worker;

use std::process::ExitCode;

use anyhow::Context as _;
use caudal_service::logs::{self, LogConfig, LogFormat};
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use settings::{LogFormatSetting, Settings};
use tokio::runtime::Builder;

/// Self-hosted live streaming: OBS pushes RTMP, viewers watch low-latency HLS or DASH.
///
/// Settings come by flag, environment variable or file (`--config`), in this order. Secrets come only by variable:
/// DATABASE_URL, REDIS_URL, JWT_SECRET, CAUDAL_SECRET, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, STRIPE_SECRET_KEY, or
/// the same with _FILE behind the name, naming a file that holds it.
#[derive(Parser)]
#[command(name = "caudal", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// The whole platform in one process, for one machine
    ///
    /// Keeps its own PostgreSQL unless DATABASE_URL is set, and starts a transcoder worker for each stream.
    Standalone(Box<Settings>),
    /// One broadcast's packager and encoder; started by a controller, not by hand
    TranscoderWorker(Box<worker::WorkerSettings>),
}

fn main() -> ExitCode {
    caudal_service::install_crypto();
    let matches = match parse() {
        Ok(matches) => matches,
        Err(error) => {
            eprintln!("caudal: {error:#}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match start(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("caudal: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads flags, environment and file. Prints help and complaints about flags itself, and then does not return.
fn parse() -> anyhow::Result<ArgMatches> {
    let command = Cli::command();
    // First without the file, which only a flag or the environment can name. Complaints wait: the file may mend them.
    let named = command.clone().ignore_errors(true).try_get_matches();
    let file = named.ok().and_then(|matches| {
        let (role, settings) = matches.subcommand()?;
        let file = settings.try_get_one::<std::path::PathBuf>("config").ok()??.clone();
        Some((role.to_owned(), file))
    });
    let command = match file {
        Some((role, file)) => settings::with_file(command, &role, &file)?,
        None => command,
    };
    Ok(command.get_matches())
}

fn start(matches: &ArgMatches) -> anyhow::Result<()> {
    let cli = Cli::from_arg_matches(matches).context("settings")?;
    let mut runtime = match &cli.role {
        Role::Standalone(_) => Builder::new_multi_thread(),
        // One stream fits into one thread; a second one would be woken for each of its frames.
        Role::TranscoderWorker(_) => Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().context("the runtime cannot start")?;
    match cli.role {
        Role::Standalone(settings) => {
            start_logs(&settings)?;
            warn_of_unknown_variables(&Cli::command(), "standalone");
            raise_file_limit();
            runtime.block_on(standalone::run(*settings))
        }
        Role::TranscoderWorker(settings) => {
            worker::start_logs(&settings)?;
            runtime.block_on(worker::run(*settings))
        }
    }
}

fn start_logs(settings: &Settings) -> anyhow::Result<()> {
    logs::init(&LogConfig {
        format: match settings.log_format {
            LogFormatSetting::Text => LogFormat::Text,
            LogFormatSetting::Json => LogFormat::Json,
        },
        filter: settings.log_level.clone(),
        directory: settings.log_dir.clone(),
    })
}

/// The soft limit on open files is usually 1024, for the sake of programs that use select(2), and each viewer and each
/// publisher needs one.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard.min(MOST_FILES), hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit on open files cannot be raised");
    }
}

fn warn_of_unknown_variables(command: &Command, role: &str) {
    for name in settings::unknown_variables(command, role) {
        tracing::warn!("there is no setting {name}; `caudal {role} --help` lists them");
    }
}

/// The kernel's own default bound (`fs.nr_open`).
const MOST_FILES: rlim_t = 1_048_576;
/// As sysexits(3) has it for a command that was used wrongly.
const EXIT_USAGE: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_settings_file_lies_below_flags_and_above_defaults() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "PORT = 4000\nCAUDAL_RECONNECT_WINDOW = \"1m\"").unwrap();
        let command = settings::with_file(Cli::command(), "standalone", file.path()).unwrap();
        let matches = command.get_matches_from(["caudal", "standalone", "--port", "5000"]);
        let Role::Standalone(settings) = Cli::from_arg_matches(&matches).unwrap().role else {
            panic!("standalone")
        };
        assert_eq!(settings.port, 5000);
        assert_eq!(settings.reconnect_window.0.as_secs(), 60);
        assert_eq!(settings.hls_port, 8000);
    }

    #[test]
    fn a_settings_file_with_an_unknown_name_or_a_secret_stops_the_start() {
        for (text, complaint) in [
            ("PROT = 1", "no setting PROT"),
            ("JWT_SECRET = \"x\"", "is a secret"),
            ("PORT = [1]", "must be a text, a number"),
            ("PORT", "not a settings file"),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            write!(file, "{text}").unwrap();
            let error = settings::with_file(Cli::command(), "standalone", file.path()).unwrap_err();
            assert!(format!("{error:#}").contains(complaint), "{error:#}");
        }
    }

    #[test]
    fn every_setting_but_secrets_is_in_the_example() {
        let example = include_str!("../../.env.example");
        let command = Cli::command();
        let standalone = command.find_subcommand("standalone").unwrap();
        for name in standalone
            .get_arguments()
            .filter_map(|arg| arg.get_env()?.to_str())
            .chain(secrets::SECRET_NAMES.iter().copied())
        {
            assert!(example.contains(&format!("{name}=")), "{name} is not in .env.example");
        }
    }
}
