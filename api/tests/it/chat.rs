//! Rooms: one order for everybody, on every replica, and nothing accepted is lost.

use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::StreamId;
use futures::{SinkExt as _, StreamExt as _};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::{Person, Running, pages};

/// Somebody's socket in a room.
pub(crate) struct Peer {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    asked: u64,
}

impl Peer {
    pub(crate) async fn knock(
        api: &Running,
        stream: StreamId,
        since: &str,
    ) -> Result<Self, tungstenite::Error> {
        let url = format!("{}/ws/chat/{stream}{since}", api.url.replace("http", "ws"));
        let (socket, _) = connect_async(url).await?;
        Ok(Self { socket, asked: 0 })
    }

    /// With what the room said to it.
    pub(crate) async fn join(api: &Running, stream: StreamId) -> (Self, Value) {
        Self::join_since(api, stream, None).await
    }

    pub(crate) async fn join_since(api: &Running, stream: StreamId, since: Option<&Value>) -> (Self, Value) {
        let since = since.map(|at| format!("?since={}.{}", at["epoch"], at["offset"]));
        let mut peer = Self::knock(api, stream, &since.unwrap_or_default()).await.unwrap();
        let joined = peer.hear("joined").await;
        (peer, joined)
    }

    /// The next event that is no count of viewers.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let message = soon(self.socket.next()).await.expect("the socket ended").unwrap();
            if let Message::Text(text) = message {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["event"] != "viewer_count" {
                    return frame;
                }
            }
        }
    }

    pub(crate) async fn hear(&mut self, event: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["event"], event, "{frame}");
        frame["data"].clone()
    }

    /// Sends a frame, and returns its answer.
    pub(crate) async fn ask(&mut self, event: &str, data: Value) -> Value {
        self.asked += 1;
        let frame = json!({ "event": event, "data": data, "id": self.asked });
        self.socket.send(frame.to_string().into()).await.unwrap();
        let frame = self.next().await;
        assert_eq!((&frame["event"], &frame["id"]), (&json!("ack"), &json!(self.asked)), "{frame}");
        frame["data"].clone()
    }

    pub(crate) async fn authenticate(&mut self, person: &Person<'_>) {
        let answer = self.ask("authenticate", json!({ "token": person.access })).await;
        assert_eq!(answer["ok"], true, "{answer}");
    }

    pub(crate) async fn say(&mut self, text: &str) -> Value {
        let answer = self.ask("send_message", json!({ "message": text })).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer["message"].clone()
    }

    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("too slow")
}

/// Says something by REST, in the name of somebody who has said nothing for a while.
pub(crate) async fn say(person: &Person<'_>, stream: StreamId, text: &str) -> Value {
    let answer = person.post(&format!("/api/chat/{stream}/messages"), json!({ "message": text })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json);
    answer.json
}

pub(crate) fn texts(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["message"].as_str().unwrap()).collect()
}

pub(crate) async fn on(redis: &RedisServer, database: &Arc<TestDatabase>) -> Running {
    let url = redis.url();
    Running::replica(Arc::clone(database), |config| config.redis_url = Some(url.into())).await
}

#[tokio::test]
async fn what_one_says_everybody_hears_and_can_read_later() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    let (mut talker, joined) = Peer::join(&api, stream).await;
    assert_eq!((&joined["recovered"], &joined["messages"]), (&json!(false), &json!([])));
    talker.authenticate(&bob).await;
    let (mut other_tab, _) = Peer::join(&api, stream).await;
    let (mut stranger, _) = Peer::join(&api, stream).await;

    let said = talker.say("  Hola,\n mundo  ").await;
    assert_eq!(said["message"], "Hola, mundo");
    assert_eq!(said["user"]["username"], "bob");
    assert_eq!(said["offset"], joined["offset"].as_i64().unwrap() + 1);
    for peer in [&mut other_tab, &mut stranger] {
        assert_eq!(peer.hear("new_message").await, said);
    }
    // The one who said it is not told again.
    let next = say(&ana, stream, "¡Hola!").await;
    assert_eq!(talker.hear("new_message").await, next);

    let history = api.get(&format!("/api/chat/{stream}")).await;
    assert_eq!(history.json, json!([next, said]));
    let page = pages(async |path| api.get(path).await, &format!("/api/chat/{stream}?limit=1")).await;
    assert_eq!(page, [next.clone(), said.clone()]);
    let (_, joined) = Peer::join(&api, stream).await;
    assert_eq!(joined["messages"], json!([said, next]));
    api.database.says("select count(*) = 2 from chat_messages").await;
}

