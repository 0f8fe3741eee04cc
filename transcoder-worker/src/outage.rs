//! What a worker says of a storage that fails: one line when that begins and one when it is over, whatever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;

/// All of this process's dealings with its storage. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outage {
    /// How many of them fail now.
    failing: Arc<AtomicUsize>,
}

impl Outage {
    /// One more task that writes.
    pub(crate) fn watch(&self) -> Trouble {
        Trouble { outage: self.clone(), failures: 0 }
    }
}

/// One task's failures in a row: it waits longer after each. When it is dropped it no longer counts as failing.
#[derive(Debug)]
pub(crate) struct Trouble {
    outage: Outage,
    failures: u32,
}

impl Trouble {
    /// Takes a failure, and waits before the next try.
    pub(crate) async fn wait(&mut self, error: &(dyn std::error::Error + Send + Sync)) {
        let pause = pause_after(self.failures);
        self.failed(error);
        sleep(pause).await;
    }

    /// Takes a failure.
    pub(crate) fn failed(&mut self, error: &(dyn std::error::Error + Send + Sync)) {
        if self.failures == 0 && self.outage.failing.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(%error, "storage fails; segments stay in memory until it works again");
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Takes a success. The last task that had failed says that it is over.
    pub(crate) fn over(&mut self) {
        if self.end() {
            tracing::info!("storage works again");
        }
    }

    /// True when this was the last one.
    fn end(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0 && self.outage.failing.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.end();
    }
}

/// How long to wait before the next try when so many have failed before the last one did.
pub(crate) fn pause_after(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    FIRST_RETRY.saturating_mul(factor).min(LAST_RETRY)
}

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(3);

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::sync::Mutex;

    use tracing::Level;
    use tracing::field::{Field, Visit};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_said_once_when_it_begins_and_once_when_all_that_failed_works_again() {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(lines.clone());
        let _guard = tracing::subscriber::set_default(subscriber);
        let error = io::Error::other("no room");
        let outage = Outage::default();
        let (mut segments, mut playlists, mut given_up) = (outage.watch(), outage.watch(), outage.watch());

        segments.over();
        assert_eq!(lines.take(), Vec::<Level>::new(), "nothing failed");
        for _ in 0..40 {
            segments.wait(&error).await;
            playlists.wait(&error).await;
            given_up.wait(&error).await;
        }
        assert_eq!(lines.take(), [Level::WARN]);
        drop(given_up);
        segments.over();
        segments.over();
        assert_eq!(lines.take(), Vec::<Level>::new(), "the playlists still fail");
        playlists.over();
        assert_eq!(lines.take(), [Level::INFO]);

        playlists.wait(&error).await;
        assert_eq!(lines.take(), [Level::WARN], "another outage");
    }

    /// The levels of what was said about the storage.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<Level>>>);

    impl Lines {
        pub(crate) fn take(&self) -> Vec<Level> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl<S: tracing::Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            struct Says(bool);
            impl Visit for Says {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    self.0 |= field.name() == "message" && format!("{value:?}").starts_with("storage ");
                }
            }
            let mut says = Says(false);
            event.record(&mut says);
            if says.0 {
                self.0.lock().unwrap().push(*event.metadata().level());
            }
        }
    }
}
