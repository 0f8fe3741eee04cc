//! Webhooks: servers of others that are told what happens in a channel (docs/webhooks.md).
//!
//! * `subscription` – the rows, as their owner makes, reads and removes them, and their end; `error` – why somebody gets none
//! * `event` – what there is to tell; `tell` – from an event to a job for each subscription
//! * `deliver` – the jobs that ask a callback; `schedule` – when they try again; `message` – what they send, signed
//! * `callback` – which addresses may be asked; `global_address` – which are public; `targets` – asking them, within bounds

mod callback;
mod deliver;
mod error;
mod event;
mod global_address;
mod message;
mod schedule;
mod subscription;
mod targets;
mod tell;

pub(crate) use callback::{Callback, MAX_CALLBACK};
pub use callback::{WebhookHost, WebhookHosts};
pub(crate) use deliver::{deliver, verify};
pub(crate) use error::EventSubscriptionError;
pub(crate) use event::{Event, EventType};
pub(crate) use subscription::{
    EventSubscription, NewEventSubscription, list, remove, remove_all_of, show, sweep,
};
pub(crate) use targets::Targets;
pub(crate) use tell::{SubscribersOfEvent, announce, tell_subscribers};
