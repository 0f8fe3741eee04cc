//! One part of the platform as a process of its own. The controller keeps the directory, or in a cluster Kubernetes does, and the
//! others have a copy of it.
//!
//! A part starts without the others. It is ready once it has read the directory, and stays so while the controller is away:
//! what goes on can be watched and published to all that time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use caudal_api::DatabaseUse;
use caudal_directory::{LocalAudience, Reader, RemoteAudience, StreamDirectory as _, directory_routes};
use caudal_service::health::Readiness;
use caudal_service::http::{HttpLimits, HttpServer};
use caudal_service::logs::LogLines;
use caudal_service::secret;
use caudal_service::shutdown::{self, Stop};
use tokio_util::sync::CancellationToken;

use super::api::{self, ApiParts};
use super::controller::Controller;
use super::directory_copy::DirectoryCopy;
use super::edge::{self, EdgeParts};
use super::listeners::{at, bind, named};
use super::memory_limit::MediaPart;
use super::operator;
use super::process::{END_WITHIN, Process, Ready};
use super::proven_keys::note_once_proven;
use super::router::{self, RouterParts};
use super::terminal::{Place, Terminal};
use super::{certificate, listeners};
use crate::secrets::KeySource;
use crate::settings::{DirectorySetting, HttpUrl, ReplicasSetting, Role, RtmpUrl, Settings, WebOrigin};
use crate::standalone::Folders;

/// Runs one part until a signal ends it.
///
/// # Errors
/// When something that it needs is missing or taken; says what.
pub async fn run(role: Role, settings: Settings, lines: LogLines) -> anyhow::Result<()> {
    let grace = match role {
        // Who sends them requests hears late that they end. A router counts the time itself, for its publishers' sake.
        Role::Api | Role::HlsEdge => settings.drain_accept.0,
        _ => Duration::ZERO,
    };
    let Stop { leave, end: shutdown } =
        shutdown::on_signal_with_grace(grace, shutdown::say_so).context("signals")?;
    let keys = KeySource::given(settings.keys.clone())?;
    let terminal = Terminal::new(role, &settings);
    let ended = match role {
        Role::Api => Box::pin(run_api(&settings, &keys, leave, shutdown)).await,
        Role::IngestRouter => run_router(&settings, &keys, shutdown).await,
        Role::HlsEdge => Box::pin(run_edge(&settings, &keys, leave, shutdown)).await,
        Role::Controller => run_controller(&settings, &keys, shutdown, lines).await,
        Role::Operator => run_operator(&settings, &keys, shutdown).await,
        Role::Standalone => Err(anyhow!("standalone mode is all parts in one process")),
    };
    if ended.is_ok() {
        terminal.stopped();
    }
    ended
}

async fn run_api(
    settings: &Settings,
    keys: &KeySource,
    leave: CancellationToken,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let given = &settings.given;
    let [public, internal, admin] =
        bind([("PORT", settings.bind, settings.port), internal_port(settings), admin_port(settings)], given)
            .await?;
    let own_url = format!("http://{}", named(&public, "localhost")?);
    let urls = caudal_api::PublicUrls {
        api: settings.public_api_url.as_ref().map_or(own_url, |url| WebOrigin::as_str(url).to_owned()),
        hls: required(settings.public_hls_url.as_ref().map(HttpUrl::as_str), "CAUDAL_PUBLIC_HLS_URL")?,
        rtmp: required(settings.public_rtmp_url.as_ref().map(RtmpUrl::as_str), "CAUDAL_PUBLIC_RTMP_URL")?,
    };
    let places =
        vec![Place::listens("web pages", urls.api.clone()), Place::listens("other roles", at(&internal)?)];
    let rtmp_door = settings.public_rtmp_url.as_ref().map(api::door);
    // Optional: without storage everything works but uploads.
    let stored = settings.storage.hls_path.is_some() || settings.storage.s3_bucket.is_some();
    let pictures = stored.then(|| settings.storage.open(given)).transpose()?;
    let mut process = Process::start(Role::Api, admin, settings, places)?;
    let keys = keys.api()?;
    let directory = DirectoryCopy::start(settings, keys.signer.clone(), Reader::Api).await?;
    let serves = Readiness::default();
    let config = api::config(
        settings,
        keys,
        ApiParts {
            public,
            internal,
            database_url: secret::read("DATABASE_URL")?.context("DATABASE_URL is not set")?,
            urls,
            rtmp_door,
            pictures,
            control: directory.control(),
            database_use: database_use(settings),
            audience: Arc::new(LocalAudience::default()),
            registry: process.registry.clone(),
            readiness: serves.clone(),
            leaving: leave.clone(),
        },
    )?;
    process.follow(&directory)?;
    process.leave(leave);
    let ready = process.ready.clone();
    let copy = directory.clone();
    let stop = process.last.clone();
    process.tasks.spawn("readiness", async move {
        let both = async {
            serves.ready().await;
            copy.read_once().await;
            ready.now();
        };
        stop.run_until_cancelled(both).await;
        stop.cancelled().await;
        Ok::<_, Infallible>(())
    });
    process.end_within = END_WITHIN + settings.drain_spread.0;
    // Accounts and lists do not need the controller.
    let ended = process.until(&shutdown, Box::pin(caudal_api::run(config, shutdown.clone()))).await;
    process.end(Some(&directory)).await;
    ended
}

