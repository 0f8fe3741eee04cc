use std::collections::HashSet;
use std::time::Instant;

use caudal_livestream::admission::StreamKey;
use prometheus::Registry;
use redis_server::RedisServer;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::guess_guard::{SITE, retries};
use crate::guesses::Guesses;

#[path = "../../../../api/tests/it/redis_server.rs"]
mod redis_server;

/// What a router counts guesses with.
struct Router {
    guesses: Guesses,
    registry: Registry,
    _watch: JoinSet<()>,
}

impl Router {
    /// One that has found Redis.
    async fn with(redis: &RedisServer) -> Self {
        let router = Self::at(&redis.url(), [7; 32]);
        router.finds_redis().await;
        router
    }

    fn at(url: &str, key: [u8; 32]) -> Self {
        let registry = Registry::new();
        let link = RedisLink::open(&url.into(), &registry).unwrap();
        let mut watch = JoinSet::new();
        watch.spawn(link.clone().watch(CancellationToken::new()));
        let guesses = Guesses::new(Some(SharedGuesses::new(link, &RoleKey::new(key))));
        Self { guesses, registry, _watch: watch }
    }

    async fn finds_redis(&self) {
        let found = async {
            while self.reads("caudal_ingest_router_redis_reachable") == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), found).await.expect("Redis is not found");
    }

    /// Of a metric.
    fn reads(&self, name: &str) -> u64 {
        let families = self.registry.gather();
        let metric = &families.iter().find(|family| family.name() == name).expect(name).get_metric()[0];
        let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
        format!("{value:.0}").parse().unwrap()
    }

    /// How many of `tries` with keys of their own, that begin with `name`, are let through.
    async fn tried(&self, name: &str, tries: u32, from: impl Fn(u32) -> IpAddr) -> u32 {
        let mut tried = 0;
        for index in 0..tries {
            let key = key(&format!("{name} {index}"));
            if self.guesses.allow(from(index), &key).await {
                self.guesses.wrong(from(index), &key).await;
                tried += 1;
            }
        }
        tried
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(text: &str) -> KeyHash {
    KeyHash::of(&StreamKey::new(text))
}

async fn command<T: redis::FromRedisValue>(redis: &RedisServer, words: &str) -> T {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command.query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn guesses_at_one_router_count_at_the_other() {
    let redis = RedisServer::start();
    let (one, other) = (Router::with(&redis).await, Router::with(&redis).await);
    let (guesser, innocent) = (address("192.0.2.1"), address("192.0.2.2"));
    assert_eq!(one.tried("here", 6, |_| guesser).await, 6);
    assert_eq!(other.tried("there", 100, |_| guesser).await, ADDRESS.burst - 6);
    assert_eq!(one.tried("here again", 100, |_| guesser).await, 0);
    assert!(one.guesses.allow(innocent, &key("another")).await, "nobody else is held off");

    let stranger = Router::at(&redis.url(), [8; 32]);
    stranger.finds_redis().await;
    assert!(stranger.guesses.allow(guesser, &key("another")).await, "another installation counts for itself");

    let of_site = |index: u32| address(&format!("2001:db8:1:{index:x}::1"));
    assert_eq!(one.tried("site", 60, of_site).await, 60);
    assert_eq!(other.tried("site", 100, |index| of_site(1000 + index)).await, SITE.burst - 60);
    let every = one.reads("caudal_ingest_router_redis_unanswered_total")
        + other.reads("caudal_ingest_router_redis_unanswered_total");
    assert_eq!(every, 0);
}

#[tokio::test]
async fn an_encoder_that_tries_one_wrong_key_at_each_router_in_turn_has_guessed_once() {
    let redis = RedisServer::start();
    let routers = [Router::with(&redis).await, Router::with(&redis).await];
    let (encoder, stale) = (address("192.0.2.1"), key("a rotated one"));
    let mut let_through = 0;
    for router in routers.iter().cycle().take(40) {
        if router.guesses.allow(encoder, &stale).await {
            router.guesses.wrong(encoder, &stale).await;
            let_through += 1;
        }
        assert!(router.guesses.allow(encoder, &key("another")).await);
    }
    assert_eq!(let_through, ADDRESS.burst, "nor is the api asked for ever");
    assert_eq!(routers[0].tried("another", 100, |_| encoder).await, ADDRESS.burst - 1);
}

#[tokio::test]
async fn redis_holds_hashes_that_it_forgets_by_itself() {
    let redis = RedisServer::start();
    let router = Router::with(&redis).await;
    let guesser = address("2001:db8:1:2::3");
    for _ in 0..20 {
        router.guesses.wrong(guesser, &key("secret")).await;
    }
    router.tried("secret", 20, |_| guesser).await;
    let names: Vec<String> = command(&redis, "KEYS *:guesses:*").await;
    let all: Vec<String> = command(&redis, "KEYS *").await;
    assert!(names.len() > 10, "{names:?}");
    assert_eq!(all.iter().filter(|name| !names.contains(name)).collect::<Vec<_>>(), ["caudal:router-looks"]);
    for name in &all {
        let left: i64 = command(&redis, &format!("PTTL {name}")).await;
        assert!((1..=60_000).contains(&left), "{name}: {left}");
    }
    for name in &names {
        let value: String = command(&redis, &format!("GET {name}")).await;
        assert!(
            value.is_empty() || (value.len() == 16 && u64::from_str_radix(&value, 16).is_ok()),
            "{value}"
        );
        let parts: Vec<&str> = name.split(':').collect();
        assert!(matches!(parts[..], ["caudal", _, "guesses", "0" | "1" | "try", _]), "{name}");
        assert!(parts[4].parse::<u64>().unwrap() < CELLS_U64, "{name}");
    }
    // Of before the clock was set back.
    let cell = names.iter().find(|name| name.contains(":guesses:0:")).unwrap();
    let _: i64 = command(&redis, &format!("PEXPIRE {cell} 86400000")).await;
    router.guesses.allow(address("192.0.2.1"), &key("another")).await;
    let other = Router::with(&redis).await;
    assert!(!other.guesses.allow(guesser, &key("another")).await);
    let left: i64 = command(&redis, &format!("PTTL {cell}")).await;
    assert!(left <= 60_000, "{left}");
}

#[test]
fn names_are_so_many_and_no_more() {
    let names = Names::new(&RoleKey::new([7; 32]));
    let (mut cells, mut places) = (HashSet::new(), HashSet::new());
    for index in 0..200_000_u32 {
        let origin = Origin::from(IpAddr::from((0x0A00_0000 + index).to_be_bytes()));
        cells.extend(names.cells(Guesser::Origin(origin)));
        places.extend(names.tried(origin, &key("one for all")).places);
    }
    let most = usize::try_from(CELLS_U64).unwrap();
    assert!((most..=ROWS * most).contains(&cells.len()), "{}", cells.len());
    assert!((most / 2..=most).contains(&places.len()), "{}", places.len());
    assert_eq!(CELLS_U64, retries::PLACES_U64);
}

#[tokio::test]
async fn while_redis_is_away_each_router_counts_for_itself_and_at_its_return_together() {
    let mut redis = RedisServer::start();
    let (one, other) = (Router::with(&redis).await, Router::with(&redis).await);
    let guesser = address("192.0.2.1");
    assert_eq!(one.tried("before", 100, |_| guesser).await, ADDRESS.burst);
    assert!(!other.guesses.allow(guesser, &key("another")).await);

    redis.stop();
    let asked = Instant::now();
    assert!(other.guesses.allow(guesser, &key("another")).await, "it has not heard of any guess itself");
    assert!(!one.guesses.allow(guesser, &key("another")).await, "what it counted itself holds");
    assert_eq!(other.tried("meanwhile", 100, |_| guesser).await, ADDRESS.burst);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(one.guesses.allow(address("192.0.2.2"), &key("another")).await, "nobody else is held off");
    for router in [&one, &other] {
        assert_eq!(router.reads("caudal_ingest_router_redis_reachable"), 0);
    }
    assert!(other.reads("caudal_ingest_router_redis_unanswered_total") > 0);

    redis.start_again();
    one.finds_redis().await;
    other.finds_redis().await;
    let later = address("192.0.2.3");
    assert_eq!(one.tried("after", 100, |_| later).await, ADDRESS.burst);
    assert!(!other.guesses.allow(later, &key("another")).await);
}

#[tokio::test]
async fn a_redis_that_says_nothing_delays_one_question_and_comes_back_by_itself() {
    let redis = RedisServer::start();
    let router = Router::with(&redis).await;
    let () = command(&redis, "CLIENT PAUSE 2000 ALL").await;
    let asked = Instant::now();
    assert!(router.guesses.allow(address("192.0.2.1"), &key("another")).await);
    for index in 0..100 {
        assert!(router.guesses.allow(address("192.0.2.1"), &key(&index.to_string())).await);
    }
    // One waited for its deadline; all others together for none.
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(router.reads("caudal_ingest_router_redis_reachable"), 0);
    router.finds_redis().await;
}

#[tokio::test]
async fn a_redis_that_refuses_the_password_is_found_once_it_takes_it() {
    let redis = RedisServer::start();
    let router = Router::at(&format!("{}?pass=hunter2", redis.url()), [7; 32]);
    let mut refused = false;
    while !refused {
        let info: String = command(&redis, "INFO errorstats").await;
        refused = info.contains("errorstat_");
    }
    assert!(router.guesses.allow(address("192.0.2.1"), &key("another")).await);
    let () = command(&redis, "CONFIG SET requirepass hunter2").await;
    router.finds_redis().await;
}

#[tokio::test]
async fn a_redis_that_is_full_is_as_good_as_none() {
    let redis = RedisServer::start();
    let router = Router::with(&redis).await;
    let () = command(&redis, "CONFIG SET maxmemory 1").await;
    assert_eq!(router.tried("full", 100, |_| address("192.0.2.1")).await, ADDRESS.burst);
    assert_eq!(router.reads("caudal_ingest_router_redis_reachable"), 0);
    let () = command(&redis, "CONFIG SET maxmemory 0").await;
    router.finds_redis().await;
}
