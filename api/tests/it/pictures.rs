//! Pictures that people upload, in a real folder.

mod files;
mod leftovers;
mod refusals;
mod shown;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use caudal_api::Config;
use caudal_storage::SegmentStore;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::database::TestDatabase;
use crate::running::{Answer, Person, Running, send};

/// An api with a folder for pictures.
struct Gallery {
    api: Running,
    folder: TempDir,
}

impl Gallery {
    async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = replica(&Arc::new(TestDatabase::create().await), folder.path(), change).await;
        Self { api, folder }
    }

    /// The files that there are, in any folder.
    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found
    }

    /// Has all pictures that nobody is shown removed.
    async fn tidied(&self) {
        let database = &self.api.database;
        database.execute("update pictures set unused_since = unused_since - interval '11 minutes'").await;
        database.says("select not exists (select from pictures where unused_since is not null)").await;
    }
}

async fn replica(database: &Arc<TestDatabase>, folder: &Path, change: impl FnOnce(&mut Config)) -> Running {
    let store = SegmentStore::folder(folder).unwrap();
    Running::replica(Arc::clone(database), |config| {
        config.pictures = Some(store);
        change(config);
    })
    .await
}

async fn upload(person: &Person<'_>, path: &str, kind: &str, file: impl Into<reqwest::Body>) -> Answer {
    send(person.request(Method::PUT, path).header("content-type", kind).body(file)).await
}

/// Uploads an avatar and returns where it is.
async fn shows(person: &Person<'_>, file: Vec<u8>) -> String {
    let answer = upload(person, AVATAR, "image/png", file).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    text(&answer.json["avatar"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// What a browser gets there.
async fn fetched(api: &Running, address: &str) -> reqwest::Response {
    api.request(Method::GET, address).send().await.unwrap()
}

const AVATAR: &str = "/api/users/me/avatar";
