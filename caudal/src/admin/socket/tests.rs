use std::sync::Arc;

use caudal_directory::{Moved, Unavailable};
use caudal_livestream::record::{LiveStream, Status, WorkerAddress};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, StreamId};
use futures::future::BoxFuture;
use tokio::task::JoinHandle;

use super::*;
use crate::admin::asking::ask;

/// Moves one stream, and knows no other.
struct Mover {
    stream: StreamId,
    moved: Moved,
}

impl StreamControl for Mover {
    fn end(&self, _: StreamId, _: EndReason) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn drop_publisher(&self, _: StreamId, _: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn revoke_key(&self, _: StreamId) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn inspect(&self, _: StreamId) -> Option<Arc<LiveStream>> {
        None
    }

    fn running(&self) -> Vec<Arc<LiveStream>> {
        let at = "127.0.0.1:1".parse().unwrap();
        let worker = WorkerAddress { worker: WorkerId::generate(), rtmp: at, http: at };
        let golden = include_str!("../../../../crates/livestream/tests/golden/live-stream.json");
        let mut record: LiveStream = serde_json::from_str(golden).unwrap();
        record.spec.stream = self.stream;
        record.status = Status { epoch: Epoch(7), worker: Some(worker), ..Status::default() };
        vec![Arc::new(record)]
    }

    fn move_stream(&self, stream: StreamId) -> BoxFuture<'_, Result<Moved, MoveError>> {
        let answer = if stream == self.stream { Ok(self.moved) } else { Err(MoveError::Unknown) };
        Box::pin(async { answer })
    }
}

struct Served {
    folder: PathBuf,
    stream: StreamId,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

fn moved() -> Moved {
    Moved {
        from: WorkerId::generate(),
        to: WorkerId::generate(),
        epoch: Epoch(2),
        stepped_in: false,
        lost_ms: Some(0),
        took: Duration::from_millis(1500),
    }
}

fn platform(stream: StreamId) -> Arc<Platform> {
    let control = Arc::new(Mover { stream, moved: moved() });
    Arc::new(Platform {
        control,
        process_of: Box::new(|_| Some(4711)),
        workers: Box::new(Vec::new),
        accounts: None,
    })
}

async fn served(folder: &Path) -> Served {
    let stream = StreamId::generate();
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(folder.to_owned(), platform(stream), stop.clone()));
    while !folder.join(FILE).exists() {
        assert!(!task.is_finished(), "{:?}", task.await);
        tokio::task::yield_now().await;
    }
    Served { folder: folder.to_owned(), stream, stop, task }
}

#[tokio::test]
async fn a_request_gets_its_answer_and_a_refusal_its_reason() {
    let data = tempfile::tempdir().unwrap();
    // Longer than a socket's address may be, and open to all before.
    let deep = data.path().join("d".repeat(120));
    fs::create_dir(&deep).unwrap();
    let folder = deep.join("admin");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let served = served(&folder).await;
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);

    let answer = ask(&served.folder, &Request::Move { stream: served.stream }).await.unwrap();
    assert!(matches!(answer, Answer::Moved { epoch: Epoch(2), took_ms: 1500, .. }), "{answer:?}");
    let answer = ask(&served.folder, &Request::Move { stream: StreamId::generate() }).await.unwrap();
    assert_eq!(answer, Answer::Refused { reason: NOT_ON_THE_AIR.to_owned() });
    let role = Request::SetRole { name: "ana".to_owned(), admin: true };
    let answer = ask(&served.folder, &role).await.unwrap();
    assert_eq!(answer, Answer::Refused { reason: NO_ACCOUNTS.to_owned() });
    let Answer::Streams { streams } = ask(&served.folder, &Request::Streams {}).await.unwrap() else {
        panic!("no list")
    };
    assert_eq!(streams.len(), 1);
    assert_eq!((streams[0].stream, streams[0].epoch, streams[0].pid), (served.stream, Epoch(7), Some(4711)));

    served.stop.cancel();
    served.task.await.unwrap().unwrap();
    assert!(ask(&folder, &Request::Move { stream: served.stream }).await.is_err(), "nobody is there");
}

#[tokio::test]
async fn what_is_no_request_and_what_is_too_long_is_told_so() {
    let data = tempfile::tempdir().unwrap();
    let served = served(&data.path().join("admin")).await;
    let path = served.folder.join(FILE);
    let mut connection = UnixStream::connect(&path).await.unwrap();
    connection.write_all(b"{\"restart\":{}}\n").await.unwrap();
    let answer = read_line(&mut connection, LONGEST_REQUEST, PEER_DEADLINE).await.unwrap();
    assert!(matches!(serde_json::from_slice(&answer).unwrap(), Answer::Refused { .. }));

    let mut connection = UnixStream::connect(&path).await.unwrap();
    connection.write_all(&vec![b'x'; 64 * LONGEST_REQUEST]).await.unwrap();
    let answer = read_line(&mut connection, LONGEST_REQUEST, PEER_DEADLINE).await.unwrap();
    let reason = "the request is longer than 4096 bytes".to_owned();
    assert_eq!(serde_json::from_slice::<Answer>(&answer).unwrap(), Answer::Refused { reason });
    served.stop.cancel();
    served.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let data = tempfile::tempdir().unwrap();
    let served = served(&data.path().join("admin")).await;
    let mut silent = Vec::new();
    for _ in 0..3 * MAX_SILENT {
        silent.push(UnixStream::connect(served.folder.join(FILE)).await.unwrap());
    }
    let request = Request::Move { stream: served.stream };
    // Far below the deadline of a silent connection.
    let answer = timeout(PEER_DEADLINE / 2, ask(&served.folder, &request)).await.expect("at once").unwrap();
    assert!(matches!(answer, Answer::Moved { .. }), "{answer:?}");
    assert_eq!(
        timeout(PEER_DEADLINE / 2, silent[0].read(&mut [0])).await.unwrap().unwrap(),
        0,
        "the oldest is closed"
    );
    served.stop.cancel();
    served.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_socket_that_a_killed_platform_left_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("admin");
    fs::create_dir(&folder).unwrap();
    drop(UnixListener::bind(folder.join(FILE)).unwrap());
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(folder.clone(), platform(StreamId::generate()), stop.clone()));
    let request = Request::Move { stream: StreamId::generate() };
    let answer = async {
        loop {
            if let Ok(answer) = ask(&folder, &request).await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = timeout(Duration::from_secs(20), answer).await.expect("a new socket");
    assert!(matches!(answer, Answer::Refused { .. }));
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_hold_a_socket_ends_nothing_but_the_socket() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("admin");
    fs::write(&folder, "somebody's file").unwrap();
    let (stop, stream) = (CancellationToken::new(), StreamId::generate());
    assert!(serve(folder.clone(), platform(stream), stop.clone()).await.is_err());
    let serving = tokio::spawn(serve_if_possible(folder.clone(), platform(stream), stop.clone()));
    tokio::task::yield_now().await;
    assert!(!serving.is_finished());
    stop.cancel();
    serving.await.unwrap();
    assert_eq!(fs::read_to_string(&folder).unwrap(), "somebody's file");
}
