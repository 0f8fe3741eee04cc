//! `caudal transcoder-worker`: what a controller tells a worker at its start, by environment only.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use caudal_livestream::WorkerId;
use caudal_service::logs::{self, LogConfig, Logs};
use caudal_service::shutdown;
use caudal_storage::AssignedCredentials;
use caudal_transcoder_worker::{Parent, parent_gone};
use clap::Args;
use ed25519_dalek::VerifyingKey;
use nix::sys::prctl;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::net::unix::pipe;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::roles::traced;
use crate::settings::{
    Faults, Fitting, Given, LogSettings, Span, TraceSettings, address, no_folder, port, span,
};
use crate::storage::StorageSettings;

/// What can be set of a worker.
#[derive(Args, Clone, Debug)]
pub struct WorkerSettings {
    /// Its id, a UUID.
    #[arg(long, env = "CAUDAL_WORKER_ID", value_name = "UUID")]
    worker_id: WorkerId,
    /// The controller's public key (Ed25519, base64), or several of them, each in a line or behind a comma; assignments that
    /// none of them has signed are refused.
    #[arg(long, env = "CAUDAL_CONTROLLER_KEY", value_parser = controller_keys, value_name = "KEYS")]
    controller_key: ControllerKeys,
    /// The address to listen on.
    #[arg(
        long,
        env = "CAUDAL_WORKER_BIND",
        default_value = "127.0.0.1",
        value_parser = address,
        value_name = "ADDRESS"
    )]
    bind: IpAddr,
    /// The port for the router's relay; 0 for one that is free.
    #[arg(long, env = "CAUDAL_WORKER_RTMP_PORT", default_value = "0", value_parser = port, value_name = "PORT")]
    rtmp_port: u16,
    /// The port for controller, edges and scrapers; 0 for one that is free.
    #[arg(long, env = "CAUDAL_WORKER_HTTP_PORT", default_value = "0", value_parser = port, value_name = "PORT")]
    http_port: u16,
    /// The address that the other roles reach this worker at, as in a pod; without it, the one to listen on.
    #[arg(long, env = "CAUDAL_ADVERTISED_ADDRESS", value_parser = address, value_name = "ADDRESS")]
    advertised_address: Option<IpAddr>,
    /// `stdin` when the end of standard input means that the parent is gone.
    #[arg(long, env = "CAUDAL_PARENT_PIPE", value_name = "PIPE")]
    parent_pipe: Option<ParentPipe>,
    #[command(flatten)]
    storage: StorageSettings,
    /// Where the credentials for the bucket come from: `own` ones, or `assigned` with the stream.
    #[arg(long, env = "CAUDAL_STORAGE_CREDENTIALS", value_enum, default_value_t = CredentialsFrom::Own, value_name = "FROM")]
    storage_credentials: CredentialsFrom,
    /// The ffmpeg to encode with.
    #[arg(long, env = "CAUDAL_FFMPEG", default_value = "ffmpeg", value_name = "PROGRAM")]
    ffmpeg: PathBuf,
    /// `auto` leaves out qualities that this machine has no cores for.
    #[arg(long, env = "CAUDAL_LADDER", value_enum, default_value_t = Fitting::Auto, value_name = "FITTING")]
    ladder: Fitting,
    /// How long a stream's poster stays before the next one is made.
    #[arg(long, env = "CAUDAL_POSTER_INTERVAL", default_value = "1m", value_parser = span("1d"), value_name = "TIME")]
    poster_interval: Span,
    /// After a SIGTERM, how long it serves on for its stream to be moved to another worker, at most `1h`.
    #[arg(long, env = "CAUDAL_WORKER_GRACE", default_value = "25s", value_parser = span("1h"), value_name = "TIME")]
    grace: Span,
    #[command(flatten)]
    logs: LogSettings,
    #[command(flatten)]
    traces: TraceSettings,
}

/// `CAUDAL_STORAGE_CREDENTIALS`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum CredentialsFrom {
    /// The worker's environment.
    Own,
    /// The controller, with the assignment.
    Assigned,
}

/// `CAUDAL_PARENT_PIPE`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ParentPipe {
    /// Standard input.
    Stdin,
}

/// Starts a worker's logs, on standard error: standard output is for its parent.
///
/// # Errors
/// When logging was started already.
pub fn start_logs(settings: &WorkerSettings) -> anyhow::Result<Logs> {
    let LogSettings { level, format } = settings.logs.clone();
    logs::init(&LogConfig { format: format.into(), filter: level, directory: None, role: None })
}

/// Looks at the folder for segments. Whoever starts a worker by hand, or a pod, gives it the folder that others read; a
/// platform's own workers make theirs anew when somebody has removed it.
///
/// # Errors
/// When it is not there.
pub fn check(settings: &WorkerSettings, given: &Given) -> Result<(), Faults> {
    let folder = settings.storage.hls_path.as_deref().filter(|_| settings.storage.s3_bucket.is_none());
    let fault = folder.filter(|_| settings.parent_pipe.is_none()).and_then(|folder| {
        Some(format!("{} is {:?}: {}", given.name("HLS_PATH"), folder.display(), no_folder(folder)?))
    });
    fault.map_or(Ok(()), |fault| Err(Faults(vec![fault])))
}

