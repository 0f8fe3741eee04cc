//! From a page with a button to a paid subscription.

use caudal_fakes::stripe::{Card, Outcome};
use serde_json::json;

use crate::shop::{DAY, HOUR, Shop, answer, text};

#[tokio::test]
async fn a_subscription_begins_only_when_its_checkout_is_paid() {
    let shop = Shop::open().await;
    let session = shop.checkout(&shop.basic).await;
    let open = shop.stripe.object(&session);
    assert_eq!((&open["status"], &open["payment_status"]), (&json!("open"), &json!("unpaid")));
    assert!(shop.stripe.objects("subscriptions").is_empty());

    assert_eq!(shop.stripe.pay(&session, Card::Ok), Outcome::Paid);
    let paid = shop.stripe.object(&session);
    assert_eq!((&paid["status"], &paid["payment_status"]), (&json!("complete"), &json!("paid")));
    assert_eq!(paid["url"], json!(null));
    let subscription = shop.stripe.object(&text(&paid["subscription"]));
    assert_eq!(subscription["status"], "active");
    assert_eq!(subscription["metadata"], json!({ "checkout": "1" }));
    assert_eq!(subscription.get("current_period_end"), None, "it went to the item with Basil");
    let invoice = shop.stripe.object(&text(&subscription["latest_invoice"]));
    assert_eq!(invoice["billing_reason"], "subscription_create");
    assert_eq!((&invoice["status"], &invoice["amount_paid"]), (&json!("paid"), &json!(499)));
    let parent = &invoice["parent"]["subscription_details"];
    assert_eq!(parent["subscription"], subscription["id"]);
    assert_eq!(parent["metadata"], json!({ "checkout": "1" }));
    let line = &invoice["lines"]["data"][0];
    assert_eq!(line["pricing"]["price_details"]["price"], json!(shop.basic));
    assert_eq!(line["parent"]["subscription_item_details"]["proration"], json!(false));
    assert_eq!(line["period"]["end"], subscription["items"]["data"][0]["current_period_end"]);
    for kind in ["customer.subscription.created", "invoice.paid", "checkout.session.completed"] {
        assert_eq!(shop.count(kind), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_payment_leads_to_its_invoice_by_invoice_payments_alone() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    let charge = shop.stripe.objects("charges").remove(0);
    let intent = text(&charge["payment_intent"]);
    assert_eq!((charge.get("invoice"), shop.stripe.object(&intent).get("invoice")), (None, None));
    let path = format!("/v1/invoice_payments?payment[type]=payment_intent&payment[payment_intent]={intent}");
    let (_, found) = shop.get(&path).await;
    assert_eq!(found["data"][0]["invoice"], shop.latest_invoice(&subscription)["id"]);
    let (_, invoices) =
        shop.get(&format!("/v1/invoices?subscription={subscription}&expand[]=data.payments")).await;
    let payment = &invoices["data"][0]["payments"]["data"][0];
    assert_eq!(payment["payment"]["payment_intent"], json!(intent));
    assert_eq!(payment["status"], "paid");
}

#[tokio::test]
async fn a_declined_card_leaves_the_checkout_open() {
    let shop = Shop::open().await;
    let session = shop.checkout(&shop.basic).await;
    assert_eq!(shop.stripe.pay(&session, Card::Declined), Outcome::Declined);
    assert_eq!(shop.stripe.object(&session)["status"], "open");
    assert_eq!(shop.stripe.pay(&session, Card::Ok), Outcome::Paid);
    assert_eq!(shop.stripe.objects("payment_intents").len(), 1, "it is the same payment, tried twice");
    assert_eq!(shop.stripe.objects("charges").len(), 2);
}

#[tokio::test]
async fn a_checkout_waits_for_the_bank_to_see_the_person() {
    let shop = Shop::open().await;
    let session = shop.checkout(&shop.basic).await;
    let Outcome::RequiresAction(intent) = shop.stripe.pay(&session, Card::Requires3ds) else {
        panic!("the bank did not ask");
    };
    assert_eq!(shop.stripe.fail_authentication(&intent), Outcome::Declined);
    assert_eq!(shop.stripe.object(&session)["status"], "open");
    let again = shop.stripe.pay(&session, Card::Requires3ds);
    assert_eq!(again, Outcome::RequiresAction(intent.clone()));
    assert_eq!(shop.stripe.authenticate(&intent), Outcome::Paid);
    assert_eq!(shop.stripe.object(&session)["payment_status"], "paid");
    assert_eq!(shop.stripe.objects("subscriptions").len(), 1);
}

#[tokio::test]
async fn a_delayed_payment_completes_the_checkout_unpaid() {
    let shop = Shop::open().await;
    let session = shop.checkout(&shop.basic).await;
    shop.stripe.pay(&session, Card::Delayed);
    let complete = shop.stripe.object(&session);
    assert_eq!((&complete["status"], &complete["payment_status"]), (&json!("complete"), &json!("unpaid")));
    assert_eq!(shop.count("invoice.paid"), 0);
    shop.stripe.settle_delayed(&session, Card::Ok);
    assert_eq!(shop.stripe.object(&session)["payment_status"], "paid");
    assert_eq!((shop.count("invoice.paid"), shop.count("checkout.session.async_payment_succeeded")), (1, 1));

    let session = shop.checkout(&shop.basic).await;
    shop.stripe.pay(&session, Card::Delayed);
    shop.stripe.settle_delayed(&session, Card::Declined);
    assert_eq!(shop.stripe.object(&session)["payment_status"], "unpaid");
    assert_eq!(shop.count("checkout.session.async_payment_failed"), 1);
}

#[tokio::test]
async fn a_checkout_expires_when_its_time_is_over_or_when_it_is_told_to() {
    let shop = Shop::open().await;
    let (told, forgotten, paid) =
        (shop.checkout(&shop.basic).await, shop.checkout(&shop.pro).await, shop.checkout(&shop.pro).await);
    let expire = |session: &str| format!("/v1/checkout/sessions/{session}/expire");
    assert_eq!(shop.post(&expire(&told), &[]).await.1["status"], "expired");
    assert_eq!(shop.post(&expire(&told), &[]).await.0, 400, "only an open one expires");
    shop.stripe.pay(&paid, Card::Ok);
    assert_eq!(shop.post(&expire(&paid), &[]).await.0, 400, "a paid one does not");
    shop.stripe.advance(23 * HOUR);
    assert_eq!(shop.stripe.object(&forgotten)["status"], "open");
    shop.stripe.advance(HOUR + HOUR);
    assert_eq!(shop.stripe.object(&forgotten)["status"], "expired");
    assert_eq!(shop.count("checkout.session.expired"), 2);
}

#[tokio::test]
async fn a_checkout_lives_from_30_minutes_to_24_hours() {
    let shop = Shop::open().await;
    for (seconds, status) in [(29 * 60, 400), (31 * 60, 200), (23 * 3600, 200), (25 * 3600, 400)] {
        let expires_at = (shop.stripe.now() + seconds).to_string();
        let fields = [
            ("mode", "subscription"),
            ("customer", shop.customer.as_str()),
            ("line_items[0][price]", shop.basic.as_str()),
            ("line_items[0][quantity]", "1"),
            ("success_url", "http://localhost/"),
            ("expires_at", expires_at.as_str()),
        ];
        assert_eq!(shop.post("/v1/checkout/sessions", &fields).await.0, status, "{seconds} s");
    }
}

#[tokio::test]
async fn a_price_that_is_no_longer_active_is_not_sold_but_kept_by_who_has_it() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    shop.posted(&format!("/v1/prices/{}", shop.basic), &[("active", "false")]).await;
    let fields = [
        ("mode", "subscription"),
        ("customer", shop.customer.as_str()),
        ("line_items[0][price]", shop.basic.as_str()),
        ("line_items[0][quantity]", "1"),
        ("success_url", "http://localhost/"),
    ];
    assert_eq!(shop.post("/v1/checkout/sessions", &fields).await.0, 400);
    shop.stripe.advance(32 * DAY);
    assert_eq!(shop.latest_invoice(&subscription)["amount_paid"], json!(499));
}

#[tokio::test]
async fn a_person_pays_with_the_buttons_of_the_pages() {
    let shop = Shop::open().await;
    let session = shop.checkout(&shop.basic).await;
    let page = text(&shop.stripe.object(&session)["url"]);
    let seen = shop.http.get(&page).send().await.unwrap().text().await.unwrap();
    for part in ["Channel", "4.99 EUR", "id=pay-ok", "id=pay-declined", "id=pay-3ds", "id=cancel"] {
        assert!(seen.contains(part), "no {part} in {seen}");
    }
    assert_eq!(press(&shop, &page, "card=declined").await, format!("/pay/{session}?declined=true"));
    let bank = press(&shop, &page, "card=requires_3ds").await;
    let bank = format!("{}{bank}", shop.stripe.url);
    let seen = shop.http.get(&bank).send().await.unwrap().text().await.unwrap();
    assert!(seen.contains("id=authenticate") && seen.contains("id=fail"), "{seen}");
    let back = press(&shop, &bank, "authenticated=true").await;
    assert_eq!(back, format!("http://localhost/checkout/1?session={session}"));

    let subscription = text(&shop.stripe.object(&session)["subscription"]);
    shop.stripe.set_card(&shop.customer, Card::Declined);
    shop.upgrade(&subscription, &shop.premium).await;
    let page = text(&shop.latest_invoice(&subscription)["hosted_invoice_url"]);
    let place = page.strip_prefix(&shop.stripe.url).unwrap().to_owned();
    assert_eq!(press(&shop, &page, "card=ok").await, place);
    let seen = shop.http.get(&page).send().await.unwrap().text().await.unwrap();
    assert!(seen.contains("id=paid"), "{seen}");
    assert_eq!(shop.price_of(&subscription), shop.premium);
}

/// Where a form leads.
async fn press(shop: &Shop, page: &str, choice: &'static str) -> String {
    let form = "application/x-www-form-urlencoded";
    let answer = shop.http.post(page).header("Content-Type", form).body(choice).send().await.unwrap();
    assert_eq!(answer.status(), 303);
    answer.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn tests_in_other_languages_do_the_same_by_json() {
    let shop = Shop::open().await;
    let session = shop.checkout(&shop.basic).await;
    let command = |name: &str, body: serde_json::Value| {
        answer(shop.http.post(format!("{}/_control/{name}", shop.stripe.url)).json(&body))
    };
    let (_, asked) = command("pay", json!({ "session": session, "card": "requires_3ds" })).await;
    let intent = text(&asked["outcome"]["requires_action"]);
    let (_, paid) = command("3ds", json!({ "paymentIntent": intent, "authenticated": true })).await;
    assert_eq!(paid["outcome"], "paid");
    let before = shop.stripe.now();
    let (_, later) = command("advance", json!({ "seconds": 60 })).await;
    assert!(later["now"].as_i64().unwrap() >= before + 60);
    for (name, body) in [
        ("card", json!({ "customer": shop.customer, "card": "declined" })),
        ("policy", json!({ "hold": true, "copies": 2, "order": "reversed" })),
        ("fail", json!({ "count": 1, "fault": { "rate_limited": 3 }, "requests": "GET /v1/account" })),
        ("fail", json!({ "count": 1, "fault": "closed_after", "requests": "POST /v1/refunds" })),
        ("foreign", json!({ "mode": "live" })),
        ("refund", json!({ "of": intent, "amount": 100 })),
        ("open_dispute", json!({ "of": intent, "opening": "chargeback" })),
        ("endpoint", json!({ "url": "http://127.0.0.1:1/", "payload": "thin" })),
        ("deliver_pending", json!({})),
        ("clear_faults", json!({})),
    ] {
        let (status, answer) = command(name, body).await;
        assert_eq!(status, 200, "{name}: {answer}");
    }
    assert_eq!(command("pay", json!({ "session": session, "card": "gold" })).await.0, 400);
    let read = |what: &str| answer(shop.http.get(format!("{}/_control/{what}", shop.stripe.url)));
    let (_, requests) = read("requests").await;
    let last = requests.as_array().unwrap().last().unwrap();
    assert_eq!((&last["method"], &last["path"]), (&json!("POST"), &json!("/v1/checkout/sessions")));
    assert_eq!(last["parameters"][0], json!(["mode", "subscription"]));
    assert_eq!(read("objects/subscriptions").await.1.as_array().unwrap().len(), 1);
    assert_eq!(read(&format!("object/{session}")).await.1["status"], "complete");
}
