//! No log line has a secret in it, at any level.

use caudal_api::MailConfig;
use reqwest::Method;
use serde_json::json;

use crate::chat::{Peer, soon};
use crate::log_listener::LogListener;
use crate::running::{PASSWORD, Person, Running, send};
use crate::smtp_server::SmtpServer;

const SMTP_PASSWORD: &str = "smtp-Passw0rd";
const NEW: &str = "a better horse battery";

#[tokio::test]
async fn no_line_has_a_password_a_token_or_a_key() {
    // The runtime has this one thread.
    let (log, _listening) = LogListener::begin();
    let smtp = SmtpServer::start().await;
    let api = Running::start_with(|config| {
        // Behind a certificate that this server cannot show: each mail fails, and says why.
        let host = smtp.url.strip_prefix("smtp://").unwrap().split('?').next().unwrap();
        let url = format!("smtp://caudal:{SMTP_PASSWORD}@{host}").into();
        config.mail = Some(MailConfig { url, from: "Caudal <no-reply@live.test>".to_owned() });
    })
    .await;
    let database_password = api.database.url.split(':').nth(2).unwrap().split('@').next().unwrap().to_owned();
    let ana = api.register_admin("ana").await;
    let mut secrets = vec![
        ("the password of SMTP", SMTP_PASSWORD.to_owned()),
        ("the password of the database", database_password),
        ("the secret of tokens", crate::running::JWT_SECRET.to_owned()),
        ("a password", PASSWORD.to_owned()),
        ("a new password", NEW.to_owned()),
        ("an access token", ana.access.clone()),
        ("a refresh token", ana.refresh.clone()),
    ];

    // Right and wrong, in every place where something secret is sent.
    let wrong = "wrong horse battery";
    secrets.push(("a wrong password", wrong.to_owned()));
    for password in [PASSWORD, wrong] {
        let tokens = api.post("/api/auth/login", json!({ "login": "ana", "password": password })).await;
        if tokens.status == 200 {
            secrets.push(("an access token", Person::of(&api, &tokens).access));
            secrets.push(("a refresh token", Person::of(&api, &tokens).refresh));
        }
    }
    let cookie = format!("caudal_refresh={}", ana.refresh);
    let refreshed = send(api.request(Method::POST, "/api/auth/refresh").header("cookie", cookie)).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.json);
    let ana = Person::of(&api, &refreshed);
    secrets.extend([("an access token", ana.access.clone()), ("a refresh token", ana.refresh.clone())]);
    let unknown = "AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJKKK";
    secrets.push(("an unknown token", unknown.to_owned()));
    for (path, body) in [
        ("/api/auth/refresh", json!({ "refreshToken": unknown })),
        ("/api/auth/password/reset", json!({ "token": unknown, "newPassword": NEW })),
        ("/api/auth/email/verify", json!({ "token": unknown })),
        ("/api/auth/login", json!({ "login": "ana", "password": wrong, "more": 1 })),
        ("/api/auth/login", json!({ "login": "ana", "password": [wrong] })),
    ] {
        let answer = api.post(path, body).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.json);
        assert!(!answer.json.to_string().contains(wrong), "{}", answer.json);
    }
    let bad = api.request(Method::GET, "/api/users/me").bearer_auth(unknown);
    assert_eq!(send(bad).await.refusal(), (401, "token_invalid"));

    // A key, used, guessed and rotated.
    let key = ana.stream_key().await;
    let stream = ana.goes_live().await;

    // Sockets, which get the token in a frame.
    let bob = api.register("bob").await;
    let (mut peer, _) = Peer::join(&api, stream).await;
    peer.authenticate(&bob).await;
    let answer = peer.ask("authenticate", json!({ "token": unknown })).await;
    assert_eq!(answer["code"], "token_invalid", "{answer}");
    secrets.push(("bob's access token", bob.access.clone()));
    secrets.push(("bob's refresh token", bob.refresh.clone()));

    let guessed = format!("live_{}", "a".repeat(32));
    api.authorize(&guessed).await.unwrap_err();
    let rotated = ana.post("/api/auth/stream-key/rotate", json!({ "password": PASSWORD })).await;
    let rotated = rotated.json["streamKey"].as_str().unwrap().to_owned();
    secrets.extend([
        ("a stream key", key),
        ("a guessed stream key", guessed),
        ("a rotated stream key", rotated),
    ]);

    // Invitations and links, and a mail that cannot be sent.
    let invited = ana.post("/api/admin/invitations", json!({ "uses": 1 })).await;
    secrets.push(("an invitation", invited.json["token"].as_str().unwrap().to_owned()));
    assert_eq!(
        api.post("/api/auth/password/forgot", json!({ "email": "ana@example.test" })).await.status,
        204
    );
    let failed = async {
        while !log.said().contains("a mail was not sent") {
            tokio::task::yield_now().await;
        }
    };
    soon(failed).await;
    let url = api.database.url.clone().into();
    let link = caudal_api::password_reset_link(&url, "https://live.test", "ana").await.unwrap();
    let token = link.rsplit('=').next().unwrap().to_owned();
    let reset = api.post("/api/auth/password/reset", json!({ "token": token, "newPassword": NEW })).await;
    assert_eq!(reset.status, 204, "{}", reset.json);
    secrets.push(("the token of a link", token));

    let log = log.said();
    for expected in ["registered", "logged in", "a log-in failed", "answered"] {
        assert!(log.contains(expected), "nothing was captured: no line says {expected:?}");
    }
    for (what, secret) in secrets {
        assert!(secret.len() >= 8, "{what}");
        let line = log.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{what} is in the log: {}", line.unwrap_or_default());
    }
}
