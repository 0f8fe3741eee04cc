//! `caudal janitor`: one look through storage for what broadcasts that were not recorded have left there, and its removal.
//!
//! The operator removes a broadcast's media ten minutes after its end. This is for what it could not: storage that was away for longer
//! than its LiveStream stayed, a namespace that was made anew, an operator whose credential may not delete. What is to go and what stays
//! is decided in `plan`, and what a resource says of that is read in `known`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use caudal_controller::WallClock;
use caudal_kubernetes::LiveStream;
use caudal_kubernetes::calls::{Failure, call_for_many};
use caudal_livestream::{InstallationId, StreamId, UnixMillis};
use caudal_storage::{SegmentStore, StorageError};
use futures::{StreamExt as _, stream};
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::pages::Pages;
use crate::server_clock::ServerClock;
use known::Known;
use plan::{Cause, Keep};

mod known;
mod plan;

/// Where it looks, and what it goes by.
pub struct Janitor {
    /// Where the LiveStreams are.
    pub client: Client,
    /// Whose.
    pub namespace: String,
    /// Where the media is.
    pub store: SegmentStore,
    /// The names of this installation. Of what bears another one's, or none, nothing is removed.
    pub installations: Vec<InstallationId>,
    /// Whether anything is.
    pub mode: Mode,
}

/// Whether what is to go goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is removed.
    Remove,
    /// It is only said.
    DryRun,
}

/// Why it cannot be told what is to go. Of one stream that could not be looked at or removed, `tell` is told, and the others go on.
#[derive(Debug, Error)]
pub enum JanitorError {
    /// Which broadcasts there are is not known, so nothing was removed.
    #[error("the LiveStreams cannot be listed, so nothing was removed: {0}")]
    LiveStreams(Failure),
    /// Nor what lies in storage.
    #[error("storage cannot be listed, so nothing was removed: {0}")]
    Storage(#[from] StorageError),
    /// It was told to end.
    #[error("it was told to end before it was done; the next run goes on")]
    Stopped,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Streams that were removed, or would have been.
    pub removed: usize,
    /// Streams that could not be looked at, or of which something may be left.
    pub failed: usize,
}

impl Janitor {
    /// Looks at each stream in storage once. `tell` is given a line for a person about each that goes, and one at the end. Doing it again
    /// is harmless, and so is to stop it: a stream that is half removed is found again.
    ///
    /// # Errors
    /// When it cannot be told which streams there are, or `stop` came first.
    pub async fn sweep(
        &self,
        stop: &CancellationToken,
        tell: impl FnMut(String),
    ) -> Result<Swept, JanitorError> {
        let own: WallClock = Arc::new(SystemTime::now);
        let sweeping = async {
            // A machine whose clock is ahead must not take for old what was written today.
            let clock = ServerClock::measured(&self.client, &own).await.map_err(JanitorError::LiveStreams)?;
            self.sweep_by(&clock.wall(), tell).await
        };
        stop.run_until_cancelled(sweeping).await.unwrap_or(Err(JanitorError::Stopped))
    }

    async fn sweep_by(&self, wall: &WallClock, mut tell: impl FnMut(String)) -> Result<Swept, JanitorError> {
        let now = || caudal_controller::wall_now(wall);
        let stored = self.stored(&mut tell).await?;
        // After storage was listed: whatever is written is written after its LiveStream was made, and none is made again.
        let known = self.known().await.map_err(JanitorError::LiveStreams)?;
        let mut kept: BTreeMap<Keep, usize> = BTreeMap::new();
        let mut looks = Vec::new();
        for stream in &stored {
            let known = known.get(stream).unwrap_or(&Known::Nothing);
            match plan::first_look(*stream, known, now()) {
                Ok(cause) => looks.push((*stream, cause)),
                Err(keep) => count(&mut kept, keep),
            }
        }
        let mut swept = Swept::default();
        let looking = looks
            .into_iter()
            .map(|(stream, cause)| async move { (stream, cause, self.look(stream, cause, now()).await) });
        let mut looking = stream::iter(looking).buffered(LOOKS_AT_ONCE);
        while let Some((stream, cause, found)) = looking.next().await {
            match found {
                Ok(Err(keep)) => count(&mut kept, keep),
                Ok(Ok(last_write)) => {
                    let because = plan::words(cause, last_write, now());
                    match self.remove(stream, &because).await {
                        Ok(line) => {
                            swept.removed = swept.removed.saturating_add(1);
                            tell(line);
                        }
                        Err(error) => fail(&mut swept, &mut tell, stream, &error),
                    }
                }
                Err(error) => fail(&mut swept, &mut tell, stream, &error),
            }
        }
        tell(summary(self.mode, stored.len(), swept, &kept));
        Ok(swept)
    }

