//! What is mailed, to whom, and to whom not.

use std::time::{Duration, Instant};

use caudal_api::MailConfig;
use reqwest::Method;
use serde_json::json;

use crate::running::{Answer, PASSWORD, Running, send};
use crate::smtp_server::SmtpServer;

const NEW: &str = "another horse battery";

/// With the server that takes its mails.
async fn mailing() -> (Running, SmtpServer) {
    let server = SmtpServer::start().await;
    let api = Running::start_with(|config| {
        let url = server.url.clone().into();
        config.mail = Some(MailConfig { url, from: "Caudal <no-reply@live.test>".to_owned() });
    })
    .await;
    (api, server)
}

async fn forgot(api: &Running, email: &str) -> Answer {
    api.post("/api/auth/password/forgot", json!({"email": email})).await
}

#[tokio::test]
async fn whoever_forgot_their_password_gets_a_link_and_chooses_a_new_one() {
    let (api, server) = mailing().await;
    api.register("ana").await;
    server.has_taken(1).await;
    // However the address is written, and whatever the request says of where it was sent.
    let request = api.request(Method::POST, "/api/auth/password/forgot").header("host", "evil.test");
    let asked =
        send(request.header("x-forwarded-host", "evil.test").json(&json!({"email": "ANA@example.test"})));
    assert_eq!(asked.await.status, 204);
    let mail = server.has_taken(2).await.remove(1);
    assert_eq!(mail.to, ["RCPT TO:<ana@example.test>"]);
    assert_eq!(mail.from, "MAIL FROM:<no-reply@live.test>");
    for header in [
        "From: Caudal <no-reply@live.test>",
        "To: ana@example.test",
        "Subject: Choose a new password",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(mail.headers.lines().any(|line| line == header), "{header}: {}", mail.headers);
    }
    assert!(mail.body.starts_with("Hello ana,") && !mail.body.contains("evil"), "{}", mail.body);
    let body = json!({"token": mail.token("reset-password"), "newPassword": NEW});
    assert_eq!(api.post("/api/auth/password/reset", body).await.status, 204);
    let login = json!({"login": "ana", "password": NEW});
    assert_eq!(api.post("/api/auth/login", login).await.status, 200);
}

#[tokio::test]
async fn nobody_learns_whose_an_address_is_and_nobody_is_mailed_for_ever() {
    let (api, server) = mailing().await;
    api.register("ana").await;
    let gone = api.register("eve").await;
    server.has_taken(2).await;
    let farewell = gone.request(Method::DELETE, "/api/users/me").json(&json!({"password": PASSWORD}));
    assert_eq!(send(farewell).await.status, 204);
    let known = forgot(&api, "ana@example.test").await;
    for email in ["nobody@example.test", "eve@example.test", "ana", "a\r\nBcc: b@c.test", "@", "\u{202e}"] {
        let unknown = forgot(&api, email).await;
        assert_eq!((unknown.status, &unknown.json), (known.status, &known.json), "{email:?}");
    }
    for _ in 0..9 {
        assert_eq!(forgot(&api, "ana@example.test").await.status, 204);
    }
    // Behind all of these, in one order.
    api.register("bob").await;
    let mails = server.has_taken(6).await;
    assert!(mails.iter().any(|mail| mail.to == ["RCPT TO:<bob@example.test>"]), "{mails:?}");
    api.database.says("select count(*) = 3 from password_resets").await;
    let resets = mails.iter().filter(|mail| mail.headers.contains("Choose a new password"));
    let to: Vec<_> = resets.map(|mail| mail.to.concat()).collect();
    assert_eq!(to, ["RCPT TO:<ana@example.test>"; 3]);
    assert_eq!(forgot(&api, "").await.refusal(), (422, "invalid"));
    assert_eq!(forgot(&api, &"x".repeat(255)).await.refusal(), (422, "invalid"));
}

