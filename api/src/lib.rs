//! The api: accounts, stream keys, streams, the router's and the controller's questions, and the web pages.
//!
//! The only part that touches the database. Knows nothing of media or Kubernetes, and of RTMP only how it begins: what it asks of a broadcast's
//! lifecycle goes through [`caudal_directory::StreamControl`], what it shows of viewers comes from
//! [`caudal_directory::Audience`] and from edges that report. Conventions and their quirks: `API-DESIGN.md`.
//!
//! * `router` – the table of contents: every path, and what stands in front of it
//! * `routes/<noun>/<verb>` – one endpoint a file
//! * `app` – what handlers share, by noun: each asks for the parts that it needs
//! * `auth` – passwords, tokens, sessions, and the extractors that turn a request into a permission
//! * `limits` – how often anybody may ask
//! * `address`, `client` – where a request comes from, and how often that one may try things
//! * `exchange` – what surrounds every answer: request id, problem+json, deadline, headers
//! * `last_answers` – what is read while PostgreSQL is away
//! * `presence` – who watches by being there; `audience` – how many watch, with those whom only edges see
//! * `rtmp_door` – whether publishers can come in, and for how much of the last 30 days they could
//! * `live_figures` – what a router measures of its publisher
//! * `error` and the enums of each subject that it holds (`AuthError`, `StreamError`, `InputError`, …); `problem` – how
//!   they are answered
//! * `bus` – events for all replicas
//! * `sockets` – WebSockets, counted, bounded and closed; `token_in_address` – what their addresses must not have
//! * `administration` – what admins do, and the log of it; `registration` – who may open an account
//! * `departures` – who has to go at once, on every replica
//! * `stream`, `category`, `people`, `account` – rows and how they look as JSON; `language` – what a stream is in
//! * `chat` – rooms: what is said in them, and who hears it
//! * `outbox` – what is to be done after a commit, done even when the process ends right after
//! * `notifications` – what people are told though they are not in the room
//! * `billing` – subscriptions that are paid for
//! * `event_subscriptions` – webhooks: servers of others that are told what happens
//! * `pictures` – what people upload to be shown by
//! * `page` – lists in pages
//! * `openapi` – the api described for programs and for people, made of what stands beside each handler
//! * `database_lock` – one platform per database, where its lifecycle knows no other
//! * `names` – how names of accounts are compared; `username` – which ones nobody can have
//! * `mail` – what is mailed, and how; `reset_link` – the way without
//! * `deletion` – what goes with an account, and what stays
//! * `stream_key` – minted, hashed, encrypted; `seal` – what only the api can read in the database
//! * `background` – what happens without a request: `lost_streams`, `forgotten_streams` and `bans` among it

mod account;
mod address;
mod administration;
mod answer_cache;
mod app;
mod audience;
mod auth;
mod background;
mod bans;
mod billing;
pub mod bus;
mod category;
mod chat;
mod client;
mod config;
mod database;
mod database_lock;
mod deletion;
mod departures;
mod disguise;
mod error;
mod event_subscriptions;
mod exchange;
mod forgotten_streams;
#[doc(hidden)]
pub mod fuzzing;
mod input;
mod json;
mod kept_answer;
mod known_version;
mod language;
mod last_answers;
mod limits;
mod live_figures;
mod lost_streams;
mod mail;
mod metrics;
mod names;
mod notifications;
mod openapi;
mod outbox;
mod page;
mod people;
mod pictures;
mod presence;
mod problem;
mod realtime;
#[cfg(test)]
#[path = "../tests/it/redis_server.rs"]
mod redis_server;
mod redis_store;
mod registration;
mod reset_link;
mod router;
mod routes;
mod rtmp_door;
mod schema;
mod seal;
mod security_headers;
pub mod sockets;
mod start_error;
mod stream;
mod stream_key;
#[cfg(test)]
#[expect(dead_code, reason = "the integration tests need more of it")]
#[path = "../tests/it/database.rs"]
mod test_database;
mod text;
mod token_in_address;
mod username;
mod web;

