//! With the machine's real PostgreSQL.

use std::os::unix::fs::{MetadataExt as _, symlink};

use nix::unistd::geteuid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[tokio::test]
async fn it_starts_twice_on_the_same_folder_and_leaves_nothing_running() {
    let data = data_folder();
    for _ in 0..2 {
        let postgres = Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap();
        let layout = layout(data.path());
        let pid = layout.pid_file().unwrap().pid;
        assert!(kill(pid, None).is_ok());
        postgres.stop().await;
        assert!(gone(pid, Duration::ZERO).await);
    }
    fs::remove_dir_all(layout(data.path()).socket_folder).unwrap();
}

#[tokio::test]
async fn a_server_whose_guard_was_killed_is_taken_up_again() {
    let data = data_folder();
    let first = Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap();
    let layout = layout(data.path());
    let pid = layout.pid_file().unwrap().pid;
    let Server::Guarded(mut guard, _pipe) = first.server else { panic!("started, not adopted") };
    // The whole guard dies, the server does not: what a kill -9 of a process group leaves behind.
    let group = Pid::from_raw(i32::try_from(guard.id().unwrap()).unwrap());
    for member in members(group).into_iter().filter(|member| *member != pid && parent(*member) != Some(pid)) {
        let _ = kill(member, Signal::SIGKILL);
    }
    let _ = guard.wait().await;
    let second = Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap();
    assert!(matches!(second.server, Server::Adopted(adopted) if adopted == pid));
    second.stop().await;
    assert!(gone(pid, Duration::ZERO).await);
    fs::remove_dir_all(layout.socket_folder).unwrap();
}

#[tokio::test]
async fn one_that_ends_by_itself_is_started_again_but_never_made_anew() {
    let data = data_folder();
    let mut postgres = Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap();
    let layout = layout(data.path());
    let first = layout.pid_file().unwrap().pid;
    kill(first, Signal::SIGINT).unwrap();
    let returned = async {
        while !layout.pid_file().is_some_and(|file| file.pid != first && file.state == State::Ready) {
            sleep(POLL).await;
        }
    };
    tokio::select! {
        never = postgres.keep_running(data.path()) => match never {},
        returned = timeout(START_DEADLINE, returned) => returned.unwrap(),
    }
    let second = layout.pid_file().unwrap().pid;
    postgres.stop().await;
    assert!(gone(second, STOP_DEADLINE).await);

    fs::remove_file(layout.cluster.join("PG_VERSION")).unwrap();
    let error = Postgres::start_again(data.path(), layout.socket_folder.clone()).await.err().unwrap();
    assert!(error.to_string().contains("is no database any more"), "{error}");
    fs::rename(&layout.cluster, data.path().join("away")).unwrap();
    let error = Postgres::start_again(data.path(), layout.socket_folder.clone()).await.err().unwrap();
    assert!(error.to_string().contains("is no database any more"), "{error}");
    assert!(!layout.cluster.exists());
    fs::remove_dir_all(layout.socket_folder).unwrap();
}

#[tokio::test]
async fn one_whose_socket_folder_is_removed_is_started_again_at_the_same_address() {
    let data = data_folder();
    let mut postgres = Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap();
    let layout = layout(data.path());
    let first = layout.pid_file().unwrap().pid;
    fs::remove_dir_all(&layout.socket_folder).unwrap();
    let returned = async {
        while !layout.pid_file().is_some_and(|file| file.pid != first && file.state == State::Ready) {
            sleep(POLL).await;
        }
        layout.check_database().await.unwrap();
    };
    tokio::select! {
        never = postgres.keep_running(data.path()) => match never {},
        returned = timeout(START_DEADLINE, returned) => returned.unwrap(),
    }
    assert!(gone(first, Duration::ZERO).await);
    let second = layout.pid_file().unwrap().pid;
    postgres.stop().await;
    assert!(gone(second, STOP_DEADLINE).await);
    fs::remove_dir_all(layout.socket_folder).unwrap();
}

