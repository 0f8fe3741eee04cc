//! Asking Stripe, within bounds and a deadline.

use std::time::Duration;

use caudal_billing::stripe::{
    About, Asked, CheckoutSession, Created, ErrorAnswer, Fetched, Invoice, InvoicePayment, Kind, List,
    Method, Reading, Reference, Refund, Request, Subscription, VERSION, read,
};
use caudal_service::http_client::body_within;
use chrono::{DateTime, Utc};
use form_urlencoded::Serializer;
use reqwest::header::DATE;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::config::StripeConfig;
use crate::error::Error;

/// Stripe, by the operator's key.
pub(crate) struct Stripe {
    client: Client,
    base: String,
    key: SecretString,
    webhook_secrets: Vec<SecretString>,
    livemode: bool,
}

/// Why a provider did not do something.
#[derive(Debug, Error)]
pub(crate) enum ProviderError {
    /// It may do so later: nobody answered, or it was too busy. Whether it was done is not known.
    #[error("Stripe cannot be reached: {0}")]
    Away(String),
    /// It does not do that.
    #[error("Stripe refused: {message}")]
    Refused { kind: String, code: String, message: String },
    /// It knows no such thing.
    #[error("Stripe does not know it")]
    Unknown,
}

/// What Stripe says, and when by its clock.
struct Answer {
    body: Vec<u8>,
    at: DateTime<Utc>,
}

impl Stripe {
    pub(crate) fn open(config: StripeConfig) -> Result<Self, reqwest::Error> {
        caudal_service::install_crypto();
        let client = Client::builder()
            .user_agent(concat!("Caudal/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .timeout(DEADLINE)
            .build()?;
        let livemode = config.secret_key.expose_secret().contains("_live_");
        let StripeConfig { secret_key: key, webhook_secrets, api_base: base } = config;
        Ok(Self { client, base, key, webhook_secrets, livemode })
    }

    /// Whether money moves. What says otherwise is of another mode, and nothing of ours.
    pub(super) fn livemode(&self) -> bool {
        self.livemode
    }

    pub(super) fn webhook_secrets(&self) -> Vec<&[u8]> {
        self.webhook_secrets.iter().map(|secret| secret.expose_secret().as_bytes()).collect()
    }

    /// Asks, and reads the answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ProviderError> {
        let Answer { body, .. } = self.answer(request).await?;
        read(&body).map_err(|error| ProviderError::Away(error.to_string()))
    }

    /// All that Stripe says of a subscription, and when it was asked by Stripe's own clock: what is over is ended there, and
    /// a clock of ours that is set wrong must end nothing.
    pub(super) async fn fetch(&self, subscription: &str) -> Result<(Fetched, DateTime<Utc>), ProviderError> {
        let (mut reading, mut asked_at) = (Reading::of(subscription), None);
        loop {
            match reading.next() {
                Asked::Ask(request) => {
                    let Answer { body, at } = self.answer(&request).await?;
                    asked_at = asked_at.or(Some(at));
                    reading.take(&body).map_err(|error| ProviderError::Away(error.to_string()))?;
                }
                Asked::Done(fetched) => {
                    return fetched.map(|fetched| *fetched).zip(asked_at).ok_or(ProviderError::Unknown);
                }
            }
        }
    }

    /// The subscription that an object is of; none where it is of none.
    pub(super) async fn subscription_of(&self, about: &About) -> Result<Option<String>, ProviderError> {
        let id = about.id.as_str();
        let intent = match about.kind {
            Kind::Subscription => return Ok(Some(about.id.clone())),
            Kind::Checkout => {
                let session: CheckoutSession = self.ask(&Request::checkout(id)).await?;
                return Ok(session.subscription.map(|known| known.id().to_owned()));
            }
            Kind::Invoice => return self.subscription_of_invoice(id).await,
            Kind::Charge => {
                let charge: caudal_billing::stripe::Charge = self.ask(&Request::charge(id)).await?;
                charge.payment_intent
            }
            Kind::Refund => self.ask::<Refund>(&Request::refund(id)).await?.payment_intent,
            Kind::Dispute => {
                let dispute: caudal_billing::stripe::Dispute = self.ask(&Request::dispute(id)).await?;
                dispute.payment_intent
            }
        };
        let Some(intent) = intent else { return Ok(None) };
        let paid: List<InvoicePayment> = self.ask(&Request::invoices_of_payment(intent.id())).await?;
        let invoice = paid.data.into_iter().find_map(|payment| payment.invoice);
        match invoice.as_ref().map(Reference::id) {
            Some(invoice) => self.subscription_of_invoice(invoice).await,
            None => Ok(None),
        }
    }

    async fn subscription_of_invoice(&self, id: &str) -> Result<Option<String>, ProviderError> {
        let invoice: Invoice = self.ask(&Request::invoice(id)).await?;
        let details = invoice.parent.and_then(|parent| parent.subscription_details);
        Ok(details.and_then(|details| details.subscription).map(|known| known.id().to_owned()))
    }

    /// Subscriptions of the account that were made since then, whoever made them.
    pub(super) async fn subscriptions_since(&self, created: i64) -> Result<Vec<Subscription>, ProviderError> {
        let (mut all, mut after): (Vec<Subscription>, Option<String>) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let request = Request::subscriptions_since(created, after.as_deref());
            let List { data, has_more } = self.ask::<List<Subscription>>(&request).await?;
            all.extend(data);
            after = all.last().map(|last| last.id.clone());
            if !has_more {
                break;
            }
        }
        Ok(all)
    }

