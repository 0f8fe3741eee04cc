//! What the edge asks storage for. In a bucket each question costs money, so a file is asked for only when the stored
//! playlists name it, a small one once for all who want it, and a missing one not again at once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_livestream::{RenditionName, StreamId};
use caudal_storage::{Key, SegmentStore, StreamFile};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use crate::answer::Refusal;
use crate::answer_room::{AnswerRoom, Share};
use crate::media_budget::MediaBudget;
use crate::rendered::Rendered;

/// Storage, and what it said lately.
pub(crate) struct StoredFiles {
    store: SegmentStore,
    asking: Semaphore,
    /// Kilobytes of small files that may be under way: how long one is shows only when it is here.
    coming: Semaphore,
    small: Mutex<HashMap<Key, Small>>,
    missing: Mutex<HashMap<Key, Instant>>,
    /// Media that is being read, or sent.
    media: Mutex<HashMap<Key, Weak<Reading>>>,
    /// Counts what is read for broadcasts that run.
    living: Arc<MediaBudget>,
    /// For answers about broadcasts that are over; none for no limit.
    room: Option<AnswerRoom>,
}

/// Whose memory a file takes while it is sent.
#[derive(Clone, Copy)]
enum Of {
    Running,
    Over,
}

/// One copy of a file, for all who ask for it until the last of them has got it.
#[derive(Debug, Default)]
struct Reading {
    found: OnceCell<Result<Option<Held>, Refusal>>,
}

#[derive(Debug)]
struct Held {
    data: Bytes,
    _share: Option<Share>,
}

/// What an answer's body keeps.
struct Answer(Arc<Reading>);

type Found = Option<Arc<Rendered>>;

struct Small {
    /// Filled by one request while the others wait for it, and hear with it that storage failed.
    found: Arc<OnceCell<Result<Found, Failed>>>,
    asked: Instant,
}

/// All who ask at the same time wait for one deadline of storage, and not for one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failed {
    refusal: Refusal,
    at: Instant,
}

impl StoredFiles {
    pub(crate) fn new(store: SegmentStore, living: Arc<MediaBudget>, room: Option<AnswerRoom>) -> Self {
        Self {
            store,
            asking: Semaphore::new(MAX_QUESTIONS),
            coming: Semaphore::new(MAX_BYTES / KIB),
            small: Mutex::default(),
            missing: Mutex::default(),
            media: Mutex::default(),
            living,
            room,
        }
    }

    /// `master.m3u8` or `manifest.mpd` of a broadcast that is over.
    pub(crate) async fn whole(&self, stream: StreamId, file: StreamFile) -> Result<Arc<Rendered>, Refusal> {
        self.small(Key::Live(stream, file), FINAL).await?.ok_or(Refusal::NotFound)
    }

    /// A media playlist of a broadcast that is over, if its master playlist names the rendition.
    pub(crate) async fn playlist(
        &self,
        stream: StreamId,
        rendition: &RenditionName,
    ) -> Result<Arc<Rendered>, Refusal> {
        let master = self.whole(stream, StreamFile::Master).await?;
        if !names(&master.plain, &format!("{rendition}/index.m3u8")) {
            return Err(Refusal::NotFound);
        }
        self.whole(stream, StreamFile::Playlist(rendition.clone())).await
    }

    /// A segment or init of a broadcast that is over, if the rendition's playlist names it.
    pub(crate) async fn listed(
        &self,
        stream: StreamId,
        rendition: &RenditionName,
        name: &str,
        file: StreamFile,
    ) -> Result<Bytes, Refusal> {
        let playlist = self.playlist(stream, rendition).await?;
        if !names(&playlist.plain, name) {
            return Err(Refusal::NotFound);
        }
        self.shared(Key::Live(stream, file), Of::Over).await?.ok_or(Refusal::NotFound)
    }

    /// A stream's poster, which is written anew about once a minute.
    pub(crate) async fn poster(&self, stream: StreamId) -> Result<Bytes, Refusal> {
        let found = self.small(Key::Poster(stream), POSTER).await?;
        Ok(found.ok_or(Refusal::NotFound)?.plain.clone())
    }

    /// A file that the stream's timeline names, or has named. Those are few.
    pub(crate) async fn media(&self, key: Key) -> Result<Option<Bytes>, Refusal> {
        self.shared(key, Of::Running).await
    }

