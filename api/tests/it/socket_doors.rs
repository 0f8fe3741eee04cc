//! What no socket lets in: pages of other sites, and tokens in addresses, which every proxy writes into its log.

use reqwest::Method;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest as _};

use crate::running::{Running, send};

/// Every address where a connection begins; a stream's id comes in place of `{}`.
const DOORS: [&str; 4] = [
    "/ws/chat/{}?",
    "/ws/notifications?",
    "/socket.io/?EIO=4&transport=websocket",
    "/socket.io?EIO=4&transport=websocket",
];

/// The status of the handshake.
async fn knocks(api: &Running, path: &str, origin: Option<&str>) -> u16 {
    let url = format!("{}{path}", api.url.replace("http", "ws"));
    let mut request = url.into_client_request().unwrap();
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((_, answer)) => answer.status().as_u16(),
        Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{path}: {error}"),
    }
}

#[tokio::test]
async fn pages_of_other_sites_open_no_socket() {
    let api = Running::start().await;
    let stream = api.register("ana").await.goes_live().await.to_string();
    let own = api.url.clone();
    for door in DOORS {
        let path = door.replace("{}", &stream);
        for origin in [None, Some("https://friend.test"), Some(own.as_str()), Some("http://localhost:3000")] {
            assert_eq!(knocks(&api, &path, origin).await, 101, "{path} from {origin:?}");
        }
        for origin in [
            "https://evil.test",
            "null",
            "",
            "http://friend.test",
            "https://friend.test:444",
            "https://friend.test.evil.test",
            "https://evil.test/https://friend.test",
            "https://evil.test#https://friend.test",
            "https://friend.test@evil.test",
            "file://",
        ] {
            assert_eq!(knocks(&api, &path, Some(origin)).await, 403, "{path} from {origin:?}");
        }
    }
    for (origin, status) in [("https://friend.test", 200), ("https://evil.test", 403), ("null", 403)] {
        for path in ["/socket.io/?EIO=4&transport=polling", "/socket.io?EIO=4&transport=polling"] {
            let asked = api.request(Method::GET, path).header("origin", origin);
            assert_eq!(send(asked).await.status, status, "{path} from {origin}");
        }
    }
}

#[tokio::test]
async fn a_token_in_an_address_is_refused_so_that_no_client_comes_to_rely_on_it() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await.to_string();
    for name in
        ["token", "access_token", "accessToken", "auth", "authorization", "jwt", "refreshToken", "TOKEN"]
    {
        for door in DOORS {
            let path = format!("{}&{name}={}", door.replace("{}", &stream), ana.access);
            assert_eq!(knocks(&api, &path, None).await, 400, "{path}");
        }
        let polling = format!("/socket.io/?EIO=4&transport=polling&{name}={}", ana.access);
        let answer = api.get(&polling).await;
        assert_eq!(answer.refusal(), (400, "malformed"), "{name}: {}", answer.json);
        assert!(!answer.json.to_string().contains(&ana.access));
    }
    // What the official client puts there by itself.
    assert_eq!(api.get("/socket.io/?EIO=4&transport=polling&t=abc123").await.status, 200);
}
