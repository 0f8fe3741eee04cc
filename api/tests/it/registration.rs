//! Who may open an account.

use std::sync::Arc;
use std::time::Duration;

use caudal_api::RegistrationMode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::database::TestDatabase;
use crate::running::{Answer, PASSWORD, Person, Running, pages, send};
use crate::snapshot::tidy;

async fn register(api: &Running, username: &str, invitation: Option<&Value>) -> Answer {
    let email = format!("{username}@example.test");
    let mut body = json!({"username": username, "email": email, "password": PASSWORD});
    if let Some(invitation) = invitation {
        body["invitation"] = invitation.clone();
    }
    api.post("/api/auth/register", body).await
}

/// Where an invitation is needed.
async fn by_invitation(api: &Running) -> Person<'_> {
    let boss = api.register_admin("boss").await;
    let changed = boss.patch("/api/admin/registration", json!({"mode": "invitation"})).await;
    assert_eq!(changed.json["mode"], "invitation", "{}", changed.json);
    boss
}

async fn invite(boss: &Person<'_>, wanted: Value) -> Value {
    let made = boss.post("/api/admin/invitations", wanted).await;
    assert_eq!(made.status, 201, "{}", made.json);
    made.json
}

#[tokio::test]
async fn an_admin_closes_and_opens_the_registration() {
    let api = Running::start().await;
    let boss = api.register_admin("boss").await;
    let mode = async || api.get("/api/registration").await.json;
    assert_eq!(mode().await, json!({"mode": "open"}));
    let closed = boss.patch("/api/admin/registration", json!({"mode": "closed"})).await;
    insta::assert_json_snapshot!(tidy(closed.json.clone()));
    assert_eq!(boss.get("/api/admin/registration").await.json, closed.json);
    assert_eq!(mode().await, json!({"mode": "closed"}));
    assert_eq!(register(&api, "ana", None).await.refusal(), (403, "registration_closed"));
    // Nothing is changed by nothing.
    assert_eq!(boss.patch("/api/admin/registration", json!({})).await.json, closed.json);
    for (wrong, pointer) in [(json!({"mode": "maybe"}), "/mode"), (json!({"way": "open"}), "/way")] {
        let refused = boss.patch("/api/admin/registration", wrong).await;
        assert_eq!(refused.refusal(), (422, "invalid"));
        assert_eq!(refused.json["errors"][0]["pointer"], pointer);
    }
    let left = boss.patch("/api/admin/registration", json!({"mode": null})).await;
    assert_eq!(left.json, json!({"mode": "open", "setting": "open", "changedAt": null}));
    assert_eq!(register(&api, "ana", None).await.status, 201);
}

#[tokio::test]
async fn what_an_admin_says_wins_over_the_setting_on_every_replica() {
    let database = Arc::new(TestDatabase::create().await);
    let one = Running::replica(Arc::clone(&database), |_| ()).await;
    let boss = one.register_admin("boss").await;
    let other = Running::replica(database, |config| config.registration = RegistrationMode::Closed).await;
    assert_eq!(register(&other, "ana", None).await.refusal(), (403, "registration_closed"));
    boss.patch("/api/admin/registration", json!({"mode": "open"})).await;
    assert_eq!(register(&other, "ana", None).await.status, 201);
    boss.patch("/api/admin/registration", json!({"mode": "invitation"})).await;
    for api in [&one, &other] {
        assert_eq!(api.get("/api/registration").await.json, json!({"mode": "invitation"}));
        assert_eq!(register(api, "bob", None).await.refusal(), (403, "invitation_invalid"));
    }
}

#[tokio::test]
async fn an_invitation_is_good_for_as_many_registrations_as_it_says() {
    let api = Running::start().await;
    let boss = by_invitation(&api).await;
    for none in [None, Some(&json!(null)), Some(&json!("")), Some(&json!("inv_nonsense"))] {
        assert_eq!(register(&api, "ana", none).await.refusal(), (403, "invitation_invalid"), "{none:?}");
    }
    let made = invite(&boss, json!({"uses": 2, "days": 3, "note": " For the choir "})).await;
    let token = made["token"].clone();
    assert!(token.as_str().unwrap().starts_with("inv_"));
    let mut shown = made.clone();
    shown.as_object_mut().unwrap().remove("token");
    insta::assert_json_snapshot!(tidy(shown.clone()));
    assert_eq!(boss.get("/api/admin/invitations").await.json, json!([shown]), "the token is not shown again");

    assert_eq!(register(&api, "ana", Some(&token)).await.status, 201);
    // What came to nothing is not counted.
    assert_eq!(register(&api, "ANA", Some(&token)).await.refusal(), (409, "taken"));
    assert_eq!(boss.get("/api/admin/invitations").await.json[0]["used"], 1);
    assert_eq!(register(&api, "bob", Some(&token)).await.status, 201);
    assert_eq!(register(&api, "eve", Some(&token)).await.refusal(), (403, "invitation_invalid"));
    assert_eq!(boss.get("/api/admin/invitations").await.json[0]["used"], 2);

    // Where everybody may, none is needed and none is used up.
    boss.patch("/api/admin/registration", json!({"mode": "open"})).await;
    assert_eq!(register(&api, "eve", Some(&token)).await.status, 201);
    let rows: Vec<(String,)> =
        sqlx::query_as("select row_to_json(i)::text from invitations i union all select row_to_json(l)::text from audit_log l")
            .fetch_all(&api.database.pool)
            .await
            .unwrap();
    assert!(rows.len() > 1 && rows.iter().all(|(row,)| !row.contains(token.as_str().unwrap())));
}

