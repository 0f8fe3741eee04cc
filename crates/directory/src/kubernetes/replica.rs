//! A copy of a namespace's LiveStreams. No I/O, no clock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use caudal_kubernetes::watching::News;
use caudal_kubernetes::{LiveStream as Resource, names};
use caudal_livestream::StreamId;

use crate::Streams;

/// The copy.
#[derive(Debug, Default)]
pub(super) struct Replica {
    streams: Streams,
    known: HashMap<StreamId, Known>,
    /// Streams that are there, and whose resources cannot be read.
    unreadable: HashSet<StreamId>,
    /// The last that were gone: an answer that comes late must not bring them back.
    gone: VecDeque<StreamId>,
    /// How often everything was told.
    wholes: u64,
    /// Nothing is heard just now.
    interrupted: bool,
}

#[derive(Debug)]
struct Known {
    resource: Arc<Resource>,
    version: u64,
    /// Known by an answer alone, and not by the watch; and how often everything had been told by then.
    adopted: Option<u64>,
}

impl Replica {
    /// All streams that have a record.
    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The newest known resource of a stream.
    pub(super) fn known(&self, stream: StreamId) -> Option<Arc<Resource>> {
        self.known.get(&stream).map(|known| Arc::clone(&known.resource))
    }

    /// All resources.
    pub(super) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.known.values().map(|known| known.resource.as_ref())
    }

    /// Whether everything was told once.
    pub(super) fn is_whole(&self) -> bool {
        self.wholes > 0
    }

    /// Whether what is missing here is missing, but for what cannot be read.
    pub(super) fn is_current(&self) -> bool {
        self.is_whole() && !self.interrupted
    }

    /// Whether there is known to be no such stream.
    pub(super) fn is_missing(&self, stream: StreamId) -> bool {
        self.is_current() && !self.unreadable.contains(&stream) && !self.known.contains_key(&stream)
    }

    /// Takes what the watch tells.
    pub(super) fn take(&mut self, news: News<Resource>) {
        match news {
            News::Is(resource) => self.is(*resource, None),
            News::Gone { name, .. } => {
                if let Some(stream) = names::stream_of(&name) {
                    self.remove(stream);
                }
            }
            // An older record of it stays: the stream is there.
            News::Unreadable(name) => self.unreadable.extend(names::stream_of(&name)),
            News::Whole => self.whole(),
            News::Interrupted => self.interrupted = true,
            News::Resumed => self.interrupted = false,
        }
    }

    /// Takes in what the server answered.
    pub(super) fn adopt(&mut self, resource: Resource) {
        if !self.gone.contains(&resource.spec.stream) {
            self.is(resource, Some(self.wholes));
        }
    }

    /// There is none of this stream.
    pub(super) fn remove(&mut self, stream: StreamId) {
        self.unreadable.remove(&stream);
        self.streams.remove(&stream);
        if self.known.remove(&stream).is_some() {
            self.gone.push_back(stream);
            if self.gone.len() > MOST_GONE {
                self.gone.pop_front();
            }
        }
    }

    fn is(&mut self, mut resource: Resource, adopted: Option<u64>) {
        let (Some(stream), Some(version)) = (resource.stream(), resource.version()) else {
            tracing::error!(name = ?resource.metadata.name, "a LiveStream that is not named after its stream, or has no version; left alone");
            return;
        };
        let before = self.known.get_mut(&stream);
        if let Some(before) = before
            && before.version >= version
        {
            before.adopted = before.adopted.and(adopted);
            return;
        }
        self.unreadable.remove(&stream);
        // Half of the resource, and nothing that is read here.
        resource.metadata.managed_fields = None;
        // Here and nowhere else, because what it goes by is not kept.
        resource.straighten();
        if let Some(status) = &mut resource.status {
            status.lifecycle = None;
        }
        match resource.to_record() {
            // Who compares records by address sees no change where there is none.
            Ok(record) if self.streams.get(&stream).is_some_and(|known| **known == record) => {}
            Ok(record) => self.streams.insert(Arc::new(record)),
            // It was ended before anybody opened it.
            Err(_) => {
                self.streams.remove(&stream);
            }
        }
        let adopted = match self.known.get(&stream) {
            Some(before) => before.adopted.and(adopted),
            None => adopted,
        };
        self.known.insert(stream, Known { resource: Arc::new(resource), version, adopted });
    }

    fn whole(&mut self) {
        // A list that began behind an answer, and does not have what that spoke of.
        let lost = |known: &Known| known.adopted.is_some_and(|at| at < self.wholes);
        let lost: Vec<_> = self.known.iter().filter(|(_, known)| lost(known)).map(|(id, _)| *id).collect();
        for stream in lost {
            self.remove(stream);
        }
        self.wholes += 1;
        self.interrupted = false;
    }
}

/// More than there can be answers on their way.
const MOST_GONE: usize = 1_000;

#[cfg(test)]
mod tests;
