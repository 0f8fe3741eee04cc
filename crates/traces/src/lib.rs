//! Traces of broadcasts, for whoever wants to see where a stream's time goes over all processes that have a part in it.
//!
//! The trace's id is the stream's: whoever knows the stream finds its trace, and no header has to travel with a request, a
//! relay or an assignment. For the same reason all processes agree by themselves on which streams are traced
//! ([`Share`]). A [`Span`] is told of when it is over, through a queue that nobody ever waits for ([`Traces`]), and sent by
//! [`Export`] as OTLP over HTTP.

mod export;
mod sampling;
mod span;

pub use export::{Config, Export, StartError};
pub use sampling::Share;
pub use span::{Outcome, Span, Traces};
