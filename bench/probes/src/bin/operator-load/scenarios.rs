//! What is played, one after the other, each from an installation without streams to one without streams.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use caudal_directory::KubernetesDirectory;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use crate::Arguments;
use crate::broadcasts::{Broadcasts, Seen};
use crate::cluster::{Cluster, Requests, since};
use crate::operator::Operator;
use crate::reports::Reports;
use crate::usage::{Usage, process, usage};

/// Everybody who plays.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) broadcasts: Arc<Broadcasts>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) directory: Arc<KubernetesDirectory>,
    pub(crate) operator: Operator,
    pub(crate) others: JoinSet<anyhow::Result<()>>,
}

/// How everything stood when something began.
struct Before {
    at: Instant,
    requests: Requests,
    usage: Vec<(&'static str, u32, Usage)>,
    warnings: usize,
    done: u64,
}

impl Stage {
    pub(crate) async fn play(&mut self, arguments: &Arguments) -> anyhow::Result<()> {
        // The lease, and what a start costs.
        sleep(SETTLE).await;
        self.idle(arguments).await?;
        if arguments.cold > 0 {
            self.cold(arguments).await?;
        }
        for rate in arguments.rates.iter().filter(|rate| **rate > 0) {
            self.warm(*rate, rate.saturating_mul(arguments.seconds)).await?;
        }
        if arguments.burst > 0 {
            self.burst(arguments).await?;
        }
        for streams in arguments.held.iter().filter(|streams| **streams > 0) {
            self.held(*streams, arguments).await?;
        }
        Ok(())
    }

    async fn idle(&mut self, arguments: &Arguments) -> anyhow::Result<()> {
        let before = self.before().await?;
        sleep(Duration::from_secs(arguments.rest_seconds)).await;
        self.print("idle", &before, json!({})).await
    }

    /// One stream after the other, each of which needs a pod made.
    async fn cold(&mut self, arguments: &Arguments) -> anyhow::Result<()> {
        let before = self.before().await?;
        self.begin_evenly(arguments.cold, COLD_A_SECOND).await?;
        self.all_live(arguments.cold).await?;
        let seen = self.seen();
        // A router says once what comes, a second after it relays.
        sleep(SETTLE).await;
        let ending = self.end_all(0).await?;
        self.print("cold", &before, json!({ "seen": seen, "endSeconds": ending })).await
    }

    /// Streams that find a worker waiting.
    async fn warm(&mut self, rate: u32, streams: u32) -> anyhow::Result<()> {
        self.fill(streams).await?;
        let before = self.before().await?;
        self.begin_evenly(streams, rate).await?;
        let begun = before.at.elapsed().as_secs_f64();
        self.all_live(streams).await?;
        let figures = json!({ "seen": self.seen(), "rate": rate, "beginSeconds": begun });
        self.print("warm", &before, figures).await?;
        self.cluster.keep_warm(0).await?;
        sleep(SETTLE).await;
        self.end_all(streams).await?;
        // What waits too long goes, which takes a minute.
        self.until("no pod", Duration::from_secs(300), async |stage: &Self| {
            Ok(stage.cluster.pods().await? == 0)
        })
        .await
    }

    /// Many streams at the same moment, for few of which a worker waits.
    async fn burst(&mut self, arguments: &Arguments) -> anyhow::Result<()> {
        self.fill(WARM_IN_A_BURST).await?;
        let before = self.before().await?;
        let opening = futures::stream::iter(0..arguments.burst).map(Ok::<_, anyhow::Error>);
        let stage = &*self;
        opening.try_for_each_concurrent(ROUTERS_CALLS, |_| stage.broadcasts.open(&stage.directory)).await?;
        let opened = before.at.elapsed().as_secs_f64();
        self.all_live(arguments.burst).await?;
        let live = before.at.elapsed().as_secs_f64();
        let seen = self.seen();
        let figures =
            json!({ "seen": seen, "openSeconds": opened, "liveSeconds": live, "warm": WARM_IN_A_BURST });
        self.print("burst", &before, figures).await?;
        self.cluster.keep_warm(0).await?;
        sleep(SETTLE).await;
        let ending = self.before().await?;
        let seconds = self.end_all(WARM_IN_A_BURST).await?;
        self.print("burst-end", &ending, json!({ "endSeconds": seconds })).await
    }