/// Runs one worker until its broadcast is over, a signal comes, or its parent is gone.
///
/// # Errors
/// When it cannot begin.
pub async fn run(settings: WorkerSettings, given: Given) -> anyhow::Result<()> {
    // For `top`: the kernel has named the process after the path that it was started by, which a platform of one machine gives
    // as /proc/self/exe.
    prctl::set_name(c"caudal-worker").context("the process's name")?;
    let shutdown::Stop { leave, end: shutdown } =
        shutdown::on_signal_with_grace(settings.grace.0, |_| {}).context("signals")?;
    let told_to_leave = leave.clone();
    let registry = Registry::new();
    let worker = settings.worker_id.to_string();
    let (traces, export) = traced::of_process(&settings.traces, "transcoder-worker", worker, &registry)?;
    let over = CancellationToken::new();
    let mut exporting = JoinSet::new();
    if let Some(export) = export {
        exporting.spawn(export.run(over.clone().cancelled_owned()));
    }
    let credentials = match settings.storage_credentials {
        CredentialsFrom::Own => None,
        CredentialsFrom::Assigned => Some(AssignedCredentials::none()),
    };
    let storage = match &credentials {
        Some(assigned) => settings.storage.open_with(assigned.clone())?,
        None => settings.storage.open(&given)?,
    };
    let config = caudal_transcoder_worker::Config {
        worker: settings.worker_id,
        controller: settings.controller_key.0,
        storage,
        credentials,
        rtmp: bound(settings.bind, settings.rtmp_port, "CAUDAL_WORKER_RTMP_PORT", &given).await?,
        http: bound(settings.bind, settings.http_port, "CAUDAL_WORKER_HTTP_PORT", &given).await?,
        advertised: settings.advertised_address,
        registry,
        traces,
        ffmpeg: settings.ffmpeg,
        ladder: settings.ladder.into(),
        poster_interval: settings.poster_interval.0,
        leave,
    };
    let ready = config.ready()?;
    tracing::debug!(rtmp = %ready.rtmp, http = %ready.http, "the worker waits for an assignment");
    let ready = serde_json::to_string(&ready)?;
    writeln!(std::io::stdout(), "{ready}").context("standard output")?;
    let worker = Box::pin(caudal_transcoder_worker::run(config, shutdown.clone()));
    let worker = async move {
        let ended = worker.await;
        over.cancel();
        while exporting.join_next().await.is_some() {}
        ended
    };
    let Some(ParentPipe::Stdin) = settings.parent_pipe else {
        return Box::pin(saying_so(worker, &told_to_leave)).await;
    };
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().context("standard input")?;
    let pipe =
        pipe::Receiver::from_owned_fd(stdin).context("CAUDAL_PARENT_PIPE: standard input is no pipe")?;
    let (ended, ()) = tokio::join!(
        async {
            let ended = worker.await;
            shutdown.cancel();
            ended
        },
        async {
            match parent_gone(pipe, told_to_leave, shutdown.clone()).await {
                Some(Parent::EndedThisWorker) => tracing::debug!("the controller has ended this worker"),
                Some(Parent::Gone) => tracing::warn!("the parent process is gone"),
                None => {}
            }
        },
    );
    Ok(ended?)
}

/// Runs a worker that nobody supervises, and tells whoever stops it by a signal that this was heard and done.
async fn saying_so<E: Into<anyhow::Error>>(
    worker: impl Future<Output = Result<(), E>>,
    signalled: &CancellationToken,
) -> anyhow::Result<()> {
    tokio::pin!(worker);
    tokio::select! {
        ended = &mut worker => return ended.map_err(Into::into),
        () = signalled.cancelled() => tracing::info!("told to stop"),
    }
    worker.await.map_err(Into::into)?;
    tracing::info!("stopped");
    Ok(())
}

async fn bound(
    address: IpAddr,
    port: u16,
    setting: &'static str,
    given: &Given,
) -> anyhow::Result<TcpListener> {
    // A free port is only refused where the address is none of this machine's.
    let setting = if port == 0 { "CAUDAL_WORKER_BIND" } else { setting };
    let bound = TcpListener::bind((address, port)).await;
    bound.with_context(|| format!("{}: {address}, port {port}", given.name(setting)))
}

/// One or more.
#[derive(Clone, Debug)]
pub struct ControllerKeys(pub Vec<VerifyingKey>);

/// As a setting has them.
///
/// # Errors
/// What is expected.
pub fn controller_keys(text: &str) -> Result<ControllerKeys, String> {
    let each = text.split([',', ' ', '\n', '\r']).map(str::trim).filter(|key| !key.is_empty());
    let keys: Vec<_> = each.map(controller_key).collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err("expected an Ed25519 public key in base64".to_owned());
    }
    Ok(ControllerKeys(keys))
}

fn controller_key(text: &str) -> Result<VerifyingKey, String> {
    let expected = || "expected an Ed25519 public key in base64".to_owned();
    let bytes = BASE64.decode(text).map_err(|_| expected())?;
    VerifyingKey::from_bytes(bytes.as_slice().try_into().map_err(|_| expected())?).map_err(|_| expected())
}
