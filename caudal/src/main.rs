//! The one executable: reads settings, starts roles, prints what a person needs to know.

mod admin;
mod crds;
mod doctor;
mod error_words;
mod janitor;
mod keys;
mod roles;
mod secrets;
mod settings;
mod standalone;
mod storage;
mod uninstall;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use caudal_service::logs::{self, LogConfig, Logs};
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use error_words::words;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use settings::{Faults, Given, Refused, Role, Settings};
use tokio::runtime::{Builder, Runtime};

/// Self-hosted live streaming: OBS pushes RTMP, viewers watch low-latency HLS or DASH.
///
/// Settings come by flag, environment variable or file (`--config`), in this order. Secrets come only by variable:
/// DATABASE_URL, REDIS_URL, SMTP_URL, JWT_SECRET, CAUDAL_SECRET, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
/// AWS_SESSION_TOKEN, STRIPE_SECRET_KEY, or the same with _FILE behind the name, naming a file that holds it. An empty variable is as good as
/// none.
///
/// Log lines go to standard error and, with LOG_DIR, to a file a day too; their times and the files' dates are UTC.
///
/// Exit status: 0 after Ctrl-C or SIGTERM, 64 when settings cannot be used (another try changes nothing), 1 for everything
/// else.
#[derive(Parser)]
#[command(name = "caudal", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

/// Each command is of one of three kinds, and of which one is said here alone.
#[derive(Subcommand)]
enum CliCommand {
    #[command(flatten)]
    Role(RoleCommand),
    /// One broadcast's packager and encoder; started by a controller, not by hand
    TranscoderWorker(Box<worker::WorkerSettings>),
    #[command(flatten)]
    Tool(ToolCommand),
}

/// What has the platform's settings.
#[derive(Subcommand)]
enum RoleCommand {
    /// The whole platform in one process, for one machine
    ///
    /// Keeps its own PostgreSQL unless DATABASE_URL is set, and starts a transcoder worker for each stream. Log lines go to
    /// standard error, addresses and stream events to standard output. All times are UTC.
    Standalone(Box<Settings>),
    /// The streams' lifecycle and their workers, as a process of its own
    ///
    /// Keeps the directory of all streams, which api, router and edge read from it. Takes up the streams of before at its start;
    /// at its end they wait for the next one.
    Controller(Box<Settings>),
    /// The streams' lifecycle in a Kubernetes cluster, with pods for workers
    ///
    /// Several may run; one of them leads. Drives the LiveStreams and WorkerPools of one namespace.
    Operator(Box<Settings>),
    /// Web pages and REST, as a process of its own
    ///
    /// The only role that uses the database, and the only one on it.
    Api(Box<Settings>),
    /// The streamers' door, as a process of its own
    IngestRouter(Box<Settings>),
    /// The viewers' door, as a process of its own
    HlsEdge(Box<Settings>),
}

impl RoleCommand {
    fn settings(self) -> (Role, Box<Settings>) {
        match self {
            Self::Standalone(settings) => (Role::Standalone, settings),
            Self::Controller(settings) => (Role::Controller, settings),
            Self::Operator(settings) => (Role::Operator, settings),
            Self::Api(settings) => (Role::Api, settings),
            Self::IngestRouter(settings) => (Role::IngestRouter, settings),
            Self::HlsEdge(settings) => (Role::HlsEdge, settings),
        }
    }
}

