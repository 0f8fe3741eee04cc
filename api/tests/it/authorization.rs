//! Who may do what: every operation of the OpenAPI document × everybody there is. How an operation is called, and who is let in, is a
//! row of `rows`; an operation without one fails.

pub(crate) mod rows;
pub(crate) mod world;

use std::collections::{BTreeMap, BTreeSet};

use caudal_storage::SegmentStore;
use futures::StreamExt as _;

use self::rows::{Caller, Row};
use self::world::World;
use crate::contract::DOCUMENT;
use crate::openapi::operations;
use crate::running::{Running, send};
use crate::shop::{fake_stripe, sells};
use crate::smtp_server::SmtpServer;

/// By `operationId`: method, path and `x-caudal-auth`.
fn described() -> BTreeMap<&'static str, (String, &'static str)> {
    let operation = |(method, path, operation): (reqwest::Method, &str, &'static serde_json::Value)| {
        let text = |field: &str| operation[field].as_str().unwrap();
        (text("operationId"), (format!("{method} {path}"), text("x-caudal-auth")))
    };
    operations().map(operation).collect()
}

#[test]
fn every_operation_has_a_row_that_agrees_with_the_document() {
    let described = described();
    let all = rows::all();
    let named: BTreeSet<&str> = all.iter().map(|row| row.operation).collect();
    assert_eq!(named.len(), all.len(), "an operation has two rows");
    let missing: Vec<_> = described.iter().filter(|(id, _)| !named.contains(*id)).collect();
    assert!(
        missing.is_empty(),
        "no test says who may do this: {missing:#?}\nEach needs a row in api/tests/it/authorization/rows.rs: how it is called, and who \
         is let in other than its x-caudal-auth says."
    );
    for row in all {
        let (place, auth) = described
            .get(row.operation)
            .unwrap_or_else(|| panic!("{} has a row and is not in the document any more", row.operation));
        assert_eq!(row.auth.word(), *auth, "{}: x-caudal-auth", row.operation);
        let same =
            |(here, there): (&str, &str)| here == there || here.starts_with('<') && there.starts_with('{');
        let call = row.call.split('?').next().unwrap();
        assert!(
            call.split('/').count() == place.split('/').count()
                && call.split('/').zip(place.split('/')).all(same),
            "{}: the row calls {call}, and the document has {place}",
            row.operation
        );
        assert!(
            !row.body.is_null()
                || DOCUMENT["paths"].pointer(&body_of(place)).is_none_or(|needed| needed != true),
            "{} needs a body",
            row.operation
        );
    }
}

/// Where the document says whether an operation needs a body.
fn body_of(place: &str) -> String {
    let (method, path) = place.split_once(' ').unwrap();
    format!("/{}/{}/requestBody/required", path.replace('/', "~1"), method.to_lowercase())
}

/// Each call in a world of its own: none sees what another has changed.
async fn hold(rows: Vec<Row>) {
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let stripe = fake_stripe().await;
    let mail = SmtpServer::start().await;
    let api = Running::start_with(|config| {
        config.pictures = Some(store);
        sells(config, &stripe, &mail);
    })
    .await;
    let template = api.register("template").await;
    let cells = rows.iter().flat_map(|row| Caller::ALL.map(|caller| (row, caller)));
    let wrong: Vec<String> = futures::stream::iter(cells)
        .map(async |(row, caller)| {
            let world = World::new(&template).await;
            let request = world.request(row, caller).await;
            let answer = send(request).await;
            let expected = row.answers(caller);
            let got = answer.refusal();
            (!expected.fits(got))
                .then(|| format!("{} as {caller:?}: {got:?}, not {expected:?}: {}", row.call, answer.json))
        })
        .buffer_unordered(4)
        .filter_map(async |wrong| wrong)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn nobody_does_with_accounts_what_they_may_not() {
    hold(rows::auth()).await;
}

#[tokio::test]
async fn nobody_does_with_streams_categories_and_searches_what_they_may_not() {
    hold([rows::streams(), rows::categories(), rows::search(), rows::documentation()].concat()).await;
}

#[tokio::test]
async fn nobody_does_with_people_and_notifications_what_they_may_not() {
    hold([rows::users(), rows::notifications(), rows::webhooks()].concat()).await;
}

#[tokio::test]
async fn nobody_does_in_a_chat_what_they_may_not() {
    hold(rows::chat()).await;
}

#[tokio::test]
async fn nobody_does_with_subscriptions_and_money_what_they_may_not() {
    hold([rows::subscriptions(), rows::billing()].concat()).await;
}

#[tokio::test]
async fn nobody_administers_who_may_not() {
    hold(rows::admin()).await;
}

/// What is somebody else's is not found by way of one's own.
#[tokio::test]
async fn owning_a_channel_opens_no_other_one() {
    let api = Running::start().await;
    let template = api.register("template").await;
    let (mine, theirs) = (World::new(&template).await, World::new(&template).await);
    let my_stream = mine.thing("stream", Caller::Owner).await;
    let me = mine.person("owner");
    for (collection, thing) in [("messages", "message"), ("terms", "term")] {
        let id = theirs.thing(thing, Caller::Owner).await;
        let by_mine = me.delete(&format!("/api/chat/{my_stream}/{collection}/{id}")).await;
        assert_eq!(by_mine.refusal(), (404, "not_found"), "{thing}: {}", by_mine.json);
        let their_stream = theirs.thing("stream", Caller::Owner).await;
        let by_theirs = me.delete(&format!("/api/chat/{their_stream}/{collection}/{id}")).await;
        assert_eq!(by_theirs.refusal(), (403, "forbidden"), "{thing}: {}", by_theirs.json);
        // It is still there for whom it is for.
        let theirs =
            theirs.person("owner").delete(&format!("/api/chat/{their_stream}/{collection}/{id}")).await;
        assert_eq!(theirs.status, 204, "{thing}: {}", theirs.json);
    }
}
