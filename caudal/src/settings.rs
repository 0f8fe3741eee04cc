//! Every setting of the platform: its name, its default and the words for it. `--help`, `docs/configuration.md` and
//! `.env.example` are made from these definitions.
//!
//! * `values` – the types of values, and what they refuse
//! * `given` – who gave a value (flag, variable, line of a file), and what is said when it cannot be used
//! * `file` – the settings file
//! * `unknown` – what is said of a name that is no setting's
//! * `role` – which role has which setting
//! * `machine` – what only this machine can tell: folders, certificates, programs, ports that collide
//!
//! Secrets are not here: see [`crate::secrets`].

mod file;
mod given;
mod machine;
#[cfg(test)]
mod reference;
mod role;
mod unknown;
mod values;

use std::net::IpAddr;
use std::path::PathBuf;

use caudal_api::{Currency, RegistrationMode, TrustedProxies};
use caudal_livestream::admission::SecondPublisher;
use caudal_service::logs::{LogFilter, LogFormat};
use caudal_traces::Share;
use clap::{Args, Command, ValueEnum};

pub use given::{Faults, Given, Refused, in_file, read, shown, unknown_variables};
pub use machine::{check, no_folder, warn_of_what_is_missing};
pub use role::Role;
pub use values::{
    BitRate, Fitting, HttpUrl, Ladder, Prices, ProbeUrl, RtmpUrl, Span, WebOrigin, address, bucket, port,
    region, span,
};
use values::{count, internal_url, percent, role_arn, sender, session, span_or_none, up_to};

