use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use caudal_billing::stripe::BadSignature;

use super::*;
use crate::input::FieldError;
use crate::problem::Problem;

/// Every variant of [`Error`] once, or once a case: adding one without a row here does not compile.
fn number(error: &Error) -> usize {
    match error {
        Error::Input(InputError::Malformed(_)) => 0,
        Error::Input(InputError::Invalid(_)) => 1,
        Error::Auth(AuthError::Unauthenticated) => 2,
        Error::Auth(AuthError::TokenInvalid) => 3,
        Error::Auth(AuthError::TokenExpired) => 4,
        Error::Auth(AuthError::SessionRevoked) => 5,
        Error::Auth(AuthError::WrongCredentials) => 6,
        Error::Auth(AuthError::Banned) => 7,
        Error::Auth(AuthError::RefreshInvalid) => 8,
        Error::Auth(AuthError::RefreshReused) => 9,
        Error::Auth(AuthError::WrongPassword) => 10,
        Error::Stream(StreamError::NotYours) => 11,
        Error::NotFound(_) => 12,
        Error::Stream(StreamError::NoneOpen) => 13,
        Error::Stream(StreamError::OneOpen) => 14,
        Error::Input(InputError::Taken(_)) => 15,
        Error::Stream(StreamError::Changed) => 16,
        Error::Input(InputError::UnsupportedMediaType) => 17,
        Error::Input(InputError::TooLarge) => 18,
        Error::Limit(LimitError::RateLimited(_)) => 19,
        Error::Limit(LimitError::Overloaded) => 20,
        Error::Limit(LimitError::TimedOut) => 21,
        Error::Database(_) => 22,
        Error::Internal(_) => 23,
        Error::Key(KeyError::Unreadable) => 24,
        Error::Stream(StreamError::Unknown) => 25,
        Error::Auth(AuthError::NotAdmin) => 26,
        Error::People(PeopleError::Unknown) => 27,
        Error::People(PeopleError::Oneself) => 28,
        Error::People(PeopleError::Blocked) => 29,
        Error::People(PeopleError::TooMany) => 30,
        Error::People(PeopleError::NotYou) => 31,
        Error::Limit(LimitError::TooManySockets) => 32,
        Error::ForeignOrigin => 33,
        Error::Chat(ChatError::UnknownStream) => 34,
        Error::Chat(ChatError::UnknownMessage) => 35,
        Error::Chat(ChatError::Ended) => 36,
        Error::Chat(ChatError::Empty) => 37,
        Error::Chat(ChatError::TooLong) => 38,
        Error::Chat(ChatError::Treacherous) => 39,
        Error::Chat(ChatError::TooFast(_)) => 40,
        Error::Chat(ChatError::RoomBusy(_)) => 41,
        Error::Chat(ChatError::Repeated) => 42,
        Error::Chat(ChatError::NotYours) => 43,
        Error::Chat(ChatError::Full) => 44,
        Error::Chat(ChatError::Unavailable) => 45,
        Error::Admin(AdminError::IsAdmin) => 46,
        Error::Admin(AdminError::IsBanned) => 47,
        Error::Admin(AdminError::LastAdmin) => 48,
        Error::Registration(RegistrationError::Closed) => 49,
        Error::Registration(RegistrationError::InvitationInvalid) => 50,
        Error::Registration(RegistrationError::TooManyInvitations) => 51,
        Error::Chat(ChatError::BannedHere) => 52,
        Error::Chat(ChatError::TimedOut(_)) => 53,
        Error::Chat(ChatError::Slow(_)) => 54,
        Error::Chat(ChatError::FollowersOnly(_)) => 55,
        Error::Chat(ChatError::SubsOnly) => 56,
        Error::Chat(ChatError::EmotesOnly) => 57,
        Error::Chat(ChatError::NotUnique) => 58,
        Error::Chat(ChatError::BlockedTerm) => 59,
        Error::Chat(ChatError::LinksBlocked) => 60,
        Error::Chat(ChatError::NotModerator) => 61,
        Error::Chat(ChatError::NotRoomOwner) => 62,
        Error::Chat(ChatError::Protected) => 63,
        Error::Chat(ChatError::UnknownTerm) => 64,
        Error::Chat(ChatError::TooMany(..)) => 65,
        Error::Auth(AuthError::NoMail) => 66,
        Error::Limit(LimitError::TooMuchMail) => 67,
        Error::EventSubscription(EventSubscriptionError::TooMany) => 68,
        Error::Stream(StreamError::Ended) => 69,
        Error::Picture(PictureError::UnknownFormat) => 70,
        Error::Picture(PictureError::Unreadable) => 71,
        Error::Picture(PictureError::TooManyPixels) => 72,
        Error::Picture(PictureError::TooLarge) => 73,
        Error::Picture(PictureError::NoStorage) => 74,
        Error::Picture(PictureError::Busy) => 75,
        Error::Picture(PictureError::StorageAway) => 76,
        Error::Chat(ChatError::NameTooLong) => 77,
        Error::Billing(BillingError::Disabled) => 78,
        Error::Billing(BillingError::AlreadySubscribed) => 79,
        Error::Billing(BillingError::PaymentFailed) => 80,
        Error::Billing(BillingError::Over) => 81,
        Error::Billing(BillingError::WithdrawalOver) => 82,
        Error::Billing(BillingError::ChangePending) => 83,
        Error::Billing(BillingError::ProviderAway) => 84,
        Error::Billing(BillingError::NotSigned(_)) => 85,
    }
}