    /// As many streams as the target says, begun as quickly as they become live, and then looked at.
    async fn held(&mut self, streams: u32, arguments: &Arguments) -> anyhow::Result<()> {
        let growing = self.before().await?;
        let opening = futures::stream::iter(0..streams).map(Ok::<_, anyhow::Error>);
        let stage = &*self;
        opening
            .try_for_each_concurrent(ROUTERS_CALLS, |number| async move {
                stage.broadcasts.open(&stage.directory).await?;
                // So that there are never more on their way than are let in at a time.
                let wanted = usize::try_from(number)?.saturating_sub(ROUTERS_CALLS);
                let is_far = async |stage: &Self| Ok(stage.live() >= wanted);
                stage.until("streams that are live", LIVE_WITHIN, is_far).await
            })
            .await?;
        self.all_live(streams).await?;
        let seen = self.seen();
        let figures = json!({ "seen": seen, "liveSeconds": growing.at.elapsed().as_secs_f64() });
        self.print("grow", &growing, figures).await?;

        sleep(SETTLE_HELD).await;
        let resting = self.before().await?;
        sleep(Duration::from_secs(arguments.rest_seconds)).await;
        ensure!(self.live() == usize::try_from(streams)?, "a stream was not held");
        let figures = json!({ "streams": streams, "partMs": arguments.part_ms });
        self.print("held", &resting, figures).await?;

        let ending = self.before().await?;
        let seconds = self.end_all(0).await?;
        self.print("held-end", &ending, json!({ "endSeconds": seconds })).await
    }

    /// Has so many workers wait.
    async fn fill(&self, workers: u32) -> anyhow::Result<()> {
        self.cluster.keep_warm(workers).await?;
        self.until("warm workers", Duration::from_secs(600), async |stage: &Self| {
            Ok(stage.cluster.warm().await? == workers)
        })
        .await?;
        sleep(SETTLE).await;
        Ok(())
    }

    async fn begin_evenly(&self, streams: u32, a_second: u32) -> anyhow::Result<()> {
        let mut ticks = interval(Duration::from_secs(1) / a_second);
        let mut opening = JoinSet::new();
        for _ in 0..streams {
            ticks.tick().await;
            let (broadcasts, directory) = (Arc::clone(&self.broadcasts), Arc::clone(&self.directory));
            opening.spawn(async move { broadcasts.open(&directory).await });
        }
        while let Some(opened) = opening.join_next().await {
            opened??;
        }
        Ok(())
    }

    fn live(&self) -> usize {
        self.broadcasts.count(|seen| seen.live.is_some() && seen.ended.is_none())
    }

    async fn all_live(&self, streams: u32) -> anyhow::Result<()> {
        let streams = usize::try_from(streams)?;
        let outcome = self
            .until("all streams live", LIVE_WITHIN, async |stage: &Self| Ok(stage.live() == streams))
            .await;
        let failed = self.broadcasts.count(|seen| seen.failed);
        outcome.with_context(|| format!("{} live, {failed} failed", self.live()))
    }

    /// Ends all of them, and waits until every one is over, the api knows, and no more pods are there than wait. Gives how long it took.
    async fn end_all(&self, warm: u32) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let (_, done) = self.reports.counts();
        let streams = self.broadcasts.streams();
        let count = streams.len();
        let ending = futures::stream::iter(streams).map(Ok::<_, anyhow::Error>);
        ending
            .try_for_each_concurrent(ROUTERS_CALLS, |stream| self.broadcasts.end(&self.directory, stream))
            .await?;
        let warm = usize::try_from(warm)?;
        self.until("the end of all streams", ENDED_WITHIN, async |stage: &Self| {
            let is_over = stage.broadcasts.count(|seen| seen.ended.is_some()) == count;
            let told = stage.reports.counts().1.saturating_sub(done);
            Ok(is_over && told >= u64::try_from(count)? && stage.cluster.pods().await? <= warm)
        })
        .await
        .with_context(|| {
            format!("{} of {count} ended", self.broadcasts.count(|seen| seen.ended.is_some()))
        })?;
        let took = begun.elapsed().as_secs_f64();
        // What is written once the api knows.
        sleep(SETTLE).await;
        self.broadcasts.clear();
        Ok(took)
    }

