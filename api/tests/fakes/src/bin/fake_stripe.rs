//! The fake of Stripe as a program, for tests that are not in Rust. Its control API is `caudal_fakes::stripe`'s methods as JSON.

#![allow(clippy::unwrap_used, reason = "what goes wrong in a fake should end it")]

use std::io::Write as _;

use caudal_fakes::stripe::{FakeStripe, Payload, Settings};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a fake of Stripe on the loopback interface until SIGTERM.
#[derive(Parser)]
struct Arguments {
    /// 0 for any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The only secret key that may come in
    #[arg(long, env = "FAKE_STRIPE_KEY", default_value = "sk_test_fake")]
    key: String,
    /// Signs the events of every endpoint
    #[arg(long, env = "FAKE_STRIPE_WEBHOOK_SECRET", default_value = "whsec_fake")]
    webhook_secret: String,
    /// An endpoint that is told everything from the start
    #[arg(long)]
    webhook_url: Option<String>,
}

#[tokio::main]
async fn main() {
    let Arguments { port, key, webhook_secret, webhook_url } = Arguments::parse();
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let stripe = FakeStripe::start(Settings { port, key, webhook_secret, ..Settings::default() }).await;
    if let Some(url) = webhook_url {
        stripe.add_endpoint(&url, Payload::Snapshot);
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::json!({ "url": stripe.url })).unwrap();
    out.flush().unwrap();
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
