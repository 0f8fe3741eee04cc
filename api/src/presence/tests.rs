//! Replicas that share a Redis. Their time is an argument.

use std::net::IpAddr;

use super::*;
use crate::address::Origin;
use crate::config::{PublicUrls, Secrets};
use crate::redis_server::RedisServer;

struct Scene {
    redis: RedisServer,
    stream: StreamId,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        Self { redis: RedisServer::start(), stream: StreamId::generate(), start: Instant::now() }
    }

    fn replica(&self) -> Arc<Presence> {
        let store = RedisStore::open(&self.redis.url().into()).unwrap();
        let presence = Arc::new(Presence::new(ids(), Some(store)));
        presence.look_at(vec![self.stream]);
        presence
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    /// A round of each replica, one after the other, and another one for what the first ones did not hear yet. How many
    /// each counts then.
    async fn seen<const N: usize>(&self, replicas: [&Presence; N], seconds: u64) -> [u32; N] {
        for round in 0..2 {
            for presence in replicas {
                let clock = 1_764_480_000_000 + i64::try_from(seconds).unwrap() * 1000 + round;
                presence.exchange(self.at(seconds), clock).await;
            }
        }
        replicas.map(|presence| presence.viewers(self.stream, self.at(seconds)))
    }
}

fn ids() -> ViewerIds {
    let secrets = Secrets {
        jwt: "0123456789abcdef0123456789abcdef".into(),
        other_jwt: Vec::new(),
        stream_key_pepper: "".into(),
        stream_key_encryption: Vec::new(),
    };
    let urls = PublicUrls { api: "http://a".into(), hls: "http://b".into(), rtmp: "rtmp://c".into() };
    ViewerIds::new(&secrets, &urls)
}

fn origin() -> Origin {
    Origin::from(IpAddr::from([192, 0, 2, 1]))
}

fn person(number: u128) -> Viewer {
    Viewer::person(Uuid::from_u128(number), origin())
}

fn late(ms: i64) -> Latency {
    let now = chrono::Utc::now();
    Latency::between(now - chrono::TimeDelta::milliseconds(ms), now).unwrap()
}

fn browser() -> Viewer {
    ids().give(origin()).0
}

#[tokio::test]
async fn all_replicas_count_all_viewers_and_one_who_is_at_two_of_them_once() {
    let scene = Scene::new();
    let (one, other, third) = (scene.replica(), scene.replica(), scene.replica());
    let ana = [one.enter(scene.stream, person(1)), other.enter(scene.stream, person(1))];
    let bob = one.enter(scene.stream, person(2));
    let stranger = other.enter(scene.stream, browser());
    assert_eq!(scene.seen([&one, &other, &third], 0).await, [3, 3, 3]);
    drop(bob);
    assert_eq!(one.viewers(scene.stream, scene.at(1)), 2, "at once where he was");
    assert_eq!(scene.seen([&one, &other, &third], 1).await, [2, 2, 2]);
    drop(stranger);
    assert_eq!(scene.seen([&one, &other, &third], 2).await, [1, 1, 1]);
    drop(ana);
    assert_eq!(scene.seen([&one, &other, &third], 3).await, [0, 0, 0]);
}

#[tokio::test]
async fn who_comes_back_at_another_replica_goes_on_counting() {
    let scene = Scene::new();
    let (one, other) = (scene.replica(), scene.replica());
    let before: Vec<_> = (0..50).map(|number| one.enter(scene.stream, person(number))).collect();
    assert_eq!(scene.seen([&one, &other], 0).await, [50, 50]);
    // They are there before the first replica has told that they left.
    let after: Vec<_> = (0..50).map(|number| other.enter(scene.stream, person(number))).collect();
    other.exchange(scene.at(2), 1_764_480_002_000).await;
    drop(before);
    assert_eq!(scene.seen([&one, &other], 3).await, [50, 50]);
    drop(after);
}

#[tokio::test]
async fn the_viewers_of_a_replica_that_was_killed_count_for_45_seconds_more() {
    let scene = Scene::new();
    let (killed, other) = (scene.replica(), scene.replica());
    let lost: Vec<_> = (0..3000).map(|number| killed.enter(scene.stream, person(number))).collect();
    let kept = other.enter(scene.stream, person(9000));
    assert_eq!(scene.seen([&killed, &other], 0).await, [3001, 3001]);
    // Nothing is heard of it from here on.
    assert_eq!(scene.seen([&other], 30).await, [3001]);
    assert_eq!(scene.seen([&other], 44).await, [3001]);
    assert_eq!(scene.seen([&other], 45).await, [1]);
    drop((lost, kept));
}

#[tokio::test]
async fn viewers_who_stay_go_on_counting_at_all_replicas() {
    let scene = Scene::new();
    let (one, other) = (scene.replica(), scene.replica());
    let here: Vec<_> = (0..10).map(|number| one.enter(scene.stream, person(number))).collect();
    for seconds in (0..300).step_by(5) {
        assert_eq!(scene.seen([&one, &other], seconds).await, [10, 10], "{seconds}");
    }
    drop(here);
}

