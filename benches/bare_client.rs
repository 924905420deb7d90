//! The floor that the CPU of `load` is compared with: clients that only split server-sent events at blank
//! lines and count them, in a closed loop, one task per stream.
//!
//! `cargo bench --bench bare_client -- URL BODYFILE|--chat|--responses --concurrency N --requests M [--wire]
//! [--read-clock] [--dump FILE]`
//!
//! Without `--wire`: hyper over plain tokio sockets on the multi-threaded runtime, a task for each connection.
//! With it: `sameturn::transport::wire`, one current-thread runtime per core. `--read-clock` asks for no
//! kernel times. `--dump` writes a line per request: the answer's `x-truth-id`, and the times in microseconds
//! from the last byte sent to the first event, by the kernel and as read. One JSON line is printed.

#![expect(clippy::print_stdout, reason = "a program that prints its result")]
#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot run may say so anyhow"
)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use nix::sys::resource::{UsageWho, getrusage};
use sameturn::transport::wire::{Hearing, HttpVersion, Wire, WireSettings};
use sameturn::transport::{Limits, Outgoing};
use sameturn::turn::exchange::{End, Head};

const CHAT: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
const RESPONSES: &str = r#"{"model":"m","stream":true,"input":"hello"}"#;

struct Asked {
    url: String,
    body: Bytes,
    /// The value of an `authorization` header; a server that wants none ignores it.
    authorization: String,
    concurrency: usize,
    requests: usize,
    wire: bool,
    read_clock: bool,
    dump: Option<String>,
}

fn asked() -> Asked {
    let mut asked = Asked {
        url: String::new(),
        body: Bytes::from_static(CHAT.as_bytes()),
        authorization: "Bearer none".to_owned(),
        concurrency: 1,
        requests: 10,
        wire: false,
        read_clock: false,
        dump: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().unwrap().parse().unwrap();
        match word.as_str() {
            "--bench" => {}
            "--chat" => {}
            "--responses" => asked.body = Bytes::from_static(RESPONSES.as_bytes()),
            "--concurrency" => asked.concurrency = number(),
            "--requests" => asked.requests = number(),
            "--wire" => asked.wire = true,
            "--read-clock" => asked.read_clock = true,
            "--bearer" => asked.authorization = format!("Bearer {}", words.next().unwrap()),
            "--dump" => asked.dump = words.next(),
            url if asked.url.is_empty() => asked.url = url.to_owned(),
            file => asked.body = std::fs::read(file).unwrap().into(),
        }
    }
    asked
}

/// Counts events: a blank line ends one.
#[derive(Default)]
struct Splitter {
    at_line_start: bool,
    events: u64,
}

impl Splitter {
    /// How many events these bytes ended.
    fn push(&mut self, bytes: &[u8]) -> u64 {
        let before = self.events;
        for byte in bytes {
            if *byte == b'\n' {
                self.events += u64::from(self.at_line_start);
                self.at_line_start = true;
            } else if *byte != b'\r' {
                self.at_line_start = false;
            }
        }
        self.events - before
    }
}

/// One request.
struct One {
    truth: Option<u64>,
    /// By the kernel where it was asked.
    first: Duration,
    first_read: Duration,
    events: u64,
}

fn main() {
    let asked = Arc::new(asked());
    if asked.url.is_empty() {
        println!("usage: URL [BODYFILE|--chat|--responses] --concurrency N --requests M [--wire]");
        return;
    }
    let taken = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let before = cpu();
    let all = if asked.wire {
        wire(&asked, &taken)
    } else {
        bare(&asked, &taken)
    };
    let (wall, cpu) = (start.elapsed(), cpu() - before);
    let rss = getrusage(UsageWho::RUSAGE_SELF).unwrap().max_rss();
    if let Some(path) = &asked.dump {
        let lines: String = all
            .iter()
            .map(|one| {
                let truth = one.truth.map_or(-1, |id| i64::try_from(id).unwrap());
                let (first, read) = (one.first.as_micros(), one.first_read.as_micros());
                format!("{truth} {first} {read}\n")
            })
            .collect();
        std::fs::write(path, lines).unwrap();
    }
    let quantile = |of: &dyn Fn(&One) -> Duration, q: usize| {
        let mut values: Vec<_> = all.iter().map(of).collect();
        values.sort_unstable();
        values
            .get(values.len() * q / 100)
            .map_or(0.0, |one| one.as_secs_f64() * 1e3)
    };
    println!(
        "{}",
        serde_json::json!({
            "mode": if asked.wire { "wire" } else { "bare" },
            "kernel": asked.wire && !asked.read_clock,
            "concurrency": asked.concurrency,
            "events": all.iter().map(|one| one.events).sum::<u64>(),
            "requests": all.len(),
            "wall_s": wall.as_secs_f64(),
            "cpu_s": cpu.as_secs_f64(),
            "cpu_s_per_1000": cpu.as_secs_f64() * 1e3 / all.len().max(1) as f64,
            "peak_rss_mb": rss as f64 / 1024.0,
            "ttft_p50_ms": quantile(&|one| one.first_read, 50),
            "ttft_p99_ms": quantile(&|one| one.first_read, 99),
            "kernel_ttft_p50_ms": quantile(&|one| one.first, 50),
            "kernel_ttft_p99_ms": quantile(&|one| one.first, 99),
        })
    );
}

