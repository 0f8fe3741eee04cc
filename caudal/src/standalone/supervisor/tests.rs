//! With shell scripts for workers: what matters here is how processes begin and end.

use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A supervisor whose workers run `script` after they have said that they are ready.
async fn supervisor(script: &str) -> Arc<Supervisor> {
    supervisor_with(script, Vec::new()).await
}

async fn supervisor_with(script: &str, environment: Vec<(OsString, OsString)>) -> Arc<Supervisor> {
    soon(Supervisor::start(config(&format!("{READY}\n{script}"), environment))).await.unwrap()
}

/// What a worker says when it is ready.
const READY: &str =
    r#"printf '{"worker":"%s","rtmp":"127.0.0.1:1","http":"127.0.0.1:2"}\n' "${0#--worker-id=}""#;

fn config(script: &str, environment: Vec<(OsString, OsString)>) -> SupervisorConfig {
    SupervisorConfig {
        program: "/bin/sh".into(),
        name: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment,
        secrets: Vec::new(),
        lines: WorkerLines { to: None, format: crate::settings::LogFormatSetting::Text },
    }
}

/// A worker for a stream of its own.
async fn claim(supervisor: &Supervisor) -> WorkerAddress {
    supervisor.claim(StreamId::generate(), Epoch(1), &Pool::default()).await.unwrap().worker
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.expect("it never happened")
}

