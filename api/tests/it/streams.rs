//! Streams as viewers and owners see them.

use std::time::Duration;

use caudal_directory::Audience as _;
use caudal_livestream::StreamId;
use caudal_livestream::admission::DenialCode;
use caudal_livestream::record::Phase;
use caudal_livestream::report::EndReason;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lifecycle::Order;
use crate::running::{Answer, Running, send};
use crate::snapshot::tidy;

async fn category(api: &Running, slug: &str) -> Uuid {
    // Some are there from the start.
    sqlx::query_scalar(
        r"insert into categories (id, name, slug) values ($1, $2, $3)
          on conflict (slug) do update set name = excluded.name returning id",
    )
    .bind(Uuid::now_v7())
    .bind(slug.to_uppercase())
    .bind(slug)
    .fetch_one(&api.database.pool)
    .await
    .unwrap()
}

fn titles(answer: &Answer) -> Vec<&str> {
    answer.json.as_array().unwrap().iter().map(|stream| stream["title"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_stream_is_prepared_with_a_title_and_categories() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let (chess, music) = (category(&api, "chess").await, category(&api, "music").await);
    let body =
        json!({"title": "  Chess at noon ", "description": "Come\nand see", "categoryIds": [music, chess]});
    let answer = ana.post("/api/streams", body).await;
    assert_eq!(answer.status, 201, "{}", answer.json);
    assert_eq!(answer.header("location"), format!("/api/streams/{}", answer.json["id"].as_str().unwrap()));
    assert!(answer.header("etag").starts_with("\"1."), "{}", answer.header("etag"));
    let mut shown = answer.json.clone();
    for category in shown["categories"].as_array_mut().unwrap() {
        category["id"] = "[id]".into();
    }
    insta::assert_json_snapshot!(tidy(shown));
    assert_eq!(ana.get("/api/streams/mine").await.json, answer.json);
}

#[tokio::test]
async fn whether_somebody_has_an_open_stream_is_asked_without_an_error() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let none = ana.get("/api/streams/open").await;
    assert_eq!((none.status.as_u16(), none.json), (200, json!([])));
    bob.goes_live().await;
    let prepared = ana.post("/api/streams", json!({"title": "Soon"})).await.json;
    assert_eq!(ana.get("/api/streams/open").await.json, json!([prepared]));
    assert_eq!(api.get("/api/streams/open").await.refusal(), (401, "unauthenticated"));
}

#[tokio::test]
async fn a_stream_of_sound_alone_promises_no_picture() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    assert_ne!(api.stream(live).await["thumbnailUrl"], Value::Null);
    api.lifecycle.hears_sound_alone(live);
    assert_eq!(api.stream(live).await["thumbnailUrl"], Value::Null);
}

#[tokio::test]
async fn nobody_has_two_open_streams() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let answers = futures::future::join_all(
        (0..4).map(|n| ana.post("/api/streams", json!({"title": format!("Take {n}")}))),
    )
    .await;
    let mut outcomes: Vec<_> = answers.iter().map(Answer::refusal).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [(201, ""), (409, "stream_open"), (409, "stream_open"), (409, "stream_open")]);
}

#[tokio::test]
async fn what_cannot_be_a_stream_is_refused() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    for (body, pointer, code) in [
        (json!({}), "", "wrong_shape"),
        (json!({"title": "   "}), "/title", "too_short"),
        (json!({"title": "x".repeat(141)}), "/title", "too_long"),
        (json!({"title": "two\nlines"}), "/title", "invalid"),
        (json!({"title": "\u{202e}backwards"}), "/title", "invalid"),
        (json!({"title": "\u{200b}\u{200d}\u{2060}\u{feff}"}), "/title", "too_short"),
        (json!({"title": "two\u{2028}lines"}), "/title", "invalid"),
        (json!({"title": "unassigned\u{378}"}), "/title", "invalid"),
        (json!({"title": "x", "description": "y".repeat(5001)}), "/description", "too_long"),
        (json!({"title": "x", "description": "nul\u{0}"}), "/description", "invalid"),
        (json!({"title": "x", "categoryIds": ["chess"]}), "/categoryIds/0", "wrong_shape"),
        (json!({"title": "x", "categoryIds": [Uuid::now_v7()]}), "/categoryIds", "unknown"),
        (json!({"title": "x", "categoryIds": vec![Uuid::now_v7(); 11]}), "/categoryIds", "too_long"),
        (json!({"title": "x", "isLive": true}), "/isLive", "wrong_shape"),
    ] {
        let answer = ana.post("/api/streams", body).await;
        assert_eq!(answer.refusal(), (422, "invalid"), "{}", answer.json);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{}", answer.json);
        assert_eq!(answer.json["errors"][0]["code"], code, "{}", answer.json);
    }
}

