//! A line on standard output for each thing that happens to a stream.

use std::time::{SystemTime, UNIX_EPOCH};

use caudal_directory::{LocalDirectory, Notice, StreamDirectory as _};
use caudal_service::logs::StandardOutput;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use crate::settings::LogFormatSetting;

/// Where the lines go, and how they look.
pub struct StreamEvents<'a> {
    /// Standard output.
    pub output: &'a StandardOutput,
    /// For a person or for a program.
    pub format: LogFormatSetting,
    /// The address of the web pages, where it is known; lines name the stream's watch page then, and else its id.
    pub web: Option<&'a str>,
}

impl StreamEvents<'_> {
    /// Writes them for as long as the directory is there.
    pub async fn follow(&self, directory: &LocalDirectory) {
        let mut notices = directory.notices();
        loop {
            match notices.recv().await {
                Ok(notice) => self.output.line(&self.line(&notice, directory)),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "stream events went by unread"),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn line(&self, notice: &Notice, directory: &LocalDirectory) -> String {
        let stream = notice.stream;
        let watch = self.web.map(|web| format!("{web}/watch/{stream}"));
        if self.format == LogFormatSetting::Text {
            return format!("  {}  {notice}  {}", clock(), watch.unwrap_or_else(|| stream.to_string()));
        }
        let record = directory.get(stream);
        let mut line = json!({
            "event": "stream",
            "stream": stream,
            "channel": notice.channel,
            "message": notice.to_string(),
            "phase": record.as_ref().map(|record| record.status.phase),
            "epoch": record.as_ref().map(|record| record.status.epoch),
            "worker": record.as_ref().and_then(|record| record.status.worker).map(|address| address.worker),
        });
        if let (Some(watch), Some(line)) = (watch, line.as_object_mut()) {
            line.insert("watch".to_owned(), watch.into());
        }
        line.to_string()
    }
}

/// Hours, minutes and seconds, UTC, as the logs have them.
fn clock() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("{:02}:{:02}:{:02}Z", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}
