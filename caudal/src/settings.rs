//! Every setting of every role, in one place: flag before environment before file before default.
//!
//! Secrets are not here: see [`crate::secrets`].

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use caudal_api::TrustedProxies;
use caudal_livestream::RenditionName;
use caudal_livestream::admission::{LadderRung, SecondPublisher};
use caudal_transcoder_worker::LadderChoice;
use clap::{Args, Command, ValueEnum};

use crate::secrets::SECRET_NAMES;
use crate::storage::StorageSettings;

/// What can be set, by flag, environment or file.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// A TOML file with settings, one `NAME = value` a line, under the names of the variables below.
    #[arg(long, env = "CAUDAL_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The address that viewers', streamers' and browsers' listeners bind. 0.0.0.0 opens them to the network.
    #[arg(
        long,
        env = "CAUDAL_BIND",
        hide_env_values = true,
        default_value = "127.0.0.1",
        value_name = "ADDRESS"
    )]
    pub bind: IpAddr,
    /// REST and web pages.
    #[arg(long, env = "PORT", hide_env_values = true, default_value_t = 3000)]
    pub port: u16,
    /// RTMP, for OBS.
    #[arg(long, env = "RTMP_PORT", hide_env_values = true, default_value_t = 1935, value_name = "PORT")]
    pub rtmp_port: u16,
    /// RTMP over TLS; only with a certificate.
    #[arg(long, env = "RTMPS_PORT", hide_env_values = true, default_value_t = 1936, value_name = "PORT")]
    pub rtmps_port: u16,
    /// HLS and DASH, for players.
    #[arg(long, env = "HLS_PORT", hide_env_values = true, default_value_t = 8000, value_name = "PORT")]
    pub hls_port: u16,
    /// Signed requests between Caudal's own parts. Binds loopback in standalone mode.
    #[arg(
        long,
        env = "CAUDAL_INTERNAL_PORT",
        hide_env_values = true,
        default_value_t = 3001,
        value_name = "PORT"
    )]
    pub internal_port: u16,
    /// Health and metrics. Binds loopback in standalone mode.
    #[arg(
        long,
        env = "CAUDAL_ADMIN_PORT",
        hide_env_values = true,
        default_value_t = 9090,
        value_name = "PORT"
    )]
    pub admin_port: u16,

    /// Where browsers reach the api, if not at http://localhost:PORT.
    #[arg(long, env = "CAUDAL_PUBLIC_API_URL", hide_env_values = true, value_name = "URL")]
    pub public_api_url: Option<HttpUrl>,
    /// Where players reach the edge, if not at http://localhost:HLS_PORT.
    #[arg(long, env = "CAUDAL_PUBLIC_HLS_URL", hide_env_values = true, value_name = "URL")]
    pub public_hls_url: Option<HttpUrl>,
    /// What streamers type into OBS as the server, if not rtmp://localhost:RTMP_PORT/live.
    #[arg(long, env = "CAUDAL_PUBLIC_RTMP_URL", hide_env_values = true, value_name = "URL")]
    pub public_rtmp_url: Option<RtmpUrl>,
    /// PEM file with the certificate chain for HLS and RTMPS.
    #[arg(long, env = "CAUDAL_TLS_CERT", hide_env_values = true, requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    #[arg(long, env = "CAUDAL_TLS_KEY", hide_env_values = true, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Other web origins that may call the api, separated by commas.
    #[arg(
        long,
        env = "CAUDAL_CORS_ORIGINS",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "URLS"
    )]
    pub cors_origins: Vec<HttpUrl>,
    /// Proxies whose X-Forwarded-For is believed: addresses and ranges as in 10.0.0.0/8, separated by commas.
    #[arg(long, env = "CAUDAL_TRUSTED_PROXIES", hide_env_values = true, value_name = "RANGES")]
    pub trusted_proxies: Option<TrustedProxies>,
    /// Requests a minute that one person, or one address that is not logged in, may make to the api.
    #[arg(
        long,
        env = "CAUDAL_REQUESTS_PER_MINUTE",
        hide_env_values = true,
        default_value_t = 100,
        value_name = "COUNT"
    )]
    pub requests_per_minute: u32,

    /// Where everything that lasts is kept. /var/lib/caudal for root, else `caudal` in the user's data folder.
    #[arg(long, env = "CAUDAL_DATA_DIR", hide_env_values = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub storage: StorageSettings,
    /// The built web pages.
    #[arg(long, env = "CAUDAL_WEB_DIR", hide_env_values = true, value_name = "FOLDER")]
    pub web_dir: Option<PathBuf>,

    /// How long an access token lasts.
    #[arg(long, env = "JWT_EXPIRES_IN", hide_env_values = true, default_value = "1h", value_name = "TIME")]
    pub jwt_expires_in: Span,
    /// How long a refresh token lasts.
    #[arg(
        long,
        env = "JWT_REFRESH_EXPIRES_IN",
        hide_env_values = true,
        default_value = "7d",
        value_name = "TIME"
    )]
    pub jwt_refresh_expires_in: Span,

    /// Streams at the same time, at most.
    #[arg(
        long,
        env = "CAUDAL_MAX_STREAMS",
        hide_env_values = true,
        default_value_t = 16,
        value_name = "COUNT"
    )]
    pub max_streams: u32,
    /// Bits a second that one publisher may send, as in 50M.
    #[arg(
        long,
        env = "CAUDAL_MAX_BITRATE",
        hide_env_values = true,
        default_value = "50M",
        value_name = "BITS"
    )]
    pub max_bitrate: BitRate,
    /// Publisher connections from one address, at most.
    #[arg(
        long,
        env = "CAUDAL_MAX_CONNECTIONS_PER_ADDRESS",
        hide_env_values = true,
        default_value_t = 32,
        value_name = "COUNT"
    )]
    pub max_connections_per_address: u32,
    /// How long a lost publisher may take to come back.
    #[arg(
        long,
        env = "CAUDAL_RECONNECT_WINDOW",
        hide_env_values = true,
        default_value = "30s",
        value_name = "TIME"
    )]
    pub reconnect_window: Span,
    /// What a second publisher on a live key gets while the first one sends.
    #[arg(long, env = "CAUDAL_SECOND_PUBLISHER", hide_env_values = true, value_enum, default_value_t = SecondPublisherSetting::Reject, value_name = "POLICY")]
    pub second_publisher: SecondPublisherSetting,
    /// Qualities below the source: `auto` (as many as this machine can encode), `none`, or a list of 720p, 480p, 360p.
    #[arg(
        long,
        env = "CAUDAL_LADDER",
        hide_env_values = true,
        default_value = "auto",
        value_name = "LADDER"
    )]
    pub ladder: Ladder,
    /// The ffmpeg to encode with.
    #[arg(
        long,
        env = "CAUDAL_FFMPEG",
        hide_env_values = true,
        default_value = "ffmpeg",
        value_name = "PROGRAM"
    )]
    pub ffmpeg: PathBuf,

    /// error, warn, info, debug, trace, or directives as in `info,caudal_hls_edge=debug`.
    #[arg(
        long,
        env = "LOG_LEVEL",
        hide_env_values = true,
        default_value = "warn,caudal=info",
        value_name = "LEVEL"
    )]
    pub log_level: String,
    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", hide_env_values = true, value_enum, default_value_t = LogFormatSetting::Text, value_name = "FORMAT")]
    pub log_format: LogFormatSetting,
    /// Write logs to a file a day in this folder instead of the terminal.
    #[arg(long, env = "LOG_DIR", hide_env_values = true, value_name = "FOLDER")]
    pub log_dir: Option<PathBuf>,
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

