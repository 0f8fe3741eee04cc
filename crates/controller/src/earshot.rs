//! Whether a controller hears its workers at all. One whose own network fails takes them for lost, and finds no other that it can
//! reach; each broadcast would then end for want of a worker that another controller may well reach.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_livestream::StreamId;
use tokio::time::{Instant, sleep};

/// Of which streams the workers are heard, and of which none could be reached.
#[derive(Default)]
pub(crate) struct Earshot(Mutex<HashMap<StreamId, Contact>>);

#[derive(Clone, Copy, Debug)]
enum Contact {
    HeardAt(Instant),
    /// Since when no worker of the stream has been reached.
    LostAt(Instant),
}

impl Earshot {
    /// A worker of `stream` has said something.
    pub(crate) fn heard(&self, stream: StreamId) {
        self.contacts().insert(stream, Contact::HeardAt(Instant::now()));
    }

    /// A worker of `stream` was given up because nothing came of it.
    pub(crate) fn unreached(&self, stream: StreamId) {
        let now = Contact::LostAt(Instant::now());
        let mut contacts = self.contacts();
        let contact = contacts.entry(stream).or_insert(now);
        if matches!(contact, Contact::HeardAt(_)) {
            *contact = now;
        }
    }

    /// The stream is over.
    pub(crate) fn forget(&self, stream: StreamId) {
        self.contacts().remove(&stream);
    }

    /// Resolves once it is more likely that this controller is cut off than that so many workers are gone.
    pub(crate) async fn until_cut_off(&self) {
        while !self.is_cut_off() {
            sleep(LOOK_EACH).await;
        }
    }

    fn is_cut_off(&self) -> bool {
        let (mut heard, mut lost) = (0_usize, 0_usize);
        for contact in self.contacts().values() {
            match contact {
                Contact::HeardAt(at) if at.elapsed() < PATIENCE => heard = heard.saturating_add(1),
                Contact::LostAt(since) if since.elapsed() >= PATIENCE => lost = lost.saturating_add(1),
                _ => {}
            }
        }
        // Those on its own machine, which another network leads to, may still be heard.
        lost >= STREAMS && lost > heard
    }

    fn contacts(&self) -> MutexGuard<'_, HashMap<StreamId, Contact>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fewer may well have had their workers on one machine that was lost.
const STREAMS: usize = 3;
/// Enough for new workers to be found, where some can be reached; and it leaves most of the minute after which a broadcast without a
/// worker ends to the next controller.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EACH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a controller that goes on to hear so many streams, and has reached no worker of so many for so long, is cut off.
    async fn is_cut_off(heard: usize, lost: usize, seconds: u64) -> bool {
        let earshot = Earshot::default();
        let streams: Vec<_> = (0..heard + lost).map(|_| StreamId::generate()).collect();
        for stream in &streams {
            earshot.heard(*stream);
        }
        // Whatever was before: a night without a broadcast is no sign.
        sleep(Duration::from_hours(8)).await;
        for _ in 0..seconds {
            for stream in &streams[heard..] {
                earshot.unreached(*stream);
            }
            sleep(Duration::from_secs(1)).await;
            for stream in &streams[..heard] {
                earshot.heard(*stream);
            }
        }
        earshot.is_cut_off()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_cut_off_where_most_streams_have_no_worker_for_long() {
        for (heard, lost, seconds, cut_off) in [
            (0, 3, 10, true),
            (0, 3, 9, false),
            (0, 2, 60, false),
            (2, 3, 10, true),
            (3, 3, 60, false),
            (40, 20, 60, false),
        ] {
            let found = is_cut_off(heard, lost, seconds).await;
            assert_eq!(found, cut_off, "{heard} heard, {lost} lost for {seconds} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_a_worker_again_or_is_over_counts_no_longer() {
        for ends in [false, true] {
            let earshot = Earshot::default();
            let streams = [StreamId::generate(), StreamId::generate(), StreamId::generate()];
            for stream in streams {
                earshot.unreached(stream);
            }
            sleep(PATIENCE).await;
            assert!(earshot.is_cut_off());
            if ends {
                earshot.forget(streams[0]);
            } else {
                earshot.heard(streams[0]);
            }
            assert!(!earshot.is_cut_off());
        }
    }
}
