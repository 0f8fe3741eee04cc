//! Where the controller gets its workers from.

use caudal_livestream::WorkerId;
use caudal_livestream::record::WorkerAddress;
use futures::future::BoxFuture;

/// Worker processes: this machine's children, or a test's.
pub trait Workers: Send + Sync + 'static {
    /// A worker that has no stream, and from now on is the caller's alone; waits until there is one. Dropping the
    /// future claims none.
    fn claim(&self) -> BoxFuture<'static, WorkerAddress>;

    /// Resolves when this worker's process has ended; at once when it is not known.
    fn exited(&self, worker: WorkerId) -> BoxFuture<'static, ()>;

    /// Ends this worker, first politely, and resolves when its process is gone; at once when it is not known.
    fn release(&self, worker: WorkerId) -> BoxFuture<'static, ()>;
}