#[tokio::test]
async fn an_address_that_is_somebody_s_takes_no_longer_than_another_one() {
    let (api, _server) = mailing().await;
    api.register("ana").await;
    // Both wait for nothing but the limits: with the database locked neither would be answered otherwise.
    let lock = api.database.lock("users in access exclusive mode").await;
    for email in ["ana@example.test", "nobody@example.test"] {
        let begun = Instant::now();
        assert_eq!(forgot(&api, email).await.status, 204);
        assert!(begun.elapsed() < Duration::from_secs(5), "{email}");
    }
    lock.rollback().await.unwrap();
}

#[tokio::test]
async fn links_are_asked_for_a_few_times_only_from_one_address_and_strangers_keep_no_owner_out() {
    let api = Running::start_with(|config| {
        config.limits.attempts_a_minute = 3;
        config.trusted_proxies = "127.0.0.0/8".parse().unwrap();
    })
    .await;
    let ask = |email: String, from: String| {
        let request = api.request(Method::POST, "/api/auth/password/forgot").header("x-forwarded-for", from);
        send(request.json(&json!({"email": email})))
    };
    for n in 0..4 {
        let answer = ask(format!("{n}@example.test"), "198.51.100.1".to_owned()).await;
        assert_eq!(answer.status, if n < 3 { 204 } else { 429 }, "{n}");
    }
    for n in 0..100 {
        assert_eq!(ask("ana@example.test".to_owned(), format!("203.0.113.{n}")).await.status, 204, "{n}");
    }
}

#[tokio::test]
async fn asking_for_mail_does_not_use_up_the_log_ins_of_a_name_that_nobody_has() {
    let api = Running::start_with(|config| config.limits.attempts_a_minute = 4).await;
    api.register("ana").await;
    for email in ["ana@example.test", "nobody@example.test"] {
        forgot(&api, email).await;
        forgot(&api, email).await;
    }
    // Otherwise the one would be refused sooner than the other.
    for login in ["ana@example.test", "nobody@example.test"] {
        for _ in 0..3 {
            let body = json!({"login": login, "password": "guess guess"});
            assert_eq!(
                api.post("/api/auth/login", body).await.refusal(),
                (401, "wrong_credentials"),
                "{login}"
            );
        }
    }
}

#[tokio::test]
async fn a_new_account_verifies_its_address_by_the_link_that_it_is_sent() {
    let (api, server) = mailing().await;
    let ana = api.register("ana").await;
    assert_eq!(ana.get("/api/users/me").await.json["emailVerified"], false);
    let mail = server.has_taken(1).await.remove(0);
    assert_eq!(mail.to, ["RCPT TO:<ana@example.test>"]);
    assert!(mail.headers.contains("Subject: Confirm your email address"), "{}", mail.headers);
    let token = mail.token("verify-email");
    // As a reset it is no good.
    let reset = json!({"token": token, "newPassword": NEW});
    assert_eq!(api.post("/api/auth/password/reset", reset).await.refusal(), (422, "invalid"));
    // The page may be reloaded.
    for _ in 0..2 {
        assert_eq!(api.post("/api/auth/email/verify", json!({"token": token})).await.status, 204);
        assert_eq!(ana.get("/api/users/me").await.json["emailVerified"], true);
    }
    // Nothing to verify any more.
    assert_eq!(ana.post("/api/auth/email/verification", json!({})).await.status, 204);
    api.register("bob").await;
    let mails = server.has_taken(2).await;
    assert_eq!(mails[1].to, ["RCPT TO:<bob@example.test>"]);
}

#[tokio::test]
async fn a_link_of_another_address_or_of_last_week_verifies_nothing() {
    let (api, server) = mailing().await;
    let ana = api.register("ana").await;
    let token = server.has_taken(1).await[0].token("verify-email");
    let verify = || api.post("/api/auth/email/verify", json!({"token": token}));
    api.database.execute("update users set email = 'other@example.test'").await;
    let refused = verify().await;
    assert_eq!(refused.refusal(), (422, "invalid"));
    assert_eq!(refused.json["errors"][0]["pointer"], "/token");
    api.database
        .execute(
            "update users set email = 'ana@example.test';
             update email_verifications set expires_at = expires_at - interval '3 days'",
        )
        .await;
    assert_eq!(verify().await.refusal(), (422, "invalid"));
    assert_eq!(ana.get("/api/users/me").await.json["emailVerified"], false);
}