const VARIANTS: usize = 86;

#[test]
fn every_error_says_what_is_wrong_and_what_to_do_about_it() {
    let bug = "something went wrong on the server; its log says what, under this answer's requestId";
    let field = || FieldError::new("/username", "taken", "this name is taken");
    let cases: [(Error, u16, &str, &str); 90] = [
        (
            InputError::Malformed("the body is not JSON".into()).into(),
            400,
            "malformed",
            "the body is not JSON",
        ),
        (InputError::Invalid(vec![field()]).into(), 422, "invalid", "some fields are not acceptable"),
        (AuthError::Unauthenticated.into(), 401, "unauthenticated", "log in first"),
        (AuthError::TokenInvalid.into(), 401, "token_invalid", "the access token is not valid; log in again"),
        (AuthError::TokenExpired.into(), 401, "token_expired", "the access token has expired; refresh it"),
        (
            AuthError::SessionRevoked.into(),
            401,
            "session_revoked",
            "the session has been ended; log in again",
        ),
        (AuthError::WrongCredentials.into(), 401, "wrong_credentials", "the name or the password is wrong"),
        (AuthError::Banned.into(), 403, "banned", "this account is banned; ask whoever runs this server"),
        (
            AuthError::RefreshInvalid.into(),
            401,
            "refresh_invalid",
            "the refresh token is not valid; log in again",
        ),
        (
            AuthError::RefreshReused.into(),
            401,
            "refresh_reused",
            "the refresh token was used before, so its session has been ended; log in again",
        ),
        (AuthError::WrongPassword.into(), 403, "wrong_password", "the password is wrong"),
        (AuthError::NotAdmin.into(), 403, "forbidden", "this is for admins"),
        (AuthError::NoMail.into(), 409, "no_mail", "this server sends no mail; ask whoever runs it"),
        (
            LimitError::TooMuchMail.into(),
            503,
            "overloaded",
            "too many mails are being sent just now; try again in 2 s",
        ),
        (
            EventSubscriptionError::TooMany.into(),
            409,
            "too_many",
            "25 event subscriptions are the most; remove one first",
        ),
        (StreamError::Ended.into(), 409, "ended", "the stream has ended"),
        (
            PictureError::UnknownFormat.into(),
            415,
            "unsupported_media_type",
            "a picture must be a JPEG, PNG or WebP file",
        ),
        (PictureError::Unreadable.into(), 422, "picture_unreadable", "the picture is damaged or incomplete"),
        (
            PictureError::TooManyPixels.into(),
            422,
            "too_many_pixels",
            "the picture has too many pixels: 16 megapixels and 10000 a side are the most",
        ),
        (PictureError::TooLarge.into(), 413, "too_large", "the file is too large: 5 MiB are the most"),
        (PictureError::NoStorage.into(), 409, "no_storage", "this server keeps no pictures"),
        (
            PictureError::Busy.into(),
            503,
            "overloaded",
            "too many pictures are on their way just now; try again in 2 s",
        ),
        (
            PictureError::StorageAway.into(),
            503,
            "unavailable",
            "the storage of pictures cannot be reached just now; try again in 2 s",
        ),
        (BillingError::Disabled.into(), 501, "billing_disabled", "this server sells nothing"),
        (
            BillingError::AlreadySubscribed.into(),
            409,
            "already_subscribed",
            "you have a subscription of this channel; change its tier instead",
        ),
        (
            BillingError::PaymentFailed.into(),
            402,
            "payment_failed",
            "the payment was declined; your subscription is as it was",
        ),
        (BillingError::Over.into(), 409, "subscription_over", "this subscription is over"),
        (
            BillingError::WithdrawalOver.into(),
            409,
            "withdrawal_over",
            "the time in which it can be withdrawn from is over; you can cancel it",
        ),
        (
            BillingError::ChangePending.into(),
            409,
            "change_pending",
            "something about this subscription waits: complete its payment, or resume it, first",
        ),
        (
            BillingError::ProviderAway.into(),
            503,
            "provider_unavailable",
            "the payment provider did not answer; look at your subscriptions before you try again in 2 s",
        ),
        (
            BillingError::NotSigned(BadSignature::Wrong).into(),
            400,
            "malformed",
            "this is no event of the provider: the signature is not right",
        ),
        (PeopleError::Unknown.into(), 404, "not_found", "there is no such person"),
        (PeopleError::Oneself.into(), 422, "oneself", "this is yourself"),
        (PeopleError::Blocked.into(), 403, "blocked", "you cannot follow this person"),
        (PeopleError::TooMany.into(), 409, "too_many", "5000 people are the most; remove some first"),
        (PeopleError::NotYou.into(), 403, "forbidden", "only this person may see that"),
        (
            LimitError::TooManySockets.into(),
            503,
            "overloaded",
            "too many connections are open; try again in 2 s",
        ),
        (Error::ForeignOrigin, 403, "forbidden", "pages of another site may not do this"),
        (ChatError::UnknownStream.into(), 404, "not_found", "the stream does not exist"),
        (ChatError::UnknownMessage.into(), 404, "not_found", "the message does not exist"),
        (ChatError::Ended.into(), 409, "ended", "the stream has ended, and its chat with it"),
        (ChatError::Empty.into(), 422, "invalid", "say something"),
        (ChatError::TooLong.into(), 422, "invalid", "a message has 500 characters at most"),
        (ChatError::NameTooLong.into(), 422, "invalid", "clientMsgId has 64 bytes at most"),
        (
            ChatError::Treacherous.into(),
            422,
            "invalid",
            "this message has characters that cannot be used here",
        ),
        (ChatError::TooFast(Duration::from_millis(1_001)).into(), 429, "too_fast", "not so fast; wait 2 s"),
        (
            ChatError::RoomBusy(Duration::from_millis(20)).into(),
            429,
            "room_busy",
            "everybody is talking at once; wait 1 s",
        ),
        (ChatError::Repeated.into(), 409, "repeated", "you have just said that"),
        (
            ChatError::NotYours.into(),
            403,
            "forbidden",
            "only its author and moderators may remove a message, and moderators not each other's",
        ),
        (ChatError::BannedHere.into(), 403, "banned_here", "you are banned from this chat"),
        (
            ChatError::TimedOut(Duration::from_millis(59_001)).into(),
            403,
            "timed_out",
            "you may not talk here just now; wait 60 s",
        ),
        (ChatError::Slow(Duration::from_secs(5)).into(), 429, "slow", "this chat is slow; wait 5 s"),
        (ChatError::FollowersOnly(0).into(), 403, "followers_only", "only followers may talk here"),
        (
            ChatError::FollowersOnly(10).into(),
            403,
            "followers_only",
            "only who has followed this channel for 10 min may talk here",
        ),
        (ChatError::SubsOnly.into(), 403, "subs_only", "only subscribers may talk here"),
        (ChatError::EmotesOnly.into(), 403, "emotes_only", "only emotes may be said here"),
        (ChatError::NotUnique.into(), 409, "not_unique", "somebody has said that already; find other words"),
        (ChatError::BlockedTerm.into(), 403, "blocked_term", "this message has words that are blocked here"),
        (ChatError::LinksBlocked.into(), 403, "links_blocked", "links are blocked here"),
        (ChatError::NotModerator.into(), 403, "forbidden", "this is for the streamer and moderators"),
        (ChatError::NotRoomOwner.into(), 403, "forbidden", "this is for the streamer"),
        (ChatError::Protected.into(), 403, "forbidden", "you cannot moderate this person"),
        (ChatError::UnknownTerm.into(), 404, "not_found", "this term is not blocked"),
        (
            ChatError::TooMany("terms", 200).into(),
            409,
            "too_many",
            "200 terms are the most; remove some first",
        ),
        (
            ChatError::Full.into(),
            503,
            "overloaded",
            "too many rooms are open on this server; try again in 2 s",
        ),
        (
            ChatError::Unavailable.into(),
            503,
            "unavailable",
            "chat is not available just now; try again in 2 s",
        ),
        (AdminError::IsAdmin.into(), 409, "is_admin", "this person is an admin; take the role away first"),
        (AdminError::IsBanned.into(), 409, "is_banned", "this person is banned; end the ban first"),
        (
            AdminError::LastAdmin.into(),
            409,
            "last_admin",
            "this is the last admin; make somebody else one first",
        ),
        (
            RegistrationError::Closed.into(),
            403,
            "registration_closed",
            "nobody can open an account here just now",
        ),
        (
            RegistrationError::InvitationInvalid.into(),
            403,
            "invitation_invalid",
            "opening an account takes an invitation that is valid and not used up; ask for another one",
        ),
        (
            RegistrationError::TooManyInvitations.into(),
            409,
            "too_many",
            "1000 invitations are the most; remove some first",
        ),
        (StreamError::NotYours.into(), 403, "forbidden", "this is not yours"),
        (StreamError::Unknown.into(), 404, "not_found", "the stream does not exist"),
        (Error::NotFound("this path"), 404, "not_found", "this path does not exist"),
        (
            StreamError::NoneOpen.into(),
            404,
            "not_found",
            "you have no open stream; prepare one, or start streaming",
        ),
        (StreamError::OneOpen.into(), 409, "stream_open", "a stream is open already; end it first"),
        (InputError::Taken(field()).into(), 409, "taken", "this name is taken"),
        (
            KeyError::Unreadable.into(),
            409,
            "stream_key_unreadable",
            "the server's secret was changed or lost, and your stream key with it; make a new key and copy it into your encoder",
        ),
        (StreamError::Changed.into(), 412, "precondition_failed", "it was changed meanwhile; read it again"),
        (
            InputError::UnsupportedMediaType.into(),
            415,
            "unsupported_media_type",
            "the body must be application/json",
        ),
        (InputError::TooLarge.into(), 413, "too_large", "the body is too large"),
        (LimitError::RateLimited(Duration::ZERO).into(), 429, "rate_limited", "too many requests; wait 1 s"),
        (
            LimitError::RateLimited(Duration::from_millis(1)).into(),
            429,
            "rate_limited",
            "too many requests; wait 1 s",
        ),
        (
            LimitError::RateLimited(Duration::from_millis(5_001)).into(),
            429,
            "rate_limited",
            "too many requests; wait 6 s",
        ),
        (
            LimitError::Overloaded.into(),
            503,
            "overloaded",
            "too many people are logging in just now; try again in 2 s",
        ),
        (
            LimitError::TimedOut.into(),
            503,
            "timed_out",
            "the server took too long to answer; try again in 2 s",
        ),
        (
            Error::Database(sqlx::Error::PoolTimedOut),
            503,
            "unavailable",
            "the database cannot be reached just now; try again in 2 s",
        ),
        (Error::Database(sqlx::Error::RowNotFound), 500, "internal", bug),
        (Error::Internal("a secret".into()), 500, "internal", bug),
    ];
    let mut seen = [false; VARIANTS];
    for (error, status, code, words) in cases {
        seen[number(&error)] = true;
        let wait = words.rsplit(' ').nth(1).filter(|_| words.ends_with(" s"));
        let response = error.into_response();
        let problem = response.extensions().get::<Problem>().unwrap();
        assert_eq!((response.status().as_u16(), problem.status, problem.code), (status, status, code));
        assert!(
            crate::openapi::meaning_of(status, code).is_some(),
            "{status} {code} is missing in openapi/problems.rs"
        );
        assert_eq!(problem.detail.as_deref(), Some(words));
        // The header says the same as the words, and neither stands alone.
        let header = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
        assert_eq!(header, wait, "{words}");
    }
    assert_eq!(seen, [true; VARIANTS]);
}

