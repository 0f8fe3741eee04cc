//! When a process is asked to stop.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How a process that should not end in the middle of something is asked to stop.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Cancelled at the first signal: finish what you do, and end then.
    pub leave: CancellationToken,
    /// Cancelled after the grace, and at a SIGINT or a second SIGTERM: end now, in order.
    pub end: CancellationToken,
}

/// Tokens for a process that has `grace` to leave in; `heard` is told the first signal's name. A signal after one that cancelled `end` ends the process at once, with
/// status 130; so does the second one after a grace that is over.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn on_signal_with_grace(
    grace: Duration,
    heard: impl FnOnce(&'static str) + Send + 'static,
) -> std::io::Result<Stop> {
    let stop = Stop { leave: CancellationToken::new(), end: CancellationToken::new() };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let told = stop.clone();
    // Owned by the process itself: it waits for signals until the process ends.
    drop(tokio::spawn(async move {
        let mut wait = async || {
            tokio::select! {
                _ = terminate.recv() => SIGTERM,
                _ = interrupt.recv() => SIGINT,
            }
        };
        let signal = wait().await;
        heard(signal);
        told.leave.cancel();
        // Whoever says a second time that the process is to end, after the grace too, asks for what it does already.
        if signal == SIGTERM && !grace.is_zero() && tokio::time::timeout(grace, wait()).await.is_err() {
            told.end.cancel();
            wait().await;
        }
        told.end.cancel();
        let signal = wait().await;
        tracing::warn!(signal, "told to stop again: ends at once");
        std::process::exit(130);
    }));
    Ok(stop)
}

/// A token that is cancelled at the first SIGTERM or SIGINT. A second one ends the process at once, with status 130.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    on_signal_with_grace(Duration::ZERO, say_so).map(|stop| stop.end)
}

/// Ending may take a while, and whoever has asked for it is to know that it was heard.
pub fn say_so(signal: &'static str) {
    tracing::info!(signal, "told to stop");
}

const SIGTERM: &str = "SIGTERM";
const SIGINT: &str = "SIGINT";
