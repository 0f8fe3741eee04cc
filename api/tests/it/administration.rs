//! What admins do to people, and what is remembered of it.

use caudal_api::{WantedRole, set_role_by_name};
use caudal_livestream::report::EndReason;
use reqwest::Method;
use serde_json::{Value, json};

use crate::lifecycle::Order;
use crate::running::{Answer, Person, Running, pages, send};
use crate::snapshot::tidy;

async fn set_role(by: &Person<'_>, person: &str, role: &str) -> Answer {
    let request = by.request(Method::PUT, &format!("/api/admin/users/{person}/role"));
    send(request.json(&json!({ "role": role }))).await
}

async fn ban(by: &Person<'_>, person: &str, reason: &str) -> Answer {
    let request = by.request(Method::PUT, &format!("/api/admin/users/{person}/ban"));
    send(request.json(&json!({ "reason": reason }))).await
}

fn names(list: &[Value]) -> Vec<&str> {
    list.iter().map(|person| person["username"].as_str().unwrap()).collect()
}

async fn log(by: &Person<'_>, query: &str) -> Vec<Value> {
    pages(async |path| by.get(path).await, &format!("/api/admin/audit-log?limit=2{query}")).await
}

fn actions(log: &[Value]) -> Vec<&str> {
    log.iter().map(|record| record["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn nobody_else_administers() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let boss = api.register_admin("boss").await;
    for (method, path) in [
        (Method::GET, "/api/admin/users"),
        (Method::PUT, "/api/admin/users/@boss/ban"),
        (Method::DELETE, "/api/admin/users/@boss/ban"),
        (Method::PUT, "/api/admin/users/@ana/role"),
        (Method::GET, "/api/admin/audit-log"),
        (Method::GET, "/api/admin/figures"),
    ] {
        let body = json!({"role": "admin"});
        let refused = send(ana.request(method.clone(), path).json(&body)).await;
        assert_eq!(refused.refusal(), (403, "forbidden"), "{method} {path}");
        let refused = send(api.request(method.clone(), path).json(&body)).await;
        assert_eq!(refused.refusal(), (401, "unauthenticated"), "{method} {path}");
    }
    assert_eq!(boss.get("/api/admin/audit-log").await.json, json!([]), "what was refused left no record");
}

#[tokio::test]
async fn an_admin_finds_people() {
    let api = Running::start().await;
    let boss = api.register_admin("boss").await;
    for name in ["ana", "anabel", "bob"] {
        api.register(name).await;
    }
    assert_eq!(ban(&boss, "@anabel", "spam").await.status, 200);
    let found = async |query: &str| {
        pages(async |path| boss.get(path).await, &format!("/api/admin/users?limit=2{query}")).await
    };
    for (query, expected) in [
        ("", &["bob", "anabel", "ana", "boss"][..]),
        ("&q=AN", &["anabel", "ana"]),
        ("&q=ana@example", &["ana"]),
        ("&q=a_", &[]),
        ("&role=admin", &["boss"]),
        ("&role=user&banned=false", &["bob", "ana"]),
        ("&banned=true", &["anabel"]),
    ] {
        assert_eq!(names(&found(query).await), expected, "{query}");
    }
    insta::assert_json_snapshot!(tidy(found("&banned=true").await[0].clone()));
    api.database.execute("update users set deleted_at = now() where username = 'bob'").await;
    assert_eq!(names(&found("").await), ["anabel", "ana", "boss"]);
    for (query, refusal) in [
        ("?role=owner", (400, "malformed")),
        ("?banned=perhaps", (400, "malformed")),
        ("?q=a", (422, "invalid")),
        ("?cursor=x", (422, "invalid")),
    ] {
        assert_eq!(boss.get(&format!("/api/admin/users{query}")).await.refusal(), refusal, "{query}");
    }
}

#[tokio::test]
async fn admins_make_admins_and_nobody_changes_their_own_role() {
    let api = Running::start().await;
    let (boss, ana) = (api.register_admin("boss").await, api.register("ana").await);
    assert_eq!(set_role(&boss, "@boss", "user").await.refusal(), (422, "oneself"));
    assert_eq!(set_role(&boss, "@nobody", "admin").await.refusal(), (404, "not_found"));
    assert_eq!(set_role(&boss, &ana.id, "owner").await.refusal(), (422, "invalid"));
    // What is so already is done, and not remembered.
    assert_eq!(set_role(&boss, "@boss", "admin").await.status, 200);
    assert_eq!(log(&boss, "").await, Vec::<Value>::new());

    let made = set_role(&boss, &ana.id, "admin").await;
    assert_eq!((made.status.as_u16(), &made.json["role"]), (200, &json!("admin")), "{}", made.json);
    assert_eq!(ana.get("/api/admin/users").await.status, 200);
    assert_eq!(set_role(&ana, "@boss", "user").await.status, 200);
    assert_eq!(boss.get("/api/admin/users").await.refusal(), (403, "forbidden"));

    assert_eq!(ban(&ana, "@boss", "").await.status, 200);
    assert_eq!(set_role(&ana, "@boss", "admin").await.refusal(), (409, "is_banned"));
    api.database.execute("update users set deleted_at = now() where username = 'boss'").await;
    assert_eq!(set_role(&ana, "@boss", "admin").await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn of_two_admins_who_demote_each_other_one_remains() {
    let api = Running::start().await;
    let (ana, bob) = (api.register_admin("ana").await, api.register_admin("bob").await);
    for _ in 0..8 {
        let (one, other) = tokio::join!(set_role(&ana, "@bob", "user"), set_role(&bob, "@ana", "user"));
        let refused: Vec<_> = [&one, &other].into_iter().filter(|answer| answer.status != 200).collect();
        assert_eq!(refused.len(), 1, "{one:?} {other:?}");
        assert_eq!(refused[0].refusal(), (403, "forbidden"));
        api.database.says("select count(*) = 1 from users where role = 'admin'").await;
        api.database.execute("update users set role = 'admin'").await;
    }
}

#[tokio::test]
async fn admins_ban_people_but_neither_themselves_nor_each_other() {
    let api = Running::start().await;
    let (boss, _other) = (api.register_admin("boss").await, api.register_admin("chief").await);
    let ana = api.register("ana").await;
    assert_eq!(ban(&boss, "@boss", "tired").await.refusal(), (422, "oneself"));
    assert_eq!(ban(&boss, "@chief", "power").await.refusal(), (409, "is_admin"));
    assert_eq!(ban(&boss, "@nobody", "").await.refusal(), (404, "not_found"));
    assert_eq!(ban(&boss, "@ana", &"x".repeat(501)).await.refusal(), (422, "invalid"));
    assert_eq!(log(&boss, "").await, Vec::<Value>::new());

    let first = ban(&boss, "@ana", "spam").await;
    assert_eq!(first.json["banReason"], "spam", "{}", first.json);
    let again = ban(&boss, &ana.id, "spam, and worse").await;
    assert_eq!(again.json["banReason"], "spam, and worse");
    assert_eq!(again.json["bannedAt"], first.json["bannedAt"]);
    let lift = async || boss.delete("/api/admin/users/@ana/ban").await;
    assert_eq!((lift().await.json["bannedAt"].clone(), lift().await.status.as_u16()), (Value::Null, 200));
    assert_eq!(boss.delete("/api/admin/users/@nobody/ban").await.refusal(), (404, "not_found"));
    assert_eq!(actions(&log(&boss, "").await), ["user.unban", "user.ban", "user.ban"]);

    api.database.execute("update users set deleted_at = now() where username = 'ana'").await;
    assert_eq!(ban(&boss, "@ana", "").await.refusal(), (404, "not_found"));
    assert_eq!(lift().await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn what_admins_did_can_be_read() {
    let api = Running::start().await;
    let (boss, chief) = (api.register_admin("boss").await, api.register_admin("chief").await);
    let ana = api.register("ana").await;
    ban(&boss, "@ana", "spam").await;
    chief.delete("/api/admin/users/@ana/ban").await;
    set_role(&chief, "@ana", "admin").await;
    boss.patch("/api/admin/registration", json!({"mode": "closed"})).await;
    let made = boss.post("/api/admin/invitations", json!({"note": "for Bob"})).await;
    boss.delete(&format!("/api/admin/invitations/{}", made.json["id"].as_str().unwrap())).await;
    boss.post("/api/categories", json!({"name": "Opera"})).await;
    // Taken, and so not done.
    assert_eq!(boss.post("/api/categories", json!({"name": "Opera"})).await.refusal(), (409, "taken"));
    boss.patch("/api/categories/opera", json!({"slug": "singing"})).await;
    boss.delete("/api/categories/singing").await;

    let all = log(&boss, "").await;
    let mut oldest_first = all.clone();
    oldest_first.reverse();
    insta::assert_json_snapshot!(tidy(Value::Array(oldest_first)));
    for (query, expected) in [
        (format!("&actor={}", chief.id), &["user.role", "user.unban"][..]),
        (format!("&subject={}", ana.id), &["user.role", "user.unban", "user.ban"]),
        (format!("&subject={}&actor={}", ana.id, boss.id), &["user.ban"]),
        ("&action=category.edit".to_owned(), &["category.edit"]),
        ("&action=nothing".to_owned(), &[]),
    ] {
        assert_eq!(actions(&log(&boss, &query).await), expected, "{query}");
    }
    // The first moment of 2020.
    api.database
        .execute(
            "insert into audit_log (id, action, subject_kind, created_at) \
             values ('016f5e66-e800-7000-8000-000000000001', 'user.ban', 'user', '2020-01-01')",
        )
        .await;
    for (query, expected) in [
        ("&since=2020-01-01T00:00:00.001Z", all.len()),
        ("&since=2020-01-01T00:00:00Z", all.len() + 1),
        ("&since=2020-01-01T00:00:00Z&until=2020-01-01T00:00:00.001Z&action=user.ban", 1),
        ("&until=2020-01-01T00:00:00Z", 0),
        ("&until=9999-12-31T23:59:59Z", all.len() + 1),
    ] {
        assert_eq!(log(&boss, query).await.len(), expected, "{query}");
    }
    for (query, refusal) in [
        ("actor=ana", (400, "malformed")),
        ("since=yesterday", (400, "malformed")),
        ("cursor=x", (422, "invalid")),
    ] {
        assert_eq!(boss.get(&format!("/api/admin/audit-log?{query}")).await.refusal(), refusal, "{query}");
    }
}

#[tokio::test]
async fn an_admin_ends_any_stream() {
    let api = Running::start().await;
    let (boss, ana, bob) =
        (api.register_admin("boss").await, api.register("ana").await, api.register("bob").await);
    let live = ana.goes_live().await;
    let path = format!("/api/streams/{live}");
    assert_eq!(bob.delete(&path).await.refusal(), (403, "forbidden"));
    assert_eq!(boss.delete(&path).await.status, 202);
    assert_eq!(
        api.lifecycle.distinct_orders(),
        [Order::Drop(live), Order::End(live, EndReason::EndedByOwner)]
    );
    let told = api.authorize(&ana.stream_key().await).await.unwrap_err();
    assert!(!told.message.is_empty(), "its encoder does not bring it back at once");
    api.done(live, "ended_by_owner").await;
    assert_eq!(boss.delete(&path).await.status, 204);

    let prepared = bob.post("/api/streams", json!({"title": "Soon"})).await;
    let path = format!("/api/streams/{}", prepared.json["id"].as_str().unwrap());
    assert_eq!(boss.delete(&path).await.status, 204);
    assert_eq!(bob.get("/api/streams/mine").await.refusal(), (404, "not_found"));
    let records = log(&boss, "&action=stream.end").await;
    let owners: Vec<_> = records.iter().map(|record| &record["details"]["owner"]).collect();
    assert_eq!(owners, [&json!(bob.id), &json!(ana.id)], "what had ended already is not remembered");
    // An owner's own end is nobody's business.
    let again = bob.post("/api/streams", json!({"title": "Soon"})).await;
    bob.delete(&format!("/api/streams/{}", again.json["id"].as_str().unwrap())).await;
    assert_eq!(log(&boss, "&action=stream.end").await.len(), 2);
}

#[tokio::test]
async fn whoever_has_the_database_makes_the_first_admin() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let url: secrecy::SecretString = api.database.url.clone().into();
    let make = async |name: &str| set_role_by_name(&url, name, WantedRole::Admin).await;
    let unmake = async |name: &str| set_role_by_name(&url, name, WantedRole::User).await;
    assert_eq!(unmake("ana").await, Ok("ana is no admin.".to_owned()));
    assert_eq!(make("@ANA").await, Ok("ana is an admin now.".to_owned()));
    assert_eq!(make("ana").await, Ok("ana is an admin already.".to_owned()));
    let records = log(&ana, "").await;
    assert_eq!(records.len(), 1);
    insta::assert_json_snapshot!(tidy(records[0].clone()));

    assert!(make("nobody").await.unwrap_err().contains("nobody here is called that"));
    assert!(unmake("ana").await.unwrap_err().contains("the last admin"));
    api.register("bob").await;
    api.database.execute("update users set banned_at = now() where username = 'bob'").await;
    assert!(make("bob").await.unwrap_err().contains("end the ban first"));
    api.database.execute("update users set banned_at = null").await;
    assert_eq!(make("bob").await, Ok("bob is an admin now.".to_owned()));
    assert_eq!(unmake("ana").await, Ok("ana is no admin any more.".to_owned()));
}

#[tokio::test]
async fn a_command_line_without_a_platform_s_database_says_so() {
    let empty = crate::database::TestDatabase::create().await;
    let said = set_role_by_name(&empty.url.clone().into(), "ana", WantedRole::Admin).await.unwrap_err();
    assert!(said.contains("start the platform first"), "{said}");
    let url = "postgresql://caudal:hunter2@127.0.0.1:1/caudal".to_owned().into();
    let said = set_role_by_name(&url, "ana", WantedRole::Admin).await.unwrap_err();
    assert!(said.contains("127.0.0.1:1") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn the_figures_are_what_is_measured_and_nothing_else() {
    let api = Running::start().await;
    let boss = api.register_admin("boss").await;
    let figures = async || boss.get("/api/admin/figures").await.json;
    assert_eq!(figures().await["viewers"], 0);
    let mut live = Vec::new();
    for (name, viewers) in [("ana", 3), ("bob", 5)] {
        let stream = api.register(name).await.goes_live().await;
        caudal_directory::Audience::record(&*api.audience, stream, viewers);
        live.push(stream);
    }
    api.database.says("select sum(viewer_count) = 8 from streams").await;
    let all = figures().await;
    assert_eq!((&all["liveStreams"], &all["viewers"]), (&json!(2), &json!(8)));
    assert_eq!(all["streams"][0]["id"], json!(live[1]));
    let first = &all["streams"][0];
    assert_eq!((&first["username"], &first["viewers"]), (&json!("bob"), &json!(5)));
    for unmeasured in ["meanLatencyMs", "rtmpUptime", "conversion"] {
        assert_eq!(all.get(unmeasured), Some(&Value::Null), "{unmeasured}");
    }
}
