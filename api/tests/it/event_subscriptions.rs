//! Servers of others are told what happens: signed, once where they answer, and never where only we can reach.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::log_listener::LogListener;
use crate::running::{Answer, PASSWORD, Person, Running, pages, send};
use crate::webhook_receiver::{Heard, Receiver, Reply};

const PATH: &str = "/api/event-subscriptions";
const SECRET: &str = "s3cret-of-ana's-bot";

/// With servers that it may send to.
async fn telling(receivers: &[&Receiver]) -> Running {
    let hosts = receivers.iter().map(|receiver| receiver.host.parse().unwrap()).collect();
    Running::start_with(|config| config.webhook_hosts = hosts).await
}

async fn ask(person: &Person<'_>, callback: &str, types: &[&str], streamer: Option<&str>) -> Answer {
    let condition = streamer.map_or(json!({}), |id| json!({ "streamerId": id }));
    let body = json!({ "callback": callback, "types": types, "secret": SECRET, "condition": condition });
    person.post(PATH, body).await
}

/// Asks, and waits for what comes of the challenge.
async fn subscribe(person: &Person<'_>, callback: &str, types: &[&str], streamer: Option<&str>) -> Value {
    let asked = ask(person, callback, types, streamer).await;
    assert_eq!((asked.status.as_u16(), &asked.json["status"]), (202, &json!("pending")), "{}", asked.json);
    settled(person.api).await;
    let shown = person.get(asked.header("location")).await;
    assert_eq!(shown.status, 200);
    shown.json
}

async fn enabled(person: &Person<'_>, receiver: &Receiver, types: &[&str], streamer: Option<&str>) -> String {
    let shown = subscribe(person, &receiver.url, types, streamer).await;
    assert_eq!(shown["status"], "enabled", "{shown}");
    path_of(&shown)
}

fn path_of(subscription: &Value) -> String {
    format!("{PATH}/{}", subscription["id"].as_str().unwrap())
}

/// Until there is nothing left to do.
async fn settled(api: &Running) {
    api.database.says("select count(*) = 0 from outbox").await;
}

/// As if the time of the next tries had come.
async fn next_try(api: &Running) {
    api.database
        .execute("update outbox set next_at = now() where next_at > now() and last_error is not null")
        .await;
}

fn sent_at(heard: &Heard) -> DateTime<Utc> {
    heard.header("caudal-message-timestamp").parse().unwrap()
}

