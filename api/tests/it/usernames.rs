//! Names that nobody can have.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;

use crate::database::TestDatabase;
use crate::running::{Answer, PASSWORD, Running, send};

async fn register(api: &Running, username: &str) -> Answer {
    let email = format!("{}@example.test", uuid::Uuid::now_v7().simple());
    api.post("/api/auth/register", json!({"username": username, "email": email, "password": PASSWORD})).await
}

#[tokio::test]
async fn the_platform_s_own_names_are_not_for_accounts() {
    let api = Running::start().await;
    for name in ["admin", "Adm1n", "support", "caudal", "api", "live", "www", "watch", "__me__", "deleted_1"]
    {
        let answer = register(&api, name).await;
        assert_eq!(answer.refusal(), (422, "invalid"), "{name}");
        assert_eq!(answer.json["errors"][0]["pointer"], "/username");
        assert_eq!(answer.json["errors"][0]["detail"], "this name is not for accounts; choose another one");
    }
    assert_eq!(register(&api, "adminna").await.status, 201);
}

#[tokio::test]
async fn a_name_that_looks_like_somebody_s_is_taken() {
    let api = Running::start().await;
    api.register("Marta_10").await;
    for name in ["rnarta10", "Marta_1o", "MARTA_L0", "m_a_r_t_a_1_0"] {
        let answer = register(&api, name).await;
        assert_eq!(answer.refusal(), (409, "taken"), "{name}");
        assert_eq!(answer.json["errors"][0]["pointer"], "/username");
        let words = answer.json["detail"].as_str().unwrap();
        assert!(words.starts_with("this name looks like another one"), "{words}");
    }
    assert_eq!(register(&api, "marta_10").await.json["detail"], "this name is taken");
    assert_eq!(register(&api, "marta_11").await.status, 201);
}

#[tokio::test]
async fn accounts_from_before_keep_their_names_and_nobody_new_looks_like_them() {
    let database = Arc::new(TestDatabase::create().await);
    let before = Running::replica(Arc::clone(&database), |_| ()).await;
    for name in ["ana", "bob", "eve"] {
        before.register(name).await;
    }
    // As an older version left them.
    database
        .execute(
            "update users set username_skeleton = null;
             update users set username = 'bo_b', username_normal = 'bo_b' where username = 'ana';
             update users set username = 'admin', username_normal = 'admin' where username = 'eve'",
        )
        .await;
    let (one, other) = tokio::join!(
        Running::replica(Arc::clone(&database), |_| ()),
        Running::replica(Arc::clone(&database), |_| ())
    );
    for api in [&one, &other] {
        for name in ["bo_b", "bob", "admin"] {
            let answer = api.post("/api/auth/login", json!({"login": name, "password": PASSWORD})).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.json);
        }
        assert_eq!(register(api, "b0b").await.refusal(), (409, "taken"));
        assert_eq!(register(api, "admin").await.refusal(), (422, "invalid"));
    }
    database.says("select count(*) = 2 from users where username_skeleton is not null").await;
    database
        .says("select username_skeleton = 'bob' and created_at = (select min(created_at) from users) from users where username = 'bo_b'")
        .await;
}

#[tokio::test]
async fn nobody_is_shown_by_the_name_of_somebody_else_or_of_the_platform() {
    let api = Running::start().await;
    api.register("ana").await;
    let eve = api.register("eve_7").await;
    let call = |name: &'static str| {
        send(eve.request(Method::PATCH, "/api/users/me").json(&json!({"displayName": name})))
    };
    for name in ["Ana", "аna", "A n á", "ＡＮＡ", "_ana_", "Admin", "adm1n", "Support", "Аdmin"] {
        let answer = call(name).await;
        assert_eq!(answer.refusal(), (409, "taken"), "{name}");
        assert_eq!(answer.json["errors"][0]["pointer"], "/displayName");
    }
    for name in ["Eve", "Eve 7", "Ana María", "日本語", "❤"] {
        assert_eq!(call(name).await.status, 200, "{name}");
    }
}