    async fn shared(&self, key: Key, of: Of) -> Result<Option<Bytes>, Refusal> {
        let reading = self.reading(&key);
        match reading.found.get_or_init(|| self.read(key, of)).await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(refusal) => return Err(refusal.clone()),
        }
        Ok(Some(Bytes::from_owner(Answer(reading))))
    }

    async fn read(&self, key: Key, of: Of) -> Result<Option<Held>, Refusal> {
        let room = self.room.as_ref().filter(|_| matches!(of, Of::Over));
        let reserved = room.map(AnswerRoom::reserve).transpose()?;
        let Some(data) = self.unless_missing(key, async |key| self.store.get(key).await).await? else {
            return Ok(None);
        };
        let share = match (room, reserved) {
            (Some(room), Some(reserved)) => Some(room.fit(reserved, data.len())?),
            _ => None,
        };
        let data = match of {
            Of::Running => self.living.count(data),
            Of::Over => data,
        };
        Ok(Some(Held { data, _share: share }))
    }

    fn reading(&self, key: &Key) -> Arc<Reading> {
        let mut media = lock(&self.media);
        if let Some(reading) = media.get(key).and_then(Weak::upgrade) {
            return reading;
        }
        if media.len() >= MAX_KEPT {
            media.retain(|_, reading| reading.strong_count() > 0);
        }
        let reading = Arc::default();
        media.insert(key.clone(), Arc::downgrade(&reading));
        reading
    }

    /// Bytes of such a file.
    pub(crate) async fn range(&self, key: Key, range: Range<u64>) -> Result<Option<Bytes>, Refusal> {
        let found =
            self.unless_missing(key, async |key| self.store.get_range(key, range.clone()).await).await?;
        Ok(found.map(|data| self.living.count(data)))
    }

    async fn unless_missing<E: std::fmt::Display>(
        &self,
        key: Key,
        ask: impl AsyncFnOnce(&Key) -> Result<Option<Bytes>, E>,
    ) -> Result<Option<Bytes>, Refusal> {
        let now = Instant::now();
        let lately = |at: &Instant| now.saturating_duration_since(*at) < MISSING;
        if lock(&self.missing).get(&key).is_some_and(lately) {
            return Ok(None);
        }
        let found = self.ask(&key, ask).await?;
        if found.is_none() {
            let mut missing = lock(&self.missing);
            if missing.len() >= MAX_KEPT {
                missing.retain(|_, at| lately(at));
            }
            // Still full: that many were asked for in two seconds, and the next ones are asked for again.
            if missing.len() < MAX_KEPT {
                missing.insert(key, now);
            }
        }
        Ok(found)
    }

    async fn small(&self, key: Key, keep: Duration) -> Result<Found, Refusal> {
        let cell = self.cell(&key, keep, Instant::now());
        let ask = || async {
            let coming = timeout(PATIENCE, self.coming.acquire_many(kilobytes(&key))).await;
            let Ok(Ok(_coming)) = coming else {
                return Err(Failed { refusal: Refusal::Busy, at: Instant::now() });
            };
            match self.ask(&key, async |key| self.store.get(key).await).await {
                Ok(found) => Ok(found.map(|data| Arc::new(Rendered::of(data)))),
                Err(refusal) => Err(Failed { refusal, at: Instant::now() }),
            }
        };
        cell.get_or_init(ask).await.clone().map_err(|failed| failed.refusal)
    }

    fn cell(&self, key: &Key, keep: Duration, now: Instant) -> Arc<OnceCell<Result<Found, Failed>>> {
        let mut small = lock(&self.small);
        if let Some(kept) = small.get(key) {
            let (since, keep) = match kept.found.get() {
                // Storage may take longer than the answer is kept.
                None => (now, keep),
                Some(Ok(None)) => (kept.asked, MISSING),
                Some(Ok(Some(_))) => (kept.asked, keep),
                Some(Err(failed)) => (failed.at, FAILED),
            };
            if now.saturating_duration_since(since) < keep {
                return Arc::clone(&kept.found);
            }
            small.remove(key);
        }
        // Streams that exist have a dozen small files each; the oldest answers go.
        while small.len() >= MAX_KEPT || small.values().map(Small::size).sum::<usize>() > MAX_BYTES {
            let oldest = small.iter().min_by_key(|(_, kept)| kept.asked).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            small.remove(&oldest);
        }
        let found = Arc::new(OnceCell::new());
        small.insert(key.clone(), Small { found: Arc::clone(&found), asked: now });
        found
    }

    async fn ask<T, E: std::fmt::Display>(
        &self,
        key: &Key,
        ask: impl AsyncFnOnce(&Key) -> Result<T, E>,
    ) -> Result<T, Refusal> {
        // Closed never; storage has deadlines of its own, so the queue moves.
        let _asking = self.asking.acquire().await.map_err(|_| Refusal::Busy)?;
        ask(key).await.map_err(|error| {
            tracing::warn!(%key, %error, "storage");
            Refusal::Unavailable
        })
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        match self.0.found.get() {
            Some(Ok(Some(held))) => &held.data,
            _ => &[],
        }
    }
}

impl Small {
    fn size(&self) -> usize {
        let found = self.found.get().and_then(|found| found.as_ref().ok()?.as_ref());
        found.map_or(0, |rendered| rendered.size())
    }
}