/// User and system time of this process.
fn cpu() -> Duration {
    let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let (user, system) = (used.user_time(), used.system_time());
    Duration::from_micros(
        u64::try_from(
            (user.tv_sec() + system.tv_sec()) * 1_000_000 + user.tv_usec() + system.tv_usec(),
        )
        .unwrap(),
    )
}

fn bare(asked: &Arc<Asked>, taken: &Arc<AtomicUsize>) -> Vec<One> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let streams: Vec<_> = (0..asked.concurrency)
            .map(|_| tokio::spawn(stream(Arc::clone(asked), Arc::clone(taken))))
            .collect();
        let mut all = Vec::new();
        for stream in streams {
            all.extend(stream.await.unwrap());
        }
        all
    })
}

async fn stream(asked: Arc<Asked>, taken: Arc<AtomicUsize>) -> Vec<One> {
    let uri: http::Uri = asked.url.parse().unwrap();
    let authority = uri.authority().unwrap().as_str().to_owned();
    let socket = tokio::net::TcpStream::connect(&authority).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut all = Vec::new();
    while taken.fetch_add(1, Ordering::Relaxed) < asked.requests {
        sender.ready().await.unwrap();
        let request = Request::post(uri.path())
            .header("host", &authority)
            .header("content-type", "application/json")
            .header("authorization", &asked.authorization)
            .body(Full::new(asked.body.clone()))
            .unwrap();
        let start = Instant::now();
        let answer = sender.send_request(request).await.unwrap();
        let truth = answer
            .headers()
            .get("x-truth-id")
            .and_then(|id| id.to_str().ok()?.parse().ok());
        let mut body = answer.into_body();
        let mut splitter = Splitter::default();
        let mut first = None;
        while let Some(frame) = body.frame().await {
            if let Some(bytes) = frame.unwrap().data_ref()
                && splitter.push(bytes) > 0
            {
                first.get_or_insert_with(|| start.elapsed());
            }
        }
        let first = first.unwrap_or_default();
        all.push(One {
            truth,
            first,
            first_read: first,
            events: splitter.events,
        });
    }
    all
}

#[derive(Default)]
struct Heard {
    truth: Option<u64>,
    splitter: Splitter,
    first: Option<(Duration, Duration)>,
}

impl Hearing for Heard {
    fn head(&mut self, head: &Head, _: Duration) {
        self.truth = head.header("x-truth-id").and_then(|id| id.parse().ok());
    }

    fn bytes(&mut self, at: Duration, read_at: Duration, bytes: &[u8]) -> ControlFlow<()> {
        if self.splitter.push(bytes) > 0 {
            self.first.get_or_insert((at, read_at));
        }
        ControlFlow::Continue(())
    }
}

fn wire(asked: &Arc<Asked>, taken: &Arc<AtomicUsize>) -> Vec<One> {
    let limits = Limits {
        body: usize::MAX,
        ..Limits::CHECK
    };
    let mut settings = WireSettings::new(HttpVersion::One, limits, &[], false).unwrap();
    settings.kernel_stamps = !asked.read_clock;
    let settings = Arc::new(settings);
    let workers = std::thread::available_parallelism().unwrap().get();
    let threads: Vec<_> = (0..workers)
        .map(|worker| {
            let (asked, taken) = (Arc::clone(asked), Arc::clone(taken));
            let settings = Arc::clone(&settings);
            let streams = (asked.concurrency + workers - 1 - worker) / workers;
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let wire = Arc::new(Wire::new(settings, Arc::default()).unwrap());
                    let streams: Vec<_> = (0..streams)
                        .map(|_| {
                            let (asked, taken) = (Arc::clone(&asked), Arc::clone(&taken));
                            tokio::spawn(wire_stream(Arc::clone(&wire), asked, taken))
                        })
                        .collect();
                    let mut all = Vec::new();
                    for stream in streams {
                        all.extend(stream.await.unwrap());
                    }
                    all
                })
            })
        })
        .collect();
    threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect()
}

async fn wire_stream(wire: Arc<Wire>, asked: Arc<Asked>, taken: Arc<AtomicUsize>) -> Vec<One> {
    let mut all = Vec::new();
    while taken.fetch_add(1, Ordering::Relaxed) < asked.requests {
        let request = Outgoing {
            method: "POST",
            url: asked.url.clone(),
            headers: vec![
                ("content-type".to_owned(), "application/json".to_owned()),
                ("authorization".to_owned(), asked.authorization.clone()),
            ],
            body: asked.body.clone(),
        };
        let mut heard = Heard::default();
        let sent = wire.send(request, &mut heard).await;
        assert_eq!(sent.end, End::Complete, "{sent:?}");
        let from = sent.sent.unwrap();
        let (at, read) = heard.first.unwrap_or_default();
        all.push(One {
            truth: heard.truth,
            first: at.saturating_sub(from),
            first_read: read.saturating_sub(from),
            events: heard.splitter.events,
        });
    }
    all
}
