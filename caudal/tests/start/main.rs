//! Starts that cannot work, with the real program: what it says, and with which status it ends.

mod database;
mod logs;
mod program;
mod settings;
