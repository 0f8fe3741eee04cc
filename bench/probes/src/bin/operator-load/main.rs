//! What the operator costs and how long streams wait for it, against a real API server (`scripts/with-kubernetes.sh`): a process of its own
//! is the operator, and this one is everybody else: the router, the scheduler and the kubelets of fake nodes, every worker, and the api.
//!
//! * `broadcasts` – the router and the api's users: open streams, end them, and note when what of each was seen
//! * `cluster` – the API server: definitions, pool, nodes, and how many requests of which kind it has answered
//! * `kubelets` – says of each pod that it runs, and of each deleted one that it has ended
//! * `workers` – takes assignments and says on control feeds what a worker says
//! * `reports` – the api's listener
//! * `operator` – the operator's process
//! * `usage` – processor time and memory, as /proc shows them

mod broadcasts;
mod cluster;
mod kubelets;
mod operator;
mod reports;
mod scenarios;
mod usage;
mod workers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use caudal_directory::{KubernetesDirectory, Reader};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use broadcasts::Broadcasts;
use cluster::Cluster;
use operator::Operator;
use reports::Reports;
use scenarios::Stage;
use workers::Workers;

/// Runs the scenarios in turn and prints a line of JSON for each.
#[derive(Parser)]
struct Arguments {
    /// The program whose operator is measured.
    caudal: PathBuf,
    /// Streams that begin one after the other while no worker is warm, and then end.
    #[arg(long, default_value_t = 100)]
    cold: u32,
    // A scenario of 0 streams is left out.
    /// How many streams begin in a second while as many workers are warm as will be needed, 1,000 at most: one run for each.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 10, 20, 50])]
    rates: Vec<u32>,
    /// How long each of these runs is.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Streams that begin at the same moment.
    #[arg(long, default_value_t = 1_000)]
    burst: u32,
    /// How many streams are held: one run for each.
    #[arg(long, value_delimiter = ',', default_values_t = [5_000])]
    held: Vec<u32>,
    /// For how long they are looked at, and an installation without streams too.
    #[arg(long, default_value_t = 60)]
    rest_seconds: u64,
    /// How often a worker announces parts. 0: never, so that it says its heartbeat and each segment of 2 s alone.
    #[arg(long, default_value_t = 200)]
    part_ms: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // An installed one is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cluster = Cluster::prepare().await?;
    let broadcasts = Arc::new(Broadcasts::default());
    let workers = Workers::new(Arc::clone(&broadcasts), Duration::from_millis(arguments.part_ms));
    let reports = Arc::new(Reports::default());
    let directory = KubernetesDirectory::start(cluster::client().await?, cluster::NAMESPACE, Reader::Router);
    directory.read_once().await;

    // Each runs until all is over.
    let mut others = JoinSet::new();
    others.spawn(Arc::clone(&workers).serve(workers::listen()?));
    let (api, listener) = reports::listen().await?;
    others.spawn(Arc::clone(&reports).serve(listener));
    others.spawn(kubelets::run(cluster::client().await?, Arc::clone(&workers), Arc::clone(&broadcasts)));
    others.spawn(Arc::clone(&broadcasts).look(Arc::clone(&directory)));

    let operator = Operator::start(&arguments.caudal, &api).await?;
    let mut stage = Stage { cluster, broadcasts, reports, directory, operator, others };
    let mut told_to_end = signal(SignalKind::terminate())?;
    let outcome = tokio::select! {
        outcome = stage.play(&arguments) => outcome,
        // The operator must not outlive this.
        _ = told_to_end.recv() => Err(anyhow::anyhow!("told to end")),
    };
    if outcome.is_err() {
        eprintln!("the operator's last words:\n{}", stage.operator.last_words().await);
    }
    stage.operator.stop().await;
    stage.others.shutdown().await;
    outcome
}
