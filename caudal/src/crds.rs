//! `caudal crds`: what the chart runs before an upgrade, because Helm never upgrades definitions.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use caudal_kubernetes::{calls, definitions};
use clap::Args;
use kube::ResourceExt as _;

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
        let context = || format!("the definition {name}");
        // Definitions are the cluster's: where another release has them later, its fields must not be cut off.
        let found = if settings.update {
            definitions::found(&client, &definition).await.with_context(context)?
        } else {
            Some(definition.clone())
        };
        let outcome = match found.as_ref().map(definitions::later_release) {
            None => "not there, so there is nothing to update".to_owned(),
            Some(Some(later)) => format!("of release {later}, which is a later one: left as it is"),
            Some(None) => {
                definitions::apply(&client, &definition).await.with_context(context)?;
                "applied".to_owned()
            }
        };
        // Nobody may be listening; what is to be done is done all the same.
        let _ = writeln!(std::io::stdout(), "{name}: {outcome}");
    }
    Ok(ExitCode::SUCCESS)
}
