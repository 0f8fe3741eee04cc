//! Asks the API server. Only reads, never a Secret; each call has a deadline, and each list and log a length. What the caller has no right
//! to is said by name, and the rest is looked at all the same.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use caudal_kubernetes::names::{LEASE, STATE_LABEL, STREAM_LABEL};
use caudal_kubernetes::{LiveStream, WorkerPool, calls, names};
use http::{HeaderMap, Request, header};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod, ResourceQuota, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822;
use kube::api::{ListParams, LogParams};
use kube::client::Body;
use kube::core::DeserializeGuard;
use kube::{Api, Client, Error, Resource, ResourceExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::diagnosis::Report;
use crate::facts::{
    API, COMPONENT_LABEL, EDGE, Facts, Looked, OPERATOR, ROUTER, Target, UNKNOWN_RESOURCE, Unreadable,
    Unseen, seen,
};
use crate::log_line::LogLine;
use crate::pod_trouble::is_ready;

/// Looks at a namespace, or at the one that the kubeconfig names.
///
/// # Errors
/// A report that says so, when the API server cannot be asked anything. It is given four seconds to answer, once there are credentials.
pub async fn gather(namespace: Option<&str>, target: Target) -> Result<Facts, Box<Report>> {
    let blind = |why: String| Box::new(Report::blind(namespace.unwrap_or_default(), &why));
    // No deadline holds a plug-in of the kubeconfig that fetches a token: it is waited for without yielding.
    let client = calls::client().await.map_err(|error| blind(error.to_string()))?;
    let namespace = namespace.unwrap_or(client.default_namespace()).to_owned();
    look(client, &namespace, target).await
}

/// The same with a client that is there.
///
/// # Errors
/// As of [`gather`].
pub async fn look(client: Client, namespace: &str, target: Target) -> Result<Facts, Box<Report>> {
    let blind = |why: String| Box::new(Report::blind(namespace, &why));
    let now = match timeout(FIRST_ANSWER, clock(&client)).await {
        Ok(Ok(now)) => now,
        Ok(Err(why)) => return Err(blind(why)),
        Err(_) => {
            return Err(blind(format!("the API server does not answer within {} s", FIRST_ANSWER.as_secs())));
        }
    };
    let look = Look { client, namespace: namespace.to_owned() };
    Ok(Box::pin(look.at(now, target)).await)
}

/// What time it is by the API server's clock, and by ours where it does not say.
async fn clock(client: &Client) -> Result<Timestamp, String> {
    let request = Request::get("/version").body(Body::empty()).map_err(|error| error.to_string())?;
    let answer = client
        .send(request)
        .await
        .map_err(|error| format!("the API server cannot be reached: {}", chain(&error)))?;
    if answer.status() == http::StatusCode::UNAUTHORIZED {
        return Err("the API server does not know who you are (401): your kubeconfig's credentials are not valid, or no longer".to_owned());
    }
    Ok(date(answer.headers()).unwrap_or_else(Timestamp::now))
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    Some(rfc2822::parse(headers.get(header::DATE)?.to_str().ok()?).ok()?.timestamp())
}

/// An error with what it came from: the last cause is what somebody can do something about.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        cause = error.source();
    }
    words
}

/// One namespace, seen with one person's rights.
struct Look {
    client: Client,
    namespace: String,
}

/// A list, and whether there was more of it.
type Listed<T> = Looked<(Vec<T>, bool)>;

