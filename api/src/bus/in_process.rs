//! Events within one process, where there is one replica.

use std::borrow::Borrow as _;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::watch;

use super::subscription::{Link, Told};
use super::topics::{Topic, Topics};
use super::{Bus, PublishError, SubscribeError, Subscription, check};

/// Dropping it ends all subscriptions.
#[derive(Debug)]
pub struct InProcessBus {
    topics: Topics,
    // Never lost; subscriptions end with it.
    link: watch::Sender<Link>,
}

impl Default for InProcessBus {
    fn default() -> Self {
        Self { topics: Topics::default(), link: watch::Sender::new(Link::UP) }
    }
}

impl Bus for InProcessBus {
    fn publish<'a>(&'a self, topic: &'a Topic, payload: Bytes) -> BoxFuture<'a, Result<(), PublishError>> {
        let checked = check(&payload);
        if checked.is_ok() {
            self.topics.tell(topic.borrow(), payload);
        }
        ready(checked).boxed()
    }

    fn subscribe<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Subscription, SubscribeError>> {
        let listening = self.topics.listen(topic);
        let told = Told::up_after(Link::UP.losses);
        ready(listening.map(|listening| Subscription::new(listening, self.link.subscribe(), told))).boxed()
    }
}
