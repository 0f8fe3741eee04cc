//! Sessions of a role: made by an STS, and used for a bucket.
//!
//! The server is moto. It makes sessions, and where it is told to enforce anything, it looks at signatures and at the policies of the
//! session's role. It does *not* look at the policy of the session itself, nor at conditions, and finds no signature of a list right: that
//! a worker is held to its own stream is Amazon's promise, and MinIO's, and is not shown here. What is shown is that our policy lets a
//! worker write and read its own stream's objects, and nobody else's, where the very same statements are the role's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

#[allow(dead_code, reason = "other test files ask for more")]
mod moto;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::StoredState;
use caudal_livestream::{Epoch, Msn, StreamId, WorkerId};
use caudal_storage::{
    AssignedCredentials, Durability, Key, Need, RoleConfig, RoleSessionError, RoleSessions, S3Access,
    S3Config, S3Credentials, SegmentStore, StreamFile,
};
use moto::Moto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const ROLE: &str = "arn:aws:iam::123456789012:role/caudal-worker";

fn own() -> S3Access {
    S3Access::Keys(S3Credentials {
        access_key_id: "test".to_owned(),
        secret_access_key: "test".to_owned(),
        session_token: None,
    })
}

fn sessions(bucket: &S3Config) -> RoleSessions {
    let role = RoleConfig {
        role_arn: ROLE.to_owned(),
        duration: Duration::from_mins(20),
        endpoint: None,
        region: None,
    };
    RoleSessions::new(bucket, role).unwrap()
}

/// A store as a worker has it, with nothing yet to open it.
fn assigned(bucket: &S3Config) -> (AssignedCredentials, SegmentStore) {
    let credentials = AssignedCredentials::none();
    let access = S3Access::Assigned(credentials.clone());
    let store = SegmentStore::s3(&S3Config { access, ..bucket.clone() }).unwrap();
    (credentials, store)
}

#[tokio::test]
async fn a_session_opens_the_bucket_for_as_long_as_was_asked_for() {
    let server = Moto::start();
    let bucket = server.config("sessions", own());
    let (credentials, store) = assigned(&bucket);
    let stream = StreamId::generate();
    let key = Key::Live(stream, StreamFile::Master);
    let without = store.put(&key, Bytes::from_static(b"x")).await.unwrap_err();
    assert!(std::error::Error::source(&without).unwrap().to_string().contains("no storage credentials"));
    let made = sessions(&bucket).of(stream, Need::First).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let left = made.expires.0 - i64::try_from(now).unwrap();
    assert!((1_100_000..=1_205_000).contains(&left), "{left}");
    credentials.take(made);
    store.put(&key, Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Some(Bytes::from_static(b"x")));
}

#[tokio::test]
async fn the_statements_of_the_policy_let_a_worker_write_and_read_its_own_stream_alone() {
    let server = Moto::start();
    let bucket = server.config("enforced", own());
    let (own_stream, other) = (StreamId::generate(), StreamId::generate());
    let sessions = sessions(&bucket);
    // A stream of somebody else's, for which anything may still be done.
    let open = SegmentStore::s3(&bucket).unwrap();
    let segment =
        |stream| Key::Live(stream, StreamFile::Segment("source".parse().unwrap(), Msn(7), Epoch(1)));
    open.put(&segment(other), Bytes::from_static(b"theirs")).await.unwrap();
    with_role(&server, &sessions.policy(own_stream));
    let (credentials, store) = assigned(&bucket);
    credentials.take(sessions.of(own_stream, Need::First).await.unwrap());
    assert!(server.request_of("moto", "POST /moto-api/reset-auth", "0").starts_with("http/1.1 200"));

    // What a worker does there: a claim.
    let address = WorkerAddress {
        worker: WorkerId::generate(),
        rtmp: ([127, 0, 0, 1], 1).into(),
        http: ([127, 0, 0, 1], 2).into(),
    };
    let claim =
        StoredState { stream: own_stream, epoch: Epoch(1), worker: address, owner: None, filled: None };
    store.claim(&claim).await.unwrap();
    // Taken by ourselves, which it finds out by reading.
    store.claim(&claim).await.unwrap();
    store.prove_writable(own_stream).await.unwrap();
    // Media, playlists that replace each other, and posters.
    store.create(&segment(own_stream), Bytes::from_static(b"ours")).await.unwrap();
    let master = Key::Live(own_stream, StreamFile::Master);
    let first = store.replace(&master, Bytes::from_static(b"1"), None, Durability::Lazy).await.unwrap();
    store.replace(&master, Bytes::from_static(b"2"), Some(&first), Durability::Lazy).await.unwrap();
    assert!(store.version(&master).await.unwrap().is_some());
    store.put(&Key::Poster(own_stream), Bytes::from_static(b"jpeg")).await.unwrap();

    for refused in [
        store.put(&segment(other), Bytes::from_static(b"mine")).await.map(drop),
        store.get(&segment(other)).await.map(drop),
        store.put(&Key::Poster(other), Bytes::from_static(b"mine")).await.map(drop),
    ] {
        let error = format!("{:?}", refused.unwrap_err());
        assert!(error.contains("AccessDenied"), "{error}");
    }
}

