//! What the door lets in, and what is answered twice.

use std::time::Duration;

use caudal_fakes::stripe::{Card, Fault};
use serde_json::json;

use crate::shop::{DAY, Shop, answer, text};

#[tokio::test]
async fn who_has_no_key_or_another_version_does_not_come_in() {
    let shop = Shop::open().await;
    let url = format!("{}/v1/account", shop.stripe.url);
    let (status, body) = answer(shop.http.get(&url).bearer_auth("sk_test_other")).await;
    assert_eq!((status, &body["error"]["type"]), (401, &json!("invalid_request_error")));
    let (status, _) = answer(shop.http.get(&url).bearer_auth("sk_test_fake")).await;
    assert_eq!(status, 400, "without a version");
    let (status, body) = shop.get("/v1/account").await;
    assert_eq!((status, &body["object"]), (200, &json!("account")));
}

#[tokio::test]
async fn an_unknown_path_and_an_unknown_object_are_404_in_stripes_shape() {
    let shop = Shop::open().await;
    let (status, body) = shop.get("/v1/teapots").await;
    assert_eq!((status, &body["error"]["type"]), (404, &json!("invalid_request_error")));
    let (status, body) = shop.get("/v1/subscriptions/sub_none").await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("resource_missing")));
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_at_every_depth() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    let path = format!("/v1/subscriptions/{subscription}");
    for (path, field) in [
        ("/v1/customers", "colour"),
        ("/v1/checkout/sessions", "subscription_data[foo]"),
        ("/v1/checkout/sessions", "line_items[0][foo]"),
        ("/v1/checkout/sessions", "payment_method_types[0]"),
        (path.as_str(), "items[0][foo]"),
        (path.as_str(), "items[foo][price]"),
        ("/v1/subscription_schedules/sub_sched_1", "phases[0][iterations]"),
    ] {
        let (status, body) = shop.post(path, &[(field, "1")]).await;
        let error = &body["error"];
        assert_eq!((status, &error["code"]), (400, &json!("parameter_unknown")), "{path} {field}");
        assert_eq!(error["param"], json!(field));
    }
    let (status, _) = shop.get("/v1/subscriptions?created[foo]=1").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_form_that_makes_no_sense_is_refused() {
    let shop = Shop::open().await;
    for fields in [
        [("metadata", "1"), ("metadata[a]", "2")],
        [("metadata[a]", "1"), ("metadata[a][b]", "2")],
        [("metadata[", "1"), ("name", "2")],
        [("metadata[a]b", "1"), ("name", "2")],
        [("a[b][c][d][e][f][g][h][i]", "1"), ("name", "2")],
    ] {
        assert_eq!(shop.post("/v1/customers", &fields).await.0, 400, "{fields:?}");
    }
    let json = shop.request("POST", "/v1/customers").json(&json!({ "name": "x" }));
    assert_eq!(answer(json).await.0, 400);
}

#[tokio::test]
async fn metadata_is_merged_and_unset_by_empty_values() {
    let shop = Shop::open().await;
    let path = format!("/v1/customers/{}", shop.customer);
    shop.posted(&path, &[("metadata[a]", "1"), ("metadata[b]", "2")]).await;
    let merged = shop.posted(&path, &[("metadata[a]", ""), ("metadata[c]", "3")]).await;
    assert_eq!(merged["metadata"], json!({ "b": "2", "c": "3" }));
    assert_eq!(shop.posted(&path, &[("metadata", "")]).await["metadata"], json!({}));
}

#[tokio::test]
async fn the_same_request_with_the_same_key_happens_once() {
    let shop = Shop::open().await;
    let fields = [("email", "one@example.com")];
    let (_, first) = shop.post_with_key("k", "/v1/customers", &fields).await;
    let form = shop.form("/v1/customers", &fields).header("Idempotency-Key", "k");
    let again = form.send().await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(again.json::<serde_json::Value>().await.unwrap(), first);
    let (status, other) = shop.post_with_key("k", "/v1/customers", &[("email", "two@example.com")]).await;
    assert_eq!((status, &other["error"]["type"]), (400, &json!("idempotency_error")));
    let (status, _) = shop.post_with_key("k", "/v1/products", &[("name", "x")]).await;
    assert_eq!(status, 400, "another path is another request");
    shop.stripe.advance(DAY);
    let (_, later) = shop.post_with_key("k", "/v1/customers", &fields).await;
    assert_ne!(later["id"], first["id"], "keys are forgotten after a day");
}

#[tokio::test]
async fn a_key_is_in_use_while_its_first_request_is_answered() {
    let shop = Shop::open().await;
    shop.stripe.fail(1, Fault::Slow(1500), "POST /v1/customers");
    let fields = [("email", "one@example.com")];
    let first = tokio::spawn(shop.form("/v1/customers", &fields).header("Idempotency-Key", "k").send());
    while shop.stripe.objects("customers").len() < 2 {
        tokio::task::yield_now().await;
    }
    let (status, body) = shop.post_with_key("k", "/v1/customers", &fields).await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("idempotency_key_in_use")));
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!(shop.post_with_key("k", "/v1/customers", &fields).await.0, 200);
    assert_eq!(shop.stripe.objects("customers").len(), 2);
}

