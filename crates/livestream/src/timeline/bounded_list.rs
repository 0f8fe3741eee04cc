//! Lists that a peer may make as long as it likes, and of which only so much is ever built.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a list one element after the other, and keeps what `take` makes of them: none for one that is left out. More than
/// `most` to be kept are an error, as is what `take` refuses.
pub(super) fn bounded<'de, D, E, T, R>(
    from: D,
    most: usize,
    take: impl FnMut(E) -> Result<Option<T>, R>,
) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    E: Deserialize<'de>,
    R: fmt::Display,
{
    from.deserialize_seq(Bounded { most, take, of: PhantomData })
}

struct Bounded<F, Of> {
    most: usize,
    take: F,
    of: PhantomData<Of>,
}

impl<'de, F, E, T, R> Visitor<'de> for Bounded<F, (E, T, R)>
where
    E: Deserialize<'de>,
    F: FnMut(E) -> Result<Option<T>, R>,
    R: fmt::Display,
{
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut kept = Vec::new();
        while let Some(element) = list.next_element::<E>()? {
            let Some(element) = (self.take)(element).map_err(A::Error::custom)? else { continue };
            if kept.len() >= self.most {
                return Err(A::Error::custom(format_args!("more than {} in a list", self.most)));
            }
            kept.push(element);
        }
        Ok(kept)
    }
}
