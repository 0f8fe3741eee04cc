//! Settings that cannot be used: status 64, and words that name the setting.

use std::fs;
use std::net::TcpListener;

use crate::program::Start;

/// Each line: what is given, and what must be said.
#[test]
fn a_setting_that_cannot_work_on_this_machine_ends_the_start_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, empty) = (path("file"), path("empty"));
    fs::write(&file, "text").unwrap();
    fs::create_dir(&empty).unwrap();
    let under_a_file = format!("{file}/below");
    let data = path("data");
    let (in_postgres, in_secrets) = (format!("{data}/postgres"), format!("{data}/secrets/media"));
    let behind_a_link = path("link");
    fs::create_dir_all(format!("{data}/streams")).unwrap();
    std::os::unix::fs::symlink(format!("{data}/streams"), &behind_a_link).unwrap();
    let missing = path("missing");
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key, other_key) = (path("cert.pem"), path("key.pem"), path("other.pem"));
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    fs::write(&other_key, other.signing_key.serialize_pem()).unwrap();

    let table: &[(&[(&str, &str)], &str)] = &[
        (&[("LOG_LEVEL", "loud")], r#"LOG_LEVEL is "loud": "loud" is no level; expected error"#),
        (&[("CAUDAL_MAX_STREAMS", "0")], r#"CAUDAL_MAX_STREAMS is "0": expected a number from 1"#),
        (
            &[("CAUDAL_RECONNECT_WINDOW", "abc")],
            r#"CAUDAL_RECONNECT_WINDOW is "abc": expected a number and a unit"#,
        ),
        (&[("CAUDAL_WEB_DIR", "/nope")], r#"CAUDAL_WEB_DIR is "/nope": No such file or directory"#),
        (&[("CAUDAL_WEB_DIR", &empty)], "there is no index.html in it"),
        (&[("CAUDAL_WEB_DIR", &file)], "it is a file"),
        (
            &[("CAUDAL_FFMPEG", "/nope/ffmpeg")],
            r#"CAUDAL_FFMPEG is "/nope/ffmpeg": there is no such program"#,
        ),
        (&[("CAUDAL_FFMPEG", "no-such-ffmpeg")], "there is no such program in PATH"),
        (&[("CAUDAL_FFMPEG", &file)], "there is no such program"),
        (&[("LOG_DIR", &file)], "is a file; expected a folder"),
        (&[("LOG_DIR", &under_a_file)], "is a file; expected a folder"),
        (&[("CAUDAL_DATA_DIR", &file)], "is a file; expected a folder"),
        (&[("CAUDAL_DATA_DIR", "/proc/caudal")], "CAUDAL_DATA_DIR"),
        (&[("HLS_PATH", &file)], "is a file; expected a folder"),
        (&[("CAUDAL_DATA_DIR", &data), ("HLS_PATH", &in_postgres)], "which the platform keeps for itself"),
        (&[("CAUDAL_DATA_DIR", &data), ("HLS_PATH", &in_secrets)], "which the platform keeps for itself"),
        (&[("CAUDAL_DATA_DIR", &data), ("HLS_PATH", &behind_a_link)], "which the platform keeps for itself"),
        (&[("CAUDAL_DATA_DIR", &data), ("LOG_DIR", &in_postgres)], "which the platform keeps for itself"),
        (
            &[("PORT", "4711"), ("HLS_PORT", "4711")],
            "PORT and HLS_PORT are both 4711: expected a port for each",
        ),
        (&[("PORT", "4711"), ("CAUDAL_ADMIN_PORT", "4711")], "PORT and CAUDAL_ADMIN_PORT are both 4711"),
        (&[("CAUDAL_TLS_CERT", &certificate)], "CAUDAL_TLS_CERT is given without CAUDAL_TLS_KEY"),
        (&[("CAUDAL_TLS_KEY", &key)], "CAUDAL_TLS_KEY is given without CAUDAL_TLS_CERT"),
        (
            &[("CAUDAL_TLS_CERT", &certificate), ("CAUDAL_TLS_KEY", &other_key)],
            "does not belong to the certificate",
        ),
        (&[("CAUDAL_TLS_CERT", &file), ("CAUDAL_TLS_KEY", &key)], "holds no certificate"),
        (&[("CAUDAL_TLS_CERT", &certificate), ("CAUDAL_TLS_KEY", &file)], "holds no private key"),
        (&[("CAUDAL_TLS_CERT", &missing), ("CAUDAL_TLS_KEY", &key)], "cannot be read: No such file"),
        (&[("CAUDAL_TLS_CERT", "/nope")], "CAUDAL_TLS_CERT: /nope cannot be read: No such file"),
        (&[("CAUDAL_TLS_CERT", "/nope")], "CAUDAL_TLS_CERT is given without CAUDAL_TLS_KEY"),
        (&[("CAUDAL_TLS_KEY", &file)], "CAUDAL_TLS_KEY: "),
        (&[("CAUDAL_TLS_CERT", "/nope"), ("CAUDAL_TLS_KEY", "/nope")], "CAUDAL_TLS_CERT: /nope cannot"),
        (&[("CAUDAL_TLS_CERT", "/nope"), ("CAUDAL_TLS_KEY", "/nope")], "CAUDAL_TLS_KEY: /nope cannot"),
        (
            &[("DATABASE_URL", "mysql://me:hunter2@x")],
            "DATABASE_URL: it does not begin with postgresql://; expected a URL",
        ),
        (&[("REDIS_URL", "hunter2")], "REDIS_URL: expected a URL as in redis://"),
        (&[("SMTP_URL", "hunter2")], "SMTP_URL: expected a URL as in smtps://"),
        (&[("SMTP_URL", "smtps://me:hunter2@mail.example")], "SMTP_URL is given without SMTP_FROM"),
        (&[("SMTP_FROM", "no-reply@live.example")], "SMTP_FROM is given without SMTP_URL"),
        (&[("SMTP_FROM", "somebody")], "expected an address as in no-reply@live.example"),
        (
            &[("DATABASE_URL", "postgresql://x"), ("DATABASE_URL_FILE", &file)],
            "DATABASE_URL and DATABASE_URL_FILE are both set",
        ),
        (&[("JWT_SECRET_FILE", &missing)], "JWT_SECRET_FILE: "),
        (&[("JWT_SECRET_FILE", &empty)], "Is a directory"),
        (&[("JWT_SECRET", "hunter2")], "JWT_SECRET is shorter than 32 characters"),
        (&[("CAUDAL_SECRET_FILE", &file)], "CAUDAL_SECRET is shorter than 32 characters"),
        (
            &[("AWS_S3_BUCKET", "streams"), ("AWS_ACCESS_KEY_ID", "hunter2")],
            "AWS_ACCESS_KEY_ID is given without AWS_SECRET_ACCESS_KEY",
        ),
        (&[("JWT_EXPIRES_IN", "8d")], "JWT_EXPIRES_IN is longer than JWT_REFRESH_EXPIRES_IN"),
        (&[("CAUDAL_CONFIG", &missing)], "CAUDAL_CONFIG is "),
        (&[("CAUDAL_CONFIG", &file)], "line 1: expected NAME = value"),
    ];
    for (given, expected) in table {
        let start = given.iter().fold(Start::new(), |start, (name, value)| start.with(name, value));
        let ended = start.end();
        assert_eq!(ended.code, Some(64), "{given:?}: {}", ended.stderr);
        assert!(
            ended.stderr.starts_with("caudal: ") && ended.stderr.contains(expected),
            "{given:?}: {}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

#[test]
fn of_the_environment_that_the_platform_s_description_has_only_the_example_secrets_are_refused() {
    let pasted = [
        ("PORT", "3000"),
        ("NODE_ENV", "production"),
        ("DATABASE_URL", "postgresql://user:pass@localhost:5432/streams_db"),
        ("REDIS_URL", "redis://localhost:6379"),
        ("JWT_SECRET", "your-secret-key"),
        ("JWT_EXPIRES_IN", "1h"),
        ("JWT_REFRESH_EXPIRES_IN", "7d"),
        ("RTMP_PORT", "1935"),
        ("HLS_PATH", "/var/www/hls"),
        ("AWS_S3_BUCKET", "stream-thumbnails"),
        ("AWS_REGION", "us-east-1"),
        ("STRIPE_SECRET_KEY", "sk_test_xxx"),
    ];
    let ended = pasted.iter().fold(Start::new(), |start, (name, value)| start.with(name, value)).end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    for name in ["JWT_SECRET", "STRIPE_SECRET_KEY"] {
        let said = format!("{name} is an example of the documentation, which everybody knows");
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    }
    assert!(ended.stderr.starts_with("caudal: 2 settings cannot be used:"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("your-secret-key"), "{}", ended.stderr);
}

#[test]
fn a_name_that_no_file_system_takes_is_refused_and_not_repeated_whole() {
    let long = format!("/tmp/{}", "x".repeat(5000));
    for command in ["standalone", "admin"] {
        let start = Start::of(command);
        let start = if command == "admin" { start.flag("streams") } else { start };
        let ended = start.flag(&format!("--data-dir={long}")).end();
        assert!(ended.code.is_some_and(|code| code > 0), "{}", ended.stderr);
        assert!(ended.stderr.contains("xxx\"…") && ended.stderr.len() < 1000, "{}", ended.stderr);
    }
}

#[test]
fn a_command_line_that_is_wrong_ends_with_the_same_status_as_a_setting() {
    for flag in ["--prot=1", "--port=x", "--port"] {
        let ended = Start::new().flag(flag).end();
        assert_eq!(ended.code, Some(64), "{flag}: {}", ended.stderr);
        assert!(ended.stderr.contains("--p"), "{}", ended.stderr);
    }
    let secret = Start::new().flag("--database-url=postgresql://me:hunter2@localhost").end();
    assert_eq!(secret.code, Some(64));
    assert!(!secret.stderr.contains("hunter2"), "{}", secret.stderr);
}

#[test]
fn a_variable_with_a_slip_in_its_name_is_named_with_the_setting_that_was_probably_meant() {
    let ended = Start::of("hls-edge").with("CAUDAL_KESY", "/keys").end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    let words = "caudal: warning: there is no setting CAUDAL_KESY; did you mean CAUDAL_KEYS? `caudal hls-edge --help` lists them";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let (web, rtmp) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port().to_string();
    let ended = Start::new().with("PORT", port(&web)).with("RTMP_PORT", port(&rtmp)).end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for (name, listener) in [("PORT", &web), ("RTMP_PORT", &rtmp)] {
        let expected = format!(
            "{name}: another program listens on 127.0.0.1:{}; end that one, or set {name} to another port",
            port(listener)
        );
        assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
    }
}

#[test]
fn what_is_in_the_way_is_said_of_the_name_that_was_written() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ended = Start::new().flag(&format!("--rtmp-port={port}")).end();
    let expected = format!(
        "--rtmp-port: another program listens on 127.0.0.1:{port}; end that one, or set --rtmp-port to another port"
    );
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
    let ended = Start::new().flag("--bind=192.0.2.1").end();
    assert!(ended.stderr.contains("set --bind to one of its own"), "{}", ended.stderr);
    let start = Start::new();
    let file = start.folder.path().join("caudal.conf");
    fs::write(&file, "\nCAUDAL_BIND = 192.0.2.1\n").unwrap();
    let ended = start.with("CAUDAL_CONFIG", &file).end();
    assert!(
        ended.stderr.contains(&format!("set CAUDAL_BIND ({}, line 2) to", file.display())),
        "{}",
        ended.stderr
    );
}

#[test]
fn another_secret_than_the_one_before_ends_the_start_until_somebody_means_it() {
    let controller = |secret: &str| {
        Start::of("controller")
            .with("CAUDAL_INTERNAL_API_URL", "http://127.0.0.1:9")
            .with("CAUDAL_SECRET", secret.repeat(32))
    };
    // A controller that has carried no broadcast binds nobody to its secret: it may have been mistyped.
    let (ended, folder) = controller("b").interrupted_at("ready");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let data = folder.path().join("data");
    let digest = data.join("secrets/digest");
    assert!(!digest.exists());
    fs::create_dir(data.join("secrets")).unwrap();
    fs::write(&digest, DIGEST_OF_A).unwrap();
    let (ended, _) = controller("a").with("CAUDAL_DATA_DIR", &data).interrupted_at("ready");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ended = controller("b").with("CAUDAL_DATA_DIR", &data).end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    for expected in ["CAUDAL_SECRET is not the one that ", &format!("move {} away", digest.display())] {
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    fs::remove_file(&digest).unwrap();
    let (ended, _) = controller("b").with("CAUDAL_DATA_DIR", &data).interrupted_at("ready");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_secret_that_is_given_by_accident_ends_the_start_before_it_is_noted() {
    let start = Start::new();
    let data = start.folder.path().join("data");
    // As the previous release left it.
    fs::create_dir_all(data.join("secrets")).unwrap();
    fs::write(data.join("secrets/master"), [1; 32]).unwrap();
    let (ended, _folder) = start.with("CAUDAL_SECRET", "b".repeat(32)).ended();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.stderr.contains("is not the secret that this data folder has in "), "{}", ended.stderr);
    assert!(!data.join("secrets/digest").exists());
}

/// HMAC-SHA-256 of "digest" under 32 times "a".
const DIGEST_OF_A: &str = "ae5a47ef00681bb3598c1e9e089e6abd20328bffc9cc9a2fb4852c5b47f81cb4";

#[test]
fn an_address_of_another_machine_is_named_with_what_to_do() {
    let ended = Start::new().with("CAUDAL_BIND", "192.0.2.1").end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("192.0.2.1 is not an address of this machine"), "{}", ended.stderr);
}
