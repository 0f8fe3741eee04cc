//! Stream keys in every field that a person can paste one into.

use std::time::Duration;

use caudal_ingest_router::Addresses;
use caudal_livestream::StreamId;
use caudal_livestream::admission::DenialCode;
use caudal_rtmp::{RelayClient, RelayTarget};
use tokio::time::Instant;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::fake_api::Mood;
use crate::harness::{Harness, authorize, refusal, within};
use crate::written_log::WrittenLog;

const KEY: &str = "live_0123456789ABCDEFGHIJKLMNOPQRSTUV";
/// What must not be written, however the rest of the key is spelt.
const SECRET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUV";

/// Each app and each stream name, with the key in it.
const APPS: [&str; 8] = [
    "live",
    "live/KEY",
    " live/KEY/ ",
    "KEY",
    "live?key=KEY",
    "live?KEY",
    "live?streamkey=KEY",
    "live/KEY/more",
];
const NAMES: [&str; 10] = [
    "KEY",
    " KEY\r\n",
    "KEY/",
    "any",
    "",
    "live/KEY",
    "rtmp://host/live/KEY",
    "rtmps://host:443/live/KEY/",
    "any?key=KEY",
    "any?KEY",
];

#[tokio::test]
async fn wherever_a_key_is_typed_no_log_holds_it_and_the_publisher_is_let_in_or_told_what_to_do() {
    let log = WrittenLog::default();
    let _logging = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(log.clone())
        .finish()
        .set_default();
    // So that wrong keys are not refused for their number.
    let harness = Harness::with(|config| config.limits.addresses = Addresses::Shared).await;
    for app in APPS {
        for name in NAMES {
            for typed in [KEY.to_owned(), KEY.replace('_', "%5F")] {
                let app = app.replace("KEY", &typed);
                let name = name.replace("KEY", &typed);
                let stream = StreamId::generate();
                let nobody = Mood::Deny(
                    DenialCode::UnknownKey,
                    "This stream key is not valid. Copy it from the page Go live.",
                );
                harness.api.set(Mood::OnlyFor(KEY, Box::new(authorize(stream)), Box::new(nobody)));
                let target = RelayTarget {
                    tc_url: format!("rtmp://host/{app}"),
                    app: app.clone(),
                    stream_name: name.clone(),
                };
                let deadline = Instant::now() + Duration::from_secs(20);
                match within(RelayClient::connect_tcp(harness.rtmp, target, deadline)).await {
                    Ok(encoder) => {
                        assert!(format!("{app}{name}").contains(SECRET), "{app} {name} holds no key");
                        drop(encoder);
                        // The next one is no return to this broadcast.
                        harness.directory.change(stream, |record| record.spec.key_revoked = true);
                    }
                    Err(error) => {
                        let words = refusal(&error).1;
                        // A server's address alone is taken for the lack of a key.
                        let holds_it = format!("{app}{name}").contains(KEY) && !name.is_empty();
                        assert!(!holds_it, "{app} {name} was not understood: {words}");
                        let to_do = ["stream key field", "page Go live"];
                        assert!(to_do.iter().any(|to_do| words.contains(to_do)), "{app} {name}: {words}");
                    }
                }
            }
        }
    }
    let asked: Vec<String> =
        harness.api.asked().iter().map(|asked| format!("{} {asked:?}", asked.app)).collect();
    harness.stop().await;
    let written = log.text();
    assert!(written.contains("publisher refused") && written.contains("publisher let in"));
    for written in [written, asked.join("\n")] {
        if let Some(line) = written.lines().find(|line| line.contains(SECRET)) {
            panic!("a key was written: {line}");
        }
    }
}
