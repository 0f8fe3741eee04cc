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
//! * `hub`, `room`, `recent` – who listens in this replica, and what newcomers are given
//! * `speaker` – who talks, and whether they still may; `speak` – saying something, whichever way it came
//! * `voice`, `answer` – what one socket does, whatever its wire looks like
//! * `conversation`, `frame` – one WebSocket in raw JSON

mod answer;
mod conversation;
mod draft;
mod error;
mod frame;
mod history;
mod hub;
mod log;
mod partitions;
mod policy;
mod position;
mod recent;
mod room;
mod speak;
mod speaker;
mod store;
mod text;
mod voice;

pub(crate) use conversation::converse;
pub(crate) use draft::ChatMessage;
pub(crate) use error::ChatError;
pub(crate) use history::{Line, before};
pub(crate) use hub::Hub;
pub(crate) use log::{InProcessLog, RedisLog, RoomLog, drain};
pub(crate) use partitions::{keep as keep_partitions, tidy as tidy_partitions};
pub(crate) use position::Position;
pub(crate) use speak::{Saying, remove, say};
