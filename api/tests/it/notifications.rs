//! People hear that others are live, wherever they are; once, and after a crash too.

use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::StreamId;
use futures::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use crate::chat::soon;
use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::{Person, Running, pages, send};

/// Somebody's socket.
struct Peer(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Peer {
    async fn connect(api: &Running, path: &str) -> Self {
        Self(connect_async(format!("{}{path}", api.url.replace("http", "ws"))).await.unwrap().0)
    }

    async fn listen(api: &Running) -> Self {
        Self::connect(api, "/ws/notifications").await
    }

    /// Of somebody who hears of whom they follow.
    async fn of(person: &Person<'_>) -> Self {
        let mut peer = Self::listen(person.api).await;
        peer.done("authenticate", json!({ "token": person.access })).await;
        peer.done("subscribe_notifications", json!({})).await;
        peer
    }

    async fn next(&mut self) -> Value {
        loop {
            let message = soon(self.0.next()).await.expect("the socket ended").unwrap();
            if let Message::Text(text) = message {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["event"] != "viewer_count" {
                    return frame;
                }
            }
        }
    }

    async fn hear(&mut self, event: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["event"], event, "{frame}");
        frame["data"].clone()
    }

    async fn ask(&mut self, event: &str, data: Value) -> Value {
        let frame = json!({ "event": event, "data": data, "id": "it" });
        self.0.send(frame.to_string().into()).await.unwrap();
        let frame = self.next().await;
        assert_eq!((&frame["event"], &frame["id"]), (&json!("ack"), &json!("it")), "{frame}");
        frame["data"].clone()
    }

    async fn done(&mut self, event: &str, data: Value) {
        assert_eq!(self.ask(event, data).await, json!({ "ok": true }));
    }

    /// That nothing was said before this answer.
    async fn heard_nothing(&mut self) {
        self.done("ping", json!({})).await;
    }

    async fn closed(&mut self) -> u16 {
        loop {
            match soon(self.0.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn follows(follower: &Person<'_>, followed: &Person<'_>) {
    let answer = follower.post(&format!("/api/users/{}/follow", followed.id), json!({})).await;
    assert_eq!(answer.status, 204, "{}", answer.json);
}

/// Until there is nothing left to do.
async fn settled(api: &Running) {
    api.database.says("select count(*) = 0 from outbox").await;
}

async fn unread(of: &Person<'_>) -> Value {
    let answer = of.get("/api/notifications/unread").await;
    assert_eq!(answer.status, 200);
    answer.json["count"].clone()
}

async fn list(of: &Person<'_>) -> Vec<Value> {
    pages(async |path| of.get(path).await, "/api/notifications?limit=2").await
}

#[tokio::test]
async fn followers_hear_that_somebody_is_live_and_read_it_later() {
    let api = Running::start().await;
    let (ana, bob, eve) = (api.register("ana").await, api.register("bob").await, api.register("eve").await);
    follows(&bob, &ana).await;
    let (mut tab, mut stranger) = (Peer::of(&bob).await, Peer::of(&eve).await);
    let stream = ana.goes_live().await;
    let started = tab.hear("stream_started").await;
    let user = json!({ "id": ana.id, "username": "ana", "displayName": null, "avatar": null });
    assert_eq!(started, json!({ "streamId": stream, "streamer": user, "title": "ana's stream" }));
    let told = tab.hear("notification").await;
    assert_eq!(
        (&told["type"], &told["user"], &told["read"]),
        (&json!("stream_started"), &user, &json!(false))
    );
    settled(&api).await;
    stranger.heard_nothing().await;
    assert_eq!(list(&bob).await, std::slice::from_ref(&told));
    assert!(list(&eve).await.is_empty());
    assert_eq!(unread(&bob).await, 1);

    api.done(stream, "unpublished").await;
    let ended = tab.hear("stream_ended").await;
    assert_eq!((&ended["streamId"], &ended["reason"]), (&json!(stream), &json!("unpublished")));
    // Whoever follows is news for the one who is followed, once.
    assert_eq!(list(&ana).await[0]["type"], "new_follower");
    assert_eq!(list(&ana).await[0]["user"]["username"], "bob");
    bob.delete(&format!("/api/users/{}/follow", ana.id)).await;
    follows(&bob, &ana).await;
    settled(&api).await;
    assert_eq!(list(&ana).await.len(), 1);
    api.database
        .says("select count(*) = 1 from streams where start_told_at is not null and end_told_at is not null")
        .await;
}

#[tokio::test]
async fn what_was_told_is_marked_one_by_one_and_all_together() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    for name in ["bob", "eve", "kim"] {
        follows(&api.register(name).await, &ana).await;
        settled(&api).await;
    }
    let all = list(&ana).await;
    let names: Vec<_> = all.iter().map(|told| told["user"]["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["kim", "eve", "bob"]);
    let one = format!("/api/notifications/{}", all[1]["id"].as_str().unwrap());
    assert_eq!(ana.patch(&one, json!({ "read": true })).await.json, json!({ "count": 2 }));
    let unread = ana.get("/api/notifications?unread=true").await;
    assert_eq!(unread.json.as_array().unwrap().len(), 2);
    assert_eq!(ana.patch(&one, json!({ "read": false })).await.json, json!({ "count": 3 }));
    let until = json!({ "read": true, "until": all[1]["id"] });
    assert_eq!(ana.patch("/api/notifications", until).await.json, json!({ "count": 1 }));
    assert_eq!(list(&ana).await[0]["read"], false);
    assert_eq!(ana.patch("/api/notifications", json!({ "read": true })).await.json, json!({ "count": 0 }));
    // Nobody else's.
    let bob = api.register("rob").await;
    for path in
        [one.as_str(), "/api/notifications/x", "/api/notifications/00000000-0000-0000-0000-000000000000"]
    {
        assert_eq!(bob.patch(path, json!({ "read": true })).await.refusal(), (404, "not_found"), "{path}");
    }
    assert_eq!(ana.patch("/api/notifications", json!({ "read": false })).await.refusal(), (422, "invalid"));
    assert_eq!(
        ana.patch("/api/notifications", json!({ "read": true, "x": 1 })).await.refusal(),
        (422, "invalid")
    );
    assert_eq!(ana.get("/api/notifications?cursor=x").await.refusal(), (422, "invalid"));
    assert_eq!(ana.get("/api/notifications?all=true").await.refusal(), (400, "malformed"));
    for (method, path) in [
        (Method::GET, "/api/notifications"),
        (Method::PATCH, "/api/notifications"),
        (Method::GET, "/api/notifications/unread"),
        (Method::GET, "/api/notifications/preferences"),
        (Method::PUT, "/api/notifications/preferences"),
        (Method::PATCH, one.as_str()),
    ] {
        let answer = send(api.request(method.clone(), path).json(&json!({ "read": true }))).await;
        assert_eq!(answer.refusal(), (401, "unauthenticated"), "{method} {path}");
    }
}

#[tokio::test]
async fn nobody_is_told_who_does_not_want_it_or_is_not_wanted() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let mut people = Vec::new();
    for name in ["bob", "eve", "kim", "rob", "lea"] {
        let person = api.register(name).await;
        follows(&person, &ana).await;
        people.push(person);
    }
    let [bob, eve, _, rob, lea] = people.as_slice() else { unreachable!() };
    settled(&api).await;
    let preferences = "/api/notifications/preferences";
    assert_eq!(bob.get(preferences).await.json, json!({ "streamStarted": true, "newFollower": true }));
    let set = json!({ "streamStarted": false, "newFollower": true });
    let answer = send(bob.request(Method::PUT, preferences).json(&set)).await;
    assert_eq!((answer.status.as_u16(), &answer.json), (200, &set));
    assert_eq!(bob.get(preferences).await.json, set);
    let partly = send(bob.request(Method::PUT, preferences).json(&json!({ "streamStarted": true }))).await;
    assert_eq!(partly.refusal(), (422, "invalid"));
    // A block ends following and takes what was told; as if one had come in between, eve follows all the same.
    assert_eq!(ana.put(&format!("/api/users/me/blocks/{}", rob.id)).await.status, 204);
    assert_eq!(list(&ana).await.len(), 4);
    api.database
        .execute(
            "insert into user_blocks (blocker_id, blocked_id) \
             select a.id, b.id from users a, users b where a.username = 'eve' and b.username = 'ana'; \
             update users set banned_at = now() where username = 'kim'",
        )
        .await;
    assert_eq!(list(&ana).await.len(), 3);
    assert_eq!(unread(&ana).await, 3);
    ana.goes_live().await;
    settled(&api).await;
    api.database.says("select count(*) = 1 from notifications where type = 'stream_started'").await;
    assert_eq!(list(lea).await.len(), 1);
    for person in [bob, eve, rob] {
        assert!(list(person).await.is_empty());
    }
}

#[tokio::test]
async fn an_encoder_that_restarts_is_no_news() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    follows(&bob, &ana).await;
    let mut tab = Peer::of(&bob).await;
    for again in [false, true] {
        let stream = ana.goes_live().await;
        assert_eq!(tab.hear("stream_started").await["streamId"], json!(stream));
        if !again {
            tab.hear("notification").await;
        }
        // Twice: the report may be repeated.
        api.published(stream).await;
        api.done(stream, "unpublished").await;
        api.done(stream, "unpublished").await;
        assert_eq!(tab.hear("stream_ended").await["streamId"], json!(stream));
    }
    settled(&api).await;
    tab.heard_nothing().await;
    assert_eq!(list(&bob).await.len(), 1);
    api.database.execute("update streams set started_at = started_at - interval '1 day', ended_at = ended_at - interval '1 day'").await;
    ana.goes_live().await;
    settled(&api).await;
    assert_eq!(list(&bob).await.len(), 2);
}

#[tokio::test]
async fn sockets_hear_what_they_ask_for() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let (mut all, mut named, mut other) =
        (Peer::listen(&api).await, Peer::listen(&api).await, Peer::listen(&api).await);
    let refused = all.ask("subscribe_notifications", json!({})).await;
    assert_eq!((&refused["ok"], &refused["code"]), (&json!(false), &json!("unauthenticated")));
    let many: Vec<_> = (0..101).map(Uuid::from_u128).collect();
    for (event, data, code) in [
        ("subscribe_notifications", json!({ "streamerIds": many }), "malformed"),
        ("subscribe_notifications", json!({ "scope": "some" }), "malformed"),
        ("authenticate", json!({ "token": "x" }), "token_invalid"),
        ("dance", json!({}), "malformed"),
    ] {
        assert_eq!(all.ask(event, data).await["code"], code, "{event}");
    }
    all.done("subscribe_notifications", json!({ "scope": "all" })).await;
    named.done("subscribe_notifications", json!({ "streamerIds": [ana.id] })).await;
    other.done("subscribe_notifications", json!({ "streamerIds": [bob.id] })).await;
    let stream = ana.goes_live().await;
    for peer in [&mut all, &mut named] {
        assert_eq!(peer.hear("stream_started").await["streamId"], json!(stream));
    }
    settled(&api).await;
    other.heard_nothing().await;
    // In a room too, beside what happens there.
    let mut guest = Peer::connect(&api, &format!("/ws/chat/{stream}")).await;
    guest.hear("joined").await;
    guest.done("subscribe_notifications", json!({ "streamerIds": [bob.id] })).await;
    let second = bob.goes_live().await;
    assert_eq!(guest.hear("stream_started").await["streamId"], json!(second));
    assert_eq!(other.hear("stream_started").await["streamId"], json!(second));
    other.0.send("x".repeat(9_000).into()).await.unwrap();
    assert_eq!(other.closed().await, 4400);
    for _ in 0..80 {
        if named.0.send("x".into()).await.is_err() {
            break;
        }
    }
    assert_eq!(named.closed().await, 4429);
    assert_eq!(api.get("/ws/notifications").await.refusal(), (400, "malformed"));
    let request = tungstenite::ClientRequestBuilder::new(
        format!("{}/ws/notifications", api.url.replace("http", "ws")).parse().unwrap(),
    );
    match connect_async(request.with_header("origin", "https://evil.test")).await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 403),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_access_token_s_end_is_the_end_of_its_socket() {
    let api = Running::start_with(|config| config.deadlines.access_token = Duration::from_secs(2)).await;
    let ana = api.register("ana").await;
    assert_eq!(Peer::of(&ana).await.closed().await, 4401);
}

#[tokio::test]
async fn a_room_hears_that_its_stream_changes_and_ends() {
    for redis in [None, Some(RedisServer::start())] {
        let url = redis.as_ref().map(RedisServer::url);
        let api = Running::start_with(|config| config.redis_url = url.map(Into::into)).await;
        let ana = api.register("ana").await;
        let stream = ana.goes_live().await;
        let mut guest = Peer::connect(&api, &format!("/ws/chat/{stream}")).await;
        let joined = guest.hear("joined").await;
        let music = api.get("/api/categories?q=music").await.json[0].clone();
        let change = json!({ "title": "Songs", "categoryIds": [music["id"]] });
        assert_eq!(ana.patch(&format!("/api/streams/{stream}"), change).await.status, 200);
        let updated = guest.hear("stream_updated").await;
        assert_eq!(
            (&updated["title"], &updated["categories"][0]["slug"]),
            (&json!("Songs"), &json!("music"))
        );
        let offset = |event: &Value| event["offset"].as_i64().unwrap();
        assert_eq!(offset(&updated), offset(&joined) + 1);
        api.done(stream, "ended_by_owner").await;
        let ended = guest.hear("stream_ended").await;
        assert_eq!((&ended["reason"], offset(&ended)), (&json!("ended_by_owner"), offset(&joined) + 2));
        assert_eq!(ended["endedAt"], api.stream(stream).await["endedAt"]);
        // What is no message is in no history.
        assert_eq!(api.get(&format!("/api/chat/{stream}")).await.json, json!([]));
    }
}

#[tokio::test]
async fn what_was_committed_is_told_once_though_the_process_dies_in_between() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    follows(&bob, &ana).await;
    settled(&api).await;
    crowd(&api, 1_500).await;
    // The first batch is written; the second, which has those who followed first, waits for bob's row when the process dies.
    let mut held = api.database.pool.begin().await.unwrap();
    sqlx::query("select id from users where username = 'bob' for update").execute(&mut *held).await.unwrap();
    let stream = ana.goes_live().await;
    api.database
        .says("select count(*) = 1 from outbox where payload ->> 'after' is not null and attempts = 1")
        .await;
    api.database.says("select count(*) = 1000 from notifications where type = 'stream_started'").await;
    api.task.abort();
    let ends = "select pg_terminate_backend(pid) from pg_stat_activity \
                where datname = current_database() and application_name = 'caudal-api'";
    api.database.execute(ends).await;
    held.commit().await.unwrap();
    // Its lease is over sooner than in a minute.
    api.database.execute("update outbox set next_at = now()").await;

    let other = Running::replica(Arc::clone(&api.database), |_| ()).await;
    settled(&other).await;
    let bob = Person { api: &other, ..bob };
    assert_eq!(list(&bob).await[0]["streamId"], json!(stream));
    other.database.says("select count(*) = 1501 from notifications where type = 'stream_started'").await;
}

/// So many people who follow ana.
async fn crowd(api: &Running, people: i32) {
    sqlx::query(
        r"with made as (
              insert into users (id, username, email, password_hash, stream_key, stream_key_enc, stream_key_kid)
              select gen_random_uuid(), 'u' || n, 'u' || n || '@example.test', 'x', 'k' || n, 'x', '1'
              from generate_series(1, $1) n returning id
          )
          insert into followers (follower_id, following_id) select made.id, a.id from made, users a where a.username = 'ana'",
    )
    .bind(people)
    .execute(&api.database.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_kept_has_an_end() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    follows(&bob, &ana).await;
    settled(&api).await;
    // Older than what will be told; half of it older than anybody wants to know.
    sqlx::query(
        r"insert into notifications (user_id, id, type, actor_id, created_at)
          select b.id, ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'stream_started', a.id,
                 now() - make_interval(days => case when n <= 150 then 91 else 1 end)
          from generate_series(1, 300) n, users a, users b where a.username = 'ana' and b.username = 'bob'",
    )
    .execute(&api.database.pool)
    .await
    .unwrap();
    ana.goes_live().await;
    settled(&api).await;
    api.database.says("select count(*) = 200 from notifications n join users u on u.id = n.user_id where u.username = 'bob'").await;
    assert_eq!(list(&bob).await[0]["title"], "ana's stream");
    // Whoever starts sweeps.
    let _other = Running::replica(Arc::clone(&api.database), |_| ()).await;
    api.database.says("select min(created_at) > now() - interval '90 days' from notifications").await;
    api.database.says("select count(*) = 151 from notifications n join users u on u.id = n.user_id where u.username = 'bob'").await;
}

#[tokio::test]
async fn what_fails_again_and_again_is_given_up_and_tried_again_by_an_admin() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let path = "/api/admin/dead-letters";
    api.database.execute("update users set role = 'admin' where username = 'ana'").await;
    api.database
        .execute(
            "insert into outbox (id, lane, topic, payload, attempts) \
             values ('01936f00-0000-7000-8000-000000000001', 'events', 'dance', '{\"to\":\"x\"}', 15)",
        )
        .await;
    api.database.says("select count(*) = 1 from outbox where dead_at is not null").await;
    let letters = pages(async |path| ana.get(path).await, path).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (&letters[0]["topic"], &letters[0]["payload"], &letters[0]["attempts"]),
        (&json!("dance"), &json!({ "to": "x" }), &json!(16))
    );
    assert!(letters[0]["lastError"].as_str().unwrap().contains("unknown variant `dance`"), "{}", letters[0]);
    let retry = format!("{path}/{}/retry", letters[0]["id"].as_str().unwrap());
    assert_eq!(bob.get(path).await.refusal(), (403, "forbidden"));
    assert_eq!(bob.post(&retry, json!({})).await.refusal(), (403, "forbidden"));
    assert_eq!(api.get(path).await.refusal(), (401, "unauthenticated"));
    assert_eq!(ana.post(&retry, json!({})).await.status, 202);
    assert_eq!(ana.get(path).await.json, json!([]));
    // It fails as before, and waits for the next try.
    api.database.says("select attempts = 1 and dead_at is null from outbox").await;
    for unknown in [retry, format!("{path}/x/retry")] {
        assert_eq!(ana.post(&unknown, json!({})).await.refusal(), (404, "not_found"));
    }
}

