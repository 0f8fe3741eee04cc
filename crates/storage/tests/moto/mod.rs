//! A server that speaks S3, for tests.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use caudal_storage::{S3Access, S3Config, S3Credentials, SegmentStore};

/// moto's server, for one test; ends with it.
pub struct Moto {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Moto {
    pub fn start() -> Self {
        // Of whichever package's test this is.
        let package = std::env::current_dir().unwrap();
        let script = package
            .ancestors()
            .map(|folder| folder.join("scripts/moto-server.sh"))
            .find(|script| script.exists());
        let script = script.expect("scripts/moto-server.sh");
        let mut child = Command::new(script)
            .args(["run", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto-server.sh starts");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        // Reads on to the end, or the server would block on a full pipe.
        std::thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                if tell.send(line).is_err() {
                    lines.by_ref().for_each(drop);
                }
            }
        });
        let mut said = Vec::new();
        let address = loop {
            match told.recv_timeout(Duration::from_mins(1)) {
                Ok(line) => match line.split_once("Running on http://") {
                    Some((_, address)) => break address.trim().to_owned(),
                    None => said.push(line),
                },
                Err(error) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    panic!("moto does not come up ({error}): {}", said.join("\n"));
                }
            }
        };
        Self { child, address }
    }

    /// Makes a bucket, and says how an S3 client finds it.
    #[allow(dead_code, reason = "not every test file asks")]
    pub fn config(&self, name: &str, access: S3Access) -> S3Config {
        let made = self.request(&format!("PUT /{name}"));
        assert!(made.starts_with("http/1.1 200"), "{made}");
        S3Config {
            bucket: name.to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(format!("http://{}", self.address)),
            allow_http: true,
            access,
        }
    }

    pub fn store(&self, name: &str) -> SegmentStore {
        let made = self.request(&format!("PUT /{name}"));
        assert!(made.starts_with("http/1.1 200"), "{made}");
        bucket(&format!("http://{}", self.address), name)
    }

    /// The answer, in lower case.
    pub fn request(&self, line: &str) -> String {
        self.request_of("s3", line, "")
    }

    /// The same of another service, with a form or whatever it takes.
    pub fn request_of(&self, service: &str, line: &str, body: &str) -> String {
        use std::io::{Read as _, Write as _};
        // The server takes a form for one only where it is said to be.
        let kind = if body.contains('=') { "application/x-www-form-urlencoded" } else { "text/plain" };
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (method, path) = line.split_once(' ').unwrap();
        // moto looks at who signs, never at the signature.
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {credential}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len(),
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.to_lowercase()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn bucket(endpoint: &str, name: &str) -> SegmentStore {
    SegmentStore::s3(&S3Config {
        bucket: name.to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        allow_http: true,
        access: S3Access::Keys(S3Credentials {
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
            session_token: None,
        }),
    })
    .unwrap()
}
