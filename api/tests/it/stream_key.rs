//! Keys: shown, rotated, and rotated while somebody publishes.

use caudal_livestream::admission::DenialCode;
use caudal_livestream::record::Phase;
use caudal_livestream::report::EndReason;
use serde_json::json;

use crate::lifecycle::Order;
use crate::running::{PASSWORD, Person, Running};
use crate::snapshot::tidy;

#[tokio::test]
async fn an_owner_reads_the_key_as_often_as_needed() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let answer = ana.get("/api/auth/stream-key").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let key = answer.json["streamKey"].as_str().unwrap();
    assert!(key.starts_with("live_") && key.len() == 37, "{key}");
    assert_eq!(ana.stream_key().await, key);
    assert_ne!(api.register("bob").await.stream_key().await, key);
    insta::assert_json_snapshot!(tidy(answer.json.clone()));
}

#[tokio::test]
async fn rotating_asks_for_the_password() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let key = ana.stream_key().await;
    let answer = ana.post("/api/auth/stream-key/rotate", json!({"password": "not it at all"})).await;
    assert_eq!(answer.refusal(), (403, "wrong_password"));
    assert_eq!(ana.stream_key().await, key);
    let answer = ana.post("/api/auth/stream-key/rotate", json!({"password": PASSWORD})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_ne!(answer.json["streamKey"], key);
    assert_eq!(ana.stream_key().await, answer.json["streamKey"]);
    assert_eq!(api.authorize(&key).await.unwrap_err().code, DenialCode::UnknownKey);
    assert!(api.lifecycle.orders().is_empty());
}

#[tokio::test]
async fn rotating_while_live_ends_the_broadcast_and_frees_the_new_key_at_once() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    let answer = ana.post("/api/auth/stream-key/rotate", json!({"password": PASSWORD})).await;
    let told = api.lifecycle.orders();
    let first = |order| told.iter().position(|told| *told == order).expect("an order is missing");
    // The router first, so that the old key does not come back from its cache.
    assert!(first(Order::Revoke(live)) < first(Order::Drop(live)), "{told:?}");
    assert!(first(Order::Drop(live)) < first(Order::End(live, EndReason::KeyRotated)), "{told:?}");
    let next = api.authorize(answer.json["streamKey"].as_str().unwrap()).await.unwrap();
    assert_ne!(next.stream, live);
    assert_eq!(api.stream(live).await["isLive"], false);
}

#[tokio::test]
async fn a_rotation_that_nobody_took_up_is_repeated() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    api.lifecycle.set_away(true);
    assert_eq!(ana.post("/api/auth/stream-key/rotate", json!({"password": PASSWORD})).await.status, 200);
    assert!(api.lifecycle.orders().is_empty());
    api.lifecycle.set_away(false);
    api.lifecycle.was_told(&Order::End(live, EndReason::KeyRotated)).await;
    assert!(api.lifecycle.orders().contains(&Order::Revoke(live)));
}

#[tokio::test]
async fn a_publisher_who_comes_during_a_rotation_is_refused_or_ended() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    for _ in 0..10 {
        let key = ana.stream_key().await;
        let (admitted, rotated) = tokio::join!(
            api.authorize(&key),
            ana.post("/api/auth/stream-key/rotate", json!({"password": PASSWORD}))
        );
        assert_eq!(rotated.status, 200);
        match admitted {
            Err(denied) => assert_eq!(denied.code, DenialCode::UnknownKey),
            Ok(admitted) => {
                // Admitted a moment before: the rotation saw it, or it never became a broadcast.
                api.lifecycle.knows(admitted.stream, Phase::Starting);
                api.published(admitted.stream).await;
                api.lifecycle.was_told(&Order::End(admitted.stream, EndReason::KeyRotated)).await;
            }
        }
        assert_eq!(api.authorize(&key).await.unwrap_err().code, DenialCode::UnknownKey);
    }
}

#[tokio::test]
async fn a_key_sealed_under_a_lost_secret_says_so_and_a_new_one_is_made() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let old = ana.stream_key().await;
    let after = Running::replica(api.database.clone(), |config| {
        config.secrets.stream_key_pepper = "another pepper after the loss, 32 b".into();
        config.secrets.stream_key_encryption =
            vec![("1".into(), "another encryption key, 32 bytes b".into())];
    })
    .await;
    let ana = Person { api: &after, ..ana.clone() };
    let answer = ana.get("/api/auth/stream-key").await;
    assert_eq!(answer.refusal(), (409, "stream_key_unreadable"));
    assert!(answer.json["detail"].as_str().unwrap().contains("make a new key"), "{}", answer.json);
    assert_eq!(after.authorize(&old).await.unwrap_err().code, DenialCode::UnknownKey);

    let answer = ana.post("/api/auth/stream-key/rotate", json!({"password": PASSWORD})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(ana.stream_key().await, answer.json["streamKey"]);
    assert!(after.authorize(&ana.stream_key().await).await.is_ok());
}
