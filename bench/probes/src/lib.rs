//! Clients that do as little work as they can, because they share the machine with the servers that they measure.
//!
//! * `connection` – HTTP/1.1, one request after the other
//! * `web_socket` – a WebSocket of texts
//! * `percentiles` – what a list of durations comes to

pub mod connection;
mod percentiles;
pub mod web_socket;

pub use percentiles::percentiles;
