//! Other prices: at once, when paid, or later.

use caudal_fakes::stripe::{Card, Outcome};
use serde_json::json;

use crate::shop::{HOUR, Shop, text};

#[tokio::test]
async fn an_upgrade_gives_back_what_is_left_of_the_old_price_and_charges_the_rest_of_the_month() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    let (start, end) = shop.period_of(&subscription);
    shop.stripe.advance_to(start + (end - start) / 3);
    let updated = shop.upgrade(&subscription, &shop.premium).await;
    assert_eq!(updated["pending_update"], json!(null));
    let invoice = &updated["latest_invoice"];
    assert_eq!(
        (&invoice["billing_reason"], &invoice["status"]),
        (&json!("subscription_update"), &json!("paid"))
    );
    let lines = invoice["lines"]["data"].as_array().unwrap();
    let amounts: Vec<_> = lines.iter().map(|line| line["amount"].as_i64().unwrap()).collect();
    assert_eq!(amounts, [-333, 1666], "two thirds of 4.99 and of 24.99");
    assert_eq!(invoice["amount_paid"], json!(1333));
    for line in lines {
        assert_eq!(line["parent"]["subscription_item_details"]["proration"], json!(true));
        assert_eq!(line["period"]["end"], json!(end));
    }
    assert_eq!(lines[0]["pricing"]["price_details"]["price"], json!(shop.basic));
    assert_eq!(lines[1]["pricing"]["price_details"]["price"], json!(shop.premium));
    assert_eq!(shop.price_of(&subscription), shop.premium);
    assert_eq!(shop.period_of(&subscription), (start, end), "the month stays the same");
    assert_eq!(shop.count("customer.subscription.pending_update_applied"), 0, "it never waited");
}

#[tokio::test]
async fn a_declined_upgrade_waits_and_begins_when_its_invoice_is_paid() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    shop.stripe.set_card(&shop.customer, Card::Declined);
    let updated = shop.upgrade(&subscription, &shop.premium).await;
    assert_eq!(
        (&updated["status"], &updated["latest_invoice"]["status"]),
        (&json!("active"), &json!("open"))
    );
    let pending = &updated["pending_update"];
    assert_eq!(pending["subscription_items"][0]["price"]["id"], json!(shop.premium));
    let hours = (pending["expires_at"].as_i64().unwrap() - shop.stripe.now() + 30) / 3600;
    assert_eq!(hours, 23);
    assert_eq!(shop.price_of(&subscription), shop.basic);
    let invoice = text(&updated["latest_invoice"]["id"]);
    assert_eq!(shop.stripe.pay_invoice(&invoice, Card::Declined), Outcome::Declined);
    assert_eq!(shop.price_of(&subscription), shop.basic);
    assert_eq!(shop.stripe.pay_invoice(&invoice, Card::Ok), Outcome::Paid);
    assert_eq!(shop.price_of(&subscription), shop.premium);
    assert_eq!(shop.stripe.object(&subscription)["pending_update"], json!(null));
    assert_eq!(shop.count("customer.subscription.pending_update_applied"), 1);
}

#[tokio::test]
async fn an_upgrade_whose_bank_asks_begins_when_the_person_was_seen() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    shop.stripe.set_card(&shop.customer, Card::Requires3ds);
    let updated = shop.upgrade(&subscription, &shop.premium).await;
    assert!(updated["pending_update"].is_object());
    assert_eq!(shop.count("invoice.payment_action_required"), 1);
    let path = format!("/v1/invoices/{}/pay", text(&updated["latest_invoice"]["id"]));
    let (status, body) = shop.post(&path, &[]).await;
    assert_eq!((status, &body["error"]["code"]), (402, &json!("invoice_payment_intent_requires_action")));
    let intent = text(&body["error"]["payment_intent"]["id"]);
    shop.stripe.fail_authentication(&intent);
    assert_eq!(shop.price_of(&subscription), shop.basic);
    let invoice = text(&updated["latest_invoice"]["id"]);
    assert_eq!(shop.stripe.pay_invoice(&invoice, Card::Requires3ds), Outcome::RequiresAction(intent.clone()));
    shop.stripe.authenticate(&intent);
    assert_eq!(shop.price_of(&subscription), shop.premium);
}

#[tokio::test]
async fn an_upgrade_that_nobody_pays_for_is_forgotten_after_23_hours() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    shop.stripe.set_card(&shop.customer, Card::Declined);
    shop.upgrade(&subscription, &shop.premium).await;
    shop.stripe.advance(22 * HOUR);
    assert!(shop.stripe.object(&subscription)["pending_update"].is_object());
    shop.stripe.advance(HOUR);
    let forgotten = shop.stripe.object(&subscription);
    assert_eq!((&forgotten["pending_update"], &forgotten["status"]), (&json!(null), &json!("active")));
    assert_eq!(shop.price_of(&subscription), shop.basic);
    assert_eq!(shop.latest_invoice(&subscription)["status"], "void");
    assert_eq!(shop.count("customer.subscription.pending_update_expired"), 1);
    assert_eq!(shop.count("invoice.voided"), 1);
}

