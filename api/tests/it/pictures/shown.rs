//! Where pictures are shown, and as what.

use image::ImageFormat;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::files::{encoded, photograph, plain, png};
use super::{AVATAR, Gallery, fetched, shows, text, upload};
use crate::running::send;

#[tokio::test]
async fn an_avatar_is_made_anew_and_shown_wherever_its_person_is() {
    let gallery = Gallery::open().await;
    let api = &gallery.api;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let answer = upload(&ana, AVATAR, "image/jpeg", photograph("40.4168 N 3.7038 W")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    let address = text(&answer.json["avatar"]);
    assert!(
        address.starts_with("/pictures/avatars/")
            && address.split_once('.').is_some_and(|(_, end)| end == "jpg"),
        "{address}"
    );

    let shown = fetched(api, &address).await;
    assert_eq!(shown.status(), StatusCode::OK);
    for (name, value) in [
        ("content-type", "image/jpeg"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox; frame-ancestors 'none'"),
    ] {
        assert_eq!(shown.headers()[name], value, "{name}");
    }
    let file = shown.bytes().await.unwrap();
    assert_eq!(image::guess_format(&file).unwrap(), ImageFormat::Jpeg);
    let picture = image::load_from_memory(&file).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (256, 256));
    assert!(picture.get_pixel(128, 128).0[1] > 90);
    for secret in [&b"Exif"[..], b"40.4168", b"script"] {
        assert!(!file.windows(secret.len()).any(|bytes| bytes == secret));
    }

    let avatar = Value::from(address.as_str());
    assert_eq!(api.get("/api/users/@ana").await.json["avatar"], avatar);
    assert_eq!(ana.get("/api/users/me").await.json["avatar"], avatar);
    assert_eq!(api.stream(stream).await["user"]["avatar"], avatar);
    assert_eq!(api.get("/api/streams").await.json[0]["user"]["avatar"], avatar);
    assert_eq!(api.get("/api/search?q=ana").await.json["channels"][0]["avatar"], avatar);
    let said = ana.post(&format!("/api/chat/{stream}/messages"), serde_json::json!({"message": "hi"})).await;
    assert_eq!(said.json["user"]["avatar"], avatar, "{}", said.json);

    assert_eq!(ana.delete(AVATAR).await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.get("/api/users/@ana").await.json["avatar"], Value::Null);
    // Without one there is nothing to take away.
    assert_eq!(ana.delete(AVATAR).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn all_three_formats_are_taken_whatever_the_sender_calls_them() {
    let gallery = Gallery::open().await;
    let ana = gallery.api.register("ana").await;
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let file = encoded(plain(300, 300, [200, 20, 20]), format);
        let answer = upload(&ana, AVATAR, "image/png", file).await;
        assert_eq!(answer.status, StatusCode::OK, "{format:?}: {}", answer.json);
        let shown = fetched(&gallery.api, &text(&answer.json["avatar"])).await.bytes().await.unwrap();
        let picture = image::load_from_memory_with_format(&shown, ImageFormat::Jpeg).unwrap();
        assert!(picture.into_rgb8().get_pixel(9, 9).0[0] > 170, "{format:?}");
    }
}

#[tokio::test]
async fn a_thumbnail_takes_the_place_of_the_poster_until_it_is_taken_away() {
    let gallery = Gallery::open().await;
    let api = &gallery.api;
    let ana = api.register("ana").await;
    let prepared = ana.post("/api/streams", serde_json::json!({"title": "Songs"})).await;
    let id = text(&prepared.json["id"]);
    let path = format!("/api/streams/{id}/thumbnail");
    let poster = prepared.json["thumbnailUrl"].clone();
    assert_eq!(poster, format!("http://media.test:8000/thumbnails/{id}/poster.jpg"));

    let answer = upload(&ana, &path, "image/png", png(1920, 1200, [0, 0, 200])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    let address = text(&answer.json["thumbnailUrl"]);
    assert!(address.starts_with("/pictures/thumbnails/"), "{address}");
    assert_ne!(answer.header("etag"), prepared.header("etag"));
    let file = fetched(api, &address).await.bytes().await.unwrap();
    assert_eq!(image::load_from_memory(&file).unwrap().into_rgb8().dimensions(), (1280, 720));
    // The broadcast that was prepared has it when it begins.
    assert_eq!(ana.goes_live().await.to_string(), id);
    assert_eq!(api.get("/api/streams").await.json[0]["thumbnailUrl"], address);

    let answer = ana.delete(&path).await;
    assert_eq!((answer.status, &answer.json["thumbnailUrl"]), (StatusCode::OK, &poster));
}

#[tokio::test]
async fn a_category_has_an_icon_and_admins_are_known_to_have_changed_it() {
    let gallery = Gallery::open().await;
    let api = &gallery.api;
    let admin = api.register_admin("root_of_all").await;
    let answer = admin.post("/api/categories", serde_json::json!({"name": "Weaving"})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json);
    let path = "/api/categories/weaving/icon";
    let answer = upload(&admin, path, "image/png", png(600, 800, [9, 90, 9])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    let address = text(&answer.json["icon"]);
    let file = fetched(api, &address).await.bytes().await.unwrap();
    assert_eq!(image::load_from_memory(&file).unwrap().into_rgb8().dimensions(), (288, 384));
    assert_eq!(api.get("/api/categories/weaving").await.json["icon"], address);

    assert_eq!(admin.delete(path).await.json["icon"], Value::Null);
    // Nothing was changed, so nothing is recorded.
    assert_eq!(admin.delete(path).await.status, StatusCode::OK);
    let log = admin.get("/api/admin/audit-log?action=category.icon").await.json;
    let removed: Vec<_> = log.as_array().unwrap().iter().map(|act| &act["details"]["removed"]).collect();
    assert_eq!(removed, [true, false]);

    // With its category goes its icon.
    upload(&admin, path, "image/png", png(600, 800, [9, 90, 9])).await;
    assert_eq!(admin.delete("/api/categories/weaving").await.status, StatusCode::NO_CONTENT);
    gallery.tidied().await;
    assert_eq!(gallery.files(), [] as [std::path::PathBuf; 0]);
}

#[tokio::test]
async fn an_admin_takes_somebodys_avatar_away() {
    let gallery = Gallery::open().await;
    let api = &gallery.api;
    let (ana, admin) = (api.register("ana").await, api.register_admin("root_of_all").await);
    shows(&ana, png(300, 300, [1, 2, 3])).await;
    let path = format!("/api/admin/users/{}/avatar", ana.id);
    assert_eq!(ana.delete(&path).await.refusal(), (403, "forbidden"));
    for _ in 0..2 {
        let answer = admin.delete(&path).await;
        assert_eq!((answer.status, &answer.json["avatar"]), (StatusCode::OK, &Value::Null));
    }
    assert_eq!(ana.get("/api/users/me").await.json["avatar"], Value::Null);
    let log = admin.get("/api/admin/audit-log?action=user.avatar").await.json;
    assert_eq!(log.as_array().unwrap().len(), 1, "{log}");
    assert_eq!(log[0]["subject"]["username"], "ana");
}

#[tokio::test]
async fn names_that_no_picture_has_are_not_looked_for() {
    let gallery = Gallery::open().await;
    let api = &gallery.api;
    let ana = api.register("ana").await;
    let address = shows(&ana, png(300, 300, [1, 2, 3])).await;
    std::fs::write(gallery.folder.path().join("pictures/avatars/secret.jpg"), "secret").unwrap();
    std::fs::create_dir(gallery.folder.path().join("live")).unwrap();
    std::fs::write(gallery.folder.path().join("live/secret.jpg"), "secret").unwrap();
    for odd in [
        "/pictures/avatars/secret.jpg".to_owned(),
        "/pictures/avatars/..%2F..%2Flive%2Fsecret.jpg".to_owned(),
        "/pictures/..%2Flive/secret.jpg".to_owned(),
        "/pictures/avatars/%00.jpg".to_owned(),
        address.replace("avatars", "icons"),
        address.replace(".jpg", ".png"),
        address.replace(".jpg", ".jpg%23"),
        address.replace("avatars/", "avatars/{"),
        address.to_uppercase().replace("/PICTURES/AVATARS", "/pictures/avatars").replace(".JPG", ".jpg"),
        format!("/pictures/avatars/{}.jpg", uuid::Uuid::now_v7()),
    ] {
        // An id of digits alone is the same in capitals.
        if odd == address {
            continue;
        }
        let answer = fetched(api, &odd).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{odd}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{odd}");
    }
    let answer = send(api.request(Method::POST, &address)).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(fetched(api, &address).await.status(), StatusCode::OK);
}