impl Look {
    async fn at(&self, now: Timestamp, target: Target) -> Facts {
        let all = ListParams::default();
        let ours = ListParams::default().labels("app.kubernetes.io/name=caudal");
        let warnings = ListParams::default().fields("type=Warning");
        let guarded: Api<DeserializeGuard<LiveStream>> = self.api();
        let (pools, pods, deployments) =
            (self.api::<WorkerPool>(), self.api::<Pod>(), self.api::<Deployment>());
        let (events, claims) = (self.api::<Event>(), self.api::<PersistentVolumeClaim>());
        let (quotas, policies) = (self.api::<ResourceQuota>(), self.api::<NetworkPolicy>());
        let services = self.api::<Service>();
        let (
            definitions,
            streams,
            own,
            pools,
            pods,
            deployments,
            events,
            claims,
            services,
            quotas,
            policies,
            lease,
        ) = tokio::join!(
            self.definitions(),
            list("livestreams.caudal.dev", &guarded, all.clone()),
            self.asked(&guarded, &target),
            list("workerpools.caudal.dev", &pools, all.clone()),
            list("pods", &pods, ours.clone()),
            list("deployments.apps", &deployments, ours.clone()),
            list("events", &events, warnings),
            list("persistentvolumeclaims", &claims, all.clone()),
            list("services", &services, ours),
            list("resourcequotas", &quotas, all.clone()),
            list("networkpolicies.networking.k8s.io", &policies, all),
            self.lease(),
        );
        let mut cut_short = Vec::new();
        let streams = take(streams, "livestreams.caudal.dev", &mut cut_short);
        let own = own.unwrap_or_else(|unseen| {
            // A whole list holds them too.
            if streams.is_err() || !cut_short.is_empty() {
                cut_short.push(unseen);
            }
            Vec::new()
        });
        let (streams, unreadable) = readable(streams, own);
        let mut facts = Facts {
            now,
            namespace: self.namespace.clone(),
            target,
            definitions,
            streams,
            unreadable,
            pools: take(pools, "workerpools.caudal.dev", &mut cut_short),
            pods: take(pods, "pods", &mut cut_short),
            deployments: take(deployments, "deployments.apps", &mut cut_short),
            warnings: take(events, "events", &mut cut_short),
            claims: take(claims, "persistentvolumeclaims", &mut cut_short),
            services: take(services, "services", &mut cut_short),
            quotas: take(quotas, "resourcequotas", &mut cut_short),
            policies: take(policies, "networkpolicies.networking.k8s.io", &mut cut_short),
            lease,
            logs: BTreeMap::new(),
            cut_short,
        };
        self.own_pods(&mut facts).await;
        let (logs, unread) = self.logs(&facts).await;
        facts.logs = logs;
        facts.cut_short.extend(unread);
        facts
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn definitions(&self) -> Looked<Vec<CustomResourceDefinition>> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let get = async |plural: &str| {
            let name = format!("{plural}.{}", names::GROUP);
            let attempt = format!("get customresourcedefinitions.apiextensions.k8s.io {name}");
            asked(&attempt, api.get_opt(&name)).await
        };
        let (streams, pools) = tokio::join!(get("livestreams"), get("workerpools"));
        Ok([streams?, pools?].into_iter().flatten().collect())
    }

    async fn lease(&self) -> Looked<Option<Lease>> {
        let attempt = format!("get leases.coordination.k8s.io {LEASE}");
        asked(&attempt, self.api::<Lease>().get_opt(LEASE)).await
    }

    /// The broadcasts that are asked about, which a long list may not hold.
    async fn asked(
        &self,
        api: &Api<DeserializeGuard<LiveStream>>,
        target: &Target,
    ) -> Looked<Vec<DeserializeGuard<LiveStream>>> {
        match target {
            Target::Installation => Ok(Vec::new()),
            Target::Stream(stream) => {
                let name = names::live_stream(*stream);
                let attempt = format!("get livestreams.caudal.dev {name}");
                Ok(asked(&attempt, api.get_opt(&name)).await?.into_iter().collect())
            }
            Target::Channel(channel) => {
                let params = ListParams::default().fields(&format!("spec.channel={channel}"));
                list("livestreams.caudal.dev", api, params).await.map(|(found, _)| found)
            }
        }
    }

    /// The pods of the broadcast that is asked about, where the list of all was cut short.
    async fn own_pods(&self, facts: &mut Facts) {
        let Some(stream) = facts.stream().filter(|_| !facts.cut_short.is_empty()) else { return };
        let params = ListParams::default().labels(&format!("{STREAM_LABEL}={}", stream.spec.stream));
        let own = list("pods", &self.api::<Pod>(), params).await;
        match (&mut facts.pods, own) {
            (Ok(pods), Ok((own, _))) => {
                let known: Vec<_> = pods.iter().map(ResourceExt::uid).collect();
                pods.extend(own.into_iter().filter(|pod| !known.contains(&pod.uid())));
            }
            (Ok(_), Err(unseen)) => facts.cut_short.push(unseen),
            // Said already.
            (Err(_), _) => {}
        }
    }

