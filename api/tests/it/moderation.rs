//! Keeping order in a room: who may, on whom, and that it holds on every replica.

use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::StreamId;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::chat::{Peer, on, say, soon, texts};
use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::{Answer, PASSWORD, Person, Running, pages, send};

/// Runs a test with one replica, and with two that share Redis.
async fn on_one_and_on_two(test: impl AsyncFn(&Running, &Running)) {
    let api = Running::start().await;
    test(&api, &api).await;
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let (here, there) = (on(&redis, &database).await, on(&redis, &database).await);
    test(&here, &there).await;
}

/// The same person at another replica.
fn at<'a>(api: &'a Running, person: &Person<'a>) -> Person<'a> {
    Person { api, ..person.clone() }
}

async fn put(person: &Person<'_>, path: &str, body: Value) -> Answer {
    send(person.request(Method::PUT, path).json(&body)).await
}

fn path(stream: StreamId, rest: &str) -> String {
    format!("/api/chat/{stream}/{rest}")
}

async fn appoints(owner: &Person<'_>, stream: StreamId, person: &Person<'_>) {
    let answer = owner.put(&path(stream, &format!("moderators/{}", person.id))).await;
    assert_eq!(answer.status, 204, "{}", answer.json);
}

async fn bans(moderator: &Person<'_>, stream: StreamId, person: &Person<'_>, seconds: Option<u32>) {
    let body = json!({ "durationSeconds": seconds, "reason": "enough" });
    let answer = put(moderator, &path(stream, &format!("bans/{}", person.id)), body).await;
    assert_eq!(answer.status, 204, "{}", answer.json);
}

async fn sets(moderator: &Person<'_>, stream: StreamId, settings: Value) {
    let answer = moderator.patch(&path(stream, "settings"), settings).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
}

async fn tries(person: &Person<'_>, stream: StreamId, text: &str) -> Answer {
    person.post(&path(stream, "messages"), json!({ "message": text })).await
}

/// Tries until another replica has noticed. What is said or refused for its pace meanwhile does not matter.
async fn is_refused(person: &Person<'_>, stream: StreamId, text: &str, code: &str) -> Answer {
    let refused = async {
        for n in 0.. {
            let answer = tries(person, stream, &format!("{text} {n}")).await;
            if answer.json["code"] == code {
                return answer;
            }
            assert!(matches!(answer.status.as_u16(), 201 | 429), "{}", answer.json);
        }
        unreachable!()
    };
    soon(refused).await
}

/// Tries until it is let through.
async fn gets_through(person: &Person<'_>, stream: StreamId, text: &str) -> Value {
    let said = async {
        loop {
            let answer = tries(person, stream, text).await;
            if answer.status == 201 {
                return answer.json;
            }
        }
    };
    soon(said).await
}

