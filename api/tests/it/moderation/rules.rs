//! What a channel's chat allows: modes, terms and links, on every replica.

use std::sync::Arc;

use serde_json::json;

use super::{at, bans, gets_through, is_refused, on_one_and_on_two, path, sets, tries};
use crate::chat::{Peer, on, say, soon};
use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::Running;

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
