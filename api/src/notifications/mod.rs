//! What people are told though they are not in the room: that somebody whom they follow is live, that somebody follows them.
//!
//! What is told is kept (`notifications`), so that whoever is not here just now reads it later; sockets hear of it as well,
//! and miss it when they are away. All of it begins as a job of the outbox.
//!
//! * `streams` – a stream begins, changes, ends; `followers` – those who follow it are told, a batch a job;
//!   `new_follower` – somebody follows; `new_subscriber` – somebody subscribes
//! * `kept` – the rows, as their person reads and marks them, and their end; `preferences` – what somebody wants to be told
//! * `told` – what goes from one replica to all, and the frames in it
//! * `wanted`, `listeners` – what a socket wants to hear, and which socket hears what
//! * `hub` – those who listen in this replica; `listening` – one of them; `conversation` – its WebSocket in raw JSON

mod conversation;
mod followers;
mod hub;
mod kept;
mod listeners;
mod listening;
mod new_follower;
mod new_subscriber;
mod preferences;
mod streams;
mod told;
mod wanted;

pub(crate) use conversation::converse;
pub(crate) use followers::{FollowersOfStream, tell_followers};
pub(crate) use hub::Hub;
pub(crate) use kept::{Notification, Unread, list, mark, mark_all, sweep};
pub(crate) use listening::Listening;
pub(crate) use new_follower::new_follower;
pub(crate) use new_subscriber::keep_new_subscriber;
pub(crate) use preferences::Preferences;
pub(crate) use streams::{stream_ended, stream_started, stream_updated};
pub(crate) use wanted::Wanted;
