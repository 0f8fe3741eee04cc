//! What workers write to standard error: log lines, and the last words of a panic. They go where the platform's own lines
//! go, and each says which worker it is from.

use std::time::Duration;

use caudal_livestream::WorkerId;
use caudal_service::logs::LogLines;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::settings::LogFormatSetting;

/// Where workers' lines go, and how they look. Without a place they are read and forgotten.
#[derive(Clone, Debug)]
pub struct WorkerLines {
    /// The places of the platform's own lines.
    pub to: Option<LogLines>,
    /// How workers were told to write.
    pub format: LogFormatSetting,
}

impl WorkerLines {
    /// Reads until the pipe ends, so that the worker never waits for a reader. A process that the worker left behind may
    /// hold the pipe open, so once the worker has `exited` a moment must do for the rest.
    pub async fn follow(self, worker: WorkerId, pipe: impl AsyncRead + Unpin, exited: CancellationToken) {
        let late = async {
            exited.cancelled().await;
            sleep(REST_WITHIN).await;
        };
        tokio::select! {
            () = self.read(worker, pipe) => {}
            () = late => {}
        }
    }

    async fn read(&self, worker: WorkerId, pipe: impl AsyncRead + Unpin) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut pipe).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(line.trim_ascii_end());
            if let (Some(to), false) = (&self.to, text.is_empty()) {
                to.line(labelled(self.format, worker, &text).as_bytes());
            }
        }
    }
}

/// The line with the worker's id in it: a field of a JSON object, else a word behind the time, which stays in front so that
/// lines can be sorted.
fn labelled(format: LogFormatSetting, worker: WorkerId, text: &str) -> String {
    match format {
        LogFormatSetting::Text => {
            let timed = text.split_once(' ').filter(|(time, _)| DateTime::parse_from_rfc3339(time).is_ok());
            if let Some((time, rest)) = timed {
                format!("{time} worker={worker} {rest}\n")
            } else {
                // A panic, or a piece of a line that is too long.
                let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
                format!("{now} worker={worker} {text}\n")
            }
        }
        LogFormatSetting::Json => {
            let mut object = match serde_json::from_str(text) {
                Ok(Value::Object(object)) => object,
                _ => Map::from_iter([
                    ("level".to_owned(), Value::from("WARN")),
                    ("message".to_owned(), Value::from(text)),
                ]),
            };
            object.insert("worker".to_owned(), Value::from(worker.to_string()));
            format!("{}\n", Value::Object(object))
        }
    }
}

/// What is longer comes in pieces: several lines.
const LONGEST_LINE: u64 = 16 * 1024;
/// The kernel keeps what a process wrote before its end; reading it takes no time.
const REST_WITHIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_which_worker_it_is_from_and_begins_with_its_time() {
        let worker = WorkerId::generate();
        let text =
            labelled(LogFormatSetting::Text, worker, "2026-11-27T08:34:09.123456Z  INFO caudal: hello");
        assert_eq!(text, format!("2026-11-27T08:34:09.123456Z worker={worker}  INFO caudal: hello\n"));
        for untimed in ["thread 'main' panicked", "panicked", "2026 was a year"] {
            let text = labelled(LogFormatSetting::Text, worker, untimed);
            let (time, rest) = text.split_once(' ').unwrap();
            assert!(DateTime::parse_from_rfc3339(time).is_ok(), "{text}");
            assert_eq!(rest, format!("worker={worker} {untimed}\n"));
        }
    }

    #[test]
    fn a_line_in_json_says_which_worker_it_is_from_and_stays_one_object() {
        let worker = WorkerId::generate();
        for (line, message) in [
            (r#"{"level":"INFO","message":"hello"}"#, "hello"),
            ("thread 'main' panicked", "thread 'main' panicked"),
            ("[1]", "[1]"),
        ] {
            let text = labelled(LogFormatSetting::Json, worker, line);
            assert_eq!(text.matches('\n').count(), 1);
            let object: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(object["worker"], worker.to_string());
            assert_eq!(object["message"], message);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pipe_that_somebody_else_holds_open_is_left_when_the_worker_is_gone() {
        let (pipe, _held) = tokio::io::duplex(64);
        let exited = CancellationToken::new();
        exited.cancel();
        let lines = WorkerLines { to: None, format: LogFormatSetting::Text };
        lines.follow(WorkerId::generate(), pipe, exited).await;
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_read_in_pieces() {
        let worker = WorkerId::generate();
        let endless = tokio::io::repeat(b'x').take(LONGEST_LINE * 64);
        let lines = WorkerLines { to: None, format: LogFormatSetting::Text };
        lines.follow(worker, endless, CancellationToken::new()).await;
    }
}
