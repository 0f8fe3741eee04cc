//! What the api is told at its start.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use caudal_directory::{Audience, StreamControl};
use caudal_livestream::StreamId;
use caudal_livestream::admission::{LadderRung, LatencyMode, SecondPublisher};
use caudal_service::health::Readiness;
use caudal_service::internal::{Signer, Verifier};
use caudal_storage::SegmentStore;
use prometheus::Registry;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::address::TrustedProxies;
use crate::billing::BillingConfig;
use crate::event_subscriptions::WebhookHosts;
use crate::limits::Limits;
use crate::mail::MailConfig;
use crate::registration::RegistrationMode;
use crate::rtmp_door::RtmpDoor;
use crate::start_error::StartError;

/// Everything the api needs; nothing is read from the environment.
pub struct Config {
    /// Where viewers and streamers ask.
    pub public: TcpListener,
    /// Where router, controller and edges ask.
    pub internal: TcpListener,
    /// PostgreSQL's URL. The role must own the database: migrations run at start, one process at a time.
    pub database_url: SecretString,
    /// Connections to it, at most; one more hears of jobs, and exclusive use needs another for its lock. All replicas together should stay below
    /// 80 % of `max_connections`.
    pub database_connections: u32,
    /// Who else uses the database.
    pub database_use: DatabaseUse,
    /// Redis' URL; none keeps limits in this process, which is right for one replica only.
    pub redis_url: Option<SecretString>,
    /// How mails leave; none sends none.
    pub mail: Option<MailConfig>,
    /// Keys.
    pub secrets: Secrets,
    /// Who may ask on the internal listener: `ingest-router`, `controller` and `hls-edge`, each what is its own to ask.
    pub callers: Verifier,
    /// Signs as `api` what routers are asked.
    pub signer: Signer,
    /// How the world reaches the parts.
    pub urls: PublicUrls,
    /// Other web origins whose pages may use the api with credentials, such as `https://live.example`.
    pub cors_origins: Vec<HeaderValue>,
    /// Whether clients of Socket.IO may begin with HTTP requests.
    pub socket_io_polling: SocketIoPolling,
    /// Hosts that webhooks may go to though they are private, or without TLS.
    pub webhook_hosts: WebhookHosts,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Where it is probed whether publishers can come in; none probes nothing.
    pub rtmp_door: Option<RtmpDoor>,
    /// The lifecycle.
    pub control: Arc<dyn StreamControl>,
    /// Viewer counts of an edge in this process; edges elsewhere report theirs to the internal listener, and add to it.
    pub audience: Arc<dyn Audience>,
    /// The built web pages.
    pub web: Option<PathBuf>,
    /// Where pictures that people upload are kept; without it nobody can upload any.
    pub pictures: Option<SegmentStore>,
    /// What is sold; none sells nothing. Nothing is sold without [`Config::mail`] either.
    pub billing: Option<BillingConfig>,
    /// What a new broadcast is like.
    pub broadcasts: Broadcasts,
    /// Who may open an account, until an admin says something else.
    pub registration: RegistrationMode,
    /// How often anybody may ask.
    pub limits: Limits,
    /// How long things last.
    pub deadlines: Deadlines,
    /// Where metrics are registered.
    pub registry: Registry,
    /// Set once requests are served.
    pub readiness: Readiness,
    /// Cancelled some time before the shutdown, so that browsers go elsewhere between two requests.
    pub leaving: CancellationToken,
}

/// Who uses the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseUse {
    /// This process alone: its lifecycle does not know the broadcasts of others, and would end them. A lock keeps all
    /// other platforms out.
    Exclusive,
    /// Replicas too, all with one lifecycle.
    Shared,
}

/// Whether clients of Socket.IO may begin with HTTP requests, all of which must reach the same replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketIoPolling {
    /// Where there is one replica only: without Redis, or with a database of its own.
    Auto,
    /// Whatever is in front sends all requests of a client to the same replica.
    On,
    /// WebSockets only.
    Off,
}

/// The api's keys. Each is at least 32 bytes of random text; what they protect is unreadable, and what they signed is
/// void, without them.
#[derive(Clone)]
pub struct Secrets {
    /// Signs access tokens, and derives refresh tokens.
    pub jwt: SecretString,
    /// Accepted beside it, while it is changed.
    pub other_jwt: Vec<SecretString>,
    /// Under which stream keys are hashed for look-up.
    pub stream_key_pepper: SecretString,
    /// Under which stream keys are encrypted for their owners; with the id that is stored beside what it encrypted.
    /// The first one encrypts, all decrypt.
    pub stream_key_encryption: Vec<(String, SecretString)>,
}