#[tokio::test]
async fn a_live_stream_shows_where_to_watch_and_how_many_do() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    api.audience.record(live, 12);
    let shown = api.stream(live).await;
    assert_eq!(shown["streamUrl"], format!("http://media.test:8000/live/{live}/master.m3u8"));
    assert_eq!(shown["dashUrl"], format!("http://media.test:8000/live/{live}/manifest.mpd"));
    assert_eq!(shown["thumbnailUrl"], format!("http://media.test:8000/thumbnails/{live}/poster.jpg"));
    insta::assert_json_snapshot!(tidy(shown));
}

#[tokio::test]
async fn an_unchanged_stream_is_not_sent_again() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    let path = format!("/api/streams/{live}");
    let etag = api.get(&path).await.header("etag").to_owned();
    let again = || send(api.request(Method::GET, &path).header("if-none-match", format!("\"x\", {etag}")));
    let answer = again().await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("etag"), answer.json.clone()),
        (304, etag.as_str(), Value::Null)
    );
    // What is shown of others changes without the stream.
    ana.patch("/api/users/me", json!({ "displayName": "Ana María" })).await;
    assert_eq!(again().await.status, 200);
    let etag = api.get(&path).await.header("etag").to_owned();
    let again = || send(api.request(Method::GET, &path).header("if-none-match", &etag));
    assert_eq!(again().await.status, 304);
    api.audience.record(live, 1);
    assert_eq!(again().await.status, 200);
}

#[tokio::test]
async fn a_change_is_refused_when_somebody_else_was_faster() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    let path = format!("/api/streams/{live}");
    let etag = ana.get(&path).await.header("etag").to_owned();
    let change = |title: &str| {
        send(ana.request(Method::PATCH, &path).header("if-match", &etag).json(&json!({"title": title})))
    };
    // A viewer more is no change.
    api.audience.record(live, 5);
    let answer = change("First").await;
    assert_eq!((answer.status.as_u16(), &answer.json["title"]), (200, &json!("First")));
    assert_eq!(change("Second").await.refusal(), (412, "precondition_failed"));
    assert_eq!(ana.patch(&path, json!({"title": "Third"})).await.json["title"], "Third");
    assert_eq!(ana.patch(&path, json!({"description": "Words"})).await.json["title"], "Third");
}

#[tokio::test]
async fn only_the_owner_changes_a_stream() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let path = format!("/api/streams/{}", ana.goes_live().await);
    assert_eq!(bob.patch(&path, json!({"title": "Mine"})).await.refusal(), (403, "forbidden"));
    assert_eq!(bob.delete(&path).await.refusal(), (403, "forbidden"));
    assert_eq!(bob.get(&format!("{path}/health")).await.refusal(), (403, "forbidden"));
    assert_eq!(send(api.request(Method::DELETE, &path)).await.refusal(), (401, "unauthenticated"));
    for nowhere in [format!("/api/streams/{}", Uuid::now_v7()), "/api/streams/nonsense".into()] {
        assert_eq!(bob.delete(&nowhere).await.refusal(), (404, "not_found"));
        assert_eq!(api.get(&nowhere).await.refusal(), (404, "not_found"));
    }
}

#[tokio::test]
async fn ending_a_live_stream_tells_the_lifecycle_and_holds_the_key() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let key = ana.stream_key().await;
    let live = ana.goes_live().await;
    let path = format!("/api/streams/{live}");
    let answer = ana.delete(&path).await;
    assert_eq!((answer.status.as_u16(), &answer.json["isLive"]), (202, &json!(true)));
    assert!(api.lifecycle.orders().contains(&Order::End(live, EndReason::EndedByOwner)));
    // OBS comes back by itself within seconds.
    assert_eq!(api.authorize(&key).await.unwrap_err().code, DenialCode::Held);
    assert_eq!(api.authorize_after(&key, Some(live)).await.unwrap_err().code, DenialCode::Held);
    api.done(live, "ended_by_owner").await;
    assert_eq!(ana.delete(&path).await.status, 204);
    sqlx::query("update users set key_held_until = now()").execute(&api.database.pool).await.unwrap();
    assert_ne!(api.authorize(&key).await.unwrap().stream, live);
}

