//! Edges in processes of their own, and what the api makes of their reports.

use caudal_livestream::audience::{AUDIENCE_PATH, AudienceReport, MAX_COUNTS, ViewerCount};
use caudal_livestream::{EdgeId, StreamId};

use crate::running::Running;

fn report(edge: EdgeId, sequence: u64, stream: StreamId, viewers: u32) -> AudienceReport {
    AudienceReport { edge, sequence, last: false, counts: vec![ViewerCount { stream, viewers }] }
}

#[tokio::test]
async fn viewers_at_all_edges_are_shown_together_until_an_edge_stops() {
    use caudal_directory::Audience as _;
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    let (one, other) = (EdgeId::generate(), EdgeId::generate());
    api.audience.record(live, 1);
    for (edge, viewers) in [(one, 20), (other, 300)] {
        assert_eq!(api.as_edge(AUDIENCE_PATH, report(edge, 1, live, viewers)).await.status, 204);
    }
    assert_eq!(api.stream(live).await["viewerCount"], 321);
    let last = AudienceReport { edge: other, sequence: 3, last: true, counts: Vec::new() };
    assert_eq!(api.as_edge(AUDIENCE_PATH, last).await.status, 204);
    assert_eq!(api.as_edge(AUDIENCE_PATH, report(other, 2, live, 300)).await.status, 204);
    assert_eq!(api.stream(live).await["viewerCount"], 21);
}

#[tokio::test]
async fn an_edge_reports_viewers_and_may_do_nothing_else_and_nobody_else_may() {
    let api = Running::start().await;
    let told = report(EdgeId::generate(), 1, StreamId::generate(), 1);
    assert_eq!(api.as_router(AUDIENCE_PATH, &told).await.refusal(), (401, "unauthenticated"));
    assert_eq!(api.as_controller(AUDIENCE_PATH, &told).await.refusal(), (401, "unauthenticated"));
    for path in ["/internal/ingest/authorize", "/internal/ingest/published", "/internal/ingest/done"] {
        assert_eq!(api.as_edge(path, &told).await.refusal(), (401, "unauthenticated"), "{path}");
    }
}

#[tokio::test]
async fn a_report_that_is_none_is_refused() {
    let api = Running::start().await;
    assert_eq!(api.as_edge(AUDIENCE_PATH, "viewers").await.refusal().0, 400);
    let stream = StreamId::generate();
    let counts = vec![ViewerCount { stream, viewers: 1 }; MAX_COUNTS + 1];
    let long = AudienceReport { counts, ..report(EdgeId::generate(), 1, stream, 1) };
    assert_eq!(api.as_edge(AUDIENCE_PATH, long).await.refusal().0, 413);
}
