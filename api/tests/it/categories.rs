//! What streams are about, and in what language.

use caudal_directory::Audience as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::running::{Person, Running, pages, send};
use crate::snapshot::tidy;

async fn admin<'a>(api: &'a Running, name: &str) -> Person<'a> {
    let person = api.register(name).await;
    sqlx::query("update users set role = 'admin' where username = $1")
        .bind(name)
        .execute(&api.database.pool)
        .await
        .unwrap();
    person
}

fn slugs(list: &[Value]) -> Vec<&str> {
    list.iter().map(|category| category["slug"].as_str().unwrap()).collect()
}

fn titles(answer: &Value) -> Vec<&str> {
    answer.as_array().unwrap().iter().map(|stream| stream["title"].as_str().unwrap()).collect()
}

/// Goes live with a title that is the person's name.
async fn live_in(api: &Running, name: &str, category: &str, language: Option<&str>, viewers: i32) {
    let person = api.register(name).await;
    let id = api.get(&format!("/api/categories/{category}")).await.json["id"].clone();
    let body = json!({"title": name, "categoryIds": [id], "language": language});
    assert_eq!(person.post("/api/streams", body).await.status, 201);
    let live = person.goes_live().await;
    sqlx::query("update streams set viewer_count = $2 where id = $1")
        .bind(live.0)
        .bind(viewers)
        .execute(&api.database.pool)
        .await
        .unwrap();
    api.audience.record(live, u32::try_from(viewers).unwrap());
}

#[tokio::test]
async fn there_are_categories_from_the_start_the_most_watched_first() {
    let api = Running::start().await;
    live_in(&api, "ana", "music", None, 3).await;
    live_in(&api, "bob", "music", None, 4).await;
    live_in(&api, "kim", "travel", None, 9).await;
    let all = pages(async |path| api.get(path).await, "/api/categories?limit=4").await;
    let found = slugs(&all);
    assert_eq!(found[..4], ["travel", "music", "art", "cooking"]);
    assert_eq!(found.len(), 15);
    insta::assert_json_snapshot!(tidy(all[1].clone()));
    assert_eq!(api.get("/api/categories/music").await.json, all[1]);
    assert_eq!(slugs(api.get("/api/categories?q=MUS").await.json.as_array().unwrap()), ["music"]);
    assert_eq!(api.get("/api/categories?q=%25%25").await.json, json!([]));
    for nothing in ["opera", "Music", "-", "mu%00sic"] {
        assert_eq!(api.get(&format!("/api/categories/{nothing}")).await.refusal(), (404, "not_found"));
    }
}

