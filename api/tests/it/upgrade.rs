//! What an older version left in the database.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::migrate::{Migrate as _, Migrator};
use uuid::Uuid;

use crate::database::TestDatabase;
use crate::running::{PASSWORD, Person, Running, send};

/// As the version before sessions left it.
async fn before_sessions() -> Arc<TestDatabase> {
    let database = TestDatabase::create().await;
    let migrations = caudal_api::MIGRATIONS.iter().filter(|migration| migration.version <= 2).cloned();
    let older = Migrator { migrations: Cow::Owned(migrations.collect()), ..Migrator::DEFAULT };
    older.run(&database.pool).await.unwrap();
    Arc::new(database)
}

async fn account(database: &TestDatabase, username: &str, email: &str, password_hash: &str) -> Uuid {
    let user = Uuid::now_v7();
    sqlx::query(
        "insert into users (id, username, email, password_hash, stream_key, stream_key_enc, stream_key_kid) \
         values ($1, $2, $3, $4, $5, 'x', '1')",
    )
    .bind(user)
    .bind(username)
    .bind(email)
    .bind(password_hash)
    .bind(user.simple().to_string())
    .execute(&database.pool)
    .await
    .unwrap();
    user
}

/// The hash of [`PASSWORD`], as this version makes it too.
async fn password_hash() -> String {
    let api = Running::start().await;
    api.register("any").await;
    sqlx::query_scalar("select password_hash from users").fetch_one(&api.database.pool).await.unwrap()
}

/// A chain of tokens refreshed every hour, of which only the last one is unused.
async fn chain(database: &TestDatabase, user: Uuid, length: u8) -> Vec<String> {
    let family = Uuid::now_v7();
    let mut parent = None;
    let mut tokens = Vec::new();
    for n in 0..length {
        let (id, token) = (Uuid::now_v7(), [&[n][..], family.as_bytes(), &[0; 15]].concat());
        let age = i32::from(length - 1 - n);
        sqlx::query(
            "insert into refresh_tokens (id, user_id, family_id, parent_id, token_hash, used_at, created_at, expires_at, \
             family_expires_at, ip) values ($1, $2, $3, $4, $5, case when $6 > 0 then now() - make_interval(hours => $6 - 1) end, \
             now() - make_interval(hours => $6), now() - make_interval(hours => $6) + interval '7 days', \
             now() + interval '20 days', '192.0.2.1')",
        )
        .bind(id)
        .bind(user)
        .bind(family)
        .bind(parent)
        .bind(Sha256::digest(&token).to_vec())
        .bind(age)
        .execute(&database.pool)
        .await
        .unwrap();
        parent = Some(id);
        tokens.push(URL_SAFE_NO_PAD.encode(token));
    }
    tokens
}

#[tokio::test]
async fn whoever_was_logged_in_before_the_upgrade_still_is() {
    let database = before_sessions().await;
    let user = account(&database, "ana", "ana@example.test", "").await;
    let laptop = chain(&database, user, 200).await;
    let phone = chain(&database, user, 3).await;
    let stolen = chain(&database, user, 3).await;
    let ended = chain(&database, user, 1).await;
    sqlx::query("update refresh_tokens set revoked_at = now() where token_hash = $1")
        .bind(Sha256::digest(URL_SAFE_NO_PAD.decode(&ended[0]).unwrap()).to_vec())
        .execute(&database.pool)
        .await
        .unwrap();

    let api = Running::replica(database, |_| ()).await;
    let refresh = |token: &str| api.post("/api/auth/refresh", json!({"refreshToken": token}));
    // The newest, the one before whose answer was on its way, and one that was spent long ago.
    let first = Person::of(&api, &refresh(&laptop[199]).await);
    assert_eq!(first.get("/api/streams/mine").await.refusal(), (404, "not_found"));
    assert_eq!(Person::of(&api, &refresh(&laptop[199]).await).refresh, first.refresh);
    assert_eq!(refresh(&first.refresh).await.status, 200);
    assert_eq!(refresh(&phone[1]).await.status, 200);
    assert_eq!(refresh(&stolen[0]).await.refusal(), (401, "refresh_reused"));
    assert_eq!(refresh(&stolen[2]).await.refusal(), (401, "refresh_invalid"));
    assert_eq!(refresh(&ended[0]).await.refusal(), (401, "refresh_invalid"));
    // Logging out by a token of the former kind.
    assert_eq!(api.post("/api/auth/logout", json!({"refreshToken": phone[2]})).await.status, 204);
    assert_eq!(refresh(&phone[2]).await.refusal(), (401, "refresh_invalid"));
    let nobody = send(api.request(Method::GET, "/api/streams/mine").bearer_auth("x")).await;
    assert_eq!(nobody.status, 401);
}