/// What can be set, by flag, environment or file.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// A file with settings, one `NAME = value` a line, under the names of the variables below.
    #[arg(long, env = "CAUDAL_CONFIG", value_name = "FILE", help_heading = FILES)]
    pub config: Option<PathBuf>,

    /// The address that the listeners for viewers, streamers and browsers bind. `0.0.0.0` opens them to the network.
    #[arg(long, env = "CAUDAL_BIND", default_value = "127.0.0.1", value_parser = address, value_name = "ADDRESS", help_heading = ADDRESSES)]
    pub bind: IpAddr,
    /// Web pages and REST.
    #[arg(long, env = "PORT", default_value = "3000", value_parser = port, help_heading = ADDRESSES)]
    pub port: u16,
    /// RTMP, for OBS.
    #[arg(long, env = "RTMP_PORT", default_value = "1935", value_parser = port, value_name = "PORT", help_heading = ADDRESSES)]
    pub rtmp_port: u16,
    /// RTMP over TLS; only with a certificate.
    #[arg(long, env = "RTMPS_PORT", default_value = "1936", value_parser = port, value_name = "PORT", help_heading = ADDRESSES)]
    pub rtmps_port: u16,
    /// HLS and DASH, for players.
    #[arg(long, env = "HLS_PORT", default_value = "8000", value_parser = port, value_name = "PORT", help_heading = ADDRESSES)]
    pub hls_port: u16,
    /// Signed requests between Caudal's own parts; binds 127.0.0.1, or `CAUDAL_INTERNAL_BIND` in a role of its own.
    #[arg(long, env = "CAUDAL_INTERNAL_PORT", default_value = "3001", value_parser = port, value_name = "PORT", help_heading = ADDRESSES)]
    pub internal_port: u16,
    /// Health and metrics; binds 127.0.0.1, or `CAUDAL_INTERNAL_BIND` in a role of its own.
    #[arg(long, env = "CAUDAL_ADMIN_PORT", default_value = "9090", value_parser = port, value_name = "PORT", help_heading = ADDRESSES)]
    pub admin_port: u16,
    /// The address that the internal and the admin listener bind, where roles are processes of their own.
    #[arg(long, env = "CAUDAL_INTERNAL_BIND", default_value = "127.0.0.1", value_parser = address, value_name = "ADDRESS", help_heading = ADDRESSES)]
    pub internal_bind: IpAddr,
    /// The address that the other roles reach this router at, as in a pod; without it, the one that its internal listener binds.
    #[arg(long, env = "CAUDAL_ADVERTISED_ADDRESS", value_parser = address, value_name = "ADDRESS", help_heading = ADDRESSES)]
    pub advertised_address: Option<IpAddr>,
    /// The api's internal listener, as the other roles reach it.
    #[arg(long, env = "CAUDAL_INTERNAL_API_URL", value_parser = internal_url, value_name = "URL", help_heading = ADDRESSES)]
    pub internal_api_url: Option<HttpUrl>,
    /// The controller's internal listener, as the other roles reach it.
    #[arg(long, env = "CAUDAL_INTERNAL_CONTROLLER_URL", value_parser = internal_url, value_name = "URL", help_heading = ADDRESSES)]
    pub internal_controller_url: Option<HttpUrl>,
    /// Where the streams are kept: by a `controller`, or in `kubernetes`, as LiveStreams that an operator drives.
    #[arg(long, env = "CAUDAL_DIRECTORY", value_enum, default_value_t = DirectorySetting::Controller, value_name = "KEEPER", help_heading = ADDRESSES)]
    pub directory: DirectorySetting,
    /// How many processes of the api use the database: `one`, which a lock sees to, or `several`, all with the same controller and the same
    /// `REDIS_URL`. In a cluster it means nothing, as replicas are known there.
    #[arg(long, env = "CAUDAL_API_REPLICAS", value_enum, default_value_t = ReplicasSetting::One, value_name = "COUNT", help_heading = ADDRESSES)]
    pub api_replicas: ReplicasSetting,
    /// The Kubernetes namespace of the LiveStreams; without it, the pod's own.
    #[arg(long, env = "CAUDAL_NAMESPACE", value_name = "NAME", help_heading = ADDRESSES)]
    pub namespace: Option<String>,
    /// The release's name, as Helm knows it: the workers' pods are labelled with it.
    #[arg(long, env = "CAUDAL_RELEASE", default_value = "caudal", value_name = "NAME", help_heading = WORKERS)]
    pub release: String,
    /// The image that the workers' pods run.
    #[arg(long, env = "CAUDAL_WORKER_IMAGE", value_name = "IMAGE", help_heading = WORKERS)]
    pub worker_image: Option<String>,
    /// Secrets that the image is pulled with.
    #[arg(long, env = "CAUDAL_WORKER_PULL_SECRETS", value_delimiter = ',', value_name = "NAME,…", help_heading = WORKERS)]
    pub worker_pull_secrets: Vec<String>,
    /// When nodes pull the image; the cluster's default without it: always for a tag `latest`, else where it is not there.
    #[arg(long, env = "CAUDAL_WORKER_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"], value_name = "POLICY", help_heading = WORKERS)]
    pub worker_pull_policy: Option<String>,
    /// The Secret of all workers: its `controllerKey`, which `caudal keys --secrets caudal` makes, is what they know this operator's orders by.
    #[arg(long, env = "CAUDAL_WORKER_SECRET", default_value = "caudal-transcoder-worker", value_name = "NAME", help_heading = WORKERS)]
    pub worker_secret: String,
    /// The Secret with the workers' `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, where segments go to a bucket.
    #[arg(long, env = "CAUDAL_WORKER_BUCKET_SECRET", default_value = "caudal-bucket", value_name = "NAME", help_heading = WORKERS)]
    pub worker_bucket_secret: String,
    /// The role whose sessions workers write to the bucket with, each to its own stream's objects alone. Without it they have the keys in
    /// `CAUDAL_WORKER_BUCKET_SECRET`, all the same.
    #[arg(long, env = "CAUDAL_STS_ROLE_ARN", value_parser = role_arn, value_name = "ARN", help_heading = WORKERS)]
    pub sts_role_arn: Option<String>,
    /// The STS that makes sessions; without it `AWS_ENDPOINT_URL` if that is set, else Amazon's in the region.
    #[arg(long, env = "CAUDAL_STS_ENDPOINT", value_name = "URL", help_heading = WORKERS)]
    pub sts_endpoint: Option<HttpUrl>,
    /// The region that requests to the STS are signed for; the bucket's without it.
    #[arg(long, env = "CAUDAL_STS_REGION", value_parser = region, value_name = "NAME", help_heading = WORKERS)]
    pub sts_region: Option<String>,
    /// How long a session holds, from `15m` to `12h`; a worker gets the next one when half of that is over.
    #[arg(long, env = "CAUDAL_STS_DURATION", default_value = "1h", value_parser = session, value_name = "TIME", help_heading = WORKERS)]
    pub sts_duration: Span,
    /// The PersistentVolumeClaim, `ReadWriteMany`, that the workers write segments to; this operator has it mounted at `HLS_PATH`.
    #[arg(long, env = "CAUDAL_MEDIA_CLAIM", value_name = "NAME", help_heading = WORKERS)]
    pub media_claim: Option<String>,
    /// Broadcasts that are moved off nodes that are being emptied at the same time, at most; `0` leaves them there. It needs the right to list
    /// and watch the cluster's nodes.
    #[arg(long, env = "CAUDAL_DRAIN_MOVES", default_value = "3", value_parser = up_to(MOST_STREAMS), value_name = "COUNT", help_heading = WORKERS)]
    pub drain_moves: u32,
    /// Live broadcasts that are moved off workers of an older image or template of their pool, a minute, evenly spread, at most 60; `0` leaves
    /// them there. Each has two workers for some seconds.
    #[arg(long, env = "CAUDAL_MOVES_PER_MINUTE", default_value = "0", value_parser = up_to(MOST_MOVES_PER_MINUTE), value_name = "COUNT", help_heading = WORKERS)]
    pub moves_per_minute: u32,
    /// Where browsers reach the web pages; `https://…` makes cookies `Secure`.
    #[arg(long, env = "CAUDAL_PUBLIC_API_URL", value_name = "URL", help_heading = ADDRESSES)]
    pub public_api_url: Option<WebOrigin>,
    /// Where players reach HLS and DASH.
    #[arg(long, env = "CAUDAL_PUBLIC_HLS_URL", value_name = "URL", help_heading = ADDRESSES)]
    pub public_hls_url: Option<HttpUrl>,
    /// What streamers type into OBS as the server.
    #[arg(long, env = "CAUDAL_PUBLIC_RTMP_URL", value_name = "URL", help_heading = ADDRESSES)]
    pub public_rtmp_url: Option<RtmpUrl>,
    /// Where it is probed each 15 seconds whether publishers can come in, for the admins' figures; without it at `CAUDAL_PUBLIC_RTMP_URL`, in
    /// standalone mode without `CAUDAL_RTMP_PROXIES` at the own port; `none` probes nothing.
    #[arg(long, env = "CAUDAL_RTMP_PROBE_URL", value_name = "URL", help_heading = ADDRESSES)]
    pub rtmp_probe_url: Option<ProbeUrl>,
    /// PEM file with the certificate chain for HLS and RTMPS; a renewed one is taken up within a minute.
    #[arg(long, env = "CAUDAL_TLS_CERT", value_name = "FILE", help_heading = ADDRESSES)]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    #[arg(long, env = "CAUDAL_TLS_KEY", value_name = "FILE", help_heading = ADDRESSES)]
    pub tls_key: Option<PathBuf>,
    /// Other web origins that may call the api, separated by commas.
    #[arg(long, env = "CAUDAL_CORS_ORIGINS", value_delimiter = ',', value_name = "URLS", help_heading = ADDRESSES)]
    pub cors_origins: Vec<WebOrigin>,
    /// Whether clients of Socket.IO may begin with HTTP requests, which must all reach the same replica: `auto`: allowed where there is a
    /// single replica (standalone mode, or no Redis); `on` where a load balancer sees to it, by cookie or address; `off`.
    #[arg(long, env = "CAUDAL_SOCKET_IO_POLLING", value_enum, default_value_t = PollingSetting::Auto, value_name = "POLLING", help_heading = ADDRESSES)]
    pub socket_io_polling: PollingSetting,
    /// Hosts with their ports, as in `bot.lan:8080`, separated by commas, that webhooks may go to though they are private or without TLS. Whoever has an
    /// account may have the api send requests there.
    #[arg(long, env = "CAUDAL_WEBHOOK_HOSTS", value_delimiter = ',', value_name = "HOSTS", help_heading = ADDRESSES)]
    pub webhook_hosts: Vec<caudal_api::WebhookHost>,
    /// Proxies whose `X-Forwarded-For` is believed: addresses and ranges as in `10.0.0.0/8`, separated by commas.
    #[arg(long, env = "CAUDAL_TRUSTED_PROXIES", value_name = "RANGES", help_heading = ADDRESSES)]
    pub trusted_proxies: Option<TrustedProxies>,
    /// Load balancers in front of RTMP and RTMPS, as addresses and ranges; every connection from them must begin with a PROXY protocol v2 header.
    #[arg(long, env = "CAUDAL_RTMP_PROXIES", value_name = "RANGES", help_heading = ADDRESSES)]
    pub rtmp_proxies: Option<TrustedProxies>,
    /// Requests a minute that one person, and one address whoever asks from there, may make to the api.
    #[arg(long, env = "CAUDAL_REQUESTS_PER_MINUTE", default_value = "100", value_parser = count(1_000_000), value_name = "COUNT", help_heading = ADDRESSES)]
    pub requests_per_minute: u32,
    /// Whom mails are from, as in `Caudal <no-reply@live.example>`: links to new passwords, and those that show that an address is its
    /// owner's. Needs `SMTP_URL`.
    #[arg(long, env = "SMTP_FROM", value_parser = sender, value_name = "ADDRESS", help_heading = ADDRESSES)]
    pub smtp_from: Option<String>,

    /// Where everything that lasts is kept: database, secrets, streams' states, media.
    #[arg(long, env = "CAUDAL_DATA_DIR", value_name = "FOLDER", help_heading = FILES)]
    pub data_dir: Option<PathBuf>,
    /// A folder with this role's own keys, a file each, instead of `CAUDAL_SECRET`; `caudal keys` makes it.
    #[arg(long, env = "CAUDAL_KEYS", value_name = "FOLDER", help_heading = FILES)]
    pub keys: Option<PathBuf>,
    #[command(flatten)]
    pub storage: crate::storage::StorageSettings,
    /// The built web pages. Without them browsers get only the api.
    #[arg(long, env = "CAUDAL_WEB_DIR", value_name = "FOLDER", help_heading = FILES)]
    pub web_dir: Option<PathBuf>,

    /// In Kubernetes, the WorkerPool that carries new streams; `default` without it.
    #[arg(long, env = "CAUDAL_POOL", value_name = "NAME", help_heading = STREAMS)]
    pub pool: Option<String>,
    /// Streams at the same time, at most; further ones are refused before they start.
    #[arg(long, env = "CAUDAL_MAX_STREAMS", default_value = "16", value_parser = count(MOST_STREAMS), value_name = "COUNT", help_heading = STREAMS)]
    pub max_streams: u32,
    /// Bits a second that one publisher may send, from 100k to 1000M.
    #[arg(long, env = "CAUDAL_MAX_BITRATE", default_value = "50M", value_name = "BITS", help_heading = STREAMS)]
    pub max_bitrate: BitRate,
    /// Publisher connections from one address that have not been let in yet, at most.
    #[arg(long, env = "CAUDAL_MAX_CONNECTIONS_PER_ADDRESS", default_value = "32", value_parser = count(MOST_CONNECTIONS), value_name = "COUNT", help_heading = STREAMS)]
    pub max_connections_per_address: u32,
    /// How long a lost publisher may take to come back, at most `1d`.
    #[arg(long, env = "CAUDAL_RECONNECT_WINDOW", default_value = "30s", value_parser = span("1d"), value_name = "TIME", help_heading = STREAMS)]
    pub reconnect_window: Span,
    /// How long a role that gets a SIGTERM still takes connections, at most `10m`: load balancers notice late that it ends.
    #[arg(long, env = "CAUDAL_DRAIN_ACCEPT", default_value = "0s", value_parser = span_or_none("10m"), value_name = "TIME", help_heading = STREAMS)]
    pub drain_accept: Span,
    /// The time over which a role then lets go one by one of its publishers (the router) or chat sockets (the api), at most `1h`: each comes back to another.
    #[arg(long, env = "CAUDAL_DRAIN_SPREAD", default_value = "0s", value_parser = span_or_none("1h"), value_name = "TIME", help_heading = STREAMS)]
    pub drain_spread: Span,
    /// What a second publisher on a live key gets while the first one sends: `reject` refuses it, `takeover` lets it win.
    #[arg(long, env = "CAUDAL_SECOND_PUBLISHER", value_enum, default_value_t = SecondPublisherSetting::Reject, value_name = "POLICY", help_heading = STREAMS)]
    pub second_publisher: SecondPublisherSetting,
    /// Qualities below the source: `auto` (as many as this machine can encode), `none`, or a list of `720p,480p,360p`.
    #[arg(long, env = "CAUDAL_LADDER", default_value = "auto", value_name = "LADDER", help_heading = STREAMS)]
    pub ladder: Ladder,
    /// The ffmpeg to encode with. Without it streams have their source quality only, and no poster.
    #[arg(long, env = "CAUDAL_FFMPEG", default_value = "ffmpeg", value_name = "PROGRAM", help_heading = STREAMS)]
    pub ffmpeg: PathBuf,
    /// How long a stream's poster stays before the next one is made, at most `1d`; the first comes 3 s after the start.
    #[arg(long, env = "CAUDAL_POSTER_INTERVAL", default_value = "1m", value_parser = span("1d"), value_name = "TIME", help_heading = STREAMS)]
    pub poster_interval: Span,
    /// How long a worker that gets a SIGTERM serves on for its stream to be moved to another one, at most `1h`.
    #[arg(long, env = "CAUDAL_WORKER_GRACE", default_value = "25s", value_parser = span("1h"), value_name = "TIME", help_heading = STREAMS)]
    pub worker_grace: Span,
    /// Who may open an account: everybody (`open`), whoever has an admin's `invitation`, or nobody (`closed`). What an admin says later wins.
    #[arg(long, env = "REGISTRATION", value_enum, default_value_t = RegistrationSetting::Open, value_name = "WHO", help_heading = STREAMS)]
    pub registration: RegistrationSetting,
    /// How long an access token lasts, at most `30d`.
    #[arg(long, env = "JWT_EXPIRES_IN", default_value = "1h", value_parser = span("30d"), value_name = "TIME", help_heading = STREAMS)]
    pub jwt_expires_in: Span,
    /// How long a refresh token lasts, and with it a log-in that is not used. After 30 days a log-in ends in any case, so more than `30d` changes nothing.
    #[arg(long, env = "JWT_REFRESH_EXPIRES_IN", default_value = "7d", value_parser = span("3650d"), value_name = "TIME", help_heading = STREAMS)]
    pub jwt_refresh_expires_in: Span,

    /// The currency of all subscriptions, as in `EUR`: three letters. Choose it before the first price is set: what was priced in another one is not sold any more, and what is owed in another one is in the CSV alone.
    #[arg(long, env = "CAUDAL_CURRENCY", default_value = "EUR", value_name = "CODE", help_heading = BILLING)]
    pub currency: Currency,
    /// What a streamer may ask for a month of each tier, tax included, in the currency's smallest unit: the least, what is suggested, and the most.
    #[arg(long, env = "CAUDAL_TIER_PRICES", default_value = "basic=199..499..1999,pro=499..999..4999,premium=999..2499..9999", value_name = "PRICES", help_heading = BILLING)]
    pub tier_prices: Prices,
    /// What the platform keeps of what viewers pay, in percent of the price with its tax. It holds for payments from then on.
    #[arg(long, env = "CAUDAL_PLATFORM_FEE", default_value = "0", value_parser = percent, value_name = "PERCENT", help_heading = BILLING)]
    pub platform_fee: u8,
    /// For how long a subscription goes on whose renewal cannot be charged, while Stripe tries again; three days at least. What is paid later goes back, and the subscription is over.
    #[arg(long, env = "CAUDAL_RENEWAL_GRACE", default_value = "11d", value_parser = span_or_none("60d"), value_name = "TIME", help_heading = BILLING)]
    pub renewal_grace: Span,
    /// For how long after its beginning a subscription can be withdrawn from, with all that was paid for it back, renewals and upgrades too. In the European Union 14 days is the least. `0s`: no withdrawal.
    #[arg(long, env = "CAUDAL_WITHDRAWAL", default_value = "14d", value_parser = span_or_none("365d"), value_name = "TIME", help_heading = BILLING)]
    pub withdrawal: Span,
    /// Whether Stripe works out the tax that is in each price (Stripe Tax, which has to be set up there): `on` or `off`.
    #[arg(long, env = "STRIPE_AUTOMATIC_TAX", value_enum, default_value_t = OnOff::Off, value_name = "WHETHER", help_heading = BILLING)]
    pub stripe_automatic_tax: OnOff,
    /// Where Stripe's API is; another one is for tests.
    #[arg(long, env = "STRIPE_API_BASE", default_value = "https://api.stripe.com", value_name = "URL", help_heading = BILLING)]
    pub stripe_api_base: HttpUrl,

    #[command(flatten)]
    pub logs: LogSettings,
    /// A folder for one log file a day as well, by UTC; the last 14 are kept.
    #[arg(long, env = "LOG_DIR", value_name = "FOLDER", help_heading = LOGS)]
    pub log_dir: Option<PathBuf>,

    #[command(flatten)]
    pub traces: TraceSettings,

    /// Who gave what of these, so that a fault can be said of the name that was written.
    #[arg(skip)]
    pub given: Given,
}