#[tokio::test]
async fn whoever_comes_back_gets_what_was_missed_and_nothing_twice() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let first = say(&ana, stream, "one").await;
    let people = [api.register("bob").await, api.register("eve").await];
    for (person, text) in people.iter().zip(["two", "three"]) {
        say(person, stream, text).await;
    }
    let (mut peer, joined) = Peer::join_since(&api, stream, Some(&first)).await;
    assert_eq!((&joined["recovered"], &joined["messages"]), (&json!(true), &json!([])));
    for text in ["two", "three"] {
        assert_eq!(peer.hear("new_message").await["message"], text);
    }
    // Where nothing was missed, nothing is told.
    let (mut quiet, joined) = Peer::join_since(&api, stream, Some(&joined)).await;
    assert_eq!(joined["recovered"], true);
    let (_, elsewhere) = Peer::join_since(&api, stream, Some(&json!({"epoch": 1, "offset": 1}))).await;
    assert_eq!(elsewhere["recovered"], false);
    assert_eq!(texts(elsewhere["messages"].as_array().unwrap()), ["one", "two", "three"]);
    say(&api.register("kim").await, stream, "four").await;
    for peer in [&mut peer, &mut quiet] {
        assert_eq!(peer.hear("new_message").await["message"], "four");
    }
}

#[tokio::test]
async fn what_may_not_be_said_is_refused_with_a_reason() {
    refuses(&Running::start().await).await;
}

#[tokio::test]
async fn what_may_not_be_said_is_refused_with_the_same_reasons_by_redis() {
    let redis = RedisServer::start();
    refuses(&on(&redis, &Arc::new(TestDatabase::create().await)).await).await;
}

