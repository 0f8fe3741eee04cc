//! What there is to do.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::billing::SubscriptionLetter;
use crate::event_subscriptions::{Event, SubscribersOfEvent};
use crate::notifications::FollowersOfStream;

/// A job; the table has its name in `topic` and the rest in `payload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "topic", content = "payload", rename_all = "snake_case")]
pub(crate) enum Job {
    /// A stream can be watched.
    StreamStarted { stream: Uuid },
    /// A stream that could be watched is over.
    StreamEnded { stream: Uuid },
    /// Its title or categories are others.
    StreamUpdated { stream: Uuid },
    /// Followers of somebody who is live are to be told, as many as one transaction should write.
    NotifyFollowers(FollowersOfStream),
    /// Somebody has a follower more.
    NewFollower { follower: Uuid, followed: Uuid },
    /// Servers of others are to be told of something, as many as one transaction should write.
    TellSubscribers(SubscribersOfEvent),
    /// One of them is to be told. The job's id is the message's.
    DeliverEvent { subscription: Uuid, event: Event },
    /// A server is to say that it wants to be told.
    VerifyEventSubscription { subscription: Uuid },
    /// Something has changed at a payment provider.
    SyncBilling { kind: String, object: String },
    /// A payment provider is to do something.
    CarryOutBillingOrder { order: Uuid },
    /// Somebody has begun to subscribe.
    NewSubscriber { subscription: Uuid },
    /// A subscriber is to be mailed.
    MailSubscriber { subscription: Uuid, letter: SubscriptionLetter, at: DateTime<Utc> },
}

/// Jobs that wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// What happens, told at once: short.
    Events,
    /// Rows for many people, a batch a job.
    FanOut,
    /// Servers of others are asked, which may be slow: nothing of ours waits for them.
    Webhooks,
    /// A payment provider is asked.
    Billing,
    /// The mail server is.
    Letters,
}

impl Lane {
    pub(super) const ALL: [Self; 5] =
        [Self::Events, Self::FanOut, Self::Webhooks, Self::Billing, Self::Letters];

    /// In the table and in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::FanOut => "fan_out",
            Self::Webhooks => "webhooks",
            Self::Billing => "billing",
            Self::Letters => "letters",
        }
    }

    /// Jobs of it that one replica does at the same time. Each has a connection to PostgreSQL while it needs one.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Events => 4,
            Self::FanOut | Self::Letters => 2,
            Self::Webhooks => 32,
            // Stripe takes a hundred requests a second of one account; a look is five or so.
            Self::Billing => 8,
        }
    }
}

impl Job {
    pub(super) fn lane(&self) -> Lane {
        match self {
            Self::StreamStarted { .. }
            | Self::StreamEnded { .. }
            | Self::StreamUpdated { .. }
            | Self::NewFollower { .. }
            | Self::NewSubscriber { .. } => Lane::Events,
            Self::NotifyFollowers(_) | Self::TellSubscribers(_) => Lane::FanOut,
            Self::DeliverEvent { .. } | Self::VerifyEventSubscription { .. } => Lane::Webhooks,
            Self::SyncBilling { .. } | Self::CarryOutBillingOrder { .. } => Lane::Billing,
            Self::MailSubscriber { .. } => Lane::Letters,
        }
    }

    /// As the table has it.
    pub(super) fn to_columns(&self) -> Result<(String, Value), serde_json::Error> {
        #[derive(Deserialize)]
        struct Columns {
            topic: String,
            payload: Value,
        }
        let Columns { topic, payload } = serde_json::from_value(serde_json::to_value(self)?)?;
        Ok((topic, payload))
    }

    pub(super) fn of_columns(topic: &str, payload: &Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(json!({ "topic": topic, "payload": payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_comes_out_of_the_table_as_it_went_in() {
        let stream = Uuid::from_u128(1);
        for (job, topic) in [
            (Job::StreamStarted { stream }, "stream_started"),
            (Job::StreamEnded { stream }, "stream_ended"),
            (Job::StreamUpdated { stream }, "stream_updated"),
            (Job::NewFollower { follower: stream, followed: Uuid::from_u128(2) }, "new_follower"),
            (
                Job::NotifyFollowers(FollowersOfStream {
                    stream,
                    after: Some((DateTime::UNIX_EPOCH, stream)),
                }),
                "notify_followers",
            ),
            (
                Job::TellSubscribers(SubscribersOfEvent {
                    event: Event::StreamEnded { stream },
                    streamer: stream,
                    after: None,
                }),
                "tell_subscribers",
            ),
            (
                Job::DeliverEvent { subscription: stream, event: Event::StreamStarted { stream } },
                "deliver_event",
            ),
            (Job::VerifyEventSubscription { subscription: stream }, "verify_event_subscription"),
            (Job::SyncBilling { kind: "subscription".into(), object: "sub_1".into() }, "sync_billing"),
            (Job::CarryOutBillingOrder { order: stream }, "carry_out_billing_order"),
            (Job::NewSubscriber { subscription: stream }, "new_subscriber"),
            (
                Job::MailSubscriber {
                    subscription: stream,
                    letter: SubscriptionLetter::Withdrawn,
                    at: DateTime::UNIX_EPOCH,
                },
                "mail_subscriber",
            ),
        ] {
            let (name, payload) = job.to_columns().unwrap();
            assert_eq!(name, topic);
            assert_eq!(Job::of_columns(&name, &payload).unwrap(), job);
        }
        assert!(Job::of_columns("dance", &Value::Null).is_err());
    }

    #[test]
    fn only_what_asks_somebody_s_server_waits_behind_slow_servers() {
        let (stream, event) = (Uuid::nil(), Event::StreamEnded { stream: Uuid::nil() });
        for (job, lane) in [
            (Job::StreamStarted { stream }, Lane::Events),
            (Job::NotifyFollowers(FollowersOfStream { stream, after: None }), Lane::FanOut),
            (
                Job::TellSubscribers(SubscribersOfEvent {
                    event: event.clone(),
                    streamer: stream,
                    after: None,
                }),
                Lane::FanOut,
            ),
            (Job::DeliverEvent { subscription: stream, event }, Lane::Webhooks),
            (Job::VerifyEventSubscription { subscription: stream }, Lane::Webhooks),
            (Job::CarryOutBillingOrder { order: stream }, Lane::Billing),
        ] {
            assert_eq!(job.lane(), lane, "{job:?}");
        }
    }
}
