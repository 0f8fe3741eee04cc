//! Several apis on one PostgreSQL and one Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use caudal_api::Limits;
use reqwest::Method;
use serde_json::json;

use crate::chat::Peer;
use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::{Person, Running, send};

async fn two(redis: &RedisServer, limits: Limits) -> (Running, Running) {
    let database = Arc::new(TestDatabase::create().await);
    let change = |config: &mut caudal_api::Config| {
        config.redis_url = Some(redis.url().into());
        config.limits = limits;
    };
    // At once: the migrations must not race.
    tokio::join!(
        Running::replica(Arc::clone(&database), change),
        Running::replica(Arc::clone(&database), change)
    )
}

/// Makes of all counters what they would be if the clock had been two hours ahead, and has been set back since.
const COUNTED_AHEAD: &str = r"
local ahead = string.format('%.0f', (redis.call('TIME')[1] + 7200) * 1000000)
local keys = redis.call('KEYS', 'limit:*')
for _, key in ipairs(keys) do redis.call('SET', key, ahead) end
return #keys
";

const PLENTY: Limits = Limits { requests_a_minute: 1_000_000, attempts_a_minute: 1_000_000 };

#[tokio::test]
async fn requests_at_two_replicas_are_counted_as_one_persons() {
    let redis = RedisServer::start();
    let (one, other) = two(&redis, Limits { requests_a_minute: 100, attempts_a_minute: 10 }).await;
    let begun = Instant::now();
    let (mut answered, mut waits) = (0, None);
    while waits.is_none() {
        let replica = if answered % 2 == 0 { &one } else { &other };
        let answer = replica.get("/api/streams?q=ana").await;
        match answer.status.as_u16() {
            200 => answered += 1,
            status => waits = Some((status, answer.header("retry-after").to_owned())),
        }
    }
    // Fifty at once, and one more each 1.2 s: a hundred in any minute.
    let refilled = usize::try_from(begun.elapsed().as_millis() / 1200).unwrap();
    assert!((50..=51 + refilled).contains(&answered), "{answered}, of which {refilled} were refilled");
    let (status, wait) = waits.unwrap();
    assert_eq!(status, 429);
    assert!(["1", "2"].contains(&wait.as_str()), "{wait}");
}

#[tokio::test]
async fn a_redis_whose_clock_was_hours_ahead_makes_nobody_wait_for_hours() {
    let redis = RedisServer::start();
    let api = Running::start_with(|config| {
        config.redis_url = Some(redis.url().into());
        // One in 100 ms.
        config.limits.requests_a_minute = 1_200;
    })
    .await;
    assert_eq!(api.get("/api/streams?q=ana").await.status, 200);
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let moved: u32 = redis::Script::new(COUNTED_AHEAD).invoke_async(&mut connection).await.unwrap();
    assert_eq!(moved, 1);
    assert_eq!(api.get("/api/streams?q=ana").await.status, 429);
    let let_in = async { while api.get("/api/streams?q=ana").await.status != 200 {} };
    tokio::time::timeout(Duration::from_secs(10), let_in).await.expect("it waits for hours");
}

