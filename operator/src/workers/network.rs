//! Whether workers take connections, asked of them: of a machine that is gone Kubernetes says nothing for 40 s, and of a worker that
//! listens only after a second or two.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::WorkerId;
use caudal_livestream::record::WorkerAddress;
use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Shared;
use crate::pods::{Known, WorkerPod};

/// Tells whether a connection is made: the pods' network, or a test's.
pub(super) struct Network(Connect);

type Connect = Arc<dyn Fn(SocketAddr) -> BoxFuture<'static, bool> + Send + Sync>;

impl Default for Network {
    fn default() -> Self {
        Self::of(|to| Box::pin(async move { TcpStream::connect(to).await.is_ok() }))
    }
}

impl Network {
    pub(super) fn of(
        connect: impl Fn(SocketAddr) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(connect))
    }

    async fn connects(&self, worker: &WorkerAddress) -> bool {
        timeout(ANSWER, (self.0)(worker.http)).await.unwrap_or(false)
    }
}

impl Shared {
    /// Whether the worker in a pod takes a connection now, however busy it is.
    pub(super) async fn answers(&self, pod: &WorkerPod) -> bool {
        match pod.will_listen_at() {
            Some(worker) => self.network.connects(&worker).await,
            None => false,
        }
    }

    /// Asks a worker again and again until it takes a connection; not one whose pod somebody has deleted.
    pub(super) async fn until_it_answers(&self, worker: WorkerId) -> WorkerAddress {
        let mut changes = self.pods.subscribe();
        let mut pause = FIRST_PAUSE;
        loop {
            let address = match self.pods.known(worker) {
                Known::There(pod) if !pod.leaving => pod.will_listen_at(),
                Known::There(_) | Known::Gone | Known::Unknown => None,
            };
            match address {
                Some(address) if self.network.connects(&address).await => return address,
                Some(_) => {
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
                None => {
                    let _ = changes.changed().await;
                }
            }
        }
    }
}

/// Viewers wait meanwhile; in a cluster, a connection is made within milliseconds.
const ANSWER: Duration = Duration::from_millis(300);
/// A worker listens a tenth of a second after its process has begun.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A pod has its address while its image is still pulled, too.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
