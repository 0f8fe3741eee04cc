//! What requests share, by noun. A handler asks for the parts that it needs, and sees no others.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::http::HeaderValue;
use caudal_directory::{StreamControl, Unavailable};
use caudal_service::forwarding::ForwardingNotices;
use caudal_service::internal::Verifier;
use futures::future::BoxFuture;
use prometheus::IntGauge;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::TrustedProxies;
use crate::answer_cache::AnswerCache;
use crate::audience::GatheredAudience;
use crate::auth::{AccessTokens, Passwords, Sessions};
use crate::billing::{BillingConfig, BillingError, Stripe, Subscribed};
use crate::chat::{Hub, SocketIo, prepare_partitions};
use crate::config::{self, Broadcasts, Config, DatabaseUse, PublicUrls, SocketIoPolling};
use crate::database;
use crate::database_lock::DatabaseLock;
use crate::departures::Departures;
use crate::event_subscriptions::Targets;
use crate::limits::RateLimits;
use crate::live_figures::LiveFigures;
use crate::mail::{Mailing, Post};
use crate::metrics::Metrics;
use crate::notifications;
use crate::openapi::Documentation;
use crate::outbox::Runner;
use crate::pictures::Pictures;
use crate::presence::{Presence, ViewerIds};
use crate::realtime::Realtime;
use crate::redis_store::{self, RedisStore};
use crate::registration::RegistrationMode;
use crate::routes::Origins;
use crate::rtmp_door::Prober;
use crate::seal::Seals;
use crate::sockets::{SocketLimits, Sockets};
use crate::start_error::StartError;
use crate::stream_key::StreamKeys;
use crate::web::LOOK_UPS;

/// The parts of all nouns; each is a state of its own to whoever asks for it alone.
#[derive(Clone, FromRef)]
pub(crate) struct App {
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) pages: Arc<Pages>,
    pub(crate) chat: Arc<Chat>,
    pub(crate) notifications: Arc<Notifications>,
    pub(crate) event_subscriptions: Arc<EventSubscriptions>,
    pub(crate) billing: Arc<Billing>,
    pub(crate) documentation: Arc<Documentation>,
    pub(crate) pictures: Arc<Pictures>,
    pub(crate) answer_cache: Arc<AnswerCache>,
}

/// What every request passes, whatever it asks for: who it is from, how often that one may ask, how long it may take.
pub(crate) struct Entrance {
    pub(crate) limits: RateLimits,
    pub(crate) access_tokens: Arc<AccessTokens>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) forwarding: ForwardingNotices,
    pub(crate) cors_origins: Vec<HeaderValue>,
    pub(crate) metrics: Metrics,
    /// For one request.
    pub(crate) deadline: Duration,
    /// Changes that are under way.
    pub(crate) changes: TaskTracker,
}

/// People: their passwords, sessions and stream keys, and what they are mailed.
pub(crate) struct Accounts {
    pub(crate) database: PgPool,
    pub(crate) passwords: Passwords,
    pub(crate) access_tokens: Arc<AccessTokens>,
    pub(crate) sessions: Sessions,
    pub(crate) stream_keys: Arc<StreamKeys>,
    pub(crate) urls: Arc<PublicUrls>,
    /// Until an admin says something else.
    pub(crate) registration: RegistrationMode,
    pub(crate) departures: Departures,
    pub(crate) post: Post,
}

/// Streams: their rows, and the lifecycle behind them.
pub(crate) struct Streams {
    pub(crate) database: PgPool,
    pub(crate) control: Arc<dyn StreamControl>,
    pub(crate) audience: Arc<GatheredAudience>,
    pub(crate) figures: LiveFigures,
    pub(crate) urls: Arc<PublicUrls>,
    /// For the lifecycle to take up an order.
    pub(crate) patience: Duration,
    /// How long the key opens no new broadcast after its owner ended one.
    pub(crate) key_hold: Duration,
    /// How long the directory must not have known a stream before its row is closed.
    pub(crate) unknown_stream: Duration,
}

/// Publishers: who asks for them, whose keys are right, and what they get.
pub(crate) struct Ingest {
    pub(crate) database: PgPool,
    pub(crate) callers: Arc<Verifier>,
    pub(crate) stream_keys: Arc<StreamKeys>,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) metrics: Metrics,
}

