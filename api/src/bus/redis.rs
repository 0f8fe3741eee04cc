//! Events between replicas, by Redis' PUBLISH and SUBSCRIBE.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Client, RedisResult, Value};
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::subscription::{Link, Told};
use super::topics::{Topic, Topics};
use super::{Bus, MAX_PAYLOAD, PublishError, SubscribeError, Subscription, check};
use crate::redis_store::{self, RedisStore};
use crate::start_error::StartError;

/// Publishes over one connection and hears over another, which its [`RedisListener`] keeps.
#[derive(Clone)]
pub struct RedisBus {
    prefix: Arc<str>,
    store: RedisStore,
    topics: Topics,
    link: watch::Receiver<Link>,
    requests: mpsc::Sender<Request>,
}

/// Hears what is published, for all subscriptions of a [`RedisBus`]. They end with it.
pub struct RedisListener {
    prefix: Arc<str>,
    client: Client,
    topics: Topics,
    link: watch::Sender<Link>,
    requests: mpsc::Receiver<Request>,
}

/// A topic that somebody subscribes to, and whom to tell that Redis has agreed: after how many losses.
struct Request {
    topic: Topic,
    agreed: oneshot::Sender<u64>,
}

impl RedisBus {
    /// Does not wait for Redis. Somebody must run the listener.
    ///
    /// # Errors
    /// When `url` is none of Redis.
    pub fn open(url: &SecretString) -> Result<(Self, RedisListener), StartError> {
        let client = redis_store::client(url).map_err(StartError::RedisUrl)?;
        // Databases share their channels: platforms that have one each must not hear each other.
        let database = client.get_connection_info().redis_settings().db();
        let prefix: Arc<str> = format!("caudal:{database}:").into();
        let (topics, link) = (Topics::default(), watch::Sender::new(Link::DOWN));
        // When it is full, whoever subscribes waits, for as long as for Redis.
        let (sender, requests) = mpsc::channel(REQUESTS);
        let bus = Self {
            prefix: Arc::clone(&prefix),
            store: RedisStore::open(url)?,
            topics: topics.clone(),
            link: link.subscribe(),
            requests: sender,
        };
        Ok((bus, RedisListener { prefix, client, topics, link, requests }))
    }

    /// What stands before a topic in the name of its channel, for scripts that publish by themselves.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Bus for RedisBus {
    fn publish<'a>(&'a self, topic: &'a Topic, payload: Bytes) -> BoxFuture<'a, Result<(), PublishError>> {
        async move {
            check(&payload)?;
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(channel(&self.prefix, topic)).arg(payload.as_ref());
            let published: RedisResult<()> = publish.query_async(&mut self.store.connection()).await;
            published.map_err(|error| {
                self.store.failed(&error);
                PublishError::Unavailable(error.to_string())
            })
        }
        .boxed()
    }

    fn subscribe<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Subscription, SubscribeError>> {
        async move {
            let listening = self.topics.listen(topic)?;
            let (agreed, agrees) = oneshot::channel();
            let request = Request { topic: topic.clone(), agreed };
            let asked = self.requests.send_timeout(request, PATIENCE).await;
            asked.map_err(|_| SubscribeError::Unavailable)?;
            let told = match timeout(PATIENCE, agrees).await {
                Ok(Ok(losses)) => Told::up_after(losses),
                Err(_) if self.link.borrow().up => return Err(SubscribeError::Unavailable),
                // Redis is away, and will be asked for all that is listened to when it is back.
                Ok(Err(_)) | Err(_) => Told::up_before_loss_of(*self.link.borrow()),
            };
            Ok(Subscription::new(listening, self.link.clone(), told))
        }
        .boxed()
    }
}

