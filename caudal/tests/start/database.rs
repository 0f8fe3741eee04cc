//! Databases that cannot be used. Needs `DATABASE_URL`, as `scripts/with-postgres.sh` sets it.

use std::io::Write as _;
use std::net::TcpListener;

use crate::program::Start;

/// The URL of the tests' own PostgreSQL, with another part in place of one of its own.
fn url(change: impl Fn(&mut reqwest::Url)) -> String {
    let url = std::env::var("DATABASE_URL").expect("run this by scripts/with-postgres.sh");
    let mut url = url.parse().unwrap();
    change(&mut url);
    url.into()
}

#[test]
fn a_database_that_refuses_is_said_once_and_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let web_server = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let _ = socket.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    for (url, expected) in [
        (url(|url| url.set_password(Some("hunter2")).unwrap()), "refuses the user or the password"),
        (url(|url| url.set_username("nobody-here").unwrap()), "refuses the user or the password"),
        (url(|url| url.set_path("/nowhere")), r#"database "nowhere" does not exist; create it"#),
        (url(|url| url.set_query(Some("sslmode=require"))), "no TLS"),
        (format!("postgresql://me:hunter2@{web_server}/caudal"), "does not speak PostgreSQL"),
    ] {
        let ended = Start::new().with("DATABASE_URL", &url).end();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches(expected).count(), 1, "{expected}: {}", ended.stderr);
        assert!(
            !ended.stderr.contains("trying for") && !ended.stderr.contains("hunter2"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_new_secret_beside_a_database_that_was_there_is_said_as_an_error() {
    let start = Start::new();
    let postgres = start.folder.path().join("data/postgres");
    std::fs::create_dir_all(&postgres).unwrap();
    std::fs::write(postgres.join("PG_VERSION"), "15\n").unwrap();
    let ended = start.end();
    assert_eq!(ended.code, Some(1), "not a whole one: {}", ended.stderr);
    let line = ended.stderr.lines().find(|line| line.contains("restore secrets/ from the backup"));
    assert!(line.is_some_and(|line| line.contains("ERROR")), "{}", ended.stderr);
}

#[test]
fn a_database_where_nothing_listens_is_waited_for_and_named() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = Start::new().with("DATABASE_URL", format!("postgresql://me:hunter2@{unused}/caudal")).end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let reason = format!("PostgreSQL at {unused}");
    assert!(
        ended.stderr.contains(&format!("{reason}: connection refused: nothing listens there; trying for")),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains(&format!("{reason} did not answer for")), "{}", ended.stderr);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn whoever_ends_a_start_need_not_wait_for_a_database() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let start = Start::new().with("DATABASE_URL", format!("postgresql://{unused}/caudal"));
    let (ended, _folder) = start.with("LOG_FORMAT", "json").interrupted_at("trying for");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for never in ["did not answer for", r#""event":"ready""#] {
        assert!(!ended.stderr.contains(never), "{never}: {}", ended.stderr);
    }
}

#[test]
fn whoever_ends_a_start_that_makes_the_database_leaves_no_half_of_one() {
    let (ended, folder) = Start::new().interrupted_at("Making the database");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let names =
        std::fs::read_dir(folder.path().join("data")).unwrap().map(|entry| entry.unwrap().file_name());
    let databases: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("postgres")).collect();
    assert!(databases.is_empty(), "{databases:?}: {}", ended.stderr);
}

#[test]
fn a_platform_says_that_it_has_stopped_and_nothing_of_streams_that_there_are_not() {
    let (ended, _folder) = Start::new().interrupted_at("is running");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("\n  Stopped\n"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("Ending streams"), "{}", ended.stderr);
}
