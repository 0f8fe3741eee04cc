//! The built web pages: files that never change, and one page for every address of the app.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use tower_http::services::ServeDir;
use uuid::Uuid;

use crate::app::{Pages, Streams};
use crate::category::Slug;
use crate::error::Error;
use crate::names::NormalName;
use crate::stream;

/// Whatever is not under `/api`.
pub(crate) async fn pages(
    State(pages): State<Arc<Pages>>,
    State(streams): State<Arc<Streams>>,
    request: Request,
) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let wants_page = accepts_html(request.headers());
    let Some(folder) = pages.folder.as_deref().filter(|folder| folder.join(INDEX).is_file()) else {
        return if wants_page { not_built() } else { Error::NotFound("this path").into_response() };
    };
    let path = request.uri().path().to_owned();
    let (parts, _) = request.into_parts();
    let may_be_a_file = may_be_a_file(&path);
    if path.starts_with(HASHED) {
        if !may_be_a_file {
            return Error::NotFound("this file").into_response();
        }
        let found = serve(folder, of(&parts, parts.uri.clone())).await;
        return match found.status() {
            // A page of an older build asks for it: a page in place of its script would only puzzle the browser.
            StatusCode::NOT_FOUND => Error::NotFound("this file").into_response(),
            _ => kept_for_ever(found),
        };
    }
    if path != "/"
        && may_be_a_file
        && let Some(found) = revalidated(folder, &parts, parts.uri.clone()).await
    {
        return found;
    }
    // The app's own addresses are no files, and have a page for whoever asks: curl and the programs that show what a link
    // leads to accept anything (`*/*`). A missing script or picture is just missing.
    let index = Uri::from_static("/index.html");
    match AppPage::at(&path) {
        Some(page) if !streams.may_be_there(&page, &pages.looking_up).await => {
            if !wants_page {
                return varying(Error::NotFound(page.what()).into_response(), "accept");
            }
            let page = revalidated(folder, &unconditional(parts), index).await;
            page.map_or_else(not_built, missing)
        }
        Some(_) => revalidated(folder, &parts, index).await.unwrap_or_else(not_built),
        // The app itself says that there is no such page.
        None if wants_page => {
            let page = revalidated(folder, &parts, index).await;
            page.map_or_else(not_built, |page| varying(page, "accept, accept-encoding"))
        }
        None => Error::NotFound("this file").into_response(),
    }
}

/// An address that the app has a page for, as web/src/routing/route.ts reads it.
#[derive(Debug, PartialEq, Eq)]
enum AppPage {
    Plain,
    /// Of a stream; none where no stream can have such an id.
    Watch(Option<Uuid>),
    /// Of somebody, by name.
    Channel(String),
    /// Of a category; none where no category can have such an address.
    Category(Option<Slug>),
}

impl AppPage {
    fn at(path: &str) -> Option<Self> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        match (parts.next(), parts.next(), parts.next()) {
            (
                None
                | Some(
                    "login" | "register" | "forgot-password" | "reset-password" | "verify-email" | "studio"
                    | "settings" | "notifications" | "categories" | "search",
                ),
                None,
                None,
            )
            | (Some("admin"), None | Some("people" | "registration" | "categories" | "log" | "jobs"), None)
            | (Some("settings" | "studio"), Some("subscriptions"), None)
            | (Some("checkout"), Some(_), None) => Some(Self::Plain),
            (Some("watch"), Some(stream), None) => Some(Self::Watch(stream.parse().ok())),
            (Some("categories"), Some(slug), None) => Some(Self::Category(Slug::parse(slug))),
            (Some(name), None, None) => name.strip_prefix('@').map(|name| Self::Channel(name.to_owned())),
            _ => None,
        }
    }

    fn what(&self) -> &'static str {
        match self {
            Self::Plain => "this page",
            Self::Watch(_) => "this stream",
            Self::Channel(_) => "this channel",
            Self::Category(_) => "this category",
        }
    }
}

impl Streams {
    /// Whether there is what a page is about: a stream, live or over, somebody, a category. Where that cannot be told in time,
    /// there may be: then the page itself says what it hears from the api.
    async fn may_be_there(&self, page: &AppPage, looking_up: &Semaphore) -> bool {
        if let AppPage::Plain = page {
            return true;
        }
        let look_up = async {
            let _turn = looking_up.acquire().await.ok()?;
            self.is_there(page).await.ok()
        };
        tokio::time::timeout(LONGEST_LOOK_UP, look_up).await.ok().flatten().unwrap_or(true)
    }

    async fn is_there(&self, page: &AppPage) -> Result<bool, sqlx::Error> {
        let database = &self.database;
        let found = match page {
            AppPage::Plain => return Ok(true),
            AppPage::Watch(Some(stream)) => return stream::exists(database, *stream).await,
            AppPage::Category(Some(slug)) => {
                sqlx::query_scalar!(
                    r#"select true as "there!" from categories where slug = $1"#,
                    slug.as_str()
                )
                .fetch_optional(database)
                .await?
            }
            AppPage::Channel(name) => {
                let name = NormalName::of(name);
                sqlx::query_scalar!(
                    r#"select true as "there!" from users
                       where username_normal = $1 and deleted_at is null and banned_at is null"#,
                    name.as_str()
                )
                .fetch_optional(database)
                .await?
            }
            AppPage::Watch(None) | AppPage::Category(None) => None,
        };
        Ok(found.is_some())
    }
}

/// Without what would be answered by "yours is still the right one".
fn unconditional(mut asked: Parts) -> Parts {
    asked.headers.remove(header::IF_NONE_MATCH);
    asked
}

