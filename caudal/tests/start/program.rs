//! The program with an environment of its own.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

/// How it ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stderr: String,
}

/// A start of the platform, in a folder that nobody else has and on ports that the system chooses.
pub struct Start {
    command: Command,
    pub folder: TempDir,
}

impl Start {
    pub fn new() -> Self {
        Self::of("standalone")
    }

    /// Of one role alone.
    pub fn of(role: &str) -> Self {
        Self::by(Command::new(PROGRAM), role)
    }

    /// By another file than the program's.
    pub fn by_copy(copy: &std::path::Path, role: &str) -> Self {
        std::fs::copy(PROGRAM, copy).unwrap();
        Self::by(Command::new(copy), role)
    }

    /// A shell sets the umask: these tests are threads of one process, and share theirs.
    pub fn under_umask(umask: &str) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask, PROGRAM]);
        Self::by(shell, "standalone")
    }

    fn by(mut command: Command, role: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL, which does not run as root, must be able to pass through.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        command.arg(role).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("CAUDAL_DATA_DIR", folder.path().join("data"));
        for port in
            ["PORT", "HLS_PORT", "RTMP_PORT", "RTMPS_PORT", "CAUDAL_INTERNAL_PORT", "CAUDAL_ADMIN_PORT"]
        {
            command.env(port, "0");
        }
        Self { command, folder }
    }

    /// `caudal admin COMMAND`, with this folder's platform.
    pub fn admin(command: &str) -> Self {
        Self::of("admin").flag(command)
    }

    pub fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn flag(mut self, flag: &str) -> Self {
        self.command.arg(flag);
        self
    }

    /// Waits for its end. One that starts after all is killed, and fails the test.
    pub fn end(self) -> Ended {
        self.ended().0
    }

    /// The same, with what it left behind.
    pub fn ended(mut self) -> (Ended, TempDir) {
        // Nobody reads it here, and a full pipe would stop the program.
        let mut child = self.command.stdout(Stdio::null()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let (done, read) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            let _ = done.send(text);
        });
        let text = read.recv_timeout(PATIENCE);
        if text.is_err() {
            child.kill().unwrap();
        }
        let code = child.wait().unwrap().code();
        let stderr = text.unwrap_or_else(|_| format!("it did not end:\n{}", read.recv().unwrap()));
        (Ended { code, stderr }, self.folder)
    }
}

impl Start {
    /// Asks it to end as soon as it has said these words, and waits for that. What it wrote to standard output is among its
    /// last words.
    pub fn interrupted_at(self, words: &str) -> (Ended, TempDir) {
        self.interrupted_after(words, |_| {})
    }

    /// The same, with a look at it and at all that it has said, before it is asked to end.
    pub fn interrupted_after(mut self, words: &str, look: impl FnOnce(&str)) -> (Ended, TempDir) {
        let mut look = Some(look);
        let mut child = self.command.spawn().unwrap();
        let outputs: [Box<dyn io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let (say, said) = mpsc::channel();
        for output in outputs {
            let say = say.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = say.send(line);
                }
            });
        }
        drop(say);
        let mut text = String::new();
        loop {
            match said.recv_timeout(PATIENCE) {
                Ok(line) => {
                    text = text + &line + "\n";
                    if line.contains(words)
                        && let Some(look) = look.take()
                    {
                        look(&text);
                        signal(child.id(), Signal::SIGTERM);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    child.kill().unwrap();
                    panic!("it did not end:\n{text}");
                }
            }
        }
        (Ended { code: child.wait().unwrap().code(), stderr: text }, self.folder)
    }
}

fn signal(process: u32, signal: Signal) {
    let pid = nix::unistd::Pid::from_raw(process.try_into().unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

/// Ended with the test that fails, so that no PostgreSQL and no workers are left behind.
struct Platform(Child);

impl Drop for Platform {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            signal(self.0.id(), Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }
}

/// One that a platform has started.
#[derive(Debug)]
pub struct Process {
    pub pid: u32,
    /// As `top` shows it.
    pub name: String,
    /// An argument a line, and a variable a line.
    pub command: String,
    pub environment: String,
}

/// What the server at `url` answers.
pub fn get(url: &str) -> String {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap();
    let mut socket = TcpStream::connect(host).unwrap();
    write!(socket, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// A platform that takes requests.
pub struct Running {
    platform: Platform,
    folder: TempDir,
    /// Its first words, which say where it listens.
    pub ready: serde_json::Value,
    stdout: JoinHandle<()>,
    stderr: JoinHandle<String>,
}

impl Start {
    /// Waits until it takes requests. Needs `LOG_FORMAT=json`.
    pub fn ready(mut self) -> Running {
        let mut child = self.command.env("LOG_FORMAT", "json").spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, said) = mpsc::channel();
        let stdout = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = say.send(serde_json::from_str::<serde_json::Value>(&line).unwrap());
            }
        });
        let ready = loop {
            match said.recv_timeout(PATIENCE) {
                Ok(line) if line["event"] == "ready" => break line,
                Ok(_) => {}
                Err(error) => {
                    let _ = child.kill();
                    panic!("{error}: {}", stderr.join().unwrap());
                }
            }
        };
        Running { platform: Platform(child), folder: self.folder, ready, stdout, stderr }
    }
}

impl Running {
    /// The processes that it has started.
    pub fn children(&self) -> Vec<Process> {
        let parent = self.platform.0.id().to_string();
        let of_parent = |folder: &std::path::Path| {
            let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
            let (_, fields) = stat.rsplit_once(") ")?;
            (fields.split(' ').nth(1) == Some(parent.as_str())).then(|| {
                let [name, command, environment] = ["comm", "cmdline", "environ"].map(|file| {
                    let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
                    text.replace('\0', "\n")
                });
                let pid = folder.file_name().unwrap().to_str().unwrap().parse().unwrap();
                Process { pid, name: name.trim().to_owned(), command, environment }
            })
        };
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        processes.filter_map(|entry| of_parent(&entry.path())).collect()
    }

    /// Kills the worker that waits; gives the one that comes in its place.
    pub fn replaced_worker(&self) -> Process {
        let worker = |not: Option<u32>| {
            let mut children = self.children().into_iter();
            children.find(|child| child.name == "caudal-worker" && Some(child.pid) != not)
        };
        let deadline = Instant::now() + PATIENCE;
        let first = worker(None).unwrap();
        signal(first.pid, Signal::SIGKILL);
        loop {
            match worker(Some(first.pid)) {
                Some(another) => return another,
                None if Instant::now() > deadline => panic!("no worker came in the place of {first:?}"),
                None => std::thread::yield_now(),
            }
        }
    }

    /// Its data folder is in there.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Ctrl-C, and its end.
    pub fn interrupt(mut self) -> (Ended, TempDir) {
        signal(self.platform.0.id(), Signal::SIGINT);
        let code = self.platform.0.wait().unwrap().code();
        self.stdout.join().unwrap();
        (Ended { code, stderr: self.stderr.join().unwrap() }, self.folder)
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_caudal");
/// A start that waits for a database gives up after half of this.
const PATIENCE: Duration = Duration::from_secs(60);
