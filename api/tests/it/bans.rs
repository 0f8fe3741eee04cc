//! What a ban ends, and what an end of the ban gives back.

use caudal_livestream::admission::DenialCode;
use caudal_livestream::report::EndReason;
use reqwest::Method;
use serde_json::json;

use crate::chat::Peer;
use crate::lifecycle::Order;
use crate::running::{PASSWORD, Person, Running, send};

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

#[tokio::test]
async fn an_admin_s_ban_ends_everything_at_once() {
    // Nothing here waits for the sweep.
    let api = Running::start_with(|config| config.deadlines.sweep = HOURS).await;
    let boss = api.register_admin("boss").await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let (live, key) = (ana.goes_live().await, ana.stream_key().await);
    let ((mut hers, _), (mut his, _)) = (Peer::join(&api, live).await, Peer::join(&api, live).await);
    hers.authenticate(&ana).await;
    his.authenticate(&bob).await;
    let said = hers.ask("send_message", json!({"message": "hola"})).await;
    assert_eq!(said["ok"], true);
    his.hear("new_message").await;

    let banned = boss.put(&format!("/api/admin/users/{}/ban", ana.id)).await;
    assert_eq!((banned.status.as_u16(), banned.json["bannedAt"].is_string()), (200, true), "{}", banned.json);
    assert_eq!(hers.closed().await, 4403);
    assert_eq!(
        api.lifecycle.distinct_orders(),
        [Order::Drop(live), Order::End(live, EndReason::EndedByOwner)],
        "told before the answer"
    );
    assert_eq!(ana.get("/api/streams/mine").await.refusal(), (401, "session_revoked"));
    let refreshed = api.post("/api/auth/refresh", json!({"refreshToken": ana.refresh})).await;
    assert_eq!(refreshed.refusal(), (401, "refresh_invalid"));
    let login = || api.post("/api/auth/login", json!({"login": "ana", "password": PASSWORD}));
    assert_eq!(login().await.refusal(), (403, "banned"));
    assert_eq!(api.authorize(&key).await.unwrap_err().code, DenialCode::Banned);
    // The others go on, and what was said stays.
    assert_eq!(his.ask("ping", json!({})).await["ok"], true);
    assert_eq!(api.get(&format!("/api/chat/{live}")).await.json[0]["message"], "hola");

    api.done(live, "ended_by_owner").await;
    let ended = boss.delete(&format!("/api/admin/users/{}/ban", ana.id)).await;
    assert_eq!((ended.status.as_u16(), ended.json["bannedAt"].is_null()), (200, true), "{}", ended.json);
    // No log-in of before comes back, whosever it was.
    assert_eq!(ana.get("/api/streams/mine").await.refusal(), (401, "session_revoked"));
    let again = Person::of(&api, &login().await);
    assert_eq!(again.stream_key().await, key);
}

#[tokio::test]
async fn a_ban_that_only_the_database_knows_closes_sockets_too() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let live = bob.goes_live().await;
    let ((mut hers, _), (mut his, _)) = (Peer::join(&api, live).await, Peer::join(&api, live).await);
    hers.authenticate(&ana).await;
    his.authenticate(&bob).await;
    api.database.execute("update users set banned_at = '2020-01-01' where username = 'ana'").await;
    assert_eq!(hers.closed().await, 4403);
    assert_eq!(his.ask("ping", json!({})).await["ok"], true);
    // From now on only as a stranger.
    let (mut stranger, _) = Peer::join(&api, live).await;
    assert_eq!(stranger.ask("authenticate", json!({"token": ana.access})).await["code"], "session_revoked");
    assert_eq!(stranger.ask("ping", json!({})).await["ok"], true);
}

#[tokio::test]
async fn a_log_out_closes_the_sockets_of_that_log_in_and_no_others() {
    let api = Running::start_with(|config| config.deadlines.sweep = HOURS).await;
    let ana = api.register("ana").await;
    let login = api.post("/api/auth/login", json!({"login": "ana", "password": PASSWORD})).await;
    let phone = Person::of(&api, &login);
    let live = ana.goes_live().await;
    let ((mut laptop, _), (mut in_pocket, _)) = (Peer::join(&api, live).await, Peer::join(&api, live).await);
    laptop.authenticate(&ana).await;
    in_pocket.authenticate(&phone).await;
    assert_eq!(send(ana.request(Method::POST, "/api/auth/logout")).await.status, 204);
    assert_eq!(laptop.closed().await, 4401);
    assert_eq!(in_pocket.ask("ping", json!({})).await["ok"], true);
}

#[tokio::test]
async fn a_log_in_that_ends_by_the_way_closes_its_sockets_within_the_sweep() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    let (mut peer, _) = Peer::join(&api, live).await;
    peer.authenticate(&ana).await;
    api.database.execute("update sessions set revoked_at = now()").await;
    assert_eq!(peer.closed().await, 4401);
}

const HOURS: std::time::Duration = std::time::Duration::from_secs(3600);
