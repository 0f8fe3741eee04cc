//! The same promises, kept by a folder and by a server that speaks S3.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{FilledState, StoredState};
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{Epoch, MediaDuration, Msn, StreamId, WorkerId};
use caudal_storage::{
    ClaimError, CreateError, Key, ReplaceError, S3Config, S3Credentials, SegmentStore, StreamFile,
};

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
    let first = store.replace(&playlist, data("1"), None).await.unwrap();
    assert!(matches!(store.replace(&playlist, data("x"), None).await, Err(ReplaceError::Changed)));
    let second = store.replace(&playlist, data("22"), Some(&first)).await.unwrap();
    assert!(matches!(store.replace(&playlist, data("x"), Some(&first)).await, Err(ReplaceError::Changed)));
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
    let claim = |epoch| StoredState { stream, epoch: Epoch(epoch), worker: worker(), filled: None };
    let first = claim(1);
    store.claim(&first).await.unwrap();
    store.claim(&first).await.expect("the same worker's claim is made already");
    assert!(matches!(store.claim(&claim(1)).await, Err(ClaimError::Taken(Epoch(1)))));

    let filled = StoredState {
        filled: Some(FilledState { timeline: timeline(stream), clock: None, closed: false }),
        ..first
    };
    let body = Bytes::from(serde_json::to_vec(&filled).unwrap());
    store.put(&Key::Live(stream, StreamFile::State(Epoch(1))), body).await.unwrap();
    for epoch in [2, 10] {
        store.claim(&claim(epoch)).await.unwrap();
    }
    let known = store.claims(stream).await.unwrap();
    assert_eq!(known.fence, Some(Epoch(10)), "the fence is the highest claim, by number");
    assert_eq!(known.filled, Some(filled), "the timeline is the newest that announced something");
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
        ended: false,
    }
}

/// moto's server, for one test; ends with it.
struct Moto {
    child: Child,
    address: String,
}

impl Moto {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/moto-server.sh");
        let mut child = Command::new(script)
            .args(["run", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto-server.sh starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        // Reads on to the end, or the server would block on a full pipe.
        std::thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                if tell.send(line).is_err() {
                    lines.by_ref().for_each(drop);
                }
            }
        });
        let mut said = Vec::new();
        let address = loop {
            match told.recv_timeout(Duration::from_mins(1)) {
                Ok(line) => match line.split_once("Running on http://") {
                    Some((_, address)) => break address.trim().to_owned(),
                    None => said.push(line),
                },
                Err(error) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    panic!("moto does not come up ({error}): {}", said.join("\n"));
                }
            }
        };
        Self { child, address }
    }

    fn store(&self, name: &str) -> SegmentStore {
        let made = self.request(&format!("PUT /{name}"));
        assert!(made.starts_with("http/1.1 200"), "{made}");
        bucket(&format!("http://{}", self.address), name)
    }

    /// The head of the answer, in lower case.
    fn request(&self, line: &str) -> String {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (method, path) = line.split_once(' ').unwrap();
        // moto looks at who signs, never at the signature.
        let credential = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {credential}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.to_lowercase()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bucket(endpoint: &str, name: &str) -> SegmentStore {
    SegmentStore::s3(&S3Config {
        bucket: name.to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        allow_http: true,
        credentials: Some(S3Credentials {
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
            session_token: None,
        }),
    })
    .unwrap()
}