impl RedisListener {
    /// Hears until `shutdown`, and connects again whenever the connection is lost.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut backoff = Backoff::default();
        let mut away = false;
        loop {
            let begun = Instant::now();
            let Some(reason) = shutdown.run_until_cancelled(self.hear(&mut away)).await else { return };
            self.link.send_modify(Link::lose);
            if !std::mem::replace(&mut away, true) {
                tracing::warn!(%reason, "events of other replicas (REDIS_URL) are not heard until Redis is back");
            }
            let pause = backoff.after(begun.elapsed());
            if shutdown.run_until_cancelled(self.turn_away(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Hears over one connection, until it is lost. Says why.
    async fn hear(&mut self, away: &mut bool) -> String {
        let connection = match in_time(self.client.get_async_pubsub()).await {
            Ok(connection) => connection,
            Err(reason) => return reason,
        };
        let (sink, stream) = connection.split();
        let mut asking = Asking { sink, prefix: &self.prefix, subscribed: HashSet::new() };
        // Side by side: what redis hands on waits in a queue without a bound, so it is read whatever else is under way.
        tokio::select! {
            reason = hand_on(stream, &self.prefix, &self.topics) => reason,
            Err(reason) = asking.go_on(&self.topics, &self.link, &mut self.requests, away) => reason,
        }
    }

    /// Says at once to whoever subscribes that Redis is away, for as long as `pause`.
    async fn turn_away(&mut self, pause: Duration) {
        let mut over = std::pin::pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut over => return,
                Some(request) = self.requests.recv() => drop(request),
            }
        }
    }
}

/// Hands events on to the subscribers here, until the connection is lost.
async fn hand_on(mut stream: PubSubStream, prefix: &str, topics: &Topics) -> String {
    while let Some(event) = stream.next().await {
        let payload = event.get_payload_bytes();
        if payload.len() > MAX_PAYLOAD {
            tracing::warn!(
                channel = event.get_channel_name(),
                bytes = payload.len(),
                "an event is too large and is dropped"
            );
        } else if let Some(topic) = event.get_channel_name().strip_prefix(prefix) {
            topics.tell(topic, Bytes::copy_from_slice(payload));
        }
    }
    "the connection was closed".to_owned()
}

/// The side of a connection that asks Redis for topics.
struct Asking<'a> {
    sink: PubSubSink,
    prefix: &'a str,
    subscribed: HashSet<Topic>,
}

impl Asking<'_> {
    /// Asks for what is listened to, now and as it changes, and whether Redis is still there, until it is not.
    async fn go_on(
        &mut self,
        topics: &Topics,
        link: &watch::Sender<Link>,
        requests: &mut mpsc::Receiver<Request>,
        away: &mut bool,
    ) -> Result<Infallible, String> {
        self.subscribe(topics.names()).await?;
        link.send_modify(|link| link.up = true);
        if std::mem::replace(away, false) {
            tracing::info!("events of other replicas are heard again");
        }
        let losses = link.borrow().losses;
        let mut looks = interval(KEEP_ALIVE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                _ = requests.recv_many(&mut batch, REQUESTS), if !requests.is_closed() => {
                    self.subscribe(batch.iter().map(|request| request.topic.clone()).collect()).await?;
                    for request in batch.drain(..) {
                        // Whoever does not wait any more was told that Redis is away, and hears all the same.
                        let _ = request.agreed.send(losses);
                    }
                }
                _ = looks.tick() => {
                    in_time(self.sink.ping::<Value>()).await?;
                    self.leave(topics).await?;
                }
            }
        }
    }

    async fn subscribe(&mut self, mut topics: Vec<Topic>) -> Result<(), String> {
        topics.retain(|topic| !self.subscribed.contains(topic));
        for some in topics.chunks(AT_ONCE) {
            let channels: Vec<_> = some.iter().map(|topic| channel(self.prefix, topic)).collect();
            in_time(self.sink.subscribe(&channels)).await?;
            self.subscribed.extend(some.iter().cloned());
        }
        Ok(())
    }

    /// Asks for no more of what nobody listens to any longer.
    async fn leave(&mut self, topics: &Topics) -> Result<(), String> {
        let left: Vec<_> = self.subscribed.iter().filter(|topic| !topics.has(topic)).cloned().collect();
        for some in left.chunks(AT_ONCE) {
            let channels: Vec<_> = some.iter().map(|topic| channel(self.prefix, topic)).collect();
            for topic in some {
                self.subscribed.remove(topic);
            }
            in_time(self.sink.unsubscribe(&channels)).await?;
        }
        Ok(())
    }
}

fn channel(prefix: &str, topic: &Topic) -> String {
    format!("{prefix}{topic}")
}

/// A Redis that does not answer in time is away.
async fn in_time<T>(asked: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match timeout(PATIENCE, asked).await {
        Ok(answered) => answered.map_err(|error| error.to_string()),
        Err(_) => Err(format!("Redis did not answer within {} s", PATIENCE.as_secs())),
    }
}

/// For an answer of Redis, and for whoever subscribes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at whether Redis is there, and at topics that nobody listens to any more.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Subscriptions that may wait to be asked for.
const REQUESTS: usize = 256;
/// Channels in one command: 60 KB.
const AT_ONCE: usize = 1_000;
