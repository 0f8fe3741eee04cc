//! A storage that hangs, and a worker that is heard all the same.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::support::Reader;

/// A stored file that cannot be read for a while: whoever opens it waits, as on a file system that hangs.
pub struct Hanging {
    path: PathBuf,
    waited: PathBuf,
    body: Vec<u8>,
}

impl Hanging {
    pub fn begin(path: PathBuf) -> Self {
        let body = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        Self { waited: path.with_extension("waited"), path, body }
    }

    /// Whoever opens it from now on reads it; those who did before wait on.
    pub fn end(&self) {
        std::fs::rename(&self.path, &self.waited).unwrap();
        std::fs::write(&self.path, &self.body).unwrap();
    }
}

impl Drop for Hanging {
    /// A runtime that ends waits for whoever still waits here.
    fn drop(&mut self) {
        if !self.waited.exists() {
            self.end();
        }
        // Does not wait for a reader, and lets go of those that there are.
        let _ = std::fs::File::options().read(true).write(true).open(&self.waited);
    }
}

/// The next frame comes before a controller would take the worker for lost.
pub async fn is_heard_for(reader: &mut Reader, time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        let frame = timeout(Duration::from_secs(3), reader.next()).await;
        assert!(frame.expect("three seconds of silence").is_some(), "the feed ends");
    }
}
