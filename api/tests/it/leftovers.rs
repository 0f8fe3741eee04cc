//! Rows of broadcasts that nobody broadcasts: after a restored backup, or when a record was lost.

use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::StreamId;
use caudal_livestream::record::Phase;
use caudal_livestream::report::EndReason;

use crate::database::TestDatabase;
use crate::lifecycle::Order;
use crate::running::Running;

async fn impatient() -> Running {
    Running::start_with(|config| config.deadlines.unknown_stream = Duration::from_millis(100)).await
}

#[tokio::test]
async fn a_live_row_whose_record_was_lost_is_closed_and_the_others_stay_live() {
    let api = impatient().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let (lost, known) = (ana.goes_live().await, bob.goes_live().await);
    api.database.execute("update streams set authorized_at = now() - interval '1 day'").await;
    api.lifecycle.forgets(lost);
    api.database.says("select bool_or(ended_at is not null) from streams").await;

    let closed = api.stream(lost).await;
    assert_eq!((&closed["isLive"], &closed["viewerCount"]), (&false.into(), &0.into()));
    assert_eq!(api.stream(known).await["isLive"], true);
    let streaming: Vec<String> = sqlx::query_scalar("select username from users where is_streaming")
        .fetch_all(&api.database.pool)
        .await
        .unwrap();
    assert_eq!(streaming, ["bob"]);
    assert_eq!(api.get("/api/streams").await.json.as_array().unwrap().len(), 1);
    // Nothing was asked of the lifecycle, and the key opens a new broadcast.
    assert_eq!(api.lifecycle.orders(), []);
    assert_ne!(api.authorize(&ana.stream_key().await).await.unwrap().stream, lost);
}

#[tokio::test]
async fn a_restored_backup_s_live_rows_are_closed_after_the_start() {
    let database = Arc::new(TestDatabase::create().await);
    let before = Running::replica(Arc::clone(&database), |_| ()).await;
    let lost = before.register("ana").await.goes_live().await;
    database.execute("update streams set authorized_at = now() - interval '1 day'").await;
    before.shutdown.cancel();
    before.task.await.unwrap().unwrap();

    let after = Running::replica(Arc::clone(&database), |config| {
        config.deadlines.unknown_stream = Duration::from_millis(100);
    })
    .await;
    database.says("select not is_live and ended_at is not null and ended_reason = 'lost' from streams").await;
    database.says("select not is_streaming from users").await;
    assert_eq!(after.stream(lost).await["isLive"], false);
}

#[tokio::test]
async fn while_the_directory_is_out_of_sight_no_broadcast_counts_as_lost() {
    let api = impatient().await;
    let ana = api.register("ana").await;
    api.register("bob").await;
    let lost = ana.goes_live().await;
    let key = ana.stream_key().await;
    api.lifecycle.set_away(true);
    api.lifecycle.forgets(lost);
    api.database.execute("update streams set authorized_at = now() - interval '1 day'").await;
    // The background has looked twice since, because it has put something else right twice.
    for _ in 0..2 {
        api.database.execute("update users set is_streaming = true where username = 'bob'").await;
        api.database.says("select not is_streaming from users where username = 'bob'").await;
    }
    assert_eq!(api.stream(lost).await["isLive"], true);
    assert_eq!(api.authorize(&key).await.unwrap().stream, lost);
    assert_eq!(api.get("/api/streams").await.json.as_array().unwrap().len(), 1);

    api.database.execute("update streams set authorized_at = now() - interval '1 day'").await;
    api.lifecycle.set_away(false);
    api.database.says("select not is_live and ended_reason = 'lost' from streams").await;
}

#[tokio::test]
async fn whoever_was_just_let_in_may_take_an_hour_to_appear() {
    let api = impatient().await;
    let (ana, bob, eve) = (api.register("ana").await, api.register("bob").await, api.register("eve").await);
    for person in [&ana, &bob, &eve] {
        api.authorize(&person.stream_key().await).await.unwrap();
    }
    api.database
        .execute(
            "update streams set authorized_at = now() - case u.username
                 when 'ana' then interval '61 minutes' when 'bob' then interval '59 minutes' else interval '61 minutes' end
             from users u where u.id = user_id",
        )
        .await;
    // Let in again: the same stream, and a new hour.
    api.authorize(&eve.stream_key().await).await.unwrap();
    api.database
        .says("select ended_at is not null from streams s join users u on u.id = user_id where username = 'ana'")
        .await;
    api.database.says("select count(*) = 2 from streams where ended_at is null").await;
}

