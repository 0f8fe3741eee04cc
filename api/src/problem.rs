//! Errors as answers: RFC 9457, in one place for all of them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::administration::AdminError;
use crate::auth::AuthError;
use crate::billing::BillingError;
use crate::chat::ChatError;
use crate::error::{Error, RETRY_SECONDS, is_outage};
use crate::event_subscriptions::EventSubscriptionError;
use crate::input::{FieldError, InputError};
use crate::limits::{LimitError, whole_seconds};
use crate::people::PeopleError;
use crate::pictures::PictureError;
use crate::registration::RegistrationError;
use crate::stream::StreamError;
use crate::stream_key::KeyError;

/// What an answer says of its error; the exchange adds the request's id and writes it (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    #[schema(example = 404)]
    pub(crate) status: u16,
    #[schema(value_type = String, example = "Not Found")]
    pub(crate) title: &'static str,
    /// For programs.
    #[schema(value_type = String, example = "not_found")]
    pub(crate) code: &'static str,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "the stream does not exist")]
    pub(crate) detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    /// What is wrong with which fields.
    pub(crate) errors: Vec<FieldError>,
}

impl Problem {
    /// For an answer that some layer gave by its status alone.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::BAD_REQUEST => "malformed",
            StatusCode::UNAUTHORIZED => "unauthenticated",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            _ if status.is_server_error() => "internal",
            _ => "refused",
        };
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error"),
            code,
            detail: None,
            errors: Vec::new(),
        }
    }
}

