//! What time does to subscriptions.

use caudal_fakes::stripe::{AfterRetries, Cancel, Card, Outcome, Settings};
use chrono::DateTime;
use serde_json::json;

use crate::shop::{DAY, HOUR, Shop, text};

#[tokio::test]
async fn a_renewals_invoice_is_a_draft_for_an_hour_while_the_next_period_runs_already() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    let (_, end) = shop.period_of(&subscription);
    shop.stripe.advance_to(end + 60);
    let invoice = shop.latest_invoice(&subscription);
    assert_eq!(
        (&invoice["status"], &invoice["billing_reason"]),
        (&json!("draft"), &json!("subscription_cycle"))
    );
    assert_eq!(shop.stripe.object(&subscription)["status"], "active");
    assert_eq!(shop.period_of(&subscription).0, end);
    assert_eq!(shop.count("invoice.paid"), 1);
    shop.stripe.advance(HOUR);
    let invoice = shop.latest_invoice(&subscription);
    assert_eq!(
        (&invoice["status"], &invoice["status_transitions"]["paid_at"]),
        (&json!("paid"), &json!(end + 3600))
    );
    assert_eq!(invoice["lines"]["data"][0]["period"]["start"], json!(end));
    assert_eq!(shop.count("invoice.paid"), 2);
}

#[tokio::test]
async fn a_month_that_began_on_the_31st_ends_on_the_last_day_and_the_next_one_on_the_31st_again() {
    let shop = Shop::open().await;
    let january = DateTime::parse_from_rfc3339("2027-01-31T12:00:00Z").unwrap().timestamp();
    shop.stripe.advance_to(january);
    let subscription = shop.subscribed(&shop.basic).await;
    let mut ends = Vec::new();
    for _ in 0..3 {
        let (_, end) = shop.period_of(&subscription);
        ends.push(DateTime::from_timestamp(end, 0).unwrap().format("%m-%d").to_string());
        shop.stripe.advance_to(end + 7200);
    }
    assert_eq!(ends, ["02-28", "03-31", "04-30"]);
    let paid = shop.stripe.objects("invoices").iter().filter(|invoice| invoice["status"] == "paid").count();
    assert_eq!(paid, 4);
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_three_more_times_and_then_ends_the_subscription() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    let (_, end) = shop.period_of(&subscription);
    shop.stripe.set_card(&shop.customer, Card::Declined);
    shop.stripe.advance_to(end + 7200);
    assert_eq!(shop.stripe.object(&subscription)["status"], "past_due");
    let mut failed_at = end + 3600;
    for (attempts, days) in [(1, 3), (2, 5), (3, 7)] {
        let invoice = shop.latest_invoice(&subscription);
        assert_eq!(invoice["attempt_count"], json!(attempts));
        failed_at += days * 86_400;
        assert_eq!(invoice["next_payment_attempt"], json!(failed_at));
        assert_eq!(shop.stripe.object(&subscription)["status"], "past_due");
        shop.stripe.advance_to(failed_at + 1);
    }
    let ended = shop.stripe.object(&subscription);
    assert_eq!(ended["status"], "canceled");
    assert_eq!(ended["cancellation_details"]["reason"], "payment_failed");
    let invoice = shop.latest_invoice(&subscription);
    assert_eq!((&invoice["status"], &invoice["next_payment_attempt"]), (&json!("open"), &json!(null)));
    assert_eq!((shop.count("invoice.payment_failed"), shop.count("customer.subscription.deleted")), (4, 1));

    // Its page still takes money, and the subscription stays over.
    assert_eq!(shop.stripe.pay_invoice(&text(&invoice["id"]), Card::Ok), Outcome::Paid);
    assert_eq!(shop.stripe.object(&subscription)["status"], "canceled");
}

#[tokio::test]
async fn what_follows_the_last_attempt_is_the_accounts_setting() {
    for (after_retries, status) in [(AfterRetries::Unpaid, "unpaid"), (AfterRetries::PastDue, "past_due")] {
        let shop = Shop::open_with(Settings { after_retries, ..Settings::default() }).await;
        let subscription = shop.subscribed(&shop.basic).await;
        shop.stripe.set_card(&shop.customer, Card::Declined);
        shop.stripe.advance_to(shop.period_of(&subscription).1 + 16 * 86_400);
        assert_eq!(shop.stripe.object(&subscription)["status"], status);
    }
}

#[tokio::test]
async fn a_retry_that_succeeds_makes_the_subscription_active_again() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    shop.stripe.set_card(&shop.customer, Card::Declined);
    shop.stripe.advance_to(shop.period_of(&subscription).1 + 7200);
    assert_eq!(shop.stripe.object(&subscription)["status"], "past_due");
    shop.stripe.set_card(&shop.customer, Card::Ok);
    shop.stripe.advance(3 * DAY);
    assert_eq!(shop.stripe.object(&subscription)["status"], "active");
    let invoice = shop.latest_invoice(&subscription);
    assert_eq!((&invoice["status"], &invoice["attempt_count"]), (&json!("paid"), &json!(2)));
}