/// What a person, or a Job, does with a platform. These are no roles, and have none of the platform's settings.
#[derive(Subcommand)]
enum ToolCommand {
    /// Ask the platform that runs on this machine to do something
    Admin(admin::AdminSettings),
    /// Make the keys of an installation, for roles that each have their own
    ///
    /// Writes a folder for each role into FOLDER, where each key is a file, or with --secrets a Secret for each role into a
    /// Kubernetes namespace. Keys are derived from CAUDAL_SECRET if that is set, as
    /// roles that have it do themselves, else made of random numbers. Keys that are there stay; those that are missing are
    /// made, so that it can be run again.
    Keys(keys::KeysSettings),
    /// Tell a Kubernetes cluster how LiveStreams and WorkerPools look in this release
    ///
    /// Applies their definitions, also over those of another release, and says of each that it is served. The cluster is the one of your
    /// kubeconfig, or the pod's own. Can be run again.
    Crds(crds::CrdsSettings),
    /// Say why a broadcast on Kubernetes is not live
    ///
    /// The first line is the verdict; below it is who says so, and what to do next. Without CHANNEL, the installation as a whole is looked
    /// at. The cluster is the one of your kubeconfig. Nothing is written, no Secret is read, and what you have no right to look at is said.
    ///
    /// Exit status: 0 when it is live (or, of an installation, can be), 1 when something is wrong, 2 when nobody can tell.
    Doctor(doctor::DoctorSettings),
    /// Remove from storage what broadcasts of a Kubernetes namespace have left that were not recorded
    ///
    /// Looks once at each stream in storage, and says of each that goes why. One goes when its LiveStream has ended and its time is over
    /// (`ttlSecondsAfterEnded`), or when there is no LiveStream of it, its states say that this installation made it and that it is no
    /// recording, and nothing was written to it for a day. Recordings and what is not Caudal's are never touched.
    ///
    /// Exit status: 0 when all that was to go is gone, 1 when something could not be looked at or removed; the next run goes on.
    Janitor(janitor::JanitorSettings),
    /// End all broadcasts of a Kubernetes namespace, before the platform is removed from it
    ///
    /// Lets nobody in any more (`maxWorkers: 0`), ends what is live, and waits until the operator is done with it. What is left then is
    /// let go of: its worker is deleted, and its finalizer is taken off, which would hold up the namespace. Where that fails, or a signal
    /// comes first, the pools are as before again. Can be run again.
    Uninstall(uninstall::UninstallSettings),
}

/// The command line with everything that `--help` shows.
fn command() -> Command {
    let command = settings::for_each_role(Cli::command());
    // As a plug-in, kubectl knows it by two words.
    if is_plugin() { command.bin_name("kubectl caudal") } else { command }
}

/// Whether kubectl has started it, under the name that kubectl looks for.
fn is_plugin() -> bool {
    let called = std::env::args_os().next().map(PathBuf::from);
    called.is_some_and(|path| path.file_stem().is_some_and(|name| name == "kubectl-caudal"))
}

fn main() -> ExitCode {
    caudal_service::install_crypto();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let named = arguments.get(1).and_then(|name| name.to_str());
    if named.is_some_and(ToolCommand::has_subcommand) {
        return use_tool(&arguments);
    }
    let read = settings::read(&command(), &arguments, |name| std::env::var_os(name));
    let (matches, given) = match read {
        Ok(read) => read,
        Err(Refused::CommandLine(error)) => {
            // Help and version are wishes, not faults. A closed terminal is nothing to complain to.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_SETTINGS) } else { ExitCode::SUCCESS };
        }
        Err(Refused::Values { faults: Faults(mut faults), rest }) => {
            faults.extend(rest.into_iter().flat_map(|rest| faults_beside(*rest)));
            return refuse(&Faults(faults));
        }
    };
    let started = Cli::from_arg_matches(&matches).context("settings").and_then(|cli| start(cli, given));
    started.unwrap_or_else(failed)
}

/// What is wrong besides values that cannot be used, so that one start says all of it.
fn faults_beside((matches, given): (ArgMatches, Given)) -> Vec<String> {
    let Ok(Cli { command: CliCommand::Role(role) }) = Cli::from_arg_matches(&matches) else {
        return Vec::new();
    };
    let (role, mut settings) = role.settings();
    settings.given = given;
    settings::check(&settings, role).err().map(|faults| faults.0).unwrap_or_default()
}

fn failed(error: anyhow::Error) -> ExitCode {
    match error.downcast::<Faults>() {
        Ok(faults) => refuse(&faults),
        Err(error) => {
            eprintln!("caudal: {}", words(&error));
            ExitCode::FAILURE
        }
    }
}

fn use_tool(arguments: &[OsString]) -> ExitCode {
    let command = command();
    let read = command
        .clone()
        .try_get_matches_from(arguments)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, Given::by_clap(&command, &matches))));
    match read {
        Ok((cli, given)) => start(cli, given).unwrap_or_else(failed),
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(EXIT_SETTINGS) } else { ExitCode::SUCCESS }
        }
    }
}

fn refuse(faults: &Faults) -> ExitCode {
    eprintln!("caudal: {faults}");
    // A setting that is missing may be there under a name with a slip in it. By itself such a name stops no start.
    let role = std::env::args_os().nth(1).and_then(|role| Role::named(role.to_str()?));
    for unknown in settings::unknown_variables(&Cli::command(), role.unwrap_or(Role::Standalone)) {
        eprintln!("caudal: warning: {unknown}");
    }
    ExitCode::from(EXIT_SETTINGS)
}

