//! What every [`RateLimiter`] does, whatever it counts in.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::redis_server::RedisServer;

/// A limiter, and what must live as long.
struct Counting {
    what: &'static str,
    limiter: Box<dyn RateLimiter>,
    _redis: Option<RedisServer>,
}

/// Both, and the one with Redis also while that is away.
fn all() -> [Counting; 3] {
    let shared = |redis: &RedisServer| -> Box<dyn RateLimiter> {
        Box::new(RedisLimiter::new(RedisStore::open(&redis.url().into()).unwrap()))
    };
    let redis = RedisServer::start();
    let mut gone = RedisServer::start();
    gone.stop();
    [
        Counting { what: "in process", limiter: Box::new(InProcessLimiter::default()), _redis: None },
        Counting { what: "redis away", limiter: shared(&gone), _redis: None },
        Counting { what: "redis", limiter: shared(&redis), _redis: Some(redis) },
    ]
}

fn bucket(n: u32) -> Bucket {
    Bucket::of_origin(Class::Requests, Origin::from(IpAddr::V4(n.into())))
}

#[tokio::test]
async fn a_bucket_lets_in_its_burst_and_says_how_much_is_left_and_how_long_the_next_one_waits() {
    let quota = Quota::new(4, HOUR);
    for Counting { what, limiter, .. } in &all() {
        for left in (0..4).rev() {
            let verdict = limiter.count(&bucket(1), quota).await;
            assert_eq!((verdict.remaining, verdict.retry_after), (left, None), "{what}");
            let used = HOUR / 4 * (4 - left);
            assert!(verdict.full_after <= used && verdict.full_after + SLACK > used, "{what}: {verdict:?}");
        }
        let refused = limiter.count(&bucket(1), quota).await;
        let wait = refused.retry_after.expect(what);
        assert_eq!(refused.remaining, 0, "{what}");
        assert!(wait <= HOUR / 4 && wait + SLACK > HOUR / 4, "{what}: {wait:?}");
    }
}

#[tokio::test]
async fn what_is_refused_is_not_counted() {
    let quota = Quota::new(1, HOUR);
    for Counting { what, limiter, .. } in &all() {
        limiter.count(&bucket(1), quota).await;
        for _ in 0..50 {
            let refused = limiter.count(&bucket(1), quota).await;
            assert!(refused.retry_after.expect(what) <= HOUR, "{what}");
        }
    }
}

#[tokio::test]
async fn buckets_do_not_touch_each_other_and_a_sweep_forgets_none_that_is_in_use() {
    let quota = Quota::new(1, HOUR);
    for Counting { what, limiter, .. } in &all() {
        for n in 0..20 {
            assert_eq!(limiter.count(&bucket(n), quota).await.retry_after, None, "{what}");
        }
        limiter.sweep();
        for n in 0..20 {
            assert!(limiter.count(&bucket(n), quota).await.retry_after.is_some(), "{what}");
        }
    }
}

#[tokio::test]
async fn whoever_waits_as_told_is_let_in() {
    // Longer than it takes to find that Redis is away.
    let quota = Quota::new(1, Duration::from_secs(2));
    let limiters = all();
    let each = limiters.iter().map(|Counting { what, limiter, .. }| async move {
        limiter.count(&bucket(1), quota).await;
        let refused = limiter.count(&bucket(1), quota).await;
        // The clock of this task is not finer than a millisecond.
        tokio::time::sleep(refused.retry_after.expect(what) + Duration::from_millis(1)).await;
        assert_eq!(limiter.count(&bucket(1), quota).await.retry_after, None, "{what}");
    });
    futures::future::join_all(each).await;
}

#[tokio::test]
async fn while_redis_is_away_a_replica_counts_for_itself_and_in_redis_again_once_it_is_back() {
    let mut redis = RedisServer::start();
    let limiter = RedisLimiter::new(RedisStore::open(&redis.url().into()).unwrap());
    let quota = Quota::new(1, HOUR);
    assert_eq!(limiter.count(&bucket(0), quota).await.retry_after, None);
    assert!(limiter.count(&bucket(0), quota).await.retry_after.is_some());
    redis.stop();
    assert_eq!(limiter.count(&bucket(0), quota).await.retry_after, None, "its own counter is fresh");
    assert!(limiter.count(&bucket(0), quota).await.retry_after.is_some());
    redis.start_again();
    let client = ::redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let again = async {
        for n in 1_u32.. {
            limiter.count(&bucket(n), quota).await;
            let kept: u32 = ::redis::cmd("DBSIZE").query_async(&mut connection).await.unwrap();
            if kept > 0 {
                break;
            }
        }
    };
    tokio::time::timeout(SLACK, again).await.expect("it never counts in Redis again");
}

/// A busy machine may take so long between two requests.
const SLACK: Duration = Duration::from_secs(60);