#[tokio::test]
async fn voiding_an_upgrades_invoice_forgets_the_upgrade_only_where_it_waited() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    shop.stripe.set_card(&shop.customer, Card::Declined);
    let updated = shop.upgrade(&subscription, &shop.premium).await;
    let path = format!("/v1/invoices/{}/void", text(&updated["latest_invoice"]["id"]));
    assert_eq!(shop.posted(&path, &[]).await["status"], "void");
    assert_eq!(shop.price_of(&subscription), shop.basic);
    assert_eq!(shop.count("customer.subscription.pending_update_expired"), 1);

    // Stripe's default gives the price away.
    let item = text(&updated["items"]["data"][0]["id"]);
    let fields = [
        ("items[0][id]", item.as_str()),
        ("items[0][price]", shop.premium.as_str()),
        ("proration_behavior", "always_invoice"),
    ];
    let changed = shop.posted(&format!("/v1/subscriptions/{subscription}"), &fields).await;
    assert_eq!((&changed["status"], &changed["pending_update"]), (&json!("past_due"), &json!(null)));
    shop.stripe.void_invoice(&text(&changed["latest_invoice"]));
    assert_eq!(shop.price_of(&subscription), shop.premium);
    assert_eq!(shop.stripe.object(&subscription)["status"], "active");
}

#[tokio::test]
async fn an_upgrade_that_may_wait_takes_nothing_else() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    let item = text(&shop.stripe.object(&subscription)["items"]["data"][0]["id"]);
    let path = format!("/v1/subscriptions/{subscription}");
    for other in ["metadata[a]", "cancel_at_period_end"] {
        let fields = [
            ("items[0][id]", item.as_str()),
            ("items[0][price]", shop.premium.as_str()),
            ("payment_behavior", "pending_if_incomplete"),
            (other, "false"),
        ];
        assert_eq!(shop.post(&path, &fields).await.0, 400, "{other}");
    }
    let without_item = [("items[0][price]", shop.premium.as_str())];
    assert_eq!(shop.post(&path, &without_item).await.0, 400, "it would be a second item");
}

#[tokio::test]
async fn a_second_upgrade_takes_the_place_of_one_that_waits() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    shop.stripe.set_card(&shop.customer, Card::Declined);
    let first = shop.upgrade(&subscription, &shop.pro).await;
    let second = shop.upgrade(&subscription, &shop.premium).await;
    assert_eq!(shop.stripe.object(&text(&first["latest_invoice"]["id"]))["status"], "void");
    assert_eq!(second["pending_update"]["subscription_items"][0]["price"]["id"], json!(shop.premium));
}

#[tokio::test]
async fn a_scheduled_downgrade_begins_with_the_next_period_and_then_lets_go() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.premium).await;
    let (start, end) = shop.period_of(&subscription);
    let schedule = downgrade(&shop, &subscription).await;
    assert_eq!(shop.stripe.object(&subscription)["schedule"], json!(schedule));
    let path = format!("/v1/subscriptions/{subscription}");
    let (status, body) = shop.post(&path, &[("cancel_at_period_end", "true")]).await;
    assert_eq!(status, 400, "{body}");
    shop.stripe.advance_to(end - 10);
    assert_eq!(shop.price_of(&subscription), shop.premium);
    shop.stripe.advance_to(end + 2 * 3600);
    assert_eq!(shop.price_of(&subscription), shop.basic);
    let invoice = shop.latest_invoice(&subscription);
    assert_eq!((&invoice["status"], &invoice["amount_paid"]), (&json!("paid"), &json!(499)));
    assert_eq!(invoice["lines"]["total_count"], json!(1), "nothing is prorated at a period's end");
    assert!(shop.period_of(&subscription).0 > start);
    shop.stripe.advance_to(shop.period_of(&subscription).1 + 60);
    assert_eq!(shop.stripe.object(&schedule)["status"], "released");
    assert_eq!(shop.stripe.object(&subscription)["schedule"], json!(null));
    assert_eq!(shop.price_of(&subscription), shop.basic);
}

#[tokio::test]
async fn a_released_schedule_changes_nothing_any_more() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.premium).await;
    let schedule = downgrade(&shop, &subscription).await;
    let path = format!("/v1/subscription_schedules/{schedule}/release");
    assert_eq!(shop.posted(&path, &[]).await["status"], "released");
    assert_eq!(shop.post(&path, &[]).await.0, 400, "it is released already");
    shop.stripe.advance_to(shop.period_of(&subscription).1 + 60);
    assert_eq!(shop.price_of(&subscription), shop.premium);
}

/// A schedule that goes on with the present price until the period ends, and then with the lowest.
async fn downgrade(shop: &Shop, subscription: &str) -> String {
    let (start, end) = shop.period_of(subscription);
    let (start, end) = (start.to_string(), end.to_string());
    let schedule = shop.make("/v1/subscription_schedules", &[("from_subscription", subscription)]).await;
    let now = shop.price_of(subscription);
    let fields = [
        ("end_behavior", "release"),
        ("phases[0][items][0][price]", now.as_str()),
        ("phases[0][start_date]", start.as_str()),
        ("phases[0][end_date]", end.as_str()),
        ("phases[1][items][0][price]", shop.basic.as_str()),
        ("phases[1][duration][interval]", "month"),
        ("phases[1][duration][interval_count]", "1"),
        ("proration_behavior", "none"),
    ];
    shop.posted(&format!("/v1/subscription_schedules/{schedule}"), &fields).await;
    schedule
}