#[tokio::test]
async fn a_log_out_at_one_replica_counts_at_all() {
    let redis = RedisServer::start();
    let (one, other) = two(&redis, PLENTY).await;
    let ana = one.register("ana").await;
    let elsewhere = || send(other.request(Method::GET, "/api/auth/stream-key").bearer_auth(&ana.access));
    assert_eq!(elsewhere().await.status, 200);
    send(ana.request(Method::POST, "/api/auth/logout")).await;
    assert_eq!(elsewhere().await.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn a_refresh_repeated_at_another_replica_gets_the_same_successor() {
    let redis = RedisServer::start();
    let (one, other) = two(&redis, PLENTY).await;
    let ana = one.register("ana").await;
    let body = json!({"refreshToken": ana.refresh});
    let (here, there) =
        tokio::join!(one.post("/api/auth/refresh", &body), other.post("/api/auth/refresh", &body));
    assert_eq!(Person::of(&one, &here).refresh, Person::of(&other, &there).refresh);
    // Twenty more at both, and what they all got is good.
    let more = futures::future::join_all(
        (0..20)
            .map(|n| if n % 2 == 0 { &one } else { &other })
            .map(|api| api.post("/api/auth/refresh", &body)),
    )
    .await;
    assert!(more.iter().all(|again| again.json["refreshToken"] == here.json["refreshToken"]));
    let next = json!({"refreshToken": there.json["refreshToken"]});
    assert_eq!(one.post("/api/auth/refresh", &next).await.status, 200);
    // Spent at one, it is spent at the other.
    assert_eq!(other.post("/api/auth/refresh", &body).await.refusal(), (401, "refresh_reused"));
}

#[tokio::test]
async fn without_redis_everything_goes_on_and_nothing_ended_comes_back() {
    let mut redis = RedisServer::start();
    let (one, other) = two(&redis, PLENTY).await;
    let ana = one.register("ana").await;
    let login =
        one.post("/api/auth/login", json!({"login": "ana", "password": crate::running::PASSWORD})).await;
    let laptop = Person::of(&one, &login);
    send(laptop.request(Method::POST, "/api/auth/logout")).await;
    redis.stop();
    assert_eq!(ana.get("/api/auth/stream-key").await.status, 200);
    let ended = send(other.request(Method::GET, "/api/auth/stream-key").bearer_auth(&laptop.access)).await;
    assert_eq!(ended.refusal(), (401, "session_revoked"));
    // Ended while Redis is away: PostgreSQL knows.
    send(ana.request(Method::POST, "/api/auth/logout")).await;
    let ended = send(other.request(Method::GET, "/api/auth/stream-key").bearer_auth(&ana.access)).await;
    assert_eq!(ended.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn a_log_out_while_redis_is_away_still_holds_when_redis_returns_empty() {
    let mut redis = RedisServer::start();
    let (one, other) = two(&redis, PLENTY).await;
    let ana = one.register("ana").await;
    let bob = one.register("bob").await;
    let at = async |api: &Running, person: &Person<'_>| {
        send(api.request(Method::GET, "/api/auth/stream-key").bearer_auth(&person.access)).await
    };
    send(bob.request(Method::POST, "/api/auth/logout")).await;
    redis.stop();
    assert_eq!(send(ana.request(Method::POST, "/api/auth/logout")).await.status, 204);
    redis.start_again();
    let third = Running::replica(Arc::clone(&one.database), |config| {
        config.redis_url = Some(redis.url().into());
    })
    .await;
    for api in [&one, &other, &third] {
        // Several times: the connection to Redis is made anew meanwhile.
        for _ in 0..10 {
            assert_eq!(at(api, &ana).await.refusal(), (401, "session_revoked"));
            assert_eq!(at(api, &bob).await.refusal(), (401, "session_revoked"));
        }
    }
}

/// Two, of which neither looks by itself who has to go.
async fn two_that_do_not_look(redis: &RedisServer) -> (Running, Running) {
    let database = Arc::new(TestDatabase::create().await);
    let change = |config: &mut caudal_api::Config| {
        config.redis_url = Some(redis.url().into());
        config.deadlines.sweep = Duration::from_secs(3600);
    };
    tokio::join!(
        Running::replica(Arc::clone(&database), change),
        Running::replica(Arc::clone(&database), change)
    )
}

#[tokio::test]
async fn a_ban_at_one_replica_closes_the_sockets_at_all() {
    let redis = RedisServer::start();
    let (one, other) = two_that_do_not_look(&redis).await;
    let boss = one.register_admin("boss").await;
    let (ana, bob) = (one.register("ana").await, one.register("bob").await);
    let live = bob.goes_live().await;
    let ((mut here, _), (mut there, _)) = (Peer::join(&one, live).await, Peer::join(&other, live).await);
    let (mut his, _) = Peer::join(&other, live).await;
    here.authenticate(&ana).await;
    there.authenticate(&ana).await;
    his.authenticate(&bob).await;
    assert_eq!(boss.put(&format!("/api/admin/users/{}/ban", ana.id)).await.status, 200);
    assert_eq!((here.closed().await, there.closed().await), (4403, 4403));
    assert_eq!(his.ask("ping", json!({})).await["ok"], true);
}

#[tokio::test]
async fn a_log_out_at_one_replica_closes_the_sockets_at_all() {
    let redis = RedisServer::start();
    let (one, other) = two_that_do_not_look(&redis).await;
    let ana = one.register("ana").await;
    let live = ana.goes_live().await;
    let (mut there, _) = Peer::join(&other, live).await;
    there.authenticate(&ana).await;
    assert_eq!(send(ana.request(Method::POST, "/api/auth/logout")).await.status, 204);
    assert_eq!(there.closed().await, 4401);
}

#[tokio::test]
async fn a_token_that_is_used_again_closes_the_sockets_of_its_session_at_all() {
    let redis = RedisServer::start();
    let (one, other) = two_that_do_not_look(&redis).await;
    let (ana, bob) = (one.register("ana").await, one.register("bob").await);
    let live = bob.goes_live().await;
    let ((mut here, _), (mut there, _)) = (Peer::join(&one, live).await, Peer::join(&other, live).await);
    let (mut his, _) = Peer::join(&other, live).await;
    here.authenticate(&ana).await;
    there.authenticate(&ana).await;
    his.authenticate(&bob).await;
    let refresh = async |token: &str| one.post("/api/auth/refresh", json!({ "refreshToken": token })).await;
    let next = Person::of(&one, &refresh(&ana.refresh).await);
    refresh(&next.refresh).await;
    assert_eq!(refresh(&ana.refresh).await.refusal(), (401, "refresh_reused"));
    assert_eq!((here.closed().await, there.closed().await), (4401, 4401));
    assert_eq!(his.ask("ping", json!({})).await["ok"], true);
}

#[tokio::test]
async fn a_ban_while_redis_is_away_closes_the_sockets_at_all_the_same() {
    let mut redis = RedisServer::start();
    let (one, other) = two(&redis, PLENTY).await;
    let boss = one.register_admin("boss").await;
    let ana = one.register("ana").await;
    let live = ana.goes_live().await;
    let ((mut here, _), (mut there, _)) = (Peer::join(&one, live).await, Peer::join(&other, live).await);
    here.authenticate(&ana).await;
    there.authenticate(&ana).await;
    redis.stop();
    assert_eq!(boss.put(&format!("/api/admin/users/{}/ban", ana.id)).await.status, 200);
    assert_eq!((here.closed().await, there.closed().await), (4403, 4403));
}
