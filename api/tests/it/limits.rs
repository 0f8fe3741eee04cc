//! How often anybody may ask.

use caudal_api::Limits;
use reqwest::Method;
use serde_json::json;

use crate::running::{PASSWORD, Running, send};

const FEW: Limits = Limits { requests_a_minute: 5, attempts_a_minute: 3 };

#[tokio::test]
async fn the_request_after_the_last_one_allowed_is_refused_and_told_when_to_come_back() {
    let api = Running::start_with(|config| config.limits = FEW).await;
    for left in (0..5).rev() {
        let answer = api.get("/api/streams").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"requests\";q=5;w=60");
        assert!(answer.header("ratelimit").starts_with(&format!("\"requests\";r={left};t=")));
    }
    let answer = api.get("/api/streams").await;
    assert_eq!(answer.refusal(), (429, "rate_limited"));
    let wait: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert_eq!(answer.json["detail"], format!("too many requests; wait {wait} s"));
}

#[tokio::test]
async fn people_are_counted_one_by_one_wherever_they_come_from() {
    let api = Running::start_with(|config| config.limits.requests_a_minute = 4).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    for _ in 0..4 {
        assert_eq!(ana.get("/api/streams").await.status, 200);
    }
    assert_eq!(ana.get("/api/streams").await.status, 429);
    assert_eq!(bob.get("/api/streams").await.status, 200);
    assert_eq!(api.get("/api/streams").await.status, 200);
}

#[tokio::test]
async fn a_password_is_not_guessed_a_thousand_times() {
    let api = Running::start_with(|config| config.limits.attempts_a_minute = 3).await;
    api.register("ana").await;
    let guess =
        |login: &'static str| api.post("/api/auth/login", json!({"login": login, "password": "guess guess"}));
    for login in ["ana", "ANA", "ana"] {
        assert_eq!(guess(login).await.status, 401);
    }
    let refused = guess("ana").await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("ratelimit-policy").starts_with("\"attempts\";q=3"));
    // Not even the right one.
    assert_eq!(api.post("/api/auth/login", json!({"login": "ana", "password": PASSWORD})).await.status, 429);
    // Somebody else at the same address is not locked out.
    assert_eq!(guess("bob").await.status, 401);
}

#[tokio::test]
async fn accounts_are_not_made_by_the_dozen() {
    let api = Running::start_with(|config| config.limits.attempts_a_minute = 3).await;
    for name in ["ana", "bob", "eve"] {
        api.register(name).await;
    }
    let body = json!({"username": "kim", "email": "kim@example.test", "password": PASSWORD});
    assert_eq!(api.post("/api/auth/register", body).await.status, 429);
}

#[tokio::test]
async fn router_controller_and_pages_are_not_limited() {
    let api = Running::start_with(|config| config.limits = FEW).await;
    for _ in 0..20 {
        assert!(api.authorize("nonsense").await.is_err());
        assert_eq!(api.get("/").await.status, 404);
    }
}

#[tokio::test]
async fn a_forwarded_address_counts_only_when_a_trusted_proxy_names_it() {
    for (proxies, second) in [("", 429), ("127.0.0.0/8", 200)] {
        let api = Running::start_with(|config| {
            config.limits.requests_a_minute = 1;
            config.trusted_proxies = proxies.parse().unwrap();
        })
        .await;
        let from = |address: &'static str| {
            send(api.request(Method::GET, "/api/streams").header("x-forwarded-for", address))
        };
        assert_eq!(from("198.51.100.1").await.status, 200);
        assert_eq!(from("198.51.100.2").await.status, second, "{proxies}");
        assert_eq!(from("198.51.100.1").await.status, 429);
    }
}

#[tokio::test]
async fn a_school_that_watches_does_not_lock_itself_out() {
    let api = Running::start_with(|config| config.limits = Limits::default()).await;
    let live = api.register("ana").await.goes_live().await;
    let path = format!("/api/streams/{live}");
    // Fifty pages for two minutes, all of it at once.
    for _ in 0..200 {
        assert_eq!(api.get(&path).await.status, 200);
    }
    // The next visitor from there finds everything else as if nobody had watched.
    let answer = api.get("/api/streams").await;
    assert_eq!((answer.status.as_u16(), answer.header("ratelimit-policy")), (200, "\"requests\";q=100;w=60"));
    assert_eq!(api.get(&path).await.header("ratelimit-policy"), "\"watching\";q=3000;w=60");
    // Changing something is no watching.
    let change = send(api.request(Method::PATCH, &path).json(&json!({"title": "Mine"}))).await;
    assert_eq!(change.header("ratelimit-policy"), "\"requests\";q=100;w=60");
}

#[tokio::test]
async fn watching_has_its_limit_too() {
    let api = Running::start_with(|config| config.limits.requests_a_minute = 1).await;
    let path = format!("/api/streams/{}", uuid::Uuid::now_v7());
    let mut answers = Vec::new();
    for _ in 0..40 {
        answers.push(api.get(&path).await.status.as_u16());
    }
    assert!(answers.contains(&429), "{answers:?}");
}
