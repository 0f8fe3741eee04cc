//! Chat beside a stream: who said what, in one order for everybody.
//!
//! A room is a stream's. What happens in it – messages, deletions – has a [`Position`]: an epoch and a number in it without gaps,
//! so that whoever missed something sees that, and says since when.
//!
//! * `text` – what may be said; `policy` – how often
//! * `draft` – a message on its way, and how it looks on the wire
//! * `log` – gives out positions and keeps the last events: in this process, where a message counts once PostgreSQL has it,
//!   or in Redis, which replicas share and from where messages go on to PostgreSQL
//! * `store` – messages in PostgreSQL; `partitions` – its days; `history` – both, for readers
//! * `removal` – what takes back what was said, and what is left of it
//! * `hub`, `room`, `recent` – who listens in this replica, and what newcomers are given
//! * `moderation` – who keeps order, and by which rules
//! * `author`, `speaker` – who talks, and whether they still may; `speak` – saying something, whichever way it came
//! * `about_stream` – what a room is told of its stream
//! * `voice`, `answer` – what one socket does, whatever its wire looks like
//! * `conversation`, `frame` – one WebSocket in raw JSON
//! * `socket_io` – one client of Socket.IO

mod about_stream;
mod answer;
mod author;
mod conversation;
mod draft;
mod error;
mod frame;
mod history;
mod hub;
mod log;
pub(crate) mod moderation;
mod partitions;
mod policy;
mod position;
mod recent;
mod removal;
mod room;
mod socket_io;
mod speak;
mod speaker;
mod store;
mod text;
mod voice;

pub(crate) use about_stream::{tell_ended, tell_new_subscriber, tell_updated};
pub(crate) use answer::Answer;
pub(crate) use author::Author;
pub(crate) use conversation::converse;
pub(crate) use draft::ChatMessage;
pub(crate) use error::ChatError;
pub(crate) use history::{Line, before};
pub(crate) use hub::Hub;
pub(crate) use log::{InProcessLog, RedisLog, RoomLog, drain};
pub(crate) use partitions::{keep as keep_partitions, prepare as prepare_partitions};
pub(crate) use position::Position;
pub(crate) use socket_io::{Newcomer, SocketIo};
pub(crate) use speak::{Saying, remove, say, tell_removed};
pub(crate) use voice::{Lost, Voice};