#[tokio::test]
async fn a_decline_is_kept_under_its_key_and_a_malformed_request_is_not() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    shop.stripe.set_card(&shop.customer, Card::Declined);
    shop.upgrade(&subscription, &shop.pro).await;
    let path = format!("/v1/invoices/{}/pay", text(&shop.latest_invoice(&subscription)["id"]));
    let (status, declined) = shop.post_with_key("k", &path, &[]).await;
    assert_eq!((status, &declined["error"]["code"]), (402, &json!("card_declined")));
    assert_eq!(declined["error"]["decline_code"], "insufficient_funds");
    shop.stripe.set_card(&shop.customer, Card::Ok);
    assert_eq!(shop.post_with_key("k", &path, &[]).await.0, 402, "the key remembers");
    assert_eq!(shop.post_with_key("k2", &path, &[]).await.0, 200);

    assert_eq!(shop.post_with_key("k3", "/v1/products", &[]).await.0, 400);
    assert_eq!(shop.post_with_key("k3", "/v1/products", &[("name", "x")]).await.0, 200);
}

#[tokio::test]
async fn a_connection_that_ends_after_the_effect_is_found_out_by_the_same_key() {
    let shop = Shop::open().await;
    let fields = [("email", "one@example.com")];
    let send = || shop.form("/v1/customers", &fields).header("Idempotency-Key", "k").send();
    shop.stripe.fail(1, Fault::ClosedBefore, "POST /v1/customers");
    assert!(send().await.is_err());
    assert_eq!(shop.stripe.objects("customers").len(), 1);
    shop.stripe.fail(1, Fault::ClosedAfter, "POST /v1/customers");
    assert!(send().await.is_err());
    assert_eq!(shop.stripe.objects("customers").len(), 2);
    let repeated = send().await.unwrap();
    assert_eq!(repeated.headers()["idempotent-replayed"], "true");
    assert_eq!(shop.stripe.objects("customers").len(), 2);
}

#[tokio::test]
async fn requests_fail_in_every_way_that_was_asked_for() {
    let shop = Shop::open().await;
    let fields = [("email", "one@example.com")];
    let post = |key: &'static str| shop.post_with_key(key, "/v1/customers", &fields);
    shop.stripe.fail(1, Fault::Error500, "POST");
    assert_eq!((post("a").await.0, post("a").await.0), (500, 200), "nothing was kept");
    shop.stripe.fail(1, Fault::Error500Kept, "POST");
    assert_eq!((post("b").await.0, post("b").await.0), (500, 500), "it was kept");
    assert_eq!(shop.stripe.objects("customers").len(), 3, "and its effect took place");
    shop.stripe.fail(1, Fault::RateLimited(7), "");
    let limited = shop.request("GET", "/v1/account").send().await.unwrap();
    assert_eq!((limited.status().as_u16(), &limited.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    for (fault, customers) in [(Fault::SilentBefore, 3), (Fault::SilentAfter, 4)] {
        shop.stripe.fail(1, fault, "POST /v1/customers");
        let silent = shop.form("/v1/customers", &fields).timeout(Duration::from_millis(500)).send();
        assert!(silent.await.unwrap_err().is_timeout());
        assert_eq!(shop.stripe.objects("customers").len(), customers);
    }
    let unanswered = shop.stripe.requests().iter().filter(|request| request.status.is_none()).count();
    assert_eq!(unanswered, 2);
}

#[tokio::test]
async fn a_list_is_read_page_by_page_the_newest_first() {
    let shop = Shop::open().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(shop.checkout(&shop.basic).await);
    }
    made.reverse();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/checkout/sessions?customer={}&limit=2{after}", shop.customer);
        let (_, page) = shop.get(&path).await;
        seen.extend(page["data"].as_array().unwrap().iter().map(|session| text(&session["id"])));
        if page["has_more"] == false {
            break;
        }
        after = format!("&starting_after={}", seen.last().unwrap());
    }
    assert_eq!(seen, made);
    let later = shop.stripe.now() + 60;
    let (_, none) = shop.get(&format!("/v1/checkout/sessions?created[gte]={later}")).await;
    assert_eq!(none["data"], json!([]));
}

#[tokio::test]
async fn expand_puts_objects_in_the_place_of_ids_and_refuses_other_fields() {
    let shop = Shop::open().await;
    let subscription = shop.subscribed(&shop.basic).await;
    let path = format!("/v1/subscriptions/{subscription}?expand[]=latest_invoice.payments&expand[]=schedule");
    let (_, expanded) = shop.get(&path).await;
    assert_eq!(expanded["latest_invoice"]["object"], "invoice");
    assert_eq!(expanded["latest_invoice"]["payments"]["data"][0]["object"], "invoice_payment");
    assert_eq!(expanded["schedule"], json!(null));
    let (status, _) = shop.get(&format!("/v1/subscriptions/{subscription}?expand[]=status")).await;
    assert_eq!(status, 400);
    // Basil took it away.
    let path = format!("/v1/subscriptions/{subscription}?expand[]=latest_invoice.payment_intent");
    assert_eq!(shop.get(&path).await.0, 400);
}