#[tokio::test]
async fn a_job_waits_for_what_is_away_and_is_done_when_it_is_back() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    follows(&bob, &ana).await;
    settled(&api).await;
    api.database.execute("alter table notifications rename to hidden").await;
    ana.goes_live().await;
    api.database.says("select last_error like '%notifications%' and dead_at is null from outbox").await;
    api.database.execute("alter table hidden rename to notifications").await;
    settled(&api).await;
    assert_eq!(list(&bob).await.len(), 1);
}

#[tokio::test]
async fn replicas_tell_each_other_s_sockets_once() {
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let on = || Running::replica(Arc::clone(&database), |config| config.redis_url = Some(redis.url().into()));
    let (here, there) = tokio::join!(on(), on());
    let (ana, bob) = (here.register("ana").await, here.register("bob").await);
    follows(&bob, &ana).await;
    let far = Person { api: &there, ..bob.clone() };
    let (mut near, mut far) = (Peer::of(&bob).await, Peer::of(&far).await);
    let mut guest: Option<Peer> = None;
    for round in 0..3 {
        let stream = ana.goes_live().await;
        for peer in [&mut near, &mut far] {
            assert_eq!(peer.hear("stream_started").await["streamId"], json!(stream));
            if round == 0 {
                assert_eq!(peer.hear("notification").await["streamId"], json!(stream));
            }
        }
        let mut peer = Peer::connect(&there, &format!("/ws/chat/{stream}")).await;
        peer.hear("joined").await;
        here.done(stream, "unpublished").await;
        peer.hear("stream_ended").await;
        guest = Some(peer);
        for peer in [&mut near, &mut far] {
            assert_eq!(peer.hear("stream_ended").await["streamId"], json!(stream));
        }
    }
    settled(&here).await;
    for peer in [&mut near, &mut far, guest.as_mut().unwrap()] {
        peer.heard_nothing().await;
    }
    database.says("select count(*) = 1 from notifications where type = 'stream_started'").await;
}

#[tokio::test]
async fn a_stream_that_was_never_live_ends_without_a_word() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let mut all = Peer::listen(&api).await;
    all.done("subscribe_notifications", json!({ "scope": "all" })).await;
    let prepared = ana.post("/api/streams", json!({ "title": "Soon" })).await;
    let path = format!("/api/streams/{}", prepared.json["id"].as_str().unwrap());
    assert_eq!(ana.delete(&path).await.status, 204);
    // Let in, and never seen.
    let stream: StreamId = api.authorize(&ana.stream_key().await).await.unwrap().stream;
    let report = json!({
        "stream": stream, "published": false, "endedAt": 1_700_000_600_000_i64, "reason": "start_timeout",
    });
    assert_eq!(api.as_controller("/internal/ingest/done", report).await.status, 204);
    api.database
        .says("select count(*) = 2 from streams where ended_at is not null and end_told_at is null")
        .await;
    settled(&api).await;
    all.heard_nothing().await;
}