#[tokio::test]
async fn accounts_from_before_there_were_normal_names_log_in_and_of_two_equal_ones_the_older_keeps_the_name()
{
    let hash = password_hash().await;
    let database = before_sessions().await;
    let ana = account(&database, "Ana_1", "Ana@Example.test", &hash).await;
    // PostgreSQL's lower() leaves these two apart in the C locale.
    let eva = account(&database, "eva", "Éva@example.test", &hash).await;
    let second = account(&database, "second", "éva@example.test", &hash).await;

    let (one, other) = tokio::join!(
        Running::replica(Arc::clone(&database), |_| ()),
        Running::replica(Arc::clone(&database), |_| ())
    );
    for api in [&one, &other] {
        for (login, user) in [
            ("ana_1", Some(ana)),
            ("ANA@example.test", Some(ana)),
            ("eva", Some(eva)),
            ("ÉVA@example.test", Some(eva)),
            ("Second", Some(second)),
            ("third", None),
        ] {
            let answer = api.post("/api/auth/login", json!({"login": login, "password": PASSWORD})).await;
            let id = answer.json["user"]["id"].as_str().map(|id| id.parse().unwrap());
            assert_eq!(id, user, "{login}: {}", answer.json);
        }
        let body = json!({"username": "ANA_1", "email": "else@example.test", "password": PASSWORD});
        assert_eq!(api.post("/api/auth/register", body).await.refusal(), (409, "taken"));
    }
}

#[tokio::test]
async fn a_schema_that_a_newer_version_has_added_to_is_used_and_one_that_it_has_taken_something_from_is_not()
{
    let database = TestDatabase::create().await;
    caudal_api::bring_up_to_date(&database.pool).await.unwrap();
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9000, 'of a newer version', true, '', 0)",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    assert_eq!(caudal_api::bring_up_to_date(&database.pool).await, Ok(()));
    let database = Arc::new(database);
    let api = Running::replica(Arc::clone(&database), |_| ()).await;
    api.register("ana").await;

    sqlx::query("update schema_compatibility set min_version = 9000").execute(&database.pool).await.unwrap();
    let refused = caudal_api::bring_up_to_date(&database.pool).await.unwrap_err();
    assert!(refused.starts_with("a newer Caudal has changed this database (migration 9000,"), "{refused}");
}

#[tokio::test]
async fn a_version_that_waits_while_a_newer_one_takes_something_away_refuses_the_schema_too() {
    let database = TestDatabase::create().await;
    caudal_api::bring_up_to_date(&database.pool).await.unwrap();
    let mut newer = database.pool.acquire().await.unwrap();
    newer.lock().await.unwrap();
    let newer_one_is_done = async {
        database
            .says(
                "select exists (select from pg_locks join pg_database on pg_database.oid = database \
                 where datname = current_database() and locktype = 'advisory' and not granted)",
            )
            .await;
        database.execute("update schema_compatibility set min_version = 9000").await;
        newer.unlock().await.unwrap();
    };
    let (brought, ()) = tokio::join!(caudal_api::bring_up_to_date(&database.pool), newer_one_is_done);
    let refused = brought.unwrap_err();
    assert!(refused.starts_with("a newer Caudal has changed this database (migration 9000,"), "{refused}");
}
