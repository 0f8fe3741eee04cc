//! `caudal keys`: makes the keys of an installation whose roles each have their own, and tells what it made.
//!
//! * `folders` – a folder for each role
//! * `cluster` – a Kubernetes Secret for each role

mod cluster;
mod folders;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::secrets::MasterSecret;

/// Where to.
#[derive(Args, Clone, Debug)]
pub struct KeysSettings {
    /// Gets a folder for each role.
    #[arg(value_name = "FOLDER", required_unless_present = "secrets", conflicts_with = "secrets")]
    folder: Option<PathBuf>,
    /// Instead, makes the Kubernetes Secrets `PREFIX-operator`, `PREFIX-ingest-router`, `PREFIX-hls-edge`, `PREFIX-api` and
    /// `PREFIX-transcoder-worker`.
    #[arg(long, value_name = "PREFIX")]
    secrets: Option<String>,
    /// The namespace of the Secrets; without it, the pod's own.
    #[arg(long, env = "CAUDAL_NAMESPACE", value_name = "NAME", requires = "secrets")]
    namespace: Option<String>,
}

/// Makes what is missing.
///
/// # Errors
/// When something cannot be read or written, or keys that are there do not fit together.
pub async fn run(settings: &KeysSettings) -> anyhow::Result<ExitCode> {
    let master = MasterSecret::read()?;
    let made = match (&settings.folder, &settings.secrets) {
        (Some(folder), _) => folders::complete(folder, master.as_ref())?,
        (None, Some(prefix)) => {
            cluster::complete(prefix, settings.namespace.as_deref(), master.as_ref()).await?
        }
        // clap takes neither without the other.
        (None, None) => Vec::new(),
    };
    for name in made {
        println!("{name}");
    }
    Ok(ExitCode::SUCCESS)
}
