//! What is not taken, and from whom.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::files::{bomb, cut_off, png};
use super::{AVATAR, Gallery, fetched, shows, upload};
use crate::running::{Running, send};

#[tokio::test]
async fn what_is_no_picture_changes_nothing() {
    let gallery = Gallery::open_with(|config| config.limits.attempts_a_minute = 100).await;
    let ana = gallery.api.register("ana").await;
    let address = shows(&ana, png(300, 300, [1, 2, 3])).await;
    let files = gallery.files();
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".to_vec();
    let mut polyglot = b"\xff\xd8\xff\xe0".to_vec();
    polyglot.extend(b"<html><script>alert(1)</script></html>");
    let mut gif = b"GIF89a\x01\0\x01\0\x80\0\0".to_vec();
    gif.extend([0; 64]);
    for (what, kind, file, refusal) in [
        ("SVG", "image/svg+xml", svg.clone(), (415, "unsupported_media_type")),
        ("SVG that calls itself PNG", "image/png", svg, (415, "unsupported_media_type")),
        ("HTML behind the beginning of a JPEG", "image/jpeg", polyglot, (422, "picture_unreadable")),
        ("GIF", "image/png", gif, (415, "unsupported_media_type")),
        ("half a PNG", "image/png", cut_off(), (422, "picture_unreadable")),
        ("a bomb", "image/png", bomb(), (422, "too_many_pixels")),
        ("nothing", "image/png", Vec::new(), (415, "unsupported_media_type")),
        ("PNG that calls itself a page", "text/html", png(9, 9, [0; 3]), (415, "unsupported_media_type")),
        ("more than 5 MiB", "image/png", vec![0; 5 * 1024 * 1024 + 1], (413, "too_large")),
        // What is fetched from an address would be fetched from within the operator's network.
        (
            "an address",
            "application/json",
            br#"{"url":"http://127.0.0.1/"}"#.to_vec(),
            (415, "unsupported_media_type"),
        ),
        (
            "an address alone",
            "image/png",
            b"http://127.0.0.1/a.png".to_vec(),
            (415, "unsupported_media_type"),
        ),
    ] {
        let answer = upload(&ana, AVATAR, kind, file).await;
        assert_eq!(answer.refusal(), refusal, "{what}: {}", answer.json);
    }
    let answer = send(ana.request(Method::PUT, AVATAR).body(png(9, 9, [0; 3]))).await;
    assert_eq!(answer.refusal(), (415, "unsupported_media_type"));
    for field in ["avatar", "avatarUrl", "avatar_url"] {
        let answer = ana.patch("/api/users/me", json!({ field: "http://127.0.0.1/a.png" })).await;
        assert_eq!(answer.refusal(), (422, "invalid"), "{field}");
    }
    assert_eq!(ana.get("/api/users/me").await.json["avatar"], address);
    assert_eq!(gallery.files(), files);
}

#[tokio::test]
async fn nobody_changes_the_pictures_of_others() {
    let gallery = Gallery::open().await;
    let api = &gallery.api;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    let thumbnail = format!("/api/streams/{stream}/thumbnail");
    let nowhere = format!("/api/streams/{}/thumbnail", uuid::Uuid::now_v7());
    let icon = "/api/categories/music/icon";
    let file = || png(64, 64, [7; 3]);
    for path in [thumbnail.as_str(), icon] {
        assert_eq!(upload(&bob, path, "image/png", file()).await.refusal(), (403, "forbidden"), "{path}");
        assert_eq!(bob.delete(path).await.refusal(), (403, "forbidden"), "{path}");
    }
    for path in [thumbnail.as_str(), icon, AVATAR] {
        for method in [Method::PUT, Method::DELETE] {
            let answer =
                send(api.request(method, path).header("content-type", "image/png").body(file())).await;
            assert_eq!(answer.refusal(), (401, "unauthenticated"), "{path}");
        }
    }
    assert_eq!(upload(&ana, &nowhere, "image/png", file()).await.refusal(), (404, "not_found"));
    let admin = api.register_admin("root_of_all").await;
    let answer = upload(&admin, "/api/categories/no-such/icon", "image/png", file()).await;
    assert_eq!(answer.refusal(), (404, "not_found"));
    // Whoever runs the server does not speak for others either.
    assert_eq!(upload(&admin, &thumbnail, "image/png", file()).await.refusal(), (403, "forbidden"));
    assert_eq!(gallery.files(), [] as [std::path::PathBuf; 0]);
}

#[tokio::test]
async fn a_broadcast_that_is_over_gets_no_thumbnail() {
    let gallery = Gallery::open().await;
    let ana = gallery.api.register("ana").await;
    let stream = ana.goes_live().await;
    gallery.api.done(stream, "unpublished").await;
    let answer =
        upload(&ana, &format!("/api/streams/{stream}/thumbnail"), "image/png", png(64, 64, [7; 3])).await;
    assert_eq!(answer.refusal(), (409, "ended"));
}

#[tokio::test]
async fn while_storage_fails_everything_stays_as_it_was() {
    let gallery = Gallery::open().await;
    let ana = gallery.api.register("ana").await;
    let address = shows(&ana, png(300, 300, [1, 2, 3])).await;
    let (folder, aside) = (gallery.folder.path().join("pictures"), gallery.folder.path().join("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "no folder").unwrap();
    let answer = upload(&ana, AVATAR, "image/png", png(300, 300, [9; 3])).await;
    assert_eq!(answer.refusal(), (503, "unavailable"), "{}", answer.json);
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(ana.get("/api/users/me").await.json["avatar"], address);

    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    assert_eq!(fetched(&gallery.api, &address).await.status(), StatusCode::OK);
    let second = shows(&ana, png(300, 300, [9; 3])).await;
    // What was begun and came to nothing goes as well.
    gallery.tidied().await;
    assert_eq!(fetched(&gallery.api, &second).await.status(), StatusCode::OK);
    assert_eq!(gallery.files().len(), 1);
}

#[tokio::test]
async fn without_storage_there_are_no_pictures_and_everything_else() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let answer = upload(&ana, AVATAR, "image/png", png(64, 64, [7; 3])).await;
    assert_eq!(answer.refusal(), (409, "no_storage"));
    let nothing = format!("/pictures/avatars/{}.jpg", uuid::Uuid::now_v7());
    assert_eq!(fetched(&api, &nothing).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(ana.delete(AVATAR).await.status, StatusCode::NO_CONTENT);
    assert_eq!(ana.get("/api/users/me").await.json["avatar"], Value::Null);
}

#[tokio::test]
async fn nobody_keeps_the_server_busy_with_pictures() {
    let gallery = Gallery::open_with(|config| config.limits.attempts_a_minute = 2).await;
    let (ana, bob) = (gallery.api.register("ana").await, gallery.api.register("bob").await);
    for _ in 0..2 {
        shows(&ana, png(64, 64, [7; 3])).await;
    }
    let answer = upload(&ana, AVATAR, "image/png", png(64, 64, [7; 3])).await;
    assert_eq!(answer.refusal(), (429, "rate_limited"));
    shows(&bob, png(64, 64, [7; 3])).await;
}