/// The role, with this policy, as moto can enforce it: it denies whatever a statement with a condition is about.
fn with_role(server: &Moto, policy: &str) {
    let mut policy: serde_json::Value = serde_json::from_str(policy).unwrap();
    for statement in policy["Statement"].as_array_mut().unwrap() {
        statement.as_object_mut().unwrap().remove("Condition");
    }
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}"#;
    for call in [
        vec![("Action", "CreateRole"), ("RoleName", "caudal-worker"), ("AssumeRolePolicyDocument", trust)],
        vec![
            ("Action", "PutRolePolicy"),
            ("RoleName", "caudal-worker"),
            ("PolicyName", "stream"),
            ("PolicyDocument", &policy.to_string()),
        ],
    ] {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(call)
            .append_pair("Version", "2010-05-08")
            .finish();
        let answer = server.request_of("iam", "POST /", &form);
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
    }
}

/// A server that gives each request the next of these answers, and one connection.
async fn answers(answers: Vec<(u16, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 16 * 1024];
            let _ = stream.read(&mut asked).await.unwrap();
            let head =
                format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}")
}

fn at(endpoint: String) -> S3Config {
    S3Config {
        bucket: "media".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint),
        allow_http: true,
        access: own(),
    }
}

#[tokio::test]
async fn an_sts_that_refuses_floods_or_is_away_is_told_apart() {
    let denied =
        "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>";
    let flood = "x".repeat(100_000);
    let endpoint = answers(vec![(403, denied.to_owned()), (200, flood), (200, "<a/>".to_owned())]).await;
    let sessions = sessions(&at(endpoint));
    let stream = StreamId::generate();
    let refused = sessions.of(stream, Need::First).await.unwrap_err();
    assert_eq!(
        (refused.in_short().as_str(), refused.to_string().as_str()),
        ("AccessDenied", "AccessDenied: not you")
    );
    assert!(
        matches!(sessions.of(stream, Need::First).await, Err(RoleSessionError::Unreadable(words)) if words.contains("over"))
    );
    assert!(matches!(sessions.of(stream, Need::First).await, Err(RoleSessionError::Unreadable(_))));
    // Nobody accepts any more.
    assert!(matches!(sessions.of(stream, Need::First).await, Err(RoleSessionError::Unreachable(_))));
}

#[tokio::test]
async fn who_waits_with_a_broadcast_never_waits_for_renewals_that_a_slow_sts_holds_up() {
    let sts = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sessions = sessions(&at(format!("http://{}", sts.local_addr().unwrap())));
    let waited_for = StreamId::generate();
    // Nobody else is answered.
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        loop {
            let (mut asked, _) = sts.accept().await.unwrap();
            let mut text = String::new();
            while !text.contains("Policy=") {
                let mut bytes = vec![0; 16 * 1024];
                let read = asked.read(&mut bytes).await.unwrap();
                text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
            }
            if text.contains(&waited_for.to_string()) {
                asked.write_all(b"HTTP/1.1 403 -\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            }
            unanswered.push(asked);
        }
    });
    let renewals = (0..100).map(|_| Box::pin(sessions.of(StreamId::generate(), Need::Renewal)));
    let mut renewals = futures::future::select_all(renewals);
    assert!(futures::poll!(&mut renewals).is_pending(), "they have all places that there are for them");
    tokio::select! {
        biased;
        (renewed, ..) = &mut renewals => panic!("a renewal came first: {renewed:?}"),
        made = sessions.of(waited_for, Need::First) => assert_eq!(made.unwrap_err().in_short(), "HTTP 403"),
    }
}

/// As Amazon's S3 answers to whoever may list only under one prefix.
#[tokio::test]
async fn an_object_that_is_not_in_the_list_is_missing_and_not_forbidden() {
    let stream = StreamId::generate();
    let key = Key::Live(stream, StreamFile::Master);
    let denied = || (403, "<Error><Code>AccessDenied</Code></Error>".to_owned());
    let listed = |names: &[&str]| {
        let contents: Vec<String> = names
            .iter()
            .map(|name| {
                format!("<Contents><Key>live/{stream}/{name}</Key><LastModified>2026-11-28T19:00:00Z</LastModified><Size>1</Size><ETag>e</ETag></Contents>")
            })
            .collect();
        (
            200,
            format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
                contents.concat()
            ),
        )
    };
    for (list, missing) in [
        (listed(&[]), true),
        // What lies before and behind it.
        (listed(&["master.m3u7", "source/7-1.m4s"]), true),
        (listed(&["master.m3u8", "source/7-1.m4s"]), false),
        (denied(), false),
    ] {
        let endpoint = answers(vec![denied(), list.clone()]).await;
        let store = SegmentStore::s3(&at(endpoint)).unwrap();
        let found = store.get(&key).await;
        assert_eq!(matches!(found, Ok(None)), missing, "{list:?}: {found:?}");
        assert_eq!(found.is_err(), !missing);
    }
}
