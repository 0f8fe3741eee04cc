//! The rooms that one client is in.

use std::future::poll_fn;
use std::task::Poll;

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use tokio::sync::mpsc;

/// At most [`MOST`].
pub(super) struct Rooms<S>(Vec<Room<S>>);

struct Room<S> {
    stream: StreamId,
    inbox: mpsc::Receiver<Utf8Bytes>,
    /// The client's, as long as it is there.
    seat: S,
}

impl<S> Rooms<S> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether this one may be entered, for the first time or again.
    pub(super) fn have_place_for(&self, stream: StreamId) -> bool {
        self.0.len() < MOST || self.0.iter().any(|room| room.stream == stream)
    }

    /// Somebody who was in already hears everything from the new `inbox`.
    pub(super) fn enter(&mut self, stream: StreamId, inbox: mpsc::Receiver<Utf8Bytes>, seat: S) {
        self.leave(stream);
        self.0.push(Room { stream, inbox, seat });
    }

    /// The room notices by the inbox that is gone.
    pub(super) fn leave(&mut self, stream: StreamId) {
        self.0.retain(|room| room.stream != stream);
    }

    /// The client's in this one; none where it is not in.
    pub(super) fn seat(&self, stream: StreamId) -> Option<&S> {
        self.0.iter().find(|room| room.stream == stream).map(|room| &room.seat)
    }

    /// How the client counts in each of them.
    pub(super) fn seats(&mut self) -> impl Iterator<Item = &mut S> {
        self.0.iter_mut().map(|room| &mut room.seat)
    }

    /// What is told next in any of them, each getting its turn, and in which; nothing when that one let go of this client.
    pub(super) async fn next(&mut self) -> (StreamId, Option<Utf8Bytes>) {
        poll_fn(|cx| {
            let told = self.0.iter_mut().enumerate().find_map(|(at, room)| match room.inbox.poll_recv(cx) {
                Poll::Ready(told) => Some((at, (room.stream, told))),
                Poll::Pending => None,
            });
            match told {
                Some((at, told)) => {
                    self.0.rotate_left(at.saturating_add(1));
                    Poll::Ready(told)
                }
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// More than anybody watches at once.
pub(super) const MOST: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_room_does_not_silence_the_others() {
        let mut rooms = Rooms::new();
        let mut doors = Vec::new();
        for _ in 0..MOST {
            let (door, inbox) = mpsc::channel(4);
            let stream = StreamId::generate();
            assert!(rooms.have_place_for(stream));
            rooms.enter(stream, inbox, ());
            doors.push((stream, door));
        }
        assert!(!rooms.have_place_for(StreamId::generate()));
        assert!(rooms.have_place_for(doors[3].0));
        for (_, door) in &doors[..3] {
            door.try_send("a".into()).unwrap();
            door.try_send("b".into()).unwrap();
        }
        let mut heard = String::new();
        for _ in 0..6 {
            heard.push_str(&rooms.next().await.1.unwrap());
        }
        assert_eq!(heard, "aaabbb");
        rooms.leave(doors[0].0);
        assert!(doors[0].1.is_closed());
        let (closed, door) = doors.pop().unwrap();
        drop(door);
        assert_eq!(rooms.next().await, (closed, None));
    }
}
