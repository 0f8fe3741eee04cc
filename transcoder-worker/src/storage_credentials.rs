//! Storage credentials that come with the assignment and are renewed, for a worker that has none of its own (ARCHITECTURE §4).

use std::time::Duration;

use caudal_livestream::UnixMillis;
use caudal_livestream::credentials::{Recipient, SealedCredentials, SealingPublicKey};
use caudal_storage::{AssignedCredentials, Renewed, SealError, SealingKey};
use tokio::time::sleep;

use crate::clock::WallClock;
use crate::metrics::Metrics;

/// Opens what is sealed to this worker, and hands it to the store.
pub(crate) struct StorageCredentials {
    key: SealingKey,
    store: AssignedCredentials,
    metrics: Metrics,
}

impl StorageCredentials {
    /// With a new key, for a store that signs with `store`.
    pub(crate) fn new(store: AssignedCredentials, metrics: Metrics) -> Result<Self, SealError> {
        Ok(Self { key: SealingKey::generate()?, store, metrics })
    }

    /// What the controller is to seal to.
    pub(crate) fn key(&self) -> SealingPublicKey {
        self.key.public()
    }

    /// The store signs with these from now on, unless it has some that were made later.
    pub(crate) fn take(&self, sealed: &SealedCredentials, recipient: Recipient) -> Result<(), SealError> {
        let credentials = self.key.open(sealed, recipient)?;
        let expires = credentials.expires;
        if self.store.take(credentials) == Renewed::Yes {
            self.metrics.credentials_taken.inc();
            self.metrics.credentials_expire.set(expires.0.div_euclid(1000));
            tracing::debug!(expires = expires.0, "storage credentials taken");
        }
        Ok(())
    }

    /// Says when they are not renewed in time, and when they are again. Never ends.
    pub(crate) async fn watch(&self) {
        loop {
            let held = self.store.expires();
            let renewed = self.store.changed(held);
            tokio::pin!(renewed);
            let Some(expires) = held else {
                renewed.await;
                continue;
            };
            let left = left(expires, WallClock::start().now());
            let late = left.mul_f64(LATE);
            tokio::select! {
                () = &mut renewed => continue,
                () = sleep(late) => {}
            }
            let seconds = left.saturating_sub(late).as_secs();
            tracing::warn!(
                seconds,
                "storage credentials are not renewed; what is made when they have expired cannot be stored"
            );
            tokio::select! {
                () = &mut renewed => {}
                () = sleep(left.saturating_sub(late)) => {
                    tracing::error!("storage credentials have expired");
                    renewed.await;
                }
            }
            tracing::info!("storage credentials are renewed again");
        }
    }
}

fn left(expires: UnixMillis, now: UnixMillis) -> Duration {
    Duration::from_millis(u64::try_from(expires.0.saturating_sub(now.0)).unwrap_or(0))
}

/// Of what was left when they came: they are to be renewed after half their life, and a controller that takes over needs a minute.
const LATE: f64 = 0.75;

#[cfg(test)]
mod tests {
    use caudal_livestream::{Epoch, StreamId, WorkerId};
    use caudal_storage::StreamCredentials;
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::outage::tests::Lines;

    fn recipient() -> Recipient {
        Recipient { worker: WorkerId::generate(), stream: StreamId::generate(), epoch: Epoch(1) }
    }

    fn for_seconds(seconds: i64) -> StreamCredentials {
        StreamCredentials {
            access_key_id: "id".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: "token".to_owned(),
            issued: UnixMillis(seconds),
            expires: UnixMillis(WallClock::start().now().0 + seconds * 1000),
        }
    }

    /// What `watch` says until nothing more happens for so long.
    async fn said(credentials: &StorageCredentials, lines: &Lines, seconds: u64) -> Vec<Level> {
        tokio::select! {
            () = credentials.watch() => {}
            () = sleep(Duration::from_secs(seconds)) => {}
        }
        told(lines)
    }

    /// Without what is for debugging.
    fn told(lines: &Lines) -> Vec<Level> {
        lines.take().into_iter().filter(|level| *level < Level::DEBUG).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_are_not_renewed_are_told_of_before_and_when_they_expire() {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let credentials = StorageCredentials::new(AssignedCredentials::none(), metrics).unwrap();
        let recipient = recipient();
        let give = |seconds| {
            let sealed = for_seconds(seconds).seal(credentials.key(), recipient).unwrap();
            credentials.take(&sealed, recipient).unwrap();
        };
        give(1000);
        // Tokio's clock goes on while nothing happens, the machine's does not.
        assert!(said(&credentials, &lines, 740).await.is_empty());
        assert_eq!(said(&credentials, &lines, 760).await, [Level::WARN]);
        assert_eq!(said(&credentials, &lines, 1010).await, [Level::WARN, Level::ERROR]);
        let renewing = async {
            sleep(Duration::from_secs(800)).await;
            give(5000);
            sleep(Duration::from_secs(100)).await;
        };
        tokio::select! {
            () = credentials.watch() => {}
            () = renewing => {}
        }
        assert_eq!(told(&lines), [Level::WARN, Level::INFO]);
    }

    #[test]
    fn what_is_sealed_for_another_epoch_leaves_the_old_credentials_in_place() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let store = AssignedCredentials::none();
        let credentials = StorageCredentials::new(store.clone(), metrics.clone()).unwrap();
        let recipient = recipient();
        let sealed = for_seconds(1000).seal(credentials.key(), recipient).unwrap();
        credentials.take(&sealed, recipient).unwrap();
        let before = store.expires();
        let other = Recipient { epoch: Epoch(2), ..recipient };
        let later = for_seconds(9000).seal(credentials.key(), other).unwrap();
        assert_eq!(credentials.take(&later, recipient), Err(SealError::NotForUs));
        assert_eq!(store.expires(), before);
        assert_eq!(metrics.credentials_taken.get(), 1);
        assert_eq!(metrics.credentials_expire.get(), before.unwrap().0 / 1000);
    }
}