impl Secrets {
    /// Refuses what could be guessed.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let encryption = self.stream_key_encryption.iter().map(|(_, key)| ("stream key encryption key", key));
        if self.stream_key_encryption.is_empty() {
            return Err(StartError::WeakSecret("stream key encryption key"));
        }
        let other_jwt = self.other_jwt.iter().map(|secret| ("JWT secret", secret));
        for (name, secret) in [("JWT secret", &self.jwt), ("stream key pepper", &self.stream_key_pepper)]
            .into_iter()
            .chain(other_jwt)
            .chain(encryption)
        {
            if secret.expose_secret().len() < MIN_SECRET_BYTES {
                return Err(StartError::WeakSecret(name));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(***)")
    }
}

/// Addresses as streamers and viewers use them, without a slash at the end.
#[derive(Clone, Debug)]
pub struct PublicUrls {
    /// The api and the pages, such as `https://live.example`. Cookies are `Secure` when it is https.
    pub api: String,
    /// The edge, such as `https://media.live.example`.
    pub hls: String,
    /// What to type into OBS as the server, such as `rtmp://live.example:1935/live`.
    pub rtmp: String,
}

impl PublicUrls {
    /// The HLS master playlist of a stream.
    pub fn stream(&self, stream: StreamId) -> String {
        format!("{}/live/{stream}/master.m3u8", self.hls)
    }

    /// The DASH manifest of a stream.
    pub fn dash(&self, stream: StreamId) -> String {
        format!("{}/live/{stream}/manifest.mpd", self.hls)
    }

    /// The poster of a stream.
    pub fn thumbnail(&self, stream: StreamId) -> String {
        format!("{}/thumbnails/{stream}/poster.jpg", self.hls)
    }

    /// The host of the api and the pages, for what people read elsewhere: `live.example`.
    pub(crate) fn host(&self) -> &str {
        let (_, host) = self.api.split_once("://").unwrap_or(("", &self.api));
        host.split(['/', ':']).next().unwrap_or(host)
    }

    /// Whether browsers reach the api under TLS.
    pub(crate) fn secure(&self) -> bool {
        self.api.starts_with("https://")
    }
}

/// What a publisher gets with its admission.
#[derive(Clone, Debug)]
pub struct Broadcasts {
    /// The pool of workers that carries them; none where there is only one pool.
    pub pool: Option<String>,
    /// Renditions below the source.
    pub ladder: Vec<LadderRung>,
    /// What a second publisher on a live key means.
    pub policy: SecondPublisher,
    /// Low-latency parts or not.
    pub latency_mode: LatencyMode,
    /// Keep everything after the live window.
    pub record: bool,
}

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// An access token (`JWT_EXPIRES_IN`).
    pub access_token: Duration,
    /// A refresh token that nobody uses (`JWT_REFRESH_EXPIRES_IN`).
    pub refresh_token: Duration,
    /// A log-in, however often it is refreshed.
    pub session: Duration,
    /// How long the predecessor of a refresh token gets the same successor whoever has that already: two tabs, or the
    /// retry of a page that gave up on its answer (after 15 s, in ours).
    pub refresh_grace: Duration,
    /// How long the key opens no new broadcast after its owner ended one.
    pub key_hold: Duration,
    /// How long the start waits for PostgreSQL, and then for the lock of a predecessor.
    pub database_start: Duration,
    /// How long another platform may have the lock of exclusive use, which its owner had lost, before the owner ends. Shorter
    /// than `unknown_stream`, after which each would close the other's broadcasts; longer than a start takes that has the lock
    /// for a moment and leaves it to its owner.
    pub lock_refused: Duration,
    /// For one request, from its headers to its answer.
    pub request: Duration,
    /// For the lifecycle to take up an order; afterwards it is repeated in the background.
    pub control: Duration,
    /// For somebody's server to answer a webhook.
    pub webhook: Duration,
    /// Between two looks at orders that were not taken up, at bans, at viewer counts, and at who watches at other replicas.
    pub sweep: Duration,
    /// How long the directory must not have known a stream before its row is closed. Longer than a directory takes to
    /// load, and than a router takes from `authorize` to opening the stream.
    pub unknown_stream: Duration,
    /// Over which sockets are closed one by one when the api ends (`CAUDAL_DRAIN_SPREAD`): each comes back to another replica.
    pub drain_spread: Duration,
    /// Between two searches for rows that nobody needs any more.
    pub tidy: Duration,
    /// Between two probes of the RTMP door.
    pub rtmp_probe: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            access_token: Duration::from_secs(3600),
            refresh_token: Duration::from_secs(7 * 24 * 3600),
            session: Duration::from_secs(30 * 24 * 3600),
            refresh_grace: Duration::from_secs(120),
            key_hold: Duration::from_secs(30),
            database_start: Duration::from_secs(30),
            lock_refused: Duration::from_secs(15),
            request: Duration::from_secs(15),
            control: Duration::from_secs(3),
            webhook: Duration::from_secs(10),
            sweep: Duration::from_secs(5),
            unknown_stream: Duration::from_secs(30),
            drain_spread: Duration::ZERO,
            tidy: Duration::from_secs(3600),
            rtmp_probe: Duration::from_secs(15),
        }
    }
}

/// The addresses that the listeners have, for the log.
pub(crate) fn addresses(config: &Config) -> (Option<SocketAddr>, Option<SocketAddr>) {
    (config.public.local_addr().ok(), config.internal.local_addr().ok())
}

/// HS256 wants a key as long as its hash (RFC 7518 §3.2); the others get no less.
const MIN_SECRET_BYTES: usize = 32;
