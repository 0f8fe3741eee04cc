//! The api, with what it is given.

use std::sync::Arc;

use anyhow::Context as _;
use caudal_directory::{Audience, StreamControl};
use caudal_livestream::admission::LatencyMode;
use caudal_service::health::Readiness;
use caudal_service::secret;
use caudal_storage::SegmentStore;
use prometheus::Registry;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::secrets::ApiKeys;
use crate::settings::{OnOff, ProbeUrl, RtmpUrl, Settings};

/// What the api shares with its process.
pub struct ApiParts {
    /// For browsers.
    pub public: TcpListener,
    /// For router, controller and edges.
    pub internal: TcpListener,
    /// PostgreSQL's.
    pub database_url: SecretString,
    /// Who else uses it.
    pub database_use: caudal_api::DatabaseUse,
    /// As the world sees them.
    pub urls: caudal_api::PublicUrls,
    /// Where publishers come in, as this process reaches it, unless a setting says otherwise; none where that cannot be told.
    pub rtmp_door: Option<caudal_api::RtmpDoor>,
    /// Where pictures that people upload go; without it nobody can upload any.
    pub pictures: Option<SegmentStore>,
    /// The lifecycle.
    pub control: Arc<dyn StreamControl>,
    /// Viewer counts of an edge in this process.
    pub audience: Arc<dyn Audience>,
    /// For its metrics.
    pub registry: Registry,
    /// Set once it takes requests.
    pub readiness: Readiness,
    /// Cancelled some time before it ends.
    pub leaving: CancellationToken,
}

/// The api's configuration.
///
/// # Errors
/// When a secret cannot be used.
pub fn config(settings: &Settings, keys: ApiKeys, parts: ApiParts) -> anyhow::Result<caudal_api::Config> {
    Ok(caudal_api::Config {
        public: parts.public,
        internal: parts.internal,
        database_url: parts.database_url,
        database_connections: 16,
        database_use: parts.database_use,
        redis_url: secret::read("REDIS_URL")?,
        mail: match (secret::read("SMTP_URL")?, settings.smtp_from.clone()) {
            (Some(url), Some(from)) => Some(caudal_api::MailConfig { url, from }),
            _ => None,
        },
        secrets: keys.secrets,
        callers: keys.callers,
        signer: keys.signer,
        urls: parts.urls,
        cors_origins: settings
            .cors_origins
            .iter()
            .map(|origin| origin.as_str().parse().with_context(|| settings.given.name("CAUDAL_CORS_ORIGINS")))
            .collect::<Result<_, _>>()?,
        socket_io_polling: settings.socket_io_polling.into(),
        webhook_hosts: settings.webhook_hosts.iter().cloned().collect(),
        trusted_proxies: settings.trusted_proxies.clone().unwrap_or_default(),
        rtmp_door: match &settings.rtmp_probe_url {
            Some(ProbeUrl::Off) => None,
            Some(ProbeUrl::At(url)) => Some(door(url)),
            None => parts.rtmp_door,
        },
        control: parts.control,
        audience: parts.audience,
        web: settings.web_dir.clone(),
        pictures: parts.pictures,
        billing: billing(settings)?,
        broadcasts: caudal_api::Broadcasts {
            pool: settings.pool.clone(),
            ladder: settings.ladder.rungs.clone(),
            policy: settings.second_publisher.into(),
            latency_mode: LatencyMode::Low,
            record: false,
        },
        registration: settings.registration.into(),
        limits: caudal_api::Limits {
            requests_a_minute: settings.requests_per_minute,
            ..caudal_api::Limits::default()
        },
        deadlines: caudal_api::Deadlines {
            access_token: settings.jwt_expires_in.0,
            refresh_token: settings.jwt_refresh_expires_in.0,
            drain_spread: settings.drain_spread.0,
            ..caudal_api::Deadlines::default()
        },
        registry: parts.registry,
        readiness: parts.readiness,
        leaving: parts.leaving,
    })
}

/// What is sold, where there is a key to be paid by.
fn billing(settings: &Settings) -> anyhow::Result<Option<caudal_api::BillingConfig>> {
    let Some(secret_key) = secret::read("STRIPE_SECRET_KEY")? else { return Ok(None) };
    let secrets = secret::read("STRIPE_WEBHOOK_SECRETS")?;
    let each = secrets.iter().flat_map(|secrets| secrets.expose_secret().split(','));
    let webhook_secrets =
        each.map(str::trim).filter(|secret| !secret.is_empty()).map(SecretString::from).collect();
    Ok(Some(caudal_api::BillingConfig {
        stripe: caudal_api::StripeConfig {
            secret_key,
            webhook_secrets,
            api_base: settings.stripe_api_base.as_str().to_owned(),
        },
        currency: settings.currency,
        prices: settings.tier_prices.0,
        fee: caudal_api::Fee::of_percent(settings.platform_fee)?,
        grace: settings.renewal_grace.0,
        withdrawal: settings.withdrawal.0,
        automatic_tax: settings.stripe_automatic_tax == OnOff::On,
    }))
}

/// Where that is.
pub fn door(url: &RtmpUrl) -> caudal_api::RtmpDoor {
    caudal_api::RtmpDoor { host: url.host(), port: url.port(), tls: url.is_under_tls() }
}
