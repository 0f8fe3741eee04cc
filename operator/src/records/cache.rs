//! The LiveStreams as they were last read, and what the controller knows beyond that.

use std::collections::{HashMap, HashSet};

use caudal_controller::{Stored, Version};
use caudal_kubernetes::{LiveStream, StoredLifecycle};
use caudal_livestream::StreamId;
use caudal_livestream::lifecycle::Lifecycle;

use super::reading::{Reading, Unreadable, media_of, read, stream_of, version_of};

#[derive(Default)]
pub(super) struct Cache {
    streams: HashMap<StreamId, Known>,
    /// Resources that were deleted here, until the watch says so too: it may still tell of what was before.
    deleted: HashSet<StreamId>,
}

/// What a resource holds, all of the same version of it.
#[derive(Debug, PartialEq)]
pub(super) enum Held {
    /// The record of a broadcast that something is left to be done for.
    Record(Box<Stored>),
    /// Nothing of the kind: the resource stays for people.
    Memento(Version),
}

struct Known {
    resource: LiveStream,
    version: Version,
    /// The machine with a newer announced position than the resource's: no reason to write it.
    ahead: Option<Lifecycle>,
}

impl Cache {
    /// Takes in a resource, and says what it holds unless something as new is known.
    pub(super) fn take_in(&mut self, mut resource: LiveStream) -> Result<Option<Held>, Unreadable> {
        let stream = stream_of(&resource)?;
        let version = version_of(&resource)?;
        // Nobody asks who wrote what, and it is half of the resource.
        resource.metadata.managed_fields = None;
        let known = self.streams.get(&stream);
        if self.deleted.contains(&stream) || known.is_some_and(|known| known.version >= version) {
            return Ok(None);
        }
        // Somebody else may have written to the rest of it.
        let ahead = known.and_then(|known| {
            let same =
                lifecycle(&known.resource).is_some() && lifecycle(&known.resource) == lifecycle(&resource);
            known.ahead.clone().filter(|_| same)
        });
        self.streams.insert(stream, Known { resource, version, ahead });
        self.read(stream).transpose()
    }

    /// Forgets what is known of a resource whose older version the server has just answered, unless there was news since it was asked, when
    /// `asked` was the newest known: its database was restored from a backup, and counts on from there.
    pub(super) fn step_back(&mut self, answered: &LiveStream, asked: Option<Version>) {
        let (Ok(stream), Ok(version)) = (stream_of(answered), version_of(answered)) else { return };
        if self.version(stream) == asked && asked.is_some_and(|asked| version < asked) {
            tracing::warn!(%stream, ?version, known = ?asked, "the API server has gone back to an older version");
            self.streams.remove(&stream);
        }
    }

    /// What the newest known resource holds.
    pub(super) fn read(&self, stream: StreamId) -> Option<Result<Held, Unreadable>> {
        let Known { resource, version, ahead } = self.streams.get(&stream)?;
        Some(read(resource).map(|reading| match reading {
            Reading::Record(mut record, shown) => {
                if let Some(ahead) = ahead {
                    record.machine = ahead.clone();
                }
                let media = media_of(resource);
                Held::Record(Box::new(Stored { record: *record, version: *version, shown, media }))
            }
            Reading::Memento(_) => Held::Memento(*version),
        }))
    }

    pub(super) fn known(&self, stream: StreamId) -> Option<&LiveStream> {
        self.streams.get(&stream).map(|known| &known.resource)
    }

    pub(super) fn get(&self, stream: StreamId) -> Option<LiveStream> {
        self.streams.get(&stream).map(|known| known.resource.clone())
    }

    /// The newest known version of a resource.
    pub(super) fn version(&self, stream: StreamId) -> Option<Version> {
        self.streams.get(&stream).map(|known| known.version)
    }

    /// The resource, if that is the newest known version of it.
    pub(super) fn at(&self, stream: StreamId, version: Version) -> Option<LiveStream> {
        let known = self.streams.get(&stream).filter(|known| known.version == version)?;
        Some(known.resource.clone())
    }

    /// Keeps a machine here that differs from the resource's in nothing but the announced position; false when it differs
    /// in more, and has to be written.
    pub(super) fn keep_floor(&mut self, stream: StreamId, version: Version, machine: &Lifecycle) -> bool {
        let Some(known) = self.streams.get_mut(&stream).filter(|known| known.version == version) else {
            return false;
        };
        let Ok(wanted) = StoredLifecycle::of(machine) else { return false };
        let only_floor =
            lifecycle(&known.resource).is_some_and(|stored| stored.differs_in_floor_only(&wanted));
        if only_floor {
            known.ahead = Some(machine.clone());
        }
        only_floor
    }

    /// There is no such resource any more.
    pub(super) fn remove(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
        self.deleted.remove(&stream);
    }

    /// The resource was deleted just now. When it is not known any more, the watch was quicker.
    pub(super) fn delete(&mut self, stream: StreamId) {
        if self.streams.remove(&stream).is_some() {
            self.deleted.insert(stream);
        }
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = (StreamId, &LiveStream)> {
        self.streams.iter().map(|(stream, known)| (*stream, &known.resource))
    }
}

fn lifecycle(resource: &LiveStream) -> Option<&StoredLifecycle> {
    resource.status.as_ref()?.lifecycle.as_ref()
}
