//! The roles of one machine: their listeners, how they know each other, and the order in which they end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use caudal_directory::{
    Audience, LocalAudience, LocalConfig, LocalDirectory, StreamControl, StreamDirectory,
};
use caudal_livestream::admission::LatencyMode;
use caudal_service::health::{self, Readiness};
use caudal_service::http::{HttpLimits, HttpServer};
use caudal_service::internal::{Signer, Verifier};
use caudal_service::logs::LogLines;
use caudal_service::secret;
use caudal_service::tls::Certificate;
use ed25519_dalek::SigningKey;
use prometheus::Registry;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::folders::Folders;
use super::supervisor::{Supervisor, SupervisorConfig};
use crate::error_words::words;
use crate::secrets::MasterSecret;
use crate::settings::{HttpUrl, RtmpUrl, Settings, WebOrigin};

/// Every listener, bound.
pub struct Listeners {
    web: TcpListener,
    hls: TcpListener,
    rtmp: TcpListener,
    rtmps: Option<TcpListener>,
    internal: TcpListener,
    admin: TcpListener,
}

/// How the parts are reached, once bound.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The pages and the api.
    pub web: String,
    /// The edge.
    pub hls: String,
    /// What OBS is given as the server.
    pub rtmp: String,
    /// The same under TLS, when there is a certificate.
    pub rtmps: Option<String>,
    /// Health and metrics.
    pub admin: String,
    /// The api's internal side.
    internal: String,
}

#[cfg(test)]
impl Addresses {
    /// Those of a platform for streamers; the others are as by default.
    pub fn for_test(rtmp: &str, rtmps: Option<&str>) -> Self {
        Self {
            web: "http://localhost:3000".to_owned(),
            hls: "http://localhost:8000".to_owned(),
            rtmp: rtmp.to_owned(),
            rtmps: rtmps.map(str::to_owned),
            admin: "http://127.0.0.1:9090".to_owned(),
            internal: "http://127.0.0.1:3001".to_owned(),
        }
    }
}

impl Listeners {
    /// Binds them all, or says which ones cannot be, and why.
    ///
    /// # Errors
    /// When a port is taken, or the address is not this machine's.
    pub async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let local = IpAddr::from([127, 0, 0, 1]);
        let bind = settings.bind;
        let rtmps = async {
            match settings.tls_cert {
                Some(_) => bound("RTMPS_PORT", bind, settings.rtmps_port).await.map(Some),
                None => Ok(None),
            }
        };
        let (web, hls, rtmp, rtmps, internal, admin) = tokio::join!(
            bound("PORT", bind, settings.port),
            bound("HLS_PORT", bind, settings.hls_port),
            bound("RTMP_PORT", bind, settings.rtmp_port),
            rtmps,
            bound("CAUDAL_INTERNAL_PORT", local, settings.internal_port),
            bound("CAUDAL_ADMIN_PORT", local, settings.admin_port),
        );
        match (web, hls, rtmp, rtmps, internal, admin) {
            (Ok(web), Ok(hls), Ok(rtmp), Ok(rtmps), Ok(internal), Ok(admin)) => {
                Ok(Self { web, hls, rtmp, rtmps, internal, admin })
            }
            (web, hls, rtmp, rtmps, internal, admin) => {
                let reasons = [web.err(), hls.err(), rtmp.err(), rtmps.err(), internal.err(), admin.err()];
                let reasons: Vec<String> = reasons.into_iter().flatten().collect();
                bail!(reasons.join("\n  "))
            }
        }
    }

    /// Where they are, as the world sees them.
    ///
    /// # Errors
    /// When the system does not say where a listener is bound.
    pub fn addresses(&self, settings: &Settings) -> anyhow::Result<Addresses> {
        let web = named(&self.web, "localhost")?;
        let hls = named(&self.hls, "localhost")?;
        // OBS tries only the first address of a name, and that of localhost is often ::1.
        let rtmp = named(&self.rtmp, "127.0.0.1")?;
        let scheme = if settings.tls_cert.is_some() { "https" } else { "http" };
        let or = |given: Option<&str>, own: String| given.map_or(own, str::to_owned);
        Ok(Addresses {
            web: or(settings.public_api_url.as_ref().map(WebOrigin::as_str), format!("http://{web}")),
            hls: or(settings.public_hls_url.as_ref().map(HttpUrl::as_str), format!("{scheme}://{hls}")),
            rtmp: or(settings.public_rtmp_url.as_ref().map(RtmpUrl::as_str), format!("rtmp://{rtmp}/live")),
            rtmps: self
                .rtmps
                .as_ref()
                .map(|listener| rtmps_address(listener, settings.public_rtmp_url.as_ref()))
                .transpose()?,
            admin: format!("http://{}", self.admin.local_addr()?),
            internal: format!("http://{}", self.internal.local_addr()?),
        })
    }
}