/// How an error is answered, for programs.
pub(crate) fn status_and_code(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::Auth(error) => match error {
            AuthError::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            AuthError::TokenInvalid => (StatusCode::UNAUTHORIZED, "token_invalid"),
            AuthError::TokenExpired => (StatusCode::UNAUTHORIZED, "token_expired"),
            AuthError::SessionRevoked => (StatusCode::UNAUTHORIZED, "session_revoked"),
            AuthError::WrongCredentials => (StatusCode::UNAUTHORIZED, "wrong_credentials"),
            AuthError::RefreshInvalid => (StatusCode::UNAUTHORIZED, "refresh_invalid"),
            AuthError::RefreshReused => (StatusCode::UNAUTHORIZED, "refresh_reused"),
            AuthError::Banned => (StatusCode::FORBIDDEN, "banned"),
            AuthError::WrongPassword => (StatusCode::FORBIDDEN, "wrong_password"),
            AuthError::NoMail => (StatusCode::CONFLICT, "no_mail"),
            AuthError::NotAdmin => (StatusCode::FORBIDDEN, "forbidden"),
        },
        Error::Stream(error) => match error {
            StreamError::NotYours => (StatusCode::FORBIDDEN, "forbidden"),
            StreamError::Unknown | StreamError::NoneOpen => (StatusCode::NOT_FOUND, "not_found"),
            StreamError::OneOpen => (StatusCode::CONFLICT, "stream_open"),
            StreamError::Ended => (StatusCode::CONFLICT, "ended"),
            StreamError::Changed => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
        },
        Error::People(error) => match error {
            PeopleError::Unknown => (StatusCode::NOT_FOUND, "not_found"),
            PeopleError::Oneself => (StatusCode::UNPROCESSABLE_ENTITY, "oneself"),
            PeopleError::Blocked => (StatusCode::FORBIDDEN, "blocked"),
            PeopleError::TooMany => (StatusCode::CONFLICT, "too_many"),
            PeopleError::NotYou => (StatusCode::FORBIDDEN, "forbidden"),
        },
        Error::Admin(error) => match error {
            AdminError::IsAdmin => (StatusCode::CONFLICT, "is_admin"),
            AdminError::IsBanned => (StatusCode::CONFLICT, "is_banned"),
            AdminError::LastAdmin => (StatusCode::CONFLICT, "last_admin"),
        },
        Error::Registration(error) => match error {
            RegistrationError::Closed => (StatusCode::FORBIDDEN, "registration_closed"),
            RegistrationError::InvitationInvalid => (StatusCode::FORBIDDEN, "invitation_invalid"),
            RegistrationError::TooManyInvitations => (StatusCode::CONFLICT, "too_many"),
        },
        Error::Billing(error) => match error {
            BillingError::NotSigned(_) => (StatusCode::BAD_REQUEST, "malformed"),
            BillingError::PaymentFailed => (StatusCode::PAYMENT_REQUIRED, "payment_failed"),
            BillingError::AlreadySubscribed => (StatusCode::CONFLICT, "already_subscribed"),
            BillingError::Over => (StatusCode::CONFLICT, "subscription_over"),
            BillingError::WithdrawalOver => (StatusCode::CONFLICT, "withdrawal_over"),
            BillingError::ChangePending => (StatusCode::CONFLICT, "change_pending"),
            BillingError::Disabled => (StatusCode::NOT_IMPLEMENTED, "billing_disabled"),
            BillingError::ProviderAway => (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"),
        },
        Error::Chat(error) => match error {
            ChatError::UnknownStream | ChatError::UnknownMessage | ChatError::UnknownTerm => {
                (StatusCode::NOT_FOUND, error.code())
            }
            ChatError::Ended | ChatError::Repeated | ChatError::NotUnique | ChatError::TooMany(..) => {
                (StatusCode::CONFLICT, error.code())
            }
            ChatError::Empty | ChatError::TooLong | ChatError::NameTooLong | ChatError::Treacherous => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid")
            }
            ChatError::TooFast(_) | ChatError::RoomBusy(_) | ChatError::Slow(_) => {
                (StatusCode::TOO_MANY_REQUESTS, error.code())
            }
            ChatError::BannedHere
            | ChatError::TimedOut(_)
            | ChatError::FollowersOnly(_)
            | ChatError::SubsOnly
            | ChatError::EmotesOnly
            | ChatError::BlockedTerm
            | ChatError::LinksBlocked
            | ChatError::NotYours
            | ChatError::NotModerator
            | ChatError::NotRoomOwner
            | ChatError::Protected => (StatusCode::FORBIDDEN, error.code()),
            ChatError::Full | ChatError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, error.code()),
        },
        Error::EventSubscription(EventSubscriptionError::TooMany) => (StatusCode::CONFLICT, "too_many"),
        Error::ForeignOrigin => (StatusCode::FORBIDDEN, "forbidden"),
        Error::Key(KeyError::Unreadable) => (StatusCode::CONFLICT, "stream_key_unreadable"),
        Error::Picture(error) => match error {
            PictureError::UnknownFormat => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            PictureError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            PictureError::Unreadable => (StatusCode::UNPROCESSABLE_ENTITY, "picture_unreadable"),
            PictureError::TooManyPixels => (StatusCode::UNPROCESSABLE_ENTITY, "too_many_pixels"),
            PictureError::NoStorage => (StatusCode::CONFLICT, "no_storage"),
            PictureError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            PictureError::StorageAway => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        },
        Error::Input(error) => match error {
            InputError::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            InputError::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            InputError::Taken(_) => (StatusCode::CONFLICT, "taken"),
            InputError::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            InputError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        },
        Error::Limit(error) => match error {
            LimitError::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            LimitError::Overloaded | LimitError::TooMuchMail | LimitError::TooManySockets => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
            }
            LimitError::TimedOut => (StatusCode::SERVICE_UNAVAILABLE, "timed_out"),
        },
        Error::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        Error::Database(error) if is_outage(error) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Error::Database(_) | Error::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = status_and_code(&self);
        match &self {
            Self::Database(error) if status == StatusCode::SERVICE_UNAVAILABLE => {
                tracing::warn!(%error, "PostgreSQL is unavailable");
            }
            Self::Database(error) => tracing::error!(%error, "query failed"),
            Self::Internal(reason) => tracing::error!(%reason, "request failed"),
            _ => {}
        }
        let mut response = status.into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Self::Limit(LimitError::RateLimited(wait))
        | Self::Chat(
            ChatError::TooFast(wait)
            | ChatError::RoomBusy(wait)
            | ChatError::Slow(wait)
            | ChatError::TimedOut(wait),
        ) = &self
        {
            headers.insert(header::RETRY_AFTER, whole_seconds(*wait).into());
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_SECONDS.into());
        }
        let detail = Some(self.to_string());
        let errors = match self {
            Self::Input(InputError::Invalid(errors)) => errors,
            Self::Input(InputError::Taken(error)) => vec![error],
            Self::Chat(error @ ChatError::NameTooLong) => {
                vec![FieldError::new("/clientMsgId", error.code(), error.to_string())]
            }
            Self::Chat(error @ (ChatError::Empty | ChatError::TooLong | ChatError::Treacherous)) => {
                vec![FieldError::new("/message", error.code(), error.to_string())]
            }
            _ => Vec::new(),
        };
        let title = status.canonical_reason().unwrap_or("Error");
        response.extensions_mut().insert(Problem { status: status.as_u16(), title, code, detail, errors });
        response
    }
}
