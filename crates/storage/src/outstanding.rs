//! Writes to a folder that have begun and not ended, however long ago their callers gave up.
//!
//! On a volume that hangs nothing ends a write that has begun, and the write holds its bytes. Without a limit each new attempt would
//! hold the same again, until there is no memory left; and an older attempt could land behind a newer one once the volume answers.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use tokio::sync::Notify;

/// One write of each object at a time, and [`MAX_WRITES`] altogether.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    // Held for single operations only, never across an await.
    writes: Mutex<HashSet<ObjectPath>>,
    ended: Notify,
}

/// The right to write an object, until this is dropped.
#[derive(Debug)]
pub(crate) struct Begun {
    outstanding: Arc<Outstanding>,
    location: ObjectPath,
}

impl Outstanding {
    /// Waits until `location` may be written.
    pub(crate) async fn begin(self: &Arc<Self>, location: &ObjectPath) -> Begun {
        loop {
            // Before the look, so that no end is missed.
            let ended = self.ended.notified();
            {
                let mut writes = self.lock();
                if writes.len() < MAX_WRITES && writes.insert(location.clone()) {
                    return Begun { outstanding: Arc::clone(self), location: location.clone() };
                }
            }
            ended.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<ObjectPath>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    /// The same bytes. The write has ended when nobody has them any more: the thread that writes them lets go of them last, and
    /// outlives a caller that gave up.
    pub(crate) fn with(self, data: Bytes) -> Bytes {
        Bytes::from_owner(Writing { data, _begun: self })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.outstanding.lock().remove(&self.location);
        self.outstanding.ended.notify_waiters();
    }
}

struct Writing {
    data: Bytes,
    _begun: Begun,
}

impl AsRef<[u8]> for Writing {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// A disk does not get faster by more. Of the longest segments (63 MB) these are a gigabyte.
const MAX_WRITES: usize = 16;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn of_an_object_one_write_is_outstanding_and_of_all_a_few() {
        let outstanding = Arc::<Outstanding>::default();
        let begin = |name: usize| {
            let outstanding = Arc::clone(&outstanding);
            Box::pin(async move {
                let begun = outstanding.begin(&ObjectPath::from(name.to_string())).await;
                begun.with(Bytes::from_static(b"segment"))
            })
        };
        let mut written: Vec<Bytes> =
            (0..MAX_WRITES - 1).map(|name| begin(name).now_or_never().unwrap()).collect();
        assert!(written.iter().all(|data| **data == *b"segment"));
        let (mut again, mut another, mut one_too_many) = (begin(0), begin(MAX_WRITES), begin(MAX_WRITES + 1));
        assert!((&mut again).now_or_never().is_none(), "an attempt before it goes on");
        let _another = (&mut another).now_or_never().unwrap();
        assert!((&mut one_too_many).now_or_never().is_none());
        written.remove(0);
        let _again = (&mut again).now_or_never().unwrap();
        assert!((&mut one_too_many).now_or_never().is_none());
        written.remove(0);
        assert!((&mut one_too_many).now_or_never().is_some());
    }
}
