//! Which role has which setting and which secret.

use std::fmt;

use crate::secrets::Holder;
use Role::{Api, Controller, HlsEdge, IngestRouter, Operator, Standalone};

/// A role of the executable that takes settings of the platform. A transcoder worker has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All of them in one process.
    Standalone,
    /// REST and web pages.
    Api,
    /// The streamers' door.
    IngestRouter,
    /// The viewers' door.
    HlsEdge,
    /// Drives the lifecycle of all streams, with workers of this machine.
    Controller,
    /// Drives it in a cluster, with pods for workers.
    Operator,
}

impl Role {
    /// The role of that name on the command line; none for those that have settings of their own.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|role| role.name() == name)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Standalone => "standalone",
            Api => "api",
            IngestRouter => "ingest-router",
            HlsEdge => "hls-edge",
            Controller => "controller",
            Operator => "operator",
        }
    }

    /// Whose keys it has, where it is a process of its own.
    pub fn holder(self) -> Option<Holder> {
        match self {
            Standalone => None,
            Api => Some(Holder::Api),
            IngestRouter => Some(Holder::IngestRouter),
            HlsEdge => Some(Holder::HlsEdge),
            Controller => Some(Holder::Controller),
            Operator => Some(Holder::Operator),
        }
    }

    /// Whether the setting or secret `name` is one of this role's.
    pub fn has(self, name: &str) -> bool {
        owners(name).contains(&self)
    }

    /// Its default of a setting, where that is another one than standalone mode's: the roles of an installation fit beside
    /// each other on one machine.
    pub fn default_of(self, name: &str) -> Option<&'static str> {
        let of_role = DEFAULTS.iter().find(|(role, of, _)| *role == self && *of == name);
        of_role.map(|(_, _, value)| *value)
    }

    /// What this role cannot guess, and so must be given, with an example: settings and secrets.
    pub fn required(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Standalone => &[],
            Api => &[
                ("CAUDAL_INTERNAL_CONTROLLER_URL", THE_CONTROLLER),
                ("CAUDAL_PUBLIC_HLS_URL", "where players reach the edge, as in https://example.org"),
                ("CAUDAL_PUBLIC_RTMP_URL", "what streamers type into OBS, as in rtmp://example.org/live"),
                ("CAUDAL_SECRET", THE_SECRET),
                ("DATABASE_URL", "PostgreSQL, as in postgresql://user:password@10.0.0.7/caudal"),
            ],
            IngestRouter | HlsEdge => &[
                ("CAUDAL_INTERNAL_API_URL", THE_API),
                ("CAUDAL_INTERNAL_CONTROLLER_URL", THE_CONTROLLER),
                ("CAUDAL_SECRET", THE_SECRET),
            ],
            Controller => &[("CAUDAL_INTERNAL_API_URL", THE_API), ("CAUDAL_SECRET", THE_SECRET)],
            Operator => &[
                ("CAUDAL_INTERNAL_API_URL", THE_API),
                ("CAUDAL_SECRET", THE_SECRET),
                (
                    "CAUDAL_WORKER_IMAGE",
                    "the image that workers' pods run, as in registry.example/caudal:0.1.0",
                ),
            ],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The roles that have the setting or secret `name`.
pub fn owners(name: &str) -> &'static [Role] {
    OWNERS.iter().find(|(of, _)| *of == name).map_or(&[], |(_, owners)| owners)
}

/// The owners of a setting in words, as in "standalone, api and hls-edge".
pub fn owners_in_words(name: &str) -> String {
    let names: Vec<&str> = owners(name).iter().map(|role| role.name()).collect();
    match names.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        names => names.concat(),
    }
}

const ALL: &[Role] = &[Standalone, Api, IngestRouter, HlsEdge, Controller, Operator];
/// Those that face the world.
const PUBLIC: &[Role] = &[Standalone, Api, IngestRouter, HlsEdge];
/// Those that are a process for one of the platform's parts.
const SEPARATE: &[Role] = &[Api, IngestRouter, HlsEdge, Controller, Operator];
/// Those that have a copy of the directory.
const COPIES: &[Role] = &[Api, IngestRouter, HlsEdge];
const OF_API: &[Role] = &[Standalone, Api];
const OF_ROUTER: &[Role] = &[Standalone, IngestRouter];
const OF_EDGE: &[Role] = &[Standalone, HlsEdge];
const OF_CONTROLLER: &[Role] = &[Standalone, Controller];
/// Those that drive broadcasts or take publishers.
const TRACED: &[Role] = &[Standalone, IngestRouter, Controller, Operator];
const TLS: &[Role] = &[Standalone, IngestRouter, HlsEdge];
const STORAGE: &[Role] = &[Standalone, Api, HlsEdge, Controller, Operator];
const OF_OPERATOR: &[Role] = &[Operator];

