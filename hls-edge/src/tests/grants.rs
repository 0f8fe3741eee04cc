//! Who may watch, by each way of asking.

use caudal_livestream::StreamId;
use caudal_livestream::admission::Access;
use caudal_livestream::record::Phase;

use super::{Scene, until_text};
use crate::TicketKey;

const ANSWERED: [&str; 4] = ["master.m3u8", "manifest.mpd", "source/index.m3u8", "source/p1-0.m4s"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gated_or_unknown_stream_is_not_found_by_the_public_path_nor_by_a_ticket() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    worker.segment();
    worker.store().await;
    let (known, unknown) = (scene.stream, StreamId::generate());
    let ticket = |stream| TicketKey::new([9; 32]).issue(stream, 7);
    let ways = |stream: StreamId| {
        [String::new(), format!("/v/{}", ticket(stream)), "/v/made-up".to_owned()]
            .map(|way| format!("{way}/live/{stream}"))
    };
    let statuses = async |stream| {
        let mut found = Vec::new();
        for way in ways(stream) {
            for file in ANSWERED {
                found.push(scene.status(&format!("{way}/{file}")).await);
            }
        }
        found
    };
    let (all, none) = (vec![200; 3 * ANSWERED.len()], vec![404; 3 * ANSWERED.len()]);
    assert_eq!(statuses(known).await, all);
    assert_eq!(statuses(unknown).await, none);
    for phase in [Phase::Live, Phase::Ended] {
        scene.directory.change(|record| {
            record.spec.access = Access::Premium;
            record.status.phase = phase;
        });
        assert_eq!(statuses(known).await, none, "{phase:?}");
        for way in ways(known) {
            assert_eq!(scene.text(&format!("{way}/begun")).await, "false", "{phase:?}");
        }
    }
    scene.directory.change(|record| {
        record.spec.access = Access::Public;
        record.status.phase = Phase::Live;
    });
    assert_eq!(statuses(known).await, all);
    until_text(&scene, "/live/{s}/begun", |text| text == "true").await;
    scene.stop().await;
}
