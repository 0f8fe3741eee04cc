//! Taking the finalizer off LiveStreams whose end nobody will acknowledge any more.

use std::time::Duration;

use caudal_kubernetes::calls::{Failure, call, call_for_many};
use caudal_kubernetes::names::is_held;
use caudal_kubernetes::{LiveStream, names};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::pages::Pages;
use crate::records::{LiveStreams, MANAGER};

/// Lets go of all LiveStreams of a namespace that is being deleted; does nothing in any other. For an operator that is told to end, or has lost its lease: Kubernetes
/// deletes a namespace's pods first, and without an operator the namespace would wait for the finalizers for ever.
pub(crate) async fn if_namespace_goes(client: &Client, namespace: &str) {
    match timeout(LETTING_GO, let_go_of_all(client, namespace, || {})).await {
        Ok(Ok(None)) => {}
        Ok(Ok(Some(streams))) => {
            tracing::info!(namespace, streams, "the namespace is being deleted; let go of its LiveStreams");
        }
        Ok(Err(error)) => {
            tracing::warn!(namespace, %error, "if the namespace is being deleted, its LiveStreams may hold it up");
        }
        Err(_) => {
            tracing::warn!(
                namespace,
                "the namespace may be held up: its LiveStreams could not be let go of in time"
            );
        }
    }
}

/// The same while an operator leads; never ends. Before Kubernetes 1.33, and where its ordered deletion is off, everything in a namespace that is being
/// deleted goes in no order after five seconds: an operator that is told to end may have lost its rights by then.
pub(crate) async fn while_leading(client: Client, namespace: String, streams: LiveStreams) {
    loop {
        sleep(EACH).await;
        match let_go_of_all(&client, &namespace, || streams.namespace_goes()).await {
            Ok(None | Some(0)) => {}
            Ok(Some(streams)) => {
                tracing::info!(
                    namespace,
                    streams,
                    "the namespace is being deleted; let go of its LiveStreams"
                );
            }
            Err(error) => {
                tracing::debug!(namespace, %error, "whether the namespace is being deleted cannot be told");
            }
        }
    }
}

/// How many were let go of; none while the namespace stays. One that cannot be is said, and keeps no other. Before any is, `going` is told.
async fn let_go_of_all(
    client: &Client,
    namespace: &str,
    going: impl FnOnce(),
) -> Result<Option<usize>, Failure> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if call(namespaces.get(namespace)).await?.metadata.deletion_timestamp.is_none() {
        return Ok(None);
    }
    going();
    let streams: Api<LiveStream> = Api::namespaced(client.clone(), namespace);
    let mut held = Vec::new();
    let mut pages = Pages::default();
    while let Some(params) = pages.next() {
        let page = call_for_many(streams.list_metadata(&params)).await?;
        pages.read(page.metadata.continue_.as_deref());
        held.extend(page.items.into_iter().filter(is_held).map(|stream| stream.name_any()));
    }
    let letting_go = held.into_iter().map(|name| {
        let streams = streams.clone();
        async move {
            let outcome = let_go_of(&streams, &name, MANAGER).await;
            if let Err(error) = &outcome {
                tracing::warn!(namespace, stream = name, %error, "a LiveStream holds its namespace up: it could not be let go of");
            }
            outcome.is_ok()
        }
    });
    let outcomes: Vec<bool> = futures::stream::iter(letting_go).buffer_unordered(AT_ONCE).collect().await;
    Ok(Some(outcomes.into_iter().filter(|gone| *gone).count()))
}

