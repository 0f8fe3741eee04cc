//! The built web pages: files that never change, and one page for every address of the app.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use crate::app::App;
use crate::error::Error;

/// Whatever is not under `/api`.
pub(crate) async fn pages(State(app): State<Arc<App>>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let wants_page = accepts_html(request.headers());
    let Some(folder) = app.web.as_deref().filter(|folder| folder.join(INDEX).is_file()) else {
        return if wants_page { not_built() } else { Error::NotFound("this path").into_response() };
    };
    let path = request.uri().path().to_owned();
    let (parts, _) = request.into_parts();
    let file = |uri: Uri| {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = parts.headers.clone();
        request
    };
    if path != "/" {
        let found = serve(folder, file(parts.uri.clone())).await;
        if found.status() != StatusCode::NOT_FOUND {
            let hashed = path.starts_with(HASHED);
            return cached(found, if hashed { "public, max-age=31536000, immutable" } else { "no-cache" });
        }
    }
    // The app's own addresses are no files; a missing script or picture is just missing.
    if path == "/" || (wants_page && !path.starts_with(HASHED)) {
        return cached(serve(folder, file(Uri::from_static("/index.html"))).await, "no-cache");
    }
    Error::NotFound("this file").into_response()
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

fn cached(mut response: Response, control: &'static str) -> Response {
    if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(control));
    }
    response
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.flat_map(|list| list.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}

fn not_built() -> Response {
    (StatusCode::NOT_FOUND, Html(NOT_BUILT)).into_response()
}

/// Vite puts everything whose name carries its hash here.
const HASHED: &str = "/assets/";
const INDEX: &str = "index.html";
const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><title>Caudal</title>\
<h1>Caudal is running</h1><p>The api answers under <code>/api</code>, but its web pages are not built. \
Build them with <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code>, or start everything with \
<code>make run</code>.</p>\n";
