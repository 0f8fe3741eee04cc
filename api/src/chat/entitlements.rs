//! What people have paid for.

use futures::future::{BoxFuture, FutureExt as _, ready};
use uuid::Uuid;

/// Asked before a mode of a room (slow, followers, subscribers, emotes, unique) refuses somebody. Billing is going to answer.
pub(crate) trait Entitlements: Send + Sync {
    /// Whether somebody talks in a channel without its modes.
    fn unrestricted(&self, user: Uuid, channel: Uuid) -> BoxFuture<'_, bool>;
}

/// There is nothing to pay for yet.
pub(crate) struct NoEntitlements;

impl Entitlements for NoEntitlements {
    fn unrestricted(&self, _: Uuid, _: Uuid) -> BoxFuture<'_, bool> {
        ready(false).boxed()
    }
}
