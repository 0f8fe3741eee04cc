//! Ending with the process that started this one.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What the end of the pipe meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// It has ended this worker in order, and is there.
    EndedThisWorker,
    /// Its process is gone.
    Gone,
}

/// Cancels `shutdown` when `pipe` ends. A supervisor holds the other end open and writes nothing, so the kernel itself
/// says when it is gone, even after `kill -9`. Give it `tokio::io::stdin()` when `CAUDAL_PARENT_PIPE=stdin`. A supervisor
/// that ends its worker in order tells it to leave before it closes the pipe: `told_to_leave` is cancelled then. None when
/// the worker ends first.
pub async fn parent_gone(
    mut pipe: impl AsyncRead + Unpin,
    told_to_leave: CancellationToken,
    shutdown: CancellationToken,
) -> Option<Parent> {
    let mut scratch = [0_u8; 64];
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return None,
            read = pipe.read(&mut scratch) => match read {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            },
        }
    }
    shutdown.cancel();
    let told = timeout(SIGNAL_ON_ITS_WAY, told_to_leave.cancelled()).await.is_ok();
    Some(if told { Parent::EndedThisWorker } else { Parent::Gone })
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
        assert_eq!(watch.await, Some(Parent::Gone));
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_parent_that_ends_its_worker_in_order_is_not_gone_even_if_its_signal_is_noticed_last() {
        let (parent, child) = tokio::io::duplex(16);
        let (told_to_leave, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let watch = tokio::spawn(parent_gone(child, told_to_leave.clone(), shutdown.clone()));
        drop(parent);
        shutdown.cancelled().await;
        told_to_leave.cancel();
        assert_eq!(watch.await.unwrap(), Some(Parent::EndedThisWorker));
    }

    #[tokio::test]
    async fn a_worker_that_ends_by_itself_learns_nothing_of_its_parent() {
        let (_parent, child) = tokio::io::duplex(16);
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        assert_eq!(parent_gone(child, CancellationToken::new(), shutdown).await, None);
    }
}
