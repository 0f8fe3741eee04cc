//! Writes Events: one for each thing that is said, which counts how often it was said again.
//!
//! kube's own recorder counts whatever has the same reason, so that the second move of a broadcast would read as the first one.

use std::collections::HashMap;

use caudal_kubernetes::calls::{Failure, call_later};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event as Written, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, ResourceExt as _};
use serde_json::json;

/// The Events that an operator has written lately.
pub(super) struct Journal {
    api: Api<Written>,
    /// The operator's pod.
    instance: String,
    lately: HashMap<Said, Entry>,
}

/// What was said, and about what.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Said {
    about: String,
    uid: Option<String>,
    reason: String,
    note: String,
}

struct Entry {
    name: String,
    times: i32,
    last: Timestamp,
}

impl Journal {
    pub(super) fn new(api: Api<Written>, instance: String) -> Self {
        Self { api, instance, lately: HashMap::new() }
    }

    /// # Errors
    /// [`Failure`]; then it was not written, or nobody knows.
    pub(super) async fn write(&mut self, event: Event, about: ObjectReference) -> Result<(), Failure> {
        let now = Timestamp::now();
        self.lately
            .retain(|_, entry| now.as_second().saturating_sub(entry.last.as_second()) < LATELY_SECONDS);
        let said = Said {
            about: about.name.clone().unwrap_or_default(),
            uid: about.uid.clone(),
            reason: event.reason.clone(),
            note: event.note.clone().unwrap_or_default(),
        };
        if let Some(entry) = self.lately.get_mut(&said) {
            match again(&self.api, entry, now).await {
                // Somebody has removed it.
                Err(Failure::NotFound) => {}
                done => return done,
            }
        }
        let written = self.written(event, about, now);
        let written = call_later(self.api.create(&PostParams::default(), &written)).await?;
        self.lately.insert(said, Entry { name: written.name_any(), times: 1, last: now });
        Ok(())
    }

    fn written(&self, event: Event, about: ObjectReference, now: Timestamp) -> Written {
        Written {
            metadata: ObjectMeta {
                namespace: about.namespace.clone(),
                // A name that begins like that is valid by itself, as the server wants it.
                generate_name: Some(format!("{}-", about.name.as_deref().unwrap_or("caudal"))),
                ..ObjectMeta::default()
            },
            action: Some(event.action),
            reason: Some(event.reason),
            note: event.note,
            type_: Some(match event.type_ {
                EventType::Normal => "Normal".to_owned(),
                EventType::Warning => "Warning".to_owned(),
            }),
            regarding: Some(about),
            related: event.secondary,
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Written::default()
        }
    }
}

async fn again(api: &Api<Written>, entry: &mut Entry, now: Timestamp) -> Result<(), Failure> {
    let times = entry.times.saturating_add(1);
    let series = EventSeries { count: times, last_observed_time: MicroTime(now) };
    let patch = Patch::Merge(json!({ "series": series }));
    call_later(api.patch(&entry.name, &PatchParams::default(), &patch)).await?;
    (entry.times, entry.last) = (times, now);
    Ok(())
}

const CONTROLLER: &str = "caudal.dev/operator";
/// Kubernetes takes what has not happened for so long for over.
const LATELY_SECONDS: i64 = 360;
