//! What a subscriber hears, and what it is told of what it does not hear.

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::topics::Listening;

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Somebody published this.
    Event(Bytes),
    /// The subscriber was too slow: so many events were pushed out before it came for them.
    Lagged(u64),
    /// The connection was lost. What is published from now on may be missed, until [`Heard::Back`].
    Lost,
    /// The connection is back; what was published while it was away is not told again.
    Back,
}

/// One who listens to a topic; dropping it ends that.
#[derive(Debug)]
pub struct Subscription {
    listening: Listening,
    link: watch::Receiver<Link>,
    told: Told,
}

impl Subscription {
    pub(super) fn new(listening: Listening, link: watch::Receiver<Link>, told: Told) -> Self {
        Self { listening, link, told }
    }

    /// What comes next; `None` once the bus has ended. Nothing is lost when it is dropped before it is done.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            let link = *self.link.borrow_and_update();
            if let Some(heard) = self.told.of(link) {
                return Some(heard);
            }
            tokio::select! {
                biased;
                changed = self.link.changed() => if changed.is_err() { return None },
                event = self.listening.events.recv() => return match event {
                    Ok(payload) => Some(Heard::Event(payload)),
                    Err(RecvError::Lagged(events)) => Some(Heard::Lagged(events)),
                    Err(RecvError::Closed) => None,
                },
            }
        }
    }
}

/// The connection to where events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) up: bool,
    /// How often it was lost, so that a subscriber that looks seldom sees that it was.
    pub(super) losses: u64,
}

impl Link {
    pub(super) const UP: Self = Self { up: true, losses: 0 };
    /// Before the first connection, which is like after a loss.
    pub(super) const DOWN: Self = Self { up: false, losses: 1 };

    pub(super) fn lose(&mut self) {
        if self.up {
            *self = Self { up: false, losses: self.losses.saturating_add(1) };
        }
    }
}

/// What a subscriber believes of the connection: that it was not lost since it had been lost so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    up: bool,
    losses: u64,
}

impl Told {
    /// Of one who is subscribed on the connection that came after so many losses.
    pub(super) fn up_after(losses: u64) -> Self {
        Self { up: true, losses }
    }

    /// Of one who could not be subscribed on this link, and will be told so.
    pub(super) fn up_before_loss_of(link: Link) -> Self {
        Self { up: true, losses: link.losses.saturating_sub(1) }
    }

    /// What it must be told now: every loss is followed by a return, and none is kept from it.
    fn of(&mut self, link: Link) -> Option<Heard> {
        if self.up && link.losses > self.losses {
            self.up = false;
            return Some(Heard::Lost);
        }
        if !self.up && link.up {
            *self = Self::up_after(link.losses);
            return Some(Heard::Back);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_is_told_and_followed_by_a_return_however_seldom_one_looks() {
        let link = |up, losses| Link { up, losses };
        let (lost, back) = (Some(Heard::Lost), Some(Heard::Back));
        for (what, told, looks) in [
            ("nothing happens", Told::up_after(3), vec![(link(true, 3), None)]),
            (
                "a loss and a return",
                Told::up_after(0),
                vec![
                    (link(false, 1), lost.clone()),
                    (link(false, 1), None),
                    (link(true, 1), back.clone()),
                    (link(true, 1), None),
                ],
            ),
            (
                "both between two looks",
                Told::up_after(0),
                vec![(link(true, 1), lost.clone()), (link(true, 1), back.clone()), (link(true, 1), None)],
            ),
            (
                "many, and another one after the first was told",
                Told::up_after(0),
                vec![
                    (link(false, 4), lost.clone()),
                    (link(true, 5), back.clone()),
                    (link(true, 6), lost.clone()),
                    (link(true, 6), back.clone()),
                    (link(true, 6), None),
                ],
            ),
            (
                "subscribed while it was away",
                Told::up_before_loss_of(Link::DOWN),
                vec![(Link::DOWN, lost), (link(true, 1), back), (link(true, 1), None)],
            ),
        ] {
            let mut told = told;
            for (link, heard) in looks {
                assert_eq!(told.of(link), heard, "{what}: {link:?}");
            }
        }
    }

    #[test]
    fn a_link_that_is_down_is_not_lost_again() {
        let mut link = Link::UP;
        link.lose();
        link.lose();
        assert_eq!(link, Link { up: false, losses: 1 });
    }
}
