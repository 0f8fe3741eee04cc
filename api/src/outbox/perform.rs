//! Who does which job.

use std::time::Duration;

use uuid::Uuid;

use super::job::Job;
use super::queue::Claimed;
use crate::app::App;
use crate::billing;
use crate::error::Error;
use crate::event_subscriptions;
use crate::notifications;

/// A job that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Goes on as this one, which is a new job under the same id.
    Next(Job),
    /// Nothing of ours failed, and what was asked for has not come about yet: somebody else's server is away. To be done again,
    /// and not for an admin to look at; whoever says so gives up in time.
    Again {
        pause: Duration,
        reason: String,
    },
}

/// Which try at which job it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// The job's id, the same each time.
    pub(crate) job: Uuid,
    /// The first one being 1.
    pub(crate) number: i32,
}

/// Does it. `claimed.id` is the event's: the same at a second try.
pub(super) async fn perform(app: &App, claimed: &Claimed) -> Result<Outcome, Error> {
    let job = Job::of_columns(&claimed.topic, &claimed.payload)
        .map_err(|error| Error::Internal(format!("this version does not know the job: {error}")))?;
    let (parts, hooks) = (&app.notifications, &app.event_subscriptions);
    let attempt = Attempt { job: claimed.id, number: claimed.attempts };
    match job {
        Job::StreamStarted { stream } => notifications::stream_started(parts, stream).await,
        Job::StreamEnded { stream } => notifications::stream_ended(parts, &app.chat, stream).await,
        Job::StreamUpdated { stream } => notifications::stream_updated(parts, &app.chat, stream).await,
        Job::NotifyFollowers(batch) => notifications::tell_followers(parts, claimed.id, batch).await,
        Job::NewFollower { follower, followed } => {
            notifications::new_follower(parts, claimed.id, follower, followed).await
        }
        Job::TellSubscribers(batch) => event_subscriptions::tell_subscribers(hooks, claimed.id, batch).await,
        Job::DeliverEvent { subscription, event } => {
            event_subscriptions::deliver(hooks, attempt, subscription, &event).await
        }
        Job::VerifyEventSubscription { subscription } => {
            event_subscriptions::verify(hooks, attempt, subscription).await
        }
        Job::SyncBilling { kind, object } => billing::sync(&app.billing, &kind, &object, attempt).await,
        Job::CarryOutBillingOrder { order } => billing::carry_out(&app.billing, order, attempt).await,
        Job::MailSubscriber { subscription, letter, at } => {
            billing::mail_subscriber(&app.billing, subscription, letter, at, attempt).await
        }
        Job::NewSubscriber { subscription } => {
            billing::new_subscriber(&app.billing, parts, &app.chat, claimed.id, subscription).await
        }
    }
}