/// `LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatSetting {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// A length of time, as in `30s`, `15m`, `1h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a number and a unit (s, m, h or d), as in 30s or 7d".to_owned();
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(expected()),
        };
        number
            .checked_mul(seconds)
            .filter(|&seconds| seconds > 0 && seconds <= MAX_SPAN_SECONDS)
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or_else(|| "expected more than nothing and at most 3650d".to_owned())
    }
}

/// Bits a second, as in `800k` or `50M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitRate(pub u64);

impl FromStr for BitRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected bits a second between 100k and 1000M, as in 50M".to_owned();
        let (number, factor) = match text.strip_suffix('M') {
            Some(number) => (number, 1_000_000),
            None => match text.strip_suffix('k') {
                Some(number) => (number, 1_000),
                None => (text, 1),
            },
        };
        let number: u64 = number.parse().map_err(|_| expected())?;
        number
            .checked_mul(factor)
            .filter(|bits| (100_000..=1_000_000_000).contains(bits))
            .map(Self)
            .ok_or_else(expected)
    }
}

macro_rules! url {
    ($(#[$doc:meta])* $name:ident, $schemes:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The URL, without a slash at its end.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let url = reqwest::Url::parse(text).map_err(|error| format!("{error}; {}", $expected))?;
                if !$schemes.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
                    return Err($expected.to_owned());
                }
                Ok(Self(text.trim_end_matches('/').to_owned()))
            }
        }
    };
}

url! {
    /// An `http` or `https` URL.
    HttpUrl, ["http", "https"], "expected a URL as in https://example.org"
}
url! {
    /// An `rtmp` or `rtmps` URL.
    RtmpUrl, ["rtmp", "rtmps"], "expected a URL as in rtmp://example.org/live"
}

/// `CAUDAL_LADDER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// The qualities below the source, highest first.
    pub rungs: Vec<LadderRung>,
    /// Whether each worker leaves out what its machine has no cores for.
    pub fitting: Fitting,
}

/// What a worker makes of the ladder it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fitting {
    /// As much as its cores allow.
    Auto,
    /// All of it.
    Full,
}

