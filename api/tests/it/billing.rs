//! Subscriptions, against a Stripe that can be steered (`caudal_fakes`, which says what it does not prove).

use std::time::{Duration, SystemTime};

use caudal_api::Fee;
use caudal_fakes::stripe::{Card, Fault, Mode, Opening, Order, Outcome, Payload, Policy, Verdict, signature};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::running::{Person, Running, send};
use crate::shop::{Shop, WEBHOOK_SECRET, wants};

#[tokio::test]
async fn where_no_key_is_set_nothing_is_sold() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    assert_eq!(
        api.get("/api/billing").await.json,
        json!({ "enabled": false, "currency": null, "withdrawalDays": null })
    );
    let offer = api.get(&format!("/api/users/{}/plans", ana.id)).await;
    assert_eq!((offer.status, &offer.json["selling"]), (StatusCode::OK, &json!(false)));
    for answer in [
        wants(&ana, &ana.id, "pro").await,
        ana.get("/api/subscriptions/me").await,
        ana.get("/api/billing/plans").await,
    ] {
        assert_eq!(answer.refusal(), (501, "billing_disabled"));
    }
    let told = api.request(Method::POST, "/webhooks/stripe").body("{}");
    assert_eq!(told.send().await.unwrap().status(), StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn a_viewer_pays_and_has_a_subscription_even_if_no_webhook_arrives() {
    let shop = Shop::open().await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let offer = bob.get(&format!("/api/users/{}/plans", ana.id)).await.json;
    let tiers: Vec<_> =
        offer["plans"].as_array().unwrap().iter().map(|plan| plan["tier"].as_str().unwrap()).collect();
    assert_eq!((tiers, &offer["subscription"]), (vec!["basic", "pro", "premium"], &Value::Null));

    let subscription = shop.subscribes(&bob, &ana, "pro").await;
    for (field, value) in [
        ("tier", json!("pro")),
        ("status", json!("active")),
        ("renews", json!(true)),
        ("amount", json!(999)),
        ("currency", json!("EUR")),
        ("problem", json!(null)),
    ] {
        assert_eq!(subscription[field], value, "{field}: {subscription}");
    }
    let seen = ana.get(&format!("/api/subscriptions/streamer/{}", ana.id)).await.json;
    assert_eq!(seen[0]["user"]["username"], "bob");
    let owed = ana.get("/api/billing/owed").await.json;
    assert_eq!((&owed["owed"], &owed["subscribers"]["pro"]), (&json!(800), &json!(1)), "{owed}");
    let csv = ana.get("/api/billing/ledger.csv").await;
    assert!(csv.json.as_str().unwrap().contains(",800,EUR,payment,pro,"), "{}", csv.json);
    let paid = bob.get("/api/billing/payments").await.json;
    assert_eq!((&paid[0]["amount"], &paid[0]["status"]), (&json!(999), &json!("paid")), "{paid}");
    // Told once, by mail and in the list.
    shop.settled().await;
    let told = ana.get("/api/notifications").await.json;
    assert_eq!(told[0]["type"], "new_subscriber", "{told}");
    let mails = shop.mail.has_taken(3).await;
    assert!(mails.iter().any(|mail| mail.headers.contains("Your subscription")), "{mails:?}");
    // Who has one is not sold another.
    assert_eq!(wants(&bob, &ana.id, "premium").await.refusal(), (409, "already_subscribed"));
    assert_eq!(wants(&ana, &ana.id, "pro").await.refusal(), (422, "oneself"));
}

#[tokio::test]
async fn pressing_the_button_twice_opens_one_checkout_and_another_tier_closes_it() {
    let shop = Shop::open().await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let (first, session) = shop.checkout(&bob, &ana, "basic").await;
    let (again, same) = shop.checkout(&bob, &ana, "basic").await;
    assert_eq!((&first, &session), (&again, &same));
    let (other, _) = shop.checkout(&bob, &ana, "pro").await;
    assert_ne!(first, other);
    assert_eq!(shop.stripe.object(&session)["status"], "expired");
    assert_eq!(bob.get(&format!("/api/checkouts/{first}")).await.json["status"], "expired");
    let eve = shop.api.register("eve").await;
    assert_eq!(eve.get(&format!("/api/checkouts/{other}")).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn events_that_come_doubled_reversed_and_in_either_shape_make_one_subscription() {
    for payload in [Payload::Snapshot, Payload::Thin] {
        let shop = Shop::open().await;
        shop.stripe.add_endpoint(&shop.webhook_url(), payload);
        shop.stripe.set_policy(Policy { copies: 2, order: Order::Reversed, ..Policy::default() });
        let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
        let (_, session) = shop.checkout(&bob, &ana, "pro").await;
        shop.stripe.pay(&session, Card::Ok);
        shop.until(&bob, |found| found["status"] == "active").await;
        shop.stripe.delivered().await;
        assert!(
            shop.stripe.attempts().iter().all(|attempt| attempt.status == Some(200)),
            "{:?}",
            shop.stripe.attempts()
        );
        assert_eq!(shop.count("select count(*) from subscriptions").await, 1);
        assert_eq!(shop.count("select count(*) from payments").await, 1);
        assert_eq!(shop.count("select count(*) from notifications where type = 'new_subscriber'").await, 1);
    }
}

#[tokio::test]
async fn what_is_not_stripe_s_or_not_ours_changes_nothing() {
    let shop = Shop::open().await;
    shop.listens();
    let now =
        i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let body = r#"{"id":"evt_1","object":"event","livemode":false,"data":{"object":{"id":"sub_1","object":"subscription"}}}"#;
    let told = async |header: String, body: &str| {
        let request = shop.api.request(Method::POST, "/webhooks/stripe").header("stripe-signature", header);
        request.body(body.to_owned()).send().await.unwrap().status().as_u16()
    };
    for (header, status) in [
        (String::new(), 400),
        (signature("whsec_of_nobody", now, body), 400),
        (signature(WEBHOOK_SECRET, now - 3_600, body), 400),
        (signature("whsec_old", now, body), 200),
    ] {
        assert_eq!(told(header.clone(), body).await, status, "{header}");
    }
    let long = "x".repeat(2 * 1024 * 1024);
    assert_eq!(told(signature(WEBHOOK_SECRET, now, &long), &long).await, 413);
    for mode in [Mode::Test, Mode::Live] {
        shop.stripe.foreign_subscription(mode);
    }
    shop.stripe.delivered().await;
    assert!(
        shop.stripe.attempts().iter().all(|attempt| attempt.status == Some(200)),
        "{:?}",
        shop.stripe.attempts()
    );
    shop.settled().await;
    assert_eq!(shop.count("select count(*) from subscriptions").await, 0);
    assert_eq!(shop.count("select count(*) from outbox where dead_at is not null").await, 0);
}

#[tokio::test]
async fn a_higher_tier_is_had_when_it_is_paid_and_not_before() {
    let shop = Shop::open().await;
    shop.listens();
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let id = shop.subscribes(&bob, &ana, "basic").await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/subscriptions/{id}");
    let customer = shop.customer();

    shop.stripe.set_card(&customer, Card::Declined);
    let declined = bob.patch(&path, json!({ "tier": "pro" })).await;
    let after = shop.subscription(&bob).await;
    assert_eq!(
        (declined.status, declined.json["payUrl"].is_string()),
        (StatusCode::OK, true),
        "{}",
        declined.json
    );
    assert_eq!(after["tier"], "basic", "{} {after}", declined.json);
    let invoice = shop.unpaid_invoice();
    shop.stripe.void_invoice(&invoice);
    shop.until(&bob, |found| found["payUrl"].is_null()).await;

    shop.stripe.set_card(&customer, Card::Requires3ds);
    let asked = bob.patch(&path, json!({ "tier": "pro" })).await;
    assert_eq!((asked.status, &asked.json["tier"]), (StatusCode::OK, &json!("basic")), "{}", asked.json);
    assert!(asked.json["payUrl"].is_string(), "{}", asked.json);
    assert_eq!(bob.patch(&path, json!({ "tier": "premium" })).await.refusal(), (409, "change_pending"));
    let outcome = shop.stripe.pay_invoice(&shop.unpaid_invoice(), Card::Ok);
    assert_eq!(outcome, Outcome::Paid);
    let after = shop.until(&bob, |found| found["tier"] == "pro").await;
    assert_eq!((&after["payUrl"], &after["amount"]), (&Value::Null, &json!(999)), "{after}");

    shop.stripe.set_card(&customer, Card::Ok);
    let up = bob.patch(&path, json!({ "tier": "premium" })).await;
    assert_eq!((up.status, &up.json["tier"]), (StatusCode::OK, &json!("premium")), "{}", up.json);
    assert_eq!(shop.count("select count(*) from subscriptions").await, 1);
}

#[tokio::test]
async fn a_lower_tier_comes_with_the_renewal_and_can_be_taken_back() {
    let shop = Shop::open().await;
    shop.listens();
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let id = shop.subscribes(&bob, &ana, "premium").await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/subscriptions/{id}");
    let down = bob.patch(&path, json!({ "tier": "basic" })).await;
    assert_eq!(
        (&down.json["tier"], &down.json["pendingTier"]),
        (&json!("premium"), &json!("basic")),
        "{}",
        down.json
    );
    let stays = bob.patch(&path, json!({ "tier": "premium" })).await;
    assert_eq!(stays.json["pendingTier"], Value::Null, "{}", stays.json);
    bob.patch(&path, json!({ "tier": "basic" })).await;
    shop.stripe.advance(Duration::from_hours(32 * 24));
    shop.until(&bob, |found| found["amount"] == 499 && found["pendingTier"].is_null()).await;
    assert_eq!(shop.count("select count(*) from payments").await, 2);
}

#[tokio::test]
async fn cancelling_keeps_what_is_paid_for_and_can_be_taken_back() {
    let shop = Shop::open().await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let before = shop.subscribes(&bob, &ana, "pro").await;
    let path = format!("/api/subscriptions/{}", before["id"].as_str().unwrap());
    let cancelled = bob.delete(&path).await;
    assert_eq!((&cancelled.json["status"], &cancelled.json["renews"]), (&json!("cancelled"), &json!(false)));
    assert_eq!(cancelled.json["expiresAt"], before["expiresAt"]);
    let resumed = bob.post(&format!("{path}/resume"), json!({})).await;
    assert_eq!(resumed.json["status"], "active", "{}", resumed.json);
    let eve = shop.api.register("eve").await;
    assert_eq!(eve.delete(&path).await.refusal(), (404, "not_found"));
    let mails = shop.mail.has_taken(5).await;
    assert!(mails.iter().any(|mail| mail.headers.contains("is cancelled")), "{mails:?}");
}

#[tokio::test]
async fn who_withdraws_has_the_money_back_and_nothing_else() {
    let shop = Shop::open().await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let id = shop.subscribes(&bob, &ana, "pro").await["id"].as_str().unwrap().to_owned();
    let withdrawn = bob.post(&format!("/api/subscriptions/{id}/withdraw"), json!({})).await;
    assert_eq!(
        (withdrawn.status, &withdrawn.json["status"]),
        (StatusCode::OK, &json!("expired")),
        "{}",
        withdrawn.json
    );
    let paid = bob.get("/api/billing/payments").await.json;
    assert_eq!((&paid[0]["refunded"], &paid[0]["status"]), (&json!(999), &json!("refunded")), "{paid}");
    assert_eq!(ana.get("/api/billing/owed").await.json["owed"], 0);
    let again = bob.post(&format!("/api/subscriptions/{id}/withdraw"), json!({})).await;
    assert_eq!(again.refusal(), (409, "subscription_over"));
    assert_eq!(shop.stripe.objects("refunds").len(), 1);
    let mails = shop.mail.has_taken(4).await;
    assert!(mails.iter().any(|mail| mail.headers.contains("Your withdrawal")), "{mails:?}");
    // And may subscribe anew.
    assert_eq!(shop.subscribes(&bob, &ana, "basic").await["status"], "active");
}

#[tokio::test]
async fn of_two_that_were_paid_the_second_goes_back_once() {
    let shop = Shop::open().await;
    shop.listens();
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let (_, first) = shop.checkout(&bob, &ana, "basic").await;
    // As if a page had stayed open at the provider.
    sqlx::query("update checkouts set status = 'expired'").execute(&shop.api.database.pool).await.unwrap();
    let (_, second) = shop.checkout(&bob, &ana, "pro").await;
    shop.stripe.pay(&second, Card::Ok);
    shop.until(&bob, |found| found["status"] == "active").await;
    shop.stripe.pay(&first, Card::Ok);
    let is_back = async {
        while shop.stripe.objects("refunds").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), is_back).await.unwrap();
    shop.settled().await;
    assert_eq!(shop.stripe.objects("refunds").len(), 1);
    assert_eq!(shop.count("select count(*) from subscriptions where status <> 'expired'").await, 1);
    assert_eq!(
        shop.count("select count(*) from payments where surplus and refunded_minor = amount_minor").await,
        1
    );
    assert_eq!(shop.count("select count(*) from checkouts where status = 'refused'").await, 1);
    assert_eq!(shop.count("select count(*) from notifications where type = 'new_subscriber'").await, 1);
    assert_eq!(ana.get("/api/billing/owed").await.json["owed"], 800);
}

#[tokio::test]
async fn a_renewal_that_fails_is_said_and_leaves_its_grace() {
    let shop = Shop::open().await;
    shop.listens();
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    shop.subscribes(&bob, &ana, "pro").await;
    shop.stripe.set_card(&shop.customer(), Card::Declined);
    shop.stripe.advance(Duration::from_hours(32 * 24));
    let failed = shop.until(&bob, |found| found["problem"] == "payment_failed").await;
    assert!(failed["graceUntil"].is_string() && failed["payUrl"].is_string(), "{failed}");
    let mails = shop.mail.has_taken(4).await;
    assert!(mails.iter().any(|mail| mail.headers.contains("could not be renewed")), "{mails:?}");
    shop.stripe.pay_invoice(&shop.unpaid_invoice(), Card::Ok);
    let paid = shop.until(&bob, |found| found["problem"].is_null()).await;
    assert_eq!((&paid["graceUntil"], &paid["payUrl"]), (&Value::Null, &Value::Null), "{paid}");
}

#[tokio::test]
async fn a_refund_at_the_dashboard_ends_it_and_a_dispute_suspends_it() {
    let shop = Shop::open().await;
    shop.listens();
    let (ana, bob, eve) =
        (shop.streamer("ana").await, shop.api.register("bob").await, shop.api.register("eve").await);
    shop.subscribes(&bob, &ana, "pro").await;
    let payment = shop.payment_of(&bob).await;
    shop.stripe.refund(&payment, Some(100));
    shop.until_owed(&ana, 720).await;
    assert_eq!(shop.subscription(&bob).await["status"], "active", "a part of the money is no end");
    shop.stripe.refund(&payment, None);
    shop.until(&bob, |found| found["status"] == "expired").await;
    shop.until_owed(&ana, 0).await;

    shop.subscribes(&eve, &ana, "pro").await;
    let dispute = shop.stripe.open_dispute(&shop.payment_of(&eve).await, Opening::Chargeback);
    let disputed = shop.until(&eve, |found| found["problem"] == "disputed").await;
    assert_eq!(disputed["status"], "cancelled");
    shop.until_owed(&ana, 0).await;
    shop.stripe.move_dispute(dispute["id"].as_str().unwrap(), Verdict::Won);
    let won = shop.until(&eve, |found| found["problem"].is_null()).await;
    assert_eq!(won["status"], "cancelled", "it is not renewed, and lasts to its end");
    shop.until_owed(&ana, 800).await;
}

#[tokio::test]
async fn what_no_event_told_is_found() {
    let shop = Shop::open_with(|config| config.deadlines.tidy = Duration::from_millis(200)).await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let (_, session) = shop.checkout(&bob, &ana, "pro").await;
    shop.stripe.pay(&session, Card::Ok);
    // Nobody asks for the checkout, and nothing is delivered.
    shop.until(&bob, |found| found["status"] == "active").await;
}

#[tokio::test]
async fn a_provider_that_hangs_up_in_the_middle_makes_nothing_twice() {
    let shop = Shop::open().await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    for fault in [Fault::ClosedAfter, Fault::Error500, Fault::ClosedBefore] {
        shop.stripe.fail(1, fault, "POST /v1/checkout/sessions");
        assert_eq!(wants(&bob, &ana.id, "pro").await.refusal(), (503, "provider_unavailable"));
    }
    shop.checkout(&bob, &ana, "pro").await;
    assert_eq!(shop.stripe.objects("checkout_sessions").len(), 1);
    assert_eq!(shop.stripe.objects("customers").len(), 1);
}

#[tokio::test]
async fn nobody_pays_for_an_account_that_is_gone() {
    let shop = Shop::open().await;
    shop.listens();
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    shop.subscribes(&bob, &ana, "pro").await;
    let gone =
        bob.request(Method::DELETE, "/api/users/me").json(&json!({ "password": crate::running::PASSWORD }));
    assert_eq!(send(gone).await.status, StatusCode::NO_CONTENT);
    let ended = async {
        while shop.stripe.objects("subscriptions")[0]["status"] != "canceled" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    shop.settled().await;
    assert_eq!(shop.count("select count(*) from payments").await, 1, "what came stays on record");
}

#[tokio::test]
async fn prices_stay_within_the_operator_s_bounds_and_old_ones_are_kept() {
    let shop = Shop::open().await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let set = async |amount: i64| {
        send(ana.request(Method::PUT, "/api/billing/plans/pro").json(&json!({ "amount": amount }))).await
    };
    for amount in [99, 10_001] {
        assert_eq!(set(amount).await.refusal(), (422, "invalid"), "{amount}");
    }
    shop.subscribes(&bob, &ana, "pro").await;
    assert_eq!(set(1_500).await.status, StatusCode::OK);
    assert_eq!(shop.subscription(&bob).await["amount"], 999);
    assert_eq!(ana.delete("/api/billing/plans/pro").await.status, StatusCode::NO_CONTENT);
    let eve = shop.api.register("eve").await;
    assert_eq!(wants(&eve, &ana.id, "pro").await.refusal(), (422, "invalid"));
}

#[tokio::test]
async fn subscribers_talk_where_others_may_not_and_wear_a_badge() {
    let shop = Shop::open().await;
    let (ana, bob, eve) =
        (shop.streamer("ana").await, shop.api.register("bob").await, shop.api.register("eve").await);
    shop.subscribes(&bob, &ana, "premium").await;
    let stream = ana.goes_live().await;
    let only = ana.patch(&format!("/api/chat/{stream}/settings"), json!({ "subsOnly": true })).await;
    assert_eq!(only.status, StatusCode::OK, "{}", only.json);
    let says = format!("/api/chat/{stream}/messages");
    assert_eq!(eve.post(&says, json!({ "message": "hola" })).await.refusal(), (403, "subs_only"));
    let said = bob.post(&says, json!({ "message": "hola" })).await;
    assert_eq!(said.status, StatusCode::CREATED, "{}", said.json);
    let history = shop.api.get(&format!("/api/chat/{stream}")).await.json;
    assert_eq!(history[0]["user"]["badges"], json!(["subscriber_premium"]), "{history}");
}

#[tokio::test]
async fn an_abandoned_checkout_keeps_nobody_from_subscribing() {
    let shop = Shop::open().await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let (first, session) = shop.checkout(&bob, &ana, "pro").await;
    sqlx::query("update checkouts set expires_at = now()").execute(&shop.api.database.pool).await.unwrap();
    // The page closed by itself, and nobody told.
    let closes = shop.api.http.post(format!("{}/v1/checkout/sessions/{session}/expire", shop.stripe.url));
    let closes =
        closes.bearer_auth("sk_test_fake").header("Stripe-Version", caudal_fakes::stripe::STRIPE_VERSION);
    assert!(closes.send().await.unwrap().status().is_success());
    let (second, _) = shop.checkout(&bob, &ana, "pro").await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn an_upgrade_whose_answer_is_lost_is_had_all_the_same() {
    let shop = Shop::open().await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let id = shop.subscribes(&bob, &ana, "basic").await["id"].as_str().unwrap().to_owned();
    shop.stripe.fail(1, Fault::ClosedAfter, "POST /v1/subscriptions");
    let lost = bob.patch(&format!("/api/subscriptions/{id}"), json!({ "tier": "pro" })).await;
    assert_eq!(lost.refusal(), (503, "provider_unavailable"));
    // No webhook reaches this api.
    shop.until(&bob, |found| found["tier"] == "pro").await;
}

#[tokio::test]
async fn a_higher_tier_that_costs_less_comes_with_the_renewal() {
    let shop = Shop::open().await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let id = shop.subscribes(&bob, &ana, "pro").await["id"].as_str().unwrap().to_owned();
    send(ana.request(Method::PUT, "/api/billing/plans/premium").json(&json!({ "amount": 500 }))).await;
    let up = bob.patch(&format!("/api/subscriptions/{id}"), json!({ "tier": "premium" })).await;
    assert_eq!(
        (&up.json["tier"], &up.json["pendingTier"]),
        (&json!("pro"), &json!("premium")),
        "{}",
        up.json
    );
    assert_eq!(shop.stripe.objects("invoices").len(), 1, "no credit is made");
}

#[tokio::test]
async fn cancelling_while_a_renewal_is_unpaid_charges_nothing_more() {
    let shop = Shop::open().await;
    shop.listens();
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let id = shop.subscribes(&bob, &ana, "pro").await["id"].as_str().unwrap().to_owned();
    let customer = shop.customer();
    shop.stripe.set_card(&customer, Card::Declined);
    shop.stripe.advance(Duration::from_hours(32 * 24));
    shop.until(&bob, |found| found["problem"] == "payment_failed").await;
    let cancelled = bob.delete(&format!("/api/subscriptions/{id}")).await;
    assert_eq!(
        (&cancelled.json["status"], &cancelled.json["canResume"]),
        (&json!("cancelled"), &json!(false)),
        "{}",
        cancelled.json
    );
    shop.stripe.set_card(&customer, Card::Ok);
    shop.stripe.advance(Duration::from_hours(30 * 24));
    shop.settled().await;
    assert_eq!(shop.count("select count(*) from payments").await, 1);
    let resumed = bob.post(&format!("/api/subscriptions/{id}/resume"), json!({})).await;
    assert_eq!(resumed.refusal(), (409, "subscription_over"));
}

#[tokio::test]
async fn a_withdrawal_is_received_while_the_provider_is_away() {
    let shop = Shop::open().await;
    shop.listens();
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    let id = shop.subscribes(&bob, &ana, "pro").await["id"].as_str().unwrap().to_owned();
    shop.settled().await;
    shop.stripe.fail(1_000, Fault::Error500, "");
    for _ in 0..2 {
        let received = bob.post(&format!("/api/subscriptions/{id}/withdraw"), json!({})).await;
        assert_eq!(received.status, StatusCode::OK, "{}", received.json);
    }
    shop.stripe.clear_faults();
    shop.until(&bob, |found| found["status"] == "expired").await;
    shop.settled().await;
    assert_eq!(shop.stripe.objects("refunds").len(), 1);
    let acknowledged =
        shop.mail.taken().iter().filter(|mail| mail.headers.contains("Your withdrawal")).count();
    assert_eq!(acknowledged, 1);
}

#[tokio::test]
async fn a_new_fee_holds_for_new_payments_only() {
    let shop = Shop::open().await;
    let (ana, bob) = (shop.streamer("ana").await, shop.api.register("bob").await);
    shop.subscribes(&bob, &ana, "pro").await;
    let dearer = shop.replica(|config| {
        if let Some(billing) = &mut config.billing {
            billing.fee = Fee::of_percent(50).unwrap();
        }
    });
    let dearer = dearer.await;
    let bob_there = Person { api: &dearer, ..bob.clone() };
    let id = shop.subscription(&bob).await["id"].as_str().unwrap().to_owned();
    assert_eq!(bob_there.delete(&format!("/api/subscriptions/{id}")).await.status, StatusCode::OK);
    shop.settled().await;
    assert_eq!(ana.get("/api/billing/owed").await.json["owed"], 800);
}

impl Shop {
    /// The only customer's name at Stripe.
    fn customer(&self) -> String {
        self.stripe.objects("customers")[0]["id"].as_str().unwrap().to_owned()
    }

    fn unpaid_invoice(&self) -> String {
        let open = self.stripe.objects("invoices").into_iter().find(|invoice| invoice["status"] == "open");
        open.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// What somebody's latest payment came by.
    async fn payment_of(&self, viewer: &crate::running::Person<'_>) -> String {
        sqlx::query_scalar(
            "select p.provider_money_id from payments p join subscriptions s on s.id = p.subscription_id
             where s.user_id = $1::uuid order by p.paid_at desc limit 1",
        )
        .bind(&viewer.id)
        .fetch_one(&self.api.database.pool)
        .await
        .unwrap()
    }

    async fn until_owed(&self, streamer: &crate::running::Person<'_>, amount: i64) {
        let waiting = async {
            while streamer.get("/api/billing/owed").await.json["owed"] != amount {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(came.is_ok(), "{}", streamer.get("/api/billing/owed").await.json);
    }

    /// Waits until no job is left.
    async fn settled(&self) {
        let left = async {
            while self.count("select count(*) from outbox where dead_at is null").await > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), left).await.is_err() {
            let rows: Vec<(String, Value, Option<String>)> =
                sqlx::query_as("select topic, payload, last_error from outbox")
                    .fetch_all(&self.api.database.pool)
                    .await
                    .unwrap();
            panic!("still to be done: {rows:?}");
        }
    }
}
