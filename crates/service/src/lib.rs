//! What every role shares: secrets, logs, metrics, health, an HTTP listener with deadlines, signed internal
//! requests and the client that makes them, shutdown. Knows nothing of streams.

pub mod advertised;
mod daily_file;
pub mod forwarded;
pub mod forwarding;
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod http;
pub mod http_client;
pub mod internal;
mod log_flood;
mod log_text;
pub mod logs;
pub mod origin;
pub mod secret;
pub mod shutdown;
pub mod tls;

/// Crypto for every TLS connection of this process: call first in each `main` and each test that uses TLS.
/// A second call does nothing.
pub fn install_crypto() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
