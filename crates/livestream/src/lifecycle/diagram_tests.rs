//! The diagram of docs/design/lifecycle.md, drawn by trying what can happen in one machine of each situation. A test fails
//! when it is not what stands there; `UPDATE_REFERENCE=1` writes it.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::sequence_tests::{Act, World};
use super::*;
use crate::record::Phase;

/// Why a broadcast goes from one phase to another.
type Causes = BTreeMap<(Phase, Phase), BTreeSet<String>>;

#[test]
fn the_diagram_in_the_documentation_is_what_the_machine_does() {
    let causes = explored();
    let file = "../../docs/design/lifecycle.md";
    let old = fs::read_to_string(file).unwrap();
    let (before, rest) = old.split_once(BEGIN).expect("where the diagram begins");
    let (_, after) = rest.split_once(END).expect("where it ends");
    let new = format!("{before}{BEGIN}\n{}\n{}\n{END}{after}", diagram(&causes), table(&causes));
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(file, new).unwrap();
        return;
    }
    assert!(
        old == new,
        "docs/design/lifecycle.md: run UPDATE_REFERENCE=1 cargo test -p caudal-livestream diagram"
    );
}

/// Every situation that can be reached from a new broadcast, and what leads from one phase to the next.
fn explored() -> Causes {
    let mut causes = Causes::new();
    let mut waiting = VecDeque::from([World::new()]);
    let mut known = HashSet::new();
    while let Some(world) = waiting.pop_front() {
        assert!(known.len() < 20_000, "what makes situations differ has no bound");
        for event in events(&world) {
            let mut next = world.clone();
            let cause = event.happen(&mut next);
            let (from, to) = (world.machine.phase(), next.machine.phase());
            if from != to {
                causes.entry((from, to)).or_default().insert(cause_in_words(&world, &next, cause));
            }
            if known.insert(situation(&next.machine)) {
                waiting.push_back(next);
            }
        }
    }
    causes
}

/// What may happen next. Moves are left out: they change no phase.
enum Event {
    Acts(&'static str, Act),
    NoRoom,
    /// The next deadline passes.
    TimePasses,
}

fn events(world: &World) -> Vec<Event> {
    use Event::{Acts, NoRoom, TimePasses};
    let orders = world.machine.orders();
    let order = match orders.worker {
        Some(WorkerOrder::Claim(_)) => "a worker is claimed",
        _ => "the worker takes its assignment",
    };
    let mut events = vec![
        Acts(order, Act::ObeyWorkerOrder),
        Acts("a worker does not take its assignment", Act::RefuseAssignment),
        Acts("the publisher reaches the worker", Act::PublisherUp),
        Acts("the publisher is lost", Act::PublisherGone { explicit: false }),
        Acts("the publisher says good-bye", Act::PublisherGone { explicit: true }),
        Acts("a router has let the publisher in again", Act::PublisherChosen),
        Acts("nothing of the publisher's can be played", Act::Unplayable { by_worker: true }),
        Acts("the worker announces media", Act::Announce { whole: true }),
        Acts("the worker before has closed", Act::LastWord { closed: true }),
        Acts("the worker is lost", Act::LoseWorker { age: 0, restarted: false }),
        Acts("routers cannot relay to the worker", Act::RelayFailed),
        Acts("the worker has closed the playlists", Act::FeedEnd),
        Acts("it is ended", Act::End(EndReason::EndedByOwner)),
        Acts("the platform stops", Act::End(EndReason::Shutdown)),
        Acts("its key is revoked", Act::KeyRevoked),
    ];
    if matches!(orders.worker, Some(WorkerOrder::Claim(_))) {
        events.push(NoRoom);
    }
    if orders.wake.is_some() {
        events.push(TimePasses);
    }
    events
}

impl Event {
    /// Says what it was, in words.
    fn happen(self, world: &mut World) -> &'static str {
        match self {
            Self::Acts(words, act) => {
                world.act(&act);
                words
            }
            Self::NoRoom => {
                world.say(Input::NoCapacity(world.machine.epoch()));
                "there is no room for a worker"
            }
            Self::TimePasses => {
                let wake = world.machine.orders().wake.unwrap_or(world.now);
                world.now = wake.max(world.now);
                world.say(Input::Tick);
                "its time is up"
            }
        }
    }
}

/// An end says for itself why it came.
fn cause_in_words(before: &World, after: &World, cause: &str) -> String {
    match (before.machine.end_reason(), after.machine.end_reason()) {
        (None, Some(reason)) => reason.to_string(),
        _ => cause.to_owned(),
    }
}

/// What decides about the next phase, without who and when.
fn situation(machine: &Lifecycle) -> String {
    let Value::Object(mut fields) = serde_json::to_value(machine).unwrap() else { return String::new() };
    fields.retain(|name, _| DECIDING.contains(&name.as_str()));
    format!(
        "{:?} {}",
        machine.phase(),
        fields.iter().map(|(name, value)| shape(name, value)).collect::<String>()
    )
}

fn shape(name: &str, value: &Value) -> String {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| shape(name, value)).collect(),
        Value::Number(number) if COUNTS.contains(&name) => format!("{name}:{number} "),
        Value::String(text) if NAMES.contains(&name) => format!("{name}:{text} "),
        Value::Bool(_) | Value::Null => format!("{name}:{value} "),
        Value::Array(_) | Value::Number(_) | Value::String(_) => format!("{name} "),
    }
}

fn diagram(causes: &Causes) -> String {
    let mut text = String::from("\n```mermaid\nstateDiagram-v2\n    [*] --> Pending\n");
    for (from, to) in causes.keys() {
        writeln!(text, "    {from:?} --> {to:?}").unwrap();
    }
    for over in [Phase::Ended, Phase::Failed] {
        writeln!(text, "    {over:?} --> [*]").unwrap();
    }
    text.push_str("```\n");
    text
}

fn table(causes: &Causes) -> String {
    let mut text = String::from("| from | to | when |\n|---|---|---|\n");
    for ((from, to), causes) in causes {
        let causes: Vec<_> = causes.iter().map(String::as_str).collect();
        writeln!(text, "| `{from:?}` | `{to:?}` | {} |", causes.join("; ")).unwrap();
    }
    text
}

const BEGIN: &str = "<!-- Drawn from the code: see crates/livestream/src/lifecycle/diagram_tests.rs -->";
const END: &str = "<!-- End of what is drawn -->";
/// What a machine keeps of the media, of reports and of workers that leave decides about no phase.
const DECIDING: [&str; 13] = [
    "stage",
    "startedAt",
    "start",
    "noRoom",
    "publisher",
    "explicit",
    "until",
    "slot",
    "recovery",
    "losses",
    "floor",
    "turnedAway",
    "forgotten",
];
/// Numbers that are no instant and no identity.
const COUNTS: [&str; 2] = ["quick", "relayFailures"];
const NAMES: [&str; 4] = ["stage", "slot", "publisher", "reason"];
