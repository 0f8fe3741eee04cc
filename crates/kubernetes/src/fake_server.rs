//! An API server of this process for tests, as far as operator and directory use one: versions, uids, preconditions, finalizers, the status
//! subresource, lists and watches, and awkward answers on demand.

#![allow(
    clippy::indexing_slicing,
    clippy::new_without_default,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "the helpers of tests fail as tests do"
)]

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use futures::{Stream, StreamExt as _};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

#[derive(Clone)]
pub struct FakeServer {
    state: Arc<Mutex<State>>,
    grown: watch::Sender<u64>,
    /// Answers nothing but that, and has closed its watches.
    away: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// By kind and name.
    objects: BTreeMap<(String, String), Value>,
    /// What watches tell: version, kind, and the event.
    history: Vec<(u64, String, Value)>,
    version: u64,
    requests: Vec<String>,
    troubles: Vec<(String, Trouble)>,
}

/// What happens to the next request whose line holds certain words.
pub enum Trouble {
    /// It is refused so, and not done.
    Answer(u16, &'static str),
    /// It is not answered, nor done.
    Silence,
    /// It is done, and not answered.
    AnswerLost,
    /// Somebody changes the object just before.
    Overtaken(fn(&mut Value)),
    /// The watch is answered, and told of nothing.
    Deaf,
    /// The object vanishes just before.
    Vanished,
}

struct Asked {
    method: Method,
    kind: String,
    name: Option<String>,
    status: bool,
    query: HashMap<String, String>,
    metadata_only: bool,
    body: Value,
}

impl FakeServer {
    pub fn new() -> Self {
        Self { state: Arc::default(), grown: watch::Sender::new(0), away: watch::Sender::new(false) }
    }

    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "caudal")
    }

    /// From now on it answers nothing, and its watches end.
    pub fn go_away(&self) {
        self.away.send_replace(true);
    }

    /// It answers again, as it was.
    pub fn come_back(&self) {
        self.away.send_replace(false);
    }

    /// Somebody else creates this, status and all.
    pub fn create(&self, kind: &str, object: Value) -> Value {
        let mut state = self.state();
        let created = state.created(kind, object);
        drop(state);
        self.told();
        created
    }

    /// Somebody else changes this.
    pub fn change(&self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut state = self.state();
        let mut object = state.get(kind, name).unwrap();
        change(&mut object);
        let changed = state.put(kind, object);
        drop(state);
        self.told();
        changed
    }

    /// It vanishes, whatever its finalizers say.
    pub fn vanish(&self, kind: &str, name: &str) {
        self.state().remove(kind, name);
        self.told();
    }

    /// Its database is as in a backup that was made at this version, as far as versions go.
    pub fn restore(&self, version: u64) {
        let mut state = self.state();
        state.version = version;
        for object in state.objects.values_mut() {
            object["metadata"]["resourceVersion"] = json!(version.to_string());
        }
    }

    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.state().get(kind, name)
    }

    pub fn trouble(&self, words: &str, trouble: Trouble) {
        self.state().troubles.push((words.to_owned(), trouble));
    }

    /// The requests that changed something, or tried to: `PATCH livestreams/s-1/status`.
    pub fn writes(&self) -> Vec<String> {
        let state = self.state();
        state
            .requests
            .iter()
            .filter(|line| !line.starts_with("GET") && !line.starts_with("WATCH"))
            .cloned()
            .collect()
    }

    /// How often this was asked.
    pub fn reads(&self, line: &str) -> usize {
        self.state().requests.iter().filter(|asked| *asked == line).count()
    }

    pub fn forget_requests(&self) {
        self.state().requests.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn told(&self) {
        let version = self.state().version;
        self.grown.send_replace(version);
    }

    async fn answer(&self, request: Request<kube::client::Body>) -> Response<Body> {
        let asked = Asked::read(request).await;
        if *self.away.borrow() {
            return failure(503, "ServiceUnavailable");
        }
        let line = asked.line();
        let trouble = {
            let mut state = self.state();
            state.requests.push(line.clone());
            let at = state.troubles.iter().position(|(words, _)| line.contains(words.as_str()));
            at.map(|at| state.troubles.remove(at).1)
        };
        match trouble {
            Some(Trouble::Answer(code, reason)) => return failure(code, reason),
            Some(Trouble::Silence) => std::future::pending().await,
            Some(Trouble::AnswerLost) => {
                let _ = self.carry_out(&asked);
                return std::future::pending().await;
            }
            Some(Trouble::Overtaken(change)) => {
                let name = asked.name.clone().unwrap();
                self.change(&asked.kind, &name, change);
            }
            Some(Trouble::Vanished) => {
                let name = asked.name.clone().unwrap();
                self.vanish(&asked.kind, &name);
            }
            Some(Trouble::Deaf) => return lines(futures::stream::pending()),
            None => {}
        }
        self.carry_out(&asked)
    }

    fn carry_out(&self, asked: &Asked) -> Response<Body> {
        if asked.is_watch() {
            return self.watch(asked);
        }
        let outcome = self.state().carry_out(asked);
        self.told();
        match outcome {
            Ok(object) => json_answer(StatusCode::OK, &object),
            Err((code, reason)) => failure(code, reason),
        }
    }

    fn watch(&self, asked: &Asked) -> Response<Body> {
        let from: u64 = asked.query.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
        let kind = asked.kind.clone();
        let state = Arc::clone(&self.state);
        let grown = self.grown.subscribe();
        let mut away = self.away.subscribe();
        let gone = async move {
            let _ = away.wait_for(|away| *away).await;
        };
        let changes = futures::stream::unfold((from, grown), move |(from, mut grown)| {
            let (state, kind) = (Arc::clone(&state), kind.clone());
            async move {
                loop {
                    grown.borrow_and_update();
                    let (upto, lines) = {
                        let state = state.lock().unwrap();
                        let new =
                            state.history.iter().filter(|(version, of, _)| *version > from && *of == kind);
                        let lines =
                            new.fold(String::new(), |lines, (_, _, event)| lines + &event.to_string() + "\n");
                        (state.version, lines)
                    };
                    if !lines.is_empty() {
                        return Some((Ok::<_, Infallible>(lines), (upto, grown)));
                    }
                    grown.changed().await.ok()?;
                }
            }
        });
        lines(changes.take_until(Box::pin(gone)))
    }
}