async fn run_router(
    settings: &Settings,
    keys: &KeySource,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let given = &settings.given;
    let rtmp = ("RTMP_PORT", settings.bind, settings.rtmp_port);
    let (rtmp, rtmps, internal, admin) = if settings.tls_cert.is_some() {
        let rtmps = ("RTMPS_PORT", settings.bind, settings.rtmps_port);
        let [rtmp, rtmps, internal, admin] =
            bind([rtmp, rtmps, internal_port(settings), admin_port(settings)], given).await?;
        (rtmp, Some(rtmps), internal, admin)
    } else {
        let [rtmp, internal, admin] =
            bind([rtmp, internal_port(settings), admin_port(settings)], given).await?;
        (rtmp, None, internal, admin)
    };
    let mut places = vec![Place::listens("RTMP", format!("rtmp://{}/live", named(&rtmp, "127.0.0.1")?))];
    if let Some(rtmps) = &rtmps {
        places.push(Place::listens("RTMP with TLS", format!("rtmps://{}/live", named(rtmps, "127.0.0.1")?)));
    }
    places.push(Place::listens("other roles", at(&internal)?));
    let mut process = Process::start(Role::IngestRouter, admin, settings, places)?;
    let keys = keys.router()?;
    let directory = DirectoryCopy::start(settings, keys.signer.clone(), Reader::Router).await?;
    let certificate =
        certificate::load(settings, &process.registry, &mut process.tasks, process.last.clone())?;
    let parts = RouterParts {
        rtmp,
        rtmps,
        certificate,
        internal,
        directory: directory.directory(),
        api_url: api_url(settings)?,
        redis_url: secret::read("REDIS_URL")?,
        registry: process.registry.clone(),
        traces: process.traces(Role::IngestRouter, settings)?,
        media_part: MediaPart::ALONE,
    };
    process.look_for_api(api_url(settings)?, keys.signer.clone());
    let config = router::config(settings, keys, parts)?;
    process.end_within = END_WITHIN + config.limits.drain.total();
    process.follow(&directory)?;
    let serve = caudal_ingest_router::run(config, shutdown.clone());
    let ended =
        process.until(&shutdown, once_read(&directory, &shutdown, process.ready.clone(), serve)).await;
    process.end(Some(&directory)).await;
    ended
}

async fn run_edge(
    settings: &Settings,
    keys: &KeySource,
    leave: CancellationToken,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let given = &settings.given;
    let [listener, admin] =
        bind([("HLS_PORT", settings.bind, settings.hls_port), admin_port(settings)], given).await?;
    let scheme = if settings.tls_cert.is_some() { "https" } else { "http" };
    let places = vec![
        Place::listens("HLS and DASH", format!("{scheme}://{}", named(&listener, "localhost")?)),
        Place::segments(Role::HlsEdge, settings, settings.storage.hls_path.as_deref()),
    ];
    let mut process = Process::start(Role::HlsEdge, admin, settings, places)?;
    let keys = keys.edge()?;
    let directory = DirectoryCopy::start(settings, keys.signer.clone(), Reader::Edge).await?;
    let certificate =
        certificate::load(settings, &process.registry, &mut process.tasks, process.last.clone())?;
    let audience = Arc::new(
        RemoteAudience::new(&api_url(settings)?, keys.signer.clone())
            .with_context(|| given.name("CAUDAL_INTERNAL_API_URL"))?,
    );
    let parts = EdgeParts {
        listener,
        certificate,
        directory: directory.directory(),
        audience: audience.clone(),
        media_part: MediaPart::ALONE,
        store: settings.storage.open(given)?,
        registry: process.registry.clone(),
        leaving: leave.clone(),
    };
    let config = edge::config(settings, keys, parts);
    process.leave(leave);
    process.follow(&directory)?;
    let stop = process.last.clone();
    process.tasks.spawn("viewer counts", async move {
        // Until the edge has ended: its last word is that nobody watches.
        audience.run(stop).await;
        Ok::<_, Infallible>(())
    });
    let serve = caudal_hls_edge::run(config, shutdown.clone());
    let ended =
        process.until(&shutdown, once_read(&directory, &shutdown, process.ready.clone(), serve)).await;
    process.end(Some(&directory)).await;
    ended
}

