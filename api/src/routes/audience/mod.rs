//! What edges tell of their viewers. Signed and idempotent.

mod report;

pub(crate) use report::report;
