//! The roles of one machine in one process: their listeners, how they know each other, and the order in which they end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use caudal_directory::{Audience, LocalAudience, LocalDirectory, StreamControl, StreamDirectory};
use caudal_service::health::{self, Readiness};
use caudal_service::http::{HttpLimits, HttpServer};
use caudal_service::logs::LogLines;
use prometheus::Registry;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::folders::Folders;
use crate::admin::Accounts;
use crate::roles::api::{self, ApiParts};
use crate::roles::controller::Controller;
use crate::roles::edge::{self, EdgeParts};
use crate::roles::listeners::{bind, named};
use crate::roles::memory_limit::MediaPart;
use crate::roles::router::{self, RouterParts};
use crate::roles::tasks::Tasks;
use crate::roles::{certificate, traced};
use crate::secrets::KeySource;
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
        let web = ("PORT", settings.bind, settings.port);
        let hls = ("HLS_PORT", settings.bind, settings.hls_port);
        let rtmp = ("RTMP_PORT", settings.bind, settings.rtmp_port);
        let internal = ("CAUDAL_INTERNAL_PORT", settings.internal_bind, settings.internal_port);
        let admin = ("CAUDAL_ADMIN_PORT", settings.internal_bind, settings.admin_port);
        if settings.tls_cert.is_none() {
            let [web, hls, rtmp, internal, admin] =
                bind([web, hls, rtmp, internal, admin], &settings.given).await?;
            return Ok(Self { web, hls, rtmp, rtmps: None, internal, admin });
        }
        let rtmps = ("RTMPS_PORT", settings.bind, settings.rtmps_port);
        let [web, hls, rtmp, rtmps, internal, admin] =
            bind([web, hls, rtmp, rtmps, internal, admin], &settings.given).await?;
        Ok(Self { web, hls, rtmp, rtmps: Some(rtmps), internal, admin })
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

/// Where it is probed whether publishers can come in. Behind load balancers it is there where publishers go: the listener itself
/// would want to hear of these whom they bring.
fn rtmp_door(listener: &TcpListener, settings: &Settings) -> anyhow::Result<Option<caudal_api::RtmpDoor>> {
    if settings.rtmp_proxies.is_some() {
        return Ok(settings.public_rtmp_url.as_ref().map(api::door));
    }
    let address = listener.local_addr()?;
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    Ok(Some(caudal_api::RtmpDoor { host: host.to_string(), port: address.port(), tls: false }))
}

/// Everything that runs.
pub struct Roles {
    tasks: Tasks,
    controller: Controller,
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
        keys: &KeySource,
        listeners: Listeners,
        database_url: SecretString,
        addresses: &Addresses,
        lines: LogLines,
    ) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let audience: Arc<dyn Audience> = Arc::new(LocalAudience::default());
        let mut tasks = Tasks::default();
        let api = CancellationToken::new();
        let traces = traced::among(&mut tasks, &settings.traces, "standalone", &registry, api.clone())?;
        let own = keys.controller()?;
        let api_url = addresses.internal.clone();
        let controller =
            Controller::start(settings, folders, own, api_url, lines, &registry, traces.clone()).await?;
        let streams: Arc<dyn StreamDirectory> = controller.directory();
        let control: Arc<dyn StreamControl> = controller.directory();

        let doors = CancellationToken::new();
        let api_ready = Readiness::default();

        let accounts = Accounts { database_url: database_url.clone(), public_url: addresses.web.clone() };
        let parts = ApiParts {
            public: listeners.web,
            internal: listeners.internal,
            database_url,
            urls: caudal_api::PublicUrls {
                api: addresses.web.clone(),
                hls: addresses.hls.clone(),
                rtmp: addresses.rtmp.clone(),
            },
            rtmp_door: rtmp_door(&listeners.rtmp, settings)?,
            pictures: Some(controller.store.clone()),
            control,
            database_use: caudal_api::DatabaseUse::Exclusive,
            audience: Arc::clone(&audience),
            registry: registry.clone(),
            readiness: api_ready.clone(),
            leaving: CancellationToken::new(),
        };
        tasks.spawn("api", caudal_api::run(api::config(settings, keys.api()?, parts)?, api.clone()));

        let certificate = certificate::load(settings, &registry, &mut tasks, api.clone())?;
        let parts = EdgeParts {
            listener: listeners.hls,
            certificate: certificate.clone(),
            directory: Arc::clone(&streams),
            audience,
            media_part: MediaPart::BESIDE_ENCODERS,
            store: controller.store.clone(),
            registry: registry.clone(),
            leaving: CancellationToken::new(),
        };
        tasks.spawn(
            "hls-edge",
            caudal_hls_edge::run(edge::config(settings, keys.edge()?, parts), doors.clone()),
        );

        // Its address stands in the records of its publishers, where the api finds it.
        let router_internal = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let parts = RouterParts {
            rtmp: listeners.rtmp,
            rtmps: listeners.rtmps,
            certificate,
            internal: router_internal,
            directory: streams,
            api_url: addresses.internal.clone(),
            redis_url: None,
            registry: registry.clone(),
            traces,
            media_part: MediaPart::BESIDE_ENCODERS,
        };
        let config = router::config(settings, keys.router()?, parts)?;
        tasks.spawn("ingest-router", caudal_ingest_router::run(config, doors.clone()));

        tasks.spawn(
            "administrator's socket",
            controller.serve_admin(folders.admin(), Some(accounts), api.clone()),
        );

        let admin = health::routes(api_ready.clone(), registry);
        let server = HttpServer::new(listeners.admin, HttpLimits::default());
        tasks.spawn("admin listener", server.serve(admin, api.clone()));

        Ok(Self { tasks, controller, api_ready, doors, api })
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
        self.tasks.failed().await
    }

    /// The streams.
    pub fn directory(&self) -> Arc<LocalDirectory> {
        self.controller.directory()
    }

    /// Ends all streams while everybody is still there to see it, then the doors, then the rest.
    pub async fn stop(self, streams_within: Duration) {
        self.controller.end_streams(streams_within).await;
        self.doors.cancel();
        self.controller.stop().await;
        self.api.cancel();
        self.tasks.join(JOIN_WITHIN).await;
    }
}

/// Their own drains are shorter.
const JOIN_WITHIN: Duration = Duration::from_secs(6);