use std::sync::Arc;

use caudal_service::http::{HttpLimits, HttpServer};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use address::{InvalidRange, TrustedProxies};
pub use administration::{WantedRole, set_role_by_name};
pub use billing::{BillingConfig, StripeConfig, TierPrice, TierPrices};
pub use caudal_billing::{Currency, Fee, Minor};
pub use config::{Broadcasts, Config, DatabaseUse, Deadlines, PublicUrls, Secrets, SocketIoPolling};
pub use database::{check_database_url, shown_database};
pub use event_subscriptions::{WebhookHost, WebhookHosts};
pub use limits::Limits;
pub use mail::{MailConfig, check_sender, check_smtp_url};
#[doc(hidden)]
pub use openapi::document as openapi_document;
pub use redis_store::check_redis_url;
pub use registration::RegistrationMode;
pub use reset_link::password_reset_link;
#[doc(hidden)]
pub use router::rest_paths;
pub use rtmp_door::RtmpDoor;
pub use schema::{MIGRATIONS, bring_up_to_date};
pub use start_error::StartError;

use app::Opened;

/// Serves the api until `shutdown`, then drains.
///
/// # Errors
/// When a secret is too weak, the database does not answer, does not take the migrations or is another platform's, or a
/// listener fails.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), StartError> {
    let (readiness, deadlines, leaving) =
        (config.readiness.clone(), config.deadlines, config.leaving.clone());
    let Opened { app, lock, redis, realtime, runner, mailing, prober, public, internal } =
        app::open(config, &shutdown).await?;

    let mut tasks: JoinSet<Result<(), StartError>> = JoinSet::new();
    for (listener, router, limits) in [
        (public, router::public(&app)?, HttpLimits::public(app.entrance.trusted_proxies.clone())),
        (internal, router::internal(&app), HttpLimits::default()),
    ] {
        let server = HttpServer::new(listener, limits).until_leaving(leaving.clone());
        let shutdown = shutdown.clone();
        tasks.spawn(async move { server.serve(router, shutdown).await.map_err(StartError::Listener) });
    }
    background::spawn(&mut tasks, &app, deadlines, &shutdown);
    realtime.spawn(&mut tasks, &app, &shutdown, deadlines.drain_spread);
    runner.spawn(&mut tasks, &app, &shutdown);
    {
        let (presence, shutdown) = (Arc::clone(&app.chat.presence), shutdown.clone());
        tasks.spawn(async move {
            presence.keep(deadlines.sweep, shutdown).await;
            Ok(())
        });
    }
    let ending = shutdown.clone();
    tasks.spawn(async move {
        mailing.run(ending).await;
        Ok(())
    });
    if let Some(prober) = prober {
        let (database, shutdown) = (app.accounts.database.clone(), shutdown.clone());
        tasks.spawn(async move {
            prober.run(database, shutdown).await;
            Ok(())
        });
    }
    if let Some((redis, reachable)) = redis {
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            redis_store::watch(redis, reachable, shutdown).await;
            Ok(())
        });
    }
    readiness.set(true);

    let patience = deadlines.lock_refused;
    let database = app.accounts.database.clone();
    let pool = database.clone();
    let mut lock = Box::pin(async move {
        match lock {
            Some(lock) => lock.keep(pool, patience).await,
            None => std::future::pending().await,
        }
    });

    // Whoever ends first, by failing or because of `shutdown`, ends all.
    let mut outcome: Result<(), StartError> = Ok(());
    loop {
        let ended = tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => ended.unwrap_or_else(|panicked| Err(StartError::Task(panicked.to_string()))),
                None => break,
            },
            // Not polled after it has ended, because its end is a failure.
            lost = &mut lock, if outcome.is_ok() => Err(lost),
        };
        readiness.set(false);
        shutdown.cancel();
        outcome = outcome.and(ended);
    }
    app.entrance.changes.close();
    app.entrance.changes.wait().await;
    database.close().await;
    // Last of all: whoever takes the database next must find nobody at work in it.
    drop(lock);
    outcome
}