/// How much is logged and how it looks, of the platform and of a worker.
#[derive(Args, Clone, Debug)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or directives as in `info,caudal_hls_edge=debug`.
    #[arg(long = "log-level", env = "LOG_LEVEL", default_value = "warn,caudal=info", value_name = "LEVEL", help_heading = LOGS)]
    pub level: LogFilter,
    /// How lines on standard error, on standard output and in files look; their times are UTC.
    #[arg(long = "log-format", env = "LOG_FORMAT", value_enum, default_value_t = LogFormatSetting::Text, value_name = "FORMAT", help_heading = LOGS)]
    pub format: LogFormatSetting,
}

/// Where traces go, of the platform and of a worker.
#[derive(Args, Clone, Debug)]
pub struct TraceSettings {
    /// The OpenTelemetry collector that traces of broadcasts are sent to, as in `http://127.0.0.1:4318`: OTLP over HTTP. Without it
    /// nothing is traced.
    #[arg(long = "otlp-endpoint", env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", help_heading = TRACES)]
    pub endpoint: Option<HttpUrl>,
    /// The share of broadcasts that are traced, from 0 to 1, the same in all roles: a broadcast's id decides.
    #[arg(long = "traces-share", env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1", value_name = "SHARE", help_heading = TRACES)]
    pub share: Share,
}

