//! People, as others find and follow them.
//!
//! * `known` – the person that a path names
//! * `profile` – what everybody may know of somebody
//! * `follows` – following, and blocking, which ends it
//! * `channel` – somebody, as search finds them
//! * `listed` – lists of people, by when they were followed or blocked

mod channel;
mod error;
mod follows;
mod known;
mod listed;
mod profile;

pub(crate) use channel::Channel;
pub(crate) use error::PeopleError;
pub(crate) use follows::{block, follow, unblock, unfollow};
pub(crate) use known::{FormerPerson, KnownPerson};
pub(crate) use listed::{ListedPerson, People, Person, listed};
pub(crate) use profile::Profile;
