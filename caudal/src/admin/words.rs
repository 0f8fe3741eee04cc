//! What the administrator reads.

use std::fmt::Write as _;

use caudal_livestream::StreamId;

use super::message::{Answer, ListedStream, ListedWorker};

/// What came of a move: the good news, or the bad.
pub fn of_move(stream: StreamId, answer: &Answer) -> Result<String, String> {
    match answer {
        Answer::Moved { from, to, epoch, stepped_in, lost_ms, took_ms } => {
            let took = in_seconds(*took_ms);
            let mut text = if *stepped_in {
                format!(
                    "Stream {stream} is on worker {to}, epoch {epoch}, after {took}. Worker {from} ended before it had handed over, and this one stepped in: viewers may have seen a hitch."
                )
            } else {
                format!("Moved stream {stream} from worker {from} to worker {to}, epoch {epoch}, in {took}.")
            };
            // Less would be said as nothing.
            if let Some(lost) = lost_ms.filter(|lost| *lost >= 100) {
                // Writing to a string does not fail.
                let _ = write!(text, " {} of its media are missing in between.", in_seconds(lost));
            }
            Ok(text)
        }
        Answer::Failed { reason } => Err(format!("the move of stream {stream} failed: {reason}")),
        Answer::Refused { reason } => Err(format!("stream {stream} was not moved: {reason}")),
        Answer::Streams { .. } | Answer::Workers { .. } | Answer::Told { .. } | Answer::ResetLink { .. } => {
            Err(STRANGE.to_owned())
        }
    }
}

/// The link on a line of its own, to be copied.
pub fn of_reset(answer: Answer) -> Result<String, String> {
    match answer {
        Answer::ResetLink { link } => Ok(of_link(&link)),
        Answer::Refused { reason } => Err(reason),
        Answer::Moved { .. }
        | Answer::Streams { .. }
        | Answer::Workers { .. }
        | Answer::Failed { .. }
        | Answer::Told { .. } => Err(STRANGE.to_owned()),
    }
}

/// What is to be done with a link to a new password.
pub fn of_link(link: &str) -> String {
    format!(
        "Whoever opens this link within an hour chooses a new password for the account, once; all its sessions end then.\n{link}"
    )
}

fn in_seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// A table, a line for each broadcast.
pub fn of_streams(streams: &[ListedStream]) -> String {
    if streams.is_empty() {
        return "There is no broadcast.".to_owned();
    }
    let widest = streams.iter().map(|one| one.channel.len()).max().unwrap_or_default();
    let channels = widest.max("CHANNEL".len());
    let mut text = format!(
        "{:36}  {:channels$}  {:12}  {:>5}  {:36}  PID",
        "STREAM", "CHANNEL", "PHASE", "EPOCH", "WORKER"
    );
    for ListedStream { stream, channel, phase, epoch, next, worker, pid } in streams {
        let or_none = |what: Option<String>| what.unwrap_or_else(|| "-".to_owned());
        let (phase, stream, epoch) = (format!("{phase:?}"), stream.to_string(), epoch.to_string());
        let (worker, pid) =
            (or_none(worker.map(|worker| worker.to_string())), or_none(pid.map(|pid| pid.to_string())));
        // Writing to a string does not fail.
        let _ =
            write!(text, "\n{stream:36}  {channel:channels$}  {phase:12}  {epoch:>5}  {worker:36}  {pid}");
        if let Some(next) = next {
            let _ = write!(text, "  moving to epoch {next}");
        }
    }
    text
}

/// A table, a line for each worker.
pub fn of_workers(answer: &Answer) -> Result<String, String> {
    let workers = match answer {
        Answer::Workers { workers } => workers,
        Answer::Refused { reason } => return Err(reason.clone()),
        Answer::Moved { .. }
        | Answer::Streams { .. }
        | Answer::Failed { .. }
        | Answer::Told { .. }
        | Answer::ResetLink { .. } => {
            return Err(STRANGE.to_owned());
        }
    };
    if workers.is_empty() {
        return Ok("No worker runs; one is being started.".to_owned());
    }
    let mut text = format!("{:36}  {:>7}  {:5}  {:36}  EPOCH", "WORKER", "PID", "STATE", "STREAM");
    for ListedWorker { worker, pid, stream, epoch } in workers {
        let or_none = |what: Option<String>| what.unwrap_or_else(|| "-".to_owned());
        let state = if stream.is_some() { "busy" } else { "idle" };
        let (worker, pid) = (worker.to_string(), or_none(pid.map(|pid| pid.to_string())));
        let (stream, epoch) =
            (or_none(stream.map(|stream| stream.to_string())), or_none(epoch.map(|epoch| epoch.to_string())));
        // Writing to a string does not fail.
        let _ = write!(text, "\n{worker:36}  {pid:>7}  {state:5}  {stream:36}  {epoch}");
    }
    Ok(text)
}

