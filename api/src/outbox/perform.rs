//! Who does which job.

use super::job::Job;
use super::queue::Claimed;
use crate::app::App;
use crate::error::Error;
use crate::notifications;

/// A job that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Goes on as this one, which is a new job under the same id.
    Next(Job),
}

/// Does it. `claimed.id` is the event's: the same at a second try.
pub(super) async fn perform(app: &App, claimed: &Claimed) -> Result<Outcome, Error> {
    let job = Job::of_columns(&claimed.topic, &claimed.payload)
        .map_err(|error| Error::Internal(format!("this version does not know the job: {error}")))?;
    let parts = &app.notifications;
    match job {
        Job::StreamStarted { stream } => notifications::stream_started(parts, stream).await,
        Job::StreamEnded { stream } => notifications::stream_ended(parts, &app.chat, stream).await,
        Job::StreamUpdated { stream } => notifications::stream_updated(parts, &app.chat, stream).await,
        Job::NotifyFollowers(batch) => notifications::tell_followers(parts, claimed.id, batch).await,
        Job::NewFollower { follower, followed } => {
            notifications::new_follower(parts, claimed.id, follower, followed).await
        }
    }
}
