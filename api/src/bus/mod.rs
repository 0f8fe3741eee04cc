//! Events for all replicas: what one publishes on a topic, everybody who is subscribed to it hears, in whichever replica.
//!
//! Nothing is kept: whoever is not subscribed, or too slow, or cut off from Redis misses what was published, is told so,
//! and reads anew what it needs from where that is kept. Events of one publisher on one topic come in their order.

mod backoff;
mod in_process;
mod redis;
mod subscription;
mod topics;

use bytes::Bytes;
use futures::future::BoxFuture;
use thiserror::Error;

pub use in_process::InProcessBus;
pub use redis::{RedisBus, RedisListener};
pub use subscription::{Heard, Subscription};
pub use topics::Topic;

/// Carries events between replicas: [`RedisBus`], or [`InProcessBus`] where there is one replica only.
pub trait Bus: Send + Sync {
    /// Tells an event to all who are subscribed to `topic`, the own replica's too. At most [`MAX_PAYLOAD`] bytes.
    ///
    /// `Ok` does not say that anybody heard it.
    fn publish<'a>(&'a self, topic: &'a Topic, payload: Bytes) -> BoxFuture<'a, Result<(), PublishError>>;

    /// Hears all that is published on `topic` once this has returned. Where Redis is away, the subscription begins with
    /// [`Heard::Lost`], and hears what is published after [`Heard::Back`].
    fn subscribe<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Subscription, SubscribeError>>;
}

/// Why an event was not published.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// No subscriber would have been given it.
    #[error("an event of {0} bytes is larger than {MAX_PAYLOAD}")]
    TooLarge(usize),
    /// Redis did not take it; some may have heard it all the same.
    #[error("the event could not be published: {0}")]
    Unavailable(String),
}

/// Why nothing will be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubscribeError {
    /// This replica listens to [`MAX_TOPICS`] already.
    #[error("this replica listens to {MAX_TOPICS} topics already")]
    TooManyTopics,
    /// The listener has ended, or Redis is slow and the listener has more to ask for than it gets answered.
    #[error("the listener does not take subscriptions just now")]
    Unavailable,
}

/// Of an event, in bytes. A chat message of 500 characters with all that belongs to it is about 3 KB.
pub const MAX_PAYLOAD: usize = 8 * 1024;
/// That one replica listens to at the same time. Each has room for [`EVENTS_KEPT`] events, which is 9 KB without them.
pub const MAX_TOPICS: usize = 10_000;
/// Of one topic, for subscribers that are behind; the next one pushes the oldest out, and whoever had not heard that is
/// told so.
pub const EVENTS_KEPT: usize = 128;

fn check(payload: &Bytes) -> Result<(), PublishError> {
    if payload.len() > MAX_PAYLOAD { Err(PublishError::TooLarge(payload.len())) } else { Ok(()) }
}
