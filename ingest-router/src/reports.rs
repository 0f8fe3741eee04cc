//! How long a session waits until the directory has taken what it reports.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Waits for a `report` to the directory, which says whether it was taken, as long as its effect is worth that; a session that is told to `leave` does not
/// keep a router that stops waiting for a controller that is away. Whether it was taken.
pub(crate) async fn wait_until_taken(report: impl Future<Output = bool>, leave: CancellationToken) -> bool {
    let leaves = async {
        leave.cancelled().await;
        sleep(LEAVING).await;
    };
    tokio::select! {
        taken = report => taken,
        () = sleep(DEADLINE) => false,
        () = leaves => false,
    }
}

/// Longer than the restart of a controller takes.
const DEADLINE: Duration = Duration::from_secs(5);
/// A controller that is there has answered by then.
const LEAVING: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_controller_that_is_away_is_waited_for_less_long_once_the_router_stops() {
        let began = Instant::now();
        let leave = CancellationToken::new();
        assert!(wait_until_taken(ready(true), leave.clone()).await);
        assert!(!wait_until_taken(pending(), leave.clone()).await);
        assert_eq!(began.elapsed(), DEADLINE);
        leave.cancel();
        assert!(!wait_until_taken(pending(), leave.clone()).await);
        assert_eq!(began.elapsed(), DEADLINE + LEAVING);
        assert!(wait_until_taken(ready(true), leave.clone()).await, "one that is there is told");
        assert!(!wait_until_taken(ready(false), leave).await, "and may refuse");
    }
}
