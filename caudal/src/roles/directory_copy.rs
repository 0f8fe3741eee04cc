//! A role's copy of the directory: of a controller's, or of the LiveStreams of a namespace.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use anyhow::Context as _;
use caudal_directory::{KubernetesDirectory, Reader, RemoteDirectory, StreamControl, StreamDirectory};
use caudal_kubernetes::calls;
use caudal_service::internal::Signer;

use crate::settings::{DirectorySetting, HttpUrl, Settings};

/// A copy, and the way to what it is of.
#[derive(Clone)]
pub enum DirectoryCopy {
    /// Of `caudal controller`'s.
    Remote(Arc<RemoteDirectory>),
    /// Of a cluster's.
    Kubernetes(Arc<KubernetesDirectory>),
}

impl DirectoryCopy {
    /// Begins to read, as the caller that `signer` is, or with what `reader`'s service account may do. What is read may be away.
    ///
    /// # Errors
    /// When there is no client, or nothing says where the API server is.
    pub async fn start(settings: &Settings, signer: Signer, reader: Reader) -> anyhow::Result<Self> {
        match settings.directory {
            DirectorySetting::Controller => {
                let url = settings.internal_controller_url.as_ref().map(HttpUrl::as_str);
                let url = url.context("CAUDAL_INTERNAL_CONTROLLER_URL is not set")?.to_owned();
                Ok(Self::Remote(RemoteDirectory::start(url, signer).context("HTTP client")?))
            }
            DirectorySetting::Kubernetes => {
                let client = calls::client().await.context("CAUDAL_DIRECTORY is kubernetes")?;
                let namespace = match &settings.namespace {
                    Some(namespace) => namespace.clone(),
                    None => client.default_namespace().to_owned(),
                };
                tracing::info!(namespace, "the directory is the LiveStreams of a namespace");
                Ok(Self::Kubernetes(KubernetesDirectory::start(client, &namespace, reader)))
            }
        }
    }

    /// As router and edge use it.
    pub fn directory(&self) -> Arc<dyn StreamDirectory> {
        match self {
            Self::Remote(copy) => Arc::<RemoteDirectory>::clone(copy),
            Self::Kubernetes(copy) => Arc::<KubernetesDirectory>::clone(copy),
        }
    }

    /// As the api uses it.
    pub fn control(&self) -> Arc<dyn StreamControl> {
        match self {
            Self::Remote(copy) => Arc::<RemoteDirectory>::clone(copy),
            Self::Kubernetes(copy) => Arc::<KubernetesDirectory>::clone(copy),
        }
    }

    /// Waits until everything has been read once.
    pub async fn read_once(&self) {
        match self {
            Self::Remote(copy) => copy.read_once().await,
            Self::Kubernetes(copy) => copy.read_once().await,
        }
    }

    /// Waits until the copy follows, or follows no more: until that is not `so_far`.
    pub async fn follows(&self, so_far: bool) -> bool {
        match self {
            Self::Remote(copy) => copy.follows(so_far).await,
            Self::Kubernetes(copy) => copy.follows(so_far).await,
        }
    }

    /// Tells what is in the way of following, in words, and none when nothing is any more; for ever. Of a cluster's API server its own
    /// log lines say that.
    pub async fn tell_obstacles(&self, tell: impl Fn(Option<String>)) -> Infallible {
        if let Self::Remote(copy) = self {
            let mut obstacle = copy.obstacle();
            loop {
                tell(obstacle.borrow_and_update().clone());
                if obstacle.changed().await.is_err() {
                    break;
                }
            }
        }
        pending().await
    }

    /// Stops following.
    pub async fn close(&self) {
        match self {
            Self::Remote(copy) => copy.close().await,
            Self::Kubernetes(copy) => copy.close().await,
        }
    }
}