/// Where RTMPS is. A certificate is for a name, and the public RTMP address is where the name stands.
fn rtmps_address(listener: &TcpListener, public: Option<&RtmpUrl>) -> anyhow::Result<String> {
    Ok(match public {
        Some(public) => public.under_tls(listener.local_addr()?.port()),
        None => format!("rtmps://{}/live", named(listener, "127.0.0.1")?),
    })
}

/// Everything that runs.
pub struct Roles {
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    directory: Arc<LocalDirectory>,
    supervisor: Arc<Supervisor>,
    api_ready: Readiness,
    /// Router and edge, which face the world.
    doors: CancellationToken,
    /// The api, which the controller reports to until all streams are over.
    api: CancellationToken,
}

impl Roles {
    /// Starts them all.
    ///
    /// # Errors
    /// When one has what it needs neither at hand nor in the settings.
    pub async fn start(
        settings: &Settings,
        folders: &Folders,
        master: &MasterSecret,
        listeners: Listeners,
        database_url: SecretString,
        addresses: &Addresses,
        lines: LogLines,
    ) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let audience: Arc<dyn Audience> = Arc::new(LocalAudience::default());
        let assignments = SigningKey::from_bytes(&master.derive("controller/assignments"));
        let input_key = master.role_key("ingest-router");
        let feed_key = master.role_key("hls-edge");
        let mut storage = settings.storage.clone();
        storage.hls_path = Some(folders.media.clone());
        let store = storage.open()?;

        let supervisor =
            Supervisor::start(SupervisorConfig::new(settings, &storage, assignments.verifying_key(), lines)?)
                .await?;
        let directory = LocalDirectory::start(LocalConfig {
            folder: folders.streams(),
            media: store.clone(),
            max_streams: usize::try_from(settings.max_streams)?,
            workers: supervisor.workers(),
            assignments,
            router_key: input_key.clone(),
            feed_key: feed_key.clone(),
            api: addresses.internal.clone(),
            signer: Signer::new("controller", master.caller_key("controller")),
        })?;

        let streams: Arc<dyn StreamDirectory> = directory.clone();
        let control: Arc<dyn StreamControl> = directory.clone();

        let mut tasks = JoinSet::new();
        let doors = CancellationToken::new();
        let api = CancellationToken::new();
        let api_ready = Readiness::default();

        let trusted_proxies = settings.trusted_proxies.clone().unwrap_or_default();
        let config = caudal_api::Config {
            public: listeners.web,
            internal: listeners.internal,
            database_url,
            database_connections: 16,
            database_use: caudal_api::DatabaseUse::Exclusive,
            redis_url: secret::read("REDIS_URL")?,
            secrets: caudal_api::Secrets {
                jwt: master.jwt()?,
                stream_key_pepper: master.text("stream-key/pepper"),
                stream_key_encryption: vec![("m1".to_owned(), master.text("stream-key/encryption"))],
            },
            callers: Verifier::new()
                .allow("ingest-router", master.caller_key("ingest-router"))
                .allow("controller", master.caller_key("controller")),
            signer: Signer::new("api", master.caller_key("api")),
            urls: caudal_api::PublicUrls {
                api: addresses.web.clone(),
                hls: addresses.hls.clone(),
                rtmp: addresses.rtmp.clone(),
            },
            cors_origins: settings
                .cors_origins
                .iter()
                .map(|origin| origin.as_str().parse().context("CAUDAL_CORS_ORIGINS"))
                .collect::<Result<_, _>>()?,
            trusted_proxies: trusted_proxies.clone(),
            control,
            audience: Arc::clone(&audience),
            web: settings.web_dir.clone(),
            broadcasts: caudal_api::Broadcasts {
                ladder: settings.ladder.rungs.clone(),
                policy: settings.second_publisher.into(),
                latency_mode: LatencyMode::Low,
                record: false,
            },
            limits: caudal_api::Limits {
                requests_a_minute: settings.requests_per_minute,
                ..caudal_api::Limits::default()
            },
            deadlines: caudal_api::Deadlines {
                access_token: settings.jwt_expires_in.0,
                refresh_token: settings.jwt_refresh_expires_in.0,
                ..caudal_api::Deadlines::default()
            },
            registry: registry.clone(),
            readiness: api_ready.clone(),
        };
        let stop = api.clone();
        tasks.spawn(async move { ("api", caudal_api::run(config, stop).await.map_err(Into::into)) });