    /// The logs that may say something: of routers, who was refused; of operators, workers and apis, what they complain of; of edges,
    /// why they do not run.
    async fn logs(&self, facts: &Facts) -> (BTreeMap<String, Looked<Vec<LogLine>>>, Vec<Unseen>) {
        let mut unread = Vec::new();
        let own = facts.stream().map(|stream| stream.spec.stream.to_string());
        let own = |pod: &&Pod| pod.labels().get(STREAM_LABEL).is_some_and(|of| Some(of) == own.as_ref());
        let workers = || seen(&facts.pods).iter().filter(|pod| pod.labels().contains_key(STATE_LABEL));
        let failing = facts.pods_of(EDGE).into_iter().filter(|pod| !is_ready(pod)).take(FEW);
        let idle = workers().filter(|pod| !pod.labels().contains_key(STREAM_LABEL)).collect();
        let chosen = few("routers", facts.pods_of(ROUTER), &mut unread)
            .chain(few("operators", facts.pods_of(OPERATOR), &mut unread))
            .chain(few("apis", facts.pods_of(API), &mut unread))
            .chain(few("its workers", workers().filter(own).collect(), &mut unread))
            .chain(few("workers that wait", idle, &mut unread))
            .chain(failing);
        let mut reading = JoinSet::new();
        for pod in chosen {
            let Some(run) = run(pod) else { continue };
            let (api, name) = (self.api::<Pod>(), pod.name_any());
            reading.spawn(async move {
                let params = LogParams {
                    container: Some(run.container),
                    previous: run.before,
                    tail_lines: Some(LOG_LINES),
                    limit_bytes: Some(LOG_BYTES),
                    ..LogParams::default()
                };
                let text = asked(&format!("get pods/log of {name}"), api.logs(&name, &params)).await;
                (name, text.map(|text| text.lines().map(LogLine::read).collect()))
            });
        }
        (reading.join_all().await.into_iter().collect(), unread)
    }
}

/// The first few of the pods; that there are more is noted.
fn few<'a>(
    whose: &str,
    pods: Vec<&'a Pod>,
    unread: &mut Vec<Unseen>,
) -> impl Iterator<Item = &'a Pod> + use<'a> {
    if pods.len() > FEW {
        let attempt = format!("read the logs of all {whose}");
        unread.push(Unseen { attempt, why: format!("there are {}, and {FEW} are read", pods.len()) });
    }
    pods.into_iter().take(FEW)
}

/// A container that wrote a log.
struct Run {
    container: String,
    /// It is about to be started again; what it said last is in the log of the run before.
    before: bool,
}

fn run(pod: &Pod) -> Option<Run> {
    let all = pod.status.as_ref()?.container_statuses.as_ref()?;
    // Others may be a service mesh's.
    let component = pod.labels().get(COMPONENT_LABEL);
    let container = all.iter().find(|one| Some(&one.name) == component).or(all.first())?;
    let state = container.state.as_ref()?;
    let runs = state.running.is_some() || state.terminated.is_some();
    let before = !runs && container.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    (runs || before).then(|| Run { container: container.name.clone(), before })
}

async fn list<K>(what: &str, api: &Api<K>, params: ListParams) -> Listed<K>
where
    K: Clone + serde::de::DeserializeOwned + Debug,
{
    let listed = asked(&format!("list {what}"), api.list(&params.limit(MOST))).await?;
    let more = listed.metadata.continue_.is_some_and(|more| !more.is_empty());
    Ok((listed.items, more))
}

