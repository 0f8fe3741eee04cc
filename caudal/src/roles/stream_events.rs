//! A line on standard output for each thing that happens to a stream.

use std::time::{SystemTime, UNIX_EPOCH};

use caudal_directory::{LocalDirectory, Notice};
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
                Ok(notice) => self.output.line(&self.line(&notice)),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "stream events went by unread"),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn line(&self, notice: &Notice) -> String {
        let stream = notice.stream;
        let watch = self.web.map(|web| format!("{web}/watch/{stream}"));
        if self.format == LogFormatSetting::Text {
            return format!("  {}  {notice}  {}", clock(), watch.unwrap_or_else(|| stream.to_string()));
        }
        let mut line = json!({
            "event": "stream",
            "stream": stream,
            "channel": notice.channel,
            "message": notice.to_string(),
            "phase": notice.phase,
            "epoch": notice.epoch,
            "worker": notice.worker,
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

#[cfg(test)]
mod tests {
    use caudal_livestream::record::{Phase, WorkerAddress};
    use caudal_livestream::{Epoch, WorkerId, fixtures};
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_line_says_how_the_stream_was_when_that_happened() {
        let output = StandardOutput::new(LogFormatSetting::Json.into());
        let events = StreamEvents { output: &output, format: LogFormatSetting::Json, web: None };
        let starting = fixtures::record();
        let here = ([127, 0, 0, 1], 1935).into();
        let address = WorkerAddress { worker: WorkerId::generate(), rtmp: here, http: here };
        let mut live = starting.clone();
        (live.status.phase, live.status.epoch, live.status.worker) = (Phase::Live, Epoch(2), Some(address));
        let mut over = live.clone();
        (over.status.phase, over.status.worker) = (Phase::Ended, None);
        // All of it has happened before the first line is written.
        let notices = [(None, &starting), (Some(&starting), &live), (Some(&live), &over)]
            .map(|(before, after)| Notice::of_change(before, after).unwrap());
        let said = notices.map(|notice| {
            let line: Value = serde_json::from_str(&events.line(&notice)).unwrap();
            ["phase", "epoch", "worker"].map(|field| line[field].clone())
        });
        let worker = json!(address.worker);
        let expected = [
            [json!("Pending"), json!(0), Value::Null],
            [json!("Live"), json!(2), worker],
            [json!("Ended"), json!(2), Value::Null],
        ];
        assert_eq!(said, expected);
    }
}
