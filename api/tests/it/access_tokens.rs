//! Access tokens that are none of ours, and places where they do not belong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::chat::Peer;
use crate::openapi::operations;
use crate::running::{JWT_SECRET, Person, Running, send};

/// What a good token of this person says.
fn claims(person: &Person<'_>) -> Value {
    let part = person.access.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn signed(header: &Header, claims: &Value, secret: &str) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// With a header that says what it likes; the signature is `signature`.
fn made_up(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// The signature that HS256 gives, under a header that says otherwise.
fn under(header: &Value, claims: &Value) -> String {
    let unsigned = made_up(header, claims, "");
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    let message = unsigned.trim_end_matches('.').as_bytes();
    let signature = jsonwebtoken::crypto::sign(message, &key, Algorithm::HS256).unwrap();
    format!("{unsigned}{signature}")
}

#[tokio::test]
async fn a_token_that_is_not_exactly_ours_opens_nothing() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let good = claims(&ana);
    let with = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        signed(&Header::default(), &claims, JWT_SECRET)
    };
    let without = |field: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(field);
        signed(&Header::default(), &claims, JWT_SECRET)
    };
    let signature = ana.access.rsplit('.').next().unwrap();
    let (hs, past) = (json!({ "alg": "HS256", "typ": "JWT" }), jsonwebtoken::get_current_timestamp() - 1);
    let mut roots = good.clone();
    roots["role"] = "admin".into();
    let key = EncodingKey::from_secret(b"another key, another key, another");
    let invalid = (401, "token_invalid");
    for (what, token, refusal) in [
        ("algorithm none", made_up(&json!({ "alg": "none" }), &good, ""), invalid),
        ("algorithm None", made_up(&json!({ "alg": "None" }), &good, signature), invalid),
        ("algorithm nONE", made_up(&json!({ "alg": "nONE", "typ": "JWT" }), &good, ""), invalid),
        ("no algorithm", made_up(&json!({ "typ": "JWT" }), &good, signature), invalid),
        ("no signature", made_up(&hs, &good, ""), invalid),
        ("the signature of another text", made_up(&hs, &roots, signature), invalid),
        ("RS256 in words", under(&json!({ "alg": "RS256" }), &good), invalid),
        ("ES256 in words", under(&json!({ "alg": "ES256" }), &good), invalid),
        ("HS384", signed(&Header::new(Algorithm::HS384), &good, JWT_SECRET), invalid),
        ("HS512", signed(&Header::new(Algorithm::HS512), &good, JWT_SECRET), invalid),
        ("another key", encode(&Header::default(), &good, &key).unwrap(), invalid),
        ("an empty key", signed(&Header::default(), &good, ""), invalid),
        ("the edge's audience", with("aud", json!("caudal-edge")), invalid),
        ("no audience", without("aud"), invalid),
        ("another issuer", with("iss", json!("somebody")), invalid),
        ("no issuer", without("iss"), invalid),
        ("a playback token", with("typ", json!("playback")), invalid),
        ("no kind", without("typ"), invalid),
        ("no end", without("exp"), invalid),
        ("no session", without("sid"), invalid),
        ("the end was before", with("exp", json!(past)), (401, "token_expired")),
        ("somebody else's session", with("sub", json!(bob.id)), (401, "session_revoked")),
        ("a session that never was", with("sid", json!(Uuid::now_v7())), (401, "session_revoked")),
        ("a refresh token", ana.refresh.clone(), invalid),
        ("nothing", String::new(), (401, "unauthenticated")),
        ("dots", "..".to_owned(), invalid),
        ("a long one", "x".repeat(2_000), invalid),
    ] {
        let asked =
            api.request(Method::GET, "/api/users/me").header("authorization", format!("Bearer {token}"));
        assert_eq!(send(asked).await.refusal(), refusal, "{what}");
    }
    // What the header brings along is not looked at.
    for header in [
        json!({ "alg": "HS256", "kid": "../../dev/null" }),
        json!({ "alg": "HS256", "jku": "https://evil.test/keys" }),
    ] {
        let token = under(&header, &good);
        let asked = api.request(Method::GET, "/api/users/me").bearer_auth(token);
        assert_eq!(send(asked).await.json["id"], ana.id.as_str(), "{header}");
    }
    for scheme in ["Basic", "Token", "bearer:", ""] {
        let asked = api.request(Method::GET, "/api/users/me");
        let asked = asked.header("authorization", format!("{scheme} {}", ana.access));
        assert_eq!(send(asked).await.refusal(), (401, "unauthenticated"), "{scheme}");
    }
    let stream = bob.goes_live().await;
    let (mut peer, _) = Peer::join(&api, stream).await;
    let none = made_up(&json!({ "alg": "none" }), &good, "");
    let answer = peer.ask("authenticate", json!({ "token": none })).await;
    assert_eq!((&answer["ok"], &answer["code"]), (&json!(false), &json!("token_invalid")), "{answer}");
}

#[tokio::test]
async fn an_access_token_in_an_address_logs_nobody_in() {
    let api = Running::start().await;
    let ana = api.register_admin("ana").await;
    let mut tried = 0;
    for (method, path, operation) in operations() {
        if operation["x-caudal-auth"] == "anonymous" {
            continue;
        }
        tried += 1;
        let path: String = path
            .split('/')
            .map(|part| if part.starts_with('{') { "x" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        for name in ["access_token", "token", "accessToken", "authorization", "jwt"] {
            let asked = api.request(method.clone(), &format!("{path}?{name}={}", ana.access));
            let answer = send(asked).await;
            let refused = [(401, "unauthenticated"), (400, "malformed")].contains(&answer.refusal());
            assert!(refused, "{method} {path}?{name}: {}", answer.json);
        }
    }
    assert!(tried > 50, "{tried}");
}