/// An answer that no request of this kind gets.
pub const STRANGE: &str = "the platform answered something else than it was asked for";

#[cfg(test)]
mod tests {
    use caudal_livestream::record::Phase;
    use caudal_livestream::{Epoch, WorkerId};

    use super::*;

    #[test]
    fn the_words_name_the_workers_and_say_when_one_stepped_in() {
        let stream = StreamId::generate();
        let (from, to) = (WorkerId::generate(), WorkerId::generate());
        let moved = |stepped_in, lost_ms| Answer::Moved {
            from,
            to,
            epoch: Epoch(3),
            stepped_in,
            lost_ms,
            took_ms: 1234,
        };
        let plain = of_move(stream, &moved(false, Some(0))).unwrap();
        assert_eq!(
            plain,
            format!("Moved stream {stream} from worker {from} to worker {to}, epoch 3, in 1.2 s.")
        );
        let hitch = of_move(stream, &moved(true, None)).unwrap();
        assert!(hitch.contains("may have seen a hitch") && hitch.contains("ended before it had handed over"));
        let lost = of_move(stream, &moved(false, Some(1_450))).unwrap();
        assert_eq!(lost, format!("{plain} 1.4 s of its media are missing in between."));
        let failed = Answer::Failed { reason: "the new worker has the stream".to_owned() };
        let told = format!("the move of stream {stream} failed: the new worker has the stream");
        assert_eq!(of_move(stream, &failed), Err(told));
        let refused = Answer::Refused { reason: "the publisher is away".to_owned() };
        assert!(of_move(stream, &refused).unwrap_err().ends_with("was not moved: the publisher is away"));
    }

    #[test]
    fn a_link_stands_on_a_line_of_its_own() {
        let link = "https://live.example/reset-password#token=x".to_owned();
        let said = of_reset(Answer::ResetLink { link: link.clone() }).unwrap();
        assert_eq!(said.lines().last(), Some(link.as_str()));
        let refused = Answer::Refused { reason: "nobody has this name".to_owned() };
        assert_eq!(of_reset(refused), Err("nobody has this name".to_owned()));
    }

    #[test]
    fn a_worker_that_waits_is_listed_as_idle() {
        let (idle, busy, stream) = (WorkerId::generate(), WorkerId::generate(), StreamId::generate());
        let workers = vec![
            ListedWorker { worker: busy, pid: Some(4711), stream: Some(stream), epoch: Some(Epoch(2)) },
            ListedWorker { worker: idle, pid: Some(12), stream: None, epoch: None },
        ];
        let table = of_workers(&Answer::Workers { workers }).unwrap();
        let lines: Vec<&str> = table.lines().skip(1).collect();
        assert_eq!(lines[0], format!("{busy}     4711  busy   {stream}  2"));
        assert_eq!(lines[1], format!("{idle}       12  idle   {:36}  -", "-"));
    }

    #[test]
    fn a_table_has_a_line_for_each_broadcast_and_a_dash_where_there_is_no_worker() {
        let (stream, worker) = (StreamId::generate(), WorkerId::generate());
        let live = ListedStream {
            stream,
            channel: "ana".to_owned(),
            phase: Phase::Live,
            epoch: Epoch(3),
            next: Some(Epoch(4)),
            worker: Some(worker),
            pid: Some(4711),
        };
        let over = ListedStream { phase: Phase::Ended, worker: None, pid: None, next: None, ..live.clone() };
        let table = of_streams(&[live, over]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("STREAM ") && lines[0].ends_with("  PID"), "{table}");
        assert_eq!(
            lines[1],
            format!("{stream}  ana      Live              3  {worker}  4711  moving to epoch 4")
        );
        assert!(lines[2].contains("Ended") && lines[2].ends_with("  -"), "{table}");
        assert_eq!(of_streams(&[]), "There is no broadcast.");
    }
}
