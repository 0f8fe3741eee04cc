use std::sync::Arc;

use caudal_directory::{MoveError, Moved, Unavailable};
use caudal_livestream::record::LiveStream;
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, StreamId, WorkerId};
use futures::future::BoxFuture;
use tokio::task::JoinHandle;

use super::*;

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
        took: Duration::from_millis(1500),
    }
}

async fn served(folder: &Path) -> Served {
    let stream = StreamId::generate();
    let stop = CancellationToken::new();
    let control = Arc::new(Mover { stream, moved: moved() });
    let task = tokio::spawn(serve(folder.to_owned(), control, stop.clone()));
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
    assert_eq!(answer, Answer::Refused { reason: "there is no such stream".to_owned() });

    served.stop.cancel();
    served.task.await.unwrap().unwrap();
    assert!(ask(&folder, &Request::Move { stream: served.stream }).await.is_err(), "nobody is there");
}

#[tokio::test]
async fn what_is_no_request_is_told_so_and_one_without_end_is_cut_off() {
    let data = tempfile::tempdir().unwrap();
    let served = served(&data.path().join("admin")).await;
    let path = served.folder.join(FILE);
    let mut connection = UnixStream::connect(&path).await.unwrap();
    connection.write_all(b"{\"restart\":{}}\n").await.unwrap();
    let answer = read_line(&mut connection, PEER_DEADLINE).await.unwrap();
    assert!(matches!(serde_json::from_slice(&answer).unwrap(), Answer::Refused { .. }));

    let mut connection = UnixStream::connect(&path).await.unwrap();
    // It may be cut off while it still writes.
    let _ = connection.write_all(&vec![b'x'; 2 * LONGEST_LINE]).await;
    let answer = read_line(&mut connection, PEER_DEADLINE).await;
    assert!(answer.is_err_and(|error| error.kind() != io::ErrorKind::TimedOut));
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
    let control = Arc::new(Mover { stream: StreamId::generate(), moved: moved() });
    let task = tokio::spawn(serve(folder.clone(), control, stop.clone()));
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
    let mover = || Arc::new(Mover { stream, moved: moved() });
    assert!(serve(folder.clone(), mover(), stop.clone()).await.is_err());
    let serving = tokio::spawn(serve_if_possible(folder.clone(), mover(), stop.clone()));
    tokio::task::yield_now().await;
    assert!(!serving.is_finished());
    stop.cancel();
    serving.await.unwrap();
    assert_eq!(fs::read_to_string(&folder).unwrap(), "somebody's file");
}
