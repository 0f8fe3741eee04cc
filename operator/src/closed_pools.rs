//! WorkerPools that an uninstall closes, so that routers let nobody in. Each keeps in an annotation what it was before, and by when the
//! uninstall is over: an uninstall that fails opens them again itself, and after one that was killed the operator does.

use std::time::{Duration, SystemTime};

use caudal_controller::{WallClock, wall_now};
use caudal_kubernetes::calls::{Failure, call};
use caudal_kubernetes::{WorkerPool, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::pools::Pools;
use crate::records::MANAGER;
use caudal_kubernetes::names::is_paused;

/// What a closed pool was before, whatever release wrote it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Before {
    /// When the uninstall is over, however it went: a pool that is still closed then was left behind.
    until: Time,
    max_workers: Value,
    warm: Value,
}

/// What became of a pool that was to be opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reopened {
    /// It is as it was before it was closed.
    AsBefore,
    /// No uninstall has closed it, or somebody else has opened it since.
    NotClosed,
}

/// The pools of a namespace, of whatever release.
pub(crate) fn pools(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<WorkerPool>(&()))
}

/// Closes a pool until then, unless it is gone. One that is closed keeps the memory of what it was before that.
pub(crate) async fn close(
    pools: &Api<DynamicObject>,
    name: &str,
    until: Timestamp,
    manager: &str,
) -> Result<(), Failure> {
    let pool = match call(pools.get(name)).await {
        Ok(pool) => pool,
        Err(Failure::NotFound) => return Ok(()),
        Err(error) => return Err(error),
    };
    let before = match before(&pool) {
        Some(before) if is_closed(&pool) => Before { until: Time(until), ..before },
        _ => Before {
            until: Time(until),
            max_workers: said(&pool, "/spec/maxWorkers"),
            warm: said(&pool, "/spec/warm"),
        },
    };
    let before = serde_json::to_string(&before).map_err(|error| Failure::Refused(error.to_string()))?;
    let spec = json!({ "maxWorkers": 0, "warm": { "min": 0, "percentOfLive": 0, "max": 0 } });
    written(patch(pools, &pool, &json!(before), Some(spec), manager).await)
}

/// Opens a pool again that an uninstall has closed.
pub(crate) async fn reopen(
    pools: &Api<DynamicObject>,
    name: &str,
    manager: &str,
) -> Result<Reopened, Failure> {
    let pool = match call(pools.get(name)).await {
        Ok(pool) => pool,
        Err(Failure::NotFound) => return Ok(Reopened::NotClosed),
        Err(error) => return Err(error),
    };
    if !pool.annotations().contains_key(names::CLOSED_ANNOTATION) {
        return Ok(Reopened::NotClosed);
    }
    let before = before(&pool);
    let spec = before.filter(|_| is_closed(&pool)).map(|before| {
        // What it did not say gets the schema's defaults again.
        let mut warm = json!({ "min": null, "percentOfLive": null, "max": null });
        if let (Some(all), Value::Object(said)) = (warm.as_object_mut(), before.warm) {
            all.extend(said);
        }
        json!({ "maxWorkers": before.max_workers, "warm": warm })
    });
    let outcome = if spec.is_some() { Reopened::AsBefore } else { Reopened::NotClosed };
    written(patch(pools, &pool, &Value::Null, spec, manager).await)?;
    Ok(outcome)
}

/// For this version of the pool alone: what somebody else has just made of it is not overwritten.
async fn patch(
    pools: &Api<DynamicObject>,
    pool: &DynamicObject,
    annotation: &Value,
    spec: Option<Value>,
    manager: &str,
) -> Result<DynamicObject, Failure> {
    let mut patch = json!({ "metadata": {
        "uid": pool.uid(),
        "resourceVersion": pool.resource_version(),
        "annotations": { names::CLOSED_ANNOTATION: annotation },
    }});
    if let (Some(patch), Some(spec)) = (patch.as_object_mut(), spec) {
        patch.insert("spec".to_owned(), spec);
    }
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    call(pools.patch(&pool.name_any(), &params, &Patch::Merge(&patch))).await
}

fn written(outcome: Result<DynamicObject, Failure>) -> Result<(), Failure> {
    match outcome {
        // A pool that is gone lets nobody in, and is not to be opened.
        Ok(_) | Err(Failure::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

fn before(pool: &impl ResourceExt) -> Option<Before> {
    serde_json::from_str(pool.annotations().get(names::CLOSED_ANNOTATION)?).ok()
}

fn is_closed(pool: &DynamicObject) -> bool {
    said(pool, "/spec/maxWorkers") == 0
}

fn said(pool: &DynamicObject, at: &str) -> Value {
    pool.data.pointer(at).cloned().unwrap_or_default()
}

/// Opens what an uninstall that was killed, or after which nothing was removed, has left closed; never ends. Whoever leads runs it.
pub(crate) async fn open_what_was_left_closed(
    client: Client,
    namespace: String,
    known: Pools,
    wall: WallClock,
) {
    let pools = pools(&client, &namespace);
    loop {
        let now = wall_now(&wall).0;
        for pool in known.all().iter().filter(|pool| is_left_closed(pool.as_ref(), now)) {
            let name = pool.name_any();
            match reopen(&pools, &name, MANAGER).await {
                Ok(Reopened::AsBefore) => {
                    tracing::warn!(
                        pool = name,
                        "an uninstall did not come to its end; its pool is open again, as before"
                    );
                }
                Ok(Reopened::NotClosed) => {}
                Err(error) => {
                    tracing::warn!(pool = name, %error, "a pool that an uninstall has left closed stays so a little longer");
                }
            }
        }
        sleep(EACH).await;
    }
}

fn is_left_closed(pool: &WorkerPool, now: i64) -> bool {
    !is_paused(pool) && before(pool).is_some_and(|before| before.until.0.as_millisecond() <= now)
}

/// This machine's time, after a while.
pub(crate) fn after(wall: &WallClock, while_: Duration) -> Timestamp {
    let then = wall().checked_add(while_).unwrap_or(SystemTime::UNIX_EPOCH);
    // The server keeps whole seconds, and people read them.
    let seconds = then.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Timestamp::from_second(i64::try_from(seconds).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX)
}

/// An uninstall takes minutes.
const EACH: Duration = Duration::from_secs(5);
