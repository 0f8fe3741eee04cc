//! A disk that is full.

use std::path::Path;

use caudal_livestream::WorkerId;
use caudal_livestream::timeline::SegmentPhase;
use tempfile::TempDir;

use super::*;
use crate::fixtures::{segment, timeline};

/// A store that lets nothing be written, as a full disk does, but lets files be removed, as that does too.
#[tokio::test]
async fn what_left_the_window_is_removed_while_nothing_can_be_written() {
    let disk = Disk::new();
    let mut publication = disk.publication();
    let begun = Instant::now();
    publication.write(&disk.standing(7..=12), begun).await.unwrap();
    disk.fill();

    assert!(publication.write(&disk.standing(9..=14), begun).await.is_err(), "it is full");
    assert_eq!(disk.segments(), (7..=14).collect::<Vec<_>>(), "players may still ask for the oldest");
    let later = begun + REMOVAL_GRACE;
    assert!(publication.write(&disk.standing(10..=15), later).await.is_err(), "it is still full");
    assert_eq!(disk.segments(), (9..=15).collect::<Vec<_>>(), "what left the window made room");

    disk.make_room();
    publication.write(&disk.standing(10..=15), later).await.unwrap();
    assert!(disk.text("source/index.m3u8").contains("#EXT-X-MEDIA-SEQUENCE:10"));
    assert!(disk.text("state-1.json").contains("\"msn\":15"));
}

#[tokio::test]
async fn a_recording_keeps_what_left_the_window() {
    let disk = Disk::new();
    let mut publication = Publication { record: true, ..disk.publication() };
    let begun = Instant::now();
    publication.write(&disk.standing(7..=12), begun).await.unwrap();
    publication.write(&disk.standing(9..=14), begun).await.unwrap();
    publication.write(&disk.standing(9..=14), begun + REMOVAL_GRACE).await.unwrap();
    assert_eq!(disk.segments(), (7..=14).collect::<Vec<_>>());
}

/// A folder with one stream in it.
struct Disk {
    folder: TempDir,
    stream: StreamId,
}

impl Disk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), stream: StreamId::generate() }
    }

    fn publication(&self) -> Publication {
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let worker = WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere };
        let store = SegmentStore::folder(self.folder.path()).unwrap();
        Publication::new(store, self.stream, Epoch(1), worker, false)
    }

    /// A window of stored segments, whose files are there.
    fn standing(&self, window: std::ops::RangeInclusive<u64>) -> Standing {
        let segments: Vec<_> = window.map(|msn| segment(msn, SegmentPhase::Stored)).collect();
        std::fs::create_dir_all(self.path("source")).unwrap();
        for segment in &segments {
            std::fs::write(self.path(&format!("source/{}-1.m4s", segment.msn)), "media").unwrap();
        }
        let timeline = timeline(self.stream, segments);
        Standing { timeline, clock: None, closed: false }
    }

    /// A folder with something in it stands where the state is written first of all: no file can be put over it.
    fn fill(&self) {
        let state = self.path("state-1.json");
        std::fs::remove_file(&state).unwrap();
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("in-the-way"), "").unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_dir_all(self.path("state-1.json")).unwrap();
    }

    fn segments(&self) -> Vec<u64> {
        let files = std::fs::read_dir(self.path("source")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut numbers: Vec<_> =
            names.filter_map(|name| name.strip_suffix("-1.m4s")?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(format!("live/{}", self.stream)).join(file)
    }
}
