//! One search over channels, streams and categories.

use serde_json::{Value, json};

use crate::running::Running;

fn names<'a>(found: &'a Value, kind: &str, field: &str) -> Vec<&'a str> {
    found[kind].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
}

#[tokio::test]
async fn one_word_finds_people_streams_and_categories() {
    let api = Running::start().await;
    let musa = api.register("musa").await;
    musa.post("/api/streams", json!({"title": "Mus every day"})).await;
    musa.goes_live().await;
    let bob = api.register("bob").await;
    bob.patch("/api/users/me", json!({"displayName": "Músico"})).await;
    api.register("mustard").await;
    let found = api.get("/api/search?q=mus").await;
    assert_eq!(found.status, 200, "{}", found.json);
    // Who is live comes first; an accent is a letter of its own.
    assert_eq!(names(&found.json, "channels", "username"), ["musa", "mustard"]);
    assert_eq!(found.json["channels"][0]["isStreaming"], true);
    assert_eq!(names(&found.json, "streams", "title"), ["Mus every day"]);
    assert_eq!(names(&found.json, "categories", "slug"), ["music"]);
    let found = api.get("/api/search?q=M%C3%9ASICO").await;
    assert_eq!(names(&found.json, "channels", "username"), ["bob"]);
    let found = api.get("/api/search?q=%40mus").await;
    assert_eq!(names(&found.json, "channels", "username"), ["musa", "mustard"]);
}

#[tokio::test]
async fn the_very_name_comes_before_names_that_begin_like_it() {
    let api = Running::start().await;
    for name in ["ana", "anabel", "anastasia"] {
        api.register(name).await;
    }
    let anabel = api.get("/api/users/@anabel").await;
    sqlx::query("update users set is_streaming = true where username = 'anabel'")
        .execute(&api.database.pool)
        .await
        .unwrap();
    let found = api.get("/api/search?q=ana&type=channels").await;
    assert_eq!(names(&found.json, "channels", "username"), ["ana", "anabel", "anastasia"], "{}", anabel.json);
}

#[tokio::test]
async fn one_kind_can_be_asked_for_and_nothing_is_a_pattern() {
    let api = Running::start().await;
    for n in 0..12 {
        api.register(&format!("user_{n}")).await;
    }
    let found = api.get("/api/search?q=user&type=channels").await;
    assert_eq!(names(&found.json, "channels", "username").len(), 10);
    assert_eq!(api.get("/api/search?q=mu&type=categories").await.json["channels"], json!([]));
    for pattern in ["%25%25", "__", "%5C%5C", "us%25", "@@", "@u"] {
        let found = api.get(&format!("/api/search?q={pattern}&type=channels")).await;
        assert_eq!(found.json["channels"], json!([]), "{pattern}");
    }
    for (query, code) in [("", 400), ("q=a", 422), ("q=ana&type=people", 400), ("q=ana&colour=red", 400)] {
        assert_eq!(api.get(&format!("/api/search?{query}")).await.status.as_u16(), code, "{query}");
    }
}

#[tokio::test]
async fn who_is_banned_or_gone_is_not_found() {
    let api = Running::start().await;
    for name in ["ana1", "ana2", "ana3"] {
        api.register(name).await;
    }
    api.database.execute("update users set banned_at = now() where username = 'ana1'").await;
    api.database.execute("update users set deleted_at = now() where username = 'ana2'").await;
    let found = api.get("/api/search?q=ana").await;
    assert_eq!(names(&found.json, "channels", "username"), ["ana3"]);
}