#[tokio::test]
async fn who_keeps_order_may_do_what_others_may_not() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let (kim, ruth, bob) = (api.register("kim").await, api.register("ruth").await, api.register("bob").await);
    api.database.execute("update users set role = 'admin' where username = 'ruth'").await;
    let stream = ana.goes_live().await;
    appoints(&ana, stream, &kim).await;
    let eve = api.register("eve").await;
    let eves_ban = format!("bans/{}", eve.id);
    let eves_place = format!("moderators/{}", eve.id);
    let nothing = format!("terms/{}", Uuid::nil());
    // For whom it is: moderators, or the owner alone.
    for (method, rest, body, moderators, owner) in [
        (Method::PATCH, "settings", json!({ "slowSeconds": 0 }), 200, 200),
        (Method::GET, "bans", Value::Null, 200, 200),
        (Method::PUT, eves_ban.as_str(), json!({ "durationSeconds": 60 }), 204, 204),
        (Method::DELETE, eves_ban.as_str(), Value::Null, 204, 204),
        (Method::GET, "terms", Value::Null, 200, 200),
        (Method::POST, "terms", json!({ "term": "*" }), 422, 422),
        (Method::DELETE, nothing.as_str(), Value::Null, 404, 404),
        (Method::GET, "modlog", Value::Null, 200, 200),
        (Method::PUT, eves_place.as_str(), Value::Null, 403, 204),
        (Method::DELETE, eves_place.as_str(), Value::Null, 403, 204),
    ] {
        let asks = async |stream: StreamId, person: Option<&Person<'_>>| {
            let request = match person {
                Some(person) => person.request(method.clone(), &path(stream, rest)),
                None => api.request(method.clone(), &path(stream, rest)),
            };
            let request = if body.is_null() { request } else { request.json(&body) };
            let answer = send(request).await;
            (answer.status.as_u16(), answer.json["code"].as_str().unwrap_or_default().to_owned())
        };
        let what = format!("{method} {rest}");
        assert_eq!(asks(stream, None).await, (401, "unauthenticated".to_owned()), "{what}");
        assert_eq!(asks(stream, Some(&bob)).await, (403, "forbidden".to_owned()), "{what}");
        assert_eq!(asks(stream, Some(&kim)).await.0, moderators, "{what} by a moderator");
        assert_eq!(asks(stream, Some(&ruth)).await.0, moderators, "{what} by an admin");
        assert_eq!(asks(stream, Some(&ana)).await.0, owner, "{what} by the streamer");
        let nowhere = StreamId(Uuid::nil());
        assert_eq!(asks(nowhere, Some(&ana)).await, (404, "not_found".to_owned()), "{what} nowhere");
    }
    for rest in ["settings", "moderators"] {
        assert_eq!(api.get(&path(stream, rest)).await.status, 200);
        assert_eq!(api.get(&path(StreamId(Uuid::nil()), rest)).await.refusal(), (404, "not_found"));
    }
    assert_eq!(bob.put(&path(stream, "moderators/x")).await.refusal(), (403, "forbidden"));
    assert_eq!(ana.put(&path(stream, "moderators/x")).await.refusal(), (404, "not_found"));
    assert_eq!(ana.delete(&path(stream, "terms/x")).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn nobody_acts_upward_on_equals_or_on_oneself() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let (kim, lee) = (api.register("kim").await, api.register("lee").await);
    let (ruth, bob) = (api.register("ruth").await, api.register("bob").await);
    api.database.execute("update users set role = 'admin' where username = 'ruth'").await;
    let stream = ana.goes_live().await;
    appoints(&ana, stream, &kim).await;
    appoints(&ana, stream, &lee).await;
    let ban = json!({ "durationSeconds": 60 });
    for (who, whom) in [(&kim, &ana), (&kim, &lee), (&kim, &ruth), (&ruth, &ana), (&ruth, &kim)] {
        let there = path(stream, &format!("bans/{}", whom.id));
        assert_eq!(put(who, &there, ban.clone()).await.refusal(), (403, "forbidden"));
        assert_eq!(who.delete(&there).await.refusal(), (403, "forbidden"));
        let said = gets_through(whom, stream, &format!("by {} for {}", whom.id, who.id)).await;
        let message = path(stream, &format!("messages/{}", said["id"].as_str().unwrap()));
        assert_eq!(who.delete(&message).await.refusal(), (403, "forbidden"));
    }
    let oneself = path(stream, &format!("bans/{}", kim.id));
    assert_eq!(put(&kim, &oneself, ban.clone()).await.refusal(), (422, "oneself"));
    let oneself = path(stream, &format!("moderators/{}", ana.id));
    assert_eq!(ana.put(&oneself).await.refusal(), (422, "oneself"));
    let nobody = path(stream, &format!("bans/{}", Uuid::nil()));
    assert_eq!(put(&kim, &nobody, ban).await.refusal(), (404, "not_found"));
    let bobs_ban = path(stream, &format!("bans/{}", bob.id));
    for (wrong, pointer) in [
        (json!({ "durationSeconds": 0 }), "/durationSeconds"),
        (json!({ "durationSeconds": 1_209_601 }), "/durationSeconds"),
        (json!({ "durationSeconds": 1, "reason": "x".repeat(201) }), "/reason"),
    ] {
        let refused = put(&kim, &bobs_ban, wrong).await;
        assert_eq!(
            (refused.refusal(), &refused.json["errors"][0]["pointer"]),
            ((422, "invalid"), &json!(pointer))
        );
    }
    // For good only where it is said.
    assert_eq!(put(&kim, &bobs_ban, json!({})).await.refusal(), (422, "invalid"));
    bans(&ruth, stream, &bob, None).await;
    // The streamer is above moderators, who are none any more once they may not talk.
    bans(&ana, stream, &kim, Some(60)).await;
    let moderators = api.get(&path(stream, "moderators")).await.json;
    assert_eq!(moderators.as_array().unwrap().len(), 1);
    assert_eq!(moderators[0]["user"]["username"], "lee");
    assert_eq!(kim.get(&path(stream, "bans")).await.refusal(), (403, "forbidden"));
}

