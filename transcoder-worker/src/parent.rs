//! Ending with the process that started this one.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Cancels `shutdown` when `pipe` ends. A supervisor holds the other end open and writes nothing, so the kernel itself
/// says when it is gone, even after `kill -9`. Give it `tokio::io::stdin()` when `CAUDAL_PARENT_PIPE=stdin`. A supervisor
/// that ends its worker in order tells it to leave before it closes the pipe: `told_to_leave` is cancelled then.
pub async fn parent_gone(
    mut pipe: impl AsyncRead + Unpin,
    told_to_leave: CancellationToken,
    shutdown: CancellationToken,
) {
    let mut scratch = [0_u8; 64];
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            read = pipe.read(&mut scratch) => match read {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            },
        }
    }
    shutdown.cancel();
    if timeout(SIGNAL_ON_ITS_WAY, told_to_leave.cancelled()).await.is_ok() {
        tracing::debug!("the controller has ended this worker");
    } else {
        tracing::warn!("the parent process is gone");
    }
}

/// The signal was sent first, and may be noticed last.
const SIGNAL_ON_ITS_WAY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_the_pipe_is_the_end_of_the_worker() {
        let (parent, child) = tokio::io::duplex(16);
        let shutdown = CancellationToken::new();
        let watch = parent_gone(child, CancellationToken::new(), shutdown.clone());
        drop(parent);
        watch.await;
        assert!(shutdown.is_cancelled());
    }
}
