//! How long a pool gets no more warm workers, because those before did not come up or could not be made.

use std::time::Duration;

use caudal_controller::Backoff;
use caudal_kubernetes::calls::Failure;
use tokio::time::Instant;

use crate::pods::WorkerPod;

/// What failed of one pool.
#[derive(Default)]
pub(super) struct Failing {
    ended: Option<Ended>,
    unmade: Option<Unmade>,
}

/// Workers ended before anybody needed them.
struct Ended {
    /// Since one came up.
    rounds: u32,
    /// When the last round was counted, in seconds since 1970 by the API server's clock. Workers that were made before were of it.
    counted: i64,
    backoff: Backoff,
    not_before: Instant,
}

/// A worker could not be made.
struct Unmade {
    why: Failure,
    backoff: Backoff,
    not_before: Instant,
}

impl Failing {
    /// These have ended by themselves, or did not come up. Those that were made together count once, however many they are and however long they
    /// stay. Returns the pause that follows, if they count.
    pub(super) fn failed<'a>(
        &mut self,
        mut pods: impl Iterator<Item = &'a WorkerPod>,
        now: i64,
        at: Instant,
    ) -> Option<Duration> {
        let counted = self.ended.as_ref().map(|ended| ended.counted);
        pods.find(|pod| counted.is_none_or(|counted| pod.created > counted))?;
        let ended = self.ended.get_or_insert_with(|| Ended {
            rounds: 0,
            counted: now,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            not_before: at,
        });
        let pause = ended.backoff.pause();
        ended.rounds = ended.rounds.saturating_add(1);
        ended.counted = now;
        ended.not_before = at + pause;
        Some(pause)
    }

    /// The newest worker of the newest template that waits for a broadcast, if there is one, was created then. One that was made before the last round
    /// says nothing of those that are made now.
    pub(super) fn came_up(&mut self, created: Option<i64>) {
        if let Some(ended) = &mut self.ended
            && created.is_some_and(|created| created > ended.counted)
        {
            ended.rounds = 0;
            ended.backoff.reset();
        }
    }

    /// One could not be made. Returns whether that is news: of another kind than the last.
    pub(super) fn not_made(&mut self, why: Failure, at: Instant) -> bool {
        let before = self.unmade.take();
        let is_news = before.as_ref().is_none_or(|before| !is_alike(&before.why, &why));
        let backoff = before.map(|before| before.backoff);
        let mut backoff = backoff.unwrap_or(Backoff::new(FIRST_PAUSE, LONGEST_UNMADE));
        let not_before = at + backoff.pause();
        self.unmade = Some(Unmade { why, backoff, not_before });
        is_news
    }

    /// Those that were missing are made, or none is missing.
    pub(super) fn made(&mut self) {
        self.unmade = None;
    }

    /// After how many seconds a worker that does not come up on its node is given up: ever later, because all nodes may take that long.
    pub(super) fn stuck_seconds(&self) -> i64 {
        let rounds = self.ended.as_ref().map_or(0, |ended| ended.rounds).min(LONGER);
        STUCK_SECONDS.saturating_mul(i64::from(rounds.saturating_add(1)))
    }

    /// Whether no more are to be made yet.
    pub(super) fn waits(&self, at: Instant) -> bool {
        let ended = self.ended.as_ref().filter(|ended| ended.rounds > 0).map(|ended| ended.not_before);
        let unmade = self.unmade.as_ref().map(|unmade| unmade.not_before);
        ended.max(unmade).is_some_and(|not_before| at < not_before)
    }

    /// The reason why none waits, and in words.
    pub(super) fn words(&self) -> Option<(&'static str, String)> {
        if let Some(unmade) = &self.unmade {
            return Some(("CannotCreate", unmade.why.to_string()));
        }
        let rounds = self.ended.as_ref().map(|ended| ended.rounds).filter(|rounds| *rounds > 0)?;
        Some((
            "WorkersFail",
            format!("workers ended or did not come up before anybody needed them, {rounds} times in a row"),
        ))
    }
}

