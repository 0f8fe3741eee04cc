//! What the fuzzer runs, as a plain function, so that tests run it too. It asserts what must hold for any bytes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::http::{Door, HttpLimits};

/// The first bytes of a connection. The first input byte says how the peer behaves (whether it reads, how long it pauses);
/// the rest is what it says, with a pause between a zero byte and a byte below 32. The connection must end by its
/// deadlines, as the peer never closes it. Run under a paused clock.
pub async fn http_first_bytes(data: &[u8]) {
    let Some((behaviour, data)) = data.split_first() else { return };
    let (reads, pause) = (behaviour & 1 == 1, Duration::from_millis(u64::from(behaviour >> 1) * 10));
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/b", get(|| async { vec![0_u8; 256 * 1024] }))
        .route("/p", post(|body: String| async { body }));
    let door = Arc::new(Door::new(router, HttpLimits::default(), None, CancellationToken::new()));
    let (near, far) = duplex(4096);
    let (mut reader, mut writer) = split(near);
    let peer = std::net::SocketAddr::from(([192, 0, 2, 1], 1));
    let says = async {
        for chunk in chunks(data) {
            if writer.write_all(chunk).await.is_err() {
                break;
            }
            sleep(pause).await;
        }
        std::future::pending::<()>().await;
    };
    let hears = async {
        let mut buffer = [0_u8; 1024];
        while reads && matches!(reader.read(&mut buffer).await, Ok(1..)) {}
        std::future::pending::<()>().await;
    };
    let ended = timeout(PATIENCE, async {
        tokio::select! {
            () = door.admit(far, peer) => {}
            () = says => {}
            () = hears => {}
        }
    });
    assert!(ended.await.is_ok(), "the connection outlived every deadline");
}

fn chunks(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.chunk_by(|last, next| !(*last == 0 && *next < 32))
}

/// Longer than all deadlines together. Only pauses of the peer add to that, and inputs are a few kilobytes.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::http_first_bytes;

    fn run(data: &[u8]) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(http_first_bytes(data));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_end_by_a_deadline(data in prop::collection::vec(any::<u8>(), 0..200)) {
            run(&data);
        }

        #[test]
        fn likely_beginnings_end_by_a_deadline(
            behaviour in any::<u8>(),
            text in "(PRI \\* HTTP/2\\.0\r\n\r\nSM\r\n\r\n)?((GET|POST|P) /[bp]? HTTP/1\\.[01]\r\n(Host: a\r\n|Content-Length: [0-9]{1,3}\r\n|Transfer-Encoding: chunked\r\n|Connection: upgrade\r\n){0,3}(\r\n)?){0,3}",
            frames in prop::collection::vec((0_u8..12, 0_u8..8, 0_u8..4, prop::collection::vec(any::<u8>(), 0..9)), 0..6),
        ) {
            let mut data = vec![behaviour];
            data.extend_from_slice(text.as_bytes());
            for (kind, flags, stream, payload) in frames {
                data.extend_from_slice(&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream]);
                data.extend_from_slice(&payload);
            }
            run(&data);
        }
    }
}
