//! The WorkerPools as they are, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caudal_kubernetes::WorkerPool;
use caudal_kubernetes::names::is_paused;
use futures::StreamExt as _;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch as channel;

use caudal_kubernetes::watching::{News, watch};

/// All pools of a namespace. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Pools {
    known: Arc<Mutex<HashMap<String, Arc<WorkerPool>>>>,
    whole: channel::Sender<bool>,
}

impl Pools {
    /// A pool as it is now.
    pub fn get(&self, name: &str) -> Option<Arc<WorkerPool>> {
        self.pools().get(name).cloned()
    }

    /// Whether a pool is there and paused.
    pub(crate) fn is_paused(&self, name: &str) -> bool {
        self.pools().get(name).is_some_and(|pool| is_paused(pool.as_ref()))
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<WorkerPool>> {
        self.pools().values().cloned().collect()
    }

    /// Keeps them as they are; never ends.
    pub async fn follow(&self, client: Client, namespace: &str) {
        let mut news = Box::pin(watch::<WorkerPool>(Api::namespaced(client, namespace), None));
        while let Some(news) = news.next().await {
            self.take(news);
        }
    }

    pub(crate) fn take(&self, news: News<WorkerPool>) {
        match news {
            News::Is(pool) => {
                self.pools().insert(pool.name_any(), Arc::new(*pool));
            }
            News::Gone { name, .. } => {
                self.pools().remove(&name);
            }
            News::Whole => {
                self.whole.send_replace(true);
            }
            News::Unreadable(_) | News::Interrupted | News::Resumed => {}
        }
    }

    /// Resolves when all pools have been told of once.
    pub(crate) async fn whole(&self) {
        // The sender lives as long as this.
        let _ = self.whole.subscribe().wait_for(|whole| *whole).await;
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<String, Arc<WorkerPool>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
