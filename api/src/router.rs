//! Table of contents: every path the api answers, and what stands in front of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, any, delete, get, patch, post, put};
use caudal_livestream::audience::AUDIENCE_PATH;
use caudal_service::internal::{InternalListener, listener_of, require_signature};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::App;
use crate::last_answers::LastAnswers;
use crate::routes::search::search;
use crate::routes::{
    admin, audience, auth, billing, categories, chat, documentation, event_subscriptions, ingest,
    notifications, pictures, registration, streams, subscriptions, users,
};
use crate::security_headers::SecurityHeaders;
use crate::start_error::StartError;
use crate::{answer_cache, exchange, last_answers, token_in_address, web};

/// Every path below [`API`]. docs/api.md lists them, which a test compares.
fn rest() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/auth/register", post(auth::register)),
        ("/registration", get(registration)),
        ("/auth/login", post(auth::login)),
        ("/auth/refresh", post(auth::refresh)),
        ("/auth/logout", post(auth::logout)),
        ("/auth/sessions", get(auth::sessions).delete(auth::end_other_sessions)),
        ("/auth/sessions/{id}", delete(auth::end_session)),
        ("/auth/password", post(auth::change_password)),
        ("/auth/password/forgot", post(auth::forgot_password)),
        ("/auth/password/reset", post(auth::reset_password)),
        ("/auth/email/verify", post(auth::verify_email)),
        ("/auth/email/verification", post(auth::send_verification)),
        ("/auth/stream-key", get(auth::stream_key)),
        ("/auth/stream-key/rotate", post(auth::rotate_stream_key)),
        ("/streams", get(streams::list).post(streams::create)),
        ("/streams/mine", get(streams::mine)),
        ("/streams/open", get(streams::open)),
        ("/streams/failed", get(streams::failed)),
        ("/streams/{id}", get(streams::show).patch(streams::edit).delete(streams::end)),
        ("/streams/{id}/health", get(streams::health)),
        ("/streams/{id}/thumbnail", put(streams::set_thumbnail).delete(streams::remove_thumbnail)),
        ("/streams/{id}/watching", post(streams::watching)),
        ("/users/me", get(users::me).patch(users::edit).delete(users::delete)),
        ("/users/me/avatar", put(users::set_avatar).delete(users::remove_avatar)),
        ("/users/me/following/live", get(users::following_live)),
        ("/users/me/blocks", get(users::blocks)),
        ("/users/me/blocks/{id}", put(users::block).delete(users::unblock)),
        ("/users/{id}", get(users::show)),
        ("/users/{id}/streams", get(users::streams)),
        ("/users/{id}/plans", get(billing::offer)),
        ("/users/{id}/follow", post(users::follow).delete(users::unfollow)),
        ("/users/{id}/followers", get(users::followers)),
        ("/users/{id}/following", get(users::following)),
        ("/categories", get(categories::list).post(categories::create)),
        ("/categories/{slug}", get(categories::show).patch(categories::edit).delete(categories::remove)),
        ("/categories/{slug}/icon", put(categories::set_icon).delete(categories::remove_icon)),
        ("/categories/{slug}/streams", get(categories::streams)),
        ("/search", get(search)),
        ("/chat/{id}", get(chat::history)),
        ("/chat/{id}/messages", post(chat::send)),
        ("/chat/{id}/messages/{message}", delete(chat::remove)),
        ("/notifications", get(notifications::list).patch(notifications::mark_all)),
        ("/notifications/unread", get(notifications::unread)),
        ("/notifications/preferences", get(notifications::preferences).put(notifications::set_preferences)),
        ("/notifications/{id}", patch(notifications::mark)),
        ("/subscriptions", post(subscriptions::create)),
        // One pattern: a person's for GET, a subscription's for the others.
        (
            "/subscriptions/{id}",
            get(subscriptions::list).patch(subscriptions::change).delete(subscriptions::cancel),
        ),
        ("/subscriptions/{id}/resume", post(subscriptions::resume)),
        ("/subscriptions/{id}/withdraw", post(subscriptions::withdraw)),
        ("/subscriptions/streamer/{id}", get(subscriptions::of_streamer)),
        ("/checkouts/{id}", get(subscriptions::checkout)),
        ("/billing", get(billing::terms)),
        ("/billing/plans", get(billing::own_plans)),
        ("/billing/plans/{tier}", put(billing::sell).delete(billing::stop_selling)),
        ("/billing/owed", get(billing::owed)),
        ("/billing/ledger.csv", get(billing::ledger)),
        ("/billing/payments", get(billing::payments)),
        ("/event-subscriptions", get(event_subscriptions::list).post(event_subscriptions::create)),
        ("/event-subscriptions/{id}", get(event_subscriptions::show).delete(event_subscriptions::remove)),
        ("/admin/dead-letters", get(admin::dead_letters)),
        ("/admin/dead-letters/{id}/retry", post(admin::retry)),
        ("/admin/registration", get(admin::registration).patch(admin::set_registration)),
        ("/admin/invitations", get(admin::invitations).post(admin::invite)),
        ("/admin/invitations/{id}", delete(admin::remove_invitation)),
        ("/admin/users", get(admin::users)),
        ("/admin/users/{id}/ban", put(admin::ban).delete(admin::unban)),
        ("/admin/users/{id}/avatar", delete(admin::remove_avatar)),
        ("/admin/users/{id}/role", put(admin::set_role)),
        ("/admin/audit-log", get(admin::audit_log)),
        ("/admin/figures", get(admin::figures)),
        ("/chat/{id}/settings", get(chat::settings).patch(chat::change_settings)),
        ("/chat/{id}/bans", get(chat::bans)),
        ("/chat/{id}/bans/{user}", put(chat::ban).delete(chat::unban)),
        ("/chat/{id}/moderators", get(chat::moderators)),
        ("/chat/{id}/moderators/{user}", put(chat::appoint).delete(chat::dismiss)),
        ("/chat/{id}/terms", get(chat::terms).post(chat::block)),
        ("/chat/{id}/terms/{term}", delete(chat::unblock)),
        ("/chat/{id}/modlog", get(chat::modlog)),
        ("/openapi.json", get(documentation::openapi)),
        ("/docs", get(documentation::page)),
    ]
}

