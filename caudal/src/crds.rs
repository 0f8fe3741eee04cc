//! `caudal crds`: what the chart runs before an upgrade, because Helm never upgrades definitions.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use caudal_kubernetes::calls::{self, Failure};
use caudal_kubernetes::definitions;
use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Client, ResourceExt as _};

/// Which definitions are applied.
#[derive(Args, Clone, Debug)]
pub struct CrdsSettings {
    /// Only those that the cluster has already, of this release or an earlier one.
    #[arg(long)]
    update: bool,
}

/// Applies this release's definitions, and tells of each what became of it.
///
/// # Errors
/// When the API server does not take one. Run again, it goes on.
pub async fn run(settings: &CrdsSettings) -> anyhow::Result<ExitCode> {
    let client = calls::client().await?;
    for definition in definitions::all() {
        let name = definition.name_any();
        let outcome = bring(&client, &definition, settings.update).await;
        let outcome = outcome.with_context(|| format!("the definition {name}"))?;
        // Nobody may be listening; what is to be done is done all the same.
        let _ = writeln!(std::io::stdout(), "{name}: {outcome}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what became of it.
async fn bring(
    client: &Client,
    definition: &CustomResourceDefinition,
    update: bool,
) -> Result<String, Failure> {
    if update {
        let Some(found) = definitions::found(client, definition).await? else {
            return Ok("not there, so there is nothing to update".to_owned());
        };
        // Definitions are the cluster's: where another release has them later, its fields must not be cut off.
        if let Some(later) = definitions::later_release(&found) {
            return Ok(format!("of release {later}, which is a later one: left as it is"));
        }
    }
    definitions::apply(client, definition).await?;
    Ok("applied".to_owned())
}