/// Rooms, and the sockets of those who are in them.
pub(crate) struct Chat {
    pub(crate) database: PgPool,
    pub(crate) hub: Hub,
    pub(crate) subscribed: Subscribed,
    pub(crate) presence: Arc<Presence>,
    pub(crate) sockets: Sockets,
    pub(crate) socket_io: SocketIo,
    pub(crate) origins: Origins,
    pub(crate) metrics: Metrics,
}

/// What people are told wherever they are, and the jobs that it begins with.
pub(crate) struct Notifications {
    pub(crate) database: PgPool,
    pub(crate) hub: notifications::Hub,
}

/// Servers of others that are told what happens.
pub(crate) struct EventSubscriptions {
    pub(crate) database: PgPool,
    pub(crate) seals: Arc<Seals>,
    pub(crate) targets: Targets,
    pub(crate) metrics: Metrics,
}

/// Subscriptions that are paid for.
pub(crate) struct Billing {
    pub(crate) database: PgPool,
    pub(crate) urls: Arc<PublicUrls>,
    pub(crate) post: Post,
    /// None: nothing is sold here.
    pub(crate) selling: Option<Selling>,
}

/// What is sold, and through whom.
pub(crate) struct Selling {
    pub(crate) config: BillingConfig,
    pub(crate) stripe: Stripe,
}

impl Billing {
    /// What is sold.
    pub(crate) fn selling(&self) -> Result<&Selling, BillingError> {
        self.selling.as_ref().ok_or(BillingError::Disabled)
    }
}

/// The built web pages.
pub(crate) struct Pages {
    pub(crate) folder: Option<PathBuf>,
    /// Whose turn it is to see whether a stream is there.
    pub(crate) looking_up: Semaphore,
}

/// An api that is ready to serve.
pub(crate) struct Opened {
    pub(crate) app: App,
    /// To be kept while it serves.
    pub(crate) lock: Option<DatabaseLock>,
    /// To be watched.
    pub(crate) redis: Option<(RedisStore, IntGauge)>,
    /// To be run.
    pub(crate) realtime: Realtime,
    /// To be run.
    pub(crate) runner: Runner,
    pub(crate) mailing: Mailing,
    /// To be run, where there is a door to look at.
    pub(crate) prober: Option<Prober>,
    pub(crate) public: TcpListener,
    pub(crate) internal: TcpListener,
}

