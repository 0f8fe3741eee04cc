//! The password of a database that the chart brings, and how the api reaches it.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use caudal_kubernetes::calls::{Failure, call};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rand::TryRng as _;
use rand::rngs::SysRng;

use super::cluster;

/// Makes the Secret `PREFIX-database`, unless it is there; returns what it made. A password is never changed: PostgreSQL keeps the one that
/// it was set up with.
pub async fn complete(secrets: &Api<Secret>, prefix: &str, host: &str) -> anyhow::Result<Vec<String>> {
    let name = format!("{prefix}-database");
    match call(secrets.get(&name)).await {
        Ok(found) => return whole(&found, &name).map(|()| Vec::new()),
        Err(Failure::NotFound) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read the Secret {name}")),
    }
    let password = random_password().context("random numbers")?;
    // All of it are letters and digits, which mean nothing else in a URL.
    let url = format!("postgresql://caudal:{password}@{host}/caudal");
    let data =
        [(PASSWORD, password), (URL, url)].map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())));
    match cluster::create(secrets, &name, BTreeMap::from(data)).await {
        Ok(_) => Ok(vec![format!("{name}: {PASSWORD}, {URL}")]),
        // Of two that do this at once, one was quicker.
        Err(Failure::AlreadyExists) => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot write the Secret {name}")),
    }
}

fn whole(found: &Secret, name: &str) -> anyhow::Result<()> {
    let has = |key: &str| found.data.as_ref().is_some_and(|data| data.contains_key(key));
    if let Some(missing) = [PASSWORD, URL].into_iter().find(|key| !has(key)) {
        bail!("the Secret {name} has no {missing}; add it, or delete the Secret before the database is made");
    }
    Ok(())
}

fn random_password() -> Result<String, rand::rngs::SysError> {
    let mut bytes = [0_u8; 24];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// What PostgreSQL is set up with.
const PASSWORD: &str = "password";
/// What the api has as `DATABASE_URL`.
const URL: &str = "url";