    /// The streams that have media in storage, the oldest first.
    async fn stored(&self, tell: &mut impl FnMut(String)) -> Result<Vec<StreamId>, StorageError> {
        let mut stored: Vec<StreamId> = Vec::new();
        loop {
            let page = self.store.streams_after(stored.last().copied(), PAGE).await?;
            let is_last = page.len() < PAGE;
            stored.extend(page);
            if is_last {
                return Ok(stored);
            }
            if stored.len() >= MOST {
                tell(format!(
                    "storage holds more than {MOST} streams; only the {} oldest are looked at",
                    stored.len()
                ));
                return Ok(stored);
            }
        }
    }

    /// What the namespace knows of which stream.
    async fn known(&self) -> Result<HashMap<StreamId, Known>, Failure> {
        let resource = ApiResource::erase::<LiveStream>(&());
        let streams: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let mut known = HashMap::new();
        let mut pages = Pages::default();
        while let Some(params) = pages.next() {
            let page = call_for_many(streams.list(&params)).await?;
            pages.read(page.metadata.continue_.as_deref());
            for resource in page.items {
                known.extend(known::of(resource));
            }
        }
        Ok(known)
    }

    /// Whether a stream is to go, by what storage says; and when it was written to last.
    async fn look(
        &self,
        stream: StreamId,
        cause: Cause,
        now: UnixMillis,
    ) -> Result<Result<UnixMillis, Keep>, StorageError> {
        let provenance = self.store.provenance(stream, &self.installations).await?;
        if let Err(keep) = plan::second_look(cause, &provenance) {
            return Ok(Err(keep));
        }
        let last_write = self.store.last_write(stream).await?;
        Ok(plan::third_look(cause, last_write, now))
    }

    async fn remove(&self, stream: StreamId, because: &str) -> Result<String, StorageError> {
        if self.mode == Mode::DryRun {
            return Ok(format!("live/{stream}: would be removed: {because}"));
        }
        let foreign = self.store.remove_stream(stream).await?;
        Ok(match foreign {
            0 => format!("live/{stream}: removed: {because}"),
            _ => format!(
                "live/{stream}: removed: {because}; files that are not Caudal's stay there: {foreign}"
            ),
        })
    }
}

fn fail(swept: &mut Swept, tell: &mut impl FnMut(String), stream: StreamId, error: &StorageError) {
    swept.failed = swept.failed.saturating_add(1);
    tell(format!("live/{stream}: stays until the next run: {error}"));
}

fn count(kept: &mut BTreeMap<Keep, usize>, keep: Keep) {
    let kept = kept.entry(keep).or_default();
    *kept = kept.saturating_add(1);
}

fn summary(mode: Mode, all: usize, swept: Swept, kept: &BTreeMap<Keep, usize>) -> String {
    let removed = match mode {
        Mode::Remove => "removed",
        Mode::DryRun => "to be removed",
    };
    let mut line =
        format!("streams in storage: {all}; {removed}: {}; failed: {}", swept.removed, swept.failed);
    for (keep, count) in kept {
        // Into a text, which takes everything.
        let _ = write!(line, "; {}: {count}", keep.words());
    }
    line
}

/// Ids at one request, or in memory beside those that were found.
const PAGE: usize = 1_000;
/// Sixteen bytes each. Recordings stay for good, so there may be many.
const MOST: usize = 1_000_000;
/// Each is three requests, and live broadcasts need the storage more.
const LOOKS_AT_ONCE: usize = 4;

#[cfg(test)]
mod tests;
