//! Socket.IO: its clients are in the same rooms as everybody else. Engine.IO (protocol 4) is spoken by hand here;
//! `e2e/tests/socket-io.test.ts` has the official client.

mod client;

use std::sync::Arc;
use std::time::{Duration, Instant};

use caudal_livestream::StreamId;
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{connect_async, tungstenite};
use uuid::Uuid;

use self::client::{Client, Heard, Socket, dial};
use crate::chat::Peer;
use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::{Person, Running, send};

/// Somebody with a WebSocket in raw JSON.
struct Raw(Socket);

impl Raw {
    async fn join(api: &Running, stream: StreamId) -> Self {
        let url = format!("{}/ws/chat/{stream}", api.url.replace("http", "ws"));
        let mut raw = Self(connect_async(url).await.unwrap().0);
        raw.hear("joined").await;
        raw
    }

    async fn hear(&mut self, event: &str) -> Value {
        loop {
            let text = soon(self.0.next()).await.unwrap().unwrap().into_text().unwrap();
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["event"] != "viewer_count" {
                assert_eq!(frame["event"], event, "{frame}");
                return frame["data"].clone();
            }
        }
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("too slow")
}

/// Something said by somebody new, at whichever replica.
async fn somebody_says(api: &Running, name: &str, stream: StreamId, text: &str) -> Value {
    let person = api.register(name).await;
    let answer = person.post(&format!("/api/chat/{stream}/messages"), json!({ "message": text })).await;
    assert_eq!(answer.status, 201, "{}", answer.json);
    answer.json
}

fn token(person: &Person<'_>) -> Value {
    json!({ "token": person.access })
}

#[tokio::test]
async fn all_kinds_of_clients_are_in_one_room_and_hear_the_same_in_the_same_order() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    let mut raw = Raw::join(&api, stream).await;
    let mut talker = Client::connect(&api, token(&bob)).await;
    let mut listener = Client::connect(&api, json!({})).await;
    let mut poller = Client::poll(&api, json!({})).await;
    let joined = talker.join(stream).await;
    assert_eq!((&joined["recovered"], &joined["messages"]), (&json!(false), &json!([])));
    // This one and the raw one.
    assert_eq!(joined["viewerCount"], 2);
    listener.join(stream).await;
    poller.join(stream).await;

    let said = talker.say(stream, "¡Hola!").await;
    assert_eq!((&said["message"], &said["user"]["username"]), (&json!("¡Hola!"), &json!("bob")));
    assert_eq!(said["offset"], joined["offset"].as_i64().unwrap() + 1);
    let next = somebody_says(&api, "eve", stream, "y adiós").await;
    for expected in [&said, &next] {
        assert_eq!(&raw.hear("new_message").await, expected);
        assert_eq!(&listener.hear("new_message").await, expected);
        assert_eq!(&poller.hear("new_message").await, expected);
    }
    // The one who said it is not told again.
    assert_eq!(talker.hear("new_message").await, next);

    let removal = talker.ask("delete_message", json!({ "streamId": stream, "id": said["id"] })).await;
    assert_eq!(removal, json!({ "ok": true }));
    for client in [&mut talker, &mut listener, &mut poller] {
        assert_eq!(client.hear("message_deleted").await["id"], said["id"]);
    }
    assert_eq!(raw.hear("message_deleted").await["id"], said["id"]);
}

#[tokio::test]
async fn a_room_that_is_closed_is_left_and_the_others_go_on() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let (over, live) = (ana.goes_live().await, bob.goes_live().await);
    let mut client = Client::connect(&api, json!({})).await;
    client.join(over).await;
    client.join(live).await;
    let (mut raw, _) = Peer::join(&api, over).await;
    // The report says that it was years ago, so the room is closed as soon as it has been told.
    api.done(over, "unpublished").await;
    raw.hear("stream_ended").await;
    assert_eq!(raw.closed().await, 4408);
    assert_eq!(client.hear("stream_ended").await["streamId"], json!(over));
    let said = somebody_says(&api, "eve", live, "hola").await;
    assert_eq!(client.hear("new_message").await, said);
    assert_eq!(client.ask("ping", json!({})).await, json!({ "ok": true }));
}

#[tokio::test]
async fn a_client_that_began_by_polling_goes_on_over_a_websocket() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    let mut client = Client::poll(&api, token(&bob)).await;
    client.join(stream).await;
    client.change(&api).await;
    let said = somebody_says(&api, "eve", stream, "hola").await;
    assert_eq!(client.hear("new_message").await, said);
    client.say(stream, "adiós").await;
    // The session has changed, so it answers no requests any more.
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", client.sid);
    assert_eq!(api.get(&path).await.status, 400);
    assert_eq!(client.ask("ping", json!({})).await, json!({ "ok": true }));
}