const OWNERS: &[(&str, &[Role])] = &[
    ("CAUDAL_CONFIG", ALL),
    ("CAUDAL_BIND", PUBLIC),
    ("PORT", OF_API),
    ("RTMP_PORT", OF_ROUTER),
    ("RTMPS_PORT", OF_ROUTER),
    ("HLS_PORT", OF_EDGE),
    ("CAUDAL_INTERNAL_PORT", &[Standalone, Api, IngestRouter, Controller]),
    ("CAUDAL_ADMIN_PORT", ALL),
    ("CAUDAL_INTERNAL_BIND", SEPARATE),
    ("CAUDAL_ADVERTISED_ADDRESS", &[IngestRouter]),
    ("CAUDAL_INTERNAL_API_URL", &[IngestRouter, HlsEdge, Controller, Operator]),
    ("CAUDAL_INTERNAL_CONTROLLER_URL", COPIES),
    ("CAUDAL_DIRECTORY", COPIES),
    ("CAUDAL_API_REPLICAS", &[Api]),
    ("CAUDAL_NAMESPACE", &[Api, IngestRouter, HlsEdge, Operator]),
    ("CAUDAL_RELEASE", OF_OPERATOR),
    ("CAUDAL_WORKER_IMAGE", OF_OPERATOR),
    ("CAUDAL_WORKER_PULL_SECRETS", OF_OPERATOR),
    ("CAUDAL_WORKER_PULL_POLICY", OF_OPERATOR),
    ("CAUDAL_WORKER_SECRET", OF_OPERATOR),
    ("CAUDAL_WORKER_BUCKET_SECRET", OF_OPERATOR),
    ("CAUDAL_STS_ROLE_ARN", OF_OPERATOR),
    ("CAUDAL_STS_ENDPOINT", OF_OPERATOR),
    ("CAUDAL_STS_REGION", OF_OPERATOR),
    ("CAUDAL_STS_DURATION", OF_OPERATOR),
    ("CAUDAL_DRAIN_MOVES", OF_OPERATOR),
    ("CAUDAL_MOVES_PER_MINUTE", OF_OPERATOR),
    ("CAUDAL_MEDIA_CLAIM", OF_OPERATOR),
    ("CAUDAL_PUBLIC_API_URL", OF_API),
    ("CAUDAL_PUBLIC_HLS_URL", &[Standalone, Api, Operator]),
    ("CAUDAL_PUBLIC_RTMP_URL", OF_API),
    ("CAUDAL_RTMP_PROBE_URL", OF_API),
    ("CAUDAL_TLS_CERT", TLS),
    ("CAUDAL_TLS_KEY", TLS),
    ("CAUDAL_CORS_ORIGINS", OF_API),
    ("CAUDAL_SOCKET_IO_POLLING", OF_API),
    ("CAUDAL_WEBHOOK_HOSTS", OF_API),
    ("CAUDAL_TRUSTED_PROXIES", &[Standalone, Api, HlsEdge]),
    ("CAUDAL_RTMP_PROXIES", OF_ROUTER),
    ("CAUDAL_REQUESTS_PER_MINUTE", OF_API),
    ("SMTP_FROM", OF_API),
    ("CAUDAL_DATA_DIR", OF_CONTROLLER),
    ("CAUDAL_KEYS", SEPARATE),
    ("HLS_PATH", STORAGE),
    ("AWS_S3_BUCKET", STORAGE),
    ("AWS_REGION", STORAGE),
    ("AWS_ENDPOINT_URL", STORAGE),
    ("CAUDAL_WEB_DIR", OF_API),
    ("CAUDAL_POOL", &[Api, Operator]),
    ("CAUDAL_MAX_STREAMS", OF_CONTROLLER),
    ("CAUDAL_MAX_BITRATE", OF_ROUTER),
    ("CAUDAL_MAX_CONNECTIONS_PER_ADDRESS", OF_ROUTER),
    ("CAUDAL_RECONNECT_WINDOW", OF_ROUTER),
    ("CAUDAL_DRAIN_ACCEPT", &[Api, IngestRouter, HlsEdge]),
    ("CAUDAL_DRAIN_SPREAD", &[Api, IngestRouter]),
    ("CAUDAL_SECOND_PUBLISHER", OF_API),
    ("CAUDAL_LADDER", &[Standalone, Api, Controller]),
    ("CAUDAL_FFMPEG", OF_CONTROLLER),
    ("CAUDAL_POSTER_INTERVAL", OF_CONTROLLER),
    ("CAUDAL_WORKER_GRACE", OF_CONTROLLER),
    ("REGISTRATION", OF_API),
    ("JWT_EXPIRES_IN", OF_API),
    ("JWT_REFRESH_EXPIRES_IN", OF_API),
    ("CAUDAL_CURRENCY", OF_API),
    ("CAUDAL_TIER_PRICES", OF_API),
    ("CAUDAL_PLATFORM_FEE", OF_API),
    ("CAUDAL_RENEWAL_GRACE", OF_API),
    ("CAUDAL_WITHDRAWAL", OF_API),
    ("STRIPE_AUTOMATIC_TAX", OF_API),
    ("STRIPE_API_BASE", OF_API),
    ("LOG_LEVEL", ALL),
    ("LOG_FORMAT", ALL),
    ("LOG_DIR", ALL),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", TRACED),
    ("OTEL_TRACES_SAMPLER_ARG", TRACED),
    // Secrets.
    ("AWS_ACCESS_KEY_ID", STORAGE),
    ("AWS_SECRET_ACCESS_KEY", STORAGE),
    ("AWS_SESSION_TOKEN", STORAGE),
    ("CAUDAL_SECRET", ALL),
    ("DATABASE_URL", OF_API),
    ("JWT_SECRET", OF_API),
    ("REDIS_URL", &[Standalone, Api, IngestRouter]),
    ("SMTP_URL", OF_API),
    ("STRIPE_SECRET_KEY", OF_API),
    ("STRIPE_WEBHOOK_SECRETS", OF_API),
];

