//! How a worker's sockets are read: by all their bytes, each under its own time, however busy its tasks are.

// Elsewhere a worker reads when the turn of a task has come: most of what is here is not tested there.
#![cfg_attr(not(target_os = "linux"), allow(unused_imports, dead_code))]

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sameturn::transport::Outgoing;
use sameturn::transport::wire::{Hearing, HttpVersion, Sent, Wire, WireSettings};
use sameturn::turn::exchange::{End, Head};

use crate::network::serving;
use crate::wire::{limits, settings, trusting};

/// Serves each connection on a thread of its own.
fn server(serve: fn(TcpStream) -> std::io::Result<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/x", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || serve(stream));
        }
    });
    url
}

/// Reads a request's head; gives what came with it of the body, and how long the body is.
fn head(stream: &mut TcpStream) -> std::io::Result<(usize, usize)> {
    let mut read = Vec::new();
    let mut some = [0; 1024];
    loop {
        let n = stream.read(&mut some)?;
        read.extend_from_slice(&some[..n]);
        let text = String::from_utf8_lossy(&read);
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap();
            let length = length.split("\r\n").next().unwrap();
            return Ok((read.len() - end - 4, length.parse().unwrap()));
        }
        assert!(n > 0, "closed within the head");
    }
}

/// Counts bytes, and works on each part for so long.
struct Busy {
    bytes: usize,
    times: Vec<Duration>,
    works: Duration,
}

impl Busy {
    fn of(works: Duration) -> Busy {
        Busy {
            bytes: 0,
            times: Vec::new(),
            works,
        }
    }
}

impl Hearing for Busy {
    fn head(&mut self, _: &Head, _: Duration) {}

    fn bytes(&mut self, at: Duration, _: Duration, bytes: &[u8]) -> ControlFlow<()> {
        self.bytes += bytes.len();
        self.times.push(at);
        let begun = Instant::now();
        while begun.elapsed() < self.works {
            std::hint::spin_loop();
        }
        ControlFlow::Continue(())
    }
}

fn post(url: &str, body: usize) -> Outgoing {
    Outgoing {
        method: "POST",
        url: url.to_owned(),
        headers: Vec::new(),
        body: Bytes::from(vec![b'a'; body]),
    }
}

async fn send(wire: &Wire, url: &str, body: usize, works: Duration) -> (Sent, usize) {
    let mut busy = Busy::of(works);
    let sent = wire.send(post(url, body), &mut busy).await;
    (sent, busy.bytes)
}

fn wire() -> Wire {
    let mut settings = settings(HttpVersion::One);
    settings.limits.body = usize::MAX;
    Wire::new(Arc::new(settings), Arc::default()).unwrap()
}

const STREAMS: usize = 20;
const EVENTS: usize = 10;
/// Between events; a machine that has other things to do is not away for so long.
const GAP: Duration = Duration::from_millis(60);
/// On each event.
const WORK: Duration = Duration::from_millis(10);

/// With each read at its task's turn, 200 ms of the others' work lie between two reads of a stream, and three events
/// have one time.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn events_keep_their_times_while_the_worker_is_busy_with_others() {
    let url = server(|mut stream| {
        head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        for _ in 0..EVENTS {
            std::thread::sleep(GAP);
            stream.write_all(b"7\r\ndata: x\r\n")?;
        }
        stream.write_all(b"0\r\n\r\n")
    });
    let wire = Arc::new(wire());
    let streams: Vec<_> = (0..STREAMS)
        .map(|_| {
            let (wire, url) = (Arc::clone(&wire), url.clone());
            tokio::spawn(async move { send(&wire, &url, 2, WORK).await })
        })
        .collect();
    let mut reads = 0;
    for stream in streams {
        let (sent, bytes) = stream.await.unwrap();
        assert_eq!((sent.end, bytes), (End::Complete, EVENTS * 7));
        reads += sent.reads as usize;
    }
    // Room for a machine that has other things to do.
    assert!(reads * 3 > STREAMS * EVENTS * 2, "{reads} reads");
}

/// A server of HTTP/2 on a thread of its own.
#[cfg(target_os = "linux")]
fn serve_http2<S, F, B>(configure: fn(&mut http2::Builder<TokioExecutor>), serve: S) -> String
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    serve_http2_by("http", configure, serve)
}

/// The same by `http` or `https`.
#[cfg(target_os = "linux")]
fn serve_http2_by<S, F, B>(
    scheme: &'static str,
    configure: fn(&mut http2::Builder<TokioExecutor>),
    serve: S,
) -> String
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("{scheme}://localhost:{port}/v1/x");
    let mut tls = Arc::unwrap_or_clone(serving());
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                let mut server = http2::Builder::new(TokioExecutor::new());
                configure(&mut server);
                let service = service_fn(serve.clone());
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // As far away as servers are.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if scheme == "http" {
                        return server.serve_connection(TokioIo::new(socket), service).await;
                    }
                    let secure = acceptor.accept(socket).await.unwrap();
                    server.serve_connection(TokioIo::new(secure), service).await
                });
            }
        });
    });
    url
}

