//! How many streams `sameturn mock` paces on one core: starts it, reads N streams at once, asks it how late it was.
//!
//! The readers only count bytes and events, on one thread with one epoll, so that they are cheaper than what
//! they measure. A stream that ends is asked for again on the same connection until the time is over; the
//! starts are spread over the length of a stream, because nobody's users speak in chorus.
//!
//! `taskset -c 1 cargo bench --bench paced_readers -- 100 1000 2500` (Linux; the mock is pinned to core 0)

#![expect(clippy::print_stdout, reason = "a program whose output is its result")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};

const TTFT: Duration = Duration::from_millis(200);
const BETWEEN: Duration = Duration::from_millis(20);
const TOKENS: u32 = 64;
/// How long streams are asked for again.
const MEASURED: Duration = Duration::from_secs(10);
/// How long the last ones may take to end after that.
const PATIENCE: Duration = Duration::from_secs(15);
const KEY: &str = "Bearer sameturn-mock-bearer-default";

fn main() {
    let mut numbers: Vec<usize> = std::env::args()
        .filter_map(|one| one.parse().ok())
        .collect();
    if numbers.is_empty() {
        // `cargo test --benches` and a first look: only whether it works.
        numbers.push(50);
    }
    println!(
        "| streams | ended | events/s | late as the mock says: p50, p99, max ms | late as the reader sees: p50, p99, max ms | mock: busy % of a core, CPU s per 1,000 streams | mock: peak RSS MB | reader: busy % |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for number in numbers {
        let mut mock = Mock::start();
        let (before, own) = (cpu(mock.child.id()), cpu(std::process::id()));
        let begun = Instant::now();
        let read = read(mock.address, number);
        let took = begun.elapsed().as_secs_f64();
        let spent = cpu(mock.child.id()) - before;
        let own = cpu(std::process::id()) - own;
        let pace = mock.pace();
        let late = &pace["lateness_ms"];
        let seen = |quantile| read.late.value_at_quantile(quantile) as f64 / 1000.0;
        println!(
            "| {number} | {}{} | {:.0} | {}, {}, {} | {:.1}, {:.1}, {:.1} | {:.0}, {:.3} | {} | {:.0} |",
            read.ended,
            if read.broken > 0 {
                format!(" ({} broken)", read.broken)
            } else {
                String::new()
            },
            read.events as f64 / took,
            late["p50"],
            late["p99"],
            late["max"],
            seen(0.5),
            seen(0.99),
            read.late.max() as f64 / 1000.0,
            spent / took * 100.0,
            spent * 1000.0 / read.ended.max(1) as f64,
            peak_rss(mock.child.id()),
            own / took * 100.0,
        );
        mock.stop();
    }
}

/// A mock on core 0.
struct Mock {
    child: Child,
    address: SocketAddr,
}

