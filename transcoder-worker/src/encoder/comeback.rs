//! When a rung that the machine could not make is tried again.

use std::time::Duration;

use caudal_livestream::RenditionName;
use caudal_livestream::admission::LadderRung;
use tokio::time::Instant;

/// The rungs that were withdrawn. Nothing tells how much room a machine has but trying, and a try that fails costs the
/// other rungs some seconds of delay: the pause before the next one doubles until one has held.
#[derive(Debug, Default)]
pub(crate) struct Comeback {
    /// In the order in which they were withdrawn: the last is the smallest, and the first to come back.
    withdrawn: Vec<LadderRung>,
    /// Before the next try; doubles after each one in vain.
    pause: Duration,
    due: Option<Instant>,
    /// Which rung came back last, and when.
    tried: Option<(RenditionName, Instant)>,
}

impl Comeback {
    /// Those that an earlier worker withdrew, largest first.
    pub(crate) fn of(withdrawn: Vec<LadderRung>, now: Instant) -> Self {
        Self { withdrawn, pause: FIRST_PAUSE, due: Some(now + FIRST_PAUSE), tried: None }
    }

    pub(crate) fn withdrew(&mut self, rung: LadderRung, now: Instant) {
        // Whichever rung came back: a trial that costs several is in vain as a whole.
        let in_vain = self.tried.as_ref().is_some_and(|(_, at)| now.duration_since(*at) < HELD);
        self.pause = if in_vain { self.pause.saturating_mul(2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
        self.due = Some(now + self.pause);
        self.withdrawn.push(rung);
    }

    /// Whether this rung came back so lately that its withdrawal would mean that it was tried in vain.
    pub(crate) fn is_on_trial(&self, rung: &RenditionName, now: Instant) -> bool {
        self.tried.as_ref().is_some_and(|(name, at)| name == rung && now.duration_since(*at) < HELD)
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        !self.withdrawn.is_empty() && self.due.is_some_and(|due| due <= now)
    }

    /// The rung to try now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<LadderRung> {
        let rung = self.withdrawn.pop()?;
        self.tried = Some((rung.name.clone(), now));
        self.due = Some(now + FIRST_PAUSE);
        Some(rung)
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_mins(16);
/// A rung that is withdrawn after longer than this was not tried in vain.
const HELD: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(height: u32) -> LadderRung {
        LadderRung { name: format!("{height}p").parse().unwrap(), height, bitrate: 1_000_000 }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The alert would end and begin again with each try.
    #[test]
    fn the_alert_looks_further_back_than_two_tries_in_vain_are_apart() {
        let alerts = std::fs::read_to_string("../charts/caudal/files/alerts.yaml").unwrap();
        let (_, rule) = alerts.split_once("increase(caudal_worker_encoder_too_slow_total{").unwrap();
        let (_, rule) = rule.split_once('[').unwrap();
        let (minutes, _) = rule.split_once("m]) > 0").unwrap();
        assert!(Duration::from_mins(minutes.parse().unwrap()) > LONGEST_PAUSE + HELD, "{minutes}");
    }

    #[test]
    fn the_smallest_comes_back_first_and_one_at_a_time() {
        let begun = Instant::now();
        let mut comeback = Comeback::default();
        comeback.withdrew(rung(720), begun);
        comeback.withdrew(rung(480), begun + seconds(10));
        assert!(!comeback.is_due(begun + seconds(39)));
        assert!(comeback.is_due(begun + seconds(40)));
        assert_eq!(comeback.take(begun + seconds(40)), Some(rung(480)));
        assert!(!comeback.is_due(begun + seconds(69)), "the next one waits until this one has held");
        assert_eq!(comeback.take(begun + seconds(70)), Some(rung(720)));
        assert!(!comeback.is_due(begun + seconds(10_000)), "none is left");
    }

    #[test]
    fn tries_in_vain_become_rare_and_one_that_held_begins_anew() {
        let mut now = Instant::now();
        let mut comeback = Comeback::default();
        let mut pauses = Vec::new();
        for held in [400, 5, 5, 5, 5, 5, 5, 299, 301] {
            comeback.withdrew(rung(480), now);
            let withdrawn = now;
            while !comeback.is_due(now) {
                now += seconds(1);
            }
            pauses.push(now.duration_since(withdrawn).as_secs());
            comeback.take(now);
            now += seconds(held);
        }
        comeback.withdrew(rung(480), now);
        assert_eq!(pauses, [30, 30, 60, 120, 240, 480, 960, 960, 960]);
        assert!(comeback.is_due(now + seconds(30)));
    }

    #[test]
    fn a_trial_that_costs_several_rungs_does_not_make_the_next_one_come_sooner() {
        let begun = Instant::now();
        let mut comeback = Comeback::of(vec![rung(720), rung(480)], begun);
        comeback.take(begun + seconds(30));
        comeback.take(begun + seconds(60));
        comeback.withdrew(rung(720), begun + seconds(70));
        comeback.withdrew(rung(480), begun + seconds(75));
        assert!(!comeback.is_due(begun + seconds(75 + 60)), "the pause has grown");
    }

    #[test]
    fn only_the_rung_that_came_back_last_is_on_trial_and_not_for_ever() {
        let now = Instant::now();
        let mut comeback = Comeback::of(vec![rung(720), rung(480)], now);
        assert!(!comeback.is_on_trial(&rung(480).name, now));
        comeback.take(now);
        assert!(comeback.is_on_trial(&rung(480).name, now + seconds(299)));
        assert!(!comeback.is_on_trial(&rung(720).name, now));
        assert!(!comeback.is_on_trial(&rung(480).name, now + HELD));
    }

    #[test]
    fn what_an_earlier_worker_withdrew_comes_back_too() {
        let now = Instant::now();
        let mut comeback = Comeback::of(vec![rung(720), rung(480)], now);
        assert!(comeback.is_due(now + FIRST_PAUSE));
        assert_eq!(comeback.take(now + FIRST_PAUSE), Some(rung(480)));
    }
}
