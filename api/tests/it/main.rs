//! The api from outside: real listeners, real PostgreSQL, real Redis, a made-up lifecycle.
//!
//! `DATABASE_URL` must name a server where databases can be made: run under `scripts/with-postgres.sh`.

#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what goes wrong in a test should end it"
)]

mod access_tokens;
mod accounts;
mod administration;
mod answer_cache;
mod audience;
mod authorization;
mod bans;
mod billing;
mod bodies;
mod bus;
mod categories;
mod chat;
mod chat_closed;
mod chat_days;
mod chat_epochs;
mod chat_removals;
mod contract;
mod conventions;
mod database;
mod database_lock;
mod deletion;
mod documentation;
mod event_subscriptions;
mod hostile_input;
mod ingest;
mod leftovers;
mod lifecycle;
mod limits;
mod live_figures;
mod locks;
mod log_lines;
mod log_listener;
mod mail;
mod moderation;
mod notifications;
mod openapi;
mod passwords;
mod people;
mod pictures;
mod presence;
mod query_plans;
mod redis_questions;
mod redis_refusals;
mod redis_server;
mod registration;
mod replicas;
mod rtmp_door;
mod running;
mod search;
mod sessions;
mod shop;
mod smtp_server;
mod snapshot;
mod socket_doors;
mod socket_io;
mod sockets;
mod stream_key;
mod streams;
mod upgrade;
mod usernames;
mod web_pages;
mod webhook_receiver;