#[tokio::test]
async fn a_server_that_agrees_is_told_what_happens_in_a_channel() {
    let receiver = Receiver::start().await;
    let api = telling(&[&receiver]).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let own = enabled(&ana, &receiver, &["new_follower", "stream_updated", "new_follower"], None).await;
    let others = enabled(&bob, &receiver, &["stream_started", "stream_ended"], Some(&ana.id)).await;
    let challenged = receiver.has_heard(2).await;
    assert_eq!(challenged[0].kind(), "webhook_callback_verification");
    assert!(challenged[0].is_signed_with(SECRET) && !challenged[0].is_signed_with("another"));
    let subscription = &challenged[0].body["subscription"];
    assert_eq!(subscription["types"], json!(["stream_updated", "new_follower"]));
    assert_eq!(subscription["condition"], json!({ "streamerId": ana.id }));

    let begun = Utc::now();
    let stream = ana.goes_live().await;
    let started = receiver.has_heard(3).await.remove(2);
    assert_eq!(started.kind(), "notification");
    assert_eq!(started.header("content-type"), "application/json");
    assert!(started.header("user-agent").starts_with("Caudal/"), "{}", started.header("user-agent"));
    assert_eq!(started.header("caudal-message-retry"), "0");
    assert!(started.is_signed_with(SECRET) && sent_at(&started) > begun - Duration::from_secs(1));
    let streamer = json!({ "id": ana.id, "username": "ana", "displayName": null, "avatar": null });
    assert_eq!(
        started.body,
        json!({
            "subscription": {
                "id": others.rsplit('/').next(), "type": "stream_started", "condition": { "streamerId": ana.id },
            },
            "event": { "streamId": stream, "streamer": streamer, "title": "ana's stream" },
        })
    );
    let changed = ana.patch(&format!("/api/streams/{stream}"), json!({ "title": "Songs" })).await;
    assert_eq!(changed.status, 200);
    let updated = receiver.has_heard(4).await.remove(3);
    assert_eq!(updated.body["subscription"]["type"], "stream_updated");
    assert_eq!(updated.body["event"], json!({ "streamId": stream, "title": "Songs", "categories": [] }));
    assert_eq!(bob.post(&format!("/api/users/{}/follow", ana.id), json!({})).await.status, 204);
    let followed = receiver.has_heard(5).await.remove(4);
    assert_eq!(followed.body["subscription"]["id"], json!(own.rsplit('/').next()));
    assert_eq!(followed.body["event"]["user"]["username"], "bob");
    api.done(stream, "unpublished").await;
    let ended = receiver.has_heard(6).await.remove(5);
    assert_eq!(ended.body["subscription"]["type"], "stream_ended");
    let ended_at = api.stream(stream).await["endedAt"].clone();
    assert_eq!(
        ended.body["event"],
        json!({ "streamId": stream, "endedAt": ended_at, "reason": "unpublished" })
    );

    // Nothing of other channels, of what is only prepared, and nothing any more once it is removed.
    bob.goes_live().await;
    let prepared = ana.post("/api/streams", json!({ "title": "Tomorrow" })).await;
    let prepared = format!("/api/streams/{}", prepared.json["id"].as_str().unwrap());
    assert_eq!(ana.patch(&prepared, json!({ "title": "Next week" })).await.status, 200);
    assert_eq!(bob.delete(&others).await.status, 204);
    assert_eq!(bob.get(&others).await.refusal(), (404, "not_found"));
    ana.goes_live().await;
    settled(&api).await;
    assert_eq!(receiver.heard().len(), 6);
}

#[tokio::test]
async fn a_server_that_does_not_repeat_the_challenge_is_told_nothing() {
    let receiver = Receiver::start().await;
    let host = receiver.host.parse().unwrap();
    let api = Running::start_with(|config| {
        config.webhook_hosts = [host].into_iter().collect();
        config.deadlines.webhook = Duration::from_secs(1);
    })
    .await;
    let ana = api.register("ana").await;
    for (reply, reason) in [
        (Reply::Says(200, "something else"), "it did not answer with the challenge alone"),
        (Reply::Says(204, ""), "it did not answer with the challenge alone"),
        (Reply::Rambles, "it did not answer with the challenge alone"),
        (Reply::Says(500, "no"), "it answered 500 Internal Server Error"),
        (Reply::Redirects, "it answered 307 Temporary Redirect"),
        (Reply::Never, "it did not answer within 1 s"),
    ] {
        receiver.replies(&[reply]);
        let shown = subscribe(&ana, &receiver.url, &["stream_started"], None).await;
        assert_eq!(shown["status"], "verification_failed", "{reply:?}");
        assert_eq!(shown["lastFailure"]["reason"], reason, "{reply:?}");
    }
    let asked = receiver.heard().len();
    ana.goes_live().await;
    settled(&api).await;
    assert_eq!((asked, receiver.heard().len()), (6, 6));
}

