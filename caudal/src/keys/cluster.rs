//! A Kubernetes Secret for each role.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use caudal_kubernetes::calls::{Failure, call};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::secrets::making::{Files, missing};
use crate::secrets::{Holder, MasterSecret};

/// Makes what is missing of the Secrets, and adds each key that it makes to `made`. What is there stays, whoever made it.
pub async fn complete(
    secrets: &Api<Secret>,
    prefix: &str,
    master: Option<&MasterSecret>,
    made: &mut Vec<String>,
) -> anyhow::Result<()> {
    'anew: for _ in 0..TRIES {
        let mut there = BTreeMap::new();
        let mut known = BTreeMap::new();
        for holder in IN_A_CLUSTER {
            let name = name_of(prefix, holder);
            let secret = match call(secrets.get(&name)).await {
                Ok(secret) => Some(secret),
                Err(Failure::NotFound) => None,
                Err(error) => return Err(error).with_context(|| format!("cannot read the Secret {name}")),
            };
            there.insert(holder, secret.as_ref().map(|secret| files_of(secret, holder)).unwrap_or_default());
            known.insert(holder, secret);
        }
        let added = missing(&there, master)?;
        // In their order, one after the other: of two that do this at once, the one that is late at a Secret begins anew, with
        // the other one's keys.
        for holder in IN_A_CLUSTER {
            let Some(files) = added.get(&holder) else { continue };
            let name = name_of(prefix, holder);
            match write(secrets, &name, known.get(&holder).and_then(Option::as_ref), files).await {
                Ok(_) => made.extend(files.keys().map(|file| format!("{name}: {file}"))),
                Err(Failure::Conflict | Failure::AlreadyExists | Failure::NotFound) => continue 'anew,
                Err(error) => return Err(error).with_context(|| format!("cannot write the Secret {name}")),
            }
        }
        return Ok(());
    }
    bail!("somebody else writes these Secrets again and again")
}

async fn write(
    secrets: &Api<Secret>,
    name: &str,
    known: Option<&Secret>,
    files: &Files,
) -> Result<Secret, Failure> {
    let data: BTreeMap<String, ByteString> =
        files.iter().map(|(file, text)| (file.clone(), ByteString(text.clone().into_bytes()))).collect();
    if let Some(known) = known {
        let metadata =
            json!({ "uid": known.metadata.uid, "resourceVersion": known.metadata.resource_version });
        let patch = Patch::Merge(json!({ "metadata": metadata, "data": data }));
        return call(secrets.patch(name, &PatchParams::default(), &patch)).await;
    }
    create(secrets, name, data).await
}

/// Makes a Secret that is not there.
pub async fn create(
    secrets: &Api<Secret>,
    name: &str,
    data: BTreeMap<String, ByteString>,
) -> Result<Secret, Failure> {
    let mut secret = Secret { data: Some(data), ..Secret::default() };
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.labels =
        Some([("app.kubernetes.io/managed-by".to_owned(), "caudal-keys".to_owned())].into());
    call(secrets.create(&PostParams::default(), &secret)).await
}

fn files_of(secret: &Secret, holder: Holder) -> Files {
    let data = secret.data.iter().flatten();
    data.filter(|(name, _)| holder.files().any(|file| file == name.as_str()))
        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(&value.0).into_owned()))
        .collect()
}

fn name_of(prefix: &str, holder: Holder) -> String {
    format!("{prefix}-{}", holder.name())
}

/// There is no `caudal controller` in a cluster.
const IN_A_CLUSTER: [Holder; 5] =
    [Holder::Operator, Holder::IngestRouter, Holder::HlsEdge, Holder::Api, Holder::TranscoderWorker];
/// As many as there are Secrets.
const TRIES: usize = 5;
