//! `caudal keys`: makes the keys of an installation whose roles each have their own, and tells what it made.
//!
//! * `folders` – a folder for each role
//! * `cluster` – a Kubernetes Secret for each role
//! * `database` – the Secret of a database that the chart brings

mod cluster;
mod database;
mod folders;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use caudal_kubernetes::calls;
use clap::Args;
use kube::Api;

use crate::secrets::MasterSecret;
use crate::settings::{Faults, shown};

/// Where the keys go.
#[derive(Args, Clone, Debug)]
pub struct KeysSettings {
    /// Gets a folder for each role.
    #[arg(value_name = "FOLDER", required_unless_present = "secrets", conflicts_with = "secrets")]
    folder: Option<PathBuf>,
    /// Instead, makes the Kubernetes Secrets `PREFIX-operator`, `PREFIX-ingest-router`, `PREFIX-hls-edge`, `PREFIX-api` and
    /// `PREFIX-transcoder-worker`.
    #[arg(long, value_name = "PREFIX")]
    secrets: Option<String>,
    /// The namespace of the Secrets; without it, the pod's own, and elsewhere the one of the kubeconfig.
    #[arg(long, env = "CAUDAL_NAMESPACE", value_name = "NAME", requires = "secrets")]
    namespace: Option<String>,
    /// Also makes the Secret `PREFIX-database`, with a password for a PostgreSQL at HOST, and as `url` how the api reaches that.
    /// The password of an older release's Secret `PREFIX-postgresql` is taken over.
    #[arg(long, value_name = "HOST", requires = "secrets")]
    database: Option<String>,
}

/// Makes what is missing, and tells what it made, also when it could not make all.
///
/// # Errors
/// When something cannot be read or written, or keys that are there do not fit together.
pub async fn run(settings: &KeysSettings) -> anyhow::Result<ExitCode> {
    let master = MasterSecret::read()?;
    if let Some(folder) = settings.folder.as_deref().filter(|folder| folder.is_file()) {
        let folder = shown(folder.as_os_str());
        return Err(Faults(vec![format!(
            "{folder} is a file: expected a folder, which is made if it is not there"
        )])
        .into());
    }
    let mut made = Vec::new();
    let completed = match (&settings.folder, &settings.secrets) {
        (Some(folder), _) => folders::complete(folder, master.as_ref(), &mut made),
        (None, Some(prefix)) => in_cluster(prefix, settings, master.as_ref(), &mut made).await,
        // clap takes neither without the other.
        (None, None) => Ok(()),
    };
    let mut output = std::io::stdout().lock();
    let told = made.iter().try_for_each(|name| writeln!(output, "{name}"));
    completed.map_err(|error| if made.is_empty() { error } else { error.context(IN_PART) })?;
    told.context("the keys are made; standard output")?;
    // Beside the list of what was made, which a program may read.
    if made.is_empty() {
        eprintln!("caudal: nothing was missing: all keys that are there stay as they are");
    }
    if let Some(folder) = &settings.folder {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
        eprintln!("caudal: each role is given its own folder: CAUDAL_KEYS={}/ROLE", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}

async fn in_cluster(
    prefix: &str,
    settings: &KeysSettings,
    master: Option<&MasterSecret>,
    made: &mut Vec<String>,
) -> anyhow::Result<()> {
    let client = calls::client().await?;
    let namespace = settings.namespace.as_deref().unwrap_or(client.default_namespace());
    let secrets = Api::namespaced(client.clone(), namespace);
    cluster::complete(&secrets, prefix, master, made).await?;
    let Some(host) = &settings.database else { return Ok(()) };
    made.extend(database::complete(&secrets, prefix, host).await?);
    Ok(())
}

/// Before the reason why the others could not be made.
const IN_PART: &str =
    "only the keys that are listed on standard output were made; run this again to make the rest";