#[tokio::test]
async fn a_renewal_whose_bank_asks_waits_for_the_person() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    shop.stripe.set_card(&shop.customer, Card::Requires3ds);
    shop.stripe.advance_to(shop.period_of(&subscription).1 + 7200);
    assert_eq!(shop.stripe.object(&subscription)["status"], "past_due");
    assert_eq!((shop.count("invoice.payment_failed"), shop.count("invoice.payment_action_required")), (1, 1));
    let intents = shop.stripe.objects("payment_intents");
    let waiting = intents.iter().find(|intent| intent["status"] == "requires_action").unwrap();
    shop.stripe.authenticate(&text(&waiting["id"]));
    assert_eq!(shop.stripe.object(&subscription)["status"], "active");
}

#[tokio::test]
async fn a_subscription_that_is_cancelled_lasts_until_its_period_ends() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    let path = format!("/v1/subscriptions/{subscription}");
    let (_, end) = shop.period_of(&subscription);
    let cancelled = shop.posted(&path, &[("cancel_at_period_end", "true")]).await;
    assert_eq!((&cancelled["status"], &cancelled["cancel_at"]), (&json!("active"), &json!(end)));
    let resumed = shop.posted(&path, &[("cancel_at_period_end", "false")]).await;
    assert_eq!((&resumed["cancel_at"], &resumed["canceled_at"]), (&json!(null), &json!(null)));
    shop.stripe.cancel(&subscription, Cancel::AtPeriodEnd);
    shop.stripe.advance_to(end + 7200);
    let ended = shop.stripe.object(&subscription);
    assert_eq!((&ended["status"], &ended["ended_at"]), (&json!("canceled"), &json!(end)));
    assert_eq!(shop.stripe.objects("invoices").len(), 1, "no further invoice");
    assert_eq!(shop.post(&path, &[("cancel_at_period_end", "false")]).await.0, 400, "it is over");
}

#[tokio::test]
async fn the_portal_may_cancel_without_saying_at_period_end() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    let path = format!("/v1/subscriptions/{subscription}");
    let (_, end) = shop.period_of(&subscription);
    shop.stripe.cancel(&subscription, Cancel::AtDate);
    let cancelled = shop.stripe.object(&subscription);
    assert_eq!((&cancelled["cancel_at_period_end"], &cancelled["cancel_at"]), (&json!(false), &json!(end)));
    let resumed = shop.posted(&path, &[("cancel_at", "")]).await;
    assert_eq!(resumed["cancel_at"], json!(null));
    shop.stripe.cancel(&subscription, Cancel::AtDate);
    shop.stripe.advance_to(end + 60);
    assert_eq!(shop.stripe.object(&subscription)["status"], "canceled");
}

#[tokio::test]
async fn a_subscription_that_is_deleted_ends_at_once_and_once() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    let path = format!("/v1/subscriptions/{subscription}");
    assert_eq!(shop.delete(&path).await.1["status"], "canceled");
    let (status, body) = shop.delete(&path).await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("resource_missing")));
    assert_eq!(shop.get("/v1/subscriptions").await.1["data"], json!([]), "a list has the living");
    assert_eq!(shop.get("/v1/subscriptions?status=all").await.1["data"][0]["id"], json!(subscription));
    shop.stripe.advance(62 * DAY);
    assert_eq!(shop.stripe.objects("invoices").len(), 1);
}

#[tokio::test]
async fn a_subscription_that_ends_in_the_hour_of_its_draft_is_not_charged() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    shop.stripe.advance_to(shop.period_of(&subscription).1 + 60);
    shop.delete(&format!("/v1/subscriptions/{subscription}")).await;
    shop.stripe.advance(2 * DAY);
    assert_eq!(shop.latest_invoice(&subscription)["status"], "draft");
    assert_eq!(shop.stripe.objects("charges").len(), 1);
}

#[tokio::test]
async fn what_is_given_back_at_once_is_taken_off_the_next_invoice() {
    let shop = Shop::open().await;
    let first = shop.subscribed(&shop.premium).await;
    shop.delete(&format!("/v1/subscriptions/{first}?prorate=true&invoice_now=true")).await;
    let (_, customer) = shop.get(&format!("/v1/customers/{}", shop.customer)).await;
    assert_eq!(customer["balance"], json!(-2499));
    let second = shop.subscribed(&shop.basic).await;
    shop.stripe.advance_to(shop.period_of(&second).1 + 7200);
    let invoice = shop.latest_invoice(&second);
    assert_eq!((&invoice["status"], &invoice["amount_due"]), (&json!("paid"), &json!(0)));
    let (_, customer) = shop.get(&format!("/v1/customers/{}", shop.customer)).await;
    assert_eq!(customer["balance"], json!(-2000));
}
