//! A client of the mocks on plain TCP, so that what is checked is what was sent.

use std::net::SocketAddr;
use std::time::Duration;

use sameturn::mock::data::MockData;
use sameturn::mock::server::MockServer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const BEARER: &str = "Bearer sameturn-mock-bearer-default";

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// Whether the body ended as HTTP says it should.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The data of each event before the end marker.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).expect("an event is JSON"))
            .collect()
    }

    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"]
            .as_str()
            .expect("a message")
            .to_owned()
    }
}

pub(crate) async fn start() -> MockServer {
    let data = MockData::shipped().expect("the shipped data");
    let bind = "127.0.0.1:0".parse().expect("an address");
    MockServer::start(bind, data, 7).await.expect("a free port")
}

pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    socket
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(20), socket.read_to_end(&mut bytes)).await;
    let _ = read.expect("it answers and closes");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let (head, rest) = text.split_once("\r\n\r\n").expect("a head");
    let status = head[9..12].parse().expect("a status");
    let head = head.to_lowercase();
    let (body, whole) = if head.contains("transfer-encoding: chunked") {
        chunks(rest)
    } else {
        (rest.to_owned(), true)
    };
    Answer {
        status,
        head,
        body,
        whole,
    }
}

fn chunks(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    loop {
        let Some((size, after)) = rest.split_once("\r\n") else {
            return (body, false);
        };
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = after.get(..size) else {
            return (body, false);
        };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
}

pub(crate) async fn post(server: &MockServer, path: &str, body: &Value) -> Answer {
    let headers = [("authorization", BEARER)];
    ask(server.address(), "POST", path, &headers, &body.to_string()).await
}
