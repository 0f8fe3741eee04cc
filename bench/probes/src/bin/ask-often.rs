//! Asks for the same pages at a steady rate, however slow the answers are, and tells how long each took from the moment when it was due.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use caudal_bench::connection::Connection;
use caudal_bench::percentiles;
use clap::Parser;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep_until;

/// Prints, as JSON, how long the answers took.
#[derive(Parser)]
struct Arguments {
    /// The server.
    address: SocketAddr,
    /// What to ask for, in turns.
    #[arg(required = true)]
    paths: Vec<String>,
    /// Requests a second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// How long.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    LocalSet::new().run_until(measure(Arguments::parse())).await
}

async fn measure(arguments: Arguments) -> anyhow::Result<()> {
    let arguments = Rc::new(arguments);
    let took = Rc::new(RefCell::new(Vec::new()));
    let began = Instant::now() + SETTLE;
    let mut asking: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for first in 0..CONNECTIONS {
        let (arguments, took) = (Rc::clone(&arguments), Rc::clone(&took));
        asking.spawn_local(async move {
            let mut connection = Connection::open(arguments.address).await?;
            let all = arguments.rate * arguments.seconds;
            for number in (first..all).step_by(usize::try_from(CONNECTIONS)?) {
                let due = began + Duration::from_secs(1) * number / arguments.rate;
                sleep_until(due.into()).await;
                let path =
                    arguments.paths.iter().cycle().nth(usize::try_from(number)? % arguments.paths.len());
                connection.get(path.map_or("/", String::as_str)).await?;
                took.borrow_mut().push(due.elapsed());
            }
            Ok(())
        });
    }
    while let Some(done) = asking.join_next().await {
        done??;
    }
    println!("{}", percentiles(&mut took.borrow_mut()));
    Ok(())
}

/// As many as may wait at the same time: with 500 requests a second, for an eighth of a second each.
const CONNECTIONS: u32 = 64;
/// For all of them to connect.
const SETTLE: Duration = Duration::from_secs(1);
