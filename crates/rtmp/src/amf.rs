//! AMF0, read within bounds.

use std::collections::HashMap;

use bytes::Buf;
use rml_amf0::Amf0Value;

use crate::limits::{MAX_AMF_BYTES, MAX_AMF_DEPTH, MAX_AMF_VALUES};

/// Why AMF0 could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmfError {
    /// Nested deeper than [`MAX_AMF_DEPTH`].
    #[error("AMF is nested deeper than {MAX_AMF_DEPTH}")]
    TooDeep,
    /// Longer than [`MAX_AMF_BYTES`].
    #[error("AMF of {0} bytes is over the limit of {MAX_AMF_BYTES}")]
    TooLong(usize),
    /// More values than [`MAX_AMF_VALUES`].
    #[error("AMF holds more than {MAX_AMF_VALUES} values")]
    TooManyValues,
    /// Ends in the middle of a value.
    #[error("AMF ends in the middle of a value")]
    Truncated,
    /// A marker that has no meaning here, AVM+ (AMF3) among them.
    #[error("AMF marker {0:#04x} is not supported")]
    UnknownMarker(u8),
}

impl AmfError {
    /// Encoders truncate and misspell; nobody nests 32 deep by accident.
    pub fn is_hostile(self) -> bool {
        matches!(self, Self::TooDeep | Self::TooLong(_) | Self::TooManyValues)
    }
}

/// What could be read, and what stopped the reader if it did not come to the end.
pub(crate) struct Decoded {
    pub(crate) values: Vec<Amf0Value>,
    pub(crate) error: Option<AmfError>,
}

/// Reads values until the end or the first fault. What stands before a fault is kept: encoders cut their
/// metadata off, and half of it is better than none.
///
/// Dates become numbers, long strings and XML strings, ECMA arrays and typed objects objects, references
/// null.
pub(crate) fn decode(bytes: &[u8]) -> Decoded {
    if bytes.len() > MAX_AMF_BYTES {
        return Decoded { values: Vec::new(), error: Some(AmfError::TooLong(bytes.len())) };
    }
    let mut reader = Reader { rest: bytes, values_left: MAX_AMF_VALUES, error: None };
    let mut values = Vec::new();
    while !reader.rest.is_empty() && reader.error.is_none() {
        values.extend(reader.value(0));
    }
    Decoded { values, error: reader.error }
}

/// A number, also where an encoder wrote one as a string.
pub(crate) fn number(value: &Amf0Value) -> Option<f64> {
    match value {
        Amf0Value::Number(number) => Some(*number),
        Amf0Value::Utf8String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

pub(crate) fn text(value: &Amf0Value) -> Option<&str> {
    match value {
        Amf0Value::Utf8String(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn property<'a>(value: &'a Amf0Value, name: &str) -> Option<&'a Amf0Value> {
    match value {
        Amf0Value::Object(properties) => properties.get(name),
        _ => None,
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    values_left: usize,
    error: Option<AmfError>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Amf0Value> {
        if depth > MAX_AMF_DEPTH {
            return self.fail(AmfError::TooDeep);
        }
        let Some(left) = self.values_left.checked_sub(1) else {
            return self.fail(AmfError::TooManyValues);
        };
        self.values_left = left;
        let marker = self.take(|rest| rest.try_get_u8().ok())?;
        match marker {
            marker::NUMBER => self.take(|rest| rest.try_get_f64().ok()).map(Amf0Value::Number),
            marker::BOOLEAN => {
                self.take(|rest| rest.try_get_u8().ok()).map(|byte| Amf0Value::Boolean(byte != 0))
            }
            marker::STRING => self.short_string().map(Amf0Value::Utf8String),
            marker::LONG_STRING | marker::XML_DOCUMENT => {
                let length = self.take(|rest| rest.try_get_u32().ok())?;
                self.string(usize::try_from(length).unwrap_or(usize::MAX)).map(Amf0Value::Utf8String)
            }
            marker::OBJECT => Some(self.properties(depth)),
            marker::TYPED_OBJECT => {
                self.short_string()?;
                Some(self.properties(depth))
            }
            marker::ECMA_ARRAY => {
                // The count is a hint that encoders get wrong; the end marker is what counts.
                self.take(|rest| rest.try_get_u32().ok())?;
                Some(self.properties(depth))
            }
            marker::STRICT_ARRAY => {
                let count = self.take(|rest| rest.try_get_u32().ok())?;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.extend(self.value(depth + 1));
                    if self.error.is_some() {
                        break;
                    }
                }
                Some(Amf0Value::StrictArray(items))
            }
            marker::DATE => {
                let millis = self.take(|rest| rest.try_get_f64().ok())?;
                self.take(|rest| rest.try_get_i16().ok())?;
                Some(Amf0Value::Number(millis))
            }
            marker::REFERENCE => self.take(|rest| rest.try_get_u16().ok()).map(|_| Amf0Value::Null),
            marker::NULL => Some(Amf0Value::Null),
            marker::UNDEFINED | marker::UNSUPPORTED => Some(Amf0Value::Undefined),
            unknown => self.fail(AmfError::UnknownMarker(unknown)),
        }
    }

    fn properties(&mut self, depth: usize) -> Amf0Value {
        let mut properties = HashMap::new();
        while let Some(name) = self.short_string() {
            if name.is_empty() && self.rest.first() == Some(&marker::OBJECT_END) {
                self.rest.advance(1);
                break;
            }
            if let Some(value) = self.value(depth + 1) {
                properties.insert(name, value);
            }
            if self.error.is_some() {
                break;
            }
        }
        Amf0Value::Object(properties)
    }

    fn short_string(&mut self) -> Option<String> {
        let length = self.take(|rest| rest.try_get_u16().ok())?;
        self.string(usize::from(length))
    }

    fn string(&mut self, length: usize) -> Option<String> {
        self.take(|rest| {
            let (text, behind) = rest.split_at_checked(length)?;
            *rest = behind;
            Some(String::from_utf8_lossy(text).into_owned())
        })
    }

    fn take<T>(&mut self, read: impl FnOnce(&mut &[u8]) -> Option<T>) -> Option<T> {
        match read(&mut self.rest) {
            Some(value) => Some(value),
            None => self.fail(AmfError::Truncated),
        }
    }

    fn fail<T>(&mut self, error: AmfError) -> Option<T> {
        self.error = Some(error);
        None
    }
}

mod marker {
    pub(super) const NUMBER: u8 = 0;
    pub(super) const BOOLEAN: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const OBJECT: u8 = 3;
    pub(super) const NULL: u8 = 5;
    pub(super) const UNDEFINED: u8 = 6;
    pub(super) const REFERENCE: u8 = 7;
    pub(super) const ECMA_ARRAY: u8 = 8;
    pub(super) const OBJECT_END: u8 = 9;
    pub(super) const STRICT_ARRAY: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const LONG_STRING: u8 = 12;
    pub(super) const UNSUPPORTED: u8 = 13;
    pub(super) const XML_DOCUMENT: u8 = 15;
    pub(super) const TYPED_OBJECT: u8 = 16;
}
