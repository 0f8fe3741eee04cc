//! The operator's process, with the settings that the chart gives it.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::cluster;

pub(crate) struct Operator {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) pid: u32,
}

impl Operator {
    /// Starts it, and waits until it says that it is ready.
    pub(crate) async fn start(caudal: &Path, api: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let media = folder.path().join("media");
        std::fs::create_dir(&media)?;
        // Free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(caudal);
        command.arg("operator").env_clear().kill_on_drop(true);
        for inherited in ["PATH", "HOME", "KUBECONFIG"] {
            if let Some(value) = std::env::var_os(inherited) {
                command.env(inherited, value);
            }
        }
        command
            .env("LOG_FORMAT", "json")
            .env("CAUDAL_SECRET", "a secret of a measurement, and of nothing else")
            .env("CAUDAL_NAMESPACE", cluster::NAMESPACE)
            .env("CAUDAL_RELEASE", "caudal")
            .env("CAUDAL_POOL", cluster::POOL)
            .env("CAUDAL_INTERNAL_API_URL", api)
            .env("CAUDAL_PUBLIC_HLS_URL", "https://example.org")
            .env("CAUDAL_WORKER_IMAGE", "example.org/caudal:0.1.0")
            .env("CAUDAL_WORKER_SECRET", "caudal-transcoder-worker")
            .env("CAUDAL_MEDIA_CLAIM", "caudal-media")
            .env("HLS_PATH", &media)
            .env("CAUDAL_ADMIN_PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn().with_context(|| format!("{} cannot be started", caudal.display()))?;
        let pid = child.id().context("the operator has ended")?;
        let operator = Self { child, folder, pid };
        let asked = Instant::now();
        while !is_ready(port).await {
            if asked.elapsed() > READY_WITHIN {
                bail!("the operator is not ready:\n{}", operator.last_words().await);
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(operator)
    }

    /// The end of its log.
    pub(crate) async fn last_words(&self) -> String {
        let log = tokio::fs::read_to_string(self.folder.path().join("log")).await.unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// How many lines of its log are warnings or worse.
    pub(crate) async fn warnings(&self) -> usize {
        let log = tokio::fs::read_to_string(self.folder.path().join("log")).await.unwrap_or_default();
        log.lines().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\"")).count()
    }

    /// Asks it to end, and waits.
    pub(crate) async fn stop(&mut self) {
        if let Ok(pid) = i32::try_from(self.pid) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if timeout(ENDS_WITHIN, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

async fn is_ready(port: u16) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n").await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        std::io::Result::Ok(said.starts_with("HTTP/1.1 200"))
    };
    matches!(timeout(Duration::from_secs(1), asked).await, Ok(Ok(true)))
}

const READY_WITHIN: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(45);
