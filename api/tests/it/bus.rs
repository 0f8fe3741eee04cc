//! Events for all replicas, by both buses.

use std::sync::Arc;
use std::time::Duration;

use caudal_api::bus::{
    Bus, EVENTS_KEPT, Heard, InProcessBus, MAX_PAYLOAD, PublishError, RedisBus, Subscription, Topic,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::redis_server::RedisServer;

/// A bus as two replicas have it; the same one where there is one replica.
struct Replicas {
    what: &'static str,
    here: Arc<dyn Bus>,
    there: Arc<dyn Bus>,
    _running: Vec<Listening>,
    _redis: Option<RedisServer>,
}

/// A listener that is ended with the test.
struct Listening {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Listening {
    async fn end(self) {
        self.shutdown.cancel();
        tokio::time::timeout(SOON, self.task).await.expect("the listener does not end").unwrap();
    }
}

fn on(redis: &RedisServer) -> (RedisBus, Listening) {
    let (bus, listener) = RedisBus::open(&redis.url().into()).unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(listener.run(shutdown.clone()));
    (bus, Listening { shutdown, task })
}

/// Both implementations.
fn all() -> [Replicas; 2] {
    let alone: Arc<dyn Bus> = Arc::new(InProcessBus::default());
    let redis = RedisServer::start();
    let ((here, one), (there, other)) = (on(&redis), on(&redis));
    [
        Replicas {
            what: "in process",
            here: Arc::clone(&alone),
            there: alone,
            _running: vec![],
            _redis: None,
        },
        Replicas {
            what: "redis",
            here: Arc::new(here),
            there: Arc::new(there),
            _running: vec![one, other],
            _redis: Some(redis),
        },
    ]
}

fn topic() -> Topic {
    Topic::new("test", Uuid::now_v7())
}

async fn next(subscription: &mut Subscription) -> Heard {
    tokio::time::timeout(SOON, subscription.next())
        .await
        .expect("nothing is heard")
        .expect("the bus has ended")
}

fn event(text: &str) -> Heard {
    Heard::Event(text.to_owned().into())
}

async fn publish(bus: &dyn Bus, topic: &Topic, text: &str) {
    bus.publish(topic, text.to_owned().into()).await.unwrap();
}

#[tokio::test]
async fn whoever_is_subscribed_hears_in_order_what_any_replica_publishes_and_nothing_of_other_topics() {
    for Replicas { what, here, there, .. } in &all() {
        let (mine, other) = (topic(), topic());
        let mut near = here.subscribe(&mine).await.unwrap();
        let mut far = there.subscribe(&mine).await.unwrap();
        let mut elsewhere = there.subscribe(&other).await.unwrap();
        for n in 0..50 {
            publish(here.as_ref(), &mine, &n.to_string()).await;
        }
        publish(here.as_ref(), &other, "of another topic").await;
        for n in 0..50 {
            assert_eq!(next(&mut near).await, event(&n.to_string()), "{what}");
            assert_eq!(next(&mut far).await, event(&n.to_string()), "{what}");
        }
        assert_eq!(next(&mut elsewhere).await, event("of another topic"), "{what}");
    }
}

#[tokio::test]
async fn a_subscriber_hears_what_comes_after_it_and_another_ones_leaving_changes_nothing() {
    for Replicas { what, here, there, .. } in &all() {
        let topic = topic();
        publish(here.as_ref(), &topic, "to nobody").await;
        let first = there.subscribe(&topic).await.unwrap();
        publish(here.as_ref(), &topic, "before").await;
        let mut second = there.subscribe(&topic).await.unwrap();
        drop(first);
        publish(here.as_ref(), &topic, "after").await;
        let mut heard = next(&mut second).await;
        if heard == event("before") {
            // Redis agreed to the second at once, because of the first, and this was still on its way.
            heard = next(&mut second).await;
        }
        assert_eq!(heard, event("after"), "{what}");
        // Left by all, and taken up again.
        drop(second);
        let mut third = there.subscribe(&topic).await.unwrap();
        publish(here.as_ref(), &topic, "again").await;
        while next(&mut third).await != event("again") {}
    }
}

#[tokio::test]
async fn whoever_is_too_slow_is_told_how_much_it_missed_and_hears_the_newest() {
    for Replicas { what, here, there, .. } in &all() {
        let topic = topic();
        let mut slow = there.subscribe(&topic).await.unwrap();
        let mut quick = there.subscribe(&topic).await.unwrap();
        let published = EVENTS_KEPT + 10;
        for n in 0..published {
            publish(here.as_ref(), &topic, &n.to_string()).await;
            assert_eq!(next(&mut quick).await, event(&n.to_string()), "{what}");
        }
        assert_eq!(next(&mut slow).await, Heard::Lagged(10), "{what}");
        for n in 10..published {
            assert_eq!(next(&mut slow).await, event(&n.to_string()), "{what}");
        }
    }
}

#[tokio::test]
async fn an_event_may_have_eight_kilobytes_and_not_one_more() {
    for Replicas { what, here, there, .. } in &all() {
        let topic = topic();
        let mut subscription = there.subscribe(&topic).await.unwrap();
        let refused = here.publish(&topic, vec![0; MAX_PAYLOAD + 1].into()).await;
        assert_eq!(refused, Err(PublishError::TooLarge(MAX_PAYLOAD + 1)), "{what}");
        // Not only text.
        here.publish(&topic, vec![0xff; MAX_PAYLOAD].into()).await.unwrap();
        assert_eq!(next(&mut subscription).await, Heard::Event(vec![0xff; MAX_PAYLOAD].into()), "{what}");
    }
}

#[tokio::test]
async fn a_thousand_topics_come_and_go() {
    for Replicas { what, here, there, .. } in &all() {
        let topics: Vec<_> = (0..1_000).map(|_| topic()).collect();
        let asked = topics.iter().map(|topic| there.subscribe(topic));
        let mut subscriptions = futures::future::try_join_all(asked).await.unwrap();
        for (n, topic) in topics.iter().enumerate().step_by(97) {
            publish(here.as_ref(), topic, &n.to_string()).await;
            assert_eq!(next(&mut subscriptions[n]).await, event(&n.to_string()), "{what}");
        }
    }
}

#[tokio::test]
async fn when_redis_dies_every_subscriber_is_told_and_when_it_is_back_hears_again() {
    let mut redis = RedisServer::start();
    let ((here, one), (there, other)) = (on(&redis), on(&redis));
    let topic = topic();
    let mut before = there.subscribe(&topic).await.unwrap();
    for round in 0..3 {
        publish(&here, &topic, "heard").await;
        assert_eq!(next(&mut before).await, event("heard"), "round {round}");
        redis.stop();
        assert_eq!(next(&mut before).await, Heard::Lost, "round {round}");
        let lost = here.publish(&topic, "into the void".into()).await;
        assert!(matches!(lost, Err(PublishError::Unavailable(_))), "round {round}: {lost:?}");
        // Somebody comes while it is away.
        let mut meanwhile = there.subscribe(&topic).await.unwrap();
        assert_eq!(next(&mut meanwhile).await, Heard::Lost, "round {round}");
        redis.start_again();
        for subscription in [&mut before, &mut meanwhile] {
            assert_eq!(next(subscription).await, Heard::Back, "round {round}");
        }
        until_published(&here, &topic, "after").await;
        for subscription in [&mut before, &mut meanwhile] {
            assert_eq!(next(subscription).await, event("after"), "round {round}");
        }
    }
    one.end().await;
    other.end().await;
    assert_eq!(before.next().await, None, "the listener has ended");
    assert!(there.subscribe(&topic).await.is_err(), "nobody would listen");
}

#[tokio::test]
async fn who_subscribes_before_redis_is_there_is_told_and_hears_once_it_is() {
    let mut redis = RedisServer::start();
    redis.stop();
    let (bus, listening) = on(&redis);
    let topic = topic();
    let mut subscription = bus.subscribe(&topic).await.unwrap();
    assert_eq!(next(&mut subscription).await, Heard::Lost);
    redis.start_again();
    assert_eq!(next(&mut subscription).await, Heard::Back);
    until_published(&bus, &topic, "at last").await;
    assert_eq!(next(&mut subscription).await, event("at last"));
    listening.end().await;
}

#[tokio::test]
async fn what_somebody_else_publishes_that_is_too_large_reaches_nobody() {
    let redis = RedisServer::start();
    let (bus, listening) = on(&redis);
    let topic = topic();
    let mut subscription = bus.subscribe(&topic).await.unwrap();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut send = async |payload: &[u8]| {
        let mut publish = redis::cmd("PUBLISH");
        let heard: u32 =
            publish.arg(format!("caudal:0:{topic}")).arg(payload).query_async(&mut connection).await.unwrap();
        assert_eq!(heard, 1);
    };
    send(&vec![b'x'; MAX_PAYLOAD + 1]).await;
    send(b"small").await;
    assert_eq!(next(&mut subscription).await, event("small"));
    listening.end().await;
}

/// The connection that publishes finds by itself, a little later, that Redis is back.
async fn until_published(bus: &RedisBus, topic: &Topic, text: &str) {
    let published = async {
        while bus.publish(topic, text.to_owned().into()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, published).await.expect("nothing can be published");
}

/// Longer than the longest pause between two tries to connect.
const SOON: Duration = Duration::from_secs(20);
