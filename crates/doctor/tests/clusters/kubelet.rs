//! A kubelet as far as the API server asks one for logs.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// Serves logs by pod, and an empty one for every other pod, for as long as the test runs. Gives its port.
pub async fn serve(logs: HashMap<String, String>) -> u16 {
    let made = rcgen::generate_simple_self_signed(vec!["node-1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let logs = Arc::new(logs);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, logs) = (acceptor.clone(), Arc::clone(&logs));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let mut stream = BufReader::new(stream);
                let (mut request, mut line) = (String::new(), String::new());
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
                    request.push_str(&line);
                    line.clear();
                }
                // GET /containerLogs/NAMESPACE/POD/CONTAINER?tailLines=…
                let pod = request.split('/').nth(3).unwrap_or_default();
                let log = logs.get(pod).cloned().unwrap_or_default();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    log.len()
                );
                let _ = stream.write_all(format!("{head}{log}").as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}
