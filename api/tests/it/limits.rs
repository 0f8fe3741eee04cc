//! How often anybody may ask.

use std::time::Instant;

use caudal_api::Limits;
use reqwest::Method;
use serde_json::json;

use crate::running::{Answer, PASSWORD, Person, Running, send};

/// Half of them at once, and one more each 12 s.
const FEW: Limits = Limits { requests_a_minute: 10, attempts_a_minute: 3 };

#[tokio::test]
async fn the_request_after_the_last_one_allowed_is_refused_and_told_when_to_come_back() {
    let api = Running::start_with(|config| config.limits = FEW).await;
    for left in (0..5).rev() {
        let answer = api.get("/api/streams?q=ana").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"requests\";q=10;w=60");
        assert!(answer.header("ratelimit").starts_with(&format!("\"requests\";r={left};t=")));
    }
    let answer = api.get("/api/streams?q=ana").await;
    assert_eq!(answer.refusal(), (429, "rate_limited"));
    let wait: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    assert_eq!(answer.json["detail"], format!("too many requests; wait {wait} s"));
}

/// Everybody's address is what they say it is.
async fn behind_a_proxy(limits: Limits) -> Running {
    Running::start_with(|config| {
        config.limits = limits;
        config.trusted_proxies = "127.0.0.0/8".parse().unwrap();
    })
    .await
}

#[tokio::test]
async fn a_token_brings_no_second_limit_to_an_address() {
    let api = Running::start_with(|config| config.limits.requests_a_minute = 20).await;
    let ana = api.register("ana").await;
    for _ in 0..4 {
        assert_eq!(ana.get("/api/streams?q=ana").await.status, 200);
        assert_eq!(api.get("/api/streams?q=ana").await.status, 200);
    }
    assert_eq!(ana.get("/api/streams?q=ana").await.status, 200);
    assert_eq!(ana.get("/api/streams?q=ana").await.status, 429);
    assert_eq!(api.get("/api/streams?q=ana").await.status, 429);
}

#[tokio::test]
async fn ten_accounts_at_one_address_have_no_ten_limits() {
    let api = Running::start_with(|config| config.limits.requests_a_minute = 20).await;
    let begun = Instant::now();
    let (ana, bob, eve) = (api.register("ana").await, api.register("bob").await, api.register("eve").await);
    let mut answered = 0;
    for person in [&ana, &bob, &eve] {
        for _ in 0..10 {
            answered += usize::from(person.get("/api/streams?q=ana").await.status == 200);
        }
    }
    // A machine that is busy may take longer than the 6 s after which there is one more.
    let refilled = usize::try_from(begun.elapsed().as_secs() / 6).unwrap();
    assert!((7..=7 + refilled).contains(&answered), "{answered}, of which {refilled} were refilled");
}

#[tokio::test]
async fn a_person_is_one_wherever_they_come_from_and_leaves_room_for_others_there() {
    let api = behind_a_proxy(Limits { requests_a_minute: 12, attempts_a_minute: 10 }).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let from = async |person: &Person<'_>, address: &str| {
        send(person.request(Method::GET, "/api/streams?q=ana").header("x-forwarded-for", address))
            .await
            .status
    };
    for _ in 0..3 {
        assert_eq!(from(&ana, "198.51.100.1").await, 200);
        assert_eq!(from(&ana, "198.51.100.2").await, 200);
    }
    // What is refused for the person's sake costs the address nothing.
    for _ in 0..20 {
        assert_eq!(from(&ana, "198.51.100.1").await, 429);
    }
    assert_eq!(from(&bob, "198.51.100.1").await, 200);
}

async fn login(api: &Running, login: &str, password: &str, address: &str) -> Answer {
    let body = json!({"login": login, "password": password});
    send(api.request(Method::POST, "/api/auth/login").header("x-forwarded-for", address).json(&body)).await
}

#[tokio::test]
async fn a_name_written_in_other_ways_has_one_limit() {
    let api = Running::start_with(|config| config.limits.attempts_a_minute = 5).await;
    api.register("kim").await;
    let spellings = ["kim", "KIM", "\u{212a}im", "ｋｉｍ", "KiM"];
    for spelling in spellings {
        assert_eq!(login(&api, spelling, "guess guess", "").await.status, 401, "{spelling}");
    }
    for spelling in spellings {
        assert_eq!(login(&api, spelling, PASSWORD, "").await.status, 429, "{spelling}");
    }
}

#[tokio::test]
async fn limits_do_not_tell_which_address_belongs_to_which_name() {
    let api = Running::start_with(|config| config.limits.attempts_a_minute = 5).await;
    api.register("kim").await;
    for _ in 0..6 {
        login(&api, "kim", "guess guess", "").await;
    }
    assert_eq!(login(&api, "kim", "guess guess", "").await.status, 429);
    let [hers, nobodys] = [
        login(&api, "kim@example.test", "guess guess", "").await,
        login(&api, "no@example.test", "guess guess", "").await,
    ];
    for answer in [&hers, &nobodys] {
        assert_eq!(answer.status, 401);
        assert!(
            answer.header("ratelimit").starts_with("\"attempts\";r=4;"),
            "{}",
            answer.header("ratelimit")
        );
    }
}

