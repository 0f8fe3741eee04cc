//! The built web pages: files that never change, and one page for every address of the app.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use crate::app::Pages;
use crate::error::Error;

/// Whatever is not under `/api`.
pub(crate) async fn pages(State(pages): State<Arc<Pages>>, request: Request) -> Response {
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
    // The app's own addresses are no files; a missing script or picture is just missing.
    if path == "/" || wants_page {
        let page = revalidated(folder, &parts, Uri::from_static("/index.html")).await;
        return page.map_or_else(not_built, |page| varying(page, "accept, accept-encoding"));
    }
    Error::NotFound("this file").into_response()
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