/// The page, for an address at which there may be something later.
fn missing(mut page: Response) -> Response {
    if page.status().is_success() {
        *page.status_mut() = StatusCode::NOT_FOUND;
        page.headers_mut().remove(header::ETAG);
        page.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    varying(page, "accept, accept-encoding")
}

/// The request of `parts`, for another address.
fn of(parts: &Parts, uri: Uri) -> Request {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = parts.headers.clone();
    request
}

async fn serve(folder: &Path, request: Request) -> Response {
    let files = ServeDir::new(folder)
        .append_index_html_on_directories(false)
        .redirect_to_trailing_slash(false)
        .precompressed_br()
        .precompressed_gzip();
    match files.oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// Whether one of the files could have this address. The file system fails in ways of its own at others, and that would be
/// answered as the server's fault.
fn may_be_a_file(path: &str) -> bool {
    path.len() <= LONGEST_PATH
        && !path.contains("%00")
        && path.split('/').all(|name| name.len() <= LONGEST_NAME)
}

/// The answer for a file whose name holds a hash of what is in it.
fn kept_for_ever(mut found: Response) -> Response {
    if found.status().is_success() || found.status() == StatusCode::NOT_MODIFIED {
        let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
        found.headers_mut().insert(header::CACHE_CONTROL, kept);
        return varying(found, "accept-encoding");
    }
    found
}

/// The answer for a file that keeps its name from build to build, so that browsers ask each time whether theirs is
/// still the right one; `None` when there is no such file.
///
/// The answer to that must come from the content. Date and length, which `ServeDir` looks at, are often the same for
/// the pages of two builds (reproducible packages date every file alike, and hashes are of one length), and then a
/// browser would keep a page whose scripts are gone.
async fn revalidated(folder: &Path, asked: &Parts, uri: Uri) -> Option<Response> {
    let mut request = of(asked, uri);
    *request.method_mut() = Method::GET;
    for about_a_part in CONDITIONS {
        request.headers_mut().remove(about_a_part);
    }
    let found = serve(folder, request).await;
    match found.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return None,
        _ => return Some(found),
    }
    let (mut head, body) = found.into_parts();
    let content = match axum::body::to_bytes(body, LARGEST_REVALIDATED).await {
        Ok(content) => content,
        Err(error) => return Some(Error::Internal(format!("a file of the pages: {error}")).into_response()),
    };
    let hash = Sha256::digest(&content);
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash));
    let known = asked.headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let mut tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    });
    head.headers.remove(header::LAST_MODIFIED);
    head.headers.remove(header::ACCEPT_RANGES);
    head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        head.headers.insert(header::ETAG, tag);
    }
    let body = if known {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::CONTENT_ENCODING);
        Body::empty()
    } else if asked.method == Method::HEAD {
        Body::empty()
    } else {
        Body::from(content)
    };
    Some(varying(Response::from_parts(head, body), "accept-encoding"))
}

fn varying(mut response: Response, by: &'static str) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static(by));
    response
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.flat_map(|list| list.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}

fn not_built() -> Response {
    (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")], Html(NOT_BUILT)).into_response()
}

/// Look-ups of streams at once. No limit counts who asks for pages, and so these must not take all connections to the
/// database.
pub(crate) const LOOK_UPS: usize = 2;
/// A page is not kept waiting for longer by a database that is away or busy.
const LONGEST_LOOK_UP: Duration = Duration::from_secs(1);
/// Vite puts everything whose name carries its hash here.
const HASHED: &str = "/assets/";
const INDEX: &str = "index.html";
/// Bytes, as Linux has them for a name; ours are far below.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 1024;
/// Bytes. What keeps its name is a page of a kilobyte, a picture and a small script.
const LARGEST_REVALIDATED: usize = 4 * 1024 * 1024;
/// Answered by `revalidated` itself, or not at all: nobody needs a part of so small a file.
const CONDITIONS: [HeaderName; 6] = [
    header::IF_NONE_MATCH,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];
const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><title>Caudal</title>\
<h1>Caudal is running</h1><p>The api answers under <code>/api</code>, but its web pages are not built. \
Build them with <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code>, or start everything with \
<code>make run</code>.</p>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apps_addresses_are_those_that_its_router_knows() {
        let id = "0199b8a0-0000-7000-8000-000000000001";
        for path in
            ["/", "//", "/login", "/register", "/studio", "/studio/", "/settings", "/categories", "/search"]
                .into_iter()
                .chain(["/admin", "/admin/", "/admin/people", "/admin/jobs"])
        {
            assert_eq!(AppPage::at(path), Some(AppPage::Plain), "{path}");
        }
        for path in [format!("/watch/{id}"), format!("/watch//{id}/")] {
            assert_eq!(AppPage::at(&path), Some(AppPage::Watch(id.parse().ok())), "{path}");
        }
        assert_eq!(AppPage::at("/watch/1"), Some(AppPage::Watch(None)));
        assert_eq!(AppPage::at("/@ana/"), Some(AppPage::Channel("ana".into())));
        assert_eq!(AppPage::at("/categories/music"), Some(AppPage::Category(Slug::parse("music"))));
        assert_eq!(AppPage::at("/categories/Music"), Some(AppPage::Category(None)));
        for path in [
            "/watch",
            "/@ana/1",
            "/ana",
            "/categories/music/1",
            "/watch/1/2",
            "/studio/1",
            "/admin/1",
            "/admin/people/1",
            "/nothing",
            "/robots.txt",
        ] {
            assert_eq!(AppPage::at(path), None, "{path}");
        }
    }
}