async fn run_controller(
    settings: &Settings,
    keys: &KeySource,
    shutdown: CancellationToken,
    lines: LogLines,
) -> anyhow::Result<()> {
    let folders = Folders::open(settings)?;
    let [internal, admin] = bind([internal_port(settings), admin_port(settings)], &settings.given).await?;
    let places = vec![
        Place::listens("other roles", at(&internal)?),
        Place::keeps("data", folders.data.display().to_string()),
        Place::segments(Role::Controller, settings, Some(&folders.media)),
    ];
    let mut process = Process::start(Role::Controller, admin, settings, places)?;
    let own = keys.controller()?;
    process.look_for_api(api_url(settings)?, own.signer.clone());
    let traces = process.traces(Role::Controller, settings)?;
    let starting =
        Controller::start(settings, &folders, own, api_url(settings)?, lines, &process.registry, traces);
    // All that it waits for is the first worker, which is killed when its start is dropped.
    let Some(controller) = shutdown.run_until_cancelled(starting).await else { return Ok(()) };
    let controller = controller?;
    let admin = controller.serve_admin(folders.admin(), None, process.last.clone());
    process.tasks.spawn("administrator's socket", admin);
    let directory = controller.directory();
    process.tell_of_streams(directory.clone());
    let callers = keys.directory_callers()?;
    let secrets = folders.secrets();
    let noted = note_once_proven(keys, &secrets, directory.watch());
    let routes = directory_routes(directory.clone(), directory, &callers, shutdown.clone());
    let limits = HttpLimits { read_deadline: SLOWEST_READER, ..HttpLimits::default() };
    process.ready.now();
    let serve = HttpServer::new(internal, limits).serve(routes, shutdown.clone());
    let serve = async {
        tokio::select! {
            ended = serve => ended,
            never = noted => match never {},
        }
    };
    let ended = process.until(&shutdown, serve).await;
    controller.stop().await;
    process.end(None).await;
    ended
}

async fn run_operator(
    settings: &Settings,
    keys: &KeySource,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let [admin] = bind([admin_port(settings)], &settings.given).await?;
    let mut process = Process::start(Role::Operator, admin, settings, Vec::new())?;
    let own = keys.controller()?;
    process.look_for_api(api_url(settings)?, own.signer.clone());
    let readiness = process.ready.readiness.clone();
    let traces = process.traces(Role::Operator, settings)?;
    let config =
        operator::config(settings, own, api_url(settings)?, &process.registry, traces, readiness).await?;
    process.end_within = caudal_operator::END_WITHIN;
    let running = Box::pin(caudal_operator::run(config, shutdown.clone()));
    let ended = process.until(&shutdown, running).await;
    process.end(None).await;
    ended
}

/// Replicas share a database where they have one lifecycle: a cluster's, or that of a controller which somebody says is everybody's.
fn database_use(settings: &Settings) -> DatabaseUse {
    match (settings.directory, settings.api_replicas) {
        (DirectorySetting::Controller, ReplicasSetting::One) => DatabaseUse::Exclusive,
        (DirectorySetting::Kubernetes, _) | (_, ReplicasSetting::Several) => DatabaseUse::Shared,
    }
}

/// `serve`, as soon as it is known which streams there are: until then everyone who asks for one would be sent away. Whoever
/// connects meanwhile waits in the listener's queue.
async fn once_read<E>(
    directory: &DirectoryCopy,
    shutdown: &CancellationToken,
    ready: Ready,
    serve: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    if shutdown.run_until_cancelled(directory.read_once()).await.is_none() {
        return Ok(());
    }
    ready.now();
    serve.await
}

fn internal_port(settings: &Settings) -> listeners::Wanted {
    ("CAUDAL_INTERNAL_PORT", settings.internal_bind, settings.internal_port)
}

fn admin_port(settings: &Settings) -> listeners::Wanted {
    ("CAUDAL_ADMIN_PORT", settings.internal_bind, settings.admin_port)
}

fn api_url(settings: &Settings) -> anyhow::Result<String> {
    required(settings.internal_api_url.as_ref().map(HttpUrl::as_str), "CAUDAL_INTERNAL_API_URL")
}

/// A setting that was checked to be there.
fn required(value: Option<&str>, name: &'static str) -> anyhow::Result<String> {
    value.map(str::to_owned).with_context(|| format!("{name} is not set"))
}

/// A reader of the directory that does not take what it is sent for so long is disconnected; it comes back and reads anew.
const SLOWEST_READER: Duration = Duration::from_secs(5);