#[tokio::test]
async fn a_letter_that_only_some_lowercase_into_the_name_is_another_name() {
    let api = Running::start().await;
    api.register("martin").await;
    for other in ["mart\u{130}n", "mart\u{131}n", "MART\u{130}N", "marti\u{307}n"] {
        assert_eq!(login(&api, other, PASSWORD, "").await.refusal(), (401, "wrong_credentials"), "{other}");
    }
    assert_eq!(login(&api, "MARTIN", PASSWORD, "").await.status, 200);
}

#[tokio::test]
async fn a_thousand_addresses_guess_no_faster_than_thirty_and_do_not_lock_the_owner_out_at_home() {
    let api = behind_a_proxy(Limits { requests_a_minute: 1_000_000, attempts_a_minute: 3 }).await;
    let body = json!({"username": "ana", "email": "ana@example.test", "password": PASSWORD});
    let home = "198.51.100.1";
    let registered =
        send(api.request(Method::POST, "/api/auth/register").header("x-forwarded-for", home).json(&body));
    assert_eq!(registered.await.status, 201);
    for n in 0..100 {
        let name = if n % 2 == 0 { "ana" } else { "ANA" };
        let answer = login(&api, name, "guess guess", &format!("203.0.113.{n}")).await;
        assert_eq!(answer.status, if n < 30 { 401 } else { 429 }, "{n}");
        if n >= 30 {
            assert_eq!(answer.header("ratelimit-policy"), "\"attempts-by-strangers\";q=30;w=3600");
        }
    }
    // A new place has to wait like the strangers; home does not.
    assert_eq!(login(&api, "ana", PASSWORD, "203.0.113.200").await.status, 429);
    assert_eq!(login(&api, "ana", PASSWORD, home).await.status, 200);
    // Names of nobody are counted in the same way, so that limits do not tell which accounts exist.
    for n in 0..31 {
        let answer = login(&api, "nobody", "guess guess", &format!("203.0.113.{n}")).await;
        assert_eq!(answer.status, if n < 30 { 401 } else { 429 }, "{n}");
    }
}

#[tokio::test]
async fn an_owner_at_home_is_known_by_the_network_of_an_ipv6_address() {
    let api = behind_a_proxy(Limits { requests_a_minute: 1_000_000, attempts_a_minute: 3 }).await;
    let body = json!({"username": "ana", "email": "ana@example.test", "password": PASSWORD});
    let registered = send(
        api.request(Method::POST, "/api/auth/register").header("x-forwarded-for", "2001:db8::1").json(&body),
    );
    assert_eq!(registered.await.status, 201);
    for n in 0..31 {
        login(&api, "ana", "guess guess", &format!("203.0.113.{n}")).await;
    }
    assert_eq!(login(&api, "ana", PASSWORD, "2001:db8::abcd:1").await.status, 200);
    assert_eq!(login(&api, "ana", PASSWORD, "2001:db8:0:1::1").await.status, 429);
}

#[tokio::test]
async fn one_address_does_not_try_one_password_at_every_account() {
    let api = Running::start_with(|config| config.limits.attempts_a_minute = 3).await;
    for n in 0..10 {
        let answer = login(&api, &format!("person{n}"), "password1", "").await;
        assert_eq!(answer.status, if n < 9 { 401 } else { 429 }, "{n}");
    }
}

#[tokio::test]
async fn whoever_found_an_open_browser_does_not_guess_the_password_from_everywhere() {
    let api = behind_a_proxy(Limits { requests_a_minute: 1_000_000, attempts_a_minute: 3 }).await;
    let ana = api.register("ana").await;
    for n in 0..4 {
        let request = ana.request(Method::POST, "/api/auth/stream-key/rotate");
        let request = request.header("x-forwarded-for", format!("203.0.113.{n}"));
        let answer = send(request.json(&json!({"password": "guess guess"}))).await;
        assert_eq!(answer.status, if n < 3 { 403 } else { 429 }, "{n}");
    }
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
            send(api.request(Method::GET, "/api/streams?q=ana").header("x-forwarded-for", address))
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
    for path in [&path, "/api/streams", "/api/streams?sort=recent"] {
        for _ in 0..200 {
            assert_eq!(api.get(path).await.status, 200);
        }
    }
    // The next visitor from there finds everything else as if nobody had watched.
    for search in ["/api/streams?sort=recent&q=ana", "/api/streams?%71=ana"] {
        let answer = api.get(search).await;
        let counted = (answer.status.as_u16(), answer.header("ratelimit-policy"));
        assert_eq!(counted, (200, "\"requests\";q=100;w=60"), "{search}");
    }
    assert_eq!(api.get(&path).await.header("ratelimit-policy"), "\"watching\";q=3000;w=60");
    // Changing something is no watching.
    let change = send(api.request(Method::PATCH, &path).json(&json!({"title": "Mine"}))).await;
    assert_eq!(change.header("ratelimit-policy"), "\"requests\";q=100;w=60");
}

#[tokio::test]
async fn a_streamer_with_many_watch_pages_open_is_not_locked_out_of_the_studio() {
    let api = Running::start_with(|config| config.limits = Limits::default()).await;
    let ana = api.register("ana").await;
    let path = format!("/api/streams/{}", ana.goes_live().await);
    for _ in 0..200 {
        assert_eq!(ana.get(&path).await.status, 200);
    }
    let answer = ana.get("/api/streams?q=ana").await;
    assert_eq!((answer.status.as_u16(), answer.header("ratelimit-policy")), (200, "\"requests\";q=100;w=60"));
    assert_eq!(ana.get(&path).await.header("ratelimit-policy"), "\"watching\";q=3000;w=60");
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