/// What a quota says names each pod, and its own state.
fn is_alike(one: &Failure, other: &Failure) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// Long enough that the creation times of two rounds, which are whole seconds, differ.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Longer than volumes mostly take to mount; a node that is gone is called so after 40 s.
pub(super) const STUCK_SECONDS: i64 = 180;
const LONGER: u32 = 4;
/// Nobody tells when a quota has room again.
const LONGEST_UNMADE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use caudal_kubernetes::names::POOL_LABEL;
    use caudal_livestream::WorkerId;
    use serde_json::json;

    use super::*;
    use crate::build;
    use crate::refill::plan::tests::pod;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn workers_that_were_made_together_and_end_one_after_the_other_count_once() {
        let at = Instant::now();
        let round = |created: i64| {
            (0..8).map(move |place| {
                pod(&format!("w-hd-{place}"), |pod| {
                    (pod.ended, pod.created) = (true, created);
                })
            })
        };
        let mut failing = Failing::default();
        let mut all: Vec<_> = round(NOW - 20).collect();
        let pause = failing.failed(all.iter().map(AsRef::as_ref), NOW, at).unwrap();
        assert!(pause <= FIRST_PAUSE && failing.waits(at), "{pause:?}");
        // They stay for want of a deletion, and others of theirs end too.
        all.extend(round(NOW - 1));
        for look in 1..60 {
            assert_eq!(failing.failed(all.iter().map(AsRef::as_ref), NOW + look, at), None, "{look}");
        }
        assert!(!failing.waits(at + pause));
        all.extend(round(NOW + 3));
        assert!(failing.failed(all.iter().map(AsRef::as_ref), NOW + 5, at).is_some_and(|next| next > pause));
        assert!(failing.words().unwrap().1.ends_with("2 times in a row"));
        failing.came_up(Some(NOW - 60));
        assert!(
            failing.waits(at),
            "one that was made before them, from another template perhaps, is no good sign"
        );
        failing.came_up(Some(NOW + 6));
        assert_eq!((failing.waits(at), failing.words()), (false, None));
        assert_eq!(failing.failed(all.iter().map(AsRef::as_ref), NOW + 6, at), None, "nor after that");
    }

    #[test]
    fn what_a_node_or_the_control_plane_has_ended_is_told_from_what_ended_by_itself() {
        let exited = json!([{ "name": build::COMPONENT, "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } } }]);
        let disrupted =
            json!([{ "type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet" }]);
        for (case, status, by_node) in [
            ("it exits", json!({ "phase": "Failed", "containerStatuses": exited }), false),
            ("its node shuts down", json!({ "phase": "Failed", "reason": "Terminated" }), true),
            ("its node is short of memory", json!({ "phase": "Failed", "reason": "Evicted" }), true),
            ("something more important comes", json!({ "phase": "Failed", "conditions": disrupted }), true),
            (
                "its node has no room, again and again",
                json!({ "phase": "Failed", "reason": "OutOfcpu" }),
                false,
            ),
            ("it is to be ended and runs", json!({ "phase": "Running", "conditions": disrupted }), false),
        ] {
            let metadata = json!({
                "name": "w-hd-0", "uid": WorkerId::generate().to_string(), "resourceVersion": "1", "labels": { POOL_LABEL: "hd" },
            });
            let pod = serde_json::from_value(json!({ "metadata": metadata, "status": status })).unwrap();
            assert_eq!(WorkerPod::of(&pod).unwrap().ended_by_node, by_node, "{case}");
        }
    }

    #[test]
    fn a_pool_whose_quota_is_used_up_is_tried_ever_less_often_and_told_of_once() {
        let (mut failing, begun) = (Failing::default(), Instant::now());
        let (mut tries, mut told) = (0, 0);
        for second in 0..600 {
            let at = begun + Duration::from_secs(second);
            if failing.waits(at) {
                continue;
            }
            tries += 1;
            let why = Failure::Quota(format!("pods \"w-hd-0\" is forbidden: exceeded quota, used: {second}"));
            told += u32::from(failing.not_made(why, at));
        }
        assert!((20..=35).contains(&tries), "{tries}");
        assert_eq!(told, 1);
        assert_eq!(failing.words().unwrap().0, "CannotCreate");
        assert!(failing.not_made(Failure::Forbidden(String::new()), begun), "another reason is news");
        failing.made();
        assert!(!failing.waits(begun) && failing.words().is_none());
    }
}