fn lines(lines: impl Stream<Item = Result<String, Infallible>> + Send + 'static) -> Response<Body> {
    Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from_stream(lines))
        .unwrap()
}

impl State {
    fn carry_out(&mut self, asked: &Asked) -> Result<Value, (u16, &'static str)> {
        let kind = asked.kind.as_str();
        let Some(name) = asked.name.as_deref() else {
            return if asked.method == Method::POST {
                let name = asked.body["metadata"]["name"].as_str().unwrap().to_owned();
                if self.get(kind, &name).is_some() {
                    return Err((409, "AlreadyExists"));
                }
                let mut object = asked.body.clone();
                object.as_object_mut().unwrap().remove("status");
                Ok(self.created(kind, object))
            } else {
                Ok(self.list(asked))
            };
        };
        let mut object = self.get(kind, name).ok_or((404, "NotFound"))?;
        match asked.method {
            Method::GET => Ok(object),
            Method::PUT => {
                guard(&asked.body["metadata"], &object)?;
                if asked.status {
                    object["status"] = asked.body["status"].clone();
                } else {
                    object = asked.body.clone();
                }
                Ok(self.put(kind, object))
            }
            Method::PATCH => {
                guard(&asked.body["metadata"], &object)?;
                let mut patch = asked.body.clone();
                let version = object["metadata"]["resourceVersion"].clone();
                if asked.status {
                    patch = json!({ "status": patch["status"] });
                } else {
                    patch.as_object_mut().unwrap().remove("status");
                }
                merge(&mut object, &patch);
                object["metadata"]["resourceVersion"] = version;
                let leaving = object["metadata"]["deletionTimestamp"].is_string();
                if leaving && !has_finalizers(&object) && kind != "pods" {
                    return Ok(self.remove(kind, name));
                }
                Ok(self.put(kind, object))
            }
            Method::DELETE => {
                guard(
                    &json!({
                        "uid": asked.body["preconditions"]["uid"],
                        "resourceVersion": asked.body["preconditions"]["resourceVersion"],
                    }),
                    &object,
                )?;
                // A pod whose process runs ends in its own time.
                let stays = has_finalizers(&object) || object["status"]["phase"] == "Running";
                if !stays {
                    return Ok(self.remove(kind, name));
                }
                object["metadata"]["deletionTimestamp"] = json!(TIME);
                Ok(self.put(kind, object))
            }
            _ => panic!("{}", asked.line()),
        }
    }

