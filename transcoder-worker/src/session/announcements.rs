//! What the packager announces: told to the feed's readers, kept in memory for edges, handed to storage.

use std::time::Duration;

use bytes::Bytes;
use caudal_livestream::RenditionName;
use caudal_livestream::feed::Event;
use caudal_livestream::timeline::{SOURCE, Segment};
use tokio::time::Instant;

use super::Session;
use crate::store_queue::SegmentJob;

impl Session {
    pub(super) fn announce(&mut self, event: &Event, data: Option<Bytes>) {
        self.announced = true;
        match event {
            Event::Part(part) => {
                self.parts.metrics.parts.inc();
                self.part_announced = true;
                self.parts.milestones.part();
                self.awaited.part(&part.rendition, Duration::from_micros(part.part.duration.0));
                // To the readers before anything else.
                self.parts.feed.announce(event, data.as_ref());
                if part.rendition.as_str() == SOURCE
                    && let Some(arrived) = self.arrived
                {
                    self.parts.metrics.part_publish_delay.observe(arrived.elapsed().as_secs_f64());
                }
                if let Some(data) = data {
                    let place = (part.msn, self.parts.assignment.epoch);
                    self.memory().add_part(&part.rendition, place, part.part.number, data, Instant::now());
                }
                return;
            }
            Event::Segment(announced) => {
                self.parts.feed.announce(event, None);
                self.parts.milestones.segment();
                self.store_segment(&announced.rendition, &announced.segment, data);
                let moved = self.windows.insert(announced.rendition.clone(), announced.window_start);
                if moved != Some(announced.window_start) && !self.parts.assignment.record {
                    let given_up =
                        self.parts.storage.window_moved(&announced.rendition, announced.window_start);
                    self.give_up(given_up);
                }
            }
            // Readers that are told of the end leave; they are told once everything is stored.
            Event::End if self.closing.is_some() => {}
            Event::Snapshot(timeline) => {
                let keep =
                    Duration::from_secs(u64::from(timeline.target_duration).saturating_mul(PARTS_KEPT));
                self.memory().keep_for(keep);
                self.parts.feed.announce(event, None);
            }
            _ => self.parts.feed.announce(event, None),
        }
        self.standing.changed();
    }

    fn store_segment(&mut self, rendition: &RenditionName, segment: &Segment, data: Option<Bytes>) {
        if segment.gap {
            return;
        }
        let (msn, epoch) = (segment.msn, segment.epoch);
        let pieces = match data {
            Some(whole) => {
                self.memory().add_whole(rendition, (msn, epoch), whole.clone(), Instant::now());
                vec![whole]
            }
            None => self.memory().finish(rendition, msn, epoch),
        };
        if pieces.is_empty() {
            tracing::debug!(%rendition, msn = msn.0, "a segment without media");
            return;
        }
        let job = SegmentJob { rendition: rendition.clone(), msn, epoch, pieces };
        let given_up = self.parts.storage.segment(job);
        self.give_up(given_up);
    }

    fn give_up(&mut self, jobs: Vec<SegmentJob>) {
        for job in jobs {
            self.memory().settled(&job.rendition, job.msn);
        }
    }
}

/// Target durations that parts stay fetchable for, ARCHITECTURE §4.
const PARTS_KEPT: u64 = 6;