#[tokio::test]
async fn a_stream_that_was_only_prepared_waits_for_ever() {
    let api = impatient().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    ana.post("/api/streams", serde_json::json!({"title": "In a week"})).await;
    let lost = bob.goes_live().await;
    api.database
        .execute("update streams set created_at = now() - interval '1 week', authorized_at = authorized_at - interval '1 day'")
        .await;
    api.lifecycle.forgets(lost);
    api.database.says("select ended_at is not null from streams where authorized_at is not null").await;
    assert_eq!(ana.get("/api/streams/mine").await.json["title"], "In a week");
}

#[tokio::test]
async fn the_id_of_a_lost_broadcast_is_not_broadcast_under_again() {
    // Before the background gets round to it.
    let api = Running::start_with(|config| config.deadlines.sweep = Duration::from_secs(3600)).await;
    let ana = api.register("ana").await;
    let lost = ana.goes_live().await;
    api.lifecycle.forgets(lost);
    let key = ana.stream_key().await;
    assert_eq!(api.authorize(&key).await.unwrap().stream, lost, "a directory may still be loading");
    api.database.execute("update streams set authorized_at = now() - interval '1 day'").await;
    assert_ne!(api.authorize(&key).await.unwrap().stream, lost);
    assert_eq!(api.stream(lost).await["isLive"], false);
}

#[tokio::test]
async fn a_lost_broadcast_that_turns_up_after_all_is_ended_so_that_its_publisher_gets_a_new_one() {
    let api = impatient().await;
    let lost = api.register("ana").await.goes_live().await;
    api.database.execute("update streams set authorized_at = now() - interval '1 day'").await;
    api.lifecycle.forgets(lost);
    api.database.says("select ended_at is not null from streams").await;
    api.lifecycle.knows(lost, Phase::Live);
    api.published(lost).await;
    api.lifecycle.was_told(&Order::End(lost, EndReason::PublisherLost)).await;
    assert_eq!(api.stream(lost).await["isLive"], false);
    api.done(lost, "publisher_lost").await;
}

#[tokio::test]
async fn who_is_called_streaming_follows_the_streams() {
    let api = Running::start().await;
    let (ana, _bob) = (api.register("ana").await, api.register("bob").await);
    ana.goes_live().await;
    api.database.execute("update users set is_streaming = not is_streaming").await;
    api.database.says("select bool_and(is_streaming = (username = 'ana')) from users").await;
}

/// A database restored from a backup does not know what began after it.
#[tokio::test]
async fn a_running_broadcast_that_the_database_has_forgotten_gets_its_row_back() {
    let api = impatient().await;
    let (ana, bob, eve) = (api.register("ana").await, api.register("bob").await, api.register("eve").await);
    // Ana's has no row, Bob's was not live yet, and of Eve the backup has an older broadcast.
    let (anas, eves) = (StreamId::generate(), StreamId::generate());
    let bobs = api.authorize(&bob.stream_key().await).await.unwrap().stream;
    let older = eve.goes_live().await;
    api.database.execute("update streams set authorized_at = now() - interval '1 day' where is_live").await;
    api.lifecycle.forgets(older);
    api.lifecycle.knows_of("ana", anas, Phase::Live);
    api.lifecycle.knows_of("bob", bobs, Phase::Reconnecting);
    api.lifecycle.knows_of("eve", eves, Phase::Live);
    api.lifecycle.knows_of("nobody", StreamId::generate(), Phase::Live);
    api.lifecycle.knows_of("ana", StreamId::generate(), Phase::Ending);

    api.database.says("select count(*) = 1 from streams where ended_at is not null").await;
    api.database.says("select count(*) = 3 from streams where is_live").await;
    api.database.says("select bool_and(is_streaming) from users").await;
    for (stream, person) in [(anas, &ana), (bobs, &bob), (eves, &eve)] {
        let shown = api.stream(stream).await;
        assert_eq!((&shown["isLive"], &shown["startedAt"]), (&true.into(), &"2023-11-14T22:13:20Z".into()));
        assert_eq!(person.get("/api/streams/mine").await.json["id"], stream.to_string());
        // Its publisher returns to the same broadcast.
        assert_eq!(api.authorize(&person.stream_key().await).await.unwrap().stream, stream);
    }
    assert_eq!(api.stream(older).await["isLive"], false);
    api.done(anas, "unpublished").await;
    assert_eq!(api.stream(anas).await["isLive"], false);
}
