//! Mails that are asked for, until they are sent or given up.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lettre::Message;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::letters;
use super::smtp::{MailConfig, Smtp};
use crate::auth::one_time_token::OneTimeToken;
use crate::auth::password_reset::Crowded;
use crate::auth::{email_verification, password_reset};
use crate::config::PublicUrls;
use crate::limits::LimitError;
use crate::metrics::Metrics;
use crate::names::NormalName;
use crate::start_error::StartError;

/// A mail that somebody asks for.
#[derive(Debug)]
pub(crate) enum Wish {
    /// A link to a new password, to an address that may be nobody's.
    Reset(NormalName),
    /// A link that shows that the address of this person is theirs.
    Verify(Uuid),
}

/// Where mails are asked for. All clones are one.
#[derive(Clone)]
pub(crate) struct Post {
    wishes: mpsc::Sender<Wish>,
    smtp: Option<Arc<Smtp>>,
    turns: Arc<Semaphore>,
}

/// Why a letter did not leave.
#[derive(Debug)]
pub(crate) struct Unsent {
    pub(crate) reason: String,
    /// Another try would end in the same way.
    pub(crate) is_final: bool,
}

impl Post {
    /// With its owner, which must run.
    pub(crate) fn open(
        config: Option<&MailConfig>,
        database: PgPool,
        urls: Arc<PublicUrls>,
        metrics: Metrics,
    ) -> Result<(Self, Mailing), StartError> {
        let smtp = config.map(Smtp::open).transpose().map_err(StartError::Mail)?.map(Arc::new);
        let turns = Arc::new(Semaphore::new(CONNECTIONS));
        // Full, it takes no more wishes: their owners are told to come back.
        let (wishes, queue) = mpsc::channel(WAITING);
        let post = Self { wishes, smtp: smtp.clone(), turns: Arc::clone(&turns) };
        let room = MailRoom { database, urls, smtp, turns, metrics };
        Ok((post, Mailing { queue, room }))
    }

    /// Whether there is a server that takes mails.
    pub(crate) fn sends(&self) -> bool {
        self.smtp.is_some()
    }

    /// Sends a letter, for a job that tries again where that fails: what must not be lost does not wait in memory.
    pub(crate) async fn send(&self, to: &str, letter: letters::Letter) -> Result<(), Unsent> {
        let unsent = |reason: String, is_final| Unsent { reason, is_final };
        let smtp = self.smtp.as_ref().ok_or_else(|| unsent("there is no mail server".to_owned(), true))?;
        let message = smtp.message(to, letter).map_err(|error| unsent(error.to_string(), true))?;
        let sent = async {
            // Never closed.
            let _turn = self.turns.acquire().await;
            smtp.send(message).await
        };
        match timeout(SENT_BY_A_JOB_WITHIN, sent).await {
            Ok(sent) => sent.map_err(|error| unsent(error.to_string(), error.is_permanent())),
            Err(_) => Err(unsent(format!("no answer within {} s", SENT_BY_A_JOB_WITHIN.as_secs()), false)),
        }
    }

    /// Does not wait for anything, so that an answer says nothing of what is found.
    pub(crate) fn ask(&self, wish: Wish) -> Result<(), LimitError> {
        self.wishes.try_send(wish).map_err(|_| {
            tracing::warn!("more mails are asked for than can be sent");
            LimitError::TooMuchMail
        })
    }
}

/// The owner of everything that is under way.
pub(crate) struct Mailing {
    queue: mpsc::Receiver<Wish>,
    room: MailRoom,
}

impl Mailing {
    /// Until `shutdown`; then what is being sent may end, and what waits for another try is given up.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Self { mut queue, room } = self;
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(wish) = queue.recv(), if under_way.len() < UNDER_WAY => {
                    under_way.push(room.carry_out(wish, &shutdown));
                }
                Some(()) = under_way.next() => {}
            }
        }
        let rest = async { while under_way.next().await.is_some() {} };
        if timeout(GOODBYE, rest).await.is_err() || !queue.is_empty() {
            tracing::warn!("the api ends before all mails are sent; who waits for one asks again");
        }
    }
}

struct MailRoom {
    database: PgPool,
    urls: Arc<PublicUrls>,
    smtp: Option<Arc<Smtp>>,
    turns: Arc<Semaphore>,
    metrics: Metrics,
}

impl MailRoom {
    async fn carry_out(&self, wish: Wish, shutdown: &CancellationToken) {
        let Some(smtp) = &self.smtp else {
            if let Wish::Reset(_) = wish {
                tracing::warn!(
                    "somebody asks for a new password, and SMTP_URL is not set; `caudal admin reset-password` makes a link for them"
                );
            }
            return;
        };
        let written = match wish {
            Wish::Reset(email) => self.reset(smtp, &email).await,
            Wish::Verify(user) => self.verification(smtp, user).await,
        };
        match written {
            Ok(Some(mail)) => {
                let outcome = self.deliver(smtp, &mail, shutdown).await;
                self.metrics.mailed(outcome);
                if outcome == GIVEN_UP {
                    self.forget(&mail).await;
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "a mail that was asked for cannot be written; who waits for it asks again");
            }
        }
    }