/// `CAUDAL_SECOND_PUBLISHER`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SecondPublisherSetting {
    /// It is refused.
    Reject,
    /// It wins.
    Takeover,
}

impl From<SecondPublisherSetting> for SecondPublisher {
    fn from(setting: SecondPublisherSetting) -> Self {
        match setting {
            SecondPublisherSetting::Reject => Self::Reject,
            SecondPublisherSetting::Takeover => Self::Takeover,
        }
    }
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// `REGISTRATION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RegistrationSetting {
    /// Everybody.
    Open,
    /// Whoever was invited.
    Invitation,
    /// Nobody.
    Closed,
}

impl From<RegistrationSetting> for RegistrationMode {
    fn from(setting: RegistrationSetting) -> Self {
        match setting {
            RegistrationSetting::Open => Self::Open,
            RegistrationSetting::Invitation => Self::Invitation,
            RegistrationSetting::Closed => Self::Closed,
        }
    }
}

/// `CAUDAL_SOCKET_IO_POLLING`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PollingSetting {
    /// With one replica.
    Auto,
    /// Yes.
    On,
    /// WebSockets only.
    Off,
}

impl From<PollingSetting> for caudal_api::SocketIoPolling {
    fn from(setting: PollingSetting) -> Self {
        match setting {
            PollingSetting::Auto => Self::Auto,
            PollingSetting::On => Self::On,
            PollingSetting::Off => Self::Off,
        }
    }
}

