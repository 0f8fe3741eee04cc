//! Ending with the process that started this one.

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::sync::CancellationToken;

/// Cancels `shutdown` when `pipe` ends. A supervisor holds the other end open and writes nothing, so the kernel itself
/// says when it is gone, even after `kill -9`. Give it `tokio::io::stdin()` when `CAUDAL_PARENT_PIPE=stdin`.
pub async fn parent_gone(mut pipe: impl AsyncRead + Unpin, shutdown: CancellationToken) {
    let mut scratch = [0_u8; 64];
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            read = pipe.read(&mut scratch) => match read {
                Ok(0) | Err(_) => {
                    tracing::info!("the parent process is gone");
                    shutdown.cancel();
                    return;
                }
                Ok(_) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_the_pipe_is_the_end_of_the_worker() {
        let (parent, child) = tokio::io::duplex(16);
        let shutdown = CancellationToken::new();
        let watch = parent_gone(child, shutdown.clone());
        drop(parent);
        watch.await;
        assert!(shutdown.is_cancelled());
    }
}