#[tokio::test]
async fn a_message_that_does_not_arrive_is_sent_again_under_the_same_id() {
    let receiver = Receiver::start().await;
    let api = telling(&[&receiver]).await;
    let ana = api.register("ana").await;
    let path = enabled(&ana, &receiver, &["stream_started"], None).await;
    receiver.replies(&[Reply::Says(500, ""), Reply::Says(404, "")]);
    ana.goes_live().await;
    for (tries, reason, is_noted) in [
        (
            2,
            "it answered 500 Internal Server Error",
            "select last_error like '%500 Internal Server Error' and next_at > now() + interval '5 s' from outbox",
        ),
        (
            3,
            "it answered 404 Not Found",
            "select last_error like '%404 Not Found' and next_at > now() + interval '5 s' from outbox",
        ),
    ] {
        receiver.has_heard(tries).await;
        api.database.says(is_noted).await;
        let shown = ana.get(&path).await.json;
        assert_eq!((&shown["status"], &shown["lastFailure"]["reason"]), (&json!("enabled"), &json!(reason)));
        assert!(shown["failingSince"].is_string(), "{shown}");
        next_try(&api).await;
    }
    settled(&api).await;
    let heard = receiver.has_heard(4).await;
    assert_eq!(heard.len(), 4);
    let [first, second, third] = [&heard[1], &heard[2], &heard[3]];
    assert!(first.id() == second.id() && second.id() == third.id() && !first.id().is_empty());
    assert_ne!(first.id(), heard[0].id());
    assert_eq!([first, second, third].map(|try_| try_.header("caudal-message-retry")), ["0", "1", "2"]);
    assert!(sent_at(first) < sent_at(third) && third.is_signed_with(SECRET));
    assert_eq!(first.body, third.body);
    assert_eq!(ana.get(&path).await.json["failingSince"], Value::Null);
}

#[tokio::test]
async fn whoever_answers_gone_is_told_nothing_any_more() {
    let receiver = Receiver::start().await;
    let api = telling(&[&receiver]).await;
    let ana = api.register("ana").await;
    let path = enabled(&ana, &receiver, &["stream_started", "stream_ended"], None).await;
    receiver.replies(&[Reply::Says(410, "")]);
    let stream = ana.goes_live().await;
    settled(&api).await;
    let shown = ana.get(&path).await.json;
    assert_eq!(shown["status"], "notification_failures_exceeded", "{shown}");
    api.done(stream, "unpublished").await;
    settled(&api).await;
    assert_eq!(receiver.heard().len(), 2);
}

#[tokio::test]
async fn a_server_that_is_away_for_days_is_given_up_and_not_an_admin_s_business() {
    let receiver = Receiver::start().await;
    let api = telling(&[&receiver]).await;
    let ana = api.register("ana").await;
    let path = enabled(&ana, &receiver, &["stream_started"], None).await;
    for (days, status) in [("2 days", "enabled"), ("4 days", "notification_failures_exceeded")] {
        receiver.replies(&[Reply::Says(503, ""), Reply::Says(503, "")]);
        let stream = ana.goes_live().await;
        api.database.says("select last_error = 'it answered 503 Service Unavailable' from outbox").await;
        sqlx::query("update event_subscriptions set failing_since = now() - $1::text::interval")
            .bind(days)
            .execute(&api.database.pool)
            .await
            .unwrap();
        // The thirteenth try is the last.
        api.database.execute("update outbox set attempts = 12").await;
        next_try(&api).await;
        settled(&api).await;
        assert_eq!(ana.get(&path).await.json["status"], status, "{days}");
        api.done(stream, "unpublished").await;
    }
    // For the owner to see, for a while.
    api.database.says("select count(*) = 1 from event_subscriptions").await;
    api.database.execute("update event_subscriptions set changed_at = now() - interval '31 days'").await;
    let _other = Running::replica(Arc::clone(&api.database), |_| ()).await;
    api.database.says("select count(*) = 0 from event_subscriptions").await;
}