/// The connection could be read to its end before any of its streams hears of it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn streams_that_share_a_connection_keep_their_times_too() {
    let events = || {
        futures_util::stream::unfold(0, |sent| async move {
            tokio::time::sleep(GAP).await;
            let event = Frame::data(Bytes::from_static(b"data: x"));
            (sent < EVENTS).then(|| (Ok::<_, Infallible>(event), sent + 1))
        })
    };
    let url = serve_http2(
        |_| {},
        move |_: Request<Incoming>| async move {
            Ok(Response::new(StreamBody::new(Box::pin(events()))))
        },
    );
    let wire = Arc::new(Wire::new(Arc::new(settings(HttpVersion::Two)), Arc::default()).unwrap());
    let streams: Vec<_> = (0..STREAMS)
        .map(|_| {
            let (wire, url) = (Arc::clone(&wire), url.clone());
            tokio::spawn(async move {
                let mut busy = Busy::of(WORK);
                let sent = wire.send(post(&url, 2), &mut busy).await;
                (sent, busy)
            })
        })
        .collect();
    let mut times = 0;
    for stream in streams {
        let (sent, mut busy) = stream.await.unwrap();
        assert_eq!((sent.end, busy.bytes), (End::Complete, EVENTS * 7));
        busy.times.dedup();
        times += busy.times.len();
    }
    assert!(times * 3 > STREAMS * EVENTS * 2, "{times} times");
}

/// When an answer's head came, and its body.
#[derive(Default)]
struct Times {
    head: Option<Duration>,
    body: Option<Duration>,
}

impl Hearing for Times {
    fn head(&mut self, _: &Head, at: Duration) {
        self.head = Some(at);
    }

    fn bytes(&mut self, at: Duration, _: Duration, _: &[u8]) -> ControlFlow<()> {
        self.body = Some(at);
        ControlFlow::Continue(())
    }
}

/// A head goes through a task more than a body does until it is heard.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_head_does_not_get_the_time_of_what_came_after_it() {
    for scheme in ["http", "https"] {
        heads_and_bodies_have_times_of_their_own(scheme).await;
    }
}

