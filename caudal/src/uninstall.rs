//! `caudal uninstall`: what the chart runs before Helm removes a release.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use caudal_kubernetes::calls;
use clap::Args;

/// Which installation is removed.
#[derive(Args, Clone, Debug)]
pub struct UninstallSettings {
    /// Seconds that broadcasts have to end.
    #[arg(long, default_value = "60", value_parser = clap::value_parser!(u32).range(..=3_600), value_name = "SECONDS")]
    wait: u32,
    /// The namespace of the LiveStreams; without it, the pod's own.
    #[arg(long, env = "CAUDAL_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
}

/// Ends all broadcasts, and tells what it does.
///
/// # Errors
/// When the API server does not do what it is asked. Run again, it goes on.
pub async fn run(settings: &UninstallSettings) -> anyhow::Result<ExitCode> {
    let client = calls::client().await?;
    let namespace = settings.namespace.as_deref().unwrap_or(client.default_namespace());
    let wait = Duration::from_secs(settings.wait.into());
    let tell = |line: String| {
        // Nobody may be listening; what is to be done is done all the same.
        let _ = writeln!(std::io::stdout(), "{line}");
    };
    let outcome = caudal_operator::uninstall(&client, namespace, wait, tell).await;
    outcome.with_context(|| format!("the broadcasts of the namespace {namespace} cannot be ended"))?;
    Ok(ExitCode::SUCCESS)
}