    fn list(&self, asked: &Asked) -> Value {
        let selector = asked.query.get("labelSelector").cloned().unwrap_or_default();
        let selected = |object: &&Value| match selector.split_once('=') {
            Some((key, value)) => object["metadata"]["labels"][key] == value.trim_start_matches('='),
            None => selector.is_empty() || object["metadata"]["labels"][selector.as_str()].is_string(),
        };
        let of_kind =
            self.objects.iter().filter(|((kind, _), _)| *kind == asked.kind).map(|(_, object)| object);
        let items = of_kind.filter(selected).map(|object| {
            if asked.metadata_only { json!({ "metadata": object["metadata"] }) } else { object.clone() }
        });
        json!({
            "kind": "List",
            "apiVersion": "v1",
            "metadata": { "resourceVersion": self.version.to_string() },
            "items": items.collect::<Vec<_>>(),
        })
    }

    fn get(&self, kind: &str, name: &str) -> Option<Value> {
        self.objects.get(&(kind.to_owned(), name.to_owned())).cloned()
    }

    fn created(&mut self, kind: &str, mut object: Value) -> Value {
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(uuid::Uuid::new_v4());
        }
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = json!(TIME);
        }
        metadata["generation"] = json!(1);
        self.put(kind, object)
    }

    fn put(&mut self, kind: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = (kind.to_owned(), object["metadata"]["name"].as_str().unwrap().to_owned());
        let before = self.objects.insert(key, object.clone());
        let event = if before.is_none() { "ADDED" } else { "MODIFIED" };
        self.history.push((self.version, kind.to_owned(), json!({ "type": event, "object": object })));
        object
    }

    fn remove(&mut self, kind: &str, name: &str) -> Value {
        self.version += 1;
        let mut object = self.objects.remove(&(kind.to_owned(), name.to_owned())).unwrap();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push((self.version, kind.to_owned(), json!({ "type": "DELETED", "object": object })));
        object
    }
}

impl Asked {
    async fn read(request: Request<kube::client::Body>) -> Self {
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await.unwrap();
        let mut path: Vec<&str> = parts.uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let namespace = path.iter().position(|part| *part == "namespaces");
        // What belongs to no namespace: `/api/v1/nodes`, `/version`, and a namespace itself.
        let kind_at = match namespace {
            Some(at) if path.len() > at + 2 => at + 2,
            Some(at) => at,
            None => path.len() - 1,
        };
        let mut rest = path.split_off(kind_at).into_iter();
        let kind = rest.next().unwrap().to_owned();
        let name = rest.next().map(str::to_owned);
        let pairs = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let plain = |text: &str| text.replace("%2F", "/").replace("%3D", "=");
        let accept =
            parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        Self {
            metadata_only: accept.contains("PartialObjectMetadata"),
            status: rest.next() == Some("status"),
            method: parts.method,
            kind,
            name,
            query: pairs.map(|(key, value)| (key.to_owned(), plain(value))).collect(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    fn is_watch(&self) -> bool {
        self.query.get("watch").is_some_and(|watch| watch == "true")
    }

    /// As in `PATCH livestreams/s-1/status`; a watch is no `GET`.
    fn line(&self) -> String {
        if self.is_watch() {
            return format!("WATCH {}", self.kind);
        }
        let name = self.name.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        format!("{} {}{name}{}", self.method, self.kind, if self.status { "/status" } else { "" })
    }
}

fn guard(wanted: &Value, object: &Value) -> Result<(), (u16, &'static str)> {
    let fits = |field: &str| wanted[field].is_null() || wanted[field] == object["metadata"][field];
    if fits("uid") && fits("resourceVersion") { Ok(()) } else { Err((409, "Conflict")) }
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
}

/// RFC 7396.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key.as_str()], value);
        }
    }
}

fn failure(code: u16, reason: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason, "metadata": {},
    });
    json_answer(StatusCode::from_u16(code).unwrap(), &status)
}

fn json_answer(code: StatusCode, value: &Value) -> Response<Body> {
    Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(value.to_string()))
        .unwrap()
}

/// When everything is created.
pub const TIME: &str = "2027-01-15T08:00:00Z";
