//! A report as a person reads it, on one screen, and as JSON.

use std::fmt::Write as _;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::diagnosis::{Outcome, Report};
use crate::facts::clock;
use crate::finding::{Evidence, Severity};

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// On a terminal.
    Colours,
    /// Everywhere else.
    Plain,
}

/// The first line is the verdict.
pub fn text(report: &Report, paint: Paint) -> String {
    let mut out = String::new();
    let colour = match report.outcome {
        Outcome::Healthy => GREEN,
        Outcome::Wrong => RED,
        Outcome::CouldNotLook => YELLOW,
    };
    line(&mut out, &painted(&plain(&report.verdict, LONGEST_VERDICT), colour, paint));
    let (first, others) = match report.findings.split_first() {
        Some((first, others)) if first.severity != Severity::Warning => (Some(first), others),
        _ => (None, report.findings.as_slice()),
    };
    if let Some(first) = first {
        title(&mut out, "Who says so", paint);
        for evidence in first.evidence.iter().take(MOST_EVIDENCE) {
            line(&mut out, &format!("  {}", of_evidence(evidence, report.now)));
        }
        title(&mut out, "What to do next", paint);
        for advice in &first.advice {
            line(&mut out, &format!("  {}", plain(advice, LONGEST)));
        }
    }
    if !others.is_empty() {
        title(&mut out, "Besides", paint);
        for finding in others.iter().take(MOST_OTHERS) {
            let mark = match finding.severity {
                Severity::Problem => painted("problem", RED, paint),
                Severity::Note => "note".to_owned(),
                Severity::Warning => painted("warning", YELLOW, paint),
            };
            line(&mut out, &format!("  {mark}: {}", plain(&finding.says, LONGEST)));
        }
        if let Some(more) = others.len().checked_sub(MOST_OTHERS).filter(|more| *more > 0) {
            line(&mut out, &format!("  and {more} more (--output json has all)"));
        }
    }
    if !report.unseen.is_empty() {
        title(&mut out, "Not looked at", paint);
        for unseen in report.unseen.iter().take(MOST_UNSEEN) {
            line(&mut out, &format!("  {}", plain(&unseen.to_string(), LONGEST)));
        }
        if let Some(more) = report.unseen.len().checked_sub(MOST_UNSEEN).filter(|more| *more > 0) {
            line(&mut out, &format!("  and {more} more"));
        }
    }
    if let Some(now) = report.now {
        line(&mut out, "");
        line(&mut out, &format!("Namespace {}, {} by the API server's clock.", report.namespace, clock(now)));
    }
    out
}

/// For programs; nothing is left out.
pub fn json(report: &Report) -> Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            let evidence: Vec<_> = finding
                .evidence
                .iter()
                .map(|one| json!({ "object": one.object, "at": one.at.map(|at| at.to_string()), "said": one.said }))
                .collect();
            let severity = match finding.severity {
                Severity::Problem => "problem",
                Severity::Note => "note",
                Severity::Warning => "warning",
            };
            json!({
                "kind": finding.kind.word(), "severity": severity, "says": finding.says, "evidence": evidence, "advice": finding.advice,
            })
        })
        .collect();
    let unseen: Vec<_> = report.unseen.iter().map(ToString::to_string).collect();
    json!({
        "outcome": report.outcome.word(), "verdict": report.verdict, "namespace": report.namespace, "findings": findings, "unseen": unseen,
    })
}

fn of_evidence(evidence: &Evidence, now: Option<Timestamp>) -> String {
    let when = evidence
        .at
        .zip(now)
        .map(|(at, now)| format!(" ({}, {})", clock(at), ago(at, now)))
        .unwrap_or_default();
    format!("{}{when}: {}", plain(&evidence.object, LONGEST), plain(&evidence.said, LONGEST))
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(at.as_second());
    match seconds {
        ..0 => "in the future".to_owned(),
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Text from the cluster on one line, cut, and without what a terminal acts on: publishers and images have a say in it.
fn plain(text: &str, longest: usize) -> String {
    let mut clean: String = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .map(|c| if c.is_control() || is_direction(c) { '\u{fffd}' } else { c })
        .collect();
    if clean.len() > longest {
        clean.truncate(clean.floor_char_boundary(longest));
        clean.push('…');
    }
    clean
}

/// Characters that turn the order of those around them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn title(out: &mut String, words: &str, paint: Paint) {
    line(out, "");
    line(out, &painted(words, BOLD, paint));
}

fn line(out: &mut String, words: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{words}");
}

fn painted(words: &str, colour: &str, paint: Paint) -> String {
    match paint {
        Paint::Colours => format!("{colour}{words}\u{1b}[0m"),
        Paint::Plain => words.to_owned(),
    }
}

const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[1;31m";
const GREEN: &str = "\u{1b}[1;32m";
const YELLOW: &str = "\u{1b}[1;33m";
/// Four lines of a terminal.
const LONGEST: usize = 320;
const LONGEST_VERDICT: usize = 480;
const MOST_EVIDENCE: usize = 6;
const MOST_OTHERS: usize = 6;
const MOST_UNSEEN: usize = 6;