/// The paths of [`rest`], as a client sends them.
pub fn rest_paths() -> impl Iterator<Item = String> {
    rest().into_iter().map(|(path, _)| format!("{API}{path}"))
}

/// For viewers and streamers.
pub(crate) fn public(app: &App) -> Result<Router, StartError> {
    let headers = Arc::new(SecurityHeaders::new(&app.streams.urls, &app.documentation)?);
    let api = rest()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .fallback(exchange::nothing_here)
        .layer(from_fn_with_state(Arc::clone(&app.answer_cache), answer_cache::remember))
        .layer(from_fn_with_state(Arc::new(LastAnswers::default()), last_answers::stand_in))
        .layer(from_fn_with_state(app.clone(), exchange::finish))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(app.clone(), exchange::limit))
        .layer(from_fn(no_store_unless_said))
        .layer(cors(&app.entrance.cors_origins));
    let sockets = Router::new()
        .route("/ws/chat/{id}", get(chat::socket))
        .route("/ws/notifications", get(notifications::socket))
        .layer(from_fn(token_in_address::refuse))
        .layer(from_fn_with_state(app.clone(), exchange::limit));
    let socket_io = Router::new()
        .route(SOCKET_IO, any(chat::socket_io))
        .route(SOCKET_IO_BARE, any(chat::socket_io))
        .layer(from_fn(token_in_address::refuse))
        .layer(from_fn_with_state(app.clone(), exchange::limit))
        .layer(from_fn(no_store_unless_said))
        .layer(cors(&app.entrance.cors_origins));
    let providers = Router::new()
        .route(STRIPE_WEBHOOK, post(billing::stripe_webhook))
        .layer(DefaultBodyLimit::max(billing::MAX_WEBHOOK))
        .layer(from_fn_with_state(app.clone(), exchange::finish));
    let router = Router::new()
        .nest(API, api)
        .merge(sockets)
        .merge(socket_io)
        .merge(providers)
        .route(PICTURE, get(pictures::picture))
        .fallback(web::pages)
        .layer(CatchPanicLayer::custom(exchange::after_panic))
        .layer(from_fn_with_state(app.clone(), exchange::surround))
        .layer(from_fn_with_state(headers, crate::security_headers::add));
    Ok(router.with_state(app.clone()))
}

/// For router, controller and edges; each may ask only what is its own to ask.
pub(crate) fn internal(app: &App) -> Router {
    let signed_by =
        |callers: &[&str]| from_fn_with_state(Arc::new(app.ingest.callers.only(callers)), require_signature);
    let edges =
        Router::new().route(AUDIENCE_PATH, post(audience::report)).route_layer(signed_by(&["hls-edge"]));
    let routes = Router::new()
        .route("/internal/ingest/authorize", post(ingest::authorize))
        .route("/internal/ingest/published", post(ingest::published))
        .route("/internal/ingest/done", post(ingest::done))
        .fallback(exchange::nothing_here)
        .layer(from_fn_with_state(Arc::clone(&app.answer_cache), answer_cache::remember))
        .layer(from_fn_with_state(app.clone(), exchange::finish))
        .layer(signed_by(&["ingest-router", "controller"]))
        .merge(edges)
        .layer(CatchPanicLayer::custom(exchange::after_panic))
        .layer(from_fn_with_state(app.clone(), exchange::surround))
        .with_state(app.clone());
    listener_of(InternalListener::Api, routes)
}

/// Answers are for whoever asked: what may be kept says so itself.
async fn no_store_unless_said(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The pages are of the same origin and need none of this; other origins only by name, never `*` with credentials.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH, header::IF_NONE_MATCH])
        .expose_headers([
            header::ETAG,
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(std::time::Duration::from_secs(600))
}

/// Where the api ends and the pages begin.
pub(crate) const API: &str = "/api";
/// Files that people uploaded. Not under [`API`]: a page shows a hundred of them, and they are counted as little as its own.
pub(crate) const PICTURES: &str = "/pictures/";
/// Where Stripe tells what has changed.
pub(crate) const STRIPE_WEBHOOK: &str = "/webhooks/stripe";
const PICTURE: &str = "/pictures/{folder}/{file}";
/// Where clients of Socket.IO go unless they are told otherwise, and the same with `addTrailingSlash: false`.
pub(crate) const SOCKET_IO: &str = "/socket.io/";
pub(crate) const SOCKET_IO_BARE: &str = "/socket.io";
/// The longest request there is, a description of 5,000 characters, has 20 KB.
const MAX_BODY: usize = 64 * 1024;