/// Status, headers and body of every answer that an error becomes, to the byte.
#[tokio::test]
async fn every_answer_stays_as_it_is() {
    use axum::http::Method;
    use std::fmt::Write as _;

    let field = || FieldError::new("/username", "taken", "this name is taken");
    let errors: [Error; 45] = [
        InputError::Malformed("the body is not JSON".into()).into(),
        InputError::Invalid(vec![field(), FieldError::new("?limit", "invalid", "must be lower than 101")])
            .into(),
        InputError::Invalid(vec![]).into(),
        AuthError::Unauthenticated.into(),
        AuthError::TokenInvalid.into(),
        AuthError::TokenExpired.into(),
        AuthError::SessionRevoked.into(),
        AuthError::WrongCredentials.into(),
        AuthError::Banned.into(),
        AuthError::RefreshInvalid.into(),
        AuthError::RefreshReused.into(),
        AuthError::WrongPassword.into(),
        AuthError::NotAdmin.into(),
        AuthError::NoMail.into(),
        LimitError::TooMuchMail.into(),
        PeopleError::Unknown.into(),
        PeopleError::Oneself.into(),
        PeopleError::Blocked.into(),
        PeopleError::TooMany.into(),
        PeopleError::NotYou.into(),
        AdminError::IsAdmin.into(),
        AdminError::IsBanned.into(),
        AdminError::LastAdmin.into(),
        RegistrationError::Closed.into(),
        RegistrationError::InvitationInvalid.into(),
        RegistrationError::TooManyInvitations.into(),
        StreamError::NotYours.into(),
        StreamError::Unknown.into(),
        Error::NotFound("this path"),
        Error::NotFound("this file"),
        StreamError::NoneOpen.into(),
        StreamError::OneOpen.into(),
        InputError::Taken(field()).into(),
        KeyError::Unreadable.into(),
        StreamError::Changed.into(),
        InputError::UnsupportedMediaType.into(),
        InputError::TooLarge.into(),
        LimitError::RateLimited(Duration::ZERO).into(),
        LimitError::RateLimited(Duration::from_millis(5_001)).into(),
        LimitError::RateLimited(Duration::MAX).into(),
        LimitError::Overloaded.into(),
        LimitError::TimedOut.into(),
        Error::Database(sqlx::Error::PoolTimedOut),
        Error::Database(sqlx::Error::RowNotFound),
        Error::Internal("a secret".into()),
    ];
    let statuses = [400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 502, 503];
    let bare = statuses.map(|status| StatusCode::from_u16(status).unwrap().into_response());
    let mut table = String::new();
    for answer in errors.map(Error::into_response).into_iter().chain(bare) {
        let answer = crate::exchange::with_problem(answer, "the-id", &Method::GET);
        writeln!(table, "{}", answer.status()).unwrap();
        let (parts, body) = answer.into_parts();
        let mut headers: Vec<_> = parts.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in headers {
            writeln!(table, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
        let body = axum::body::to_bytes(body, 10_000).await.unwrap();
        writeln!(table, "{}\n", std::str::from_utf8(&body).unwrap()).unwrap();
    }
    insta::assert_snapshot!(table);
}
