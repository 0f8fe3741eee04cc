//! Mail: what is asked for, written, and sent.
//!
//! * `letters` – every text
//! * `smtp` – the server that takes them
//! * `post` – what is asked for waits here, and its owner sees to it
//!
//! What waits in the post is in memory alone: after a restart nobody is mailed what was asked before it, and asks again.

mod letters;
mod post;
mod smtp;

pub(crate) use letters::{Told, cancelled, subscribed, unpaid, withdrawn};
pub(crate) use post::{Mailing, Post, Unsent, Wish};
pub use smtp::{MailConfig, check_sender, check_smtp_url};
