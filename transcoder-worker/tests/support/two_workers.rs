//! A stream that is about to go from one worker to another.

use caudal_livestream::admission::LadderRung;
use caudal_livestream::assignment::AssignmentMode;
use caudal_livestream::timeline::{Segment, SegmentPhase};
use tempfile::TempDir;

use super::router::Router;
use super::{Broadcast, Reader, Worker};

/// A stream of two stored segments on a first worker, and a second one that is ready to take it.
pub struct Scene {
    pub folder: TempDir,
    pub broadcast: Broadcast,
    pub first: Worker,
    /// Of the first worker's feed.
    pub reader: Reader,
    pub router: Router,
    pub second: Worker,
    /// Of the second worker's feed.
    pub next: Reader,
}

pub async fn two_workers(ladder: Vec<LadderRung>) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(ladder);
    let (first, mut reader) = broadcast.live(folder.path(), &["source"]).await;
    let router = Router::start(broadcast.publish(&first, 1).await);
    reader.stored("source", 2).await;

    let second = broadcast.worker(folder.path()).await;
    broadcast.assign(&second, 2, AssignmentMode::Prepare, None).await;
    let next = broadcast.feed(&second, 2, &["source"]).await;
    Scene { folder, broadcast, first, reader, router, second, next }
}

/// Reads until the reader's timeline holds `count` whole segments of each rendition under `epoch`.
pub async fn whole(reader: &mut Reader, epoch: u32, count: usize) {
    reader
        .until("whole segments of the next worker", |_, timeline| {
            timeline.is_some_and(|timeline| {
                timeline.tracks.iter().all(|track| {
                    let whole = |s: &&Segment| s.epoch.0 == epoch && s.phase == SegmentPhase::Stored;
                    track.segments.iter().filter(whole).count() >= count
                })
            })
        })
        .await;
}