/// What a file may take at most.
fn kilobytes(key: &Key) -> u32 {
    let most = MAX_BYTES / KIB;
    let longest = usize::try_from(key.longest()).unwrap_or(usize::MAX).div_ceil(KIB);
    u32::try_from(longest.min(most)).unwrap_or(u32::MAX)
}

/// Whether a playlist has `uri` on a line of its own or as an attribute.
fn names(playlist: &[u8], uri: &str) -> bool {
    let quoted = format!("URI=\"{uri}\"");
    let Ok(text) = std::str::from_utf8(playlist) else { return false };
    text.lines().any(|line| line == uri || line.starts_with('#') && line.contains(&quoted))
}

/// Held for single operations only, never across an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Questions to storage at the same time.
const MAX_QUESTIONS: usize = 256;
/// Playlists of what is over change no more; a deletion shows after this.
const FINAL: Duration = Duration::from_secs(60);
/// As long as players may keep it.
const POSTER: Duration = Duration::from_secs(5);
/// What is missing may be under way.
const MISSING: Duration = Duration::from_secs(2);
/// A player asks again after a second.
const FAILED: Duration = Duration::from_secs(1);
/// Answers that are kept.
const MAX_KEPT: usize = 1024;
/// And their bytes; beside them so many may be under way.
const MAX_BYTES: usize = 64 * 1024 * KIB;
const KIB: usize = 1024;
/// For room for a small file: a storage that works gives a hundred of them a second.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use caudal_livestream::{Epoch, Msn};

    use super::*;
    use crate::tests::Hanging;

    /// `answers`: the bytes that answers about broadcasts that are over may hold.
    fn stored_files(store: SegmentStore, answers: Option<usize>) -> StoredFiles {
        StoredFiles::new(store, Arc::new(MediaBudget::new(None)), answers.map(AnswerRoom::new))
    }

    #[test]
    fn a_playlist_names_whole_addresses_only() {
        let playlist = b"#EXTM3U\n#EXT-X-MAP:URI=\"init-ab.mp4\"\n#EXTINF:2,\n17-1.m4s\n";
        for (uri, named) in
            [("17-1.m4s", true), ("init-ab.mp4", true), ("7-1.m4s", false), ("17-1", false), ("", false)]
        {
            assert_eq!(names(playlist, uri), named, "{uri}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_for_a_storage_that_hangs_are_answered_by_one_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let files = Arc::new(stored_files(SegmentStore::folder(folder.path()).unwrap(), None));
        let stream = StreamId::generate();
        let hangs = Hanging::at(folder.path().join(format!("live/{stream}/master.m3u8")));
        let mut viewers = tokio::task::JoinSet::new();
        for _ in 0..5 {
            let files = Arc::clone(&files);
            viewers.spawn(async move { files.whole(stream, StreamFile::Master).await });
        }
        // Time stands still while somebody reads, unless it is told to go on.
        for step in [0, 20] {
            tokio::time::advance(Duration::from_secs(step)).await;
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        for _ in 0..5 {
            let answer = viewers.try_join_next().expect("answered by now").unwrap();
            assert_eq!(answer.unwrap_err(), Refusal::Unavailable);
        }
        drop(hangs);
        let later = Instant::now() + FAILED;
        assert!(
            files.cell(&Key::Live(stream, StreamFile::Master), FINAL, later).get().is_none(),
            "asked again"
        );
    }

    #[tokio::test]
    async fn of_a_stored_file_all_share_one_copy_and_all_copies_have_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let store = SegmentStore::folder(folder.path()).unwrap();
        let files = stored_files(store.clone(), Some(64 * 1024));
        let (stream, source) = (StreamId::generate(), "source".parse::<RenditionName>().unwrap());
        let segment = |msn| StreamFile::Segment(source.clone(), Msn(msn), Epoch(1));
        for (file, text) in [
            (StreamFile::Master, "source/index.m3u8\n".to_owned()),
            (StreamFile::Playlist(source.clone()), "7-1.m4s\n8-1.m4s\n9-1.m4s\n".to_owned()),
            (segment(7), "7".repeat(40 * 1024)),
            (segment(8), "8".repeat(40 * 1024)),
            (segment(9), "9".repeat(80 * 1024)),
        ] {
            store.put(&Key::Live(stream, file), text.into()).await.unwrap();
        }
        let get = async |msn: u64| files.listed(stream, &source, &format!("{msn}-1.m4s"), segment(msn)).await;
        let first = get(7).await.unwrap();
        // From now on only answers that are under way have it.
        store.delete(&Key::Live(stream, segment(7))).await.unwrap();
        let mut unread = Vec::new();
        for _ in 0..100 {
            let another = get(7).await.unwrap();
            assert_eq!((another.as_ptr(), another.len()), (first.as_ptr(), 40 * 1024));
            unread.push(another);
        }
        assert_eq!(get(8).await, Err(Refusal::Busy));
        drop(first);
        assert_eq!(get(8).await, Err(Refusal::Busy), "others have it still");
        drop(unread);
        assert_eq!(get(8).await.unwrap().len(), 40 * 1024);
        assert_eq!(get(7).await, Err(Refusal::NotFound));
        // Larger than all there is.
        let alone = get(9).await.unwrap();
        assert_eq!((alone.len(), get(8).await), (80 * 1024, Err(Refusal::Busy)));
        drop(alone);
        let _another = get(8).await.unwrap();
        assert_eq!(get(9).await, Err(Refusal::Busy));
    }

    #[tokio::test]
    async fn what_is_read_for_a_broadcast_that_runs_is_counted_once_until_all_have_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = SegmentStore::folder(folder.path()).unwrap();
        let living = Arc::new(MediaBudget::new(Some(1000)));
        let files = StoredFiles::new(store.clone(), Arc::clone(&living), None);
        let segment = StreamFile::Segment("source".parse().unwrap(), Msn(7), Epoch(1));
        let key = Key::Live(StreamId::generate(), segment);
        store.put(&key, "segment".into()).await.unwrap();
        let whole = [files.media(key.clone()).await, files.media(key.clone()).await];
        assert!(whole.iter().all(|whole| whole.as_ref().unwrap().as_ref().unwrap() == "segment"));
        assert_eq!(living.living_unheld(), 7);
        let range = files.range(key, 2..5).await.unwrap().unwrap();
        assert_eq!((range.as_ref(), living.living_unheld()), (b"gme".as_slice(), 10));
        drop((whole, range));
        assert_eq!(living.living_unheld(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn small_files_that_are_under_way_count_as_long_as_they_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let files = Arc::new(stored_files(SegmentStore::folder(folder.path()).unwrap(), None));
        let all = files.coming.available_permits();
        let stream = StreamId::generate();
        let hangs = Hanging::at(folder.path().join(format!("live/{stream}/manifest.mpd")));
        let mut viewer = tokio::task::JoinSet::new();
        let waiting = Arc::clone(&files);
        viewer.spawn(async move { waiting.whole(stream, StreamFile::Manifest).await });
        while files.asking.available_permits() == MAX_QUESTIONS {
            tokio::task::yield_now().await;
        }
        let longest = usize::try_from(Key::Live(stream, StreamFile::Manifest).longest()).unwrap();
        assert_eq!(all - files.coming.available_permits(), longest / KIB);
        drop(hangs);
        viewer.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(files.coming.available_permits(), all);

        let _others = files.coming.acquire_many(u32::try_from(all).unwrap()).await.unwrap();
        assert_eq!(files.poster(StreamId::generate()).await, Err(Refusal::Busy));
    }

    #[tokio::test]
    async fn a_compressed_copy_counts_too() {
        let small = Small { found: Arc::default(), asked: Instant::now() };
        assert_eq!(small.size(), 0);
        let rendered = Arc::new(Rendered::of(Bytes::from(vec![b'x'; 5000])));
        small.found.set(Ok(Some(Arc::clone(&rendered)))).unwrap();
        assert_eq!(small.size(), 5000);
        let compressed = rendered.gzip().len();
        assert_eq!(small.size(), 5000 + compressed);
    }

    #[tokio::test]
    async fn what_is_longer_than_any_of_its_kind_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let files = stored_files(SegmentStore::folder(folder.path()).unwrap(), None);
        let stream = StreamId::generate();
        let key = Key::Poster(stream);
        let path = folder.path().join(key.to_string());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(&path).unwrap().set_len(key.longest() + 1).unwrap();
        assert_eq!(files.poster(stream).await, Err(Refusal::Unavailable));
    }

    #[tokio::test]
    async fn what_is_kept_of_storage_is_bounded_and_a_new_file_is_found_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = SegmentStore::folder(folder.path()).unwrap();
        let files = stored_files(store.clone(), None);
        let stream = StreamId::generate();
        assert_eq!(files.poster(stream).await, Err(Refusal::NotFound));
        store.put(&Key::Poster(stream), "jpeg".into()).await.unwrap();
        assert_eq!(files.poster(stream).await, Err(Refusal::NotFound), "asked a moment ago");
        let later = Instant::now() + MISSING;
        assert!(files.cell(&Key::Poster(stream), POSTER, later).get().is_none(), "asked for again");
        for _ in 0..2 * MAX_KEPT {
            let key = Key::Poster(StreamId::generate());
            files.cell(&key, POSTER, Instant::now());
            assert_eq!(files.media(key).await, Ok(None));
        }
        assert!(lock(&files.small).len() <= MAX_KEPT && lock(&files.missing).len() <= MAX_KEPT);
    }
}
