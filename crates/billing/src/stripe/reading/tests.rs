use serde_json::{Value, json};

use super::*;

const CHECKOUT: &str = "01890000-0000-7000-8000-000000000001";

fn subscription(status: &str, more: &Value) -> Value {
    let mut all = json!({
        "id": "sub_1", "livemode": false, "status": status, "customer": "cus_1", "created": 1_000,
        "metadata": { "caudal_checkout": CHECKOUT },
        "items": { "data": [{
            "id": "si_1", "price": { "id": "price_pro" }, "current_period_start": 1_000, "current_period_end": 5_000,
        }]},
    });
    if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    all
}

fn invoice(id: &str, lines: &Value) -> Value {
    json!({
        "id": id, "status": "paid", "created": 1_000, "amount_paid": 999, "currency": "eur", "lines": { "data": lines },
        "status_transitions": { "paid_at": 1_001 },
        "payments": { "data": [{ "status": "paid", "payment": { "payment_intent": format!("pi_{id}") } }] },
    })
}

fn line(amount: i64, price: &str, start: i64, end: i64) -> Value {
    json!({ "amount": amount, "period": { "start": start, "end": end }, "pricing": { "price_details": { "price": price } } })
}

fn charge(id: &str, invoice: &str, more: &Value) -> Value {
    let mut all = json!({
        "id": id, "payment_intent": format!("pi_{invoice}"), "status": "succeeded", "created": 1_001,
        "receipt_url": "https://pay.example/receipt",
    });
    if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    all
}

/// Hands in what is asked for, by the beginning of its path; what was asked, and what came of it.
fn read_all(answers: &[(&str, Value)]) -> (Vec<String>, Fetched) {
    let (mut reading, mut asked) = (Reading::of("sub_1"), Vec::new());
    let mut left: Vec<_> = answers.iter().collect();
    loop {
        match reading.next() {
            Asked::Ask(request) => {
                let at = left.iter().position(|(path, _)| request.path.starts_with(path)).unwrap();
                let (_, answer) = left.remove(at);
                asked.push(request.path);
                reading.take(answer.to_string().as_bytes()).unwrap();
            }
            Asked::Done(fetched) => return (asked, *fetched.unwrap()),
        }
    }
}

fn tier(price: &str) -> Option<Tier> {
    price.strip_prefix("price_")?.parse().ok()
}

fn list(data: &[Value]) -> Value {
    json!({ "data": data, "has_more": false })
}

#[test]
fn a_paid_month_is_a_payment_with_its_receipt() {
    let lines = json!([line(999, "price_pro", 1_000, 5_000)]);
    let (asked, fetched) = read_all(&[
        ("/v1/subscriptions/", subscription("active", &json!({}))),
        ("/v1/invoices", list(&[invoice("in_1", &lines)])),
        ("/v1/charges", list(&[charge("ch_1", "in_1", &json!({}))])),
    ]);
    assert_eq!(asked, ["/v1/subscriptions/sub_1", "/v1/invoices", "/v1/charges"]);
    assert_eq!(fetched.checkout, CHECKOUT.parse().ok());
    assert_eq!(fetched.paid[0].receipt_url.as_deref(), Some("https://pay.example/receipt"));
    let snapshot = fetched.snapshot(tier);
    assert_eq!(snapshot.phase, Phase::Live);
    let [payment] = &snapshot.payments[..] else { panic!("{snapshot:?}") };
    assert_eq!((payment.tier, payment.amount, payment.to.timestamp()), (Tier::Pro, Minor(999), 5_000));
    assert!(payment.stands());
}

#[test]
fn of_an_upgrade_the_higher_price_is_what_was_bought() {
    let lines = json!([line(-300, "price_basic", 2_000, 5_000), line(800, "price_pro", 2_000, 5_000)]);
    let (_, fetched) = read_all(&[
        ("/v1/subscriptions/", subscription("active", &json!({}))),
        ("/v1/invoices", list(&[invoice("in_1", &lines)])),
        ("/v1/charges", list(&[charge("ch_1", "in_1", &json!({}))])),
    ]);
    assert_eq!(fetched.snapshot(tier).payments[0].tier, Tier::Pro);
}

#[test]
fn what_is_paid_at_a_price_that_is_not_ours_buys_nothing() {
    let lines = json!([line(999, "price_of_somebody", 1_000, 5_000)]);
    let (_, fetched) = read_all(&[
        ("/v1/subscriptions/", subscription("active", &json!({}))),
        ("/v1/invoices", list(&[invoice("in_1", &lines)])),
        ("/v1/charges", list(&[])),
    ]);
    assert_eq!((fetched.paid.len(), fetched.snapshot(tier).payments.len()), (1, 0));
}

