//! Logs: readable lines or JSON on standard error, and a file a day with `LOG_DIR`.

use std::path::PathBuf;

use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// For a program: one object a line.
    Json,
}

/// Where logs go and what is in them.
#[derive(Clone, Debug, Default)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// A level, or directives as in `info,caudal_hls_edge=debug`.
    pub filter: String,
    /// A folder for one file a day; the last 14 are kept.
    pub directory: Option<PathBuf>,
}

/// Starts logging for this process. Call once, before anything logs.
///
/// # Errors
/// When the filter is malformed, the folder cannot be written, or logging was started already.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(if config.filter.is_empty() { "info" } else { &config.filter }).map_err(
        |error| anyhow::anyhow!("LOG_LEVEL: {error}; expected a level such as info, or directives"),
    )?;
    let (writer, to_terminal) = match &config.directory {
        None => (BoxMakeWriter::new(std::io::stderr), std::io::IsTerminal::is_terminal(&std::io::stderr())),
        Some(directory) => {
            let daily = RollingFileAppender::builder()
                .rotation(Rotation::DAILY)
                .filename_prefix("caudal")
                .filename_suffix("log")
                .max_log_files(KEPT_FILES)
                .build(directory)
                .map_err(|error| anyhow::anyhow!("LOG_DIR: {error}"))?;
            (BoxMakeWriter::new(daily), false)
        }
    };
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(to_terminal);
    let started = match config.format {
        LogFormat::Text => builder.compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}

/// Two weeks of daily files.
const KEPT_FILES: usize = 14;
