//! `caudal doctor`: says on one screen why a broadcast on Kubernetes is not live, for an operator who was woken for it.
//!
//! * `gather` – asks the API server, with deadlines; the only part that does I/O. It writes nothing, and reads no Secret.
//! * `facts` – what it found, and what it was not allowed to see
//! * `checks` – from facts to findings, a file for each part of the platform; pure functions
//! * `diagnosis` – which of the findings explains the others, and so is the verdict
//! * `screen` – the words for a person, and the same as JSON

mod checks;
mod diagnosis;
mod facts;
mod finding;
mod gather;
mod log_line;
mod pod_trouble;
mod quantity;
mod screen;

pub use diagnosis::{Outcome, Report, diagnose};
pub use facts::{Facts, Target};
pub use gather::{gather, look};
pub use screen::{Paint, json, text};

#[cfg(test)]
mod tests;