        let certificate = match (&settings.tls_cert, &settings.tls_key) {
            (Some(certificate), Some(key)) => {
                let (certificate, watch) = Certificate::load(certificate, key, &registry)
                    .context("CAUDAL_TLS_CERT, CAUDAL_TLS_KEY")?;
                let certificate = Arc::new(certificate);
                let (followed, stop) = (Arc::clone(&certificate), api.clone());
                tasks.spawn(async move {
                    followed.follow(watch, stop).await;
                    ("watch on the certificate", Ok(()))
                });
                Some(certificate)
            }
            _ => None,
        };
        let tls = || certificate.as_ref().map(|certificate| certificate.server_config());
        let config = caudal_hls_edge::Config {
            listener: listeners.hls,
            tls: tls(),
            directory: Arc::clone(&streams),
            audience,
            store,
            feed_key,
            ticket_key: caudal_hls_edge::TicketKey::new(master.derive("hls-edge/tickets")),
            trusted_proxies: trusted_proxies.clone(),
            registry: registry.clone(),
            limits: caudal_hls_edge::EdgeLimits::default(),
            http: HttpLimits::public(trusted_proxies.clone()),
        };
        let stop = doors.clone();
        tasks
            .spawn(async move { ("hls-edge", caudal_hls_edge::run(config, stop).await.map_err(Into::into)) });

        // Its address stands in the records of its publishers, where the api finds it.
        let router_internal = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let config = caudal_ingest_router::Config {
            rtmp: listeners.rtmp,
            rtmps: listeners.rtmps.zip(tls()),
            internal: caudal_ingest_router::Internal {
                listener: router_internal,
                verifier: Verifier::new().allow("api", master.caller_key("api")),
                advertised: None,
            },
            directory: Arc::clone(&streams),
            api_url: addresses.internal.clone(),
            signer: Signer::new("ingest-router", master.caller_key("ingest-router")),
            input_key,
            second_publisher: None,
            reconnect_window: settings.reconnect_window.0,
            limits: caudal_ingest_router::Limits {
                connections_per_address: NonZeroUsize::new(usize::try_from(
                    settings.max_connections_per_address,
                )?),
                bitrate: settings.max_bitrate.0,
                ..caudal_ingest_router::Limits::default()
            },
            registry: registry.clone(),
        };
        let stop = doors.clone();
        tasks.spawn(async move {
            ("ingest-router", caudal_ingest_router::run(config, stop).await.map_err(Into::into))
        });

        let admin = health::routes(api_ready.clone(), registry);
        let server = HttpServer::new(listeners.admin, HttpLimits::default());
        let stop = api.clone();
        tasks.spawn(async move { ("admin listener", server.serve(admin, stop).await.map_err(Into::into)) });

        Ok(Self { tasks, directory, supervisor, api_ready, doors, api })
    }

    /// Waits until requests are served.
    ///
    /// # Errors
    /// When a role ended instead.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let ready = self.api_ready.clone();
        tokio::select! {
            () = ready.ready() => Ok(()),
            error = self.failed() => Err(error),
        }
    }

    /// Waits until a role ends, which none does by itself while all is well.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok((role, Err(error)))) => error.context(role),
            Some(Ok((role, Ok(())))) => anyhow!("the {role} ended unexpectedly"),
            Some(Err(panic)) => anyhow!(panic).context("a role"),
            None => anyhow!("all roles have ended"),
        }
    }

    /// The streams.
    pub fn directory(&self) -> Arc<LocalDirectory> {
        Arc::clone(&self.directory)
    }

    /// Ends all streams while everybody is still there to see it, then the doors, then the rest.
    pub async fn stop(mut self, streams_within: Duration) {
        let left = self.directory.end_all(streams_within).await;
        if left > 0 {
            tracing::warn!(left, "streams whose end the api will learn of at the next start");
        }
        self.doors.cancel();
        self.directory.close().await;
        self.supervisor.stop().await;
        self.api.cancel();
        let joined = timeout(JOIN_WITHIN, async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Ok((role, Err(error))) = ended {
                    tracing::warn!("{role}: {}", words(&error));
                }
            }
        });
        if joined.await.is_err() {
            tracing::warn!("a role did not end in time");
        }
    }
}

/// A listener, or what is in its way and what to do about it.
async fn bound(name: &str, address: IpAddr, port: u16) -> Result<TcpListener, String> {
    let at = SocketAddr::from((address, port));
    TcpListener::bind(at).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{name}: another program listens on {at}; end that one, or set {name} to another port")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{name}: {address} is not an address of this machine; set CAUDAL_BIND to one of its own, or to 0.0.0.0")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{name}: {at} may not be used; set {name} to a port above 1023, or give caudal CAP_NET_BIND_SERVICE")
        }
        _ => format!("{name}: cannot listen on {at}: {error}"),
    })
}

/// Host and port of a listener; `local` stands for an address that means this machine.
fn named(listener: &TcpListener, local: &str) -> anyhow::Result<String> {
    let address = listener.local_addr()?;
    Ok(if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("{local}:{}", address.port())
    } else {
        address.to_string()
    })
}

/// Their own drains are shorter.
const JOIN_WITHIN: Duration = Duration::from_secs(6);
