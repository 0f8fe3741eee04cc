//! A running api, and people who use it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use caudal_api::{
    Broadcasts, Config, DatabaseUse, Deadlines, Limits, PublicUrls, RegistrationMode, Secrets,
    SocketIoPolling, TrustedProxies, WebhookHosts,
};
use caudal_directory::LocalAudience;
use caudal_livestream::admission::{
    AuthorizeRequest, Authorized, Denied, LadderRung, LatencyMode, SecondPublisher, StreamKey,
};
use caudal_livestream::{SessionId, StreamId};
use caudal_service::health::Readiness;
use caudal_service::internal::{CallerKey, SIGNATURE_HEADER, Signer, Verifier};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::contract::{self, Asked};
use crate::database::TestDatabase;
use crate::lifecycle::Lifecycle;

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) const JWT_SECRET: &str = "jwt secret of the tests, 32 bytes";

/// What the api signs with.
pub(crate) fn api_key() -> CallerKey {
    CallerKey::new(*b"api 56789abcdef0123456789abcdef0")
}

pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) internal_url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) database: Arc<TestDatabase>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) audience: Arc<LocalAudience>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), caudal_api::StartError>>,
    router: Signer,
    controller: Signer,
    edge: Signer,
    _stop: DropGuard,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::replica(Arc::new(TestDatabase::create().await), change).await
    }

    /// On a database that others use too.
    pub(crate) async fn replica(database: Arc<TestDatabase>, change: impl FnOnce(&mut Config)) -> Self {
        caudal_service::install_crypto();
        let (lifecycle, audience) = (Lifecycle::new(), Arc::new(LocalAudience::default()));
        let readiness = Readiness::default();
        let router = CallerKey::new(*b"router 0123456789abcdef012345678");
        let controller = CallerKey::new(*b"controller 6789abcdef01234567890");
        let edge = CallerKey::new(*b"edge 6789abcdef0123456789abcdef0");
        let public = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let internal = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", public.local_addr().unwrap());
        let internal_url = format!("http://{}", internal.local_addr().unwrap());
        let mut config = Config {
            public,
            internal,
            database_url: database.url.clone().into(),
            database_connections: 8,
            database_use: DatabaseUse::Shared,
            redis_url: None,
            mail: None,
            secrets: Secrets {
                jwt: JWT_SECRET.into(),
                other_jwt: Vec::new(),
                stream_key_pepper: "pepper of the tests, at least 32 b".into(),
                stream_key_encryption: vec![("1".into(), "encryption key of the tests, 32 b".into())],
            },
            callers: Verifier::new()
                .allow("ingest-router", router.clone())
                .allow("controller", controller.clone())
                .allow("hls-edge", edge.clone()),
            signer: Signer::new("api", api_key()),
            urls: PublicUrls {
                api: "http://localhost:3000".into(),
                hls: "http://media.test:8000".into(),
                rtmp: "rtmp://live.test:1935/live".into(),
            },
            cors_origins: vec!["https://friend.test".parse().unwrap()],
            socket_io_polling: SocketIoPolling::Auto,
            webhook_hosts: WebhookHosts::default(),
            trusted_proxies: TrustedProxies::default(),
            rtmp_door: None,
            control: Arc::clone(&lifecycle) as _,
            audience: Arc::clone(&audience) as _,
            web: None,
            pictures: None,
            billing: None,
            broadcasts: Broadcasts {
                pool: None,
                ladder: vec![LadderRung { name: "480p".parse().unwrap(), height: 480, bitrate: 1_200_000 }],
                policy: SecondPublisher::Reject,
                latency_mode: LatencyMode::Low,
                record: true,
            },
            registration: RegistrationMode::Open,
            // All tests come from one address.
            limits: Limits { requests_a_minute: 1_000_000, attempts_a_minute: 1_000_000 },
            deadlines: Deadlines { sweep: Duration::from_millis(100), ..Deadlines::default() },
            registry: prometheus::Registry::new(),
            readiness: readiness.clone(),
            leaving: CancellationToken::new(),
        };
        change(&mut config);
        let shutdown = CancellationToken::new();
        let mut task = tokio::spawn(caudal_api::run(config, shutdown.clone()));
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        // The listener is bound: the first request waits in its backlog until somebody serves.
        tokio::select! {
            first = http.get(&url).send() => drop(first.unwrap()),
            ended = &mut task => panic!("the api did not start: {ended:?}"),
        }
        assert!(readiness.get());
        Self {
            url,
            internal_url,
            http,
            database,
            lifecycle,
            audience,
            _stop: shutdown.clone().drop_guard(),
            shutdown,
            task,
            router: Signer::new("ingest-router", router),
            controller: Signer::new("controller", controller),
            edge: Signer::new("hls-edge", edge),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Serialize) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn register(&self, username: &str) -> Person<'_> {
        let email = format!("{username}@example.test");
        let answer = self
            .post("/api/auth/register", json!({"username": username, "email": email, "password": PASSWORD}))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json);
        Person::of(self, &answer)
    }

    /// Somebody who runs the server.
    pub(crate) async fn register_admin(&self, username: &str) -> Person<'_> {
        let person = self.register(username).await;
        sqlx::query("update users set role = 'admin' where username = $1")
            .bind(username)
            .execute(&self.database.pool)
            .await
            .unwrap();
        person
    }

    /// A request of the ingest router.
    pub(crate) async fn as_router(&self, path: &str, body: impl Serialize) -> Answer {
        self.signed(&self.router, path, &body).await
    }

    /// A report of the controller.
    pub(crate) async fn as_controller(&self, path: &str, body: impl Serialize) -> Answer {
        self.signed(&self.controller, path, &body).await
    }

    /// A report of an edge.
    pub(crate) async fn as_edge(&self, path: &str, body: impl Serialize) -> Answer {
        self.signed(&self.edge, path, &body).await
    }

    async fn signed(&self, signer: &Signer, path: &str, body: &impl Serialize) -> Answer {
        let body = serde_json::to_vec(body).unwrap();
        let signature = signer.sign("POST", path, &body, SystemTime::now());
        let request = self.http.post(format!("{}{path}", self.internal_url));
        send(request.header(SIGNATURE_HEADER, signature).body(body)).await
    }

    pub(crate) async fn authorize(&self, key: &str) -> Result<Authorized, Denied> {
        self.authorize_after(key, None).await
    }

    pub(crate) async fn authorize_after(
        &self,
        key: &str,
        ended: Option<StreamId>,
    ) -> Result<Authorized, Denied> {
        let request = AuthorizeRequest {
            key: StreamKey::new(key),
            app: "live".into(),
            remote: None,
            session: SessionId::generate(),
            ended,
        };
        let answer = self.as_router("/internal/ingest/authorize", request).await;
        match answer.status {
            StatusCode::OK => Ok(serde_json::from_value(answer.json).unwrap()),
            StatusCode::FORBIDDEN => Err(serde_json::from_value(answer.json).unwrap()),
            status => panic!("{status} {}", answer.json),
        }
    }

    pub(crate) async fn published(&self, stream: StreamId) {
        let report = json!({"stream": stream, "startedAt": 1_700_000_000_000_i64});
        let answer = self.as_controller("/internal/ingest/published", report).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.json);
    }

    pub(crate) async fn done(&self, stream: StreamId, reason: &str) {
        let report = json!({
            "stream": stream, "published": true, "startedAt": 1_700_000_000_000_i64, "endedAt": 1_700_000_600_000_i64,
            "reason": reason, "hints": {"keyframeMs": 2000, "maxFrameMs": 34, "fpsMilli": 29970},
        });
        let answer = self.as_controller("/internal/ingest/done", report).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.json);
    }

    pub(crate) async fn stream(&self, stream: StreamId) -> Value {
        let answer = self.get(&format!("/api/streams/{stream}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.json
    }
}

/// Somebody who is logged in.
#[derive(Clone)]
pub(crate) struct Person<'a> {
    pub(crate) api: &'a Running,
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl<'a> Person<'a> {
    pub(crate) fn of(api: &'a Running, tokens: &Answer) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            api,
            id: text(&tokens.json["user"]["id"]),
            access: text(&tokens.json["accessToken"]),
            refresh: text(&tokens.json["refreshToken"]),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.api.request(method, path).bearer_auth(&self.access)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Serialize) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: impl Serialize) -> Answer {
        send(self.request(Method::PATCH, path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str) -> Answer {
        send(self.request(Method::PUT, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn stream_key(&self) -> String {
        let answer = self.get("/api/auth/stream-key").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
        answer.json["streamKey"].as_str().unwrap().to_owned()
    }

    /// Publishes until something can be watched.
    pub(crate) async fn goes_live(&self) -> StreamId {
        let stream = self.api.authorize(&self.stream_key().await).await.unwrap().stream;
        self.api.lifecycle.knows(stream, caudal_livestream::record::Phase::Live);
        self.api.published(stream).await;
        stream
    }
}

/// Everything that a list has, page for page.
pub(crate) async fn pages(mut get: impl AsyncFnMut(&str) -> Answer, path: &str) -> Vec<Value> {
    let (mut all, mut path) = (Vec::new(), path.to_owned());
    while !path.is_empty() {
        let answer = get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.json);
        all.extend(answer.json.as_array().unwrap().iter().cloned());
        answer.header("link").trim_start_matches('<').split('>').next().unwrap().clone_into(&mut path);
    }
    all
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Null when there is no body, a string when it is no JSON.
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status, and the code of a problem.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status.as_u16(), self.json["code"].as_str().unwrap_or_default())
    }
}

/// Every answer of the api has to be as its OpenAPI document says.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let asked = Asked::of(&request);
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let json = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    let answer = Answer { status, headers, json };
    contract::check(&asked, &answer);
    answer
}
