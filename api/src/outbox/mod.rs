//! What is to be done once a transaction is committed, and is done even when the process ends right after: rows of the
//! table `outbox`, written in that transaction, and jobs that are made of them.
//!
//! A job may be done twice, when the process ends between doing it and saying so: it must not matter.
//!
//! * `job` – what there is to do, and in which lane
//! * `queue` – the table: put in, claimed for a while, done, tried again later, given up
//! * `backoff` – how much later
//! * `turns` – how many of them ask one host, and how many for one account, at the same time
//! * `runner` – the task of each replica that claims jobs and sees to them; `perform` – who does which
//! * `metrics` – how many wait, for how long, and what came of them
//! * `dead_letters` – what was given up, for admins

mod backoff;
mod dead_letters;
mod job;
mod metrics;
mod perform;
mod queue;
mod runner;
mod turns;

pub(crate) use backoff::pause;
pub(crate) use dead_letters::{DeadLetter, dead_letters, retry};
pub(crate) use job::Job;
pub(crate) use perform::{Attempt, Outcome};
pub(crate) use queue::{Targeted, put, put_targeted};
pub(crate) use runner::Runner;