#[tokio::test]
async fn whoever_is_made_a_moderator_is_banned_no_more_and_a_deleted_account_can_be_taken_off_the_list() {
    let api = Running::start().await;
    let (ana, bob, eve) = (api.register("ana").await, api.register("bob").await, api.register("eve").await);
    let stream = ana.goes_live().await;
    let (mut peer, _) = Peer::join(&api, stream).await;
    for person in [&bob, &eve] {
        bans(&ana, stream, person, None).await;
        assert_eq!(peer.hear("user_banned").await["userId"], person.id);
    }
    appoints(&ana, stream, &eve).await;
    assert_eq!(peer.hear("user_unbanned").await["userId"], eve.id);
    gets_through(&eve, stream, "thank you").await;
    let banned = async || {
        let list = eve.get(&path(stream, "bans")).await.json;
        list.as_array().unwrap().iter().map(|ban| ban["user"]["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(banned().await, [json!(bob.id)]);

    let leave = bob.request(Method::DELETE, "/api/users/me").json(&json!({ "password": PASSWORD }));
    assert_eq!(send(leave).await.status, 204);
    let bobs_ban = path(stream, &format!("bans/{}", bob.id));
    assert_eq!(ana.delete(&bobs_ban).await.status, 204);
    assert!(banned().await.is_empty());
    let nobody = path(stream, &format!("bans/{}", Uuid::nil()));
    assert_eq!(ana.delete(&nobody).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_ban_silences_on_all_replicas_and_takes_away_what_was_said() {
    on_one_and_on_two(async |here, there| {
        let ana = here.register("ana").await;
        let (kim, bob, eve) =
            (here.register("kim").await, here.register("bob").await, here.register("eve").await);
        let stream = ana.goes_live().await;
        appoints(&ana, stream, &kim).await;
        let first = say(&bob, stream, "one").await;
        let second = say(&eve, stream, "two").await;
        let (mut near, _) = Peer::join(here, stream).await;
        let (mut far, _) = Peer::join(there, stream).await;

        bans(&at(there, &kim), stream, &bob, None).await;
        for peer in [&mut near, &mut far] {
            let told = peer.hear("user_banned").await;
            assert_eq!(told["userId"], *bob.id);
            assert_eq!(told["username"], "bob");
            assert_eq!(told["durationSeconds"], Value::Null);
            assert_eq!(told["offset"], second["offset"].as_i64().unwrap() + 1);
        }
        for api in [here, there] {
            assert_eq!(is_refused(&at(api, &bob), stream, "but", "banned_here").await.status, 403);
            assert_eq!(api.get(&format!("/api/chat/{stream}")).await.json, json!([second]));
            let (_, joined) = Peer::join(api, stream).await;
            assert_eq!(texts(joined["messages"].as_array().unwrap()), ["two"]);
            let (mut back, joined) = Peer::join_since(api, stream, Some(&first)).await;
            assert_eq!(joined["recovered"], true);
            back.hear("new_message").await;
            back.hear("user_banned").await;
        }
        here.database.says("select count(*) = 1 from chat_messages where deleted_at is not null").await;

        let list = kim.get(&path(stream, "bans")).await.json;
        assert_eq!(list.as_array().unwrap().len(), 1);
        assert_eq!(
            (
                &list[0]["user"]["username"],
                &list[0]["by"]["username"],
                &list[0]["reason"],
                &list[0]["expiresAt"]
            ),
            (&json!("bob"), &json!("kim"), &json!("enough"), &Value::Null)
        );
        let unban = path(stream, &format!("bans/{}", bob.id));
        assert_eq!(kim.delete(&unban).await.status, 204);
        assert_eq!(kim.delete(&unban).await.status, 204);
        for peer in [&mut near, &mut far] {
            for _ in 0..2 {
                assert_eq!(peer.hear("user_unbanned").await["userId"], *bob.id);
            }
        }
        let third = gets_through(&at(there, &bob), stream, "three").await;
        for peer in [&mut near, &mut far] {
            assert_eq!(peer.hear("new_message").await, third);
        }
        assert_eq!(here.get(&format!("/api/chat/{stream}")).await.json, json!([third, second]));
        let log = pages(async |path| kim.get(path).await, &path(stream, "modlog?limit=1")).await;
        let lines: Vec<_> = log.iter().map(|line| (&line["action"], &line["user"]["username"])).collect();
        assert_eq!(
            lines,
            [
                (&json!("unban"), &json!("bob")),
                (&json!("ban"), &json!("bob")),
                (&json!("add_moderator"), &json!("kim"))
            ]
        );
        assert_eq!(log[1]["by"]["username"], "kim");
        assert_eq!(log[1]["detail"], json!({ "durationSeconds": null, "reason": "enough" }));
    })
    .await;
}

#[tokio::test]
async fn a_timeout_comes_to_an_end_and_says_when() {
    on_one_and_on_two(async |here, there| {
        let (ana, bob) = (here.register("ana").await, here.register("bob").await);
        let stream = ana.goes_live().await;
        let (mut owner, joined) = Peer::join(here, stream).await;
        assert_eq!(joined["settings"]["slowSeconds"], 0);
        let answer = owner.ask("authenticate", json!({ "token": ana.access })).await;
        assert_eq!(answer["self"], json!({ "role": "owner", "banned": false, "bannedUntil": null }));
        let timeout = |seconds: Value| json!({ "userId": bob.id, "durationSeconds": seconds, "reason": "x" });
        for wrong in [json!(0), json!(1_209_601), json!("1")] {
            assert_eq!(owner.ask("timeout_user", timeout(wrong)).await["code"], "malformed");
        }
        let unsaid = json!({ "userId": bob.id });
        assert_eq!(owner.ask("timeout_user", unsaid).await["code"], "malformed");

        assert_eq!(timed_out(&mut owner, timeout(json!(600))).await["durationSeconds"], 600);
        let refused = is_refused(&at(there, &bob), stream, "but", "timed_out").await;
        assert_eq!(refused.status, 403);
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((500..=600).contains(&wait), "{wait}");
        let (mut peer, _) = Peer::join(there, stream).await;
        let answer = peer.ask("authenticate", json!({ "token": bob.access })).await;
        assert_eq!((&answer["self"]["role"], &answer["self"]["banned"]), (&json!("viewer"), &json!(true)));
        assert!(answer["self"]["bannedUntil"].is_string());
        let refused = peer.ask("send_message", json!({ "message": "hola" })).await;
        assert_eq!(refused["code"], "timed_out");
        assert!(refused["retryAfterMs"].as_u64().unwrap() <= 600_000, "{refused}");
        assert_eq!(peer.ask("timeout_user", timeout(json!(1))).await["code"], "forbidden");

        // A shorter one takes its place.
        timed_out(&mut owner, timeout(json!(1))).await;
        gets_through(&at(there, &bob), stream, "hola").await;
    })
    .await;
}

/// The event comes before the answer, or after it.
async fn timed_out(peer: &mut Peer, timeout: Value) -> Value {
    use futures::SinkExt as _;
    let frame = json!({ "event": "timeout_user", "data": timeout, "id": "t" });
    peer.socket.send(frame.to_string().into()).await.unwrap();
    let (mut answered, mut event) = (false, None);
    while !answered || event.is_none() {
        let frame = peer.next().await;
        match frame["event"].as_str().unwrap() {
            "ack" => {
                assert_eq!(frame["data"]["ok"], true, "{frame}");
                answered = true;
            }
            "user_banned" => event = Some(frame["data"].clone()),
            // Another replica may have let something through meanwhile.
            other => assert_eq!(other, "new_message"),
        }
    }
    event.unwrap()
}

#[tokio::test]
async fn settings_are_told_and_hold_for_viewers_on_all_replicas() {
    on_one_and_on_two(async |here, there| {
        let ana = here.register("ana").await;
        let people = [here.register("bob").await, here.register("eve").await, here.register("kim").await];
        let [bob, eve, kim] = &people;
        let stream = ana.goes_live().await;
        let (mut peer, joined) = Peer::join(there, stream).await;
        let mut settings = json!({
            "slowSeconds": 0, "followersOnlyMinutes": null, "subsOnly": false, "emoteOnly": false,
            "uniqueOnly": false, "links": "allow",
        });
        assert_eq!(joined["settings"], settings);

        sets(&ana, stream, json!({ "slowSeconds": 60 })).await;
        settings["slowSeconds"] = json!(60);
        let told = peer.hear("chat_settings").await;
        assert_eq!((&told["settings"], &told["offset"]), (&settings, &json!(1)));
        assert_eq!(there.get(&path(stream, "settings")).await.json, settings);
        assert_eq!(Peer::join(there, stream).await.1["settings"], settings);
        let first = say(bob, stream, "bob begins").await;
        assert_eq!(peer.hear("new_message").await, first);
        let refused = tries(&at(there, bob), stream, "bob goes on").await;
        assert_eq!(refused.refusal(), (429, "slow"));
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((40..=60).contains(&wait), "{wait}");
        for n in 0..3 {
            say(&at(there, &ana), stream, &format!("the streamer {n}")).await;
        }
        // Whoever did not hear of it the first time does now.
        sets(&ana, stream, json!({ "slowSeconds": 60 })).await;

        sets(&ana, stream, json!({ "slowSeconds": 0, "followersOnlyMinutes": 0 })).await;
        is_refused(&at(there, eve), stream, "not a follower", "followers_only").await;
        assert_eq!(eve.post(&format!("/api/users/{}/follow", ana.id), json!({})).await.status, 204);
        gets_through(&at(there, eve), stream, "a follower").await;
        sets(&ana, stream, json!({ "followersOnlyMinutes": 10 })).await;
        is_refused(&at(there, eve), stream, "a new follower", "followers_only").await;
        for (mode, code) in [("subsOnly", "subs_only"), ("emoteOnly", "emotes_only")] {
            sets(&ana, stream, json!({ "followersOnlyMinutes": null, mode: true })).await;
            is_refused(&at(there, eve), stream, mode, code).await;
            say(&at(there, &ana), stream, mode).await;
            sets(&ana, stream, json!({ mode: false })).await;
        }

        sets(&ana, stream, json!({ "uniqueOnly": true })).await;
        gets_through(kim, stream, "Nobody said this").await;
        let refused = async {
            while tries(&at(there, eve), stream, "nobody said THIS!").await.refusal() != (409, "not_unique") {
            }
        };
        soon(refused).await;
        say(&at(there, &ana), stream, "nobody said this").await;

        for (wrong, pointer) in [
            (json!({ "slowSeconds": 121 }), "/slowSeconds"),
            (json!({ "followersOnlyMinutes": 129_601 }), "/followersOnlyMinutes"),
            (json!({ "links": "hold" }), "/links"),
        ] {
            let refused = ana.patch(&path(stream, "settings"), wrong).await;
            assert_eq!(
                (refused.refusal(), &refused.json["errors"][0]["pointer"]),
                ((422, "invalid"), &json!(pointer))
            );
        }
        let log = ana.get(&path(stream, "modlog")).await.json;
        assert_eq!(
            (&log[0]["action"], &log[0]["detail"]),
            (&json!("change_settings"), &json!({ "uniqueOnly": true }))
        );
    })
    .await;
}

#[tokio::test]
async fn terms_and_links_are_blocked_for_viewers_on_all_replicas() {
    on_one_and_on_two(async |here, there| {
        let (ana, bob) = (here.register("ana").await, here.register("bob").await);
        let stream = ana.goes_live().await;
        let terms = path(stream, "terms");
        let added = ana.post(&terms, json!({ "term": "Spam*" })).await;
        assert_eq!((added.status.as_u16(), &added.json["term"]), (201, &json!("Spam*")));
        assert_eq!(ana.post(&terms, json!({ "term": "spám*" })).await.refusal(), (409, "taken"));
        for wrong in ["", "?!", "**", "*****a", "x\u{202e}", &"x".repeat(65)] {
            assert_eq!(
                ana.post(&terms, json!({ "term": wrong })).await.refusal(),
                (422, "invalid"),
                "{wrong}"
            );
        }
        is_refused(&at(there, &bob), stream, "sp4mmer", "blocked_term").await;
        say(&at(there, &ana), stream, "no spam please").await;
        gets_through(&at(there, &bob), stream, "antispam").await;
        assert_eq!(at(there, &ana).get(&terms).await.json, json!([added.json]));
        let removal = path(stream, &format!("terms/{}", added.json["id"].as_str().unwrap()));
        assert_eq!(ana.delete(&removal).await.status, 204);
        assert_eq!(ana.delete(&removal).await.refusal(), (404, "not_found"));
        gets_through(&at(there, &bob), stream, "spam").await;

        sets(&ana, stream, json!({ "links": "block" })).await;
        is_refused(&at(there, &bob), stream, "see example.com", "links_blocked").await;
        say(&at(there, &ana), stream, "see example.com").await;
        let log = ana.get(&path(stream, "modlog")).await.json;
        let acts: Vec<_> = log.as_array().unwrap().iter().map(|line| line["action"].clone()).collect();
        assert_eq!(acts, ["change_settings", "remove_term", "add_term"]);
        assert_eq!(log[1]["detail"], json!({ "term": "Spam*" }));
    })
    .await;
}

#[tokio::test]
async fn a_channel_has_as_many_terms_as_there_is_room_for() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let terms = path(stream, "terms");
    assert_eq!(ana.post(&terms, json!({ "term": "one" })).await.status, 201);
    api.database
        .execute(
            "insert into blocked_terms (id, channel_id, term) \
             select gen_random_uuid(), id, 'term' || n from users, generate_series(1, 199) n",
        )
        .await;
    assert_eq!(ana.post(&terms, json!({ "term": "another" })).await.refusal(), (409, "too_many"));
}

#[tokio::test]
async fn badges_are_stamped_when_something_is_said_and_stay() {
    on_one_and_on_two(async |here, there| {
        let ana = here.register("ana").await;
        let (kim, ruth, bob) =
            (here.register("kim").await, here.register("ruth").await, here.register("bob").await);
        here.database.execute("update users set role = 'admin' where username = 'ruth'").await;
        let stream = ana.goes_live().await;
        appoints(&ana, stream, &kim).await;
        let (mut peer, _) = Peer::join(there, stream).await;
        let badges = |message: &Value| message["user"]["badges"].clone();
        for (person, worn) in [
            (&ana, json!(["owner"])),
            (&kim, json!(["moderator"])),
            (&ruth, json!(["admin"])),
            (&bob, json!([])),
        ] {
            let said = say(person, stream, "hola").await;
            assert_eq!(badges(&said), worn);
            assert_eq!(peer.hear("new_message").await, said);
        }
        here.database.says("select count(*) = 4 from chat_messages").await;
        assert_eq!(ana.delete(&path(stream, &format!("moderators/{}", kim.id))).await.status, 204);
        let said = gets_through(&at(there, &kim), stream, "adiós").await;
        let history = here.get(&format!("/api/chat/{stream}")).await.json;
        let worn: Vec<_> = history.as_array().unwrap().iter().map(badges).collect();
        assert_eq!(worn[0], badges(&said));
        assert_eq!(worn[1..], [json!([]), json!(["admin"]), json!(["moderator"]), json!(["owner"])]);
        here.database.says("select count(*) >= 1 from chat_messages where badges = '{moderator}'").await;
    })
    .await;
}

#[tokio::test]
async fn a_moderator_removes_messages_of_viewers_and_the_log_says_so() {
    let api = Running::start().await;
    let (ana, kim, bob) = (api.register("ana").await, api.register("kim").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    appoints(&ana, stream, &kim).await;
    let said = say(&bob, stream, "one").await;
    let own = say(&kim, stream, "two").await;
    let (mut peer, _) = Peer::join(&api, stream).await;
    for message in [&said, &own] {
        let there = path(stream, &format!("messages/{}", message["id"].as_str().unwrap()));
        assert_eq!(kim.delete(&there).await.status, 204);
        assert_eq!(peer.hear("message_deleted").await["id"], message["id"]);
    }
    let log = kim.get(&path(stream, "modlog")).await.json;
    assert_eq!(log.as_array().unwrap().len(), 2, "one's own message is nobody else's business");
    assert_eq!(
        (&log[0]["action"], &log[0]["user"]["username"], &log[0]["detail"]),
        (&json!("delete_message"), &json!("bob"), &json!({ "messageId": said["id"] }))
    );
}

#[tokio::test]
async fn moderators_pass_modes_but_not_the_length_of_a_message() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let modes = json!({
        "slowSeconds": 120, "followersOnlyMinutes": 10, "subsOnly": true, "emoteOnly": true, "uniqueOnly": true,
        "links": "block",
    });
    sets(&ana, stream, modes).await;
    for n in 0..3 {
        say(&ana, stream, &format!("https://example.com {n}")).await;
    }
    assert_eq!(tries(&ana, stream, &"x".repeat(501)).await.refusal(), (422, "invalid"));
}

/// A bus may lose what is published; the version in PostgreSQL is what counts.
#[tokio::test]
async fn a_change_that_no_replica_was_told_of_holds_all_the_same() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    say(&bob, stream, "hola").await;
    api.database
        .execute(
            "insert into chat_settings (channel_id) select id from users where username = 'ana'; \
             insert into channel_bans (channel_id, user_id) \
             select a.id, b.id from users a, users b where a.username = 'ana' and b.username = 'bob'",
        )
        .await;
    is_refused(&bob, stream, "otra", "banned_here").await;
}

#[tokio::test]
async fn while_postgresql_is_away_the_last_rules_hold() {
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let api = on(&redis, &database).await;
    let (ana, bob, eve) = (api.register("ana").await, api.register("bob").await, api.register("eve").await);
    let stream = ana.goes_live().await;
    let (mut banned, _) = Peer::join(&api, stream).await;
    banned.authenticate(&bob).await;
    let (mut viewer, _) = Peer::join(&api, stream).await;
    viewer.authenticate(&eve).await;
    bans(&ana, stream, &bob, None).await;
    for peer in [&mut banned, &mut viewer] {
        peer.hear("user_banned").await;
    }
    // So that the ban has been read.
    assert_eq!(banned.ask("send_message", json!({ "message": "x" })).await["code"], "banned_here");
    database.goes_away().await;
    viewer.say("hola").await;
    banned.hear("new_message").await;
    assert_eq!(banned.ask("send_message", json!({ "message": "x" })).await["code"], "banned_here");
    database.comes_back().await;
    database.says("select count(*) = 1 from chat_messages").await;
}

#[tokio::test]
async fn what_is_on_its_way_to_postgresql_when_its_author_is_banned_is_not_kept() {
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let api = on(&redis, &database).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    let mut held = database.pool.begin().await.unwrap();
    sqlx::query("lock table chat_messages in share mode").execute(&mut *held).await.unwrap();
    say(&bob, stream, "hola").await;
    let ban = path(stream, &format!("bans/{}", bob.id));
    let ban = tokio::spawn(send(ana.request(Method::PUT, &ban).json(&json!({ "durationSeconds": null }))));
    // The message and the ban's purge.
    database
        .says(
            "select count(*) = 2 from pg_stat_activity \
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .await;
    held.commit().await.unwrap();
    assert_eq!(ban.await.unwrap().status, 204);
    database.says("select count(*) = 1 from chat_messages where deleted_at is not null").await;
    assert_eq!(api.get(&format!("/api/chat/{stream}")).await.json, json!([]));
}

#[tokio::test]
async fn what_is_over_is_swept() {
    let api = Running::start_with(|config| config.deadlines.tidy = Duration::from_millis(100)).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    bans(&ana, stream, &bob, Some(60)).await;
    api.database
        .execute(
            "update channel_bans set expires_at = now() - interval '25 hours'; \
             insert into moderation_actions (id, channel_id, action, created_at) \
             select gen_random_uuid(), id, 'ban', now() - interval '366 days' from users where username = 'ana'",
        )
        .await;
    api.database.says("select count(*) = 0 from channel_bans").await;
    api.database.says("select count(*) = 1 from moderation_actions").await;
    assert_eq!(ana.get(&path(stream, "bans")).await.json, json!([]));
}