/// Takes our finalizer off a LiveStream, whichever release wrote it.
pub(crate) async fn let_go_of(streams: &Api<LiveStream>, name: &str, manager: &str) -> Result<(), Failure> {
    let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    for _ in 0..TRIES {
        let found = match call(streams.get_metadata(name)).await {
            Ok(found) if is_held(&found) => found,
            Ok(_) | Err(Failure::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        match call(streams.patch_metadata(name, &params, &Patch::Merge(without_finalizer(&found)))).await {
            Ok(_) | Err(Failure::NotFound) => return Ok(()),
            // Somebody else wrote to it.
            Err(Failure::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Failure::Conflict)
}

/// A merge patch that takes our finalizer off, and fails on any other version of the resource.
pub(crate) fn without_finalizer(resource: &impl ResourceExt) -> Value {
    let others = resource.finalizers().iter().filter(|finalizer| *finalizer != names::END_FINALIZER);
    json!({ "metadata": {
        "uid": resource.uid(),
        "resourceVersion": resource.resource_version(),
        "finalizers": others.collect::<Vec<_>>(),
    }})
}

/// At the end of an operator's pod, behind all else that takes time.
pub(crate) const LETTING_GO: Duration = Duration::from_secs(18);
/// Kubernetes begins to delete what is in a namespace, the operator's rights too, five seconds after it was told to.
const EACH: Duration = Duration::from_secs(1);
/// Calls on their way.
pub(crate) const AT_ONCE: usize = 8;
/// Routers write a live stream's resource every few seconds at most.
const TRIES: u32 = 5;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use caudal_controller::{Durability, RecordStore as _};
    use caudal_kubernetes::LiveStreamSpec;
    use caudal_kubernetes::fake_server::{FakeServer, TIME, Trouble};
    use caudal_kubernetes::live_stream::Place;
    use caudal_livestream::lifecycle::Input;
    use caudal_livestream::record::Spec;
    use caudal_livestream::{StreamId, UnixMillis};

    use super::*;
    use crate::records::RecordSettings;

    #[tokio::test(start_paused = true)]
    async fn the_streams_of_a_namespace_that_is_deleted_are_let_go_of_while_an_operator_leads() {
        let server = FakeServer::new();
        server.create("namespaces", json!({ "metadata": { "name": "caudal" } }));
        let stream = StreamId::generate();
        let name = names::live_stream(stream);
        let spec = Spec { stream, ..caudal_livestream::fixtures::spec() };
        let mut resource = serde_json::to_value(LiveStream::new(&name, LiveStreamSpec::of(&spec))).unwrap();
        resource["metadata"]["finalizers"] = json!([names::END_FINALIZER]);
        server.create("livestreams", resource);
        let settings = RecordSettings {
            namespace: "caudal".to_owned(),
            wall: Arc::new(std::time::SystemTime::now),
            places: Arc::new(|_| Place::default()),
            playback: Arc::new(|_| None),
        };
        let streams = LiveStreams::new(server.client(), settings);
        streams.load().await.unwrap();
        let leading = while_leading(server.client(), "caudal".to_owned(), streams.clone());
        let held = |resource: &Value| resource["metadata"]["finalizers"] == json!([names::END_FINALIZER]);
        let told = async {
            sleep(EACH * 5).await;
            assert!(
                held(&server.get("livestreams", &name).unwrap()),
                "its namespace stays, and its end is awaited"
            );
            server.change("namespaces", "caudal", |namespace| {
                namespace["metadata"]["deletionTimestamp"] = json!(TIME);
            });
            sleep(EACH * 2).await;
            assert!(!held(&server.get("livestreams", &name).unwrap()));
            // The broadcast goes on, and what is written of it puts nothing back.
            let mut stored = streams.load().await.unwrap().pop().unwrap();
            stored.record.machine.handle(UnixMillis(0), Input::Tick);
            streams.store(&stored.record, &stored.version, Durability::Synced).await.unwrap();
            assert!(!held(&server.get("livestreams", &name).unwrap()));
        };
        tokio::select! {
            () = leading => panic!("it never ends"),
            () = told => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_be_let_go_of_keeps_no_other_in_a_namespace_that_goes() {
        let server = FakeServer::new();
        server.create("namespaces", json!({ "metadata": { "name": "caudal" } }));
        for name in ["s-1", "s-2", "s-3"] {
            let held = json!({ "metadata": { "name": name, "finalizers": [names::END_FINALIZER] } });
            server.create("livestreams", held);
        }
        let held = || {
            ["s-1", "s-2", "s-3"].map(|name| {
                server.get("livestreams", name).unwrap()["metadata"]["finalizers"]
                    == json!([names::END_FINALIZER])
            })
        };
        if_namespace_goes(&server.client(), "caudal").await;
        assert_eq!(held(), [true; 3], "it stays");
        server.change("namespaces", "caudal", |namespace| {
            namespace["metadata"]["deletionTimestamp"] = json!(TIME);
        });
        server.trouble("PATCH livestreams/s-1", Trouble::Answer(422, "Invalid"));
        if_namespace_goes(&server.client(), "caudal").await;
        assert_eq!(held(), [true, false, false]);
    }
}
