//! From the start of a process to the first request of `sameturn load`, beside a floor: a process that only
//! connects and sends one request.
//!
//! `cargo bench --bench startup`, or `cargo bench --bench startup -- 50` for fifty starts of each. With
//! `SAMETURN=PATH` another binary is measured, e.g. that of a debug build. Nothing here asserts a time.
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

const SCENARIO: &str =
    "name: startup/one\nabout: One turn.\nturns:\n  - user: ping\n    expect: { stop: end }\n";

/// The argument that makes this program the floor.
const FLOOR: &str = "--floor";

/// What one start cost.
struct Start {
    /// From before the process was made until the first byte of its request was read, or it ended.
    wall: Duration,
    /// Processor time of all its threads until then; `None` where the system does not tell (no /proc).
    cpu: Option<Duration>,
    /// The most memory it held until then, in MB.
    peak: Option<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [flag, port] = args.as_slice()
        && flag == FLOOR
    {
        return floor(port.parse()?);
    }
    // cargo adds `--bench`.
    let starts = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(20);
    let program =
        env::var("SAMETURN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_sameturn").to_owned());
    let this = env::current_exe()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("one.yaml");
    fs::write(&file, SCENARIO)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let load = |file: &Path| {
        let mut command = Command::new(&program);
        command
            .args(["load", "--model", "x", "--concurrency", "1"])
            .args(["--requests", "1"])
            .args(["--base-url", &format!("http://127.0.0.1:{port}/v1")])
            .arg(file);
        command
    };
    let told = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args);
        command
    };
    let mut rows: Vec<(&str, Vec<Start>)> = [
        "floor: connect, send",
        "load: first request",
        "--version",
        "schema",
        "completions bash",
    ]
    .map(|name| (name, Vec::new()))
    .into();
    // All kinds in turn, so that what else the machine does meets them alike. The first round only warms up.
    for round in 0..=starts {
        let mut bare = Command::new(&this);
        bare.args([FLOOR, &port.to_string()]);
        let measured = [
            first_request(&listener, bare, folder.path())?,
            first_request(&listener, load(&file), folder.path())?,
            end(told(&["--version"]))?,
            end(told(&["schema", "scenario"]))?,
            end(told(&["completions", "bash"]))?,
        ];
        if round > 0 {
            for ((_, row), start) in rows.iter_mut().zip(measured) {
                row.push(start);
            }
        }
    }
    println!("{program}, {starts} starts of each; medians, and the least in brackets");
    let floor = middle(&rows[0].1, |start| Some(ms(start.wall))).map_or(f64::NAN, |(_, mid)| mid);
    for (name, row) in &rows {
        let cell = |unit: &str, of: &dyn Fn(&Start) -> Option<f64>| match middle(row, of) {
            Some((least, mid)) => format!("{mid:>7.1} ({least:.1}) {unit}"),
            None => "-".to_owned(),
        };
        let wall = cell("ms", &|start| Some(ms(start.wall)));
        let cpu = cell("ms CPU", &|start| start.cpu.map(ms));
        let peak = cell("MB peak", &|start| start.peak);
        let ratio =
            middle(row, |start| Some(ms(start.wall))).map_or(f64::NAN, |(_, mid)| mid) / floor;
        println!("{name:<22} {wall:<20} {cpu:<22} {peak:<22} {ratio:>6.1} x floor");
    }
    Ok(())
}

/// The least that any client does.
fn floor(port: u16) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")?;
    // Until whoever measures has looked at this process and hangs up.
    let _ = stream.read(&mut [0]);
    Ok(())
}

fn first_request(
    listener: &TcpListener,
    mut command: Command,
    folder: &Path,
) -> Result<Start, Box<dyn Error>> {
    let began = Instant::now();
    let mut child = command
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let (mut stream, _) = listener.accept()?;
    stream.read_exact(&mut [0])?;
    let wall = began.elapsed();
    let start = Start {
        wall,
        cpu: cpu(&child),
        peak: peak(&child),
    };
    child.kill()?;
    child.wait()?;
    Ok(start)
}

fn end(mut command: Command) -> Result<Start, Box<dyn Error>> {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(format!("{command:?} failed: {status}").into());
    }
    Ok(Start {
        wall: began.elapsed(),
        cpu: None,
        peak: None,
    })
}

/// Time on a processor, by the scheduler's own count in nanoseconds.
fn cpu(child: &Child) -> Option<Duration> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{}/task", child.id())).ok()? {
        let told = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        total += told.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(total))
}

fn peak(child: &Child) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kb: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kb / 1024.0)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The least and the median.
fn middle(row: &[Start], of: impl Fn(&Start) -> Option<f64>) -> Option<(f64, f64)> {
    let mut values = row.iter().map(of).collect::<Option<Vec<f64>>>()?;
    values.sort_by(f64::total_cmp);
    Some((*values.first()?, *values.get(values.len() / 2)?))
}
