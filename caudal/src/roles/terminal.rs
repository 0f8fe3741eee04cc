//! What the person at the terminal of one role reads: where it listens, whom it asks, and what it keeps where.

use std::fmt::Write as _;
use std::path::Path;

use caudal_directory::LocalDirectory;
use caudal_service::logs::StandardOutput;
use serde_json::{Value, json};

use super::stream_events::StreamEvents;
use crate::settings::{LogFormatSetting, Role, Settings};

/// Standard output of a role's process, for a person or for a program.
pub struct Terminal {
    role: Role,
    format: LogFormatSetting,
    output: StandardOutput,
}

/// One of the places that a role has to do with.
pub struct Place {
    kind: Kind,
    what: &'static str,
    address: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Listens,
    Asks,
    Keeps,
    Reads,
}

impl Place {
    /// Whether the role is reached there.
    pub fn is_listener(&self) -> bool {
        self.kind == Kind::Listens
    }

    /// An address where the role is reached, and by whom or for what.
    pub fn listens(what: &'static str, address: String) -> Self {
        Self { kind: Kind::Listens, what, address }
    }

    /// The internal listener of another role.
    pub fn asks(what: &'static str, url: &str) -> Self {
        Self { kind: Kind::Asks, what, address: url.to_owned() }
    }

    /// A folder or bucket.
    pub fn keeps(what: &'static str, place: String) -> Self {
        Self { kind: Kind::Keeps, what, address: place }
    }

    /// Where the settings say that the workers of `role` put segments, or that it reads them; `folder` where no bucket holds
    /// them.
    pub fn segments(role: Role, settings: &Settings, folder: Option<&Path>) -> Self {
        let bucket = settings.storage.s3_bucket.as_ref().map(|bucket| format!("bucket {bucket}"));
        let folder = folder.map(|folder| folder.display().to_string());
        let kind = if role == Role::HlsEdge { Kind::Reads } else { Kind::Keeps };
        Self { kind, what: "segments", address: bucket.or(folder).unwrap_or_default() }
    }
}

impl Kind {
    fn verb(self) -> &'static str {
        match self {
            Self::Listens => "Listens",
            Self::Asks => "Asks",
            Self::Keeps => "Keeps",
            Self::Reads => "Reads",
        }
    }
}

impl Terminal {
    /// That of `role`.
    pub fn new(role: Role, settings: &Settings) -> Self {
        let format = settings.logs.format;
        Self { role, format, output: StandardOutput::new(format.into()) }
    }

    /// Every listener is bound; nothing has been asked yet.
    pub fn listening(&self, places: &[Place], settings: &Settings) {
        self.output.line(&match self.format {
            LogFormatSetting::Text => text(self.role, places, settings),
            LogFormatSetting::Json => {
                let places: serde_json::Map<_, _> = places
                    .iter()
                    .map(|place| (place.what.to_owned(), Value::from(&*place.address)))
                    .collect();
                json!({"event": "listening", "role": self.role.name(), "places": places}).to_string()
            }
        });
    }

    /// Writes a line for each thing that happens to a stream, for as long as the directory is there.
    pub async fn tell_of_streams(&self, directory: &LocalDirectory) {
        StreamEvents { output: &self.output, format: self.format, web: None }.follow(directory).await;
    }

    /// It takes part from now on.
    pub fn ready(&self) {
        tracing::info!("ready");
        if self.format == LogFormatSetting::Json {
            self.output.line(&json!({"event": "ready", "role": self.role.name()}).to_string());
        }
    }

    /// It has ended as it was told to.
    pub fn stopped(&self) {
        tracing::info!("stopped");
        if self.format == LogFormatSetting::Json {
            self.output.line(&json!({"event": "stopped", "role": self.role.name()}).to_string());
        }
    }
}

fn text(role: Role, places: &[Place], settings: &Settings) -> String {
    let mut text = format!("\n  Caudal {}, {role}\n\n", env!("CARGO_PKG_VERSION"));
    let mut last = None;
    for Place { kind, what, address } in places {
        let verb = if last == Some(*kind) { "" } else { kind.verb() };
        last = Some(*kind);
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {verb:<9}{what:<17}{address}");
    }
    text.push('\n');
    if role.has("CAUDAL_BIND") && settings.bind.is_loopback() {
        text.push_str("  Only this machine can reach it. CAUDAL_BIND=0.0.0.0 opens it to your network.\n");
    }
    text.push_str("  Times are UTC. Ctrl-C or SIGTERM ends it.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches as _;

    #[test]
    fn each_place_stands_in_a_line_of_its_own_and_what_is_done_there_is_said_once() {
        let matches = crate::command().get_matches_from(["caudal", "hls-edge"]);
        let settings = Settings::from_arg_matches(matches.subcommand().unwrap().1).unwrap();
        let places = [
            Place::listens("HLS and DASH", "http://localhost:8000".to_owned()),
            Place::listens("metrics", "http://127.0.0.1:9093/metrics".to_owned()),
            Place::asks("controller", "http://127.0.0.1:3002"),
            Place::segments(Role::HlsEdge, &settings, Some(Path::new("/srv/media"))),
        ];
        let text = text(Role::HlsEdge, &places, &settings);
        let lines: Vec<&str> = text.lines().skip(3).take(4).collect();
        assert_eq!(
            lines,
            [
                "  Listens  HLS and DASH     http://localhost:8000",
                "           metrics          http://127.0.0.1:9093/metrics",
                "  Asks     controller       http://127.0.0.1:3002",
                "  Reads    segments         /srv/media",
            ]
        );
        assert!(text.contains("CAUDAL_BIND=0.0.0.0"));
    }
}