#[tokio::test]
async fn an_end_that_nobody_took_up_is_repeated() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    api.lifecycle.set_away(true);
    assert_eq!(ana.delete(&format!("/api/streams/{live}")).await.status, 202);
    assert!(api.lifecycle.orders().is_empty());
    api.lifecycle.set_away(false);
    api.lifecycle.was_told(&Order::End(live, EndReason::EndedByOwner)).await;
}

#[tokio::test]
async fn a_lifecycle_that_hangs_does_not_hang_its_owner() {
    let api = Running::start_with(|config| {
        config.control = std::sync::Arc::new(Hanging);
        config.deadlines.control = Duration::from_millis(50);
    })
    .await;
    let ana = api.register("ana").await;
    let stream = api.authorize(&ana.stream_key().await).await.unwrap().stream;
    assert_eq!(ana.delete(&format!("/api/streams/{stream}")).await.status, 202);
}

struct Hanging;

impl caudal_directory::StreamControl for Hanging {
    fn end(
        &self,
        _: StreamId,
        _: EndReason,
    ) -> futures::future::BoxFuture<'_, Result<(), caudal_directory::Unavailable>> {
        Box::pin(std::future::pending())
    }
    fn drop_publisher(
        &self,
        _: StreamId,
        _: String,
    ) -> futures::future::BoxFuture<'_, Result<(), caudal_directory::Unavailable>> {
        Box::pin(std::future::pending())
    }
    fn revoke_key(
        &self,
        _: StreamId,
    ) -> futures::future::BoxFuture<'_, Result<(), caudal_directory::Unavailable>> {
        Box::pin(std::future::pending())
    }
    fn inspect(&self, _: StreamId) -> Option<std::sync::Arc<caudal_livestream::record::LiveStream>> {
        None
    }
}

#[tokio::test]
async fn ending_what_was_only_prepared_is_done_at_once() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let prepared = ana.post("/api/streams", json!({"title": "Never mind"})).await;
    let path = format!("/api/streams/{}", prepared.json["id"].as_str().unwrap());
    assert_eq!(ana.delete(&path).await.status, 204);
    assert!(api.lifecycle.orders().is_empty());
    assert!(api.get(&path).await.json["endedAt"].is_string());
    // The key is free at once.
    api.authorize(&ana.stream_key().await).await.unwrap();
}

#[tokio::test]
async fn the_list_holds_what_is_live_most_watched_first() {
    let api = Running::start().await;
    let chess = category(&api, "chess").await;
    assert_eq!(api.get("/api/streams").await.json, json!([]));
    for (name, viewers) in [("ana", 3), ("bob", 9), ("eve", 5)] {
        let person = api.register(name).await;
        person.post("/api/streams", json!({"title": format!("{name} plays"), "categoryIds": if name == "eve" { vec![chess] } else { vec![] }})).await;
        let live = person.goes_live().await;
        sqlx::query("update streams set viewer_count = $2 where id = $1")
            .bind(live.0)
            .bind(viewers)
            .execute(&api.database.pool)
            .await
            .unwrap();
        api.audience.record(live, u32::try_from(viewers).unwrap());
    }
    api.register("kim").await.post("/api/streams", json!({"title": "not live"})).await;
    assert_eq!(titles(&api.get("/api/streams").await), ["bob plays", "eve plays", "ana plays"]);
    assert_eq!(titles(&api.get("/api/streams?sort=recent").await), ["eve plays", "bob plays", "ana plays"]);
    assert_eq!(titles(&api.get("/api/streams?category=chess").await), ["eve plays"]);
    assert_eq!(titles(&api.get("/api/streams?q=bob").await), ["bob plays"]);
    assert_eq!(titles(&api.get("/api/streams?q=%27%22%28").await).len(), 0);
    for (query, code) in [
        ("sort=loud", 400),
        ("limit=0", 422),
        ("limit=101", 422),
        ("cursor=nonsense", 422),
        ("colour=red", 400),
    ] {
        assert_eq!(api.get(&format!("/api/streams?{query}")).await.status.as_u16(), code, "{query}");
    }
}

