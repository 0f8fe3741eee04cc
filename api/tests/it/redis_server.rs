//! A Redis for one test.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

pub(crate) struct RedisServer {
    child: Child,
    folder: TempDir,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        // Short, because a unix socket's path may have 107 bytes only.
        let folder = tempfile::Builder::new().prefix("caudal-redis").tempdir_in("/tmp").unwrap();
        Self { child: serve(&folder), folder }
    }

    /// After [`Self::stop`]: at the same address, with nothing in it.
    pub(crate) fn start_again(&mut self) {
        self.child = serve(&self.folder);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("s").display())
    }

    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn serve(folder: &TempDir) -> Child {
    let mut child = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--unixsocket")
        .arg(folder.path().join("s"))
        .arg("--dir")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server is missing; on Debian: apt-get install redis-server");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().contains("eady to accept connections")),
        "redis-server did not start"
    );
    // It goes on logging; a pipe that nobody reads would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