/// Standalone mode and the api have 3001 and 9090.
const DEFAULTS: &[(Role, &str, &str)] = &[
    (Controller, "CAUDAL_INTERNAL_PORT", "3002"),
    (IngestRouter, "CAUDAL_INTERNAL_PORT", "3003"),
    (Controller, "CAUDAL_ADMIN_PORT", "9091"),
    (IngestRouter, "CAUDAL_ADMIN_PORT", "9092"),
    (HlsEdge, "CAUDAL_ADMIN_PORT", "9093"),
    (Operator, "CAUDAL_ADMIN_PORT", "9094"),
];

const THE_API: &str = "the api's internal listener, as in http://10.0.0.7:3001";
const THE_CONTROLLER: &str = "the controller's internal listener, as in http://10.0.0.7:3002; or CAUDAL_DIRECTORY, kubernetes in a cluster";
const THE_SECRET: &str = "the same in all roles of an installation, as `openssl rand -base64 48` makes one; or CAUDAL_KEYS, a folder \
                          with this role's keys";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::secrets::SECRET_NAMES;

    #[test]
    fn every_setting_and_every_secret_is_somebodys_and_nothing_else_is() {
        let command = crate::command();
        let settings = command.find_subcommand("standalone").unwrap().get_arguments();
        let names: BTreeSet<String> = settings
            .filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned()))
            .chain(SECRET_NAMES.iter().map(|name| (*name).to_owned()))
            .collect();
        let owned: BTreeSet<String> = OWNERS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names, owned);
        assert_eq!(OWNERS.len(), owned.len(), "none is there twice");
    }

    #[test]
    fn what_a_role_requires_is_its_own() {
        for role in ALL {
            for (name, _) in role.required() {
                assert!(role.has(name), "{role}: {name}");
            }
        }
    }

    #[test]
    fn roles_on_one_machine_have_ports_of_their_own() {
        let command = crate::command();
        let mut taken = BTreeSet::new();
        for role in SEPARATE {
            let settings = command.find_subcommand(role.name()).unwrap().get_arguments();
            for arg in settings {
                let name = arg.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                if name.ends_with("PORT") && role.has(name) {
                    let default = arg.get_default_values().first().unwrap().to_owned();
                    assert!(taken.insert(default.clone()), "{role}: {name} {default:?}");
                }
            }
        }
        assert_eq!(taken.len(), 12);
    }

    #[test]
    fn each_role_is_a_command() {
        let command = crate::command();
        let commands: BTreeSet<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        let named: BTreeSet<&str> =
            commands.iter().copied().filter(|name| Role::named(name).is_some()).collect();
        assert_eq!(named, ALL.iter().map(|role| role.name()).collect());
        assert!(commands.contains("transcoder-worker"));
    }

    #[test]
    fn owners_are_said_as_a_person_would() {
        assert_eq!(owners_in_words("HLS_PORT"), "standalone and hls-edge");
        assert_eq!(owners_in_words("CAUDAL_LADDER"), "standalone, api and controller");
    }
}