/// Opens the database and everything else.
pub(crate) async fn open(config: Config, shutdown: &CancellationToken) -> Result<Opened, StartError> {
    config.secrets.check()?;
    let (public, internal) = config::addresses(&config);
    tracing::debug!(?public, ?internal, "the api's listeners");
    let deadlines = config.deadlines;
    let (database, lock) = database::open(
        &config.database_url,
        config.database_connections,
        config.database_use,
        deadlines.database_start,
        shutdown,
    )
    .await?;
    let redis = config.redis_url.as_ref().map(RedisStore::open).transpose()?;
    // Apart from what chat and limits wait for: answers are large.
    let cache = config.redis_url.as_ref().map(RedisStore::open).transpose()?;
    let reachable = redis.as_ref().map(|_| redis_store::gauge(&config.registry)).transpose()?;
    let metrics = Metrics::register(&config.registry)?;
    let runner = Runner::open(&config.registry)?;
    let prober = config.rtmp_door.map(|door| Prober::open(door, deadlines.rtmp_probe, &config.registry));
    let prober = prober.transpose()?;
    let access_tokens = Arc::new(AccessTokens::new(&config.secrets, deadlines.access_token));
    let seals = Arc::new(Seals::new(&config.secrets));
    let stream_keys = Arc::new(StreamKeys::new(&config.secrets, Arc::clone(&seals)));
    let presence = Arc::new(Presence::new(ViewerIds::new(&config.secrets, &config.urls), redis.clone()));
    let urls = Arc::new(config.urls);
    let (post, mailing) =
        Post::open(config.mail.as_ref(), database.clone(), Arc::clone(&urls), metrics.clone())?;
    // So that chat has somewhere to go from the first message on.
    prepare_partitions(&database, deadlines.database_start).await?;
    let audience = Arc::new(GatheredAudience::new(Arc::clone(&presence), config.audience));
    let (realtime, hub, told) =
        Realtime::open(config.redis_url.as_ref(), redis.as_ref(), &database, Arc::clone(&audience))?;
    let sockets = Sockets::new(SocketLimits::default());
    let departures = Departures::new(hub.bus(), sockets.clone());
    let polling = match config.socket_io_polling {
        SocketIoPolling::On => true,
        SocketIoPolling::Off => false,
        // One process, or several that would not share rooms anyway.
        SocketIoPolling::Auto => config.redis_url.is_none() || config.database_use == DatabaseUse::Exclusive,
    };
    let origins = config.cors_origins.iter().filter_map(|origin| origin.to_str().ok().map(str::to_owned));
    let origins = Origins::new(origins.chain([urls.api.clone()]));
    let documentation = Arc::new(Documentation::new(&urls.api));
    let selling = selling(config.billing, &post)?;
    let billing = Arc::new(Billing {
        database: database.clone(),
        urls: Arc::clone(&urls),
        post: post.clone(),
        selling,
    });
    let app = App {
        entrance: Arc::new(Entrance {
            limits: RateLimits::new(config.limits, redis.clone()),
            access_tokens: Arc::clone(&access_tokens),
            trusted_proxies: config.trusted_proxies,
            forwarding: ForwardingNotices::default(),
            cors_origins: config.cors_origins,
            metrics: metrics.clone(),
            deadline: deadlines.request,
            changes: TaskTracker::new(),
        }),
        accounts: Arc::new(Accounts {
            database: database.clone(),
            passwords: Passwords::new()?,
            access_tokens,
            sessions: Sessions::new(&config.secrets, &deadlines),
            stream_keys: Arc::clone(&stream_keys),
            urls: Arc::clone(&urls),
            registration: config.registration,
            departures,
            post,
        }),
        streams: Arc::new(Streams {
            database: database.clone(),
            control: config.control,
            audience,
            figures: LiveFigures::new(config.signer)?,
            urls,
            patience: deadlines.control,
            key_hold: deadlines.key_hold,
            unknown_stream: deadlines.unknown_stream,
        }),
        ingest: Arc::new(Ingest {
            database: database.clone(),
            callers: Arc::new(config.callers),
            stream_keys,
            broadcasts: config.broadcasts,
            metrics: metrics.clone(),
        }),
        chat: Arc::new(Chat {
            database: database.clone(),
            hub,
            subscribed: Subscribed::new(billing.selling.is_some().then(|| database.clone())),
            presence,
            sockets,
            socket_io: SocketIo::new(polling, deadlines.request),
            origins,
            metrics: metrics.clone(),
        }),
        pictures: Arc::new(Pictures::new(database.clone(), config.pictures)),
        answer_cache: Arc::new(AnswerCache::new(cache, metrics.clone())),
        notifications: Arc::new(Notifications { database: database.clone(), hub: told }),
        event_subscriptions: Arc::new(EventSubscriptions {
            database,
            seals,
            targets: Targets::new(config.webhook_hosts, deadlines.webhook),
            metrics,
        }),
        billing,
        documentation,
        pages: Arc::new(Pages { folder: config.web, looking_up: Semaphore::new(LOOK_UPS) }),
    };
    Ok(Opened {
        app,
        lock,
        redis: redis.zip(reachable),
        realtime,
        runner,
        mailing,
        prober,
        public: config.public,
        internal: config.internal,
    })
}

/// Who subscribes may withdraw, which has to be acknowledged on something that lasts: a mail.
fn selling(config: Option<BillingConfig>, post: &Post) -> Result<Option<Selling>, StartError> {
    let Some(config) = config else { return Ok(None) };
    if !post.sends() {
        tracing::warn!(
            "STRIPE_SECRET_KEY is set and SMTP_URL is not: nothing is sold, because what people buy and end is confirmed by mail"
        );
        return Ok(None);
    }
    let stripe =
        Stripe::open(config.stripe.clone()).map_err(|error| StartError::Provider(error.to_string()))?;
    Ok(Some(Selling { config, stripe }))
}

impl Streams {
    /// Waits for the lifecycle to take up an order, within its deadline. Whether it did: the wish itself is committed
    /// already, and the background repeats it.
    pub(crate) async fn ordered(&self, what: &str, order: BoxFuture<'_, Result<(), Unavailable>>) -> bool {
        let patience = self.patience;
        match tokio::time::timeout(patience, order).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, what, "the lifecycle did not take up an order; it will be repeated");
                false
            }
            Err(_) => {
                tracing::warn!(what, ?patience, "the lifecycle did not answer; the order will be repeated");
                false
            }
        }
    }
}