    /// Makes something, of which the name matters alone.
    pub(super) async fn make(&self, request: &Request) -> Result<Created, ProviderError> {
        self.ask(request).await
    }

    async fn answer(&self, request: &Request) -> Result<Answer, ProviderError> {
        let fields = Serializer::new(String::new()).extend_pairs(&request.fields).finish();
        let url = format!("{}{}", self.base, request.path);
        let asked = match request.method {
            Method::Get if fields.is_empty() => self.client.get(url),
            Method::Get => self.client.get(format!("{url}?{fields}")),
            // Without its type a form is refused, an empty one too.
            Method::Post => self.client.post(url).header("Content-Type", FORM).body(fields),
            Method::Delete => self.client.delete(url),
        };
        let asked = asked.bearer_auth(self.key.expose_secret()).header("Stripe-Version", VERSION);
        let asked = match &request.idempotency_key {
            Some(key) => asked.header("Idempotency-Key", key),
            None => asked,
        };
        let away = |error: &dyn std::fmt::Display| ProviderError::Away(error.to_string());
        let response = asked.send().await.map_err(|error| away(&error.without_url()))?;
        let status = response.status();
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(|date| date.to_utc());
        let body = body_within(response, MOST_BYTES).await.map_err(|error| away(&error))?;
        if status.is_success() {
            return Ok(Answer { body: body.to_vec(), at: date.unwrap_or_else(Utc::now) });
        }
        let error = read::<ErrorAnswer>(&body).unwrap_or_default().error;
        let code = error.code.unwrap_or_default();
        // With the right key, and its rights, it may be done yet.
        let refused_us = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if status.is_server_error()
            || refused_us
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT)
        {
            return Err(ProviderError::Away(format!("it answered {status} {code}")));
        }
        if status == StatusCode::NOT_FOUND {
            return Err(ProviderError::Unknown);
        }
        let message = error.message.unwrap_or_else(|| format!("it answered {status}"));
        Err(ProviderError::Refused {
            kind: error.r#type,
            code,
            message: message.chars().take(MOST_WORDS).collect(),
        })
    }
}

/// Why a change of several questions came to nothing.
pub(super) enum Failed {
    Provider(ProviderError),
    Other(Error),
}

impl Failed {
    /// Stripe does not know a name that it gave: the operator has changed the key to one of another account, or of another mode.
    pub(super) fn is_of_another_account(&self) -> bool {
        matches!(self, Self::Provider(ProviderError::Refused { code, .. }) if code == "resource_missing")
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Provider(error) => error.into(),
            Failed::Other(error) => error,
        }
    }
}

/// For whoever waits for an answer: what Stripe refuses of us is our fault, and stands in the log.
impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        tracing::warn!(%error, "the payment provider did not do what it was asked");
        match error {
            ProviderError::Away(_) => super::BillingError::ProviderAway.into(),
            ProviderError::Refused { kind, .. } if kind == "card_error" => {
                super::BillingError::PaymentFailed.into()
            }
            ProviderError::Refused { message, .. } => {
                Self::Internal(format!("the payment provider refused: {message}"))
            }
            ProviderError::Unknown => Self::Internal("the payment provider does not know it".to_owned()),
        }
    }
}

/// For one answer. Twelve of them are a snapshot, in a job's 30 s.
const DEADLINE: Duration = Duration::from_secs(10);
/// A hundred invoices with their lines have a megabyte.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Of what a provider says for developers, kept for an admin.
const MOST_WORDS: usize = 300;
/// Of a hundred subscriptions each.
const MOST_PAGES: usize = 50;
const FORM: &str = "application/x-www-form-urlencoded";
