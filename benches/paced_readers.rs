//! How many streams `sameturn mock` paces on one core: starts it, reads N streams at once, asks it how late it was.
//!
//! The readers only count bytes and events, on one thread with one epoll, so that they are cheaper than what
//! they measure. A stream that ends is asked for again on the same connection until the time is over; the
//! starts are spread over the length of a stream, because nobody's users speak in chorus.
//!
//! Beside it stands the floor: the same pace by a loop that reads no request, builds no answer, and only writes bytes
//! that it has when they are due. What it cannot hold, no server with one write per event can on this machine.
//!
//! `taskset -c 1 cargo bench --bench paced_readers -- 100 1000 2500` (Linux; the mock is pinned to core 0)

#![expect(clippy::print_stdout, reason = "a program whose output is its result")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::{TcpListener, TcpStream};
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

/// The arguments with which sameturn is the mock.
const MOCK: [&str; 11] = [
    "mock",
    "--port",
    "0",
    "--format",
    "json",
    "--ttft",
    "200ms",
    "--between",
    "20ms",
    "--threads",
    "1",
];
/// The argument with which this program is the floor.
const FLOOR: &str = "be-the-floor";

fn main() {
    if std::env::args().any(|one| one == FLOOR) {
        Floor::serve();
    }
    let mut numbers: Vec<usize> = std::env::args()
        .filter_map(|one| one.parse().ok())
        .collect();
    if numbers.is_empty() {
        // `cargo test --benches` and a first look: only whether it works.
        numbers.push(50);
    }
    println!(
        "| server | streams | ended | events/s | late as it says: p50, p99, max ms | late as the reader sees: p50, p99, max ms | busy % of a core, CPU s per 1,000 streams | peak RSS MB | reader: busy % |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let servers = numbers
        .iter()
        .flat_map(|number| [(*number, "floor"), (*number, "mock")]);
    for (number, server) in servers {
        let mut mock = match server {
            "floor" => Mock::start(std::env::current_exe().expect("a program"), &[FLOOR]),
            _ => Mock::start(env!("CARGO_BIN_EXE_sameturn").into(), &MOCK),
        };
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
            "| {server} | {number} | {}{} | {:.0} | {}, {}, {} | {:.1}, {:.1}, {:.1} | {:.0}, {:.3} | {} | {:.0} |",
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

/// A server on core 0.
struct Mock {
    child: Child,
    address: SocketAddr,
}

impl Mock {
    fn start(program: PathBuf, arguments: &[&str]) -> Mock {
        let mut child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("taskset and the server start");
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

/// A server that knows one answer and when its parts are due.
struct Floor {
    poll: Poll,
    listener: TcpListener,
    sockets: Vec<TcpStream>,
    /// When which part is due on which connection, soonest first.
    due: BinaryHeap<Reverse<(Instant, usize, usize)>>,
    parts: Vec<Vec<u8>>,
    /// In microseconds, after the write.
    late: Histogram<u64>,
}

impl Floor {
    const DOOR: Token = Token(usize::MAX);

    fn serve() -> ! {
        let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let address = listener.local_addr().expect("an address");
        let poll = Poll::new().expect("an epoll");
        poll.registry()
            .register(&mut listener, Floor::DOOR, Interest::READABLE)
            .expect("it is registered");
        let mut floor = Floor {
            poll,
            listener,
            sockets: Vec::new(),
            due: BinaryHeap::new(),
            parts: Floor::parts(),
            late: Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds"),
        };
        println!(
            "{}",
            json!({"endpoints": [{"base_url": format!("http://{address}/")}]})
        );
        let mut ready = Events::with_capacity(1024);
        loop {
            let now = Instant::now();
            let wait = floor
                .due
                .peek()
                .map(|Reverse((due, ..))| due.saturating_duration_since(now));
            match floor.poll.poll(&mut ready, wait) {
                Err(error) if error.kind() != ErrorKind::Interrupted => panic!("{error}"),
                _ => {}
            }
            for event in &ready {
                match event.token() {
                    Floor::DOOR => floor.accept(),
                    Token(place) => floor.begin(place),
                }
            }
            floor.write_due();
        }
    }

    /// As the mock writes them, in about as many bytes: the head, role and first token, the other tokens, the end.
    fn parts() -> Vec<Vec<u8>> {
        let event = |text: &str| format!("{:x}\r\ndata: {text}\n\n\r\n", text.len() + 8);
        let token = event(&"x".repeat(330));
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut parts = vec![token.clone(); TOKENS as usize];
        parts[0] = format!("{head}{token}{token}");
        parts
            .last_mut()
            .expect("one at least")
            .push_str(&format!("{token}{}0\r\n\r\n", event("[DONE]")));
        parts.into_iter().map(String::into_bytes).collect()
    }

    fn accept(&mut self) {
        while let Ok((mut socket, _)) = self.listener.accept() {
            socket.set_nodelay(true).expect("an option");
            self.poll
                .registry()
                .register(&mut socket, Token(self.sockets.len()), Interest::READABLE)
                .expect("it is registered");
            self.sockets.push(socket);
        }
    }

    /// Whatever comes is a request, and comes at once.
    fn begin(&mut self, place: usize) {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = self.sockets[place].read(&mut bytes) {
            if bytes[..length].starts_with(b"GET") {
                self.tell(place);
            } else {
                self.due.push(Reverse((Instant::now() + TTFT, place, 0)));
            }
        }
    }

    fn write_due(&mut self) {
        while let Some(Reverse((due, place, part))) = self.due.peek().copied()
            && due <= Instant::now()
        {
            self.due.pop();
            let bytes = &self.parts[part];
            let written = self.sockets[place]
                .write(bytes)
                .expect("the reader takes it");
            assert_eq!(written, bytes.len(), "an event is short");
            let late = due.elapsed().as_micros();
            let events = match part {
                0 => 2,
                _ if part + 1 == self.parts.len() => 3,
                _ => 1,
            };
            let late = u64::try_from(late).unwrap_or(u64::MAX);
            self.late.saturating_record_n(late, events);
            if part + 1 < self.parts.len() {
                self.due.push(Reverse((due + BETWEEN, place, part + 1)));
            }
        }
    }

    fn tell(&mut self, place: usize) {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let at = |quantile| ms(self.late.value_at_quantile(quantile));
        let late = json!({"p50": at(0.5), "p99": at(0.99), "max": ms(self.late.max())});
        let body = json!({ "lateness_ms": late }).to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let socket = &mut self.sockets[place];
        socket
            .write_all(answer.as_bytes())
            .expect("the reader takes it");
        socket
            .shutdown(std::net::Shutdown::Both)
            .expect("it is open");
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
