//! The tasks of a process, each under the name of what it does.

use std::time::Duration;

use anyhow::anyhow;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error_words::words;

/// Tasks that run until they are told to end. Dropping this ends them at once.
#[derive(Default)]
pub struct Tasks(JoinSet<(&'static str, anyhow::Result<()>)>);

impl Tasks {
    /// Begins one.
    pub fn spawn<E: Into<anyhow::Error>>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.0.spawn(async move { (name, task.await.map_err(Into::into)) });
    }

    /// Waits until one ends, which none does by itself while all is well.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.0.join_next().await {
            Some(Ok((name, Err(error)))) => error.context(name),
            Some(Ok((name, Ok(())))) => anyhow!("the {name} ended unexpectedly"),
            Some(Err(panic)) => anyhow!(panic).context("a role"),
            None => anyhow!("all roles have ended"),
        }
    }

    /// Waits for the end of all, which were told to end; no longer than `within`.
    pub async fn join(mut self, within: Duration) {
        let joined = timeout(within, async {
            while let Some(ended) = self.0.join_next().await {
                if let Ok((name, Err(error))) = ended {
                    tracing::warn!("{name}: {}", words(&error));
                }
            }
        });
        if joined.await.is_err() {
            tracing::warn!("a role did not end in time");
        }
    }
}
