//! What a watch has told of, by name.

use std::collections::HashSet;

use kube::Resource;
use kube::core::DeserializeGuard;

use super::News;

#[derive(Debug, Default)]
pub(super) struct Told {
    names: HashSet<String>,
    /// While everything is listed anew: what was listed so far.
    listed: Option<HashSet<String>>,
}

impl Told {
    /// A list begins, perhaps again.
    pub(super) fn begin(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// An object of the list.
    pub(super) fn listed<K: Resource<DynamicType = ()>>(&mut self, guard: DeserializeGuard<K>) -> News<K> {
        if let Some(listed) = &mut self.listed {
            listed.insert(name_of(&guard));
        }
        self.is(guard)
    }

    /// The list is whole. The names that were told and are not in it.
    pub(super) fn end(&mut self) -> Vec<String> {
        let Some(listed) = self.listed.take() else { return Vec::new() };
        let gone = self.names.difference(&listed).cloned().collect();
        self.names = listed;
        gone
    }

    /// An object as it is now.
    pub(super) fn is<K: Resource<DynamicType = ()>>(&mut self, guard: DeserializeGuard<K>) -> News<K> {
        let name = name_of(&guard);
        self.names.insert(name.clone());
        match guard.0 {
            Ok(object) => News::Is(Box::new(object)),
            Err(invalid) => {
                tracing::error!(%name, kind = %K::kind(&()), error = %invalid, "this cannot be understood; left alone");
                News::Unreadable(name)
            }
        }
    }

    /// An object that is gone, by its name.
    pub(super) fn gone<K: Resource<DynamicType = ()>>(&mut self, guard: &DeserializeGuard<K>) -> String {
        let name = name_of(guard);
        self.names.remove(&name);
        name
    }
}

fn name_of<K: Resource<DynamicType = ()>>(guard: &DeserializeGuard<K>) -> String {
    guard.meta().name.clone().unwrap_or_default()
}
