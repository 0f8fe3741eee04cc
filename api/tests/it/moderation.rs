//! Keeping order in a room: who may, on whom, and that it holds on every replica.
//!
//! * `bans` – who may not talk
//! * `rules` – what nobody may say, or not so often

mod bans;
mod rules;

use std::sync::Arc;

use caudal_livestream::StreamId;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::chat::{Peer, on, say, soon};
use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::{Answer, PASSWORD, Person, Running, send};

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
async fn whoever_is_made_a_moderator_or_a_viewer_again_hears_it_on_all_replicas() {
    on_one_and_on_two(async |here, there| {
        let (ana, kim, ruth) =
            (here.register("ana").await, here.register("kim").await, here.register("ruth").await);
        here.database.execute("update users set role = 'admin' where username = 'ruth'").await;
        let stream = ana.goes_live().await;
        let (mut near, _) = Peer::join(here, stream).await;
        let (mut far, _) = Peer::join(there, stream).await;
        let place = |person: &Person<'_>| path(stream, &format!("moderators/{}", person.id));
        for (person, made, unmade) in [(&kim, "moderator", "viewer"), (&ruth, "moderator", "admin")] {
            // What is so already is told as well: somebody may not have heard it.
            for _ in 0..2 {
                assert_eq!(ana.put(&place(person)).await.status, 204);
            }
            for _ in 0..2 {
                assert_eq!(ana.delete(&place(person)).await.status, 204);
            }
            for role in [made, made, unmade, unmade] {
                for peer in [&mut near, &mut far] {
                    let told = peer.hear("role_changed").await;
                    assert_eq!((&told["userId"], &told["role"]), (&json!(person.id), &json!(role)));
                    assert_eq!(told["streamId"], stream.to_string());
                }
            }
        }
        let log = ana.get(&path(stream, "modlog")).await.json;
        assert_eq!(log.as_array().unwrap().len(), 4, "what was so already is not logged");
    })
    .await;
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
