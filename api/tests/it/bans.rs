//! What a ban ends, and what an end of the ban gives back.

use caudal_livestream::admission::DenialCode;
use caudal_livestream::report::EndReason;
use serde_json::json;

use crate::lifecycle::Order;
use crate::running::{PASSWORD, Person, Running};

#[tokio::test]
async fn a_ban_ends_the_running_broadcast_and_every_session_and_nobody_else_s() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let login = || api.post("/api/auth/login", json!({"login": "ana", "password": PASSWORD}));
    let phone = Person::of(&api, &login().await);
    let key = ana.stream_key().await;
    let (live, other) = (ana.goes_live().await, bob.goes_live().await);

    api.database.execute("update users set banned_at = now() where username = 'ana'").await;
    api.lifecycle.was_told(&Order::End(live, EndReason::EndedByOwner)).await;
    // Dropped first, with the reason.
    assert!(api.lifecycle.orders().contains(&Order::Drop(live)));
    for session in [&ana, &phone] {
        assert_eq!(session.get("/api/auth/stream-key").await.refusal(), (401, "session_revoked"));
        let refreshed = api.post("/api/auth/refresh", json!({"refreshToken": session.refresh})).await;
        assert_eq!(refreshed.refusal(), (403, "banned"));
    }
    assert_eq!(login().await.refusal(), (403, "banned"));
    assert_eq!(api.authorize(&key).await.unwrap_err().code, DenialCode::Banned);
    api.done(live, "ended_by_owner").await;

    assert_eq!(bob.get("/api/auth/stream-key").await.status, 200);
    assert_eq!(api.stream(other).await["isLive"], true);
    assert!(!api.lifecycle.orders().contains(&Order::End(other, EndReason::EndedByOwner)));

    api.database.execute("update users set banned_at = null").await;
    let again = Person::of(&api, &login().await);
    assert_eq!(again.stream_key().await, key);
    assert_ne!(api.authorize(&key).await.unwrap().stream, live);
    // What was refused a refresh does not come back.
    assert_eq!(ana.get("/api/auth/stream-key").await.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn deleting_an_account_ends_what_it_has_running_too() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    api.database.execute("update users set deleted_at = now()").await;
    api.lifecycle.was_told(&Order::End(live, EndReason::EndedByOwner)).await;
    assert_eq!(ana.get("/api/streams/mine").await.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn a_ban_that_the_lifecycle_misses_is_carried_out_when_it_is_back() {
    let api = Running::start().await;
    let live = api.register("ana").await.goes_live().await;
    api.lifecycle.set_away(true);
    api.database.execute("update users set banned_at = now()").await;
    api.database.says("select end_requested_reason = 'banned' from streams").await;
    assert_eq!(api.lifecycle.orders(), []);
    api.lifecycle.set_away(false);
    api.lifecycle.was_told(&Order::End(live, EndReason::EndedByOwner)).await;
}