/// The list; that there was more of it is noted.
fn take<T>(listed: Listed<T>, what: &str, cut_short: &mut Vec<Unseen>) -> Looked<Vec<T>> {
    let (items, more) = listed?;
    if more {
        cut_short.push(Unseen {
            attempt: format!("look at all {what}"),
            why: format!("there are more than {MOST}"),
        });
    }
    Ok(items)
}

/// One call, within its deadline.
async fn asked<T>(attempt: &str, call: impl Future<Output = Result<T, Error>>) -> Looked<T> {
    let why = match timeout(DEADLINE, call).await {
        Ok(Ok(answer)) => return Ok(answer),
        // A list has no object that could be missing.
        Ok(Err(Error::Api(status))) if status.code == 404 && attempt.starts_with("list ") => {
            UNKNOWN_RESOURCE.to_owned()
        }
        Ok(Err(Error::Api(status))) => status.message.clone(),
        Ok(Err(error)) => chain(&error),
        Err(_) => format!("no answer within {} s", DEADLINE.as_secs()),
    };
    Err(Unseen { attempt: attempt.to_owned(), why })
}

/// Those that this release understands, each once, and the others by name.
fn readable(
    listed: Looked<Vec<DeserializeGuard<LiveStream>>>,
    own: Vec<DeserializeGuard<LiveStream>>,
) -> (Looked<Vec<LiveStream>>, Vec<Unreadable>) {
    let listed = match listed {
        Ok(listed) => listed,
        // Whoever may get one and not list them still hears of it.
        Err(unseen) if own.is_empty() => return (Err(unseen), Vec::new()),
        Err(_) => Vec::new(),
    };
    let (mut streams, mut unreadable) = (BTreeMap::new(), BTreeMap::new());
    for DeserializeGuard(found) in listed.into_iter().chain(own) {
        match found {
            Ok(mut stream) => {
                // Somebody may have written over what people read.
                stream.straighten();
                streams.insert(stream.name_any(), stream);
            }
            Err(invalid) => {
                let name = invalid.metadata.name.clone().unwrap_or_default();
                unreadable.insert(name.clone(), Unreadable { name, why: invalid.error });
            }
        }
    }
    (Ok(streams.into_values().collect()), unreadable.into_values().collect())
}

/// A dead API server is said within five seconds of having credentials.
const FIRST_ANSWER: Duration = Duration::from_secs(4);
/// Of a call to a server that answers.
const DEADLINE: Duration = Duration::from_secs(5);
/// Of one kind: a platform with a thousand broadcasts is looked at in part, which is said.
const MOST: u32 = 1_000;
/// Replicas of a role whose logs are read.
const FEW: usize = 4;
const LOG_LINES: i64 = 400;
const LOG_BYTES: i64 = 512 * 1024;

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[tokio::test]
    async fn a_list_that_is_not_found_is_of_an_unknown_resource_and_an_object_is_just_not_there() {
        let gone = async || -> Result<(), Error> {
            Err(Error::Api(Box::new(Status::failure("pods \"w\" not found", "NotFound").with_code(404))))
        };
        let why = async |attempt| asked(attempt, gone()).await.unwrap_err().why;
        assert_eq!(why("list livestreams.caudal.dev").await, UNKNOWN_RESOURCE);
        assert_eq!(why("get pods/log of w").await, "pods \"w\" not found");
    }

    #[test]
    fn logs_that_are_not_read_are_said() {
        let pods = vec![Pod::default(); FEW + 1];
        for (count, said) in [(FEW, 0), (FEW + 1, 1)] {
            let mut unread = Vec::new();
            let read = few("routers", pods.iter().take(count).collect(), &mut unread).count();
            assert_eq!((read, unread.len()), (FEW, said), "{count}");
        }
    }

    #[test]
    fn the_log_that_is_read_is_the_components() {
        let state = serde_json::json!({ "running": {} });
        let one = |name: &str| serde_json::json!({ "name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state });
        let pod = serde_json::json!({
            "metadata": { "labels": { COMPONENT_LABEL: "api" } }, "status": { "containerStatuses": [one("a-proxy"), one("api")] },
        });
        assert_eq!(run(&serde_json::from_value(pod).unwrap()).unwrap().container, "api");
    }
}
