//! The streamers' door: takes RTMP and RTMPS, asks the api who may publish, enters the publisher in the directory, keeps a
//! replay of its last media and relays it to whichever worker the directory names.
//!
//! Knows nothing of segments, viewers or databases. [`run`] is all of it:
//!
//! * `door` accepts connections (through load balancers by `proxy_protocol`), which wait in the `waiting_room` until they have one of the `seats`; `admission` decides
//!   about them (`authorize`, `known_keys`, `guesses` by `guess_guard`; one of `contenders` at a time, for a key that
//!   is live `takeover` with `judges`); what routers know together of keys is in the Redis behind `redis_link`,
//! * `session` owns one publisher: `replay`, `measure` and `media_news` are its pure parts, `link` its way to the worker (`relay`),
//!   `reports` bounds what it tells the directory, `verdict` says when it has to go,
//! * `sessions` is what the router knows of all of them, and `internal_api` what other routers and the api may ask.

mod admission;
mod authorize;
mod clock;
mod config;
mod contenders;
mod door;
mod guess_guard;
mod guesses;
mod internal_api;
mod judges;
mod known_keys;
mod link;
mod measure;
mod media_news;
mod metrics;
mod next_worker;
mod outage;
mod proxy_protocol;
mod redis_link;
mod relay;
mod replay;
mod replay_memory;
mod reports;
mod seats;
mod session;
mod sessions;
mod shared_refusals;
mod suspects;
mod tag;
mod takeover;
mod timestamps;
mod verdict;
mod waiting_room;
mod words;

use std::io;
use std::sync::Arc;

use caudal_service::advertised::{NoAddress, advertised};
use caudal_service::http::{HttpLimits, HttpServer};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::authorize::Api;
use crate::contenders::Contenders;
use crate::door::Door;
use crate::guess_guard::SharedGuesses;
use crate::guesses::Guesses;
use crate::judges::Judges;
use crate::known_keys::KnownKeys;
use crate::metrics::Metrics;
use crate::redis_link::RedisLink;
use crate::replay_memory::ReplayMemory;
use crate::seats::Seats;
use crate::sessions::Sessions;
use crate::shared_refusals::SharedRefusals;

pub use config::{Addresses, Config, Drain, Internal, Limits, RECONNECT_WINDOW};

/// Why a router cannot run.
#[derive(Debug, Error)]
pub enum Error {
    /// Its metrics are registered already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// No HTTP client can be made.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// `REDIS_URL` is none. Never said with it, because it may hold a password.
    #[error("REDIS_URL: expected a URL as in redis://localhost:6379")]
    RedisUrl,
    /// A listener failed for good.
    #[error("listener: {0}")]
    Listener(#[from] io::Error),
    /// Other routers could not be told where this one is.
    #[error("the router's internal listener: {0}")]
    Unreachable(#[from] NoAddress),
}

/// Takes publishers until `shutdown`, and for [`Drain::accept`] beyond that; then asks them to go to another router, ends the
/// relays (not the broadcasts), and returns when all have gone or [`Drain::total`] is over.
///
/// # Errors
/// When it cannot start, or a listener fails.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let Config { rtmp, rtmps, internal, directory, api_url, signer, input_key, second_publisher, .. } =
        config;
    let metrics = Metrics::register(&config.registry)?;
    let redis = config.redis_url.map(|url| RedisLink::open(&url, &config.registry)).transpose()?;
    let sessions = Sessions::default();
    // When nobody is let in any more; when one of its tasks fails, too.
    let closed = CancellationToken::new();
    let this_router = format!("http://{}", advertised(internal.listener.local_addr()?, internal.advertised)?);
    let admission = Admission {
        api: Api::new(&api_url, signer.clone())?,
        directory: Arc::clone(&directory),
        judges: Judges::new(input_key.clone(), signer, this_router.clone(), sessions.clone())?,
        known_keys: KnownKeys::new(redis.clone().map(SharedRefusals::new)),
        guesses: Guesses::new(redis.clone().map(|redis| SharedGuesses::new(redis, &input_key))),
        suspects: suspects::Suspects::default(),
        metrics: metrics.clone(),
        seats: Seats::new(config.limits.publishers, ReplayMemory::new(config.limits.replay_memory)),
        contenders: Contenders::default(),
        outage: outage::Outage::default(),
        second_publisher,
        this_router,
        reconnect_window: config.reconnect_window,
        traces: config.traces,
    };
    let streams = directory.watch();
    let Drain { accept, spread, .. } = config.limits.drain;
    let door = Arc::new(Door::new(
        admission,
        directory,
        sessions.clone(),
        input_key,
        metrics,
        config.limits,
        closed.clone(),
    ));

    let mut tasks: JoinSet<io::Result<()>> = JoinSet::new();
    let listeners = std::iter::once((rtmp, None))
        .chain(rtmps.map(|(listener, tls)| (listener, Some(TlsAcceptor::from(Arc::new(tls))))));
    for (listener, tls) in listeners {
        let door = Arc::clone(&door);
        tasks.spawn(async move {
            door.serve(listener, tls).await;
            Ok(())
        });
    }
    // Sessions and the questions about them end last.
    let drained = CancellationToken::new();
    let follower = (sessions.clone(), drained.clone());
    tasks.spawn(async move {
        follower.0.follow(streams, follower.1).await;
        Ok(())
    });
    if let Some(redis) = redis {
        let stop = drained.clone();
        tasks.spawn(async move {
            redis.watch(stop).await;
            Ok(())
        });
    }
    let server = HttpServer::new(internal.listener, HttpLimits::default());
    tasks.spawn(server.serve(internal_api::routes(sessions, internal.verifier), drained.clone()));

    let mut outcome = Ok(());
    let told_to_stop = async {
        shutdown.cancelled().await;
        if !(accept + spread).is_zero() {
            tracing::info!(?accept, ?spread, "told to stop: publishers go to other routers one by one");
        }
        tokio::time::sleep(accept).await;
    };
    tokio::select! {
        () = told_to_stop => {}
        Some(ended) = tasks.join_next() => outcome = ended.unwrap_or_else(|error| Err(io::Error::other(error))),
    }
    closed.cancel();
    door.drain().await;
    drained.cancel();
    while let Some(ended) = tasks.join_next().await {
        outcome = outcome.and(ended.unwrap_or_else(|error| Err(io::Error::other(error))));
    }
    Ok(outcome?)
}
