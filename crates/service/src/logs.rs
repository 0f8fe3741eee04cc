//! Logs: readable lines or JSON on standard error and, with `LOG_DIR`, in a file a day as well.
//!
//! Nobody who logs waits for a terminal, a pipe or a disk: lines go through bounded queues to a thread for each place.
//! While one is full, further lines are left out there, and counted. How many lines there are, and what may stand in them, is
//! limited by `log_flood` and `log_text`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::daily_file::DailyFile;
use crate::log_flood::FloodLayer;
use crate::log_text::{JsonFields, JsonLine, TextFields};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// For a program: one object a line.
    Json,
}

/// A level, or directives as in `info,caudal_hls_edge=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogFilter {
    type Err = String;

    /// Stricter than [`EnvFilter`], which takes a misspelt level for the name of a part of the program and then logs nothing
    /// else.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = |what: &str| {
            format!(
                "{what} is no level; expected error, warn, info, debug, trace or off, or directives as in info,caudal_hls_edge=debug"
            )
        };
        let mut filter = text.to_owned();
        // What names spans and their fields has a grammar of its own, which the filter knows.
        if !text.contains(['[', '{']) {
            let directives: Vec<&str> = text.split(',').map(str::trim).collect();
            for directive in &directives {
                let level = match directive.rsplit_once('=') {
                    Some((target, level)) if !target.is_empty() && !level.is_empty() => level,
                    None if !directive.is_empty() => directive,
                    _ => return Err(expected(&format!("{directive:?}"))),
                };
                level.parse::<LevelFilter>().map_err(|_| expected(&format!("{level:?}")))?;
            }
            filter = directives.join(",");
        }
        EnvFilter::try_new(&filter).map_err(|error| expected(&error.to_string()))?;
        Ok(Self(filter))
    }
}

/// Where logs go and what is in them.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged.
    pub filter: LogFilter,
    /// A folder for one file a day, which is made if it is not there; the last 14 are kept.
    pub directory: Option<PathBuf>,
    /// The role that each line names, where every role is a process of its own and several may share a terminal.
    pub role: Option<&'static str>,
}

/// The logs of this process. What is queued is written when this is dropped, as far as that is possible within a second.
pub struct Logs {
    lines: LogLines,
    format: LogFormat,
    role: Option<&'static str>,
    // Before the queues, so that its last lines are still written.
    _summaries: Summaries,
    _queues: Vec<WorkerGuard>,
}

impl Logs {
    /// For lines that are finished already, such as those of child processes.
    pub fn lines(&self) -> LogLines {
        self.lines.clone()
    }

    /// Says why the program ends, whatever the filter.
    pub fn last_words(&self, words: &str) {
        self.lines.line(last_line(self.format, self.role, words).as_bytes());
    }
}

fn last_line(format: LogFormat, role: Option<&'static str>, words: &str) -> String {
    match (format, role) {
        (LogFormat::Text, None) => format!("caudal: {words}\n"),
        (LogFormat::Text, Some(role)) => format!("caudal {role}: {words}\n"),
        (LogFormat::Json, role) => {
            let timestamp = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            let mut object = serde_json::json!({"timestamp": timestamp, "level": "ERROR", "message": words, "target": "caudal"});
            if let (Some(object), Some(role)) = (object.as_object_mut(), role) {
                object.insert("role".to_owned(), role.into());
            }
            format!("{object}\n")
        }
    }
}

/// The time of a line, with the role behind it.
struct TimeAndRole(Option<&'static str>);

impl FormatTime for TimeAndRole {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        SystemTime.format_time(writer)?;
        self.0.map_or(Ok(()), |role| write!(writer, " role={role}"))
    }
}

/// Takes whole lines to every place that logs go to, and never waits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogLines {
    terminal: NonBlocking,
    file: Option<NonBlocking>,
}

