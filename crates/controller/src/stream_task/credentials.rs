//! Storage credentials of the stream's workers: got before an assignment, sealed into it, and renewed for as long as a worker is
//! followed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::credentials::{CredentialsRenewal, Recipient, SealedCredentials};
use caudal_livestream::lifecycle::Input;
use caudal_livestream::proof::Signed;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, StreamId};
use caudal_storage::StreamCredentials;
use tokio::time::sleep;

use crate::Shared;
use crate::credential_source::CredentialSource;
use crate::metrics::{CredentialStep, Outcome};
use crate::queue::Sender;
use crate::worker_link::NotAssigned;

/// Credentials for a worker that is about to be assigned, as soon as there are some; none where workers have their own. Says once
/// why it takes long.
pub(super) async fn when_there_are_some(
    shared: &Shared,
    stream: StreamId,
    epoch: Epoch,
    inputs: &Sender<Input>,
) -> Option<StreamCredentials> {
    let source = shared.carriers.credentials.as_ref()?;
    let mut tries = 0_u32;
    loop {
        let asked = source.credentials(stream).await;
        shared.carriers.metrics.credentials(CredentialStep::Grant, Outcome::of(&asked));
        match asked {
            Ok(credentials) => return Some(credentials),
            Err(error) if tries == 0 => {
                tracing::warn!(%error, %stream, %epoch, "there are no storage credentials for a stream's worker; it is not assigned without");
                let _ = inputs.send(Input::NoCredentials(epoch, error.reason)).await;
            }
            Err(error) => tracing::debug!(%error, %stream, %epoch, "still no storage credentials"),
        }
        sleep(pause_after(tries, rand::random())).await;
        tries = tries.saturating_add(1);
    }
}

/// The credentials as this worker alone can read them; none for one that has its own, as pods from before the setting have.
pub(super) async fn sealed(
    shared: &Shared,
    worker: &WorkerAddress,
    recipient: Recipient,
    credentials: &StreamCredentials,
) -> Result<Option<SealedCredentials>, NotAssigned> {
    let key = shared.worker_keys.of(shared.carriers.link.as_ref(), worker, recipient.stream).await?;
    let sealed = key.map(|key| credentials.seal(key, recipient)).transpose();
    sealed.map_err(|error| NotAssigned::Refused(error.to_string()))
}

/// Sends a worker new credentials whenever half the life of its last ones is over, for as long as this is polled.
///
/// Nobody stores when that was. The first ones are sent soon after a worker is followed, whoever assigned it: by the controller that
/// did, they are the ones that it has already, and the worker keeps those.
pub(super) async fn keep_renewed(
    shared: Arc<Shared>,
    source: Arc<dyn CredentialSource>,
    worker: WorkerAddress,
    recipient: Recipient,
) -> Infallible {
    let Recipient { stream, epoch, .. } = recipient;
    // A controller that takes over follows all streams at once.
    sleep(FIRST_WITHIN.mul_f64(rand::random())).await;
    let mut failures = 0_u32;
    loop {
        let renewed = renew(&shared, source.as_ref(), &worker, recipient).await;
        if !matches!(renewed, Ok(None)) {
            shared.carriers.metrics.credentials(CredentialStep::Renewal, Outcome::of(&renewed));
        }
        let pause = match renewed {
            Ok(Some(renew_in)) => {
                if failures > 0 {
                    tracing::info!(%stream, %epoch, "a worker's storage credentials are renewed again");
                }
                failures = 0;
                renew_in.max(SHORTEST_PAUSE)
            }
            Ok(None) => NO_KEY_PAUSE,
            Err(reason) => {
                if failures == 0 {
                    tracing::warn!(reason, %stream, %epoch, "a worker's storage credentials are not renewed; it keeps the old ones until they expire");
                } else {
                    tracing::debug!(reason, %stream, %epoch, "still not renewed");
                }
                let pause = pause_after(failures, rand::random());
                failures = failures.saturating_add(1);
                pause
            }
        };
        sleep(pause).await;
    }
}

/// When to do it again; none for a worker with credentials of its own.
async fn renew(
    shared: &Shared,
    source: &dyn CredentialSource,
    worker: &WorkerAddress,
    recipient: Recipient,
) -> Result<Option<Duration>, String> {
    let Recipient { worker: id, stream, epoch } = recipient;
    let key = shared.worker_keys.of(shared.carriers.link.as_ref(), worker, stream).await;
    let Some(key) = key.map_err(|error| error.to_string())? else { return Ok(None) };
    let fresh = source.renewed(stream).await.map_err(|error| error.to_string())?;
    let renewed = fresh.credentials.seal(key, recipient).map_err(|error| error.to_string())?;
    let order = CredentialsRenewal { worker: id, stream, epoch, renewed };
    let signed = Signed::sign(&order, shared.carriers.assignments.current());
    let signed = signed.map_err(|error| error.to_string())?;
    shared.carriers.link.renew(worker, &signed).await.map_err(|error| error.to_string())?;
    Ok(Some(fresh.renew_in))
}

/// Before the next try, after so many that failed; `jitter` is from 0 to 1.
fn pause_after(failures: u32, jitter: f64) -> Duration {
    let doubled = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
    // Not all streams at once.
    pause.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A start has a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Amazon's shortest sessions hold a quarter of an hour, so half of one is left for over six minutes after a renewal that was due.
const FIRST_WITHIN: Duration = Duration::from_secs(60);
/// Nothing tells a worker with credentials of its own, which ends with its broadcast, from one whose key could not be had once. The other
/// one has more than this left: see `FIRST_WITHIN`.
const NO_KEY_PAUSE: Duration = Duration::from_secs(60);
/// Whatever a source says.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_spread_and_slow_down_until_one_comes_each_ten_seconds() {
        for (failures, jitter, millis) in [
            (0, 0.0, 250),
            (0, 1.0, 500),
            (1, 1.0, 1_000),
            (4, 0.0, 4_000),
            (5, 1.0, 10_000),
            (5, 0.5, 7_500),
            (u32::MAX, 1.0, 10_000),
        ] {
            assert_eq!(pause_after(failures, jitter), Duration::from_millis(millis), "{failures} {jitter}");
        }
    }
}
