//! What a watch has told of, by name.

use std::collections::HashMap;

use kube::Resource;
use kube::core::DeserializeGuard;

use super::News;

/// Of each object, by its name.
type Uids = HashMap<String, Option<String>>;

#[derive(Debug, Default)]
pub(super) struct Told {
    uids: Uids,
    /// While everything is listed anew: what was listed so far.
    listed: Option<Uids>,
}

impl Told {
    /// A list begins, perhaps again.
    pub(super) fn begin(&mut self) {
        self.listed = Some(Uids::new());
    }

    /// An object of the list.
    pub(super) fn listed<K: Resource<DynamicType = ()>>(
        &mut self,
        guard: DeserializeGuard<K>,
    ) -> Vec<News<K>> {
        if let Some(listed) = &mut self.listed {
            listed.insert(name_of(&guard), guard.meta().uid.clone());
        }
        self.is(guard)
    }

    /// The list is whole. What was told and is not in it is gone.
    pub(super) fn end<K>(&mut self) -> Vec<News<K>> {
        let Some(listed) = self.listed.take() else { return Vec::new() };
        let told = std::mem::take(&mut self.uids);
        let gone = told.into_iter().filter(|(name, _)| !listed.contains_key(name));
        let news = gone.map(|(name, uid)| News::Gone { name, uid }).collect();
        self.uids = listed;
        news
    }

    /// An object as it is now; if it has the name of another one, that one is gone.
    pub(super) fn is<K: Resource<DynamicType = ()>>(&mut self, guard: DeserializeGuard<K>) -> Vec<News<K>> {
        let (name, uid) = (name_of(&guard), guard.meta().uid.clone());
        let before = self.uids.insert(name.clone(), uid.clone()).flatten();
        let another = before.filter(|before| uid.as_ref().is_some_and(|uid| uid != before));
        let gone = another.map(|another| News::Gone { name: name.clone(), uid: Some(another) });
        let is = match guard.0 {
            Ok(object) => News::Is(Box::new(object)),
            Err(invalid) => {
                tracing::error!(%name, kind = %K::kind(&()), error = %invalid, "this cannot be understood; left alone");
                News::Unreadable(name)
            }
        };
        gone.into_iter().chain([is]).collect()
    }

    /// An object that is gone.
    pub(super) fn gone<K: Resource<DynamicType = ()>>(&mut self, guard: &DeserializeGuard<K>) -> News<K> {
        let name = name_of(guard);
        self.uids.remove(&name);
        News::Gone { name, uid: guard.meta().uid.clone() }
    }
}

fn name_of<K: Resource<DynamicType = ()>>(guard: &DeserializeGuard<K>) -> String {
    guard.meta().name.clone().unwrap_or_default()
}