#[tokio::test]
async fn the_link_that_verifies_is_sent_again_three_times_an_hour_at_most() {
    let (api, server) = mailing().await;
    let ana = api.register("ana").await;
    server.has_taken(1).await;
    for _ in 0..5 {
        assert_eq!(ana.post("/api/auth/email/verification", json!({})).await.status, 204);
    }
    api.register("bob").await;
    let mails = server.has_taken(4).await;
    api.database.says("select count(*) = 4 from email_verifications").await;
    let to_ana = mails.iter().filter(|mail| mail.to == ["RCPT TO:<ana@example.test>"]);
    assert_eq!(to_ana.count(), 3, "{mails:?}");
    assert_eq!(api.post("/api/auth/email/verification", json!({})).await.refusal(), (401, "unauthenticated"));
}

#[tokio::test]
async fn without_a_mail_server_nothing_is_kept_and_whoever_waits_for_a_mail_is_told() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    assert_eq!(forgot(&api, "ana@example.test").await.status, 204);
    let refused = ana.post("/api/auth/email/verification", json!({})).await;
    assert_eq!(refused.refusal(), (409, "no_mail"));
    api.database
        .says(
            "select (select count(*) from password_resets) + (select count(*) from email_verifications) = 0",
        )
        .await;
}

#[tokio::test]
async fn a_mail_that_is_refused_for_now_is_sent_later_and_one_that_is_refused_for_good_is_not() {
    let (api, server) = mailing().await;
    server.refuses(&["451 4.7.1 come back later"]);
    api.register("ana").await;
    assert_eq!(server.has_taken(1).await[0].to, ["RCPT TO:<ana@example.test>"]);
    server.refuses(&["550 5.7.1 not from you"]);
    api.register("bob").await;
    server.has_refused().await;
    api.register("eve").await;
    let mails = server.has_taken(2).await;
    assert_eq!(mails[1].to, ["RCPT TO:<eve@example.test>"]);
}

#[tokio::test]
async fn links_that_reached_nobody_do_not_keep_a_person_from_the_next_one() {
    let (api, server) = mailing().await;
    api.register("ana").await;
    server.has_taken(1).await;
    for _ in 0..3 {
        server.refuses(&["550 5.7.1 mailbox is full"]);
        assert_eq!(forgot(&api, "ana@example.test").await.status, 204);
        server.has_refused().await;
        api.database.says("select count(*) = 0 from password_resets").await;
    }
    assert_eq!(forgot(&api, "ana@example.test").await.status, 204);
    assert!(!server.has_taken(2).await[1].token("reset-password").is_empty());
}

#[tokio::test]
async fn no_address_brings_a_header_or_a_second_recipient_into_a_mail() {
    let (api, server) = mailing().await;
    for email in [
        "ana@example.test\r\nBcc: eve@example.test",
        "ana@example.test\nBcc: eve@example.test",
        "ana@example.test,eve@example.test",
        "ana@example.test> RCPT TO:<eve@example.test",
    ] {
        let body = json!({"username": "ana", "email": email, "password": PASSWORD});
        assert_eq!(api.post("/api/auth/register", body).await.refusal(), (422, "invalid"), "{email:?}");
    }
    let ana = api.register("ana").await;
    server.has_taken(1).await;
    // Not even one that is in the database already.
    sqlx::query("update users set email = $1, email_normal = 'old@example.test'")
        .bind("ana@example.test\r\nBcc: eve@example.test")
        .execute(&api.database.pool)
        .await
        .unwrap();
    assert_eq!(ana.post("/api/auth/email/verification", json!({})).await.status, 204);
    assert_eq!(forgot(&api, "old@example.test").await.status, 204);
    api.register("bob").await;
    let mails = server.has_taken(2).await;
    assert_eq!(mails[1].to, ["RCPT TO:<bob@example.test>"]);
    api.database.says("select count(*) = 1 from password_resets").await;
    assert_eq!(server.taken().len(), 2);
}
