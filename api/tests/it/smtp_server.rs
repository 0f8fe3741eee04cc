//! A mail server for one test, as much of RFC 5321 as a client needs that has one mail to send.
//!
//! What it does not prove: TLS and log-ins (`EHLO` offers neither, so the client must be told `tls=none`), pipelining, mails for
//! several recipients, addresses beyond ASCII, what real servers think of our headers, and that anything is delivered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// One that it took.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Mail {
    /// The token of the link to a page, decoded as a mailbox does it.
    pub(crate) fn token(&self, page: &str) -> String {
        let body = self.body.replace("=\r\n", "").replace("=3D", "=");
        let link = format!("http://localhost:3000/{page}#token=");
        let found = body.lines().find_map(|line| line.strip_prefix(&link));
        found.unwrap_or_else(|| panic!("no link to {page}: {body}")).to_owned()
    }
}

pub(crate) struct SmtpServer {
    pub(crate) url: String,
    taken: Arc<Mutex<Vec<Mail>>>,
    /// What the next senders hear, before it takes anything.
    refusals: Arc<Mutex<Vec<&'static str>>>,
    _stop: DropGuard,
}

impl SmtpServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}?tls=none", listener.local_addr().unwrap());
        let (taken, refusals) = (Arc::<Mutex<Vec<Mail>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let stop = CancellationToken::new();
        let (mails, says_no, stopping) = (Arc::clone(&taken), Arc::clone(&refusals), stop.clone());
        tokio::spawn(async move {
            stopping.run_until_cancelled(serve(listener, mails, says_no)).await;
        });
        Self { url, taken, refusals, _stop: stop.drop_guard() }
    }

    /// Answers the next senders' mails in this way, the last one first.
    pub(crate) fn refuses(&self, answers: &[&'static str]) {
        self.refusals.lock().unwrap().extend(answers);
    }

    pub(crate) fn taken(&self) -> Vec<Mail> {
        self.taken.lock().unwrap().clone()
    }

    /// All of them, as soon as there are so many.
    pub(crate) async fn has_taken(&self, count: usize) -> Vec<Mail> {
        let waiting = async {
            while self.taken().len() < count {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(waited.is_ok(), "only {:?}", self.taken());
        self.taken()
    }

    /// Whether every refusal was heard.
    pub(crate) async fn has_refused(&self) {
        let waiting = async {
            while !self.refusals.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("nobody sends anything");
    }
}

/// Until it is dropped, and its connections with it.
async fn serve(listener: TcpListener, taken: Arc<Mutex<Vec<Mail>>>, refusals: Arc<Mutex<Vec<&'static str>>>) {
    let mut talks = JoinSet::new();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        talks.spawn(talk(connection, Arc::clone(&taken), Arc::clone(&refusals)));
    }
}

/// One connection, to its end.
async fn talk(
    connection: TcpStream,
    taken: Arc<Mutex<Vec<Mail>>>,
    refusals: Arc<Mutex<Vec<&'static str>>>,
) -> Option<()> {
    let mut connection = BufReader::new(connection);
    say(&mut connection, "220 mail.test ESMTP").await?;
    let (mut from, mut to) = (String::new(), Vec::new());
    loop {
        let line = hear(&mut connection).await?;
        let line = line.trim_end();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" | "HELO" => "250 mail.test",
            "MAIL" => {
                let refusal = refusals.lock().unwrap().pop();
                if refusal.is_none() {
                    line.clone_into(&mut from);
                }
                refusal.unwrap_or("250 2.1.0 Ok")
            }
            "RCPT" => {
                to.push(line.to_owned());
                "250 2.1.5 Ok"
            }
            "DATA" => {
                say(&mut connection, "354 End data with <CR><LF>.<CR><LF>").await?;
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    text.push_str(&hear(&mut connection).await?);
                }
                let text = text.strip_suffix(".\r\n").unwrap_or_default();
                let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
                taken.lock().unwrap().push(Mail {
                    from: std::mem::take(&mut from),
                    to: std::mem::take(&mut to),
                    headers: headers.to_owned(),
                    body: body.to_owned(),
                });
                "250 2.0.0 Ok: taken"
            }
            "RSET" | "NOOP" => "250 2.0.0 Ok",
            "QUIT" => {
                say(&mut connection, "221 2.0.0 Bye").await?;
                return Some(());
            }
            _ => "502 5.5.2 not here",
        };
        say(&mut connection, answer).await?;
    }
}

async fn say(connection: &mut BufReader<TcpStream>, line: &str) -> Option<()> {
    connection.write_all(format!("{line}\r\n").as_bytes()).await.ok()
}

async fn hear(connection: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let length = connection.read_line(&mut line).await.ok()?;
    (length > 0).then_some(line)
}