#[tokio::test]
async fn the_recent_list_goes_by_the_start_and_not_by_the_preparation() {
    let api = Running::start().await;
    for (name, minutes) in [("ana", 1), ("bob", 30), ("eve", 10)] {
        let live = api.register(name).await.goes_live().await;
        sqlx::query(
            "update streams set started_at = now() - make_interval(mins => $2), title = $3 where id = $1",
        )
        .bind(live.0)
        .bind(minutes)
        .bind(name)
        .execute(&api.database.pool)
        .await
        .unwrap();
    }
    assert_eq!(titles(&api.get("/api/streams?sort=recent").await), ["ana", "eve", "bob"]);
    let mut seen = Vec::new();
    let mut path = "/api/streams?sort=recent&limit=1".to_owned();
    while !path.is_empty() {
        let answer = api.get(&path).await;
        seen.extend(titles(&answer).into_iter().map(str::to_owned));
        path = answer.header("link").trim_start_matches('<').split('>').next().unwrap().to_owned();
    }
    assert_eq!(seen, ["ana", "eve", "bob"]);
    // A cursor belongs to its own list.
    let by_viewers = api.get("/api/streams?limit=1").await;
    let cursor =
        by_viewers.header("link").split("cursor=").nth(1).unwrap().split('>').next().unwrap().to_owned();
    let mixed = api.get(&format!("/api/streams?sort=recent&cursor={cursor}")).await;
    assert_eq!(mixed.refusal(), (422, "invalid"));
}

#[tokio::test]
async fn what_is_composed_is_found_by_what_is_not() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    ana.post("/api/streams", json!({"title": "Cafe\u{301} \u{200b}at noon"})).await;
    ana.goes_live().await;
    for typed in ["caf%C3%A9", "cafe%CC%81", "caf%C3%A9%E2%80%8B"] {
        assert_eq!(
            titles(&api.get(&format!("/api/streams?q={typed}")).await),
            ["Caf\u{e9} at noon"],
            "{typed}"
        );
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gaps() {
    let api = Running::start().await;
    for n in 0..7 {
        api.register(&format!("user{n}")).await.goes_live().await;
    }
    for sort in ["viewers", "recent"] {
        let mut path = format!("/api/streams?sort={sort}&limit=3");
        let mut seen = Vec::new();
        let mut sizes = Vec::new();
        loop {
            let answer = api.get(&path).await;
            let page = answer.json.as_array().unwrap();
            sizes.push(page.len());
            seen.extend(page.iter().map(|stream| stream["user"]["username"].as_str().unwrap().to_owned()));
            let link = answer.header("link");
            if link.is_empty() {
                break;
            }
            assert!(link.ends_with(">; rel=\"next\""), "{link}");
            path = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
            assert!(path.contains(&format!("sort={sort}&limit=3&cursor=")), "{path}");
        }
        assert_eq!(sizes, [3, 3, 1]);
        assert_eq!(seen, (0..7).rev().map(|n| format!("user{n}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn viewers_are_counted_into_the_list_s_order() {
    let api = Running::start().await;
    let (ana, bob) =
        (api.register("ana").await.goes_live().await, api.register("bob").await.goes_live().await);
    api.audience.record(ana, 40);
    api.audience.record(bob, 2);
    let counted = async {
        loop {
            let counts: Vec<i32> = sqlx::query_scalar("select viewer_count from streams order by id")
                .fetch_all(&api.database.pool)
                .await
                .unwrap();
            if counts == [40, 2] {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.expect("the snapshot was never taken");
    let list = api.get("/api/streams").await;
    assert_eq!(list.json[0]["id"], ana.to_string());
    assert_eq!(list.json[0]["viewerCount"], 40);
}

#[tokio::test]
async fn the_owner_sees_how_the_stream_stands() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let prepared = ana.post("/api/streams", json!({"title": "Soon"})).await;
    let path = format!("/api/streams/{}/health", prepared.json["id"].as_str().unwrap());
    let waiting = ana.get(&path).await;
    assert_eq!(waiting.json, json!({"phase": "Pending", "ingest": null, "renditions": [], "reason": null}));
    let stream = ana.goes_live().await;
    api.lifecycle.knows(stream, Phase::Reconnecting);
    insta::assert_json_snapshot!(ana.get(&path).await.json);
    assert_eq!(api.stream(stream).await["phase"], "Reconnecting");
}