/// `CAUDAL_DIRECTORY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DirectorySetting {
    /// `caudal controller` keeps it.
    Controller,
    /// LiveStream resources are it.
    Kubernetes,
}

/// `CAUDAL_API_REPLICAS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplicasSetting {
    /// It has the database to itself.
    One,
    /// They share a controller, a database and Redis.
    Several,
}

/// `LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatSetting {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<LogFormatSetting> for LogFormat {
    fn from(setting: LogFormatSetting) -> Self {
        match setting {
            LogFormatSetting::Text => Self::Text,
            LogFormatSetting::Json => Self::Json,
        }
    }
}

/// What holds where a setting is not given and its default depends on others, and in which roles: the others have none, because
/// they do not know what it follows from.
const DEFAULTS_IN_WORDS: &[(&str, &[Role], &str)] = &[
    (
        "CAUDAL_DATA_DIR",
        &[Role::Standalone, Role::Controller],
        "/var/lib/caudal for root, else ~/.local/share/caudal",
    ),
    ("CAUDAL_PUBLIC_API_URL", &[Role::Standalone, Role::Api], "http://localhost:PORT"),
    ("CAUDAL_PUBLIC_HLS_URL", &[Role::Standalone], "http://localhost:HLS_PORT, https with a certificate"),
    ("CAUDAL_PUBLIC_RTMP_URL", &[Role::Standalone], "rtmp://127.0.0.1:RTMP_PORT/live"),
    ("HLS_PATH", &[Role::Standalone, Role::Controller], "media in the data folder"),
];