#[tokio::test]
async fn a_change_to_a_websocket_that_fails_ends_the_session() {
    let api = Running::start().await;
    let client = Client::poll(&api, json!({})).await;
    drop(dial(&api, &format!("&sid={}", client.sid)).await.unwrap());
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", client.sid);
    let ended = async { while api.get(&path).await.status == 200 {} };
    soon(ended).await;
}

#[tokio::test]
async fn whoever_comes_back_gets_what_was_missed_and_nothing_twice() {
    let api = Running::start().await;
    let stream = api.register("ana").await.goes_live().await;
    let mut client = Client::connect(&api, json!({})).await;
    client.join(stream).await;
    let mut said = Vec::new();
    for n in 0..4 {
        said.push(somebody_says(&api, &format!("user{n}"), stream, &format!("message {n}")).await);
    }
    let heard = client.hear("new_message").await;
    assert_eq!(heard, said[0]);
    drop(client);

    let since = format!("{}.{}", heard["epoch"], heard["offset"]);
    let mut client = Client::connect(&api, json!({})).await;
    let joined = client.ask("join_stream", json!({ "streamId": stream, "since": since })).await;
    assert_eq!((&joined["recovered"], &joined["messages"]), (&json!(true), &json!([])));
    for expected in &said[1..] {
        assert_eq!(&client.hear("new_message").await, expected);
    }
    let joined = client.ask("join_stream", json!({ "streamId": stream, "since": "1.1" })).await;
    assert_eq!((&joined["recovered"], &joined["messages"]), (&json!(false), &json!(said)));
}

#[tokio::test]
async fn a_room_that_was_left_is_heard_no_more() {
    let api = Running::start().await;
    let (here, there) =
        (api.register("ana").await.goes_live().await, api.register("bob").await.goes_live().await);
    let mut client = Client::connect(&api, json!({})).await;
    client.join(here).await;
    client.join(there).await;
    let said = somebody_says(&api, "eve", here, "uno").await;
    assert_eq!(client.hear("new_message").await, said);
    for left in [json!(here), json!({ "streamId": here })] {
        assert_eq!(client.ask("leave_stream", left).await, json!({ "ok": true }));
    }
    somebody_says(&api, "iris", here, "dos").await;
    let said = somebody_says(&api, "oto", there, "tres").await;
    assert_eq!(client.hear("new_message").await, said);
}

#[tokio::test]
async fn what_is_on_the_screen_is_told_in_a_room_that_was_joined() {
    let api = Running::start().await;
    let boss = api.register_admin("boss").await;
    let here = api.register("ana").await.goes_live().await;
    let mut client = Client::connect(&api, json!({})).await;
    let received = chrono::Utc::now() - chrono::TimeDelta::seconds(2);
    let watching = json!({ "streamId": here, "playhead": received.to_rfc3339() });
    let refused = client.ask("watching", watching.clone()).await;
    assert_eq!((&refused["ok"], &refused["code"]), (&json!(false), &json!("malformed")));
    client.join(here).await;
    assert_eq!(client.ask("watching", watching).await, json!({ "ok": true }));
    let told = async { while boss.get("/api/admin/figures").await.json["meanLatencyMs"].is_null() {} };
    soon(told).await;
}

#[tokio::test]
async fn a_refusal_says_why_with_a_callback_and_without() {
    let api = Running::start().await;
    let bob = api.register("bob").await;
    let stream = api.register("ana").await.goes_live().await;
    let mut client = Client::connect(&api, json!({})).await;
    let hola = json!({ "streamId": stream, "message": "hola" });
    for (event, data, code) in [
        ("join_stream", json!(Uuid::now_v7()), "not_found"),
        ("join_stream", json!("x"), "not_found"),
        ("join_stream", json!({}), "malformed"),
        ("leave_stream", json!(7), "malformed"),
        ("send_message", hola.clone(), "unauthenticated"),
        ("send_message", json!({ "message": "hola" }), "malformed"),
        ("authenticate", json!({ "token": "x" }), "token_invalid"),
        ("dance", json!({}), "malformed"),
        ("da\"nce", json!(null), "malformed"),
    ] {
        let answer = client.ask(event, data.clone()).await;
        assert_eq!(
            (&answer["ok"], &answer["code"]),
            (&json!(false), &json!(code)),
            "{event} {data}: {answer}"
        );
        client.tell(event, data).await;
        assert_eq!(client.hear("error").await["code"], code);
    }
    // What went well is told only where it says something.
    client.tell("ping", json!({})).await;
    client.tell("join_stream", json!(stream)).await;
    assert_eq!(client.hear("joined").await["streamId"], json!(stream));
    client.tell("refresh_auth", token(&bob)).await;
    assert_eq!(client.ask("ping", json!({})).await, json!({ "ok": true }));
    client.say(stream, "hola").await;
    client.tell("send_message", json!({ "streamId": stream, "message": "otra cosa" })).await;
    let refused = client.hear("error").await;
    assert_eq!(refused["code"], "too_fast");
    assert!(refused["retryAfterMs"].as_u64().unwrap() <= 1_000, "{refused}");
}

