//! From facts to findings, a file for each part of the platform.

mod broadcast;
pub(crate) mod database;
mod definitions;
mod network;
mod pools;
pub(crate) mod publishers;
mod roles;
pub(crate) mod workers;

use crate::facts::Facts;
use crate::finding::Finding;

/// Everything that is wrong, in no order.
pub(crate) fn all(facts: &Facts) -> Vec<Finding> {
    // Without the definitions nothing else can be told, and all else would be said to be missing.
    if let Some(first) = definitions::missing(facts) {
        return vec![first];
    }
    [
        definitions::old(facts),
        definitions::unreadable(facts),
        roles::operator(facts),
        roles::others(facts),
        roles::jobs(facts),
        database::check(facts).into_iter().collect(),
        pools::check(facts),
        workers::check(facts),
        network::check(facts),
        broadcast::check(facts),
        publishers::check(facts),
    ]
    .into_iter()
    .flatten()
    .collect()
}
