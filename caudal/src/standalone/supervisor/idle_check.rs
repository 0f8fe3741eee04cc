//! Whether a worker still answers that nobody uses. A worker with a stream is heard on its feed each second.

use std::time::Duration;

use caudal_livestream::record::WorkerAddress;
use reqwest::Client;
use tokio::time::{sleep, timeout};

/// Resolves once `worker` has been asked twice in a row and was silent.
pub(super) async fn until_silent(http: &Client, worker: WorkerAddress) {
    let url = format!("http://{}/", worker.http);
    let mut silences = 0_u32;
    while silences < 2 {
        sleep(PAUSE).await;
        // Any answer will do, be it that there is no such page or that nobody listens: a process that ended is seen to end.
        silences = match timeout(ANSWER, http.get(&url).send()).await {
            Err(_) => silences.saturating_add(1),
            Ok(Err(error)) if error.is_timeout() => silences.saturating_add(1),
            Ok(_) => 0,
        };
    }
}

/// Each check wakes two processes of a machine that may have nothing else to do.
const PAUSE: Duration = Duration::from_secs(2);
/// On a machine that is very busy.
const ANSWER: Duration = Duration::from_secs(2);