#[tokio::test]
async fn of_many_who_come_at_once_an_invitation_lets_in_no_more_than_it_says() {
    let api = Running::start().await;
    let boss = by_invitation(&api).await;
    let token = invite(&boss, json!({"uses": 3})).await["token"].clone();
    let names: Vec<String> = (0..7).map(|n| format!("guest_{n}")).collect();
    let answers =
        futures::future::join_all(names.iter().map(|name| register(&api, name, Some(&token)))).await;
    let let_in = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().filter(|answer| answer.refusal() == (403, "invitation_invalid")).count();
    assert_eq!((let_in, refused), (3, 4));
}

#[tokio::test]
async fn an_invitation_that_was_removed_or_has_expired_is_good_for_nothing() {
    let api = Running::start().await;
    let boss = by_invitation(&api).await;
    let (removed, expired) = (invite(&boss, json!({})).await, invite(&boss, json!({})).await);
    assert_eq!(pages(async |path| boss.get(path).await, "/api/admin/invitations?limit=1").await.len(), 2);
    let path = format!("/api/admin/invitations/{}", removed["id"].as_str().unwrap());
    assert_eq!(boss.delete(&path).await.status, 204);
    assert_eq!(boss.delete(&path).await.refusal(), (404, "not_found"));
    assert_eq!(boss.delete("/api/admin/invitations/1").await.refusal(), (404, "not_found"));
    api.database.execute("update invitations set expires_at = now()").await;
    for made in [&removed, &expired] {
        let refused = register(&api, "ana", Some(&made["token"])).await;
        assert_eq!(refused.refusal(), (403, "invitation_invalid"));
    }
    assert_eq!(boss.get("/api/admin/invitations").await.json, json!([]));
}

#[tokio::test]
async fn there_is_an_end_to_invitations() {
    let api = Running::start().await;
    let boss = by_invitation(&api).await;
    for (wanted, pointer) in [
        (json!({"uses": 0}), "/uses"),
        (json!({"uses": 101}), "/uses"),
        (json!({"days": 0}), "/days"),
        (json!({"days": 366}), "/days"),
        (json!({"note": "x".repeat(101)}), "/note"),
        (json!({"token": "inv_mine"}), "/token"),
    ] {
        let refused = boss.post("/api/admin/invitations", &wanted).await;
        assert_eq!(refused.refusal(), (422, "invalid"), "{wanted}");
        assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{wanted}");
    }
    api.database
        .execute(
            "insert into invitations (id, token_hash, uses, expires_at)
             select gen_random_uuid(), decode(lpad(to_hex(n), 8, '0'), 'hex'), 1, now() + interval '1 day'
             from generate_series(1, 1000) n",
        )
        .await;
    assert_eq!(boss.post("/api/admin/invitations", json!({})).await.refusal(), (409, "too_many"));
}

#[tokio::test]
async fn what_is_over_is_forgotten() {
    let database = Arc::new(TestDatabase::create().await);
    let api = Running::replica(database, |config| config.deadlines.tidy = Duration::ZERO).await;
    api.database
        .execute(
            "insert into invitations (id, token_hash, uses, expires_at) values
                 (gen_random_uuid(), '\\x01', 1, now() - interval '1 second'),
                 (gen_random_uuid(), '\\x02', 1, now() + interval '1 day');
             insert into audit_log (id, action, subject_kind, created_at) values
                 (gen_random_uuid(), 'registration.change', 'registration', now() - interval '366 days'),
                 (gen_random_uuid(), 'registration.change', 'registration', now() - interval '364 days')",
        )
        .await;
    api.database
        .says("select (select count(*) from invitations) + (select count(*) from audit_log) = 2")
        .await;
    api.database.says("select count(*) = 1 from invitations where token_hash = '\\x02'").await;
}

#[tokio::test]
async fn nobody_else_invites() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    for (method, path) in [
        (Method::GET, "/api/admin/registration"),
        (Method::PATCH, "/api/admin/registration"),
        (Method::GET, "/api/admin/invitations"),
        (Method::POST, "/api/admin/invitations"),
        (Method::DELETE, "/api/admin/invitations/00000000-0000-0000-0000-000000000000"),
    ] {
        let refused = send(ana.request(method.clone(), path).json(&json!({}))).await;
        assert_eq!(refused.refusal(), (403, "forbidden"), "{method} {path}");
        let refused = send(api.request(method.clone(), path).json(&json!({}))).await;
        assert_eq!(refused.refusal(), (401, "unauthenticated"), "{method} {path}");
    }
}
