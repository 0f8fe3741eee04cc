//! A folder a noun, a file a verb.

pub(crate) mod admin;
pub(crate) mod audience;
pub(crate) mod auth;
pub(crate) mod billing;
pub(crate) mod categories;
pub(crate) mod chat;
pub(crate) mod documentation;
pub(crate) mod event_subscriptions;
pub(crate) mod ingest;
pub(crate) mod notifications;
pub(crate) mod pictures;
mod registration;
pub(crate) mod search;
pub(crate) mod streams;
pub(crate) mod subscriptions;
pub(crate) mod users;

pub(crate) use chat::Origins;
pub(crate) use registration::registration;