#[cfg(target_os = "linux")]
async fn heads_and_bodies_have_times_of_their_own(scheme: &'static str) {
    let (release, released) = tokio::sync::watch::channel(0);
    let url = serve_http2_by(
        scheme,
        |_| {},
        move |request: Request<Incoming>| {
            let mut released = released.clone();
            async move {
                let number: i32 = request.uri().query().unwrap().parse().unwrap();
                released
                    .wait_for(|released| *released > number)
                    .await
                    .unwrap();
                let body = http_body_util::Full::new(Bytes::from_static(b"data: x"));
                Ok::<_, Infallible>(Response::new(body))
            }
        },
    );
    let trusted = WireSettings::new(HttpVersion::Two, limits(), &trusting(), true).unwrap();
    let wire = Arc::new(Wire::new(Arc::new(trusted), Arc::default()).unwrap());
    let answers: Vec<_> = (0..3)
        .map(|number| {
            let (wire, url) = (Arc::clone(&wire), format!("{url}?{number}"));
            tokio::spawn(async move {
                let mut times = Times::default();
                let sent = wire.send(post(&url, 2), &mut times).await;
                assert_eq!(sent.end, End::Complete);
                (
                    sent.start + times.head.unwrap(),
                    sent.start + times.body.unwrap(),
                )
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // All are read, one by one, before any is heard: this thread does nothing else.
    const APART: Duration = Duration::from_millis(60);
    for number in 1..=3 {
        release.send(number).unwrap();
        std::thread::sleep(APART);
        wire.ticks();
    }
    let mut came = Vec::new();
    for answer in answers {
        let (head, body) = answer.await.unwrap();
        came.extend([head, body]);
    }
    // Three heads, and their bodies.
    for (earlier, later) in came.iter().zip(&came[2..]) {
        assert!(*later - *earlier > APART / 2, "{scheme}: {came:?}");
    }
}

/// What the framing keeps until the server gives room for it has not left.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_prompt_that_waits_for_a_window_is_sent_when_it_has_left() {
    const ROOM: u32 = 65_535;
    let pause = Duration::from_millis(200);
    let small = |server: &mut http2::Builder<TokioExecutor>| {
        server
            .initial_stream_window_size(ROOM)
            .initial_connection_window_size(ROOM);
    };
    let url = serve_http2(small, move |request: Request<Incoming>| async move {
        tokio::time::sleep(pause).await;
        let read = request
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .len();
        let body = http_body_util::Full::new(Bytes::from(read.to_string()));
        Ok::<_, Infallible>(Response::new(body))
    });
    let wire = Wire::new(Arc::new(settings(HttpVersion::Two)), Arc::default()).unwrap();
    for (long, waits) in [(1_000, false), (200_000, true)] {
        let mut times = Times::default();
        let sent = wire.send(post(&url, long), &mut times).await;
        assert_eq!(sent.end, End::Complete);
        let left = sent.sent.unwrap();
        assert!((left > pause / 2) == waits, "{long}: {left:?}");
        assert!(left < times.head.unwrap(), "{long}");
    }
}

/// Who does not wait for a server's word opens more streams than it allows, and is refused.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_burst_asks_no_more_of_a_connection_than_its_server_allows() {
    let few = |server: &mut http2::Builder<TokioExecutor>| {
        server.max_concurrent_streams(3);
    };
    // Nobody is answered before all have asked.
    let asked = Arc::new(tokio::sync::Barrier::new(10));
    let url = serve_http2(few, move |_: Request<Incoming>| {
        let asked = Arc::clone(&asked);
        async move {
            asked.wait().await;
            let body = http_body_util::Full::new(Bytes::from_static(b"data: x"));
            Ok::<_, Infallible>(Response::new(body))
        }
    });
    let wire = Arc::new(Wire::new(Arc::new(settings(HttpVersion::Two)), Arc::default()).unwrap());
    let answers: Vec<_> = (0..10)
        .map(|_| {
            let (wire, url) = (Arc::clone(&wire), url.clone());
            tokio::spawn(async move { wire.send(post(&url, 2), &mut Times::default()).await })
        })
        .collect();
    let (mut dials, mut most) = (0, 0);
    for answer in answers {
        let sent = answer.await.unwrap();
        assert_eq!((sent.end, sent.redialled), (End::Complete, false));
        dials += usize::from(sent.dial.is_some());
        most = most.max(sent.streams);
    }
    assert_eq!((dials, most), (4, 3));
}

#[tokio::test]
async fn what_a_slow_hearer_leaves_in_the_kernel_is_read_when_there_is_room() {
    const LONG: usize = 3_000_000;
    let url = server(|mut stream| {
        head(&mut stream)?;
        let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n");
        stream.write_all(whole.as_bytes())?;
        stream.write_all(&vec![b'x'; LONG])
    });
    let (sent, bytes) = send(&wire(), &url, 2, Duration::from_millis(1)).await;
    assert_eq!((sent.end, bytes), (End::Complete, LONG));
    assert!(sent.reads as usize >= LONG / 8192, "{}", sent.reads);
}

#[tokio::test]
async fn the_end_of_a_body_that_ends_with_the_connection_is_seen_behind_a_full_inbox() {
    const LONG: usize = 2_000_000;
    let url = server(|mut stream| {
        head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        stream.write_all(&vec![b'x'; LONG])
    });
    let (sent, bytes) = send(&wire(), &url, 2, Duration::from_micros(500)).await;
    assert_eq!((sent.end, bytes), (End::Complete, LONG));
}

/// The kernel says once that there are bytes and that they are the last.
#[tokio::test]
async fn an_end_that_came_before_the_bytes_were_read_is_seen() {
    let url = server(|mut stream| {
        head(&mut stream)?;
        std::thread::sleep(Duration::from_millis(60));
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nx")
    });
    let wire = wire();
    let elsewhere = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        std::thread::sleep(Duration::from_millis(100));
    };
    let ((sent, bytes), ()) = tokio::join!(send(&wire, &url, 2, Duration::ZERO), elsewhere);
    assert_eq!((sent.end, bytes), (End::Complete, 1));
}

#[tokio::test]
async fn a_request_waits_for_a_server_that_reads_slowly() {
    // More than the kernel keeps for both sides together.
    const LONG: usize = 60_000_000;
    let url = server(|mut stream| {
        let (mut came, length) = head(&mut stream)?;
        std::thread::sleep(Duration::from_millis(100));
        let mut some = vec![0; 1 << 16];
        while came < length {
            came += match stream.read(&mut some)? {
                0 => return Ok(()),
                n => n,
            };
        }
        let said = came.to_string();
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{said}",
            said.len()
        );
        stream.write_all(whole.as_bytes())
    });
    let (sent, bytes) = send(&wire(), &url, LONG, Duration::ZERO).await;
    assert_eq!((sent.end, bytes), (End::Complete, LONG.to_string().len()));
    assert!(sent.bytes_out as usize > LONG);
}
