//! A disk that is full.

use std::path::Path;

use caudal_livestream::timeline::SegmentPhase;
use caudal_livestream::{InstallationId, WorkerId};
use tempfile::TempDir;

use super::removal::REMOVAL_GRACE;
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
async fn what_was_stored_after_later_segments_is_removed_when_it_left_the_window() {
    let disk = Disk::new();
    let mut publication = disk.publication();
    let begun = Instant::now();
    let mut standing = disk.standing(7..=12);
    standing.timeline.tracks[0].segments[0].phase = SegmentPhase::Finished;
    publication.write(&standing, begun).await.unwrap();
    for window in [7..=12, 9..=14] {
        publication.write(&disk.standing(window), begun).await.unwrap();
    }
    publication.write(&disk.standing(9..=14), begun + REMOVAL_GRACE).await.unwrap();
    assert_eq!(disk.segments(), (9..=14).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_removed_holds_up_neither_other_files_nor_the_end() {
    let disk = Disk::new();
    let mut publication = disk.publication();
    publication.write(&disk.standing(7..=12), Instant::now()).await.unwrap();
    publication.write(&disk.standing(9..=14), Instant::now()).await.unwrap();
    // Only an empty folder could be removed.
    let stuck = disk.path("source/7-1.m4s");
    std::fs::remove_file(&stuck).unwrap();
    std::fs::create_dir(&stuck).unwrap();
    std::fs::write(stuck.join("in-the-way"), "").unwrap();
    tokio::time::advance(REMOVAL_GRACE).await;
    let (standings, standing) = tokio::sync::watch::channel(None);
    standings.send_replace(Some(Standing { closed: true, ..disk.standing(9..=14) }));
    drop(standings);
    let follow = publication.follow(standing, crate::outage::Outage::default().watch());
    timeout(Duration::from_mins(1), follow).await.unwrap().unwrap();
    assert_eq!(disk.segments(), [7, 9, 10, 11, 12, 13, 14]);
}

#[tokio::test]
async fn a_rung_that_has_only_just_come_back_holds_no_stored_playlist_back() {
    let disk = Disk::new();
    let mut before = disk.publication();
    before.write(&disk.standing(7..=12), Instant::now()).await.unwrap();
    // Whether the same worker goes on, or the next.
    for mut publication in [before, disk.publication_at(2)] {
        let standing = disk.standing_with_rung(8..=13, 1);
        publication.write(&standing, Instant::now()).await.unwrap();
        assert!(disk.text("source/index.m3u8").contains("#EXT-X-MEDIA-SEQUENCE:8"));
        assert!(disk.text("240p/index.m3u8").contains("13-1.m4s"));
        assert!(disk.text("master.m3u8").contains("240p/index.m3u8"));
        std::fs::remove_dir_all(disk.path("240p")).unwrap();
        std::fs::remove_file(disk.path("source/index.m3u8")).unwrap();
    }
}

#[tokio::test]
async fn no_stored_playlist_names_a_rung_of_which_nothing_is_stored() {
    let disk = Disk::new();
    let mut publication = disk.publication();
    publication.write(&disk.standing(7..=12), Instant::now()).await.unwrap();
    publication.write(&disk.standing_with_rung(8..=13, 0), Instant::now()).await.unwrap();
    assert!(disk.text("source/index.m3u8").contains("#EXT-X-MEDIA-SEQUENCE:8"));
    assert!(!disk.path("240p/index.m3u8").exists());
    for file in ["master.m3u8", "manifest.mpd"] {
        assert!(disk.text(file).contains("source") && !disk.text(file).contains("240p"), "{file}");
    }
}

#[tokio::test]
async fn what_was_named_stays_named_through_a_pause_of_the_pictures() {
    let disk = Disk::new();
    let mut before = disk.publication();
    before.write(&disk.standing_with_rung(7..=12, 6), Instant::now()).await.unwrap();
    for mut publication in [before, disk.publication_at(2)] {
        let mut pause = disk.standing_with_rung(13..=18, 6);
        for segment in pause.timeline.tracks.iter_mut().flat_map(|track| &mut track.segments) {
            segment.gap = true;
        }
        publication.write(&pause, Instant::now()).await.unwrap();
        for rendition in ["source", "240p"] {
            assert!(
                disk.text("master.m3u8").contains(rendition) && disk.text("manifest.mpd").contains(rendition)
            );
            let text = disk.text(&format!("{rendition}/index.m3u8"));
            assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:13"), "{text}");
            std::fs::remove_file(disk.path(&format!("{rendition}/index.m3u8"))).unwrap();
        }
    }
}

#[tokio::test]
async fn playlists_of_before_a_damage_stay_until_there_is_enough_for_new_ones() {
    let disk = Disk::new();
    disk.publication().write(&disk.standing(7..=12), Instant::now()).await.unwrap();
    let mut publication = disk.publication_at(2);
    publication.write(&disk.standing(20..=21), Instant::now()).await.unwrap();
    assert!(disk.text("source/index.m3u8").contains("#EXT-X-MEDIA-SEQUENCE:7"));
    publication.write(&disk.standing(20..=22), Instant::now()).await.unwrap();
    assert!(disk.text("source/index.m3u8").contains("#EXT-X-MEDIA-SEQUENCE:20"));
}

#[tokio::test]
async fn playlists_that_are_longer_than_ours_keep_neither_the_next_epoch_nor_the_end_from_being_written() {
    let disk = Disk::new();
    disk.publication().write(&disk.standing(7..=12), Instant::now()).await.unwrap();
    std::fs::create_dir_all(disk.path("240p")).unwrap();
    for file in ["master.m3u8", "240p/index.m3u8"] {
        std::fs::File::create(disk.path(file)).unwrap().set_len(3 * 1024 * 1024).unwrap();
    }
    let mut publication = disk.publication_at(2);
    publication.write(&disk.standing(7..=13), Instant::now()).await.unwrap();
    assert!(disk.text("source/index.m3u8").contains("13-1.m4s"));
    assert!(disk.text("master.m3u8").contains("source/index.m3u8"));
    publication.close_stored().await.unwrap();
    assert!(disk.text("source/index.m3u8").contains("#EXT-X-ENDLIST"));
}

#[tokio::test]
async fn the_end_is_said_also_when_the_last_segments_were_never_stored() {
    let disk = Disk::new();
    let (standings, standing) = tokio::sync::watch::channel(None);
    let trouble = crate::outage::Outage::default().watch();
    let follow = tokio::spawn(disk.publication().follow(standing, trouble));
    let mut last = disk.standing(7..=12);
    last.timeline.tracks[0].segments[5].phase = SegmentPhase::Finished;
    last.timeline.ended = true;
    last.closed = true;
    standings.send_replace(Some(last));
    drop(standings);
    follow.await.unwrap().unwrap();
    let text = disk.text("source/index.m3u8");
    assert!(text.contains("11-1.m4s\n#EXT-X-ENDLIST") && !text.contains("12-1.m4s"), "{text}");
    assert!(!disk.text("manifest.mpd").contains("minimumUpdatePeriod"));
}

#[tokio::test(start_paused = true)]
async fn what_a_boundary_brings_is_written_once() {
    let disk = Disk::new();
    let (standings, standing) = tokio::sync::watch::channel(None);
    let follow = tokio::spawn(disk.publication().follow(standing, crate::outage::Outage::default().watch()));
    for last in 12..=14 {
        standings.send_replace(Some(disk.standing(7..=last)));
        // A paused clock goes on only while nothing is being written.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!disk.path("state-1.json").exists(), "more may come");
    }
    tokio::time::sleep(GATHERED_FOR).await;
    assert!(disk.text("state-1.json").contains("\"msn\":14"));
    // The last of all waits for nothing.
    let begun = Instant::now();
    standings.send_replace(Some(Standing { closed: true, ..disk.standing(7..=15) }));
    drop(standings);
    follow.await.unwrap().unwrap();
    assert!(disk.text("state-1.json").contains("\"msn\":15"));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn the_first_playlists_wait_for_every_rung() {
    let disk = Disk::new();
    let mut publication = disk.publication();
    for stored in 0..3 {
        publication.write(&disk.standing_with_rung(7..=12, stored), Instant::now()).await.unwrap();
        assert!(!disk.path("master.m3u8").exists(), "{stored}");
    }
    publication.write(&disk.standing_with_rung(7..=12, 3), Instant::now()).await.unwrap();
    assert!(disk.text("master.m3u8").contains("240p/index.m3u8"));
}

#[tokio::test]
async fn the_end_is_said_also_in_the_playlist_of_a_rung_that_was_withdrawn() {
    let disk = Disk::new();
    let mut publication = disk.publication();
    publication.write(&disk.standing_with_rung(7..=12, 6), Instant::now()).await.unwrap();
    let mut last = disk.standing_with_rung(7..=12, 6);
    last.timeline.tracks[1].withdrawn = true;
    last.timeline.ended = true;
    last.closed = true;
    publication.write(&last, Instant::now()).await.unwrap();
    for rendition in ["source", "240p"] {
        assert!(disk.text(&format!("{rendition}/index.m3u8")).contains("#EXT-X-ENDLIST"), "{rendition}");
    }
}

#[tokio::test]
async fn a_recording_keeps_what_left_the_window() {
    let disk = Disk::new();
    let mut publication = disk.publication_of(true);
    let begun = Instant::now();
    publication.write(&disk.standing(7..=12), begun).await.unwrap();
    publication.write(&disk.standing(9..=14), begun).await.unwrap();
    publication.write(&disk.standing(9..=14), begun + REMOVAL_GRACE).await.unwrap();
    assert_eq!(disk.segments(), (7..=14).collect::<Vec<_>>());
}

#[tokio::test]
async fn only_a_recording_keeps_a_log() {
    for record in [false, true] {
        let disk = Disk::new();
        let mut publication = disk.publication_of(record);
        let closed = Standing { closed: true, ..disk.standing(7..=12) };
        publication.write(&closed, Instant::now()).await.unwrap();
        assert_eq!(disk.path("log/1-0.json").exists(), record);
    }
}

#[tokio::test]
async fn a_broadcast_without_end_keeps_only_what_its_window_needs_whatever_earlier_workers_left() {
    let disk = Disk::new();
    let begun = Instant::now();
    let mut publication = disk.publication_at(3);
    let standing = disk.standing(107..=112);
    // Two workers before this one were killed: one with segments that had just left the window, and a write under way.
    for (file, text) in [
        ("source/100-1.m4s", "media"),
        ("source/101-2.m4s", "media"),
        ("source/106-2.m4s#1", "half"),
        ("source/init-0a.mp4", "needed"),
        ("source/init-0b.mp4", "needed no more"),
    ] {
        std::fs::write(disk.path(file), text).unwrap();
    }
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    let half = std::fs::File::options().write(true).open(disk.path("source/106-2.m4s#1")).unwrap();
    half.set_modified(long_ago).unwrap();
    for epoch in [1, 2] {
        let mut theirs = standing.clone();
        theirs.timeline.epoch = Epoch(epoch);
        disk.publication_at(epoch).write_state(&theirs).await.unwrap();
    }
    publication.write(&standing, begun).await.unwrap();
    let kept = disk.files();
    for hour in 1..=3 {
        // Each hour's look at storage, and the removal of what it found.
        let at = begun + Duration::from_hours(hour);
        publication.write(&standing, at).await.unwrap();
        publication.write(&standing, at + REMOVAL_GRACE).await.unwrap();
    }
    let left = disk.files();
    let gone: Vec<_> = kept.iter().filter(|file| !left.contains(file)).map(String::as_str).collect();
    assert_eq!(
        gone,
        ["source/100-1.m4s", "source/101-2.m4s", "source/106-2.m4s#1", "source/init-0b.mp4", "state-1.json"]
    );
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
        self.publication_of(false)
    }

    fn publication_of(&self, record: bool) -> Publication {
        self.made(1, record)
    }

    fn publication_at(&self, epoch: u32) -> Publication {
        self.made(epoch, false)
    }

    fn made(&self, epoch: u32, record: bool) -> Publication {
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let worker = WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere };
        let store = SegmentStore::folder(self.folder.path()).unwrap();
        let controller = ed25519_dalek::SigningKey::from_bytes(&[9; 32]).verifying_key();
        let owner = Ownership { installation: InstallationId::of(&controller), record };
        Publication::new(store, self.stream, Epoch(epoch), worker, owner)
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

    /// The same with a rung that has only the `stored` newest segments.
    fn standing_with_rung(&self, window: std::ops::RangeInclusive<u64>, stored: usize) -> Standing {
        let mut standing = self.standing(window);
        let mut rung = standing.timeline.tracks[0].clone();
        rung.name = "240p".parse().unwrap();
        rung.segments.drain(..rung.segments.len() - stored);
        standing.timeline.tracks.push(rung);
        standing
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

    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for folder in ["", "source/"] {
            for entry in std::fs::read_dir(self.path(folder)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    files.push(format!("{folder}{}", entry.file_name().into_string().unwrap()));
                }
            }
        }
        files.sort();
        files
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(format!("live/{}", self.stream)).join(file)
    }
}
