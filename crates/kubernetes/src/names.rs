//! Names, labels and annotations that operator, routers and people find things by.

use caudal_livestream::{Epoch, StreamId};
use kube::ResourceExt;

/// The API group of all our resources; labels and annotations begin with it too.
pub const GROUP: &str = "caudal.dev";

/// The Lease of whoever leads; a release's namespace has one.
pub const LEASE: &str = "caudal-operator";

/// Holds a LiveStream until the api knows of its end (ARCHITECTURE §3.10).
pub const END_FINALIZER: &str = "caudal.dev/end";

/// On a LiveStream: an order to move it to another worker. Each value is an order of its own.
pub const MOVE_ANNOTATION: &str = "caudal.dev/move";

/// On a LiveStream or a WorkerPool: `true` keeps the operator from doing anything to it of its own accord.
pub const PAUSED_ANNOTATION: &str = "caudal.dev/paused";

/// On our CustomResourceDefinitions: the release that they are of.
pub const RELEASE_ANNOTATION: &str = "caudal.dev/release";

/// Whether this resource is paused by itself.
pub fn is_paused(resource: &impl ResourceExt) -> bool {
    resource.annotations().get(PAUSED_ANNOTATION).is_some_and(|paused| paused == "true")
}

/// Whether our finalizer holds this LiveStream: something is left to be done for its broadcast.
pub fn is_held(resource: &impl ResourceExt) -> bool {
    resource.finalizers().iter().any(|finalizer| finalizer == END_FINALIZER)
}

/// On a WorkerPool that an uninstall has closed: what it was before, and until when it stays so without another word.
pub const CLOSED_ANNOTATION: &str = "caudal.dev/closed-by-uninstall";

/// On a worker's pod: the stream that it was claimed for.
pub const STREAM_LABEL: &str = "caudal.dev/stream";
/// On a worker's pod: the epoch that it was claimed for.
pub const EPOCH_LABEL: &str = "caudal.dev/epoch";
/// On a worker's pod: its pool.
pub const POOL_LABEL: &str = "caudal.dev/pool";
/// On a worker's pod: [`IDLE`] or [`CLAIMED`]. A PodDisruptionBudget selects by it.
pub const STATE_LABEL: &str = "caudal.dev/worker";
/// [`STATE_LABEL`] of a warm worker that is nobody's.
pub const IDLE: &str = "idle";
/// [`STATE_LABEL`] of a worker that is a stream's.
pub const CLAIMED: &str = "claimed";
/// On a worker's pod: what it was built from, so that idle pods of an older template are replaced.
pub const HASH_LABEL: &str = "caudal.dev/spec-hash";

/// The name of a stream's LiveStream.
pub fn live_stream(stream: StreamId) -> String {
    format!("s-{stream}")
}

/// The stream of a LiveStream of this name; none when the name is not one of ours.
pub fn stream_of(live_stream: &str) -> Option<StreamId> {
    let stream = live_stream.strip_prefix("s-")?.parse().ok()?;
    // The same id can be written in several ways; only one of them is the name.
    (self::live_stream(stream) == live_stream).then_some(stream)
}

/// The name of a pod that is created for one stream and epoch because no warm one was there. The same choice gives the same
/// name, so that a controller with an old view of the cluster cannot make two.
pub fn cold_pod(stream: StreamId, epoch: Epoch) -> String {
    format!("w-{stream}-{epoch}")
}

/// The names that such a pod may have, in the order in which they are tried: each after the first is for where the one before it belongs to
/// a pod that is not the controller's, or to one of its own that is being deleted or was left because it did not come up.
pub fn cold_pods(stream: StreamId, epoch: Epoch) -> [String; 3] {
    let first = cold_pod(stream, epoch);
    [first.clone(), format!("{first}-2"), format!("{first}-3")]
}

/// The name of a pool's warm pod in one of the places that the pool has for them.
pub fn warm_pod(pool: &str, place: u32) -> String {
    format!("w-{pool}-{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_its_stream_and_no_other_name_does() {
        let stream = StreamId::generate();
        assert_eq!(stream_of(&live_stream(stream)), Some(stream));
        for other in [
            format!("s-{}", stream.to_string().to_uppercase()),
            format!("s-{}", stream.0.simple()),
            format!("t-{stream}"),
            stream.to_string(),
            "s-".to_owned(),
        ] {
            assert_eq!(stream_of(&other), None, "{other}");
        }
    }

    #[test]
    fn no_pod_name_is_longer_than_a_host_name_may_be() {
        let stream = StreamId::generate();
        assert!(cold_pods(stream, Epoch(u32::MAX)).iter().all(|name| name.len() <= 63));
        assert!(warm_pod(&"p".repeat(MAX_POOL_NAME), u32::MAX).len() <= 63);
    }

    /// As the schema of a WorkerPool says.
    const MAX_POOL_NAME: usize = 40;
}
