//! Where objects of one kind stand, and how they are listed.

use serde_json::{Map, Value, json};

use super::errors::{Answer, StripeError};
use super::form::Params;
use super::state::State;

/// What Stripe calls metadata.
pub(crate) type Metadata = Map<String, Value>;

pub(crate) trait Stored {
    /// As error messages and control paths have it.
    const KIND: &'static str;
    fn id(&self) -> &str;
    fn created(&self) -> i64;
    /// As the API answers it; other objects are looked up in the state.
    fn json(&self, state: &State) -> Value;
}

/// In the order of creation.
#[derive(Debug)]
pub(crate) struct Shelf<T>(Vec<T>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Stored> Shelf<T> {
    pub(crate) fn put(&mut self, object: T) {
        self.0.push(object);
    }

    /// What a request named.
    pub(crate) fn find(&self, id: &str) -> Answer<&T> {
        self.iter().find(|object| object.id() == id).ok_or_else(|| StripeError::no_such(T::KIND, id))
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Answer<&mut T> {
        let missing = StripeError::no_such(T::KIND, id);
        self.0.iter_mut().find(|object| object.id() == id).ok_or(missing)
    }

    /// What the fake's own objects name: it is there.
    pub(crate) fn get(&self, id: &str) -> &T {
        self.find(id).unwrap()
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> &mut T {
        self.find_mut(id).unwrap()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.0.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets what was put after the first so many.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.0.retain(|object| object.id() != id);
    }

    /// A page of a list, the newest first, as `limit`, `starting_after` and `created[…]` ask for it.
    pub(crate) fn page(
        &self,
        state: &State,
        params: &Params,
        url: &str,
        keep: impl Fn(&T) -> bool,
    ) -> Answer {
        let limit = params.int("limit")?.unwrap_or(10);
        let limit = usize::try_from(limit).ok().filter(|limit| (1..=100).contains(limit));
        let limit = limit.ok_or_else(|| StripeError::invalid("Limits are from 1 to 100.").param("limit"))?;
        let end = match params.text("starting_after") {
            None => self.0.len(),
            Some(id) => self
                .0
                .iter()
                .position(|object| object.id() == id)
                .ok_or_else(|| StripeError::no_such(T::KIND, id).named_by("starting_after"))?,
        };
        let bound = |name: &str| params.int(&format!("created[{name}]"));
        let (gte, gt, lte, lt) = (bound("gte")?, bound("gt")?, bound("lte")?, bound("lt")?);
        let in_time = |created: i64| {
            gte.is_none_or(|bound| created >= bound)
                && gt.is_none_or(|bound| created > bound)
                && lte.is_none_or(|bound| created <= bound)
                && lt.is_none_or(|bound| created < bound)
        };
        let mut found = self.0[..end].iter().rev().filter(|object| in_time(object.created()) && keep(object));
        let data: Vec<_> = found.by_ref().take(limit).map(|object| object.json(state)).collect();
        Ok(json!({ "object": "list", "url": url, "has_more": found.next().is_some(), "data": data }))
    }
}