#[tokio::test]
async fn what_is_live_in_a_category_and_in_a_language() {
    let api = Running::start().await;
    live_in(&api, "ana", "music", Some("ES-mx"), 3).await;
    live_in(&api, "bob", "music", Some("es"), 9).await;
    live_in(&api, "kim", "music", Some("en"), 5).await;
    live_in(&api, "eve", "travel", Some("es"), 7).await;
    for (query, found) in [
        ("/api/categories/music/streams", &["bob", "kim", "ana"][..]),
        ("/api/categories/music/streams?sort=recent", &["kim", "bob", "ana"]),
        ("/api/categories/music/streams?language=es", &["bob", "ana"]),
        ("/api/categories/music/streams?language=es-MX", &["ana"]),
        ("/api/streams?language=es", &["bob", "eve", "ana"]),
        ("/api/streams?language=e", &[]),
        ("/api/categories/art/streams", &[]),
    ] {
        let answer = api.get(query).await;
        if query.ends_with("language=e") {
            assert_eq!(answer.refusal(), (400, "malformed"), "{query}");
        } else {
            assert_eq!(titles(&answer.json), found, "{query}");
        }
    }
    assert_eq!(api.get("/api/categories/opera/streams").await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_stream_says_its_language_until_that_is_taken_away() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let made = ana.post("/api/streams", json!({"title": "Hola", "language": "pt-br"})).await;
    assert_eq!(made.json["language"], "pt-BR", "{}", made.json);
    let path = format!("/api/streams/{}", made.json["id"].as_str().unwrap());
    assert_eq!(ana.patch(&path, json!({"title": "Oi"})).await.json["language"], "pt-BR");
    assert_eq!(ana.patch(&path, json!({"language": "es"})).await.json["language"], "es");
    assert_eq!(ana.patch(&path, json!({"language": null})).await.json["language"], Value::Null);
    for wrong in ["", "Spanish, I think", "und", "de-1996"] {
        let answer = ana.patch(&path, json!({"language": wrong})).await;
        assert_eq!(answer.refusal(), (422, "invalid"), "{wrong}: {}", answer.json);
        assert_eq!(answer.json["errors"][0]["pointer"], "/language");
    }
}

#[tokio::test]
async fn a_publisher_s_next_stream_is_about_what_the_last_one_was_and_in_its_language() {
    let api = Running::start().await;
    live_in(&api, "ana", "music", Some("es"), 1).await;
    let ana = api.get("/api/streams").await;
    let first = ana.json[0]["id"].as_str().unwrap().parse().unwrap();
    api.done(caudal_livestream::StreamId(first), "publisher_stopped").await;
    let login = json!({"login": "ana", "password": crate::running::PASSWORD});
    let ana = Person::of(&api, &api.post("/api/auth/login", login).await);
    let next = api.stream(ana.goes_live().await).await;
    assert_eq!((&next["language"], &next["categories"][0]["slug"]), (&json!("es"), &json!("music")));
}

#[tokio::test]
async fn admins_keep_the_categories() {
    let api = Running::start().await;
    let root = admin(&api, "keeper").await;
    let made = root.post("/api/categories", json!({"name": "  Música & Baile "})).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (201, "/api/categories/musica-baile"));
    assert_eq!(made.json["name"], "Música & Baile");
    let path = "/api/categories/musica-baile";
    for (body, pointer, code) in [
        (json!({"name": "Música & Baile", "slug": "dance"}), "/name", "taken"),
        (json!({"name": "Other", "slug": "music"}), "/slug", "taken"),
        (json!({"name": "日本語"}), "/slug", "invalid"),
        (json!({"name": "Other", "slug": "Not a slug"}), "/slug", "wrong_shape"),
        (json!({"name": " "}), "/name", "too_short"),
        (json!({"name": "x".repeat(65)}), "/name", "too_long"),
        (json!({"name": "Other", "icon": "https://example.test/icon.png"}), "/icon", "wrong_shape"),
    ] {
        let answer = root.post("/api/categories", &body).await;
        assert_eq!(
            answer.status.as_u16(),
            if code == "taken" { 409 } else { 422 },
            "{body}: {}",
            answer.json
        );
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{body}: {}", answer.json);
        assert_eq!(answer.json["errors"][0]["code"], code, "{body}: {}", answer.json);
    }
    live_in(&api, "ana", "musica-baile", None, 2).await;
    let changed = root.patch(path, json!({"slug": "baile"})).await;
    assert_eq!((&changed.json["slug"], &changed.json["liveStreams"]), (&json!("baile"), &json!(1)));
    assert_eq!(root.patch("/api/categories/baile", json!({"name": "Music"})).await.refusal(), (409, "taken"));
    assert_eq!(api.get(path).await.refusal(), (404, "not_found"));
    assert_eq!(root.delete("/api/categories/baile").await.status, 204);
    assert_eq!(root.delete("/api/categories/baile").await.refusal(), (404, "not_found"));
    // The stream goes on, about nothing in particular.
    assert_eq!(api.get("/api/streams").await.json[0]["categories"], json!([]));
}

#[tokio::test]
async fn nobody_else_keeps_the_categories() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let body = json!({"name": "Opera"});
    for (method, path) in [
        (Method::POST, "/api/categories"),
        (Method::PATCH, "/api/categories/music"),
        (Method::DELETE, "/api/categories/music"),
    ] {
        let refused = send(ana.request(method.clone(), path).json(&body)).await;
        assert_eq!(refused.refusal(), (403, "forbidden"), "{method} {path}");
        let refused = send(api.request(method.clone(), path).json(&body)).await;
        assert_eq!(refused.refusal(), (401, "unauthenticated"), "{method} {path}");
    }
    // What a token once was for does not matter.
    let root = admin(&api, "keeper").await;
    api.database.execute("update users set role = 'user'").await;
    assert_eq!(root.delete("/api/categories/music").await.refusal(), (403, "forbidden"));
}
