//! The password of a database that the chart brings, and how the api reaches it.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use caudal_kubernetes::calls::{Failure, call};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rand::TryRng as _;
use rand::rngs::SysRng;
use reqwest::Url;

use super::cluster;

/// Makes the Secret `PREFIX-database`, unless it is there; returns what it made. A password is never changed: PostgreSQL keeps the one that
/// it was set up with. One that an older chart made is in `PREFIX-postgresql`, and is taken over: that Secret is the older release's, and goes
/// with it.
pub async fn complete(secrets: &Api<Secret>, prefix: &str, host: &str) -> anyhow::Result<Vec<String>> {
    let name = format!("{prefix}-database");
    match call(secrets.get(&name)).await {
        Ok(found) => return whole(&found, &name).map(|()| Vec::new()),
        Err(Failure::NotFound) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read the Secret {name}")),
    }
    let older = format!("{prefix}-postgresql");
    let (password, whence) = match call(secrets.get(&older)).await {
        Ok(found) => (password_of(&found, &older, &name)?, format!(" (of {older})")),
        Err(Failure::NotFound) => (random_password().context("random numbers")?, String::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read the Secret {older}")),
    };
    let url = url(&password, host)?;
    let data =
        [(PASSWORD, password), (URL, url)].map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())));
    match cluster::create(secrets, &name, BTreeMap::from(data)).await {
        Ok(_) => Ok(vec![format!("{name}: {PASSWORD}, {URL}{whence}")]),
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

/// The password that the database of an older release was set up with. Another one would lock the api out, so it is never guessed.
fn password_of(older: &Secret, name: &str, new: &str) -> anyhow::Result<String> {
    let bytes = older.data.as_ref().and_then(|data| data.get(PASSWORD));
    let password =
        bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()).filter(|text| !text.is_empty());
    password.with_context(|| {
        format!("the Secret {name}, of an older release, has no {PASSWORD} that can be taken over; make the Secret {new} from it by hand")
    })
}

/// How the api reaches it. A person may have chosen the password, so that what means something else in a URL is encoded.
fn url(password: &str, host: &str) -> anyhow::Result<String> {
    let mut url =
        Url::parse(&format!("postgresql://caudal@{host}/caudal")).context("the host of the database")?;
    // A URL's own rules leave a % as it is.
    if url.set_password(Some(&password.replace('%', "%25"))).is_err() {
        bail!("the host of the database: {host} has no room for a password");
    }
    Ok(url.into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_somebody_chose_means_nothing_else_in_a_url() {
        assert_eq!(
            url("for-trying-out", "r-postgresql").unwrap(),
            "postgresql://caudal:for-trying-out@r-postgresql/caudal"
        );
        let chosen = url("a@b/c:d?#e", "r-postgresql").unwrap();
        assert_eq!(chosen, "postgresql://caudal:a%40b%2Fc%3Ad%3F%23e@r-postgresql/caudal");
        assert_eq!(url("a%41", "r-postgresql").unwrap(), "postgresql://caudal:a%2541@r-postgresql/caudal");
    }
}
