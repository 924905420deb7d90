//! HTTP/1.1 as `load` reads and writes it, beside hyper, by which `check` and Codex do: the same answers, the same ends.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sameturn::transport::live::Live;
use sameturn::transport::wire::{Hearing, HttpVersion, Wire, WireSettings};
use sameturn::transport::{Outgoing, Transport};
use sameturn::turn::exchange::{End, Head};

use crate::network::serving;
use crate::stub_server::Stub;
use crate::wire::{heard, limits, request, settings, trusting};

fn wire() -> Wire {
    Wire::new(Arc::new(settings(HttpVersion::One)), Arc::default()).unwrap()
}

fn post(url: &str, body: usize) -> Outgoing {
    Outgoing {
        method: "POST",
        url: url.to_owned(),
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("x-two".to_owned(), "a".to_owned()),
            ("x-two".to_owned(), "b".to_owned()),
        ],
        body: match body {
            2 => Bytes::from_static(b"{}"),
            _ => Bytes::from("x".repeat(body)),
        },
    }
}

/// What matters of an exchange: the status, the fields, the body, and which end it had.
type Told = (Option<(u16, Vec<(String, String)>)>, String, &'static str);

fn told(head: Option<&Head>, body: String, end: &End) -> Told {
    let end = match end {
        End::Complete => "complete",
        End::Refused { .. } => "refused",
        End::Dropped { .. } => "dropped",
        other => panic!("{other:?}"),
    };
    let head = head.map(|head| {
        let mut fields = head.headers.clone();
        fields.sort();
        (head.status, fields)
    });
    (head, body, end)
}

#[tokio::test]
async fn answers_are_read_as_hyper_reads_them() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let live = Live::new(Duration::from_secs(5), &[]).unwrap();
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(700_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101));
    let hundred = format!("HTTP/1.1 200 OK\r\n{}\r\nab", "x: y\r\n".repeat(100));
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", "complete"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc",
            "complete",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", "dropped"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nCONTENT-LENGTH: 2\r\n\r\nab",
            "complete",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nab",
            "refused",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nab",
            "refused",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nab", "refused"),
        ("HTTP/1.1 200 OK\r\n\r\nab", "complete"),
        ("HTTP/1.1 200 OK\n\nab", "complete"),
        ("HTTP/1.1 200\r\n\r\nab", "complete"),
        ("HTTP/1.0 200 OK\r\n\r\nab", "complete"),
        (
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "refused",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", "complete"),
        (
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
            "complete",
        ),
        (
            "HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 429 No\r\ncontent-length: 1\r\n\r\nx",
            "complete",
        ),
        (
            "HTTP/1.1 500 X\r\nx: 1\r\nX: é \r\ncontent-length: 0\r\n\r\n",
            "complete",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "complete",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\ncontent-length: 1\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "complete",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "complete",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2 ; x=\"y\"\r\nab\r\n00\r\nt: 1\r\n\r\n",
            "complete",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
            "dropped",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
            "dropped",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab",
            "dropped",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
            "dropped",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nab\n0\n\n",
            "dropped",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\nab",
            "dropped",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\nab",
            "dropped",
        ),
        ("HTTP/1.1 200 OK\r\nx : 1\r\n\r\nab", "refused"),
        ("HTTP/1.1 200 OK\r\nx: 1\r\n folded\r\n\r\nab", "refused"),
        ("HTTP/1.1 200 OK\r\nx: 1", "refused"),
        ("HTTP/2 200 OK\r\n\r\nab", "refused"),
        ("HTTP/1.1 099 X\r\n\r\nab", "refused"),
        ("HTTP/1.1 99 X\r\n\r\nab", "refused"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "refused"),
        ("", "refused"),
        (&long, "refused"),
        (&many, "refused"),
        (&hundred, "complete"),
    ];
    for (answer, end) in cases {
        let bytes: Vec<u8> = answer.chars().map(|one| one as u8).collect();
        let stub = Stub::start(bytes);
        let shown = &answer[..answer.len().min(90)];
        let (sent, ear) = heard(&wire(), &stub.base_url).await;
        let ours = told(ear.head(), ear.text(), &sent.end);
        assert_eq!(ours.2, end, "{shown:?}: {:?}", sent.end);
        let theirs = live.send(post(&stub.base_url, 2), limits()).await;
        let body = String::from_utf8_lossy(&theirs.body).into_owned();
        let theirs = told(theirs.head.as_ref(), body, &theirs.end);
        assert_eq!(ours, theirs, "{shown:?}");
    }
}

#[tokio::test]
async fn requests_are_written_as_hyper_writes_them() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let live = Live::new(Duration::from_secs(5), &[]).unwrap();
    let stub = Stub::start("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let url = format!("{}/a b/ü?q=1&r=%20", stub.base_url);
    for (nth, body) in [0, 3, 100_000].into_iter().enumerate() {
        let wire = wire();
        let sent = wire.send(post(&url, body), &mut crate::wire::ear()).await;
        assert_eq!(sent.end, End::Complete);
        assert_eq!(
            live.send(post(&url, body), limits()).await.end,
            End::Complete
        );
        let requests = stub.requests().split_off(2 * nth);
        let mut both = requests.into_iter().map(|request| {
            let mut lines: Vec<String> = request.lines().map(str::to_owned).collect();
            lines[1..].sort();
            lines
        });
        let (ours, theirs) = (both.next().unwrap(), both.next().unwrap());
        assert_eq!(ours, theirs);
    }
}

