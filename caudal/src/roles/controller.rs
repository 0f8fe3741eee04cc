//! The controller of this machine: the directory of all streams, and the workers that carry them.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use caudal_controller::Metrics;
use caudal_directory::{LocalConfig, LocalDirectory, StreamControl};
use caudal_service::logs::LogLines;
use caudal_storage::SegmentStore;
use caudal_traces::Traces;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Accounts, Platform};
use crate::secrets::ControllerKeys;
use crate::settings::Settings;
use crate::standalone::Folders;
use crate::standalone::supervisor::{Supervisor, SupervisorConfig};

/// The directory with its workers.
pub struct Controller {
    directory: Arc<LocalDirectory>,
    supervisor: Arc<Supervisor>,
    /// Where the workers write segments.
    pub store: SegmentStore,
}

impl Controller {
    /// Starts the first worker, and takes up the streams of `folders`. It reports to the internal listener at `api`.
    ///
    /// # Errors
    /// When there is no storage, no worker, or a state that cannot be read.
    pub async fn start(
        settings: &Settings,
        folders: &Folders,
        keys: ControllerKeys,
        api: String,
        lines: LogLines,
        registry: &Registry,
        traces: Traces,
    ) -> anyhow::Result<Self> {
        let mut storage = settings.storage.clone();
        storage.hls_path = Some(folders.media.clone());
        let store = storage.open(&settings.given)?;
        let ControllerKeys { assignments, input, feed, signer } = keys;
        let known_to_workers = assignments.current().verifying_key();
        let supervisor =
            Supervisor::start(SupervisorConfig::new(settings, &storage, known_to_workers, lines)?).await?;
        let directory = LocalDirectory::start(LocalConfig {
            folder: folders.streams(),
            media: store.clone(),
            max_streams: usize::try_from(settings.max_streams)?,
            workers: supervisor.workers(),
            assignments,
            router_key: input,
            feed_key: feed,
            api,
            signer,
            metrics: Metrics::register(registry)?,
            traces,
        })?;
        Ok(Self { directory, supervisor, store })
    }

    /// The streams.
    pub fn directory(&self) -> Arc<LocalDirectory> {
        Arc::clone(&self.directory)
    }

    /// Serves the administrator's commands through a socket in `folder`, as far as one can be made there, until `stop`.
    /// `accounts` are the api's, where that is in this process.
    pub fn serve_admin(
        &self,
        folder: PathBuf,
        accounts: Option<Accounts>,
        stop: CancellationToken,
    ) -> impl Future<Output = Result<(), Infallible>> + use<> {
        let (control, supervisor): (Arc<dyn StreamControl>, _) =
            (self.directory(), Arc::clone(&self.supervisor));
        let listing = Arc::clone(&supervisor);
        let platform = Arc::new(Platform {
            control,
            process_of: Box::new(move |worker| supervisor.process_of(worker)),
            workers: Box::new(move || listing.listed()),
            accounts,
        });
        async move {
            admin::serve_if_possible(folder, platform, stop).await;
            Ok(())
        }
    }

    /// Ends all streams while everybody is still there to see it, for at most `within`.
    pub async fn end_streams(&self, within: Duration) {
        let left = self.directory.end_all(within).await;
        if left > 0 {
            tracing::warn!(left, "streams whose end the api will learn of at the next start");
        }
    }

    /// Ends tasks and workers. Streams that are not over stay as they are, for the next start.
    pub async fn stop(&self) {
        self.directory.close().await;
        self.supervisor.stop().await;
    }
}
