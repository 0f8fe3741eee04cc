//! The same promises, kept by a folder and by a server that speaks S3.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

mod moto;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{FilledState, Ownership, StoredState};
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{Epoch, InstallationId, MediaDuration, Msn, StreamId, WorkerId};
use caudal_storage::{
    ClaimError, CreateError, Durability, Key, Provenance, ReplaceError, SegmentStore, StorageError,
    StreamFile,
};
use ed25519_dalek::SigningKey;
use moto::{Moto, bucket};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_folder_keeps_the_promises() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    promises(&store).await;
}

#[tokio::test]
async fn a_bucket_keeps_the_promises() {
    let server = Moto::start();
    promises(&server.store("promises")).await;
}

#[tokio::test]
async fn a_bucket_says_how_long_an_object_may_be_cached() {
    let server = Moto::start();
    let store = server.store("headers");
    let stream = StreamId::generate();
    for (file, content_type, cache) in [
        (
            StreamFile::Playlist("source".parse().unwrap()),
            "application/vnd.apple.mpegurl",
            "public, max-age=1",
        ),
        (
            StreamFile::Segment("audio".parse().unwrap(), Msn(7), Epoch(1)),
            "audio/mp4",
            "public, max-age=31536000, immutable",
        ),
    ] {
        let key = Key::Live(stream, file);
        store.put(&key, Bytes::from_static(b"x")).await.unwrap();
        let head = server.request(&format!("GET /headers/{key}"));
        assert!(head.contains(&format!("content-type: {content_type}")), "{head}");
        assert!(head.contains(&format!("cache-control: {cache}")), "{head}");
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_answer_is_an_error_in_time() {
    // Bound and never accepted from: connections succeed and stay silent.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = bucket(&format!("http://{}", silent.local_addr().unwrap()), "silent");
    let key = Key::Live(StreamId::generate(), StreamFile::Master);
    let begun = std::time::Instant::now();
    store.put(&key, Bytes::from_static(b"x")).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_folder_shows_exactly_the_files_that_a_file_server_expects() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let stream = StreamId::generate();
    let key = Key::Live(stream, StreamFile::Segment("720p".parse().unwrap(), Msn(9), Epoch(2)));
    store.put(&key, Bytes::from_static(b"media")).await.unwrap();
    store.put(&Key::Poster(stream), Bytes::from_static(b"jpeg")).await.unwrap();
    let at = |path: String| std::fs::read(folder.path().join(path)).unwrap();
    assert_eq!(at(format!("live/{stream}/720p/9-2.m4s")), b"media");
    assert_eq!(at(format!("thumbnails/{stream}/poster.jpg")), b"jpeg");
    let files = std::fs::read_dir(folder.path().join(format!("live/{stream}/720p"))).unwrap().count();
    assert_eq!(files, 1, "nothing temporary is left");
}

async fn promises(store: &SegmentStore) {
    let stream = StreamId::generate();
    let source = "source".parse().unwrap();
    let data = |text: &'static str| Bytes::from_static(text.as_bytes());

    // What is not there is not an error.
    let segment = Key::Live(stream, StreamFile::Segment("source".parse().unwrap(), Msn(7), Epoch(1)));
    assert_eq!(store.get(&segment).await.unwrap(), None);
    assert_eq!(store.get_range(&segment, 0..1).await.unwrap(), None);
    store.delete(&segment).await.unwrap();
    assert_eq!(store.epochs(stream).await.unwrap(), []);
    assert_eq!(store.segments(stream, &source).await.unwrap(), []);

    // Whole objects and slices of them.
    store.put(&segment, data("moofmdat")).await.unwrap();
    assert_eq!(store.get(&segment).await.unwrap(), Some(data("moofmdat")));
    assert_eq!(store.get_range(&segment, 4..8).await.unwrap(), Some(data("mdat")));

    // Created once.
    assert!(matches!(store.create(&segment, data("other")).await, Err(CreateError::AlreadyExists)));
    assert_eq!(store.get(&segment).await.unwrap(), Some(data("moofmdat")));

    // Replaced only by whom knows what was there.
    let playlist = Key::Live(stream, StreamFile::Playlist("source".parse().unwrap()));
    let first = store.replace(&playlist, data("1"), None, Durability::Synced).await.unwrap();
    assert!(matches!(
        store.replace(&playlist, data("x"), None, Durability::Synced).await,
        Err(ReplaceError::Changed)
    ));
    let second = store.replace(&playlist, data("22"), Some(&first), Durability::Synced).await.unwrap();
    assert!(matches!(
        store.replace(&playlist, data("x"), Some(&first), Durability::Synced).await,
        Err(ReplaceError::Changed)
    ));
    assert_eq!(store.version(&playlist).await.unwrap(), Some(second));
    assert_eq!(store.get(&playlist).await.unwrap(), Some(data("22")));

    // Listed by kind, in order, nothing of others.
    for (msn, epoch) in [(10, 2), (8, 1), (9, 1)] {
        let key = Key::Live(stream, StreamFile::Segment("source".parse().unwrap(), Msn(msn), Epoch(epoch)));
        store.put(&key, data("s")).await.unwrap();
    }
    let init = Key::Live(stream, StreamFile::Init("source".parse().unwrap(), "0a1b".parse().unwrap()));
    store.put(&init, data("i")).await.unwrap();
    let listed: Vec<_> =
        store.segments(stream, &source).await.unwrap().iter().map(|(msn, _)| msn.0).collect();
    assert_eq!(listed, [7, 8, 9, 10]);
    for number in [1, 0] {
        store.put(&Key::Live(stream, StreamFile::Log(Epoch(1), number)), data("l")).await.unwrap();
    }
    assert_eq!(store.logs(stream).await.unwrap(), [(Epoch(1), 0), (Epoch(1), 1)]);

    claims(store).await;

    // All of one stream, and nothing else, goes.
    let other = Key::Live(StreamId::generate(), StreamFile::Master);
    store.put(&other, data("m")).await.unwrap();
    store.put(&Key::Poster(stream), data("p")).await.unwrap();
    store.remove_stream(stream).await.unwrap();
    for gone in [&segment, &playlist, &init, &Key::Poster(stream)] {
        assert_eq!(store.get(gone).await.unwrap(), None, "{gone}");
    }
    assert!(store.get(&other).await.unwrap().is_some());
}

async fn claims(store: &SegmentStore) {
    let stream = StreamId::generate();
    let claim = |epoch| claim_of(stream, epoch, None);
    let first = claim(1);
    store.claim(&first).await.unwrap();
    store.claim(&first).await.expect("the same worker's claim is made already");
    assert!(matches!(store.claim(&claim(1)).await, Err(ClaimError::Taken(Epoch(1)))));

    let filled = StoredState {
        filled: Some(FilledState { timeline: timeline(stream), clock: None, closed: false }),
        ..first
    };
    let body = Bytes::from(filled.write().unwrap());
    store.put(&Key::Live(stream, StreamFile::State(Epoch(1))), body).await.unwrap();
    for epoch in [2, 10] {
        store.claim(&claim(epoch)).await.unwrap();
    }
    let known = store.claims(stream).await.unwrap();
    assert_eq!(known.fence, Some(Epoch(10)), "the fence is the highest claim, by number");
    assert_eq!(known.filled, Some(filled), "the timeline is the newest that announced something");
    assert_eq!(known.unfilled, Some(Epoch(2)), "this one may have announced something too");
    assert!(known.unreadable.is_empty(), "{:?}", known.unreadable);
}

fn claim_of(stream: StreamId, epoch: u32, owner: Option<Ownership>) -> StoredState {
    StoredState { stream, epoch: Epoch(epoch), worker: worker(), owner, filled: None }
}

#[tokio::test]
async fn a_state_that_was_cut_off_at_any_byte_is_a_claim_that_nobody_filled() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let stream = StreamId::generate();
    let filled = |epoch| StoredState {
        filled: Some(FilledState {
            timeline: Timeline { epoch: Epoch(epoch), ..timeline(stream) },
            clock: None,
            closed: false,
        }),
        ..claim_of(stream, epoch, None)
    };
    let put = async |epoch, body: Vec<u8>| {
        store.put(&Key::Live(stream, StreamFile::State(Epoch(epoch))), body.into()).await.unwrap();
    };
    put(1, filled(1).write().unwrap()).await;
    let whole = filled(2).write().unwrap();
    for length in 0..whole.len() {
        put(2, whole[..length].to_vec()).await;
        let claims = store.claims(stream).await.unwrap();
        assert_eq!(claims.fence, Some(Epoch(2)), "{length}");
        assert_eq!(claims.filled.map(|state| state.epoch), Some(Epoch(1)), "{length}");
        let said: Vec<_> = claims.unreadable.iter().map(ToString::to_string).collect();
        assert!(said.len() == 1 && said[0].starts_with(&format!("live/{stream}/state-2.json: ")), "{said:?}");
        let mine = claim_of(stream, 2, None);
        assert!(matches!(store.claim(&mine).await, Err(ClaimError::Taken(Epoch(2)))), "{length}");
    }
    store.claim(&claim_of(stream, 3, None)).await.unwrap();
    put(2, whole).await;
    assert_eq!(store.claims(stream).await.unwrap().filled.map(|state| state.epoch), Some(Epoch(2)));
}

#[tokio::test]
async fn a_folder_gives_back_all_that_a_stream_took_and_nothing_of_anybody_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let stream = StreamId::generate();
    write_stream(&store, stream, None).await;
    let root = folder.path().join(format!("live/{stream}"));
    // A worker that was killed while it wrote.
    std::fs::write(root.join("source/9-1.m4s#1"), "half").unwrap();
    std::fs::write(root.join("state-1.json#2"), "half").unwrap();
    std::fs::create_dir(root.join("720p")).unwrap();
    assert_eq!(store.remove_stream(stream).await.unwrap(), 0);
    assert_eq!(files(folder.path()), Vec::<String>::new());
    assert!(
        !root.exists() && !folder.path().join(format!("thumbnails/{stream}")).exists(),
        "empty folders go too"
    );
    assert_eq!(store.remove_stream(stream).await.unwrap(), 0, "twice is as good");

    write_stream(&store, stream, None).await;
    std::fs::write(root.join("source/cut.mp4"), "somebody's").unwrap();
    std::fs::write(root.join("notes"), "somebody's").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("7-1.m4s"), "somebody's").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), root.join("audio2")).unwrap();
    assert_eq!(store.remove_stream(stream).await.unwrap(), 3);
    let left = [format!("live/{stream}/notes"), format!("live/{stream}/source/cut.mp4")];
    assert_eq!(files(folder.path()), left);
    assert_eq!(files(elsewhere.path()), ["7-1.m4s"]);
}