/// What a server does with a connection.
type Serve = fn(&mut TcpStream) -> std::io::Result<()>;

/// A server that serves each connection on a thread; gives its URL and how many came.
fn server(serve: Serve) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/x", listener.local_addr().unwrap());
    let came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&came);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            // A client that goes is the matter of some of these tests.
            std::thread::spawn(move || serve(&mut stream));
        }
    });
    (url, came)
}

fn answer(stream: &mut TcpStream, answer: &str) -> std::io::Result<()> {
    request(stream)?;
    stream.write_all(answer.as_bytes())?;
    request(stream)?;
    stream.write_all(answer.as_bytes())?;
    request(stream).map(drop)
}

#[tokio::test]
async fn a_connection_that_is_not_left_ready_is_not_used_again() {
    const CASES: [(Serve, usize); 5] = [
        (
            |stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"),
            1,
        ),
        (
            |stream| {
                answer(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nab",
                )
            },
            2,
        ),
        (
            |stream| answer(stream, "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab"),
            2,
        ),
        (
            |stream| {
                answer(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 500 No\r\n\r\n",
                )
            },
            2,
        ),
        // What nobody asked for comes later.
        (
            |stream| {
                request(stream)?;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab")?;
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")?;
                request(stream).map(drop)
            },
            2,
        ),
    ];
    for (nth, (serve, connections)) in CASES.into_iter().enumerate() {
        let (url, came) = server(serve);
        let wire = wire();
        for _ in 0..2 {
            let (sent, ear) = heard(&wire, &url).await;
            assert_eq!(
                (&sent.end, sent.redialled),
                (&End::Complete, false),
                "{nth}"
            );
            assert_eq!(
                (ear.head().unwrap().status, ear.text().as_str()),
                (200, "ab")
            );
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        assert_eq!(came.load(Ordering::SeqCst), connections, "{nth}");
    }
}

#[tokio::test]
async fn a_refusal_is_heard_though_the_request_was_not_read() {
    let (url, came) = server(|stream| {
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")?;
        // Open, and never read from.
        std::thread::sleep(Duration::from_secs(5));
        Ok(())
    });
    let wire = wire();
    for nth in 1..=2 {
        let mut ear = crate::wire::ear();
        let sent = wire.send(post(&url, 50_000_000), &mut ear).await;
        assert_eq!((&sent.end, sent.sent), (&End::Complete, None));
        assert_eq!(
            (ear.head().unwrap().status, ear.text().as_str()),
            (413, "no")
        );
        // Half of a request stands on it.
        assert_eq!(came.load(Ordering::SeqCst), nth);
    }
}

/// TLS says so with bytes of its own, which are none of an answer.
#[tokio::test]
async fn a_reused_connection_that_tls_closes_is_replaced_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}/v1",
        listener.local_addr().unwrap().port()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let connection = rustls::ServerConnection::new(serving()).unwrap();
                let mut secure = rustls::StreamOwned::new(connection, stream);
                request(&mut secure)?;
                secure.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab")?;
                request(&mut secure)?;
                secure.conn.send_close_notify();
                secure.flush()
            });
        }
    });
    let trusted = WireSettings::new(HttpVersion::One, limits(), &trusting(), true).unwrap();
    let wire = Wire::new(Arc::new(trusted), Arc::default()).unwrap();
    for again in [false, true] {
        let (sent, ear) = heard(&wire, &url).await;
        assert_eq!((sent.end, sent.redialled), (End::Complete, again));
        assert_eq!(ear.text(), "ab");
    }
}

/// Keeps nothing, and is slower than a server: there is always more to hear.
struct Deaf;

impl Hearing for Deaf {
    fn head(&mut self, _: &Head, _: Duration) {}

    fn bytes(&mut self, _: Duration, _: Duration, _: &[u8]) -> ControlFlow<()> {
        std::thread::sleep(Duration::from_micros(50));
        ControlFlow::Continue(())
    }
}

#[tokio::test]
async fn a_flood_ends_at_its_limit() {
    const FLOODS: [Serve; 3] = [
        |stream| {
            request(stream)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 65_536])?;
            }
        },
        |stream| {
            request(stream)?;
            loop {
                stream.write_all("HTTP/1.1 100 Continue\r\n\r\n".repeat(999).as_bytes())?;
            }
        },
        |stream| {
            request(stream)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            loop {
                stream.write_all(&[b'0'; 65_536])?;
            }
        },
    ];
    let total = Duration::from_millis(200);
    for (nth, flood) in FLOODS.into_iter().enumerate() {
        let (url, _) = server(flood);
        let mut settings = settings(HttpVersion::One);
        settings.limits.total = total;
        settings.limits.body = usize::MAX;
        let wire = Wire::new(Arc::new(settings), Arc::default()).unwrap();
        let mut ear = Deaf;
        let sending = wire.send(post(&url, 2), &mut ear);
        let sent = tokio::time::timeout(Duration::from_secs(20), sending);
        let sent = sent.await.expect("an end");
        match (nth, &sent.end) {
            (0, End::TooLong { after }) => assert_eq!(*after, total),
            (1, End::Refused { reason }) => assert!(reason.contains("longer than"), "{reason}"),
            (2, End::Dropped { reason }) => assert!(reason.contains("never ends"), "{reason}"),
            (_, other) => panic!("{nth}: {other:?}"),
        }
    }
}
