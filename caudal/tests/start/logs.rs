//! Where log lines go, with a whole platform and its warm worker.

use std::collections::BTreeSet;
use std::fs;

use crate::program::Start;

#[test]
fn lines_of_platform_and_workers_go_to_standard_error_and_to_a_folder_that_is_made() {
    let start = Start::new();
    let logs = start.folder.path().join("var/log");
    let start = start
        .with("LOG_DIR", &logs)
        .with("LOG_LEVEL", "info,caudal=debug")
        .with("CAUDAL_FFMPEG_", "misspelt");
    let (ended, _folder) = start.ready().interrupt();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let files: Vec<_> = fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().path()).collect();
    // A day may have ended meanwhile.
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
    assert_eq!(lines(&text), lines(&ended.stderr));
    let mut workers = 0;
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(object.is_object(), "{line}");
        if object["target"].as_str().is_some_and(|target| target.starts_with("caudal::worker")) {
            workers += 1;
            assert!(object["worker"].is_string(), "{line}");
        }
    }
    assert!(workers > 0, "{text}");
    assert!(text.contains("there is no setting CAUDAL_FFMPEG_; did you mean CAUDAL_FFMPEG? "), "{text}");
    assert!(text.contains("there are no web pages"), "{text}");
}

#[test]
fn a_platform_with_a_certificate_says_where_rtmps_is() {
    let start = Start::new();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (start.folder.path().join("cert.pem"), start.folder.path().join("key.pem"));
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let running = start
        .with("CAUDAL_TLS_CERT", &certificate)
        .with("CAUDAL_TLS_KEY", &key)
        .with("CAUDAL_PUBLIC_RTMP_URL", "rtmp://streams.example.org/live")
        .with("REDIS_URL", "redis://127.0.0.1:1")
        .ready();
    let rtmps = running.ready["rtmps"].as_str().unwrap().to_owned();
    assert!(rtmps.starts_with("rtmps://streams.example.org:") && rtmps.ends_with("/live"), "{rtmps}");
    let (ended, _folder) = running.interrupt();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("Redis (REDIS_URL) is away"), "{}", ended.stderr);
}