/// Reads what workers write into a named pipe; ends when the last writer is gone.
async fn read_pipe(path: &Path) -> String {
    let mut text = String::new();
    let pipe = tokio::net::unix::pipe::OpenOptions::new().open_receiver(path).unwrap();
    // Without a writer yet the first read may say "end"; a line always comes before that here.
    soon(async {
        while text.is_empty() {
            pipe.readable().await.unwrap();
            let mut piece = [0; 4096];
            match pipe.try_read(&mut piece) {
                Ok(read) => text.push_str(std::str::from_utf8(&piece[..read]).unwrap()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    text
}

fn pipe_in(folder: &TempDir) -> std::path::PathBuf {
    let path = folder.path().join("said");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    path
}

#[tokio::test]
async fn a_claimed_worker_is_replaced_by_another_warm_one() {
    let supervisor = supervisor("cat >/dev/null").await;
    let first = soon(claim(&supervisor)).await;
    let second = soon(claim(&supervisor)).await;
    assert_ne!(first.worker, second.worker);
    soon(supervisor.shared.idle.subscribe().wait_for(Option::is_some)).await.unwrap();
    soon(supervisor.stop()).await;
    soon(supervisor.exited(first.worker)).await;
    soon(supervisor.exited(second.worker)).await;
}

#[tokio::test]
async fn a_stream_and_epoch_get_the_same_worker_again_and_the_next_epoch_gets_another() {
    let supervisor = supervisor("cat >/dev/null").await;
    let stream = StreamId::generate();
    let claim =
        async |epoch| soon(supervisor.claim(stream, Epoch(epoch), &Pool::default())).await.unwrap().worker;
    let first = claim(1).await;
    assert_eq!(claim(1).await, first);
    let second = claim(2).await;
    assert_ne!(second.worker, first.worker);
    assert_eq!(claim(1).await, first);
    // A dead one is nobody's.
    assert_eq!(soon(supervisor.release(first.worker)).await, Presence::Gone);
    assert_ne!(claim(1).await.worker, first.worker);
    soon(supervisor.stop()).await;
}

#[tokio::test]
async fn all_that_was_claimed_for_a_stream_ends_when_it_is_withdrawn_and_nothing_else() {
    let supervisor = supervisor("cat >/dev/null").await;
    let stream = StreamId::generate();
    for epoch in [1, 2] {
        soon(supervisor.claim(stream, Epoch(epoch), &Pool::default())).await.unwrap();
    }
    let other = soon(claim(&supervisor)).await;
    let epochs = || {
        let claimed =
            supervisor.shared.children().values().filter_map(|child| child.claim).collect::<Vec<_>>();
        claimed.into_iter().filter(|claim| claim.0 == stream).map(|claim| claim.1.0).collect::<Vec<_>>()
    };
    soon(supervisor.withdraw_claim(stream, Epoch(2))).await;
    soon(supervisor.withdraw_claim(stream, Epoch(3))).await;
    assert_eq!(epochs(), [1]);
    soon(supervisor.withdraw(stream)).await;
    assert!(epochs().is_empty());
    assert!(supervisor.shared.child(other.worker).is_some());
    soon(supervisor.stop()).await;
}

#[tokio::test]
async fn a_worker_that_dies_idle_is_replaced() {
    // The first one to make the folder dies, the others stay.
    let folder = TempDir::new().unwrap();
    let mark = folder.path().join("mark");
    let supervisor =
        supervisor(&format!("mkdir '{}' 2>/dev/null && exit 1\ncat >/dev/null", mark.display())).await;
    soon(async {
        loop {
            let worker = claim(&supervisor).await;
            if tokio::time::timeout(Duration::from_millis(300), supervisor.exited(worker.worker))
                .await
                .is_err()
            {
                return;
            }
        }
    })
    .await;
    assert!(mark.exists());
    soon(supervisor.stop()).await;
}

#[tokio::test]
async fn a_worker_that_hangs_idle_is_replaced() {
    let folder = TempDir::new().unwrap();
    // Takes connections, as a stopped process does, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let script = format!(
        r#"http=127.0.0.1:2; mkdir '{}' 2>/dev/null && http={}
printf '{{"worker":"%s","rtmp":"127.0.0.1:1","http":"%s"}}\n' "${{0#--worker-id=}}" "$http"
cat >/dev/null"#,
        folder.path().join("mark").display(),
        silent.local_addr().unwrap(),
    );
    let supervisor = soon(Supervisor::start(config(&script, Vec::new()))).await.unwrap();
    let mut idle = supervisor.shared.idle.subscribe();
    let hangs = soon(idle.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert_eq!(hangs.http, silent.local_addr().unwrap());
    soon(idle.wait_for(|idle| idle.is_some_and(|idle| idle.worker != hangs.worker))).await.unwrap();
    soon(supervisor.exited(hangs.worker)).await;
    soon(supervisor.stop()).await;
}

#[tokio::test]
async fn a_released_worker_is_asked_to_end_and_its_exit_is_seen() {
    let folder = TempDir::new().unwrap();
    let said = pipe_in(&folder);
    // It listens before it is ready: who is ready may be asked at once.
    let script = format!(
        "trap 'echo asked >\"{}\"; exit 0' TERM\n{READY}\nwhile :; do sleep 0.05; done",
        said.display()
    );
    let supervisor = soon(Supervisor::start(config(&script, Vec::new()))).await.unwrap();
    let worker = soon(claim(&supervisor)).await;
    let released = supervisor.release(worker.worker);
    let (heard, _) = tokio::join!(read_pipe(&said), soon(released));
    assert_eq!(heard, "asked\n");
    soon(supervisor.exited(worker.worker)).await;
    soon(supervisor.stop()).await;
}

#[tokio::test]
async fn a_worker_gets_no_environment_but_what_is_allowed() {
    let folder = TempDir::new().unwrap();
    let said = pipe_in(&folder);
    let script = format!("/usr/bin/env >\"{}\"\ncat >/dev/null", said.display());
    let supervisor = supervisor_with(&script, vec![("CAUDAL_CONTROLLER_KEY".into(), "public".into())]).await;
    let environment = read_pipe(&said).await;
    let mut allowed: Vec<_> = PASSED_ON.to_vec();
    // The shell's own.
    allowed.extend(["CAUDAL_PARENT_PIPE", "CAUDAL_CONTROLLER_KEY", "PWD", "SHLVL", "_", "OLDPWD"]);
    for line in environment.lines() {
        let name = line.split('=').next().unwrap();
        assert!(allowed.contains(&name), "{line}");
    }
    assert!(environment.contains("CAUDAL_CONTROLLER_KEY=public\n"));
    assert!(environment.contains("CAUDAL_PARENT_PIPE=stdin\n"));
    soon(supervisor.stop()).await;
}

#[tokio::test]
async fn a_worker_that_does_not_begin_as_one_is_not_used() {
    let other = WorkerId::generate();
    let false_name =
        format!(r#"echo '{{"worker":"{other}","rtmp":"127.0.0.1:1","http":"127.0.0.1:2"}}'; cat"#);
    for (script, expected) in [
        (false_name.as_str(), "a transcoder worker calls itself"),
        ("exit 3", "a transcoder worker ended without"),
        ("echo hello; cat", "the first line of a transcoder worker is not"),
    ] {
        let refused = soon(Supervisor::start(config(script, Vec::new()))).await.err().expect(script);
        assert!(refused.to_string().starts_with(expected), "{script}: {refused}");
    }
}

#[tokio::test]
async fn a_worker_that_writes_a_lot_to_standard_error_never_waits_for_a_reader() {
    let folder = TempDir::new().unwrap();
    let said = pipe_in(&folder);
    // Far more than a pipe holds.
    let script = format!("head -c 1000000 /dev/zero >&2\necho done >\"{}\"\ncat >/dev/null", said.display());
    let supervisor = supervisor(&script).await;
    assert_eq!(read_pipe(&said).await, "done\n");
    soon(supervisor.stop()).await;
}
