//! Socket.IO's packets (protocol 5), each the text of one message of Engine.IO: a digit that says what it is, a namespace unless that
//! is `/`, the number of an acknowledgement, and JSON.

use std::fmt::Write as _;

use serde_json::json;
use serde_json::value::RawValue;
use thiserror::Error;

/// What a client sends.
#[derive(Debug)]
pub(super) enum Packet<'a> {
    /// Into the only namespace there is; `auth` is JSON.
    Connect {
        auth: Option<&'a str>,
    },
    /// Into another one.
    ConnectElsewhere {
        namespace: &'a str,
    },
    Disconnect,
    Event {
        /// Wants an answer under this number.
        ack: Option<u64>,
        /// A text, in JSON.
        name: &'a str,
        /// What came along first, in JSON; there may have been more.
        data: Option<&'a str>,
    },
    /// An answer to something that the server never asks.
    Ack,
}

/// Attachments in binary, another namespace's packets, and what is no packet at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this is no packet of Socket.IO that this server understands")]
pub(super) struct NotUnderstood;

pub(super) fn read(text: &str) -> Result<Packet<'_>, NotUnderstood> {
    let mut letters = text.chars();
    let kind = letters.next().ok_or(NotUnderstood)?;
    let rest = letters.as_str();
    let (namespace, rest) = match rest.starts_with('/').then(|| rest.split_once(',')) {
        None => ("/", rest),
        Some(None) => (rest, ""),
        Some(Some(parts)) => parts,
    };
    // Clients may say `/?key=value`.
    let is_ours = namespace.split('?').next() == Some("/");
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (ack, data) = rest.split_at_checked(digits).ok_or(NotUnderstood)?;
    match (kind, is_ours) {
        ('0', true) => Ok(Packet::Connect { auth: (!data.is_empty()).then_some(data) }),
        ('0', false) => Ok(Packet::ConnectElsewhere { namespace }),
        ('1', true) => Ok(Packet::Disconnect),
        ('2', true) => {
            let ack = if ack.is_empty() { None } else { Some(ack.parse().map_err(|_| NotUnderstood)?) };
            let parts: Vec<&RawValue> = serde_json::from_str(data).map_err(|_| NotUnderstood)?;
            let mut parts = parts.into_iter().map(RawValue::get);
            let name = parts.next().filter(|name| name.starts_with('"')).ok_or(NotUnderstood)?;
            Ok(Packet::Event { ack, name, data: parts.next() })
        }
        ('3', true) => Ok(Packet::Ack),
        _ => Err(NotUnderstood),
    }
}

/// That somebody is in, under an id that no other connection has.
pub(super) fn connected(id: &str) -> String {
    format!("0{}", json!({ "sid": id }))
}

pub(super) fn no_such_namespace(namespace: &str) -> String {
    format!("4{namespace},{}", json!({ "message": "Invalid namespace" }))
}

/// The last word; official clients do not come back by themselves after it.
pub(super) fn disconnected() -> String {
    "1".to_owned()
}

/// `data` is JSON.
pub(super) fn event(name: &str, data: &str) -> String {
    format!(r#"2["{name}",{data}]"#)
}

/// `data` is JSON.
pub(super) fn answer(ack: u64, data: &str) -> String {
    format!("3{ack}[{data}]")
}

/// An event as [`event`] has it, from the frame that raw WebSockets get: its data is not written anew.
pub(super) fn from_frame(frame: &str) -> Option<String> {
    let (name, data) = frame.strip_prefix(r#"{"event":""#)?.split_once(r#"","data":"#)?;
    let data = data.strip_suffix('}')?;
    let mut packet = String::with_capacity(name.len() + data.len() + 6);
    // Writing to a text cannot fail.
    let _ = write!(packet, r#"2["{name}",{data}]"#);
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match read(text) {
            Ok(Packet::Connect { auth }) => format!("connect {auth:?}"),
            Ok(Packet::ConnectElsewhere { namespace }) => format!("elsewhere {namespace}"),
            Ok(Packet::Disconnect) => "disconnect".into(),
            Ok(Packet::Event { ack, name, data }) => format!("event {ack:?} {name} {data:?}"),
            Ok(Packet::Ack) => "ack".into(),
            Err(NotUnderstood) => "?".into(),
        }
    }

    #[test]
    fn a_packet_says_what_it_is_for_whom_and_whether_it_wants_an_answer() {
        for (text, expected) in [
            ("0", "connect None"),
            (r#"0{"token":"x"}"#, r#"connect Some("{\"token\":\"x\"}")"#),
            ("0/,{}", r#"connect Some("{}")"#),
            ("0/?a=b,{}", r#"connect Some("{}")"#),
            ("0/admin,{}", "elsewhere /admin"),
            ("0/admin", "elsewhere /admin"),
            ("1", "disconnect"),
            (r#"2["ping"]"#, r#"event None "ping" None"#),
            (r#"217["a",{"b":[1]},"c"]"#, r#"event Some(17) "a" Some("{\"b\":[1]}")"#),
            ("2/,0[\"a\\u00e9\",1]", r#"event Some(0) "a\u00e9" Some("1")"#),
            ("30[1]", "ack"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_packet_is_not_understood() {
        for text in [
            "",
            "2",
            "2[]",
            "2[1]",
            "2{}",
            "2[\"a\"",
            "2/admin,[\"a\"]",
            "1/admin",
            "4{}",
            "51-[\"a\",{}]",
            "6",
            "7",
            "é",
            "299999999999999999999[\"a\"]",
            "2\0",
            "x",
        ] {
            assert_eq!(shown(text), "?", "{text}");
        }
    }

    #[test]
    fn a_frame_s_data_passes_as_it_stands() {
        let frame = r#"{"event":"new_message","data":{"message":"\",\"data\":"}}"#;
        assert_eq!(from_frame(frame).unwrap(), r#"2["new_message",{"message":"\",\"data\":"}]"#);
        assert_eq!(from_frame(r#"{"data":1}"#), None);
        assert_eq!(event("error", "{}"), r#"2["error",{}]"#);
        assert_eq!(answer(7, "{}"), "37[{}]");
    }
}
