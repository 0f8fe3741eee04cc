//! What the person at the terminal reads: how the start goes, what to open and to type, and a line per stream event.

use std::fmt::Write as _;
use std::path::Path;

use caudal_directory::LocalDirectory;
use caudal_service::logs::StandardOutput;
use serde_json::json;

use super::roles::Addresses;
use crate::roles::stream_events::StreamEvents;
use crate::settings::{LogFormatSetting, Settings};

/// Standard output, for a person or for a program.
pub struct Console {
    format: LogFormatSetting,
    output: StandardOutput,
}

impl Console {
    /// Writes in this format.
    pub fn new(format: LogFormatSetting) -> Self {
        Self { format, output: StandardOutput::new(format.into()) }
    }

    /// Something is being done that takes a moment.
    pub fn progress(&self, what: &str) {
        match self.format {
            LogFormatSetting::Text => self.output.line(&format!("  {what} …")),
            LogFormatSetting::Json => {
                self.output.line(&json!({"event": "progress", "what": what}).to_string());
            }
        }
    }

    /// Everything is up.
    pub fn ready(&self, addresses: &Addresses, data: &Path, settings: &Settings) {
        self.output.line(&match self.format {
            LogFormatSetting::Json => ready_json(addresses),
            LogFormatSetting::Text => ready_text(addresses, data, settings),
        });
    }

    /// Nothing of it runs any more.
    pub fn stopped(&self) {
        self.output.line(match self.format {
            LogFormatSetting::Text => "  Stopped",
            LogFormatSetting::Json => r#"{"event":"stopped"}"#,
        });
    }

    /// Writes a line for each thing that happens to a stream, for as long as the directory is there.
    pub async fn follow(&self, directory: &LocalDirectory, addresses: &Addresses) {
        let web = Some(addresses.web.as_str());
        StreamEvents { output: &self.output, format: self.format, web }.follow(directory).await;
    }
}

fn ready_json(addresses: &Addresses) -> String {
    let Addresses { web, hls, rtmp, rtmps, admin, .. } = addresses;
    let mut ready = json!({"event": "ready", "web": web, "hls": hls, "rtmp": rtmp, "admin": admin});
    if let (Some(rtmps), Some(ready)) = (rtmps, ready.as_object_mut()) {
        ready.insert("rtmps".to_owned(), rtmps.as_str().into());
    }
    ready.to_string()
}

fn ready_text(addresses: &Addresses, data: &Path, settings: &Settings) -> String {
    let Addresses { web, hls, rtmp, rtmps, admin, .. } = addresses;
    let pages = if settings.web_dir.is_some() { "" } else { " (the api alone: CAUDAL_WEB_DIR is not set)" };
    let mut text = format!(
        "\n  Caudal {version} is running\n\n  \
         Open             {web}{pages}\n  \
         OBS server       {rtmp}\n",
        version = env!("CARGO_PKG_VERSION"),
    );
    if let Some(rtmps) = rtmps.as_ref().filter(|rtmps| *rtmps != rtmp) {
        let _ = writeln!(text, "  OBS with TLS     {rtmps}");
    }
    let _ = write!(
        text,
        "  OBS stream key   sign up at the address above, then choose Go live\n\n  \
         HLS and DASH     {hls}\n  \
         Metrics          {admin}/metrics\n  \
         Data             {data}\n",
        data = data.display(),
    );
    if let Some(folder) = &settings.log_dir {
        let _ = writeln!(text, "  Log files        {} (a file a day, UTC)", folder.display());
    }
    text.push('\n');
    if settings.bind.is_loopback() {
        text.push_str("  Only this machine can reach it. CAUDAL_BIND=0.0.0.0 opens it to your network.\n");
    }
    text.push_str("  Times are UTC. Ctrl-C or SIGTERM ends it.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches as _;

    fn ready(flags: &[&str], rtmps: Option<&str>) -> (String, serde_json::Value) {
        let arguments = ["caudal", "standalone"].iter().chain(flags);
        let matches = crate::command().get_matches_from(arguments);
        let settings = Settings::from_arg_matches(matches.subcommand().unwrap().1).unwrap();
        let addresses = Addresses::for_test("rtmp://a.example/live", rtmps);
        let json = serde_json::from_str(&ready_json(&addresses)).unwrap();
        (ready_text(&addresses, Path::new("/srv/caudal"), &settings), json)
    }

    #[test]
    fn the_address_for_rtmps_is_shown_when_there_is_a_certificate() {
        let (text, json) = ready(&[], Some("rtmps://a.example:1936/live"));
        assert!(text.contains("\n  OBS with TLS     rtmps://a.example:1936/live\n"), "{text}");
        assert_eq!(json["rtmps"], "rtmps://a.example:1936/live");
        let (text, json) = ready(&[], None);
        assert!(!text.contains("TLS"), "{text}");
        assert_eq!(json.get("rtmps"), None);
    }

    #[test]
    fn pages_that_are_missing_and_the_clock_of_the_lines_are_named() {
        let (text, _) = ready(&["--log-dir", "/var/log/caudal"], None);
        assert!(text.contains("(the api alone: CAUDAL_WEB_DIR is not set)"), "{text}");
        assert!(
            text.contains("/var/log/caudal (a file a day, UTC)") && text.contains("Times are UTC"),
            "{text}"
        );
        let (text, _) = ready(&["--web-dir", "/srv/web"], None);
        assert!(!text.contains("the api alone"), "{text}");
    }
}
