//! Files that nobody is shown any more.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::files::png;
use super::{AVATAR, Gallery, fetched, replica, shows, text, upload};
use crate::database::TestDatabase;
use crate::running::{PASSWORD, send};

#[tokio::test]
async fn a_picture_that_was_replaced_is_removed_some_time_later() {
    let gallery = Gallery::open().await;
    let api = &gallery.api;
    let ana = api.register("ana").await;
    let first = shows(&ana, png(300, 300, [200, 0, 0])).await;
    let second = shows(&ana, png(300, 300, [0, 200, 0])).await;
    assert_ne!(first, second);
    // Pages that were opened before still show it.
    assert_eq!(fetched(api, &first).await.status(), StatusCode::OK);
    gallery.tidied().await;
    assert_eq!(fetched(api, &first).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(fetched(api, &second).await.status(), StatusCode::OK);

    ana.delete(AVATAR).await;
    gallery.tidied().await;
    assert_eq!(gallery.files(), [] as [std::path::PathBuf; 0]);
}

#[tokio::test]
async fn what_a_crash_left_half_done_is_removed() {
    let gallery = Gallery::open().await;
    let ana = gallery.api.register("ana").await;
    let shown = shows(&ana, png(300, 300, [200, 0, 0])).await;
    // The row is written first, then the file; then both were left alone.
    let id = uuid::Uuid::now_v7();
    sqlx::query("insert into pictures (id, kind, subject, owner_id) values ($1, 'icon', $1, null)")
        .bind(id)
        .execute(&gallery.api.database.pool)
        .await
        .unwrap();
    let folder = gallery.folder.path().join("pictures/icons");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(format!("{id}.jpg")), "a picture").unwrap();
    assert_eq!(gallery.files().len(), 2);
    gallery.tidied().await;
    assert_eq!(gallery.files().len(), 1);
    assert_eq!(fetched(&gallery.api, &shown).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn with_an_account_go_its_pictures() {
    let gallery = Gallery::open().await;
    let api = &gallery.api;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let avatar = shows(&ana, png(300, 300, [200, 0, 0])).await;
    let of_another = shows(&bob, png(300, 300, [0, 0, 200])).await;
    let stream = ana.goes_live().await;
    let path = format!("/api/streams/{stream}/thumbnail");
    let answer = upload(&ana, &path, "image/png", png(640, 360, [1; 3])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    let thumbnail = text(&answer.json["thumbnailUrl"]);

    let farewell = ana.request(reqwest::Method::DELETE, "/api/users/me").json(&json!({"password": PASSWORD}));
    assert_eq!(send(farewell).await.status, StatusCode::NO_CONTENT);
    assert!(!text(&api.stream(stream).await["thumbnailUrl"]).starts_with("/pictures"));
    gallery.tidied().await;
    for gone in [avatar, thumbnail] {
        assert_eq!(fetched(api, &gone).await.status(), StatusCode::NOT_FOUND, "{gone}");
    }
    assert_eq!(fetched(api, &of_another).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_thumbnail_goes_a_month_after_its_broadcast() {
    let database = Arc::new(TestDatabase::create().await);
    let folder = tempfile::tempdir().unwrap();
    let before = replica(&database, folder.path(), |_| ()).await;
    let (ana, bob) = (before.register("ana").await, before.register("bob").await);
    let mut shown = Vec::new();
    for person in [&ana, &bob] {
        let stream = person.goes_live().await;
        let path = format!("/api/streams/{stream}/thumbnail");
        let answer = upload(person, &path, "image/png", png(640, 360, [1; 3])).await;
        shown.push((stream, text(&answer.json["thumbnailUrl"])));
        before.done(stream, "unpublished").await;
    }
    database
        .execute(
            "update streams s
             set ended_at = now() - case u.username when 'ana' then interval '31 days' else interval '29 days' end
             from users u where u.id = s.user_id",
        )
        .await;
    before.shutdown.cancel();
    before.task.await.unwrap().unwrap();

    // It is looked for at a start, and each hour.
    let after = replica(&database, folder.path(), |_| ()).await;
    database.says("select count(*) = 1 from streams where thumbnail_url is not null").await;
    database.execute("update pictures set unused_since = unused_since - interval '11 minutes'").await;
    database.says("select count(*) = 1 from pictures").await;
    let (old, recent) = (&shown[0], &shown[1]);
    assert_eq!(fetched(&after, &old.1).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(fetched(&after, &recent.1).await.status(), StatusCode::OK);
    assert_eq!(after.stream(recent.0).await["thumbnailUrl"], recent.1);
}

#[tokio::test]
async fn replicas_share_what_is_shown_and_what_is_removed() {
    let database = Arc::new(TestDatabase::create().await);
    let folder = tempfile::tempdir().unwrap();
    let one = replica(&database, folder.path(), |_| ()).await;
    let other = replica(&database, folder.path(), |_| ()).await;
    let ana = one.register("ana").await;
    let mut elsewhere = ana.clone();
    elsewhere.api = &other;
    // At once, at both: one of them is shown in the end, and only one.
    let (red, green) =
        tokio::join!(shows(&ana, png(300, 300, [200, 0, 0])), shows(&elsewhere, png(300, 300, [0, 200, 0])));
    let shown = one.get("/api/users/@ana").await.json["avatar"].clone();
    assert_eq!(other.get("/api/users/@ana").await.json["avatar"], shown);
    assert!(shown == red || shown == green, "{shown}");
    database.says("select count(*) = 1 from pictures where unused_since is null").await;
    for api in [&one, &other] {
        assert_eq!(fetched(api, shown.as_str().unwrap()).await.status(), StatusCode::OK);
    }

    assert_eq!(elsewhere.delete(AVATAR).await.status, StatusCode::NO_CONTENT);
    database.execute("update pictures set unused_since = unused_since - interval '11 minutes'").await;
    database.says("select count(*) = 0 from pictures").await;
    assert_eq!(one.get("/api/users/@ana").await.json["avatar"], Value::Null);
    for gone in [red, green] {
        assert_eq!(fetched(&one, &gone).await.status(), StatusCode::NOT_FOUND, "{gone}");
    }
}