    async fn reset(&self, smtp: &Smtp, email: &NormalName) -> Result<Option<Mail>, sqlx::Error> {
        let found = sqlx::query!(
            "select id, username, email from users where email_normal = $1 and deleted_at is null",
            email.as_str()
        );
        let Some(found) = found.fetch_optional(&self.database).await? else { return Ok(None) };
        let mut tx = self.database.begin().await?;
        let token = password_reset::issue(&mut tx, found.id, Crowded::Refuse).await?;
        tx.commit().await?;
        let Some(token) = token else { return Ok(None) };
        let letter = letters::reset(&self.urls.api, &found.username, &token);
        Ok(Mail::new(smtp, found.id, &found.email, letter, token))
    }

    async fn verification(&self, smtp: &Smtp, user: Uuid) -> Result<Option<Mail>, sqlx::Error> {
        let mut tx = self.database.begin().await?;
        let token = email_verification::issue(&mut tx, user).await?;
        let Some(token) = token else { return Ok(None) };
        let (username, email) = addressee(&mut tx, user).await?;
        tx.commit().await?;
        let letter = letters::verification(&self.urls.api, &username, &token);
        Ok(Mail::new(smtp, user, &email, letter, token))
    }

    /// As often as it takes and is worth it. What came of it, for the metrics.
    async fn deliver(&self, smtp: &Smtp, mail: &Mail, shutdown: &CancellationToken) -> &'static str {
        let Mail { user, message, .. } = mail;
        let mut pauses = PAUSES.iter();
        loop {
            let attempt = async {
                // Never closed.
                let _turn = self.turns.acquire().await;
                timeout(SENT_WITHIN, smtp.send(message.clone())).await
            };
            let (reason, is_final) = match attempt.await {
                Ok(Ok(())) => {
                    tracing::info!(%user, "a mail was sent");
                    return "sent";
                }
                Ok(Err(error)) => (error.to_string(), error.is_permanent()),
                Err(_) => (format!("no answer within {} s", SENT_WITHIN.as_secs()), false),
            };
            let Some(pause) = pauses.next().filter(|_| !is_final) else {
                tracing::warn!(%user, reason, "a mail was not sent, and is given up");
                return GIVEN_UP;
            };
            tracing::warn!(%user, reason, ?pause, "a mail was not sent yet");
            if shutdown.run_until_cancelled(sleep(*pause)).await.is_none() {
                return GIVEN_UP;
            }
        }
    }

    /// A link that nobody has is not one of the few that a person may have open.
    async fn forget(&self, mail: &Mail) {
        let hash = mail.token.hash();
        let forgotten = async {
            password_reset::forget(&self.database, &hash).await?;
            email_verification::forget(&self.database, &hash).await
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(user = %mail.user, %error, "a link that was not sent stays open until it is too old");
        }
    }
}

/// A mail, to whom it is, and what the link in it holds.
struct Mail {
    user: Uuid,
    message: Message,
    token: OneTimeToken,
}

impl Mail {
    fn new(smtp: &Smtp, user: Uuid, to: &str, letter: letters::Letter, token: OneTimeToken) -> Option<Self> {
        match smtp.message(to, letter) {
            Ok(message) => Some(Self { user, message, token }),
            Err(error) => {
                tracing::warn!(%user, %error, "a mail cannot be sent");
                None
            }
        }
    }
}

async fn addressee(db: &mut PgConnection, user: Uuid) -> Result<(String, String), sqlx::Error> {
    let found = sqlx::query!("select username, email from users where id = $1", user);
    let found = found.fetch_one(db).await?;
    Ok((found.username, found.email))
}

/// In metrics.
const GIVEN_UP: &str = "given_up";
/// Wishes that nobody has begun with.
const WAITING: usize = 1_000;
/// Mails that are being sent, or wait for another try: while the server is away, the next thousand wait behind them.
const UNDER_WAY: usize = 500;
/// To the mail server, at once.
const CONNECTIONS: usize = 4;
/// One try, from the connection to the server's word that it has the mail.
const SENT_WITHIN: Duration = Duration::from_secs(30);
/// The same for a job, which has half a minute for everything.
const SENT_BY_A_JOB_WITHIN: Duration = Duration::from_secs(20);
/// Between tries. With them a mail is under way for some twenty minutes at most; the links in it are good for an hour.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(600),
];
/// At the end.
const GOODBYE: Duration = Duration::from_secs(5);