#[tokio::test]
async fn a_bucket_gives_back_all_that_a_stream_took_and_nothing_of_anybody_else() {
    let server = Moto::start();
    let store = server.store("shared");
    let (stream, other) = (StreamId::generate(), StreamId::generate());
    write_stream(&store, stream, None).await;
    write_stream(&store, other, None).await;
    let put = server.request(&format!("PUT /shared/live/{stream}/source/cut.mp4"));
    assert!(put.starts_with("http/1.1 200"), "{put}");
    assert_eq!(store.remove_stream(stream).await.unwrap(), 1);
    assert_eq!(store.epochs(stream).await.unwrap(), []);
    assert_eq!(store.get(&Key::Poster(stream)).await.unwrap(), None);
    assert!(server.request(&format!("GET /shared/live/{stream}/source/cut.mp4")).starts_with("http/1.1 200"));
    assert_eq!(store.epochs(other).await.unwrap(), [Epoch(1)]);
    assert!(store.streams().await.unwrap().contains(&other));
    proves_ownership(&store).await;
}

#[tokio::test]
async fn a_folder_is_looked_through_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    assert_eq!(store.streams_after(None, 3).await.unwrap(), []);
    // Neither of these is a stream's folder.
    std::fs::create_dir_all(folder.path().join("live/films")).unwrap();
    std::fs::write(folder.path().join(format!("live/{}", StreamId::generate())), "a file").unwrap();
    looked_through(&store).await;
}