impl LogLines {
    /// Queues one line, which ends with a line break.
    pub fn line(&self, line: &[u8]) {
        // Queues that are full leave the line out, and count it; they do not fail.
        for place in [Some(&self.terminal), self.file.as_ref()].into_iter().flatten() {
            let _ = place.clone().write_all(line);
        }
    }
}

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogLines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Standard output, written like the logs: a terminal that stands still, or a pipe that nobody reads, stops nothing but
/// its lines.
pub struct StandardOutput {
    lines: NonBlocking,
    _queue: Vec<WorkerGuard>,
}

impl StandardOutput {
    /// `format` is that of the line which says that lines were left out.
    pub fn new(format: LogFormat) -> Self {
        let mut guards = Vec::new();
        let lines = queue("caudal-output", format, io::stdout(), &mut guards);
        Self { lines, _queue: guards }
    }

    /// Queues text with a line break behind it.
    pub fn line(&self, text: &str) {
        // See `LogLines::line`.
        let _ = self.lines.clone().write_all(format!("{text}\n").as_bytes());
    }
}

/// Starts logging for this process. Call once, before anything logs, and keep what it returns until the end.
///
/// # Errors
/// When the folder cannot be used, or logging was started already.
pub fn init(config: &LogConfig) -> anyhow::Result<Logs> {
    let filter = EnvFilter::try_new(config.filter.as_str())?;
    let mut queues = Vec::new();
    let file = match &config.directory {
        None => None,
        Some(directory) => {
            let file = DailyFile::open(directory).map_err(|error| {
                anyhow::anyhow!("LOG_DIR: cannot write to {}: {error}", directory.display())
            })?;
            Some(queue("caudal-log-file", config.format, file, &mut queues))
        }
    };
    // One formatting for both places, so colours only where no file would get them too.
    let colours = file.is_none() && io::IsTerminal::is_terminal(&io::stderr());
    let lines = LogLines { terminal: queue("caudal-log", config.format, io::stderr(), &mut queues), file };
    let flood = FloodLayer::new();
    let written = written(config.format, config.role, colours, lines.clone());
    let subscriber = tracing_subscriber::registry().with(written).with(filter).with(flood.clone());
    subscriber.try_init().map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))?;
    log_panics();
    Ok(Logs {
        lines,
        format: config.format,
        role: config.role,
        _summaries: Summaries::start(flood)?,
        _queues: queues,
    })
}

/// What makes lines of events, and takes them to `writer`.
fn written<S, W>(
    format: LogFormat,
    role: Option<&'static str>,
    colours: bool,
    writer: W,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => {
            let layer = layer.compact().with_timer(TimeAndRole(role)).fmt_fields(TextFields);
            Box::new(layer.with_ansi(colours))
        }
        LogFormat::Json => Box::new(layer.fmt_fields(JsonFields).event_format(JsonLine { role })),
    }
}

/// A thread that says each minute, and at the end, which lines a flood left out.
struct Summaries {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Summaries {
    fn start(flood: FloodLayer) -> io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let thread = thread::Builder::new().name("caudal-log-flood".to_owned()).spawn(move || {
            let mut goes_on = true;
            while goes_on {
                goes_on = stopped.recv_timeout(SUMMARY_INTERVAL) == Err(RecvTimeoutError::Timeout);
                flood.summarise();
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Summaries {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It queues lines and waits for nothing else.
            let _ = thread.join();
        }
    }
}

/// A panic is a line like any other, in files too, and one JSON object where lines are.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        let captured = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
        let backtrace = captured.then(|| tracing::field::display(backtrace));
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), backtrace, "{panic}");
    }));
}

/// A thread that writes what is queued to `place`.
fn queue(
    thread: &str,
    format: LogFormat,
    place: impl Write + Send + 'static,
    queues: &mut Vec<WorkerGuard>,
) -> NonBlocking {
    let left_out = Arc::new(OnceLock::new());
    let place = Counting { place, format, left_out: Arc::clone(&left_out), said: 0 };
    let (queue, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LONGEST_QUEUE)
        .lossy(true)
        .thread_name(thread)
        .finish(place);
    let _ = left_out.set(queue.error_counter());
    queues.push(guard);
    queue
}

