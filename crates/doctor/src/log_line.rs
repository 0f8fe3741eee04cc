//! A line of a role's log: JSON, as the chart sets it.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

/// A line that a role wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LogLine {
    pub(crate) at: Option<Timestamp>,
    pub(crate) level: String,
    pub(crate) message: String,
    fields: Map<String, Value>,
}

impl LogLine {
    /// What a line says; text that is no JSON, such as a panic's, is a message without a time.
    pub(crate) fn read(line: &str) -> Self {
        let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
            return Self { message: line.trim_end().to_owned(), ..Self::default() };
        };
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        Self {
            at: text("timestamp").parse().ok(),
            level: text("level").to_owned(),
            message: text("message").to_owned(),
            fields,
        }
    }

    /// A field of the line; empty when it has none of this name.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn starts_with(&self, words: &str) -> bool {
        self.message.starts_with(words)
    }

    /// What a program that ends says on its standard error before it has a log, or instead of one: a fatal error, or a panic.
    pub(crate) fn is_last_word(&self) -> bool {
        let besides = ["note: ", "caudal: warning: "].iter().any(|words| self.message.starts_with(words));
        self.level.is_empty() && !self.message.is_empty() && !besides
    }

    pub(crate) fn is_complaint(&self) -> bool {
        matches!(self.level.as_str(), "WARN" | "ERROR")
    }

    /// The message with the reason that it gives.
    pub(crate) fn words(&self) -> String {
        let message = self.message.strip_prefix("caudal: ").unwrap_or(&self.message).trim_start();
        self.given().map_or_else(|| message.to_owned(), |reason| format!("{message}: {reason}"))
    }

    /// The reason alone, where the line gives one.
    pub(crate) fn reason(&self) -> &str {
        self.given().unwrap_or(&self.message)
    }

    fn given(&self) -> Option<&str> {
        ["error", "reason", "refused"]
            .map(|name| self.field(name))
            .into_iter()
            .find(|reason| !reason.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_and_why_and_text_that_is_no_json_is_taken_as_it_is() {
        let line = LogLine::read(
            r#"{"timestamp":"2026-11-28T03:12:04.000001Z","level":"WARN","error":"full","message":"storage fails"}"#,
        );
        assert_eq!(line.at, "2026-11-28T03:12:04.000001Z".parse().ok());
        assert_eq!((line.words().as_str(), line.is_complaint()), ("storage fails: full", true));
        for text in ["thread 'main' panicked\n", "[1, 2]", "{\"cut off", ""] {
            let line = LogLine::read(text);
            assert_eq!((line.message.as_str(), line.at), (text.trim_end(), None));
        }
    }
}
