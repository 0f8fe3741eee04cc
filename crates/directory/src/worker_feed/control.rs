//! Reading the feed that a worker has for its controller.

use caudal_livestream::assignment::Floor;
use caudal_livestream::feed::{Event, FloorSteps, Frame, InputState};
use caudal_livestream::timeline::{Timeline, TimelineGap};

use super::{Feed, FeedLost};

/// An open control feed. Dropping it closes the connection.
#[derive(Debug)]
pub struct ControlFeed {
    feed: Feed,
    /// Of a worker of the release before this one, which knows no control feed and answers with its announcements.
    announced: Option<Timeline>,
    steps: FloorSteps,
}

/// What a worker tells its controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlEvent {
    /// The publisher's side of the worker: as it stands when the feed opens, and each change.
    Input(InputState),
    /// The stream's first part, or another whole segment, was announced, and everything announced ends here. When the
    /// feed opens it comes first, unless nothing has been announced.
    Floor(Floor),
    /// Parts were announced since, up to here: the floor, if the worker is lost now. Several a second.
    Reached(Floor),
    /// Nothing will follow.
    End,
    /// A second has passed.
    Heartbeat,
}

impl ControlFeed {
    pub(crate) fn new(feed: Feed) -> Self {
        Self { feed: feed.without_parts(), announced: None, steps: FloorSteps::default() }
    }

    /// The next event; none once the worker said [`ControlEvent::End`] and closed. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`FeedLost`] when no whole frame comes within three seconds, or none can come any more.
    pub async fn next(&mut self) -> Result<Option<ControlEvent>, FeedLost> {
        loop {
            let event = match self.feed.next().await? {
                Some(Frame::Event(event)) => event,
                Some(Frame::Bytes(_)) => continue,
                None => return Ok(None),
            };
            if let Some(event) = self.take(event)? {
                return Ok(Some(event));
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<Option<ControlEvent>, FeedLost> {
        let announced = match event {
            Event::Input(state) => return Ok(Some(ControlEvent::Input(state))),
            Event::Floor(floor) => return Ok(Some(ControlEvent::Floor(floor))),
            Event::Reached(floor) => return Ok(Some(ControlEvent::Reached(floor))),
            Event::End => return Ok(Some(ControlEvent::End)),
            Event::Heartbeat => return Ok(Some(ControlEvent::Heartbeat)),
            Event::Snapshot(whole) => {
                whole.check().map_err(TimelineGap::from)?;
                self.announced.insert(*whole)
            }
            Event::Part(_) | Event::Segment(_) | Event::Stored { .. } | Event::Withdrawn { .. } => {
                let Some(timeline) = &mut self.announced else { return Ok(None) };
                timeline.apply(&event)?;
                timeline
            }
        };
        match self.steps.take(announced) {
            Some(position) => self.take(position),
            None => Ok(None),
        }
    }
}