/// The default of a setting that is not a fixed value, in a role that has one.
fn default_in_words(name: &str, role: Role) -> Option<&'static str> {
    let found = DEFAULTS_IN_WORDS.iter().find(|(of, roles, _)| *of == name && roles.contains(&role));
    found.map(|(_, _, words)| *words)
}

/// That a role must be given the setting, where it must.
fn required_in_words(name: &str, role: Role) -> Option<&'static str> {
    if role.required().iter().any(|(required, _)| *required == name) {
        Some("required")
    } else {
        let reads_segments = name == "HLS_PATH" && matches!(role, Role::HlsEdge | Role::Operator);
        reads_segments.then_some("required unless there is a bucket")
    }
}

/// `command` with what differs from role to role: default ports, and what `--help` shows beyond the definitions. That is the
/// role's own settings alone, what it requires, defaults that depend on other settings, and no values of variables, which
/// would make two people's help differ.
pub fn for_each_role(command: Command) -> Command {
    command.mut_subcommands(|command| {
        let role = Role::named(command.get_name());
        let is_admin = command.get_name() == "admin";
        command.mut_args(|arg| {
            let name = arg.get_env().and_then(|name| name.to_str()).map(ToOwned::to_owned);
            let arg = arg.hide_env_values(true);
            let Some(name) = name else { return arg };
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let Some(role) = role else {
                return match default_in_words(&name, Role::Standalone).filter(|_| is_admin) {
                    Some(words) => arg.help(format!("{help} [default: {words}]")),
                    None => arg,
                };
            };
            let arg = match role.default_of(&name) {
                Some(value) => arg.default_value(value),
                None => arg,
            };
            if !role.has(&name) {
                arg.hide(true)
            } else if let Some(words) = required_in_words(&name, role) {
                arg.help(format!("{help} [{words}]"))
            } else if let Some(words) = default_in_words(&name, role) {
                arg.help(format!("{help} [default: {words}]"))
            } else {
                arg
            }
        })
    })
}

const ADDRESSES: &str = "Addresses";
pub const FILES: &str = "Files and storage";
const STREAMS: &str = "Streams and sessions";
const WORKERS: &str = "Workers in Kubernetes";
const LOGS: &str = "Logs";
const BILLING: &str = "Billing";
const TRACES: &str = "Traces";

/// The router's own bound on publishers.
const MOST_STREAMS: u32 = 1000;
/// The operator looks each second.
const MOST_MOVES_PER_MINUTE: u32 = 60;
/// As good as none; the router has a bound of its own on all connections.
const MOST_CONNECTIONS: u32 = 1_000_000;
