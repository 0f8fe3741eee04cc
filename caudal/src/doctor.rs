//! `caudal doctor`, and as a plug-in `kubectl caudal doctor`: the command; what it knows is in `crates/doctor`.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use caudal_doctor::{Paint, Target, diagnose, gather, json, text};
use caudal_kubernetes::names;
use clap::{Args, ValueEnum};

use crate::admin;
use crate::settings::Faults;

/// What is looked at.
#[derive(Args, Clone, Debug)]
pub struct DoctorSettings {
    /// The channel, or its broadcast: the id, the LiveStream's name, or the address of the watch page.
    // Not parsed by clap, which would show a stream key that was pasted by mistake.
    channel: Option<OsString>,
    /// The namespace that Caudal is in; without it, the one of the kubeconfig.
    #[arg(short, long, env = "CAUDAL_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    /// One screen for a person, or everything for a program.
    #[arg(short, long, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Looks, and tells.
///
/// # Errors
/// [`Faults`] when CHANNEL names nothing; else when standard output cannot be written to.
pub async fn run(settings: &DoctorSettings) -> anyhow::Result<ExitCode> {
    let target = settings.channel.as_deref().map_or(Ok(Target::Installation), target)?;
    let namespace = settings.namespace.as_deref().filter(|name| !name.is_empty());
    let report = match gather(namespace, target).await {
        Ok(facts) => diagnose(&facts),
        Err(blind) => *blind,
    };
    let words = match settings.output {
        Output::Text => text(&report, paint()),
        Output::Json => format!("{:#}\n", json(&report)),
    };
    let mut output = io::stdout().lock();
    match output.write_all(words.as_bytes()).and_then(|()| output.flush()) {
        // Whoever reads has had enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(ExitCode::from(report.outcome.exit_code())),
    }
}

fn target(typed: &OsStr) -> Result<Target, Faults> {
    if let Some(stream) = typed.to_str().and_then(|text| names::stream_of(text.trim())) {
        return Ok(Target::Stream(stream));
    }
    match admin::Target::read(typed) {
        Ok(admin::Target::Stream(stream)) => Ok(Target::Stream(stream)),
        Ok(admin::Target::Channel(channel)) => Ok(Target::Channel(channel)),
        Err(reason) => Err(Faults(vec![format!("{reason}; `kubectl get lst` lists all")])),
    }
}

/// Colours are for a terminal whose owner has not said otherwise (no-color.org).
fn paint() -> Paint {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !unwanted { Paint::Colours } else { Paint::Plain }
}

#[cfg(test)]
mod tests {
    use caudal_livestream::StreamId;

    use super::*;

    #[test]
    fn a_broadcast_is_named_as_kubectl_shows_it_or_as_viewers_and_streamers_do() {
        let id = StreamId::generate();
        for typed in [format!("s-{id}"), id.to_string(), format!("https://example.org/watch/{id}")] {
            assert_eq!(target(OsStr::new(&typed)), Ok(Target::Stream(id)), "{typed}");
        }
        assert_eq!(target(OsStr::new("ann")), Ok(Target::Channel("ann".to_owned())));
        let key = format!("live_{}", "x".repeat(32));
        let said = target(OsStr::new(&key)).unwrap_err().to_string();
        assert!(said.contains("for an encoder") && !said.contains("xxx"), "{said}");
    }
}
