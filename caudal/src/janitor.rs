//! `caudal janitor`: what the chart's CronJob runs.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use caudal_kubernetes::calls;
use caudal_livestream::InstallationId;
use caudal_operator::{Janitor, Mode};
use caudal_service::shutdown;
use clap::Args;

use crate::settings::{Faults, Given};
use crate::storage::StorageSettings;
use crate::uninstall::namespace;
use crate::worker::{ControllerKeys, controller_keys};

/// What is looked through.
#[derive(Args, Clone, Debug)]
pub struct JanitorSettings {
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// The namespace of the LiveStreams. In a pod, the pod's own without it; elsewhere it must be named.
    #[arg(long, env = "CAUDAL_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    /// The operator's public key (Ed25519, base64), or several of them, as in the workers' Secret: what none of them has assigned is not
    /// this installation's, and stays.
    #[arg(long, env = "CAUDAL_CONTROLLER_KEY", value_parser = controller_keys, value_name = "KEYS")]
    controller_key: ControllerKeys,
    #[command(flatten)]
    storage: StorageSettings,
}

/// Looks through storage once, and tells what it removes.
///
/// # Errors
/// [`Faults`] when the namespace or the storage is not named; else when it cannot be told what is to go.
pub async fn run(settings: &JanitorSettings, given: &Given) -> anyhow::Result<ExitCode> {
    let mut faults = Vec::new();
    let namespace = namespace(settings.namespace.as_deref());
    if namespace.is_none() {
        faults.push(UNNAMED.to_owned());
    }
    if settings.storage.hls_path.is_none() && settings.storage.s3_bucket.is_none() {
        faults.push("HLS_PATH is not set: expected a folder for segments, or AWS_S3_BUCKET".to_owned());
    }
    // A folder that is not there is one that was not mounted, and not to be made.
    if let (Some(folder), None) = (&settings.storage.hls_path, &settings.storage.s3_bucket)
        && !folder.is_dir()
    {
        faults.push(format!("HLS_PATH: {} is not a folder that is there", folder.display()));
    }
    let Some(namespace) = namespace.filter(|_| faults.is_empty()) else { return Err(Faults(faults).into()) };
    let mode = if settings.dry_run { Mode::DryRun } else { Mode::Remove };
    let janitor = Janitor {
        client: calls::client().await?,
        namespace: namespace.clone(),
        store: settings.storage.open(given)?,
        installations: settings.controller_key.0.iter().map(InstallationId::of).collect(),
        mode,
    };
    let stop = shutdown::on_signal().context("signals")?;
    let tell = |line: String| {
        // Nobody may be listening; what is to be done is done all the same.
        let _ = writeln!(std::io::stdout(), "{line}");
    };
    tell(format!("namespace: {namespace}"));
    let swept = janitor.sweep(&stop, tell).await?;
    Ok(if swept.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const UNNAMED: &str = "--namespace (or CAUDAL_NAMESPACE) is needed outside of a pod: the namespace whose LiveStreams say which broadcasts \
                       go on";