#[test]
fn refunds_and_disputes_are_asked_for_where_there_are_any() {
    let lines = json!([line(999, "price_pro", 1_000, 5_000)]);
    let (asked, fetched) = read_all(&[
        ("/v1/subscriptions/", subscription("canceled", &json!({ "ended_at": 3_000 }))),
        ("/v1/invoices", list(&[invoice("in_1", &lines), invoice("in_2", &lines)])),
        (
            "/v1/charges",
            list(&[
                charge("ch_1", "in_1", &json!({ "amount_refunded": 999 })),
                charge("ch_2", "in_2", &json!({ "disputed": true })),
                // Of another subscription, and one that did not go through.
                charge("ch_3", "in_9", &json!({ "disputed": true })),
                charge("ch_4", "in_1", &json!({ "status": "failed", "disputed": true })),
            ]),
        ),
        (
            "/v1/refunds",
            list(&[
                json!({ "amount": 500, "status": "succeeded", "created": 2_500 }),
                json!({ "amount": 499, "status": "succeeded", "created": 2_000 }),
                json!({ "amount": 1, "status": "failed", "created": 2_600 }),
            ]),
        ),
        (
            "/v1/disputes",
            list(&[
                json!({ "status": "warning_needs_response", "created": 2_900 }),
                json!({ "status": "under_review", "created": 2_800 }),
            ]),
        ),
    ]);
    assert_eq!(asked.len(), 5);
    let snapshot = fetched.snapshot(tier);
    assert_eq!(snapshot.phase, Phase::Ended(time(3_000).unwrap()));
    let [refunded, disputed] = &snapshot.payments[..] else { panic!("{snapshot:?}") };
    assert_eq!((refunded.refunded, refunded.refunded_at), (Minor(999), time(2_500)));
    let open = snapshot::Dispute { since: time(2_800).unwrap(), outcome: DisputeOutcome::Open };
    assert_eq!(disputed.dispute, Some(open));
}

#[test]
fn lists_are_read_to_their_ends_and_charges_to_the_beginning_of_the_subscription() {
    let lines = json!([line(999, "price_pro", 1_000, 5_000)]);
    let more = |data: &[Value]| json!({ "data": data, "has_more": true });
    let (asked, fetched) = read_all(&[
        ("/v1/subscriptions/", subscription("active", &json!({}))),
        ("/v1/invoices", more(&[invoice("in_2", &lines)])),
        ("/v1/invoices", list(&[invoice("in_1", &lines)])),
        ("/v1/charges", more(&[charge("ch_2", "in_2", &json!({}))])),
        ("/v1/charges", more(&[charge("ch_0", "in_0", &json!({ "created": 900 }))])),
    ]);
    assert_eq!((asked.len(), fetched.paid.len()), (5, 2));
}

#[test]
fn a_lower_price_that_is_scheduled_is_known() {
    let phases = json!([
        { "start_date": 1_000, "items": [{ "price": "price_pro" }] },
        { "start_date": 5_000, "items": [{ "price": "price_basic" }] },
    ]);
    for (status, pending) in [("active", Some(Tier::Basic)), ("released", None)] {
        let (_, fetched) = read_all(&[
            ("/v1/subscriptions/", subscription("active", &json!({ "schedule": "sched_1" }))),
            ("/v1/subscription_schedules/", json!({ "status": status, "phases": phases })),
            ("/v1/invoices", list(&[])),
        ]);
        assert_eq!(fetched.snapshot(tier).pending_tier, pending, "{status}");
    }
}

#[test]
fn of_somebody_else_s_subscription_nothing_more_is_asked() {
    let (asked, fetched) =
        read_all(&[("/v1/subscriptions/", subscription("active", &json!({ "metadata": {} })))]);
    assert_eq!((asked.len(), fetched.checkout), (1, None));
}

#[test]
fn every_word_for_where_it_stands_has_a_meaning_and_an_unknown_one_grants_nothing_new() {
    let at = |seconds| time(seconds).unwrap();
    for (status, more, phase) in [
        ("active", json!({}), Phase::Live),
        ("trialing", json!({}), Phase::Live),
        ("active", json!({ "cancel_at_period_end": true }), Phase::Ending(at(5_000))),
        ("active", json!({ "cancel_at": 4_000 }), Phase::Ending(at(4_000))),
        ("past_due", json!({ "cancel_at_period_end": true }), Phase::PastDue),
        ("unpaid", json!({}), Phase::PastDue),
        ("canceled", json!({ "canceled_at": 2_000 }), Phase::Ended(at(2_000))),
        ("incomplete_expired", json!({}), Phase::Ended(at(1_000))),
        ("a word of 2030", json!({}), Phase::PastDue),
    ] {
        let (_, fetched) =
            read_all(&[("/v1/subscriptions/", subscription(status, &more)), ("/v1/invoices", list(&[]))]);
        assert_eq!(fetched.phase, phase, "{status} {more}");
    }
}

#[test]
fn an_answer_that_is_something_else_is_an_error() {
    for answer in ["", "[]", "{}", "null", r#"{"id":"sub_1"}"#] {
        assert!(Reading::of("sub_1").take(answer.as_bytes()).is_err(), "{answer}");
    }
}

#[test]
fn a_list_without_an_end_is_an_error_and_not_the_truth() {
    let mut reading = Reading::of("sub_1");
    reading.take(subscription("active", &json!({})).to_string().as_bytes()).unwrap();
    let page = json!({ "data": [invoice("in_1", &json!([]))], "has_more": true }).to_string();
    let turned = (0..1_000).take_while(|_| reading.take(page.as_bytes()).is_ok()).count();
    assert!(turned < 100, "{turned}");
}
