//! Telling the api what became of a stream.

use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::lifecycle::{ReportKind, ReportOrder};
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::time::sleep;

/// The api, as the controller knows it.
pub trait Api: Send + Sync + 'static {
    /// Says it once.
    ///
    /// # Errors
    /// [`NotAcknowledged`] when the api may not know of it yet.
    fn report<'a>(&'a self, report: &'a ReportOrder) -> BoxFuture<'a, Result<(), NotAcknowledged>>;
}

/// The api has to be told again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NotAcknowledged(pub String);

/// Says it until the api acknowledges it, however long that takes.
pub(crate) async fn deliver(api: Arc<dyn Api>, report: ReportOrder) -> ReportKind {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = api.report(&report).await {
        tracing::debug!(%error, kind = ?report.kind(), "report not acknowledged, trying again");
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
    report.kind()
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The api comes back within about this of its listener.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