async fn refuses(api: &Running) {
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let (mut peer, _) = Peer::join(api, stream).await;
    let refused = peer.ask("send_message", json!({ "message": "hola" })).await;
    assert_eq!(refused["code"], "unauthenticated");
    let refused = peer.ask("authenticate", json!({ "token": "nonsense" })).await;
    assert_eq!(refused["code"], "token_invalid");
    // Who streams has another pace.
    let kim = api.register("kim").await;
    peer.authenticate(&kim).await;
    for (event, data, code) in [
        ("send_message", json!({ "message": " " }), "too_short"),
        ("send_message", json!({ "message": "x".repeat(501) }), "too_long"),
        ("send_message", json!({ "message": "\u{202e}x" }), "invalid"),
        ("send_message", json!({ "message": "x", "streamId": Uuid::now_v7() }), "malformed"),
        ("send_message", json!({ "text": "x" }), "malformed"),
        ("send_message", json!({ "message": "x", "clientMsgId": "x".repeat(65) }), "too_long"),
        ("delete_message", json!({ "id": Uuid::now_v7() }), "not_found"),
        ("dance", json!({}), "malformed"),
    ] {
        let answer = peer.ask(event, data.clone()).await;
        assert_eq!(
            (&answer["ok"], &answer["code"]),
            (&json!(false), &json!(code)),
            "{event} {data}: {answer}"
        );
    }
    // In the words of the wire.
    let someone = Uuid::now_v7();
    for (event, data, words) in [
        (
            "send_message",
            json!({ "message": "x", "clientMsgId": "x".repeat(65) }),
            "clientMsgId has 64 bytes at most",
        ),
        ("send_message", json!(7), "invalid type: integer `7`, expected an object"),
        ("timeout_user", json!({ "userId": someone, "durationSeconds": 0 }), "durationSeconds: lower than 1"),
    ] {
        let answer = peer.ask(event, data.clone()).await;
        assert_eq!(answer["detail"], words, "{event} {data}: {answer}");
    }
    peer.say("hola").await;
    let refused = peer.ask("send_message", json!({ "message": "hola" })).await;
    assert_eq!(refused["code"], "repeated");
    let refused = peer.ask("send_message", json!({ "message": "otra cosa" })).await;
    assert_eq!(refused["code"], "too_fast");
    assert!(refused["retryAfterMs"].as_u64().unwrap() <= 1_000, "{refused}");

    let path = format!("/api/chat/{stream}/messages");
    let bob = api.register("bob").await;
    assert_eq!(api.post(&path, json!({ "message": "x" })).await.refusal(), (401, "unauthenticated"));
    let refused = bob.post(&path, json!({ "message": "" })).await;
    assert_eq!(refused.refusal(), (422, "invalid"));
    assert_eq!(refused.json["errors"][0]["code"], "too_short");
    say(&bob, stream, "hola").await;
    let refused = bob.post(&path, json!({ "message": "otra cosa" })).await;
    assert_eq!((refused.refusal(), refused.header("retry-after")), ((429, "too_fast"), "1"));
    let nowhere = format!("/api/chat/{}", Uuid::now_v7());
    assert_eq!(api.get(&nowhere).await.refusal(), (404, "not_found"));
    let refused = bob.post(&format!("{nowhere}/messages"), json!({ "message": "x" })).await;
    assert_eq!(refused.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_message_is_removed_for_everybody_by_its_author_or_the_streamer() {
    let api = Running::start().await;
    let (ana, bob, eve) = (api.register("ana").await, api.register("bob").await, api.register("eve").await);
    let stream = ana.goes_live().await;
    let (first, second) = (say(&bob, stream, "one").await, say(&eve, stream, "two").await);
    let (mut peer, _) = Peer::join(&api, stream).await;
    let path = |message: &Value| format!("/api/chat/{stream}/messages/{}", message["id"].as_str().unwrap());
    assert_eq!(eve.delete(&path(&first)).await.refusal(), (403, "forbidden"));
    assert_eq!(bob.delete(&path(&first)).await.status, 204);
    assert_eq!(bob.delete(&path(&first)).await.status, 204);
    assert_eq!(peer.hear("message_deleted").await["id"], first["id"]);
    peer.authenticate(&ana).await;
    let answer = peer.ask("delete_message", json!({ "id": second["id"] })).await;
    assert_eq!(answer["ok"], true);
    assert_eq!(peer.hear("message_deleted").await["id"], second["id"]);
    assert_eq!(api.get(&format!("/api/chat/{stream}")).await.json, json!([]));
    assert_eq!(Peer::join(&api, stream).await.1["messages"], json!([]));
    let elsewhere = bob.goes_live().await;
    let other = format!("/api/chat/{elsewhere}/messages/{}", second["id"].as_str().unwrap());
    assert_eq!(bob.delete(&other).await.refusal(), (404, "not_found"));
    assert_eq!(bob.delete(&format!("/api/chat/{stream}/messages/x")).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_second_try_under_the_same_name_is_the_same_message() {
    for redis in [None, Some(RedisServer::start())] {
        let url = redis.as_ref().map(RedisServer::url);
        let api = Running::start_with(|config| config.redis_url = url.map(Into::into)).await;
        let ana = api.register("ana").await;
        let stream = ana.goes_live().await;
        let (mut peer, _) = Peer::join(&api, stream).await;
        peer.authenticate(&ana).await;
        let hola = json!({ "message": "hola", "clientMsgId": "1" });
        let first = peer.ask("send_message", hola.clone()).await;
        let again = peer.ask("send_message", hola).await;
        assert_eq!(first, again);
        assert_eq!(api.get(&format!("/api/chat/{stream}")).await.json.as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn nobody_gets_into_a_room_that_does_not_exist_nor_from_another_site() {
    let api = Running::start().await;
    let mut peer = Peer::knock(&api, StreamId(Uuid::now_v7()), "").await.unwrap();
    assert_eq!(peer.hear("error").await["code"], "not_found");
    assert_eq!(peer.closed().await, 4404);
    let stream = api.register("ana").await.goes_live().await;
    let mut request =
        format!("{}/ws/chat/{stream}", api.url.replace("http", "ws")).into_client_request().unwrap();
    request.headers_mut().insert("origin", "https://evil.test".parse().unwrap());
    match connect_async(request.clone()).await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 403),
        other => panic!("{other:?}"),
    }
    request.headers_mut().insert("origin", "https://friend.test".parse().unwrap());
    connect_async(request).await.unwrap();
    assert_eq!(api.get(&format!("/ws/chat/{stream}")).await.refusal(), (400, "malformed"));
}

#[tokio::test]
async fn a_ban_that_a_frame_meets_ends_the_connection_and_a_flood_does() {
    // Before the sweep finds out, which closes the socket (`bans`).
    let api = Running::start_with(|config| config.deadlines.sweep = Duration::from_secs(3600)).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    let (mut peer, _) = Peer::join(&api, stream).await;
    peer.authenticate(&bob).await;
    peer.say("hola").await;
    api.database.execute("update users set banned_at = now() where username = 'bob'").await;
    let silenced = async {
        loop {
            let answer = peer.ask("send_message", json!({ "message": "otra" })).await;
            if answer["code"] == "session_revoked" {
                return;
            }
            assert_eq!(answer["ok"], false, "{answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon(silenced).await;
    // Also what it listens to: it was that person's.
    assert_eq!(peer.closed().await, 4401);
    let (mut peer, _) = Peer::join(&api, stream).await;
    for _ in 0..80 {
        if peer.socket.send("x".into()).await.is_err() {
            break;
        }
    }
    assert_eq!(peer.closed().await, 4429);
    let (mut peer, _) = Peer::join(&api, stream).await;
    peer.socket.send("x".repeat(9_000).into()).await.unwrap();
    assert_eq!(peer.closed().await, 4400);
}

#[tokio::test]
async fn an_access_token_s_end_is_the_end_of_its_socket() {
    let api = Running::start_with(|config| config.deadlines.access_token = Duration::from_secs(2)).await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let (mut peer, _) = Peer::join(&api, stream).await;
    peer.authenticate(&ana).await;
    assert_eq!(peer.closed().await, 4401);
}

#[tokio::test]
async fn replicas_have_one_room() {
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let (here, there) = (on(&redis, &database).await, on(&redis, &database).await);
    let ana = here.register("ana").await;
    let stream = ana.goes_live().await;
    let (mut near, joined) = Peer::join(&here, stream).await;
    let (mut far, _) = Peer::join(&there, stream).await;
    let mut expected = joined["offset"].as_i64().unwrap();
    for n in 0..10 {
        let person = here.register(&format!("user{n}")).await;
        let api = if n % 2 == 0 { &here } else { &there };
        let person = Person { api, ..person };
        let said = say(&person, stream, &format!("message {n}")).await;
        expected += 1;
        assert_eq!(said["offset"], expected);
        assert_eq!(near.hear("new_message").await, said);
        assert_eq!(far.hear("new_message").await, said);
    }
    let path = format!("/api/chat/{stream}");
    assert_eq!(here.get(&path).await.json, there.get(&path).await.json);
    database.says("select count(*) = 10 from chat_messages").await;
    // A removal too.
    let last = here.get(&path).await.json[0].clone();
    let removal = format!("{path}/messages/{}", last["id"].as_str().unwrap());
    assert_eq!(Person { api: &there, ..ana.clone() }.delete(&removal).await.status, 204);
    for peer in [&mut near, &mut far] {
        assert_eq!(peer.hear("message_deleted").await["id"], last["id"]);
    }
    assert_eq!(there.get(&path).await.json.as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn a_redis_that_lost_everything_begins_a_new_epoch_and_clients_are_told() {
    let mut redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let api = on(&redis, &database).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    let (mut peer, _) = Peer::join(&api, stream).await;
    let first = say(&ana, stream, "before").await;
    assert_eq!(peer.hear("new_message").await, first);
    database.says("select count(*) = 1 from chat_messages").await;
    redis.stop();
    let path = format!("/api/chat/{stream}/messages");
    let refused = bob.post(&path, json!({ "message": "meanwhile" })).await;
    assert_eq!(refused.refusal(), (503, "unavailable"));
    redis.start_again();
    let said = async {
        loop {
            let answer = bob.post(&path, json!({ "message": "after" })).await;
            if answer.status == StatusCode::CREATED {
                return answer.json;
            }
            assert_eq!(answer.refusal(), (503, "unavailable"), "{}", answer.json);
        }
    };
    let said = soon(said).await;
    assert!(said["epoch"].as_i64() > first["epoch"].as_i64());
    // The listener comes back a moment later, and the room learns of the new epoch by asking or by hearing of it.
    let resync = peer.hear("resync").await;
    assert_eq!(resync["epoch"], said["epoch"]);
    let history = api.get(&format!("/api/chat/{stream}")).await;
    assert_eq!(texts(history.json.as_array().unwrap()), ["after", "before"]);
    let (_, joined) = Peer::join_since(&api, stream, Some(&first)).await;
    assert_eq!(joined["recovered"], false);
    assert_eq!(texts(joined["messages"].as_array().unwrap()), ["before", "after"]);
}

#[tokio::test]
async fn with_redis_a_message_is_kept_while_postgresql_is_away() {
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let api = on(&redis, &database).await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let (mut peer, _) = Peer::join(&api, stream).await;
    peer.authenticate(&ana).await;
    let (mut stranger, _) = Peer::join(&api, stream).await;
    database.goes_away().await;
    let said = peer.say("hola").await;
    assert_eq!(stranger.hear("new_message").await, said);
    database.comes_back().await;
    database.says("select count(*) = 1 from chat_messages").await;
    assert_eq!(api.get(&format!("/api/chat/{stream}")).await.json, json!([said]));
}

#[tokio::test]
async fn with_redis_a_message_outlasts_every_error_that_passes() {
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let api = on(&redis, &database).await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    // A sequence counts what is rolled back too.
    database
        .execute(
            "create sequence tried;
             create function refuse() returns trigger language plpgsql as $$ begin
                 perform nextval('tried'); raise exception 'read-only' using errcode = '25006';
             end $$;
             create trigger refuse before insert on chat_messages for each row execute function refuse();",
        )
        .await;
    let said = say(&ana, stream, "hola").await;
    database.says("select last_value > 2 from tried").await;
    database.execute("drop trigger refuse on chat_messages").await;
    database.says("select count(*) = 1 from chat_messages").await;
    assert_eq!(api.get(&format!("/api/chat/{stream}")).await.json, json!([said]));
}

#[tokio::test]
async fn the_history_is_read_while_redis_or_postgresql_is_away() {
    let mut redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let api = on(&redis, &database).await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let (_peer, _) = Peer::join(&api, stream).await;
    let said = [say(&ana, stream, "one").await, say(&ana, stream, "two").await];
    let page = |limit: u32| format!("/api/chat/{stream}?limit={limit}");
    database.says("select count(*) = 2 from chat_messages").await;
    database.goes_away().await;
    // Redis alone knows that there is another page, and not whether that is the last one.
    assert_eq!(api.get(&page(1)).await.json, json!([said[1]]));
    assert_eq!(api.get(&page(2)).await.refusal(), (503, "unavailable"));
    let made_up = api.get(&format!("/api/chat/{}?limit=1", uuid::Uuid::now_v7())).await;
    assert_eq!(made_up.refusal(), (503, "unavailable"));
    database.comes_back().await;
    redis.stop();
    let whole = async {
        loop {
            let answer = api.get(&page(2)).await;
            if answer.status == StatusCode::OK {
                return answer.json;
            }
            assert_eq!(answer.refusal(), (503, "unavailable"), "{}", answer.json);
        }
    };
    assert_eq!(soon(whole).await, json!([said[1], said[0]]));
}

#[tokio::test]
async fn without_redis_nothing_is_accepted_while_postgresql_is_away() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let (mut peer, joined) = Peer::join(&api, stream).await;
    peer.authenticate(&ana).await;
    api.database.goes_away().await;
    let refused = peer.ask("send_message", json!({ "message": "hola" })).await;
    assert_eq!(refused["code"], "unavailable", "{refused}");
    api.database.comes_back().await;
    // The same words may be tried again at once.
    let said = async {
        loop {
            let answer = peer.ask("send_message", json!({ "message": "hola" })).await;
            if answer["ok"] == true {
                return answer["message"].clone();
            }
            assert_eq!(answer["code"], "unavailable", "{answer}");
        }
    };
    let said = soon(said).await;
    // Whether the first one was written is not known, so its place is not given out again.
    assert!(said["epoch"].as_i64() > joined["epoch"].as_i64());
    assert_eq!(api.get(&format!("/api/chat/{stream}")).await.json, json!([said]));
}

#[tokio::test]
async fn a_stopping_server_says_so_and_loses_nothing() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let (mut peer, _) = Peer::join(&api, stream).await;
    say(&ana, stream, "hola").await;
    peer.hear("new_message").await;
    api.shutdown.cancel();
    assert_eq!(peer.closed().await, u16::from(CloseCode::Away));
}

#[tokio::test]
async fn an_account_talks_through_fifty_sockets_and_the_next_one_only_listens() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let mut talking = Vec::new();
    for _ in 0..50 {
        let (mut peer, _) = Peer::join(&api, stream).await;
        peer.authenticate(&ana).await;
        talking.push(peer);
    }
    let (mut next, _) = Peer::join(&api, stream).await;
    let mut authenticate = async || next.ask("authenticate", json!({ "token": ana.access })).await;
    assert_eq!(authenticate().await["code"], "overloaded");
    drop(talking.pop());
    let let_in = async { while authenticate().await["ok"] != true {} };
    soon(let_in).await;
}