    fn seen(&self) -> Value {
        let seen = self.broadcasts.seen();
        let times = |of: &dyn Fn(&Seen) -> Option<Instant>| {
            let mut times: Vec<Duration> = seen
                .iter()
                .filter_map(|seen| Some(of(seen)?.saturating_duration_since(seen.opened?)))
                .collect();
            times.sort_unstable();
            percentiles(&times)
        };
        json!({
            "pod": times(&|seen| seen.pod),
            "assigned": times(&|seen| seen.assigned),
            "worker": times(&|seen| seen.worker),
            "live": times(&|seen| seen.live),
        })
    }

    async fn before(&self) -> anyhow::Result<Before> {
        let folder = &self.cluster.folder;
        let named = |name: &'static str| Some((name, process(name, folder)?));
        let others = [named("kube-apiserver"), named("etcd"), named("kube-controller-manager")];
        let ours = [Some(("operator", self.operator.pid)), Some(("load", std::process::id()))];
        let processes = ours.into_iter().chain(others).flatten();
        Ok(Before {
            at: Instant::now(),
            requests: self.cluster.requests().await?,
            usage: processes.map(|(name, pid)| (name, pid, usage(pid))).collect(),
            warnings: self.operator.warnings().await,
            done: self.reports.counts().1,
        })
    }

    /// What has come of it since.
    async fn print(&mut self, scenario: &str, before: &Before, figures: Value) -> anyhow::Result<()> {
        if let Some(ended) = self.others.try_join_next() {
            bail!("somebody else has ended: {ended:?}");
        }
        let seconds = before.at.elapsed().as_secs_f64();
        let taken = before.usage.iter().map(|(name, pid, then)| {
            let now = usage(*pid);
            let cores = (now.cpu_seconds - then.cpu_seconds) / seconds;
            json!({ "process": name, "cores": cores, "rssMiB": now.rss_mib, "peakMiB": now.peak_mib })
        });
        let requests = since(&before.requests, &self.cluster.requests().await?);
        let requests = requests.iter().map(|(request, count)| {
            let of = if request.subresource.is_empty() {
                request.resource.clone()
            } else {
                format!("{}/{}", request.resource, request.subresource)
            };
            json!({ "of": of, "verb": request.verb, "conflict": request.conflict, "count": count })
        });
        let line = json!({
            "scenario": scenario,
            "seconds": seconds,
            "figures": figures,
            "processes": taken.collect::<Vec<_>>(),
            "requests": requests.collect::<Vec<_>>(),
            "warnings": self.operator.warnings().await.saturating_sub(before.warnings),
            "done": self.reports.counts().1.saturating_sub(before.done),
            "pods": self.cluster.pods().await?,
        });
        println!("{line}");
        Ok(())
    }

    async fn until(
        &self,
        what: &str,
        limit: Duration,
        so: impl AsyncFn(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !so(self).await? {
            ensure!(begun.elapsed() < limit, "waited {} s in vain: {what}", limit.as_secs());
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

fn percentiles(sorted: &[Duration]) -> Value {
    let at = |hundredth: usize| {
        let index = sorted.len().saturating_sub(1) * hundredth / 100;
        sorted.get(index).map(|time| time.as_secs_f64() * 1000.0)
    };
    json!({ "count": sorted.len(), "p50": at(50), "p95": at(95), "p99": at(99), "max": at(100) })
}

/// Far fewer than a server feels: how long one takes.
const COLD_A_SECOND: u32 = 5;
/// Of the pool in a burst, as a tenth of it.
const WARM_IN_A_BURST: u32 = 100;
/// Of all routers at the same time: each has its own connection.
const ROUTERS_CALLS: usize = 50;
const SETTLE: Duration = Duration::from_secs(3);
/// Until allocators and caches are as they stay.
const SETTLE_HELD: Duration = Duration::from_secs(30);
/// A stream that is not live after 60 s has failed.
const LIVE_WITHIN: Duration = Duration::from_secs(900);
const ENDED_WITHIN: Duration = Duration::from_secs(1200);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
