//! Who watches, as the api counts it: by sockets, by beacons, and by what edges see besides.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use caudal_directory::Audience as _;
use caudal_livestream::StreamId;
use chrono::{TimeDelta, Utc};
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::{Answer, Person, Running, send};

/// A browser's tab in a room.
struct Tab(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Tab {
    /// With the cookie that was given to it, if it had none.
    async fn open(api: &Running, stream: StreamId, cookie: Option<&str>) -> (Self, Option<String>) {
        let url = format!("{}/ws/chat/{stream}", api.url.replace("http", "ws"));
        let mut request = url.into_client_request().unwrap();
        if let Some(cookie) = cookie {
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
        }
        let (socket, answer) = connect_async(request).await.unwrap();
        let given = answer.headers().get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
        let mut tab = Self(socket);
        tab.hear("joined").await;
        (tab, given)
    }

    async fn hear(&mut self, event: &str) -> Value {
        let heard = async {
            loop {
                let Message::Text(text) = self.0.next().await.unwrap().unwrap() else { continue };
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["event"] == event {
                    return frame["data"].clone();
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap_or_else(|_| panic!("no {event}"))
    }

    async fn authenticate(&mut self, token: &str) {
        assert_eq!(self.ask("authenticate", json!({ "token": token })).await["ok"], true);
    }

    async fn ask(&mut self, event: &str, data: Value) -> Value {
        use futures::SinkExt as _;
        let frame = json!({ "event": event, "data": data, "id": 1 });
        self.0.send(frame.to_string().into()).await.unwrap();
        self.hear("ack").await
    }
}

/// What a browser sends back of what it was given.
fn sent_back(given: &str) -> String {
    given.split(';').next().unwrap().to_owned()
}

async fn beacon(api: &Running, stream: StreamId, cookie: Option<&str>) -> Answer {
    let mut request = api.request(Method::POST, &format!("/api/streams/{stream}/watching"));
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    send(request).await
}

/// Tells in the same way what is on the screen.
async fn plays(api: &Running, stream: StreamId, cookie: &str, body: &Value) -> Answer {
    let request = api.request(Method::POST, &format!("/api/streams/{stream}/watching"));
    send(request.header("cookie", cookie).json(body)).await
}

/// The PROGRAM-DATE-TIME of what was received so long ago.
fn received(ms_ago: i64) -> Value {
    json!((Utc::now() - TimeDelta::milliseconds(ms_ago)).to_rfc3339())
}

/// Until the figures have a mean latency of so many milliseconds: of the platform, and of its one stream.
async fn until_latency(boss: &Person<'_>, expected: RangeInclusive<u64>) {
    let mut last = Value::Null;
    let told = async {
        loop {
            last = boss.get("/api/admin/figures").await.json;
            let means = [&last["meanLatencyMs"], &last["streams"][0]["meanLatencyMs"]];
            if means.iter().all(|mean| mean.as_u64().is_some_and(|mean| expected.contains(&mean))) {
                return;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(20), told).await;
    assert!(told.is_ok(), "{last} is not in {expected:?}");
}

async fn until_viewers(api: &Running, stream: StreamId, count: u32) {
    let mut last = Value::Null;
    let counted = async {
        while last != count {
            last = api.stream(stream).await["viewerCount"].clone();
        }
    };
    let counted = tokio::time::timeout(Duration::from_secs(20), counted).await;
    assert!(counted.is_ok(), "{last} instead of {count}");
}

async fn is_counted_in_the_database(api: &Running, stream: StreamId, count: i32) {
    let counted = async {
        while sqlx::query_scalar::<_, i32>("select viewer_count from streams where id = $1")
            .bind(stream.0)
            .fetch_one(&api.database.pool)
            .await
            .unwrap()
            != count
        {}
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.expect("it is not written");
}

#[tokio::test]
async fn two_tabs_of_a_person_count_once_and_everybody_who_watches_in_any_way_does() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    let (mut one, _) = Tab::open(&api, stream, None).await;
    one.authenticate(&bob.access).await;
    // On another device.
    let (mut other, _) = Tab::open(&api, stream, None).await;
    other.authenticate(&bob.access).await;
    until_viewers(&api, stream, 1).await;
    // Where sockets fail too.
    let watching = format!("/api/streams/{stream}/watching");
    let said = send(bob.request(Method::POST, &watching)).await;
    assert_eq!((said.status.as_u16(), said.header("set-cookie")), (204, ""));
    until_viewers(&api, stream, 1).await;
    let (stranger, _) = Tab::open(&api, stream, None).await;
    until_viewers(&api, stream, 2).await;
    // A player that is no page, which the edge tells of.
    api.audience.record(stream, 1);
    until_viewers(&api, stream, 3).await;
    while one.hear("viewer_count").await["count"] != 3 {}
    is_counted_in_the_database(&api, stream, 3).await;
    // Bob's beacon counts for a while; the stranger had none.
    drop((one, other));
    drop(stranger);
    until_viewers(&api, stream, 2).await;
}

#[tokio::test]
async fn a_browser_is_one_viewer_by_the_cookie_that_it_was_given() {
    let api = Running::start().await;
    let stream = api.register("ana").await.goes_live().await;
    let (first, given) = Tab::open(&api, stream, None).await;
    let given = given.unwrap();
    assert!(given.contains("; HttpOnly; SameSite=Lax") && !given.contains("Secure"), "{given}");
    let cookie = sent_back(&given);
    let (second, again) = Tab::open(&api, stream, Some(&cookie)).await;
    assert_eq!(again, None, "it has one");
    assert_eq!(beacon(&api, stream, Some(&cookie)).await.status, 204);
    until_viewers(&api, stream, 1).await;
    let (made_up, other) = Tab::open(&api, stream, Some("caudal_viewer=made-up")).await;
    assert_ne!(sent_back(&other.unwrap()), cookie);
    until_viewers(&api, stream, 2).await;
    drop(made_up);
    drop((first, second));
    until_viewers(&api, stream, 1).await;
}

#[tokio::test]
async fn a_beacon_counts_whoever_shows_a_number_of_ours_and_few_of_one_address() {
    let api = Running::start().await;
    let stream = api.register("ana").await.goes_live().await;
    let mut numbers = Vec::new();
    for _ in 0..30 {
        let given = beacon(&api, stream, None).await;
        assert_eq!(given.status, 204);
        numbers.push(sent_back(given.header("set-cookie")));
    }
    for made_up in ["caudal_viewer=", "caudal_viewer=00", &format!("caudal_viewer={}", "0".repeat(64))] {
        assert_eq!(beacon(&api, stream, Some(made_up)).await.status, 204);
    }
    assert_eq!(api.stream(stream).await["viewerCount"], 0, "nobody has come back with a number");
    for cookie in &numbers {
        let again = beacon(&api, stream, Some(cookie)).await;
        assert_eq!((again.status.as_u16(), again.header("set-cookie")), (204, ""));
    }
    assert_eq!(api.stream(stream).await["viewerCount"], 20);
}

#[tokio::test]
async fn a_beacon_is_for_a_stream_that_exists_and_counts_as_watching() {
    let api = Running::start_with(|config| config.limits = caudal_api::Limits::default()).await;
    let nowhere = StreamId::generate();
    assert_eq!(beacon(&api, nowhere, None).await.refusal(), (404, "not_found"));
    let answer = send(api.request(Method::POST, "/api/streams/me/watching")).await;
    assert_eq!(answer.refusal(), (404, "not_found"));
    assert_eq!(answer.header("ratelimit-policy"), "\"watching\";q=3000;w=60");
    let strict = Running::start_with(|config| config.limits.requests_a_minute = 1).await;
    let mut answers = Vec::new();
    for _ in 0..40 {
        answers.push(beacon(&strict, nowhere, None).await.status.as_u16());
    }
    assert!(answers.contains(&429), "{answers:?}");
}

async fn two(redis: &RedisServer) -> (Running, Running) {
    let database = Arc::new(TestDatabase::create().await);
    let on = |config: &mut caudal_api::Config| config.redis_url = Some(redis.url().into());
    tokio::join!(Running::replica(Arc::clone(&database), on), Running::replica(Arc::clone(&database), on))
}

#[tokio::test]
async fn replicas_agree_on_who_watches() {
    let redis = RedisServer::start();
    let (one, other) = two(&redis).await;
    let stream = one.register("ana").await.goes_live().await;
    let (here, given) = Tab::open(&one, stream, None).await;
    let (there, _) = Tab::open(&other, stream, Some(&sent_back(&given.unwrap()))).await;
    let (stranger, _) = Tab::open(&other, stream, None).await;
    for api in [&one, &other] {
        until_viewers(api, stream, 2).await;
    }
    drop(stranger);
    for api in [&one, &other] {
        until_viewers(api, stream, 1).await;
    }
    drop((here, there));
    for api in [&one, &other] {
        until_viewers(api, stream, 0).await;
    }
}

#[tokio::test]
async fn two_viewers_at_two_replicas_have_one_mean_latency_in_the_figures_of_both() {
    let redis = RedisServer::start();
    let (one, other) = two(&redis).await;
    let boss = one.register_admin("boss").await;
    let stream = one.register("ana").await.goes_live().await;
    let (mut here, _) = Tab::open(&one, stream, None).await;
    let cookie = sent_back(beacon(&other, stream, None).await.header("set-cookie"));
    let began = Instant::now();
    assert_eq!(here.ask("watching", json!({ "playhead": received(1_000) })).await["ok"], true);
    let there = plays(&other, stream, &cookie, &json!({ "playhead": received(3_000) })).await;
    assert_eq!(there.status, 204);
    // The way to the api counts.
    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
    for api in [&one, &other] {
        until_latency(&Person { api, ..boss.clone() }, 2_000..=2_001 + took).await;
    }
    // Whoever leaves takes theirs along.
    drop(here);
    for api in [&one, &other] {
        until_latency(&Person { api, ..boss.clone() }, 3_000..=3_001 + took).await;
    }
}

#[tokio::test]
async fn what_cannot_be_on_a_screen_is_refused_or_counts_as_nothing() {
    let registry = prometheus::Registry::new();
    let api = Running::start_with(|config| config.registry = registry.clone()).await;
    let boss = api.register_admin("boss").await;
    let stream = api.register("ana").await.goes_live().await;
    let (mut tab, given) = Tab::open(&api, stream, None).await;
    let cookie = sent_back(&given.unwrap());
    for nonsense in
        [json!(-1), json!(1e300), json!(2_345), json!("NaN"), json!("-1"), json!(""), json!({}), json!(true)]
    {
        let refused = tab.ask("watching", json!({ "playhead": nonsense })).await;
        assert_eq!((&refused["ok"], &refused["code"]), (&json!(false), &json!("malformed")), "{nonsense}");
        let refused = plays(&api, stream, &cookie, &json!({ "playhead": nonsense })).await;
        assert_eq!(refused.refusal(), (422, "invalid"), "{nonsense}");
    }
    assert_eq!(tab.ask("watching", json!({})).await["code"], "malformed");
    assert_eq!(plays(&api, stream, &cookie, &json!({ "latencyMs": 1 })).await.refusal(), (422, "invalid"));
    for far_off in
        [json!("1970-01-01T00:00:00Z"), json!("9999-12-31T23:59:59Z"), received(61_000), received(-60_000)]
    {
        assert_eq!(tab.ask("watching", json!({ "playhead": far_off })).await["ok"], true, "{far_off}");
        assert_eq!(
            plays(&api, stream, &cookie, &json!({ "playhead": far_off })).await.status,
            204,
            "{far_off}"
        );
    }
    let nobody = plays(&api, stream, "a=b", &json!({ "playhead": received(9_000) })).await;
    assert_eq!(nobody.status, 204, "somebody new, who does not count before they come back");
    assert_eq!(boss.get("/api/admin/figures").await.json["meanLatencyMs"], Value::Null);
    let began = Instant::now();
    assert_eq!(tab.ask("watching", json!({ "playhead": received(5_000) })).await["ok"], true);
    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
    assert_eq!(tab.ask("watching", json!({ "playhead": received(50_000) })).await["ok"], true, "too soon");
    until_latency(&boss, 5_000..=5_001 + took).await;
    let metrics = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(metrics.contains("\ncaudal_api_viewer_latency_seconds_count 1\n"), "{metrics}");
}