#[tokio::test]
async fn nothing_private_is_asked_by_address_or_by_name() {
    let receiver = Receiver::start().await;
    let api = telling(&[&receiver]).await;
    let ana = api.register("ana").await;
    let elsewhere = Receiver::start().await;
    for callback in [
        elsewhere.url.as_str(),
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://ana:pw@bot.example/",
        "http://bot.example/",
        "https://bot.example:8443/",
        "ftp://bot.example/",
        "bot.example",
    ] {
        let answer = ask(&ana, callback, &["stream_started"], None).await;
        assert_eq!(answer.refusal(), (422, "invalid"), "{callback}");
        assert_eq!(answer.json["errors"][0]["pointer"], "/callback", "{callback}");
    }
    // What a name leads to is looked at when it is connected to, so a name that was public a moment ago gains nothing.
    let shown = subscribe(&ana, "https://localhost/", &["stream_started"], None).await;
    assert_eq!(shown["status"], "verification_failed");
    assert_eq!(shown["lastFailure"]["reason"], "its name leads to no address on the public internet");
    assert!(elsewhere.heard().is_empty() && receiver.heard().is_empty());
    // What an operator does not allow any more is not asked either.
    enabled(&ana, &receiver, &["stream_started"], None).await;
    let stricter = Running::replica(Arc::clone(&api.database), |_| ()).await;
    api.shutdown.cancel();
    api.database.says("select count(*) = 1 from event_subscriptions where status = 'enabled'").await;
    let closed = async {
        while api.http.get(&api.url).send().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
    let ana = Person { api: &stricter, ..ana };
    ana.goes_live().await;
    stricter
        .database
        .says("select last_error like '%is not allowed any more; expected: https alone' from outbox")
        .await;
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test]
async fn event_subscriptions_are_their_owner_s_alone_and_have_bounds() {
    let receiver = Receiver::start().await;
    let api = telling(&[&receiver]).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let path = enabled(&ana, &receiver, &["stream_started"], None).await;
    for path in [
        path.as_str(),
        "/api/event-subscriptions/x",
        "/api/event-subscriptions/00000000-0000-0000-0000-000000000000",
    ] {
        assert_eq!(bob.get(path).await.refusal(), (404, "not_found"), "{path}");
        assert_eq!(bob.delete(path).await.refusal(), (404, "not_found"), "{path}");
    }
    assert_eq!(bob.get(PATH).await.json, json!([]));
    for (method, path) in [
        (Method::GET, PATH),
        (Method::POST, PATH),
        (Method::GET, path.as_str()),
        (Method::DELETE, path.as_str()),
    ] {
        let answer = send(api.request(method.clone(), path).json(&json!({}))).await;
        assert_eq!(answer.refusal(), (401, "unauthenticated"), "{method} {path}");
    }
    let long = format!("https://bot.example/{}", "x".repeat(500));
    let url = "https://bot.example/";
    for (body, status, code) in [
        (json!({ "callback": url, "types": ["stream_started"], "secret": "123456789" }), 422, "invalid"),
        (json!({ "callback": url, "types": ["stream_started"], "secret": "x".repeat(101) }), 422, "invalid"),
        (
            json!({ "callback": url, "types": ["stream_started"], "secret": "ten letters\u{e9}" }),
            422,
            "invalid",
        ),
        (json!({ "callback": url, "types": ["stream_started"] }), 422, "invalid"),
        (json!({ "callback": url, "types": [], "secret": SECRET }), 422, "invalid"),
        (json!({ "callback": url, "types": ["new_moon"], "secret": SECRET }), 422, "invalid"),
        (json!({ "callback": url, "types": vec!["stream_ended"; 21], "secret": SECRET }), 422, "invalid"),
        (json!({ "callback": long, "types": ["stream_started"], "secret": SECRET }), 422, "invalid"),
        (
            json!({ "callback": url, "types": ["stream_started"], "secret": SECRET, "status": "enabled" }),
            422,
            "invalid",
        ),
        (
            json!({ "callback": url, "types": ["stream_started"], "secret": SECRET,
                    "condition": { "streamerId": "00000000-0000-0000-0000-000000000000" } }),
            422,
            "invalid",
        ),
        (
            json!({ "callback": url, "types": ["stream_started", "new_follower"], "secret": SECRET,
                    "condition": { "streamerId": ana.id } }),
            403,
            "forbidden",
        ),
    ] {
        let answer = bob.post(PATH, body.clone()).await;
        assert_eq!(answer.refusal(), (status, code), "{body}");
    }
    for _ in 1..25 {
        assert_eq!(ask(&ana, &receiver.url, &["stream_ended"], Some(&bob.id)).await.status, 202);
    }
    assert_eq!(ask(&ana, &receiver.url, &["stream_ended"], None).await.refusal(), (409, "too_many"));
    let all = pages(async |path| ana.get(path).await, "/api/event-subscriptions?limit=10").await;
    assert_eq!(all.len(), 25);
    assert_eq!(path_of(&all[24]), path, "the latest first");
    assert_eq!(ana.get("/api/event-subscriptions?cursor=x").await.refusal(), (422, "invalid"));
    assert_eq!(ana.get("/api/event-subscriptions?all=true").await.refusal(), (400, "malformed"));
    assert_eq!(ana.delete(&path).await.status, 204);
    assert_eq!(ask(&ana, &receiver.url, &["stream_ended"], None).await.status, 202);
}

#[tokio::test]
async fn nobody_has_us_ask_servers_again_and_again() {
    let api = Running::start_with(|config| config.limits.attempts_a_minute = 2).await;
    let ana = api.register("ana").await;
    for expected in [(422, "invalid"), (422, "invalid"), (429, "rate_limited")] {
        let answer = ask(&ana, "https://127.0.0.1/", &["stream_started"], None).await;
        assert_eq!(answer.refusal(), expected);
    }
}

#[tokio::test]
async fn subscriptions_end_with_their_person_and_with_their_channel() {
    let receiver = Receiver::start().await;
    let api = telling(&[&receiver]).await;
    let (ana, bob, eve, kim) = (
        api.register("ana").await,
        api.register("bob").await,
        api.register("eve").await,
        api.register("kim").await,
    );
    let admin = api.register_admin("zoe").await;
    for person in [&ana, &bob, &eve, &kim] {
        enabled(person, &receiver, &["stream_started"], Some(&kim.id)).await;
    }
    let of_ana = enabled(&kim, &receiver, &["stream_started"], Some(&ana.id)).await;
    let deleted =
        send(ana.request(Method::DELETE, "/api/users/me").json(&json!({ "password": PASSWORD }))).await;
    assert_eq!(deleted.status, 204);
    let ban =
        send(admin.request(Method::PUT, &format!("/api/admin/users/{}/ban", bob.id)).json(&json!({}))).await;
    assert_eq!(ban.status, 200, "{}", ban.json);
    api.database.says("select count(*) = 3 from event_subscriptions").await;
    // An operator bans by hand: it holds at once, and the row goes at the next sweep.
    api.database.execute("update users set banned_at = now() where username = 'eve'").await;
    let heard = receiver.heard().len();
    kim.goes_live().await;
    settled(&api).await;
    assert_eq!(receiver.heard().len(), heard + 1);
    let other = Running::replica(Arc::clone(&api.database), |_| ()).await;
    other.database.says("select count(*) = 1 from event_subscriptions").await;
    assert_eq!(kim.get(&of_ana).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_slow_server_holds_up_nobody_else() {
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    // One machine, and two hosts by their names.
    let named = quick.host.replace("127.0.0.1", "localhost");
    let hosts = [slow.host.parse().unwrap(), named.parse().unwrap()].into_iter().collect();
    let api = Running::start_with(|config| {
        config.webhook_hosts = hosts;
        // Longer than this test waits for anything.
        config.deadlines.webhook = Duration::from_secs(60);
    })
    .await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    // More than the lane has places.
    for person in [&ana, &bob] {
        for _ in 0..20 {
            assert_eq!(ask(person, &slow.url, &["stream_started"], Some(&ana.id)).await.status, 202);
        }
    }
    let answer = ask(&bob, &format!("http://{named}/"), &["stream_started"], None).await;
    assert_eq!(answer.status, 202, "{}", answer.json);
    settled(&api).await;
    slow.replies(&[Reply::Never; 40]);
    ana.goes_live().await;
    slow.has_heard(42).await;
    bob.goes_live().await;
    quick.has_heard(2).await;
    api.database.says("select count(*) = 40 from outbox").await;
    assert_eq!(slow.heard().len(), 42, "two at one host");
}

#[tokio::test]
async fn many_slow_hosts_of_one_person_hold_up_nobody_else() {
    // Each of this machine's addresses, which are as many hosts, leads to it. It takes connections, and never says a word.
    let silent = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    // For all the subscriptions that a person may have.
    let slow: Vec<String> = (2..27).map(|n| format!("127.0.0.{n}:{port}")).collect();
    let quick = Receiver::start().await;
    let hosts = slow.iter().chain([&quick.host]).map(|host| host.parse().unwrap()).collect();
    let api = Running::start_with(|config| {
        config.webhook_hosts = hosts;
        // Longer than this test waits for anything.
        config.deadlines.webhook = Duration::from_secs(60);
    })
    .await;
    let (ana, bob, eve) = (api.register("ana").await, api.register("bob").await, api.register("eve").await);
    enabled(&bob, &quick, &["stream_started"], None).await;
    for host in &slow {
        let asked = ask(&eve, &format!("http://{host}/"), &["stream_started"], None).await;
        assert_eq!(asked.status, 202, "{}", asked.json);
    }
    let mut hanging = Vec::new();
    for _ in 0..4 {
        hanging.push(timeout(Duration::from_secs(20), silent.accept()).await.unwrap().unwrap());
    }
    // As if they had agreed: with the challenges, these messages are more than the lane has places.
    api.database.execute("update event_subscriptions set status = 'enabled' where status = 'pending'").await;
    eve.goes_live().await;
    api.database.says("select count(*) = 25 from outbox where topic = 'deliver_event'").await;
    bob.goes_live().await;
    quick.has_heard(2).await;
    assert_eq!(ask(&ana, &quick.url, &["stream_started"], None).await.status, 202);
    let challenged = quick.has_heard(3).await;
    assert_eq!(challenged[2].kind(), "webhook_callback_verification");
    assert!(silent.accept().now_or_never().is_none(), "{} for one person", hanging.len());
}

#[tokio::test]
async fn a_message_is_sent_though_the_process_dies_in_between() {
    let receiver = Receiver::start().await;
    let api = telling(&[&receiver]).await;
    let ana = api.register("ana").await;
    enabled(&ana, &receiver, &["stream_started"], None).await;
    receiver.replies(&[Reply::Never]);
    ana.goes_live().await;
    receiver.has_heard(2).await;
    api.task.abort();
    let ends = "select pg_terminate_backend(pid) from pg_stat_activity \
                where datname = current_database() and application_name = 'caudal-api'";
    api.database.execute(ends).await;
    // Its lease is over sooner than in a minute.
    api.database.execute("update outbox set next_at = now()").await;
    let hosts = [receiver.host.parse().unwrap()].into_iter().collect();
    let other = Running::replica(Arc::clone(&api.database), |config| config.webhook_hosts = hosts).await;
    settled(&other).await;
    let heard = receiver.has_heard(3).await;
    assert_eq!((heard.len(), heard[1].id()), (3, heard[2].id()));
}

#[tokio::test]
async fn a_secret_is_shown_to_nobody() {
    let (log, _listening) = LogListener::begin();
    let receiver = Receiver::start().await;
    let api = telling(&[&receiver]).await;
    let ana = api.register("ana").await;
    let path = enabled(&ana, &receiver, &["stream_started"], None).await;
    receiver.replies(&[Reply::Says(500, "")]);
    ana.goes_live().await;
    api.database.says("select last_error is not null from outbox").await;
    for path in [PATH, &path] {
        assert!(!ana.get(path).await.json.to_string().contains(SECRET));
    }
    let rows: String = sqlx::query_scalar(
        "select (select string_agg(row_to_json(o)::text, '') from outbox o) || \
                (select string_agg(row_to_json(e)::text || encode(secret_enc, 'escape'), '') \
                 from event_subscriptions e)",
    )
    .fetch_one(&api.database.pool)
    .await
    .unwrap();
    assert!(rows.contains("127.0.0.1") && !rows.contains(SECRET), "{rows}");
    // One copied to another row opens nothing there.
    api.database.execute("update event_subscriptions set id = gen_random_uuid()").await;
    api.database
        .execute("update outbox set payload = jsonb_set(payload, '{subscription}', (select to_jsonb(id) from event_subscriptions))")
        .await;
    next_try(&api).await;
    settled(&api).await;
    api.database.says("select status = 'notification_failures_exceeded' from event_subscriptions").await;
    let said = log.said();
    assert!(said.contains("the secret of an event subscription cannot be read"), "{said}");
    assert!(!said.contains(SECRET) && !said.contains("room=1"), "{said}");
}