/// Says how many lines were left out, as soon as lines can be written again.
struct Counting<W> {
    place: W,
    format: LogFormat,
    left_out: Arc<OnceLock<ErrorCounter>>,
    said: usize,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.place.write_all(line)?;
        let left_out = self.left_out.get().map_or(0, ErrorCounter::dropped_lines);
        if left_out > self.said {
            let lines = left_out - self.said;
            // The next line says it if this one cannot be written.
            let _ = match self.format {
                LogFormat::Text => writeln!(self.place, "caudal: {lines} lines were left out here"),
                LogFormat::Json => writeln!(
                    self.place,
                    r#"{{"level":"WARN","target":"caudal","message":"lines were left out here","lines":{lines}}}"#
                ),
            };
            self.said = left_out;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.place.flush()
    }
}

const SUMMARY_INTERVAL: Duration = Duration::from_mins(1);
/// Lines are rarely longer than 1 kB: 4 MB at most for a place that hangs.
const LONGEST_QUEUE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_directives_with_levels() {
        for good in [
            "info",
            "WARN",
            "off",
            "warn,caudal=info",
            "info, caudal_hls_edge=debug",
            "[request{id=1}]=debug",
        ] {
            assert!(good.parse::<LogFilter>().is_ok(), "{good}");
        }
        for bad in ["loud", "", " ", "info,loud", "caudal=loud", "=info", "info,", "caudal_api", "info;debug"]
        {
            assert!(bad.parse::<LogFilter>().unwrap_err().contains("expected error, warn, info"), "{bad}");
        }
    }

    /// A place that takes nothing until it is let.
    struct Blocked(std::sync::mpsc::Receiver<()>, Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Blocked {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_place_that_hangs_holds_nobody_up_and_what_it_missed_is_counted() {
        let (open, blocked) = std::sync::mpsc::channel();
        let written = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut queues = Vec::new();
        let terminal = queue("hangs", LogFormat::Text, Blocked(blocked, Arc::clone(&written)), &mut queues);
        let lines = LogLines { terminal, file: None };
        for _ in 0..LONGEST_QUEUE * 2 {
            lines.line(b"a line\n");
        }
        drop(open);
        drop(lines);
        drop(queues);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(text.contains("lines were left out here"), "{}", text.len());
    }

    /// What is written meanwhile.
    #[derive(Clone, Default)]
    struct Kept(Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `log` causes.
    fn lines(format: LogFormat, role: Option<&'static str>, log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let place = kept.clone();
        let layer = written(format, role, false, move || place.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let text = kept.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_process_of_one_role_names_it_in_each_line_right_behind_the_time() {
        let text = lines(LogFormat::Text, Some("api"), || tracing::info!("ready"));
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{text}");
        assert_eq!(rest, "role=api  INFO caudal_service::logs::tests: ready\n");
        let object: serde_json::Value =
            serde_json::from_str(&lines(LogFormat::Json, Some("api"), || tracing::info!("ready"))).unwrap();
        assert_eq!(object["role"], "api");
        for format in [LogFormat::Text, LogFormat::Json] {
            assert!(!lines(format, None, || tracing::info!("ready")).contains("role"));
            assert!(last_line(format, Some("api"), "no").contains("api"));
        }
    }

    #[test]
    fn a_value_with_blanks_is_quoted_and_can_be_told_from_the_next_field() {
        let text = lines(LogFormat::Text, None, || {
            let (asker, path) = ("an administrator", r#"a\" level=none"#);
            tracing::info!(reason = %"moved away", asked_by = %asker, path = %path, said = path, nothing = %"", count = 3,
                word = ?Some(1), "moving");
        });
        let fields = text.split_once("moving ").unwrap().1;
        assert_eq!(
            fields,
            concat!(
                r#"reason="moved away" asked_by="an administrator" path="a\\\" level=none" said="a\\\" level=none" "#,
                r#"nothing="" count=3 word=Some(1)"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_fraction_is_a_number_in_json() {
        let object: serde_json::Value = serde_json::from_str(&lines(LogFormat::Json, None, || {
            tracing::info!(speed = 0.37, odd = f64::NAN, "x");
        }))
        .unwrap();
        assert_eq!((&object["speed"], &object["odd"]), (&0.37.into(), &"NaN".into()));
    }
}