impl From<Fitting> for LadderChoice {
    fn from(fitting: Fitting) -> Self {
        match fitting {
            Fitting::Auto => Self::Auto,
            Fitting::Full => Self::Full,
        }
    }
}

impl FromStr for Ladder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = rungs();
        match text {
            "none" => Ok(Self { rungs: Vec::new(), fitting: Fitting::Full }),
            "auto" => Ok(Self { rungs: known, fitting: Fitting::Auto }),
            list => {
                let wanted: BTreeSet<&str> = list.split(',').map(str::trim).collect();
                if let Some(unknown) =
                    wanted.iter().find(|name| !known.iter().any(|rung| rung.name.as_str() == **name))
                {
                    return Err(format!(
                        "{unknown:?} is no quality; expected auto, none, or a list of 720p, 480p, 360p"
                    ));
                }
                let rungs = known.into_iter().filter(|rung| wanted.contains(rung.name.as_str())).collect();
                Ok(Self { rungs, fitting: Fitting::Full })
            }
        }
    }
}

/// The rungs that ffmpeg makes, highest first.
fn rungs() -> Vec<LadderRung> {
    [("720p", 720, 2_500_000), ("480p", 480, 1_200_000), ("360p", 360, 600_000)]
        .into_iter()
        .filter_map(|(name, height, bitrate)| {
            Some(LadderRung { name: RenditionName::from_str(name).ok()?, height, bitrate })
        })
        .collect()
}

/// Makes the values of the settings file defaults of `command`, below flags and environment.
///
/// # Errors
/// When the file cannot be read, or names what is not a setting.
pub fn with_file(mut command: Command, subcommand: &str, path: &Path) -> anyhow::Result<Command> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the settings file {}", path.display()))?;
    let table: toml::Table =
        toml::from_str(&text).with_context(|| format!("{} is not a settings file", path.display()))?;
    for (name, value) in table {
        if SECRET_NAMES.contains(&name.as_str()) {
            bail!("{}: {name} is a secret; set it by the variable {name} or {name}_FILE", path.display());
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            _ => bail!("{}: {name} must be a text, a number or true or false", path.display()),
        };
        let Some(id) = command.find_subcommand(subcommand).and_then(|sub| {
            sub.get_arguments()
                .find(|arg| arg.get_env().is_some_and(|env| env == name.as_str()))
                .map(|arg| arg.get_id().clone())
        }) else {
            bail!("{}: there is no setting {name}; `caudal {subcommand} --help` lists them", path.display());
        };
        command = command.mut_subcommand(subcommand, |sub| {
            sub.mut_arg(id, |arg| arg.default_value(clap::builder::OsStr::from(value)))
        });
    }
    Ok(command)
}

/// The names in the environment that look like ours and are not: probably misspelt.
pub fn unknown_variables(command: &Command, subcommand: &str) -> Vec<String> {
    let known: BTreeSet<String> = command
        .find_subcommand(subcommand)
        .into_iter()
        .flat_map(Command::get_arguments)
        .filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned))
        .chain(SECRET_NAMES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}_FILE")]))
        .collect();
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("CAUDAL_") && !known.contains(name))
        .collect()
}

/// Ten years: beyond any of these, and far from overflow.
const MAX_SPAN_SECONDS: u64 = 3650 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        assert_eq!("30s".parse(), Ok(Span(Duration::from_secs(30))));
        assert_eq!("7d".parse(), Ok(Span(Duration::from_secs(7 * 86_400))));
        for wrong in ["", "30", "s", "0s", "-1s", "1w", "99999999999999999999s", "4000d", "1.5h"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bit_rate_has_a_floor_and_a_ceiling() {
        assert_eq!("50M".parse(), Ok(BitRate(50_000_000)));
        assert_eq!("800k".parse(), Ok(BitRate(800_000)));
        for wrong in ["", "M", "1", "2000M", "5G"] {
            assert!(wrong.parse::<BitRate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_ladder_is_ordered_from_the_top_whatever_the_order_it_was_named_in() {
        let ladder: Ladder = "360p, 720p".parse().unwrap();
        assert_eq!(ladder.rungs.iter().map(|rung| rung.height).collect::<Vec<_>>(), [720, 360]);
        assert_eq!(ladder.fitting, Fitting::Full);
        assert!("1080p".parse::<Ladder>().unwrap_err().contains("1080p"));
        assert!("none".parse::<Ladder>().unwrap().rungs.is_empty());
        assert_eq!("auto".parse::<Ladder>().unwrap().fitting, Fitting::Auto);
    }

    #[test]
    fn a_url_of_another_scheme_or_without_a_host_is_refused() {
        assert_eq!("https://a.example/".parse::<HttpUrl>().unwrap().as_str(), "https://a.example");
        assert!("rtmp://a.example".parse::<HttpUrl>().is_err());
        assert!("rtmp://a.example/live".parse::<RtmpUrl>().is_ok());
        assert!("localhost".parse::<HttpUrl>().is_err());
    }
}
