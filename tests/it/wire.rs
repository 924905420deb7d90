//! The wire of a load: what it says of times, connections and ends, against servers that do one thing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper_util::client::proxy::matcher::Matcher;
use sameturn::transport::trust;
use sameturn::transport::wire::{Clock, Hearing, HttpVersion, Sent, Wire, WireSettings};
use sameturn::transport::{Limits, Outgoing};
use sameturn::turn::exchange::{End, Head};

use crate::network::{TlsServer, certificate};
use crate::stub_server::Stub;

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A server that does with each connection what it is told; gives its URL and how many came.
fn server(
    serve: impl Fn(usize, &mut TcpStream) -> std::io::Result<()> + Send + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/x", listener.local_addr().unwrap());
    let came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&came);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            let nth = counted.fetch_add(1, Ordering::SeqCst);
            // A client that goes is the matter of some of these tests.
            let _ = serve(nth, &mut stream);
        }
    });
    (url, came)
}

/// Reads one request with a body of two bytes, or says that the client has gone.
pub(crate) fn request(stream: &mut impl Read) -> std::io::Result<String> {
    let mut text = Vec::new();
    let mut one = [0];
    while !text.ends_with(b"\r\n\r\n{}") {
        if stream.read(&mut one)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        text.push(one[0]);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

pub(crate) fn limits() -> Limits {
    Limits {
        idle: Duration::from_secs(20),
        ..Limits::CHECK
    }
}

pub(crate) fn settings(version: HttpVersion) -> WireSettings {
    let mut settings = WireSettings::new(version, limits(), &[], true).unwrap();
    settings.proxies = Matcher::builder().build();
    settings
}

fn wire(with: impl FnOnce(&mut WireSettings)) -> Wire {
    let mut settings = settings(HttpVersion::One);
    with(&mut settings);
    Wire::new(Arc::new(settings), Arc::default()).unwrap()
}

fn post(url: &str) -> Outgoing {
    Outgoing {
        method: "POST",
        url: url.to_owned(),
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
    }
}

/// Keeps what it hears, and does something at each part.
pub(crate) struct Ear<F = fn(usize) -> ControlFlow<()>> {
    head: Option<(Head, Duration)>,
    parts: Vec<(Duration, Duration, Vec<u8>)>,
    at_part: F,
}

pub(crate) fn ear() -> Ear {
    listening(|_| ControlFlow::Continue(()))
}

fn listening<F: FnMut(usize) -> ControlFlow<()>>(at_part: F) -> Ear<F> {
    Ear {
        head: None,
        parts: Vec::new(),
        at_part,
    }
}

impl<F: FnMut(usize) -> ControlFlow<()>> Hearing for Ear<F> {
    fn head(&mut self, head: &Head, read_at: Duration) {
        self.head = Some((head.clone(), read_at));
    }

    fn bytes(&mut self, at: Duration, read_at: Duration, bytes: &[u8]) -> ControlFlow<()> {
        self.parts.push((at, read_at, bytes.to_vec()));
        (self.at_part)(self.parts.len())
    }
}

impl<F> Ear<F> {
    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.as_ref().map(|(head, _)| head)
    }

    pub(crate) fn text(&self) -> String {
        let all: Vec<u8> = self
            .parts
            .iter()
            .flat_map(|(_, _, bytes)| bytes.clone())
            .collect();
        String::from_utf8(all).unwrap()
    }
}

pub(crate) async fn heard(wire: &Wire, url: &str) -> (Sent, Ear) {
    let mut ear = ear();
    let sent = wire.send(post(url), &mut ear).await;
    (sent, ear)
}

/// Answers each request on a connection with one small event.
fn keep_answering(stream: &mut TcpStream) -> std::io::Result<()> {
    loop {
        request(stream)?;
        write!(stream, "{HEAD}{}0\r\n\r\n", chunk("data: 1\n\n"))?;
    }
}

#[tokio::test]
async fn times_never_run_backwards_and_never_lie_after_the_read() {
    let (url, _) = server(|_, stream| {
        request(stream)?;
        stream.write_all(HEAD.as_bytes())?;
        for _ in 0..50 {
            stream.write_all(chunk("data: 1\n\n").as_bytes())?;
        }
        stream.write_all(b"0\r\n\r\n")
    });
    let wire = wire(|_| {});
    let (mut sent, mut ear) = heard(&wire, &url).await;
    // The kernel begins to stamp a moment after it is asked, and stays at it while a wire is open.
    let begun = Instant::now();
    while sent.stampless_reads > 0 && begun.elapsed() < Duration::from_secs(5) {
        (sent, ear) = heard(&wire, &url).await;
    }
    assert_eq!(sent.end, End::Complete);
    assert_eq!(ear.text(), "data: 1\n\n".repeat(50));
    let (head, read_at) = ear.head.unwrap();
    assert!(head.at <= read_at);
    let mut before = head.at;
    for (at, read_at, _) in &ear.parts {
        assert!(
            before <= *at && at <= read_at,
            "{before:?} {at:?} {read_at:?}"
        );
        before = *at;
    }
    let written = sent.sent.unwrap();
    let dial = sent.dial.unwrap();
    assert!(dial.tcp <= written && written <= sent.total, "{sent:?}");
    assert!(dial.dns.is_none() && dial.tls.is_none() && dial.proxy.is_none());
    assert!(sent.reads >= 1 && sent.bytes_in > 50 * 9 && sent.bytes_out > 50);
    if cfg!(target_os = "linux") {
        assert_eq!((sent.clock, sent.stampless_reads), (Clock::Kernel, 0));
    }
}

/// The second event is written while the client is kept from reading for 200 ms.
async fn while_busy(kernel_stamps: bool) -> (Sent, Duration, Duration) {
    let (now, asked) = mpsc::channel::<()>();
    let (done, written) = mpsc::channel::<()>();
    let (url, _) = server(move |_, stream| {
        request(stream)?;
        write!(stream, "{HEAD}{}", chunk("data: 1\n\n"))?;
        asked.recv().unwrap();
        stream.write_all(chunk("data: 2\n\n").as_bytes())?;
        done.send(()).unwrap();
        stream.write_all(b"0\r\n\r\n")
    });
    let mut ear = listening(|part| {
        if part == 1 {
            now.send(()).unwrap();
            written.recv().unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
        ControlFlow::Continue(())
    });
    let wire = wire(|settings| settings.kernel_stamps = kernel_stamps);
    let sent = wire.send(post(&url), &mut ear).await;
    assert_eq!(sent.end, End::Complete);
    assert_eq!(ear.text(), "data: 1\n\ndata: 2\n\n");
    let (at, read_at, _) = ear.parts[1];
    (sent, at, read_at)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_busy_client_still_knows_when_bytes_came() {
    let (sent, at, read_at) = while_busy(true).await;
    assert_eq!(sent.clock, Clock::Kernel);
    assert!(
        read_at - at > Duration::from_millis(100),
        "{at:?} {read_at:?}"
    );
    // So it does of the end, which was written right after.
    assert!(
        sent.total >= at && read_at - sent.total > Duration::from_millis(100),
        "{at:?} {sent:?}"
    );
}

#[tokio::test]
async fn without_the_kernels_times_those_of_the_reads_are_given_and_called_so() {
    let (sent, at, read_at) = while_busy(false).await;
    assert_eq!(sent.clock, Clock::Read);
    assert_eq!((at, sent.stampless_reads), (read_at, 0));
}

/// What one read brought is heard under its time even if more has come in between.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn two_events_of_one_read_have_its_time_though_a_third_has_come() {
    let (now, asked) = mpsc::channel::<()>();
    let (done, written) = mpsc::channel::<()>();
    let (url, _) = server(move |_, stream| {
        request(stream)?;
        let both = format!("{HEAD}{}{}", chunk("data: 1\n\n"), chunk("data: 2\n\n"));
        stream.write_all(both.as_bytes())?;
        asked.recv().unwrap();
        stream.write_all(chunk("data: 3\n\n").as_bytes())?;
        done.send(()).unwrap();
        stream.write_all(b"0\r\n\r\n")
    });
    let mut ear = listening(|part| {
        if part == 1 {
            std::thread::sleep(Duration::from_millis(50));
            now.send(()).unwrap();
            written.recv().unwrap();
        }
        ControlFlow::Continue(())
    });
    let sent = wire(|_| {}).send(post(&url), &mut ear).await;
    assert_eq!(sent.end, End::Complete);
    let [first, second, third] = [0, 1, 2].map(|part| ear.parts[part].0);
    assert_eq!(first, second);
    assert!(
        third - second >= Duration::from_millis(50),
        "{second:?} {third:?}"
    );
}

#[tokio::test]
async fn connections_are_reused_unless_fresh_ones_are_wanted() {
    for (fresh, connections) in [(false, 1), (true, 3)] {
        // A thread for each connection: fresh ones follow before the old ones are noticed to be gone.
        let (url, came) = server(|_, stream| {
            let mut stream = stream.try_clone()?;
            std::thread::spawn(move || keep_answering(&mut stream));
            Ok(())
        });
        let wire = wire(|settings| settings.fresh = fresh);
        for nth in 0..3 {
            let (sent, ear) = heard(&wire, &url).await;
            assert_eq!(
                (&sent.end, ear.text().as_str()),
                (&End::Complete, "data: 1\n\n")
            );
            assert_eq!(sent.dial.is_some(), fresh || nth == 0);
            assert!(!sent.redialled);
        }
        assert_eq!(came.load(Ordering::SeqCst), connections, "fresh {fresh}");
    }
}

#[tokio::test]
async fn a_reused_connection_that_is_closed_is_replaced_once_and_that_is_said() {
    let (url, came) = server(|nth, stream| {
        request(stream)?;
        write!(stream, "{HEAD}{}0\r\n\r\n", chunk("data: 1\n\n"))?;
        request(stream)?;
        // The first connection closes at its second request, the second in the middle of an answer's head.
        if nth == 1 {
            stream.write_all(b"HTTP/1.1 2")
        } else {
            Ok(())
        }
    });
    let wire = wire(|_| {});
    let (sent, _) = heard(&wire, &url).await;
    assert!(sent.dial.is_some() && !sent.redialled);
    let (sent, ear) = heard(&wire, &url).await;
    assert_eq!(
        (&sent.end, ear.text().as_str()),
        (&End::Complete, "data: 1\n\n")
    );
    assert!(sent.dial.is_some() && sent.redialled);
    // A byte of the answer had come: nothing is sent again.
    let (sent, _) = heard(&wire, &url).await;
    assert!(matches!(sent.end, End::Refused { .. }), "{:?}", sent.end);
    assert!(!sent.redialled && came.load(Ordering::SeqCst) == 2);
}

#[tokio::test]
async fn a_request_that_was_worked_on_is_not_sent_again() {
    let (url, came) = server(|_, stream| {
        request(stream)?;
        write!(stream, "{HEAD}{}0\r\n\r\n", chunk("data: 1\n\n"))?;
        request(stream)?;
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    });
    let wire = wire(|_| {});
    let (sent, _) = heard(&wire, &url).await;
    assert_eq!(sent.end, End::Complete);
    let (sent, ear) = heard(&wire, &url).await;
    assert!(matches!(sent.end, End::Refused { .. }), "{:?}", sent.end);
    assert!(ear.head.is_none() && sent.dial.is_none() && !sent.redialled);
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_new_connection_that_is_closed_is_not_replaced() {
    let (url, came) = server(|_, stream| request(stream).map(drop));
    let (sent, ear) = heard(&wire(|_| {}), &url).await;
    assert!(matches!(sent.end, End::Refused { .. }), "{:?}", sent.end);
    assert!(ear.head.is_none() && !sent.redialled);
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (sent, _) = heard(&wire(|_| {}), &format!("http://{gone}/")).await;
    let End::Unreachable { reason } = &sent.end else {
        panic!("{:?}", sent.end)
    };
    assert!(reason.contains("tcp connect error"), "{reason}");
    let (sent, _) = heard(&wire(|_| {}), "ftp://x/").await;
    assert!(matches!(&sent.end, End::Unreachable { reason } if reason.contains("not an http")));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_dropped_and_one_that_is_too_big_is_cut() {
    let (url, _) = server(|_, stream| {
        request(stream)?;
        write!(stream, "{HEAD}{}", chunk("data: 1\n\n"))
    });
    let (sent, ear) = heard(&wire(|_| {}), &url).await;
    assert!(matches!(sent.end, End::Dropped { .. }), "{:?}", sent.end);
    assert_eq!(ear.text(), "data: 1\n\n");

    let (url, _) = server(|_, stream| keep_answering(stream));
    let (sent, ear) = heard(&wire(|settings| settings.limits.body = 4), &url).await;
    assert_eq!(sent.end, End::TooBig { limit: 4 });
    assert_eq!(ear.text(), "data");
}

#[tokio::test]
async fn silence_ends_at_its_limit() {
    let short = Duration::from_millis(50);
    for (answer, total, expected) in [
        ("", false, End::NoHead { after: short }),
        (HEAD, false, End::Stalled { after: short }),
        ("", true, End::TooLong { after: short }),
        (HEAD, true, End::TooLong { after: short }),
    ] {
        let (url, _) = server(move |_, stream| {
            request(stream)?;
            stream.write_all(answer.as_bytes())?;
            request(stream).map(drop)
        });
        let wire = wire(|settings| {
            if total {
                settings.limits.total = short;
            } else {
                settings.limits.idle = short;
            }
        });
        let (sent, _) = heard(&wire, &url).await;
        assert_eq!(sent.end, expected);
        assert!(sent.total >= short);
    }
}

#[tokio::test]
async fn an_answer_that_never_falls_silent_ends_at_the_limit_of_the_whole() {
    let (url, _) = server(|_, stream| {
        request(stream)?;
        stream.write_all(HEAD.as_bytes())?;
        loop {
            stream.write_all(chunk("data: 1\n\n").as_bytes())?;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let total = Duration::from_millis(50);
    let (sent, ear) = heard(&wire(|settings| settings.limits.total = total), &url).await;
    assert_eq!(sent.end, End::TooLong { after: total });
    assert!(ear.head.is_some());
}

#[tokio::test]
async fn whoever_hears_may_stop_and_a_dropped_exchange_closes_its_connection() {
    let (gone, told) = mpsc::channel();
    let (url, _) = server(move |_, stream| {
        request(stream)?;
        write!(stream, "{HEAD}{}", chunk("data: 1\n\n"))?;
        gone.send(request(stream).is_err()).unwrap();
        Ok(())
    });
    let wire = wire(|_| {});
    let mut ear = listening(|_| ControlFlow::Break(()));
    let sent = wire.send(post(&url), &mut ear).await;
    assert!(sent.stopped && sent.end == End::Complete);
    assert!(told.recv().unwrap());

    let first = tokio::sync::Notify::new();
    let mut ear = listening(|_| {
        first.notify_one();
        ControlFlow::Continue(())
    });
    tokio::select! {
        _ = wire.send(post(&url), &mut ear) => panic!("the answer never ends"),
        () = first.notified() => {}
    }
    assert!(told.recv().unwrap());
}

#[tokio::test]
async fn an_answer_may_be_split_anywhere() {
    let whole = format!(
        "{HEAD}{}{}0\r\n\r\n",
        chunk("data: 1\n\n"),
        chunk("data: 22\n\n")
    );
    let length = whole.len();
    let (url, came) = server(move |_, stream| {
        for split in 0..=length {
            request(stream)?;
            stream.write_all(&whole.as_bytes()[..split])?;
            stream.flush()?;
            // Most of the time the client reads in between.
            std::thread::yield_now();
            stream.write_all(&whole.as_bytes()[split..])?;
        }
        request(stream)?;
        for byte in whole.as_bytes() {
            stream.write_all(&[*byte])?;
        }
        Ok(())
    });
    let wire = wire(|_| {});
    for split in 0..=length + 1 {
        let (sent, ear) = heard(&wire, &url).await;
        assert_eq!(sent.end, End::Complete, "split at {split}");
        assert_eq!(ear.text(), "data: 1\n\ndata: 22\n\n", "split at {split}");
    }
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

pub(crate) fn trusting() -> Vec<trust::Bundle> {
    let path = certificate("ca.pem");
    trust::bundles(&|name| (name == "AWS_CA_BUNDLE").then_some(path.as_str())).unwrap()
}

fn get(url: &str) -> Outgoing {
    Outgoing {
        method: "GET",
        url: url.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
    }
}

#[tokio::test]
async fn tls_trusts_the_bundles_and_is_timed() {
    let server = TlsServer::start(false);
    let url = format!("https://localhost:{}/v1/models", server.port);
    let mut ear = ear();
    let sent = wire(|_| {}).send(get(&url), &mut ear).await;
    let End::Unreachable { reason } = &sent.end else {
        panic!("{:?}", sent.end)
    };
    assert!(
        reason.contains("UnknownIssuer") && reason.contains("AWS_CA_BUNDLE"),
        "{reason}"
    );

    let mut trusted = WireSettings::new(HttpVersion::One, limits(), &trusting(), true).unwrap();
    trusted.proxies = Matcher::builder().all("http://127.0.0.1:9").build();
    let wire = Wire::new(Arc::new(trusted), Arc::default()).unwrap();
    let sent = wire.send(get(&url), &mut ear).await;
    assert_eq!(
        sent.end,
        End::Complete,
        "loopback is never asked through a proxy"
    );
    let dial = sent.dial.unwrap();
    assert!(dial.dns.is_some() && dial.tls.is_some() && dial.proxy.is_none());
    assert!(ear.text().contains("\"data\"") && sent.sent.is_some());
    if cfg!(target_os = "linux") {
        assert_eq!((sent.clock, sent.stampless_reads), (Clock::Kernel, 0));
    }
    // The addresses of the name are known now.
    let sent = wire.send(get(&url), &mut ear).await;
    assert_eq!(sent.dial.unwrap().dns, None);
}

#[tokio::test]
async fn proxies_tunnel_tls_and_forward_the_rest() {
    let proxy = TlsServer::start(true);
    let mut with = WireSettings::new(HttpVersion::One, limits(), &trusting(), true).unwrap();
    with.proxies = Matcher::builder()
        .all(format!("http://127.0.0.1:{}", proxy.port))
        .no("direct.example")
        .build();
    let tunnelled = Wire::new(Arc::new(with), Arc::default()).unwrap();
    let mut ear = ear();
    let sent = tunnelled
        .send(get("https://provider.example/v1/models"), &mut ear)
        .await;
    assert_eq!(sent.end, End::Complete);
    let dial = sent.dial.unwrap();
    assert!(dial.proxy.is_some() && dial.tls.is_some());
    assert_eq!(
        proxy.seen(),
        [
            "CONNECT provider.example:443 HTTP/1.1",
            "GET /v1/models HTTP/1.1"
        ]
    );
    // `.example` never resolves (RFC 2606).
    let sent = tunnelled
        .send(get("https://direct.example/"), &mut ear)
        .await;
    assert!(matches!(&sent.end, End::Unreachable { reason } if reason.starts_with("dns error")));

    let proxy = Stub::json("200 OK", "", "{}");
    let address = proxy
        .base_url
        .trim_end_matches("/v1")
        .replace("http://", "http://me:secret@");
    let forwarding = wire(|settings| settings.proxies = Matcher::builder().http(address).build());
    let sent = forwarding
        .send(get("http://provider.example/v1/models"), &mut ear)
        .await;
    assert_eq!(sent.end, End::Complete);
    let asked = proxy.requests().remove(0);
    assert!(
        asked.starts_with("GET http://provider.example/v1/models HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("host: provider.example\r\n"), "{asked}");
    assert!(
        asked.contains("proxy-authorization: Basic bWU6c2VjcmV0\r\n"),
        "{asked}"
    );
}

#[tokio::test]
async fn http2_shares_connections_up_to_a_limit_and_queues_nobody() {
    const ALL: usize = 130;
    // Answers only when all requests are there: if one of them waited in the client, none would end.
    let barrier = Arc::new(tokio::sync::Barrier::new(ALL));
    let handler = move |_: hyper::Request<hyper::body::Incoming>| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            let body = http_body_util::Full::new(bytes::Bytes::from_static(b"data: 1\n\n"));
            Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/x", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use hyper_util::rt::{TokioExecutor, TokioIo};
        while let Ok((socket, _)) = listener.accept().await {
            let service = hyper::service::service_fn(handler.clone());
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(
                async move { server.serve_connection(TokioIo::new(socket), service).await },
            );
        }
    });
    let wire = Arc::new(Wire::new(Arc::new(settings(HttpVersion::Two)), Arc::default()).unwrap());
    let begun = Instant::now();
    let all: Vec<_> = (0..ALL)
        .map(|_| {
            let (wire, url) = (Arc::clone(&wire), url.clone());
            tokio::spawn(async move { heard(&wire, &url).await })
        })
        .collect();
    let mut dialled = 0;
    for one in all {
        let (sent, ear) = one.await.unwrap();
        assert_eq!(
            (&sent.end, ear.text().as_str()),
            (&End::Complete, "data: 1\n\n")
        );
        dialled += usize::from(sent.dial.is_some());
        assert!(sent.dial.is_some() || sent.queued > Duration::ZERO);
        let (at, read_at, _) = ear.parts[0];
        assert!(at <= read_at && read_at <= begun.elapsed());
        assert!(sent.sent.unwrap() <= sent.total);
    }
    assert_eq!(dialled, 3);
}

#[tokio::test]
async fn a_stream_that_hangs_meets_its_limit_though_another_on_its_connection_is_lively() {
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::{Frame, Incoming};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let handler = |request: hyper::Request<Incoming>| async move {
        let body = match request.uri().path() {
            "/hangs" => StreamBody::new(stream::pending()).boxed_unsync(),
            _ => {
                let event = stream::unfold((), |()| async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let frame = Frame::data(Bytes::from_static(b"data: 1\n\n"));
                    Some((Ok::<_, std::convert::Infallible>(frame), ()))
                });
                StreamBody::new(event).boxed_unsync()
            }
        };
        Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        // One connection: whoever came on another would wait for ever.
        let (socket, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(handler);
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(socket), service).await;
    });
    let mut settings = settings(HttpVersion::Two);
    let idle = Duration::from_millis(300);
    settings.limits.idle = idle;
    settings.limits.total = Duration::from_secs(10);
    let wire = Arc::new(Wire::new(Arc::new(settings), Arc::default()).unwrap());
    let lively = {
        let (wire, url) = (Arc::clone(&wire), format!("{url}/lively"));
        tokio::spawn(async move { heard(&wire, &url).await.0 })
    };
    let (hung, ear) = heard(&wire, &format!("{url}/hangs")).await;
    assert_eq!(hung.end, End::Stalled { after: idle });
    assert!(ear.head.is_some() && ear.parts.is_empty());
    assert!(!lively.is_finished());
    lively.abort();
}

#[tokio::test]
async fn a_date_to_ask_again_at_can_be_read_without_the_servers_clock() {
    for (headers, dates) in [
        ("retry-after: Sat, 21 Nov 2099 08:00:30 GMT\r\n", 1),
        (
            "retry-after: Sat, 21 Nov 2099 08:00:30 GMT\r\ndate: Sat, 21 Nov 2099 08:00:00 GMT\r\n",
            1,
        ),
        ("retry-after: 30\r\n", 0),
        ("", 0),
    ] {
        let (url, _) = server(move |_, stream| {
            request(stream)?;
            write!(
                stream,
                "HTTP/1.1 429 Slow Down\r\n{headers}content-length: 0\r\n\r\n"
            )
        });
        let (_, ear) = heard(&wire(|_| {}), &url).await;
        let (head, _) = ear.head.unwrap();
        let named = |(name, _): &&(String, String)| name == "date";
        assert_eq!(
            head.headers.iter().filter(named).count(),
            dates,
            "{headers}"
        );
    }
}
