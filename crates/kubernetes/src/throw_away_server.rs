//! A real API server for tests, and a namespace for each of them: one whose `KUBECONFIG` is `/tmp/caudal-kube.*/…`, that was started
//! for the tests and is thrown away after them (`scripts/with-kubernetes.sh`).

#![allow(
    clippy::missing_errors_doc,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "the helpers of tests fail as tests do"
)]

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::definitions;

/// A client, and a namespace of the test's own that takes only restricted pods. None where there is no server to test with, which
/// is said aloud, and fails in CI.
pub async fn namespace() -> Option<(Client, String)> {
    let Some(kubeconfig) = std::env::var_os("KUBECONFIG").filter(|path| is_throw_away(path.as_ref())) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "scripts/with-kubernetes.sh gives these tests an API server"
        );
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        // Not by a macro: what those print is shown only of tests that fail.
        let said = format!("SKIPPED, not tested at all: {test} needs a Kubernetes API server of its own\n");
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        return None;
    };
    let client = client(kubeconfig.as_ref()).await;
    DEFINED.get_or_init(|| define(client.clone())).await;
    let namespace: Namespace = serde_json::from_value(json!({
        "metadata": {
            "generateName": "test-",
            "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        },
    }))
    .unwrap();
    let made =
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let name = made.name_any();
    // Pods are refused until it has its service account.
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client.clone(), &name);
    until("a service account", async || accounts.get_opt("default").await.unwrap()).await;
    Some((client, name))
}

/// Another client of the server that [`namespace`] was made at: its connections end with the runtime that it is first used on.
pub async fn another_client() -> Client {
    client(std::env::var_os("KUBECONFIG").unwrap().as_ref()).await
}

async fn client(kubeconfig: &Path) -> Client {
    // Another test may have been quicker.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::try_from(config(kubeconfig).await).unwrap()
}

/// How the server of these tests is reached.
pub async fn config(kubeconfig: &Path) -> Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
}

/// What `KUBECONFIG` names otherwise may be a cluster that matters.
fn is_throw_away(kubeconfig: &Path) -> bool {
    kubeconfig.to_string_lossy().starts_with("/tmp/caudal-kube.")
}

static DEFINED: OnceCell<()> = OnceCell::const_new();

async fn define(client: Client) {
    for definition in definitions::all() {
        definitions::apply(&client, &definition).await.unwrap();
    }
}

/// Waits until there is something.
pub async fn until<T>(what: &str, there: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(Duration::from_secs(20), what, there).await
}

/// The same for what takes long by itself.
pub async fn until_within<T>(limit: Duration, what: &str, mut there: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = timeout(limit, async {
        loop {
            if let Some(found) = there().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never {what}"))
}