#[tokio::test]
async fn a_bucket_is_looked_through_in_pages() {
    let server = Moto::start();
    let store = server.store("pages");
    assert_eq!(store.streams_after(None, 3).await.unwrap(), []);
    for name in ["0-before-all-ids/a", "films/a", "zzz/a", "a-file"] {
        assert!(server.request(&format!("PUT /pages/live/{name}")).starts_with("http/1.1 200"));
    }
    looked_through(&store).await;
}

/// The page that a request for a bucket's streams asks for; each page has one.
fn page_of(streams: &[StreamId], request: &str) -> String {
    let token = request.split("continuation-token=").nth(1).map_or("0", |rest| &rest[..1]);
    let number: usize = token.parse().unwrap();
    let is_asked = request.contains("prefix=live");
    let prefix = format!("<CommonPrefixes><Prefix>live/{}/</Prefix></CommonPrefixes>", streams[number]);
    let next = format!("<NextContinuationToken>{}</NextContinuationToken>", number + 1);
    let page: String = [(prefix, is_asked), (next, is_asked && number + 1 < streams.len())]
        .into_iter()
        .filter_map(|(element, is_there)| is_there.then_some(element))
        .collect();
    let body = format!("<ListBucketResult>{page}</ListBucketResult>");
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(start_paused = true)]
async fn a_bucket_whose_streams_take_longer_to_list_than_one_request_may_is_listed_to_the_end() {
    let mut all: Vec<StreamId> = (0..6).map(|_| StreamId::generate()).collect();
    all.sort_unstable_by_key(|stream| stream.0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut answering = JoinSet::new();
    let streams = all.clone();
    answering.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let streams = streams.clone();
            connections.spawn(async move {
                let mut connection = BufReader::new(connection);
                let mut request = String::new();
                while connection.read_line(&mut request).await.unwrap() > 0 {
                    if request.ends_with("\r\n\r\n") {
                        // Less than a try may take.
                        tokio::time::sleep(Duration::from_secs(4)).await;
                        let page = page_of(&streams, &std::mem::take(&mut request));
                        connection.get_mut().write_all(page.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    let begun = tokio::time::Instant::now();
    assert_eq!(bucket(&endpoint, "slow").streams().await.unwrap(), all);
    assert!(begun.elapsed() >= Duration::from_secs(24), "{:?}", begun.elapsed());
}

async fn looked_through(store: &SegmentStore) {
    let mut all: Vec<StreamId> = (0..7).map(|_| StreamId::generate()).collect();
    all.sort_unstable_by_key(|stream| stream.0);
    for stream in &all {
        for file in [StreamFile::Master, StreamFile::Manifest] {
            store.put(&Key::Live(*stream, file), Bytes::from_static(b"x")).await.unwrap();
        }
    }
    for most in [1, 2, 3, 7, 100] {
        let mut found: Vec<StreamId> = Vec::new();
        loop {
            let page = store.streams_after(found.last().copied(), most).await.unwrap();
            assert!(page.len() <= most, "{most}: {page:?}");
            let is_last = page.len() < most;
            found.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(found, all, "{most}");
    }

    let stream = all[3];
    let before = store.last_write(stream).await.unwrap().unwrap();
    assert_eq!(store.last_write(StreamId::generate()).await.unwrap(), None);
    // S3's times are whole seconds.
    let later = async {
        loop {
            store.put(&Key::Poster(stream), Bytes::from_static(b"x")).await.unwrap();
            let last = store.last_write(stream).await.unwrap().unwrap();
            if last.0 > before.0 {
                return last;
            }
        }
    };
    let later = tokio::time::timeout(Duration::from_secs(20), later).await.expect("a later time");
    assert_eq!(store.last_write(stream).await.unwrap(), Some(later));
}

#[tokio::test]
async fn a_removal_that_could_not_finish_leaves_what_says_whose_the_rest_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let stream = StreamId::generate();
    write_stream(&store, stream, Some(ownership(1, false))).await;
    // Where the posters should be, so that the removal fails at something else than a state.
    let posters = folder.path().join("thumbnails");
    std::fs::remove_dir_all(&posters).unwrap();
    std::fs::write(&posters, "in the way").unwrap();
    store.remove_stream(stream).await.unwrap_err();
    assert_eq!(provenance(&store, stream).await, "disposable");
    proves_ownership(&store).await;
}

/// Only what says of itself that it is this installation's and no recording may be removed without a record of it.
async fn proves_ownership(store: &SegmentStore) {
    for (case, owners, expected) in [
        ("ours", vec![Some(ownership(1, false))], "disposable"),
        ("ours, over epochs", vec![Some(ownership(1, false)), Some(ownership(1, false))], "disposable"),
        ("begun by an older version", vec![None, Some(ownership(1, false))], "disposable"),
        ("a recording", vec![Some(ownership(1, true))], "kept"),
        ("a recording at first", vec![Some(ownership(1, true)), Some(ownership(1, false))], "kept"),
        (
            "ours, by another of our keys",
            vec![Some(ownership(3, false)), Some(ownership(1, false))],
            "disposable",
        ),
        ("another installation's", vec![Some(ownership(2, false))], "kept"),
        ("another installation's by now", vec![Some(ownership(1, false)), Some(ownership(2, false))], "kept"),
        ("of an older version", vec![None], "unknown"),
        ("without any state", vec![], "unknown"),
    ] {
        let stream = StreamId::generate();
        store.put(&Key::Live(stream, StreamFile::Master), Bytes::from_static(b"m")).await.unwrap();
        for (epoch, owner) in (1..).zip(owners) {
            store.claim(&claim_of(stream, epoch, owner)).await.unwrap();
        }
        assert_eq!(provenance(store, stream).await, expected, "{case}");
        assert!(store.streams().await.unwrap().contains(&stream), "{case}");
        let damaged = Key::Live(stream, StreamFile::State(Epoch(9)));
        store.put(&damaged, Bytes::new()).await.unwrap();
        assert_eq!(provenance(store, stream).await, expected, "{case}, beside a damaged state");
    }
}

/// As somebody writes it who keeps to no limit of ours.
fn too_long(folder: &Path, key: &Key) {
    let path = folder.join(key.to_string());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::create(path).unwrap().set_len(key.longest() + 1).unwrap();
}

#[tokio::test]
async fn what_is_longer_than_any_of_its_kind_is_neither_written_nor_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let stream = StreamId::generate();
    let source = || "source".parse().unwrap();
    let mib = 1024 * 1024;
    for (file, longest) in [
        (Some(StreamFile::State(Epoch(1))), 4 * mib),
        (Some(StreamFile::Probe), 2 * mib),
        (Some(StreamFile::Master), mib / 4),
        (Some(StreamFile::Manifest), 2 * mib),
        (Some(StreamFile::Playlist(source())), 2 * mib),
        (Some(StreamFile::Init(source(), "0a1b".parse().unwrap())), mib),
        (Some(StreamFile::Segment(source(), Msn(7), Epoch(1))), 128 * mib),
        (None, 2 * mib),
    ] {
        let key = file.map_or(Key::Poster(stream), |file| Key::Live(stream, file));
        assert_eq!(key.longest(), longest, "{key}");
        let one_more = || Bytes::from(vec![0; usize::try_from(longest).unwrap() + 1]);
        let refused = |error: &StorageError| matches!(error, StorageError::TooLong { size, .. } if *size == longest + 1);
        assert!(store.put(&key, one_more()).await.is_err_and(|error| refused(&error)), "{key}");
        let created = store.create(&key, one_more()).await;
        assert!(matches!(created, Err(CreateError::Storage(error)) if refused(&error)), "{key}");
        let replaced = store.replace(&key, one_more(), None, Durability::Lazy).await;
        assert!(matches!(replaced, Err(ReplaceError::Storage(error)) if refused(&error)), "{key}");
        assert_eq!(store.get(&key).await.unwrap(), None, "{key} was not written");
        if longest < 128 * mib {
            let fits = one_more().slice(1..);
            store.put(&key, fits.clone()).await.unwrap();
            assert!(store.get(&key).await.unwrap().is_some_and(|read| read == fits), "{key}");
        }
        too_long(folder.path(), &key);
        assert!(store.get(&key).await.is_err_and(|error| refused(&error)), "{key}");
        assert!(store.get_range(&key, 0..longest + 1).await.is_err_and(|error| refused(&error)), "{key}");
        assert!(store.get_range(&key, longest - 1..longest).await.unwrap().is_some(), "{key}");
    }
}

#[tokio::test]
async fn a_state_that_is_too_long_is_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    for (owners, expected) in [
        (vec![], "unknown"),
        (vec![Some(ownership(1, false))], "disposable"),
        (vec![Some(ownership(1, true))], "kept"),
    ] {
        let stream = StreamId::generate();
        for (epoch, owner) in (1..).zip(owners) {
            store.claim(&claim_of(stream, epoch, owner)).await.unwrap();
        }
        too_long(folder.path(), &Key::Live(stream, StreamFile::State(Epoch(9))));
        assert_eq!(provenance(&store, stream).await, expected);
        let claims = store.claims(stream).await.unwrap();
        assert_eq!((claims.fence, claims.unreadable.len()), (Some(Epoch(9)), 1));
    }
}

#[tokio::test]
async fn a_storage_proves_that_it_can_be_written_and_keeps_nothing_of_that() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let stream = StreamId::generate();
    store.prove_writable(stream).await.unwrap();
    assert_eq!(files(folder.path()), Vec::<String>::new());
    // What a full disk is to a write, this is to any user's: something that it cannot replace.
    let probe = folder.path().join(format!("live/{stream}/probe"));
    std::fs::create_dir_all(probe.join("in the way")).unwrap();
    store.prove_writable(stream).await.unwrap_err();
}

async fn provenance(store: &SegmentStore, stream: StreamId) -> &'static str {
    match store.provenance(stream, &[installation(1), installation(3)]).await.unwrap() {
        Provenance::Disposable(_) => "disposable",
        Provenance::Kept => "kept",
        Provenance::Unknown => "unknown",
    }
}

#[tokio::test]
async fn a_live_stream_of_a_copied_installation_is_seen_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let stream = StreamId::generate();
    let state = claim_of(stream, 1, Some(ownership(1, false)));
    store.claim(&state).await.unwrap();
    let seen = store.provenance(stream, &[installation(1), installation(3)]).await.unwrap();
    assert_eq!(store.provenance(stream, &[installation(1), installation(3)]).await.unwrap(), seen);
    let key = Key::Live(stream, StreamFile::State(Epoch(1)));
    store.put(&key, state.write().unwrap().into()).await.unwrap();
    assert_ne!(store.provenance(stream, &[installation(1), installation(3)]).await.unwrap(), seen);
}

#[tokio::test]
async fn a_storage_that_cannot_be_reached_is_not_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let stream = StreamId::generate();
    write_stream(&store, stream, None).await;
    std::fs::rename(folder.path().join("live"), folder.path().join("away")).unwrap();
    std::fs::write(folder.path().join("live"), "in the way").unwrap();
    let removed = store.remove_stream(stream).await;
    assert!(matches!(removed, Err(StorageError::Failed { .. })), "{removed:?}");
    std::fs::remove_file(folder.path().join("live")).unwrap();
    std::fs::rename(folder.path().join("away"), folder.path().join("live")).unwrap();
    store.remove_stream(stream).await.unwrap();
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

async fn write_stream(store: &SegmentStore, stream: StreamId, owner: Option<Ownership>) {
    store.claim(&claim_of(stream, 1, owner)).await.unwrap();
    let source = || "source".parse().unwrap();
    for file in [
        StreamFile::Log(Epoch(1), 0),
        StreamFile::Master,
        StreamFile::Manifest,
        StreamFile::Playlist(source()),
        StreamFile::Init(source(), "0a1b".parse().unwrap()),
        StreamFile::Segment(source(), Msn(7), Epoch(1)),
    ] {
        store.put(&Key::Live(stream, file), Bytes::from_static(b"x")).await.unwrap();
    }
    store.put(&Key::Poster(stream), Bytes::from_static(b"x")).await.unwrap();
}

fn installation(key: u8) -> InstallationId {
    InstallationId::of(&SigningKey::from_bytes(&[key; 32]).verifying_key())
}

fn ownership(key: u8, record: bool) -> Ownership {
    Ownership { installation: installation(key), record }
}

/// All files under a folder, sorted; links are not followed.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn worker() -> WorkerAddress {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere }
}

fn timeline(stream: StreamId) -> Timeline {
    Timeline {
        stream,
        epoch: Epoch(1),
        target_duration: 4,
        part_hold_back: MediaDuration::from_millis(600),
        first_msn: Msn(7),
        tracks: Vec::new(),
        captions: Vec::new(),
        ended: false,
    }
}