#[tokio::test]
async fn a_token_that_is_no_good_is_said_and_whoever_came_with_it_listens_all_the_same() {
    let api = Running::start().await;
    let stream = api.register("ana").await.goes_live().await;
    let mut client = Client::connect(&api, json!({ "token": "x" })).await;
    assert_eq!(client.hear("error").await["code"], "token_invalid");
    client.join(stream).await;
    // There is one namespace.
    client.send("40/admin,{}").await;
    let refused = Heard::Other(r#"4/admin,{"message":"Invalid namespace"}"#.into());
    assert_eq!(client.next().await, refused);
    let said = somebody_says(&api, "eve", stream, "hola").await;
    assert_eq!(client.hear("new_message").await, said);
}

#[tokio::test]
async fn a_connection_is_in_twenty_rooms_at_most() {
    let api = Running::start().await;
    let mut client = Client::connect(&api, json!({})).await;
    let mut streams = Vec::new();
    for n in 0..21 {
        streams.push(api.register(&format!("user{n}")).await.goes_live().await);
    }
    for stream in &streams[..20] {
        client.join(*stream).await;
    }
    let refused = client.ask("join_stream", json!(streams[20])).await;
    assert_eq!((&refused["ok"], &refused["code"]), (&json!(false), &json!("too_many")));
    client.ask("leave_stream", json!(streams[0])).await;
    client.join(streams[20]).await;
}

#[tokio::test]
async fn a_ban_that_a_packet_meets_ends_the_connection() {
    // Before the sweep finds out.
    let api = Running::start_with(|config| config.deadlines.sweep = Duration::from_secs(3600)).await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let mut client = Client::connect(&api, token(&ana)).await;
    client.join(stream).await;
    api.database.execute("update users set banned_at = now()").await;
    let refused = async {
        loop {
            let answer =
                client.ask("send_message", json!({ "streamId": stream, "message": Uuid::now_v7() })).await;
            if answer["code"] == "session_revoked" {
                return;
            }
            // Few enough packets for a connection.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon(refused).await;
    assert_eq!(client.hear("error").await["code"], "session_revoked");
}

#[tokio::test]
async fn an_access_token_s_end_is_the_end_of_its_connection() {
    let api = Running::start_with(|config| config.deadlines.access_token = Duration::from_secs(2)).await;
    let ana = api.register("ana").await;
    let ends = async |mut client: Client| {
        assert_eq!(client.hear("error").await["code"], "token_expired");
        assert_eq!(client.next().await, Heard::Disconnected);
        assert_eq!(client.next().await, Heard::Closed);
    };
    let (socket, poller) = (Client::connect(&api, token(&ana)).await, Client::poll(&api, token(&ana)).await);
    tokio::join!(ends(socket), ends(poller));
}

#[tokio::test]
async fn a_flood_and_what_is_no_packet_end_the_connection() {
    let api = Running::start().await;
    for flood in [r#"42["ping"]"#, "43[]"] {
        let mut client = Client::connect(&api, json!({})).await;
        for _ in 0..200 {
            if !client.send(flood).await {
                break;
            }
        }
        assert_eq!(client.hear("error").await["code"], "too_many");
        assert_eq!(client.next().await, Heard::Disconnected);
        assert_eq!(client.next().await, Heard::Closed);
    }
    for nonsense in ["4x", "42[7]", &format!("42{}", json!(["ping", "x".repeat(9_000)]))] {
        let mut client = Client::poll(&api, json!({})).await;
        client.send(nonsense).await;
        assert_eq!(client.hear("error").await["code"], "malformed", "{nonsense}");
        assert_eq!(client.next().await, Heard::Disconnected);
    }
    let mut client = Client::connect(&api, json!({})).await;
    client.send(&"x".repeat(100_000)).await;
    assert_eq!(client.next().await, Heard::Closed);
    let poller = Client::poll(&api, json!({})).await;
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", poller.sid);
    let answer = send(api.request(Method::POST, &path).body("x".repeat(100_000))).await;
    assert_eq!(answer.refusal(), (413, "too_large"));
}

#[tokio::test]
async fn whoever_never_connects_or_makes_up_a_session_is_shown_out() {
    let api = Running::start().await;
    let begun = Instant::now();
    let (mut socket, mut poller) = (Client::open(&api, "").await, Client::knock(&api).await);
    let (socket, poller) = tokio::join!(socket.next(), poller.next());
    assert_eq!((socket, poller), (Heard::Closed, Heard::Closed));
    assert!(begun.elapsed() >= Duration::from_secs(9));
    for sid in ["AAAAAAAAAAAAAAHs", "nonsense", ""] {
        let answer = api.get(&format!("/socket.io/?EIO=4&transport=polling&sid={sid}")).await;
        assert_eq!((answer.status.as_u16(), &answer.json["code"]), (400, &json!("1")), "{sid}");
    }
    let mut stranger = dial(&api, "&sid=AAAAAAAAAAAAAAHs").await.unwrap();
    assert!(matches!(soon(stranger.next()).await, Some(Err(_)) | None));
    for senseless in
        ["", "?EIO=3&transport=polling", "?EIO=4&transport=pigeons", "?EIO=4&transport=websocket"]
    {
        assert_eq!(api.get(&format!("/socket.io/{senseless}")).await.status, 400, "{senseless}");
    }
    assert_eq!(api.post("/socket.io/?EIO=4&transport=polling", json!({})).await.status, 400);
}

#[tokio::test]
async fn a_request_that_waits_is_answered_before_its_deadline() {
    let api = Running::start_with(|config| config.deadlines.request = Duration::from_secs(6)).await;
    let mut client = Client::poll(&api, json!({})).await;
    // The pings that the client answers on its way are what its requests get; any other answer would end it.
    for _ in 0..2 {
        // The first one may have come with the greeting; there is no other before it is answered.
        while let Some(packet) = client.arrived.pop_front() {
            assert_eq!(packet, "2");
            client.send("3").await;
        }
        client.look().await.expect("a request was not answered in time");
    }
    assert_eq!(client.ask("ping", json!({})).await, json!({ "ok": true }));
}

#[tokio::test]
async fn pages_of_other_sites_get_in_only_by_name() {
    let api = Running::start().await;
    let path = "/socket.io/?EIO=4&transport=polling";
    let from = |origin: &str| send(api.request(Method::GET, path).header("origin", origin));
    assert_eq!(from("https://evil.test").await.status, 403);
    let answer = from("https://friend.test").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "https://friend.test");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    let url = format!("{}/socket.io/?EIO=4&transport=websocket", api.url.replace("http", "ws"));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("origin", "https://evil.test".parse().unwrap());
    match connect_async(request).await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 403),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn replicas_have_one_room_and_take_websockets_only() {
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let replica =
        || Running::replica(Arc::clone(&database), |config| config.redis_url = Some(redis.url().into()));
    let (here, there) = (replica().await, replica().await);
    let refused = here.get("/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(refused.refusal(), (400, "malformed"));
    assert!(
        refused.json["detail"].as_str().unwrap().contains("transports: ['websocket']"),
        "{}",
        refused.json
    );

    let stream = here.register("ana").await.goes_live().await;
    let mut clients = [Client::connect(&here, json!({})).await, Client::connect(&there, json!({})).await];
    let mut raw = Raw::join(&there, stream).await;
    for client in &mut clients {
        client.join(stream).await;
    }
    for n in 0..6 {
        let api = if n % 2 == 0 { &here } else { &there };
        let said = somebody_says(api, &format!("user{n}"), stream, &format!("message {n}")).await;
        for client in &mut clients {
            assert_eq!(client.hear("new_message").await, said);
        }
        assert_eq!(raw.hear("new_message").await, said);
    }
}

#[tokio::test]
async fn a_stopping_server_closes_everybody_in_time_so_that_they_come_back() {
    let api = Running::start().await;
    let stream = api.register("ana").await.goes_live().await;
    let mut client = Client::connect(&api, json!({})).await;
    client.join(stream).await;
    let mut changed = Client::poll(&api, json!({})).await;
    changed.change(&api).await;
    let _silent = Client::open(&api, "").await;
    let _poller = Client::poll(&api, json!({})).await;
    let begun = Instant::now();
    api.shutdown.cancel();
    // Not disconnected, after which official clients stay away.
    assert_eq!(client.next().await, Heard::Closed);
    assert_eq!(changed.next().await, Heard::Closed);
    let mut api = api;
    soon(&mut api.task).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
