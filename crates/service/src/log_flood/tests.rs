use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::Dispatch;
use tracing::dispatcher::with_default;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

type Gate = FloodGate<&'static str>;

fn line(message: &str) -> Line {
    Line { level: Level::INFO, target: "door", message: message.to_owned() }
}

/// How many of `lines` from `place` about `source` are written, `apart` from each other.
fn written(
    gate: &mut Gate,
    place: &'static str,
    source: Option<u64>,
    from: Instant,
    apart: Duration,
    lines: u32,
) -> u32 {
    (0..lines)
        .map(|index| {
            let now = from + apart * index;
            u32::from(gate.admits(&place, now, source, line(place)))
        })
        .sum()
}

#[test]
fn a_flood_from_one_place_is_cut_to_a_burst_and_ten_lines_a_second_and_counted() {
    let mut gate = Gate::new();
    let start = Instant::now();
    let minute = written(&mut gate, "refused", None, start, Duration::from_millis(1), 60_000);
    assert_eq!(minute, PLACE_BURST + 599);
    assert_eq!(gate.left_out(), [LeftOut { lines: u64::from(60_000 - minute), like: line("refused") }]);
    assert_eq!(gate.left_out(), [], "told once");
    assert_eq!(
        written(&mut gate, "other", None, start, Duration::ZERO, 20),
        20,
        "other places are not touched"
    );
}

#[test]
fn one_stream_does_not_use_up_the_lines_of_another() {
    let mut gate = Gate::new();
    let start = Instant::now();
    let noisy = written(&mut gate, "dropped", Some(1), start, Duration::from_millis(10), 6000);
    assert_eq!(noisy, SOURCE_BURST + 11, "a burst and one each five seconds");
    let quiet = written(&mut gate, "dropped", Some(2), start + Duration::from_secs(60), Duration::ZERO, 5);
    assert_eq!(quiet, 5);
}

#[test]
fn sources_without_number_cost_a_bounded_memory_and_do_not_get_more_lines_than_their_place_has() {
    let mut gate = Gate::new();
    let start = Instant::now();
    let mut admitted = 0;
    for source in 0..100_000 {
        let now = start + Duration::from_millis(source / 10);
        admitted += u32::from(gate.admits(&"refused", now, Some(source), line("refused")));
    }
    assert_eq!(admitted, PLACE_BURST + 99);
    assert!(gate.sources.young.len() + gate.sources.old.len() <= 2 * MOST_SOURCES);
}

#[test]
fn new_sources_do_not_make_a_noisy_one_forgotten_at_once() {
    let mut sources = Sources { young: HashMap::new(), old: HashMap::new() };
    let start = Instant::now();
    let noisy = ("dropped", 0);
    assert_eq!((0..100).filter(|_| sources.admit(noisy, start)).count(), 10);
    for stranger in 1..=u64::try_from(MOST_SOURCES).unwrap() {
        sources.admit(("dropped", stranger), start);
    }
    assert!(!sources.admit(noisy, start));
}

#[test]
fn a_quiet_place_has_its_burst_again() {
    let mut gate = Gate::new();
    let start = Instant::now();
    assert_eq!(written(&mut gate, "refused", None, start, Duration::ZERO, 1000), PLACE_BURST);
    let later = start + Duration::from_secs(3600);
    assert_eq!(written(&mut gate, "refused", None, later, Duration::ZERO, 1000), PLACE_BURST);
}

#[test]
fn a_field_that_logs_or_panics_while_it_is_formatted_does_not_stop_the_log() {
    let written = Written::default();
    let log = Dispatch::new(tracing_subscriber::registry().with(written.clone()).with(FloodLayer::new()));
    let logs = LogsInDebug { log: log.clone(), panics: false };
    let panics = LogsInDebug { log: log.clone(), panics: true };
    with_default(&log, || {
        tracing::warn!(stream = ?logs, "about {logs:?}");
        assert_eq!(written.lines(), 3, "the line, and one from inside each of its two fields");
        catch_unwind(AssertUnwindSafe(|| tracing::warn!(stream = ?panics, "about a stream"))).unwrap_err();
        assert_eq!(written.lines(), 4, "what was logged before the panic");
        catch_unwind(AssertUnwindSafe(|| tracing::warn!("about {panics:?}"))).unwrap_err();
        assert_eq!(written.lines(), 5);
        tracing::warn!("afterwards");
        assert_eq!(written.lines(), 6);
    });
}

struct LogsInDebug {
    log: Dispatch,
    panics: bool,
}

impl fmt::Debug for LogsInDebug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // On another thread, because with a log that is not the whole process's, tracing drops what is logged inside.
        std::thread::scope(|scope| {
            scope.spawn(|| with_default(&self.log, || tracing::warn!("from inside")));
        });
        assert!(!self.panics, "a Debug that panics");
        f.write_str("a stream")
    }
}

/// Counts the lines that the gate lets through.
#[derive(Clone, Default)]
struct Written(Arc<AtomicUsize>);

impl Written {
    fn lines(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S: Subscriber> Layer<S> for Written {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
