//! How replicas tell each other who is where: `viewers:ID`, a sorted set of a stream's viewers by when they were last said
//! to be there. A viewer who is at two replicas is in it once. `latencies:ID` has for each replica what its viewers told of their
//! latency, as a sum; whoever tells it at two replicas is in two of these.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt as _;
use redis::Script;
use uuid::Uuid;

use super::SILENCE;
use super::latency::Latencies;
use super::table::{Elsewhere, Left, Letter};
use super::viewer::ViewerKey;
use crate::redis_store::RedisStore;

pub(super) struct Replicas {
    store: RedisStore,
    script: Script,
    /// Which one this is, among them.
    me: String,
}

impl Replicas {
    pub(super) fn new(store: RedisStore) -> Self {
        Self { store, script: Script::new(include_str!("exchange.lua")), me: Uuid::now_v7().to_string() }
    }

    /// What time it is for all replicas, in milliseconds since 1970.
    pub(super) async fn clock(&self) -> redis::RedisResult<i64> {
        let (seconds, micros): (i64, i64) =
            redis::cmd("TIME").query_async(&mut self.store.connection()).await?;
        Ok(seconds.saturating_mul(1_000).saturating_add(micros / 1_000))
    }

    /// Delivers letters, and answers to each what the others have; none when it was not delivered.
    pub(super) async fn exchange(
        &self,
        letters: Vec<Letter>,
        clock: i64,
    ) -> Vec<(Letter, Option<Elsewhere>)> {
        // Each try waits for a Redis that does not answer: one is enough.
        let away = AtomicBool::new(false);
        let away = &away;
        let deliveries = letters.into_iter().map(|letter| async move {
            if away.load(Ordering::Relaxed) {
                return (letter, None);
            }
            match self.deliver(&letter, clock).await {
                Ok(elsewhere) => (letter, Some(elsewhere)),
                Err(error) => {
                    away.store(true, Ordering::Relaxed);
                    tracing::debug!(%error, "other replicas' viewers are not known");
                    (letter, None)
                }
            }
        });
        futures::stream::iter(deliveries).buffer_unordered(AT_ONCE).collect().await
    }

    async fn deliver(&self, letter: &Letter, clock: i64) -> redis::RedisResult<Elsewhere> {
        let (mut left, mut here_are) = (letter.left.chunks(CHUNK), letter.here_are.chunks(CHUNK));
        loop {
            let (gone, here) = (left.next().unwrap_or_default(), here_are.next().unwrap_or_default());
            let (all, reporters, total_ms) = self.tell(letter, clock, gone, here).await?;
            if left.len() == 0 && here_are.len() == 0 {
                let viewers = all.saturating_sub(letter.here);
                return Ok(Elsewhere { viewers, latencies: Latencies { reporters, total_ms } });
            }
        }
    }

    /// All viewers that are there, and what the others' told of their latency: how many, and the sum.
    async fn tell(
        &self,
        letter: &Letter,
        clock: i64,
        left: &[Left],
        here_are: &[ViewerKey],
    ) -> redis::RedisResult<(u32, u32, u64)> {
        let silence = i64::try_from(SILENCE.as_millis()).unwrap_or(i64::MAX);
        let mut call = self.script.prepare_invoke();
        call.key(format!("viewers:{}", letter.stream)).key(format!("latencies:{}", letter.stream));
        call.arg(clock).arg(clock.saturating_sub(silence)).arg(silence.saturating_mul(2)).arg(MOST_VIEWERS);
        call.arg(&self.me).arg(letter.latencies.reporters).arg(letter.latencies.total_ms);
        call.arg(left.len());
        for Left { key, announced_at } in left {
            call.arg(*announced_at).arg(&key.0[..]);
        }
        for key in here_are {
            call.arg(&key.0[..]);
        }
        call.invoke_async(&mut self.store.connection()).await
    }
}

/// Letters that are under way to Redis at the same time.
const AT_ONCE: usize = 32;
/// Viewers in one call, which Redis does nothing else meanwhile: a millisecond.
const CHUNK: usize = 1_000;
/// Of one stream at all replicas; about 100 bytes each in Redis. Beyond that nobody new is added.
const MOST_VIEWERS: usize = 200_000;
