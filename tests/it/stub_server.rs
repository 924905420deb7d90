//! A server on loopback that answers as it is told, and remembers what came.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::{Arc, Mutex};

/// Answers until the test ends.
pub(crate) struct Stub {
    pub(crate) base_url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// `answer` is the whole HTTP response; the connection is closed after it.
    pub(crate) fn start(answer: impl Into<Vec<u8>>) -> Stub {
        let answer = answer.into();
        Stub::answering(move |_| answer.clone())
    }

    /// The answer depends on the request.
    pub(crate) fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else {
                    return;
                };
                let request = read_request(&mut connection);
                let answer = answer(&request);
                kept.lock().expect("not poisoned").push(request);
                let _ = connection.write_all(&answer);
                let _ = connection.shutdown(Shutdown::Write);
            }
        });
        Stub { base_url, requests }
    }

    /// A streamed answer of these events.
    pub(crate) fn events(body: &str) -> Stub {
        Stub::start(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}"
        ))
    }

    /// A JSON answer with a status.
    pub(crate) fn json(status: &str, headers: &str, body: &str) -> Stub {
        Stub::start(format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}connection: close\r\n\r\n{body}",
            body.len()
        ))
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

fn read_request(connection: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length")
                        .then(|| value.trim().parse::<usize>().ok())?
                })
                .unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}
