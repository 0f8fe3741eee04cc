//! Refunds, disputes, and somebody else's subscriptions.

use caudal_fakes::stripe::{Mode, Opening, Verdict};
use serde_json::json;

use crate::shop::{DAY, Shop, text};

#[tokio::test]
async fn no_more_is_given_back_than_was_paid() {
    let shop = Shop::open().await;
    shop.subscribed(&shop.pro).await;
    let charge = text(&shop.stripe.objects("charges")[0]["id"]);
    let intent = text(&shop.stripe.object(&charge)["payment_intent"]);
    let part = shop.posted("/v1/refunds", &[("payment_intent", &intent), ("amount", "400")]).await;
    assert_eq!((&part["status"], &part["charge"]), (&json!("succeeded"), &json!(charge)));
    let seen = shop.stripe.object(&charge);
    assert_eq!((&seen["amount_refunded"], &seen["refunded"]), (&json!(400), &json!(false)));
    let (status, body) = shop.post("/v1/refunds", &[("charge", &charge), ("amount", "600")]).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("amount")));
    let rest = shop.posted("/v1/refunds", &[("charge", &charge)]).await;
    assert_eq!(rest["amount"], json!(599));
    assert_eq!(shop.stripe.object(&charge)["refunded"], json!(true));
    let (status, body) = shop.post("/v1/refunds", &[("charge", &charge)]).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("charge_already_refunded")));
    let (_, list) = shop.get(&format!("/v1/refunds?payment_intent={intent}")).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    assert_eq!((shop.count("refund.created"), shop.count("charge.refunded")), (2, 2));
}

#[tokio::test]
async fn a_refund_does_not_end_a_subscription_and_may_come_back() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.pro).await;
    let charge = text(&shop.stripe.objects("charges")[0]["id"]);
    let refund = shop.stripe.refund(&charge, None);
    assert_eq!(shop.stripe.object(&subscription)["status"], "active");
    shop.stripe.advance(2 * DAY);
    shop.stripe.fail_refund(&text(&refund["id"]));
    assert_eq!(shop.stripe.object(&text(&refund["id"]))["status"], "failed");
    assert_eq!(shop.stripe.object(&charge)["amount_refunded"], json!(0));
    assert_eq!(shop.count("refund.failed"), 1);
}

#[tokio::test]
async fn a_dispute_takes_the_money_and_only_a_won_one_brings_it_back() {
    let shop = Shop::open().await;
    for (verdict, status, closed) in [(Verdict::Won, "won", 1), (Verdict::Lost, "lost", 2)] {
        shop.subscribed(&shop.pro).await;
        let charge = shop.stripe.objects("charges").pop().unwrap();
        let (charge, intent) = (text(&charge["id"]), text(&charge["payment_intent"]));
        let dispute = shop.stripe.open_dispute(&charge, Opening::Chargeback);
        assert_eq!(dispute["status"], "needs_response");
        assert_eq!(shop.stripe.object(&charge)["disputed"], json!(true));
        let (code, body) = shop.post("/v1/refunds", &[("charge", &charge)]).await;
        assert_eq!((code, &body["error"]["code"]), (400, &json!("charge_disputed")));
        let id = text(&dispute["id"]);
        shop.stripe.move_dispute(&id, Verdict::UnderReview);
        shop.stripe.move_dispute(&id, verdict);
        let (_, list) = shop.get(&format!("/v1/disputes?payment_intent={intent}")).await;
        assert_eq!(list["data"][0]["status"], status);
        assert_eq!(shop.count("charge.dispute.closed"), closed);
        assert_eq!(shop.stripe.object(&charge)["disputed"], json!(true), "that it was disputed stays");
        let (code, _) = shop.post("/v1/refunds", &[("charge", &charge)]).await;
        assert_eq!(code, if status == "won" { 200 } else { 400 });
    }
}

#[tokio::test]
async fn an_inquiry_takes_no_money() {
    let shop = Shop::open().await;
    shop.subscribed(&shop.pro).await;
    let charge = text(&shop.stripe.objects("charges")[0]["id"]);
    let dispute = shop.stripe.open_dispute(&charge, Opening::Inquiry);
    assert_eq!(dispute["status"], "warning_needs_response");
    assert_eq!(shop.count("charge.dispute.funds_withdrawn"), 0);
    assert_eq!(shop.post("/v1/refunds", &[("charge", &charge)]).await.0, 200);
    let id = text(&dispute["id"]);
    shop.stripe.move_dispute(&id, Verdict::Won);
    assert_eq!(shop.stripe.object(&id)["status"], "warning_closed");
}

#[tokio::test]
async fn somebody_elses_subscription_has_no_metadata_and_the_live_one_cannot_be_read() {
    let shop = Shop::open().await;
    let before = shop.events().len();
    let test = shop.stripe.foreign_subscription(Mode::Test);
    assert_eq!((&test["metadata"], &test["livemode"]), (&json!({}), &json!(false)));
    let path = |made: &serde_json::Value| format!("/v1/subscriptions/{}", text(&made["id"]));
    assert_eq!(shop.get(&path(&test)).await.0, 200);
    let live = shop.stripe.foreign_subscription(Mode::Live);
    assert_eq!(live["livemode"], json!(true));
    assert_eq!(shop.get(&path(&live)).await.0, 404);
    let events = shop.stripe.objects("events");
    let (live, test): (Vec<_>, Vec<_>) = events[before..].iter().partition(|event| event["livemode"] == true);
    assert_eq!(live.len(), test.len());
    assert!(live.iter().any(|event| event["type"] == "invoice.paid"));
    shop.stripe.advance(62 * DAY);
}