#[tokio::test]
async fn viewers_at_two_replicas_have_one_mean_latency_at_all_of_them() {
    let scene = Scene::new();
    let (one, other, third) = (scene.replica(), scene.replica(), scene.replica());
    let here = [one.enter(scene.stream, person(1)), one.enter(scene.stream, person(2))];
    let there = other.enter(scene.stream, person(3));
    let mean = |presence: &Presence, seconds| {
        let now = scene.at(seconds);
        let of_all = presence.all_latencies(now).mean_ms();
        assert_eq!(of_all, presence.latencies(scene.stream, now).mean_ms(), "there is one stream");
        of_all
    };
    assert!(one.watches(scene.stream, person(1), late(1_000), scene.at(0)));
    assert!(other.watches(scene.stream, person(3), late(4_000), scene.at(0)));
    scene.seen([&one, &other, &third], 0).await;
    assert_eq!([&one, &other, &third].map(|presence| mean(presence, 0)), [Some(2_500); 3]);
    assert!(one.watches(scene.stream, person(2), late(1_000), scene.at(10)));
    scene.seen([&one, &other, &third], 10).await;
    assert_eq!([&one, &other, &third].map(|presence| mean(presence, 10)), [Some(2_000); 3]);
    // Who has left, and what nobody repeats, is in it no more.
    drop(there);
    scene.seen([&one, &other, &third], 20).await;
    assert_eq!([&one, &other, &third].map(|presence| mean(presence, 20)), [Some(1_000); 3]);
    scene.seen([&one, &other, &third], 60).await;
    assert_eq!([&one, &other, &third].map(|presence| mean(presence, 60)), [None; 3]);
    drop(here);
}

#[tokio::test]
async fn what_a_killed_replica_said_of_latency_lapses() {
    let scene = Scene::new();
    let (killed, other) = (scene.replica(), scene.replica());
    let lost = killed.enter(scene.stream, person(1));
    let kept = other.enter(scene.stream, person(2));
    assert!(killed.watches(scene.stream, person(1), late(9_000), scene.at(0)));
    scene.seen([&killed, &other], 0).await;
    scene.seen([&other], 44).await;
    assert_eq!(other.all_latencies(scene.at(44)).mean_ms(), Some(9_000));
    scene.seen([&other], 45).await;
    assert_eq!(other.all_latencies(scene.at(45)).mean_ms(), None);
    drop((lost, kept));
}

#[tokio::test]
async fn without_redis_each_replica_comes_to_count_its_own_and_all_are_counted_again_when_it_is_back() {
    let mut scene = Scene::new();
    let (one, other) = (scene.replica(), scene.replica());
    let here = [one.enter(scene.stream, person(1)), one.enter(scene.stream, person(2))];
    let there = other.enter(scene.stream, person(3));
    assert_eq!(scene.seen([&one, &other], 0).await, [3, 3]);
    scene.redis.stop();
    assert_eq!(scene.seen([&one, &other], 5).await, [3, 3], "a moment without it changes nothing");
    assert_eq!(scene.seen([&one, &other], 45).await, [2, 1]);
    scene.redis.start_again();
    let back = async { while scene.seen([&one, &other], 50).await != [3, 3] {} };
    tokio::time::timeout(Duration::from_secs(20), back).await.expect("they are not counted again");
    drop((here, there));
}

#[tokio::test]
async fn no_replica_goes_by_a_clock_of_its_own() {
    let scene = Scene::new();
    let (one, other) = (scene.replica(), scene.replica());
    let seen = async || {
        one.round(scene.at(0)).await;
        other.round(scene.at(0)).await;
        other.viewers(scene.stream, scene.at(0))
    };
    let tells_its_time = async |may| {
        let mut connection = RedisStore::open(&scene.redis.url().into()).unwrap().connection();
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("default").arg(may);
        let () = command.query_async(&mut connection).await.unwrap();
    };
    let ana = one.enter(scene.stream, person(1));
    assert_eq!(seen().await, 1);
    tells_its_time("-time").await;
    let bob = one.enter(scene.stream, person(2));
    assert_eq!(seen().await, 1, "nothing is said without the clock that all have");
    tells_its_time("+time").await;
    assert_eq!(seen().await, 2);
    drop((ana, bob));
}

#[tokio::test]
async fn somebody_who_says_who_they_are_is_that_person_and_nobody_besides() {
    let presence = Arc::new(Presence::new(ids(), None));
    let stream = StreamId::generate();
    let (mut one, mut other) = (presence.enter(stream, browser()), presence.enter(stream, browser()));
    let now = Instant::now();
    assert_eq!(presence.viewers(stream, now), 2);
    one.is(Uuid::nil());
    assert_eq!(presence.viewers(stream, now), 2);
    other.is(Uuid::nil());
    assert_eq!(presence.viewers(stream, now), 1);
    drop(one);
    assert_eq!(presence.viewers(stream, now), 1);
    drop(other);
    assert_eq!(presence.viewers(stream, now), 0);
    presence.exchange(now, 0).await;
    assert!(!presence.knows(stream));
}