/// Runs a role to its end. An error is one from before there were logs.
fn start(cli: Cli, given: Given) -> anyhow::Result<ExitCode> {
    let mut runtime = match &cli.command {
        CliCommand::Role(_) => Builder::new_multi_thread(),
        // One stream fits into one thread; a second one would be woken for each of its frames.
        CliCommand::TranscoderWorker(_) | CliCommand::Tool(_) => Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().context("the runtime cannot start")?;
    let ended = run(&runtime, cli, given);
    // What is read or written on a volume that hangs ends never, and has been given up by whoever asked for it.
    runtime.shutdown_timeout(LEFT_BEHIND);
    ended
}

fn run(runtime: &Runtime, cli: Cli, given: Given) -> anyhow::Result<ExitCode> {
    let (role, mut settings) = match cli.command {
        CliCommand::Role(role) => role.settings(),
        CliCommand::TranscoderWorker(settings) => {
            worker::check(&settings, &given)?;
            let logs = worker::start_logs(&settings)?;
            // As a task: what `block_on` itself runs, a runtime of one thread wakes through the kernel, even from its own
            // timers.
            let ended = runtime.block_on(async { tokio::spawn(worker::run(*settings, given)).await });
            return Ok(status(&logs, ended.context("the worker").and_then(|ended| ended)));
        }
        CliCommand::Tool(tool) => {
            return runtime.block_on(async {
                match tool {
                    ToolCommand::Admin(settings) => Ok(admin::run(&settings, &given).await?),
                    ToolCommand::Keys(settings) => keys::run(&settings).await,
                    ToolCommand::Crds(settings) => crds::run(&settings).await,
                    ToolCommand::Doctor(settings) => doctor::run(&settings).await,
                    ToolCommand::Janitor(settings) => janitor::run(&settings, &given).await,
                    ToolCommand::Uninstall(settings) => uninstall::run(&settings).await,
                }
            });
        }
    };
    settings.given = given;
    settings::check(&settings, role)?;
    let logs = start_logs(&settings, role)?;
    warn_of_unknown_variables(&Cli::command(), role);
    settings::warn_of_what_is_missing(&settings, role);
    raise_file_limit();
    let ended = if role == Role::Standalone {
        runtime.block_on(standalone::run(*settings, logs.lines()))
    } else {
        runtime.block_on(roles::separate::run(role, *settings, logs.lines()))
    };
    Ok(status(&logs, ended))
}

/// How a role ended, as the process's status and, where it failed, in the log's last words.
fn status(logs: &Logs, ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logs.last_words(&words(&error));
            ExitCode::FAILURE
        }
    }
}

fn start_logs(settings: &Settings, role: Role) -> anyhow::Result<Logs> {
    logs::init(&LogConfig {
        format: settings.logs.format.into(),
        filter: settings.logs.level.clone(),
        directory: settings.log_dir.clone(),
        role: (role != Role::Standalone).then(|| role.name()),
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

fn warn_of_unknown_variables(command: &Command, role: Role) {
    for unknown in settings::unknown_variables(command, role) {
        tracing::warn!("{unknown}");
    }
}

/// For what a disk that works does in a moment.
const LEFT_BEHIND: Duration = Duration::from_secs(1);
/// The kernel's own default bound (`fs.nr_open`).
const MOST_FILES: rlim_t = 1_048_576;
/// As sysexits(3) has it for a command that was used wrongly. A service manager need not start it again
/// (`RestartPreventExitStatus=64`).
const EXIT_SETTINGS: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn each_command_is_a_role_the_worker_or_a_tool_and_only_roles_have_the_platforms_settings() {
        for command in command().get_subcommands() {
            let name = command.get_name();
            let is_role = RoleCommand::has_subcommand(name);
            assert_eq!(Role::named(name).is_some(), is_role, "{name}");
            let kinds = [is_role, name == "transcoder-worker", ToolCommand::has_subcommand(name)];
            assert_eq!(kinds.into_iter().filter(|is| *is).count(), 1, "{name}");
            let has_settings = command.get_arguments().any(|arg| arg.get_id() == "public_hls_url");
            assert_eq!(has_settings, is_role, "{name}");
        }
    }
}
