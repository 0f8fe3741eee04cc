//! Ends of streams that nobody has opened.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_caller_that_ends_streams_without_number_is_refused_and_others_are_not() {
    let world = World::new();
    let controller = world.controller().await;
    let live = world.open();
    world.until_phase(live, Phase::Live).await;
    let mut remembered = 0;
    let refused = loop {
        match controller.end(StreamId::generate(), EndReason::EndedByOwner).await {
            Ok(()) => remembered += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, Refusal::Unavailable(_)), "{refused:?}");
    assert_eq!(remembered, MAX_UNKNOWN_ENDS);
    controller.end(live, EndReason::EndedByOwner).await.unwrap();
    assert_eq!(
        world.until_phase(live, Phase::Ended).await.machine.end_reason(),
        Some(EndReason::EndedByOwner)
    );
    // They are forgotten like all ended streams.
    sleep(PATIENCE).await;
    controller.end(StreamId::generate(), EndReason::EndedByOwner).await.unwrap();
    controller.close().await;
}
