//! Against a real API server, whose `KUBECONFIG` is `/tmp/caudal-kube.*/…`: one that was started for these tests and is thrown away
//! after them. Nothing runs pods there; the tests say what a kubelet would.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy takes only #[test] functions for tests here"
)]

mod definitions;
mod foreign;
mod metrics;
mod pauses;
mod records;
mod removal;
mod running;
mod twins;
mod upgrade;
mod workers;
mod world;

use caudal_kubernetes::throw_away_server as server;
