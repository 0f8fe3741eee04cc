//! Tickets: what tells one player from another where addresses cannot. The edge signs one for each player that asks, for
//! one stream, and the player's requests carry it in their path: `/v/{ticket}/live/{stream}/…`, which relative URLs
//! inherit.

use std::fmt;

use caudal_livestream::StreamId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What all edges of one platform sign tickets with. Hidden in `Debug`.
#[derive(Clone)]
pub struct TicketKey {
    current: [u8; 32],
    others: Vec<[u8; 32]>,
}

/// A player's number, as a ticket of ours says. It means something for its stream only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

impl TicketKey {
    /// From 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { current: bytes, others: Vec::new() }
    }

    /// Takes tickets of these keys too, while the key is changed.
    #[must_use]
    pub fn and_accepts(mut self, others: impl IntoIterator<Item = [u8; 32]>) -> Self {
        self.others.extend(others);
        self
    }

    /// A new player's ticket, 48 hex digits.
    pub(crate) fn issue(&self, stream: StreamId, player: u64) -> String {
        let mut signature = hex::encode(mac(&self.current, stream, player).finalize().into_bytes());
        signature.truncate(2 * SIGNATURE);
        format!("{player:016x}{signature}")
    }

    /// The player, if the ticket is ours and for this stream.
    pub(crate) fn read(&self, stream: StreamId, text: &str) -> Option<Ticket> {
        let (player, signature) = text.split_at_checked(16)?;
        let player = u64::from_str_radix(player, 16).ok()?;
        let signature = hex::decode(signature).ok().filter(|bytes| bytes.len() == SIGNATURE)?;
        let is_ours = |key| mac(key, stream, player).verify_truncated_left(&signature).is_ok();
        std::iter::once(&self.current).chain(&self.others).any(is_ours).then_some(Ticket(player))
    }
}

fn mac(key: &[u8; 32], stream: StreamId, player: u64) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        // HMAC takes keys of any length.
        unreachable!()
    };
    mac.update(stream.0.as_bytes());
    mac.update(&player.to_be_bytes());
    mac
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(***)")
    }
}

/// In a ticket's place: a page whose viewer the api counts, because they are there. It is the same for all of them, so that
/// media requests say nothing of who it is. Whoever else says so is counted nowhere, which harms nobody.
pub(crate) const PRESENT: &str = "present";

/// Of the MAC, in bytes: a forged ticket is worth one viewer more.
const SIGNATURE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_for_the_stream_that_it_was_issued_for() {
        let (key, stream) = (TicketKey::new([1; 32]), StreamId::generate());
        let ticket = key.issue(stream, 7);
        assert_eq!(ticket.len(), 48);
        assert_eq!(key.read(stream, &ticket), Some(Ticket(7)));
        assert_eq!(key.read(StreamId::generate(), &ticket), None);
        assert_eq!(TicketKey::new([2; 32]).read(stream, &ticket), None);
    }

    #[test]
    fn a_ticket_of_the_key_before_is_good_for_as_long_as_that_is_accepted() {
        let (former, stream) = (TicketKey::new([1; 32]), StreamId::generate());
        let ticket = former.issue(stream, 7);
        assert_eq!(TicketKey::new([2; 32]).and_accepts([[1; 32]]).read(stream, &ticket), Some(Ticket(7)));
    }

    #[test]
    fn what_is_made_up_is_no_ticket() {
        let (key, stream) = (TicketKey::new([1; 32]), StreamId::generate());
        let ticket = key.issue(stream, 7);
        for made_up in ["", "me", &ticket[..16], &ticket[..46], &format!("{ticket}00"), &"0".repeat(48)] {
            assert_eq!(key.read(stream, made_up), None, "{made_up}");
        }
        assert_eq!(key.read(stream, &"\u{e9}".repeat(24)), None);
    }
}
