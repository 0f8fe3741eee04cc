//! A controller that says nothing, and a reader that does not hear it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{advance, pause, resume, sleep};

use super::*;

/// A controller that says only what the test has it say, and a reader of it.
struct Silent {
    listener: TcpListener,
    edge: Arc<RemoteDirectory>,
}

impl Silent {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let signer = Signer::new("hls-edge", key("hls-edge"));
        Self { listener, edge: RemoteDirectory::start_with(url, signer, SILENCE).unwrap() }
    }

    /// Takes a connection, and says on it that there are no streams.
    async fn accept(&self) -> TcpStream {
        let (mut socket, _) = within(self.listener.accept()).await.unwrap();
        let mut asked = [0; 1024];
        let _ = socket.read(&mut asked).await.unwrap();
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        say(&mut socket).await;
        socket
    }

    /// Reads one connection, and says how that was lost.
    async fn reading(&self) -> (JoinHandle<Lost>, TcpStream) {
        self.edge.close().await;
        let shared = Arc::clone(&self.edge.shared);
        let reading = tokio::spawn(async move { shared.read(&mut None, &mut Excuses::default()).await });
        let mut follows = self.edge.shared.standing.subscribe();
        follows.mark_unchanged();
        let socket = self.accept().await;
        within(follows.changed()).await.unwrap();
        (reading, socket)
    }
}

async fn say(socket: &mut TcpStream) {
    let whole = r#"{"kind":"whole","mark":{"run":"00000000-0000-0000-0000-000000000000","revision":1}}"#;
    let chunk = format!("{:x}\r\n{whole}\n\r\n", whole.len() + 1);
    socket.write_all(chunk.as_bytes()).await.unwrap();
}

/// All timers fire at once, and late.
async fn stand_still() {
    pause();
    advance(SILENCE * 10).await;
    resume();
}

#[tokio::test]
async fn a_controller_that_hangs_is_away() {
    let controller = Silent::new().await;
    let _socket = controller.accept().await;
    within(controller.edge.read_once()).await;
    assert!(!within(controller.edge.follows(true)).await);
    assert!(!controller.edge.is_current());
    controller.edge.close().await;
}

#[tokio::test]
async fn a_controller_that_was_not_heard_while_its_reader_stood_still_is_heard_again() {
    let controller = Silent::new().await;
    let (reading, mut socket) = controller.reading().await;
    stand_still().await;
    sleep(SILENCE / 4).await;
    say(&mut socket).await;
    sleep(SILENCE / 4).await;
    assert!(!reading.is_finished());
    // Silence of another kind, then.
    let Lost::Away(reason) = within(reading).await.unwrap() else { panic!("it did not stand still again") };
    assert_eq!(reason, format!("it was silent for {SILENCE:?}"));
}

#[tokio::test]
async fn a_connection_that_was_lost_while_its_reader_stood_still_says_nothing_of_the_controller() {
    let controller = Silent::new().await;
    let (reading, socket) = controller.reading().await;
    drop(socket);
    stand_still().await;
    assert!(matches!(within(reading).await.unwrap(), Lost::StoodStill));

    let (reading, socket) = controller.reading().await;
    drop(socket);
    assert!(matches!(within(reading).await.unwrap(), Lost::Away(_)));
}

/// A standstill of ten times that is later than what [`Excuses`] take for chance.
const SILENCE: Duration = Duration::from_millis(500);
