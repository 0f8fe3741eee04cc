//! What the person at the terminal reads: how the start goes, what to open and to type, and a line per stream event.

use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use caudal_directory::{LocalDirectory, Notice, StreamDirectory as _};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::roles::Addresses;
use crate::settings::LogFormatSetting;

/// Standard output, for a person or for a program.
pub struct Console {
    format: LogFormatSetting,
}

impl Console {
    /// Writes in this format.
    pub fn new(format: LogFormatSetting) -> Self {
        Self { format }
    }

    /// Something is being done that takes a moment.
    pub fn progress(&self, what: &str) {
        match self.format {
            LogFormatSetting::Text => line(&format!("  {what} …")),
            LogFormatSetting::Json => line(&json!({"event": "progress", "what": what}).to_string()),
        }
    }

    /// Everything is up.
    pub fn ready(&self, addresses: &Addresses, data: &Path, bind: IpAddr) {
        let Addresses { web, hls, rtmp, admin, .. } = addresses;
        if self.format == LogFormatSetting::Json {
            line(
                &json!({"event": "ready", "web": web, "hls": hls, "rtmp": rtmp, "admin": admin}).to_string(),
            );
            return;
        }
        line(&format!(
            "\n  Caudal {version} is running\n\n  \
             Open             {web}\n  \
             OBS server       {rtmp}\n  \
             OBS stream key   register at the address above, then choose Go live\n\n  \
             HLS and DASH     {hls}\n  \
             Metrics          {admin}/metrics\n  \
             Data             {data}\n",
            version = env!("CARGO_PKG_VERSION"),
            data = data.display(),
        ));
        if bind.is_loopback() {
            line("  Only this machine can reach it. CAUDAL_BIND=0.0.0.0 opens it to your network.");
        }
        line("  Ctrl-C ends it.\n");
    }

    /// Writes a line for each thing that happens to a stream, for as long as the directory is there.
    pub async fn follow(&self, directory: &LocalDirectory, addresses: &Addresses) {
        let mut notices = directory.notices();
        loop {
            match notices.recv().await {
                Ok(notice) => self.notice(&notice, directory, addresses),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "stream events went by unread"),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn notice(&self, notice: &Notice, directory: &LocalDirectory, addresses: &Addresses) {
        let watch = format!("{}/watch/{}", addresses.web, notice.stream);
        if self.format == LogFormatSetting::Text {
            line(&format!("  {}  {notice}  {watch}", clock()));
            return;
        }
        let record = directory.get(notice.stream);
        line(
            &json!({
                "event": "stream",
                "stream": notice.stream,
                "channel": notice.channel,
                "message": notice.to_string(),
                "watch": watch,
                "phase": record.as_ref().map(|record| record.status.phase),
                "epoch": record.as_ref().map(|record| record.status.epoch),
                "worker": record.as_ref().and_then(|record| record.status.worker).map(|address| address.worker),
            })
            .to_string(),
        );
    }
}

/// A closed terminal is no reason to end streams.
fn line(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Hours, minutes and seconds, UTC, as the logs have them.
fn clock() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("{:02}:{:02}:{:02}Z", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}
