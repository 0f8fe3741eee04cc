//! What one socket hears, whatever its wire looks like: nothing, until it asks.

use std::future::pending;

use axum::extract::ws::Utf8Bytes;
use uuid::Uuid;

use super::hub::{Ear, Hub};
use super::wanted::Wanted;
use crate::error::Error;

pub(crate) struct Listening {
    hub: Hub,
    /// With what it wants.
    ear: Option<(Ear, Wanted)>,
}

impl Listening {
    pub(crate) fn new(hub: Hub) -> Self {
        Self { hub, ear: None }
    }

    /// Hears what the person wants; a later word replaces the earlier.
    pub(crate) fn subscribe(&mut self, person: Option<Uuid>, wanted: Wanted) -> Result<(), Error> {
        if let Some((ear, before)) = &mut self.ear {
            ear.subscribe(person, wanted.clone())?;
            *before = wanted;
        } else {
            let ear = self.hub.listen();
            ear.subscribe(person, wanted.clone())?;
            self.ear = Some((ear, wanted));
        }
        Ok(())
    }

    /// The socket is somebody's now, or somebody else's.
    pub(crate) fn is_of(&mut self, person: Uuid) {
        if let Some((ear, wanted)) = &self.ear {
            // What was wanted once is wanted still, and somebody is there.
            let _ = ear.subscribe(Some(person), wanted.clone());
        }
    }

    /// The next frame; `None` when this socket was too slow.
    pub(crate) async fn next(&mut self) -> Option<Utf8Bytes> {
        match &mut self.ear {
            Some((ear, _)) => ear.next().await,
            None => pending().await,
        }
    }
}