impl Mock {
    fn start() -> Mock {
        let pace = ["--ttft", "200ms", "--between", "20ms", "--threads", "1"];
        let mut child = Command::new("taskset")
            .args([
                "-c",
                "0",
                env!("CARGO_BIN_EXE_sameturn"),
                "mock",
                "--port",
                "0",
            ])
            .args(["--format", "json"])
            .args(pace)
            .stdout(Stdio::piped())
            .spawn()
            .expect("taskset and the mock start");
        let out = child.stdout.as_mut().expect("it is piped");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).expect("a line of JSON");
        let url = said["endpoints"][0]["base_url"].as_str().expect("a URL");
        let host = url.split('/').nth(2).expect("a host");
        Mock {
            address: host.parse().expect("an address"),
            child,
        }
    }

    fn pace(&self) -> Value {
        let mut socket = std::net::TcpStream::connect(self.address).expect("it listens");
        let request = "GET /mock/pace HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("it answers");
        let (_, body) = text.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("JSON")
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request() -> Vec<u8> {
    let prompt = format!("Count. Answer with exactly {TOKENS} words.");
    let body = json!({"model": "gpt-5.5", "stream": true,
        "messages": [{"role": "user", "content": prompt}]})
    .to_string();
    format!(
        "POST /openai/v1/chat/completions HTTP/1.1\r\nhost: mock\r\nauthorization: {KEY}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What the readers saw.
struct Seen {
    ended: u64,
    broken: u64,
    events: u64,
    /// In microseconds, from the due time after the request was sent.
    late: Histogram<u64>,
}

struct Reader {
    socket: TcpStream,
    sent: Option<Instant>,
    /// Events of this answer so far.
    events: u32,
    /// The last bytes that came.
    tail: [u8; 5],
}

fn read(address: SocketAddr, number: usize) -> Seen {
    let mut poll = Poll::new().expect("an epoll");
    let mut ready = Events::with_capacity(1024);
    let mut readers: Vec<Reader> = Vec::with_capacity(number);
    let mut seen = Seen {
        ended: 0,
        broken: 0,
        events: 0,
        late: Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds"),
    };
    let request = request();
    let length = TTFT + BETWEEN * TOKENS;
    let begun = Instant::now();
    let mut open = 0;
    while readers.len() < number || open > 0 {
        let gone = begun.elapsed();
        assert!(gone < MEASURED + PATIENCE, "{open} streams do not end");
        while readers.len() < number && length.mul_f64(readers.len() as f64 / number as f64) <= gone
        {
            let mut socket = TcpStream::connect(address).expect("a socket; is `ulimit -n` enough?");
            socket.set_nodelay(true).expect("an option");
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut socket, Token(readers.len()), both)
                .expect("it is registered");
            readers.push(Reader {
                socket,
                sent: None,
                events: 0,
                tail: [0; 5],
            });
            open += 1;
        }
        let wait = Duration::from_millis(if readers.len() < number { 1 } else { 100 });
        match poll.poll(&mut ready, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => panic!("{error}"),
            _ => {}
        }
        for event in &ready {
            let reader = &mut readers[event.token().0];
            if event.is_writable() && reader.sent.is_none() && reader.events == 0 {
                reader.send(&request);
            }
            if event.is_readable() {
                match reader.take(&mut seen) {
                    Took::More => {}
                    Took::All if begun.elapsed() < MEASURED => reader.send(&request),
                    Took::All => open -= 1,
                    Took::Broken => {
                        seen.broken += 1;
                        open -= 1;
                    }
                }
            }
        }
    }
    seen
}

enum Took {
    More,
    All,
    Broken,
}

impl Reader {
    fn send(&mut self, request: &[u8]) {
        self.events = 0;
        self.tail = [0; 5];
        let written = self
            .socket
            .write(request)
            .expect("the mock takes a request");
        assert_eq!(written, request.len(), "a request is short");
        self.sent = Some(Instant::now());
    }

    fn take(&mut self, seen: &mut Seen) -> Took {
        let mut bytes = [0; 16 * 1024];
        loop {
            let length = match self.socket.read(&mut bytes) {
                Ok(0) => return Took::Broken,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Took::More,
                Err(_) => return Took::Broken,
            };
            let now = Instant::now();
            let Some(sent) = self.sent else {
                return Took::Broken;
            };
            let mut last = self.tail[4];
            for byte in &bytes[..length] {
                if *byte == b'\n' && last == b'\n' {
                    // The first event brings the role, together with the first token.
                    let tokens = self.events.saturating_sub(1).min(TOKENS - 1);
                    let late = now.saturating_duration_since(sent + TTFT + BETWEEN * tokens);
                    seen.late
                        .saturating_record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
                    self.events += 1;
                    seen.events += 1;
                }
                last = *byte;
            }
            let kept = length.min(5);
            self.tail.rotate_left(kept);
            self.tail[5 - kept..].copy_from_slice(&bytes[length - kept..length]);
            if self.tail == *b"0\r\n\r\n" {
                // The role, each token, the finish and the marker.
                assert_eq!(self.events, TOKENS + 3, "an answer of another length");
                seen.ended += 1;
                return Took::All;
            }
        }
    }
}

/// CPU seconds of a process, in user and kernel mode.
fn cpu(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |place: usize| fields.get(place).and_then(|one| one.parse::<f64>().ok());
    // Linux counts them in hundredths of a second for everybody who reads /proc.
    (ticks(12).unwrap_or_default() + ticks(13).unwrap_or_default()) / 100.0
}

/// The most memory that a process had, in MB.
fn peak_rss(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    kilobytes
        .and_then(|one| one.parse::<u64>().ok())
        .unwrap_or_default()
        / 1024
}
