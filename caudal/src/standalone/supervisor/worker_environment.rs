//! What a worker of this machine is told at its start.

use std::ffi::OsString;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use caudal_service::logs::LogLines;
use caudal_service::secret;
use ed25519_dalek::VerifyingKey;
use secrecy::ExposeSecret as _;
use tempfile::NamedTempFile;

use super::{SupervisorConfig, WorkerLines};
use crate::settings::{Fitting, LogFormatSetting, Settings};
use crate::storage::StorageSettings;

impl SupervisorConfig {
    /// Workers of this executable, that write where `storage` says and obey the holder of `controller`'s private half.
    ///
    /// # Errors
    /// When this executable cannot be found, or a secret cannot be read.
    pub fn new(
        settings: &Settings,
        storage: &StorageSettings,
        controller: VerifyingKey,
        lines: LogLines,
    ) -> anyhow::Result<Self> {
        let name = std::env::current_exe().context("where this executable is")?.into();
        let mut environment: Vec<(OsString, OsString)> = Vec::new();
        let mut tell = |name: &str, value: OsString| environment.push((name.into(), value));
        tell("CAUDAL_CONTROLLER_KEY", BASE64.encode(controller.to_bytes()).into());
        tell("CAUDAL_FFMPEG", settings.ffmpeg.clone().into());
        tell("CAUDAL_POSTER_INTERVAL", format!("{}s", settings.poster_interval.0.as_secs()).into());
        tell("CAUDAL_WORKER_GRACE", format!("{}s", settings.worker_grace.0.as_secs()).into());
        tell("CAUDAL_LADDER", fitting(settings.ladder.fitting).into());
        tell("LOG_LEVEL", settings.logs.level.as_str().into());
        tell("LOG_FORMAT", log_format(settings.logs.format).into());
        if let Some(endpoint) = &settings.traces.endpoint {
            tell("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str().into());
            tell("OTEL_TRACES_SAMPLER_ARG", settings.traces.share.of_one().to_string().into());
        }
        if let Some(folder) = &storage.hls_path {
            tell("HLS_PATH", folder.clone().into());
        }
        let mut secrets = Vec::new();
        if let Some(bucket) = &storage.s3_bucket {
            tell("AWS_S3_BUCKET", bucket.into());
            tell("AWS_REGION", storage.s3_region.clone().into());
            if let Some(endpoint) = &storage.s3_endpoint {
                tell("AWS_ENDPOINT_URL", endpoint.as_str().into());
            }
            for (name, in_file) in [
                ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID_FILE"),
                ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY_FILE"),
                ("AWS_SESSION_TOKEN", "AWS_SESSION_TOKEN_FILE"),
            ] {
                let Some(value) = secret::read(name)? else { continue };
                // Anybody who may look at a process may see its environment; a file of ours, only we.
                let mut file = NamedTempFile::with_prefix("caudal-").context(name)?;
                file.write_all(value.expose_secret().as_bytes()).context(name)?;
                tell(in_file, file.path().into());
                secrets.push(Arc::new(file));
            }
        }
        let lines = WorkerLines { to: Some(lines), format: settings.logs.format };
        let arguments = vec!["transcoder-worker".into()];
        Ok(Self { program: OWN_EXECUTABLE.into(), name, arguments, environment, secrets, lines })
    }
}

/// What this process runs, also once its file was replaced by another release's or removed: workers of that release would be
/// started by a platform that does not know it, and none at all without a file.
const OWN_EXECUTABLE: &str = "/proc/self/exe";

fn fitting(fitting: Fitting) -> &'static str {
    match fitting {
        Fitting::Auto => "auto",
        Fitting::Full => "full",
    }
}

fn log_format(setting: LogFormatSetting) -> &'static str {
    match setting {
        LogFormatSetting::Text => "text",
        LogFormatSetting::Json => "json",
    }
}