#[tokio::test]
async fn a_server_that_is_stopping_is_waited_for_and_replaced() {
    let data = data_folder();
    let first = Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap();
    let layout = layout(data.path());
    let pid = layout.pid_file().unwrap().pid;
    // A smart shutdown lasts for as long as somebody is connected.
    let mut client = cluster::command(&layout.binaries, "psql", &layout.owner)
        .arg("--host")
        .arg(&layout.socket_folder)
        .args(["--no-psqlrc", "--username=caudal", "caudal"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asks = client.stdin.take().unwrap();
    asks.write_all(b"\\echo connected\n").await.unwrap();
    let mut said = [0; 9];
    client.stdout.as_mut().unwrap().read_exact(&mut said).await.unwrap();
    kill(pid, Signal::SIGTERM).unwrap();
    while layout.pid_file().unwrap().state != State::Stopping {
        sleep(POLL).await;
    }
    let leave = async {
        // Longer than the grace for a guard.
        sleep(GUARD_GRACE + Duration::from_secs(1)).await;
        drop(asks);
        client.wait().await.unwrap()
    };
    let token = CancellationToken::new();
    let (second, _) = tokio::join!(Postgres::start(data.path(), |_| {}, &token), leave);
    let second = second.unwrap();
    assert!(matches!(second.server, Server::Guarded(..)));
    assert!(gone(pid, Duration::ZERO).await);
    second.stop().await;
    first.stop().await;
    fs::remove_dir_all(layout.socket_folder).unwrap();
}

#[tokio::test]
async fn a_server_that_somebody_else_started_on_the_database_is_neither_used_nor_ended() {
    let data = data_folder();
    Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap().stop().await;
    let layout = layout(data.path());
    let other = Layout { socket_folder: data.path().join("other"), ..self::layout(data.path()) };
    let theirs = Postgres::start_existing(other, &CancellationToken::new()).await.unwrap();
    let error = Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.err().unwrap();
    assert!(error.to_string().contains("did not start"), "{error}");
    assert!(kill(layout.pid_file().unwrap().pid, None).is_ok());
    theirs.stop().await;
    fs::remove_dir_all(layout.socket_folder).unwrap();
}

#[tokio::test]
async fn a_database_without_ours_in_it_is_refused_and_not_filled() {
    let data = data_folder();
    let postgres = Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap();
    let layout = layout(data.path());
    let mut dropdb = cluster::command(&layout.binaries, "dropdb", &layout.owner);
    dropdb.arg("--host").arg(&layout.socket_folder).args(["--username=caudal", "caudal"]);
    cluster::run(dropdb, "", "dropdb").await.unwrap();
    postgres.stop().await;
    for _ in 0..2 {
        let error = format!(
            "{:#}",
            Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.err().unwrap()
        );
        assert!(error.contains("has no usable database") && error.contains("does not exist"), "{error}");
        assert!(layout.pid_file().is_none(), "it was stopped again");
    }
    fs::remove_dir_all(layout.socket_folder).unwrap();
}

#[tokio::test]
async fn the_last_words_of_a_crash_are_kept_over_the_next_starts_until_there_are_too_many() {
    let data = data_folder();
    Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap().stop().await;
    let layout = layout(data.path());
    let crash = "PANIC:  the last words of a crash";
    fs::write(layout.log_path(), format!("{}\n{crash}\n", fs::read_to_string(layout.log_path()).unwrap()))
        .unwrap();
    Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap().stop().await;
    assert!(fs::read_to_string(layout.log_path()).unwrap().contains(crash));
    assert!(!layout.log_tail().contains(crash), "only the latest start's words explain a failed start");

    let log = fs::OpenOptions::new().append(true).open(layout.log_path()).unwrap();
    log.set_len(LOG_LIMIT + 1).unwrap();
    Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap().stop().await;
    assert!(fs::metadata(layout.log_path()).unwrap().len() < LOG_LIMIT);
    assert!(fs::metadata(layout.cluster.join("caudal.log.1")).unwrap().len() > LOG_LIMIT);
    fs::remove_dir_all(layout.socket_folder).unwrap();
}

#[tokio::test]
async fn a_log_that_is_a_link_to_somebodys_file_stops_the_start_and_leaves_the_file() {
    let data = data_folder();
    Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.unwrap().stop().await;
    let layout = layout(data.path());
    let theirs = data.path().join("theirs");
    fs::write(&theirs, "theirs").unwrap();
    fs::remove_file(layout.log_path()).unwrap();
    symlink(&theirs, layout.log_path()).unwrap();
    assert!(Postgres::start(data.path(), |_| {}, &CancellationToken::new()).await.is_err());
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    assert_eq!(fs::metadata(&theirs).unwrap().uid(), geteuid().as_raw());
    fs::remove_dir_all(layout.socket_folder).unwrap();
}

fn data_folder() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    // PostgreSQL's user must be able to pass through.
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
    data
}

fn layout(data: &Path) -> Layout {
    Layout::find(&Installed::debian(), data, Owner::find().unwrap()).unwrap()
}

fn stat(pid: Pid) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn parent(pid: Pid) -> Option<Pid> {
    stat(pid)?.get(1)?.parse().ok().map(Pid::from_raw)
}

fn members(group: Pid) -> Vec<Pid> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        .filter(|pid| stat(*pid).and_then(|fields| fields.get(2)?.parse().ok()) == Some(group.as_raw()))
        .collect()
}
