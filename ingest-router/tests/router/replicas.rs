//! Two routers that share a Redis.

use std::time::Duration;

use caudal_ingest_router::Config;
use caudal_livestream::admission::DenialCode;
use caudal_rtmp::Refusal;

use crate::fake_api::Mood;
use crate::harness::{Harness, KEY, authorize, refusal, within};
use crate::redis_server::RedisServer;

/// A router that has found Redis.
async fn router(redis: &RedisServer, change: impl FnOnce(&mut Config)) -> Harness {
    let harness = Harness::with(|config| {
        config.redis_url = Some(redis.url().into());
        change(config);
    })
    .await;
    finds_redis(&harness).await;
    harness
}

async fn finds_redis(router: &Harness) {
    let found = || {
        let families = router.registry.gather();
        let gauge = families.iter().find(|family| family.name() == "caudal_ingest_router_redis_reachable");
        gauge.is_some_and(|gauge| gauge.get_metric()[0].get_gauge().get_value() > 0.0)
    };
    within(async {
        while !found() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn only_for_key(harness: &Harness) -> Mood {
    let nobody = Mood::Deny(DenialCode::UnknownKey, "No such key.");
    Mood::OnlyFor(KEY, Box::new(authorize(harness.stream)), Box::new(nobody))
}

#[tokio::test]
async fn who_has_guessed_at_one_router_is_held_off_by_the_other_and_a_good_key_passes_with_redis_and_without()
{
    let mut redis = RedisServer::start();
    let (one, other) = (router(&redis, |_| {}).await, router(&redis, |_| {}).await);
    one.api.set(only_for_key(&one));
    other.api.set(only_for_key(&other));
    drop(other.publish().await.unwrap());
    for guess in 0..10 {
        let error = one.publish_key(&format!("guess-{guess}")).await.unwrap_err();
        assert_eq!(refusal(&error), (Some(Refusal::Denied), "No such key.".to_owned()));
    }
    let asked = other.api.asked().len();
    let error = other.publish_key("guess-10").await.unwrap_err();
    assert!(refusal(&error).1.starts_with("Too many wrong stream keys"), "{error}");
    assert_eq!(other.api.asked().len(), asked, "the api is not asked");
    drop(other.publish().await.unwrap());

    redis.stop();
    let error = other.publish_key("guess-11").await.unwrap_err();
    assert_eq!(refusal(&error).1, "No such key.", "it counts for itself");
    drop(other.publish().await.unwrap());

    redis.start_again();
    for router in [&one, &other] {
        finds_redis(router).await;
    }
    drop(other.publish().await.unwrap());
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_key_that_was_refused_at_one_router_is_not_let_in_at_the_other_while_the_api_is_away() {
    let redis = RedisServer::start();
    let one = router(&redis, |_| {}).await;
    let other = router(&redis, |config| config.directory = one.directory.clone()).await;
    let away = || Mood::Fail(u32::MAX, Box::new(authorize(one.stream)));
    drop(one.publish().await.unwrap());
    other.api.set(away());
    drop(other.publish().await.unwrap());

    one.api.set(Mood::Deny(DenialCode::Banned, "Banned."));
    assert_eq!(refusal(&one.publish().await.unwrap_err()).1, "Banned.");
    let error = other.publish().await.unwrap_err();
    assert_eq!(refusal(&error).0, Some(Refusal::Rejected), "a refusal holds everywhere");

    one.api.set(authorize(one.stream));
    drop(one.publish().await.unwrap());
    drop(other.publish().await.unwrap());
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_router_whose_redis_has_never_been_there_takes_publishers() {
    let harness = Harness::with(|config| config.redis_url = Some("redis://127.0.0.1:1".into())).await;
    drop(harness.publish().await.unwrap());
    assert_eq!(harness.counted("caudal_ingest_router_redis_reachable"), 0);
    harness.stop().await;
}

#[tokio::test]
async fn a_redis_url_that_is_none_is_refused_without_being_shown() {
    let harness = Harness::with(|config| config.redis_url = Some("hunter2".into())).await;
    let error = within(harness.router).await.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("REDIS_URL: expected") && !error.to_string().contains("hunter2"));
}
