//! `caudal uninstall`: what the chart runs before Helm removes a release.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use caudal_kubernetes::calls;
use caudal_service::shutdown;
use clap::Args;

use crate::settings::Faults;

/// Which installation is removed.
#[derive(Args, Clone, Debug)]
pub struct UninstallSettings {
    /// Seconds that broadcasts have to end.
    #[arg(long, default_value = "60", value_parser = clap::value_parser!(u32).range(..=3_600), value_name = "SECONDS")]
    wait: u32,
    /// The namespace of the LiveStreams. In a pod, the pod's own without it; elsewhere it must be named.
    #[arg(long, env = "CAUDAL_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
}

/// Ends all broadcasts, and tells what it does. A signal ends it, once the pools that it has closed are open again.
///
/// # Errors
/// When no namespace is named, or the API server does not do what it is asked. Run again, it goes on.
pub async fn run(settings: &UninstallSettings) -> anyhow::Result<ExitCode> {
    let namespace = namespace(settings.namespace.as_deref());
    let namespace = namespace.ok_or_else(|| Faults(vec![UNNAMED.to_owned()]))?;
    let client = calls::client().await?;
    let stop = shutdown::on_signal().context("signals")?;
    let wait = Duration::from_secs(settings.wait.into());
    let tell = |line: String| {
        // Nobody may be listening; what is to be done is done all the same.
        let _ = writeln!(std::io::stdout(), "{line}");
    };
    tell(format!("namespace: {namespace}"));
    let outcome = caudal_operator::uninstall(&client, &namespace, wait, &stop, tell).await;
    outcome.with_context(|| format!("the uninstall of the namespace {namespace} is not done"))?;
    Ok(ExitCode::SUCCESS)
}

/// The one that is named, else that of the pod that this runs in. Not what a kubeconfig happens to name: what is done there cannot be
/// undone.
pub fn namespace(named: Option<&str>) -> Option<String> {
    let own = || own_namespace(std::env::var_os("KUBECONFIG").as_deref(), Path::new(OWN_NAMESPACE));
    named.filter(|name| !name.is_empty()).map(str::to_owned).or_else(own)
}

/// The namespace of the pod that this runs in; none elsewhere, or where a kubeconfig names a cluster that may be another one.
fn own_namespace(kubeconfig: Option<&OsStr>, file: &Path) -> Option<String> {
    if kubeconfig.is_some_and(|path| !path.is_empty()) {
        return None;
    }
    let name = std::fs::read_to_string(file).ok()?.trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// Where a pod finds the namespace of its service account.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
const UNNAMED: &str = "--namespace (or CAUDAL_NAMESPACE) is needed outside of a pod: the namespace in which all broadcasts are to be ended";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pod_without_a_kubeconfig_has_a_namespace_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("namespace");
        assert_eq!(own_namespace(None, &file), None, "no pod");
        std::fs::write(&file, "caudal\n").unwrap();
        assert_eq!(own_namespace(None, &file).as_deref(), Some("caudal"));
        assert_eq!(own_namespace(Some(OsStr::new("/home/ann/.kube/config")), &file), None);
    }
}
