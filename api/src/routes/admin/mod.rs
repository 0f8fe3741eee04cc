//! What whoever runs this server looks at.

mod dead_letters;
mod retry;

pub(crate) use dead_letters::dead_letters;
pub(crate) use retry::retry;
