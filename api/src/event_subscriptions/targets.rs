//! Asking a stranger's server: within bounds, and never one that only we can reach.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use caudal_service::http_client::body_within;
use futures::future::{BoxFuture, FutureExt as _};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use thiserror::Error;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::callback::{Callback, Reach, WebhookHosts};
use super::global_address::is_global;
use super::message::Signed;

/// Where messages go out.
pub(crate) struct Targets {
    hosts: WebhookHosts,
    /// From the look-up of the name to the end of the answer.
    deadline: Duration,
    /// Made when they are first needed, because that reads the system's certificates.
    public: OnceCell<Client>,
    anywhere: OnceCell<Client>,
}

/// What a server says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Its beginning has all of it, or it is none.
    pub(super) body: Option<Bytes>,
}

/// Why there is no answer, in words for the owner of the callback.
#[derive(Debug, Error)]
pub(super) enum NoAnswer {
    #[error("its name leads to no address on the public internet")]
    NotPublic,
    #[error("it did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
}

impl Targets {
    pub(crate) fn new(hosts: WebhookHosts, deadline: Duration) -> Self {
        Self { hosts, deadline, public: OnceCell::new(), anywhere: OnceCell::new() }
    }

    /// Hosts that an operator has named.
    pub(crate) fn hosts(&self) -> &WebhookHosts {
        &self.hosts
    }

    /// Sends a message.
    pub(super) async fn post(&self, callback: &Callback, message: Signed) -> Result<Answer, NoAnswer> {
        let asked = async {
            let client = match callback.reach {
                Reach::Public => {
                    self.public.get_or_try_init(async || client(Some(PublicNames::of_the_system()))).await
                }
                Reach::Anywhere => self.anywhere.get_or_try_init(async || client(None)).await,
            };
            let client = client.map_err(|error| why(&error))?;
            let request = client.post(callback.url.clone()).header(CONTENT_TYPE, "application/json");
            let request = message
                .headers
                .into_iter()
                .fold(request, |request, (name, value)| request.header(name, value));
            let response = request.body(message.body).send().await.map_err(|error| why(&error))?;
            let status = response.status();
            // Of what is longer, or breaks off, nobody wants to know the rest.
            Ok(Answer { status, body: body_within(response, MAX_ANSWER).await.ok() })
        };
        timeout(self.deadline, asked).await.unwrap_or(Err(NoAnswer::TimedOut(self.deadline)))
    }
}

fn client(names: Option<PublicNames>) -> Result<Client, reqwest::Error> {
    caudal_service::install_crypto();
    let builder = Client::builder()
        .user_agent(concat!("Caudal/", env!("CARGO_PKG_VERSION"), " (webhooks)"))
        // A proxy would look the name up itself, and may be nearer to what is private than we are.
        .no_proxy()
        // It could lead to where nobody may go.
        .redirect(Policy::none())
        .http1_only()
        // Strangers' connections are not kept: each message looks the name up anew.
        .pool_max_idle_per_host(0);
    match names {
        Some(names) => builder.dns_resolver(names).build(),
        None => builder.build(),
    }
}

fn why(error: &reqwest::Error) -> NoAnswer {
    let first: &(dyn StdError + 'static) = error;
    let causes = || successors(Some(first), |cause| (*cause).source());
    if causes().any(<dyn StdError>::is::<NothingPublic>) {
        return NoAnswer::NotPublic;
    }
    // reqwest says "error sending request", and its causes where; the last one says what is wrong.
    let root = causes().last().map(ToString::to_string).unwrap_or_default();
    NoAnswer::Unreachable(root.chars().take(MAX_REASON).collect())
}

/// Looks names up and leaves out every address that is not public. What it returns is what is connected to, so that a name that leads
/// elsewhere a moment later (DNS rebinding) gains nothing.
struct PublicNames {
    look_up: LookUp,
}

type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// A name leads to private addresses alone.
#[derive(Debug, Error)]
#[error("no public address")]
struct NothingPublic;

impl PublicNames {
    fn of_the_system() -> Self {
        Self { look_up: Arc::new(|name| system_look_up(name).boxed()) }
    }
}

async fn system_look_up(name: String) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.look_up)(name.as_str().to_owned());
        Box::pin(async move {
            let mut found = found.await?;
            found.retain(|address| is_global(address.ip()));
            found.truncate(MAX_ADDRESSES);
            if found.is_empty() {
                return Err(NothingPublic.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// A challenge has 64 bytes.
const MAX_ANSWER: usize = 1024;
/// That are tried for one name.
const MAX_ADDRESSES: usize = 4;
/// Characters of a reason that come from elsewhere.
const MAX_REASON: usize = 200;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A name that leads somewhere else at each look-up.
    fn rebinding(answers: &[&[&str]]) -> PublicNames {
        let address = |text: &&str| SocketAddr::new(text.parse().unwrap(), 0);
        let answers: Vec<Vec<SocketAddr>> =
            answers.iter().rev().map(|one| one.iter().map(address).collect()).collect();
        let answers = Mutex::new(answers);
        let look_up = move |_| {
            let next = answers.lock().unwrap().pop().unwrap();
            async move { Ok(next) }.boxed()
        };
        PublicNames { look_up: Arc::new(look_up) }
    }

    async fn resolved(names: &PublicNames) -> Option<Vec<String>> {
        let found = names.resolve("bot.example".parse().unwrap()).await;
        match found {
            Ok(addresses) => Some(addresses.map(|address| address.ip().to_string()).collect()),
            Err(error) => {
                assert!(error.is::<NothingPublic>(), "{error}");
                None
            }
        }
    }

    #[tokio::test]
    async fn a_name_leads_to_its_public_addresses_alone_each_time_anew() {
        let names = rebinding(&[
            &["8.8.8.8"],
            &["127.0.0.1"],
            &["10.0.0.1", "::1", "8.8.4.4", "169.254.169.254"],
            &["::ffff:127.0.0.1", "fd00::1"],
            &[],
            &["8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4", "8.8.8.5"],
        ]);
        assert_eq!(resolved(&names).await.unwrap(), ["8.8.8.8"]);
        assert_eq!(resolved(&names).await, None);
        assert_eq!(resolved(&names).await.unwrap(), ["8.8.4.4"]);
        assert_eq!(resolved(&names).await, None);
        assert_eq!(resolved(&names).await, None);
        assert_eq!(resolved(&names).await.unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_client_says_that_a_name_leads_to_nothing_public_and_connects_to_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = client(Some(rebinding(&[&["127.0.0.1"]]))).unwrap();
        let error = client.post(format!("http://bot.example:{port}/")).send().await.unwrap_err();
        assert!(matches!(why(&error), NoAnswer::NotPublic), "{error:?}");
        assert!(listener.accept().now_or_never().is_none());
    }
}
