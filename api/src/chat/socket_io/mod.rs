//! Socket.IO (docs/realtime.md): the same rooms and events as a WebSocket in raw JSON, twenty rooms for each client.
//!
//! Engine.IO, which carries it over HTTP requests or a WebSocket, is a library's; packets are our own, so that a client's events keep
//! their order, a room's are not written anew for each client, and every connection has an end.
//!
//! * `entrance` – a client's requests on their way to Engine.IO
//! * `engine` – what Engine.IO tells of its connections
//! * `line` – the connection under a WebSocket
//! * `session` – one client, from the first to the last packet; `rooms` – those it is in;
//!   `which_room` – how it names them
//! * `packet` – what is said

mod engine;
mod entrance;
mod line;
mod packet;
mod rooms;
mod session;
mod which_room;

pub(crate) use engine::Newcomer;
pub(crate) use entrance::SocketIo;
