//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use caudal_directory::{StreamControl, Unavailable};
use caudal_service::forwarding::ForwardingNotices;
use caudal_service::health::Readiness;
use caudal_service::internal::Verifier;
use futures::future::BoxFuture;
use sqlx::PgPool;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::audience::GatheredAudience;
use crate::auth::{AccessTokens, Passwords, Sessions};
use crate::client::TrustedProxies;
use crate::config::{self, Broadcasts, Config, Deadlines, PublicUrls};
use crate::database;
use crate::database_lock::DatabaseLock;
use crate::error::StartError;
use crate::limits::RateLimiter;
use crate::live_figures::LiveFigures;
use crate::metrics::Metrics;
use crate::redis_store::RedisStore;
use crate::stream_key::StreamKeys;

pub(crate) struct App {
    pub(crate) database: PgPool,
    pub(crate) passwords: Passwords,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) sessions: Sessions,
    pub(crate) stream_keys: StreamKeys,
    pub(crate) limits: RateLimiter,
    pub(crate) redis: Option<RedisStore>,
    pub(crate) callers: Verifier,
    pub(crate) urls: PublicUrls,
    pub(crate) cors_origins: Vec<HeaderValue>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) forwarding: ForwardingNotices,
    pub(crate) control: Arc<dyn StreamControl>,
    pub(crate) audience: GatheredAudience,
    pub(crate) figures: LiveFigures,
    pub(crate) web: Option<PathBuf>,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) deadlines: Deadlines,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
}

impl App {
    /// Opens the database and everything else; the listeners are given back to be served, the lock to be kept.
    pub(crate) async fn start(
        config: Config,
        shutdown: &CancellationToken,
    ) -> Result<(Arc<Self>, Option<DatabaseLock>, TcpListener, TcpListener), StartError> {
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
        let app = Self {
            passwords: Passwords::new()?,
            access_tokens: AccessTokens::new(&config.secrets.jwt, deadlines.access_token),
            sessions: Sessions::new(&config.secrets.jwt, &deadlines),
            stream_keys: StreamKeys::new(&config.secrets),
            limits: RateLimiter::new(config.limits, redis.clone()),
            redis,
            metrics: Metrics::register(&config.registry)?,
            database,
            callers: config.callers,
            urls: config.urls,
            cors_origins: config.cors_origins,
            trusted_proxies: config.trusted_proxies,
            forwarding: ForwardingNotices::default(),
            control: config.control,
            audience: GatheredAudience::new(config.audience),
            figures: LiveFigures::new(config.signer)?,
            web: config.web,
            broadcasts: config.broadcasts,
            deadlines,
            readiness: config.readiness,
        };
        Ok((Arc::new(app), lock, config.public, config.internal))
    }

    /// Waits for the lifecycle to take up an order, within its deadline. Whether it did: the wish itself is committed
    /// already, and the background repeats it.
    pub(crate) async fn ordered(&self, what: &str, order: BoxFuture<'_, Result<(), Unavailable>>) -> bool {
        let patience: Duration = self.deadlines.control;
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
