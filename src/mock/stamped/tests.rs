//! Lateness and truth with times that are told; the socket is a pipe in memory.

use crate::mock::lateness::PaceReport;
use crate::mock::stamped::*;
use crate::mock::truth::HEADER;

/// A server's counts with one connection, and a clock that is told.
struct Street {
    streams: Arc<Streams>,
    lateness: Arc<Lateness>,
    line: Line,
    start: Moment,
}

fn street() -> Street {
    let lateness = Arc::new(Lateness::default());
    Street {
        streams: Arc::default(),
        line: Line::new(Arc::clone(&lateness)),
        lateness,
        start: Moment {
            steady: Instant::now(),
            wall: SystemTime::UNIX_EPOCH,
        },
    }
}

impl Street {
    fn at(&self, millis: u64) -> Moment {
        let gone = Duration::from_millis(millis);
        Moment {
            steady: self.start.steady + gone,
            wall: self.start.wall + gone,
        }
    }

    fn hand_over(&self, stream: &Arc<Sent>, due_ms: u64, output: bool) {
        self.line.hand_over(Mark {
            due: self.at(due_ms).steady,
            output,
            stream: Arc::clone(stream),
        });
    }

    fn report(&self) -> PaceReport {
        PaceReport::of(&self.streams, [&*self.lateness], 0, String::new())
    }
}

/// The rows of a truth file after `story`.
fn rows(story: impl FnOnce(Street, Arc<Sent>)) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("truth.csv");
    let (truth, writer) = Truth::to(&path).expect("it opens");
    let street = street();
    let line = TruthLine {
        request_id: "r".to_owned(),
        read_us: 0,
        first_output_due_us: Some(200_000),
        ..TruthLine::default()
    };
    let sent = Arc::new(Sent::begin(Arc::clone(&street.streams), Some(truth), line));
    story(street, sent);
    assert_eq!(writer.finish(), 0);
    let text = std::fs::read_to_string(&path).expect("it is there");
    let rows = text.strip_prefix(HEADER).expect("the header");
    rows.lines().map(str::to_owned).collect()
}

#[test]
fn lateness_is_of_the_events_that_left_and_counted_from_their_due_time() {
    let street = street();
    let line = TruthLine::default();
    let sent = Arc::new(Sent::begin(Arc::clone(&street.streams), None, line));
    street.hand_over(&sent, 100, false);
    assert_eq!(street.report().events, 0, "handed over is not yet gone");
    street.line.left(|| street.at(103));
    street.hand_over(&sent, 200, true);
    street.hand_over(&sent, 220, true);
    street.line.left(|| street.at(221));
    // A write that carries no event counts for nothing.
    street.line.left(|| unreachable!("no clock is read"));
    let report = street.report();
    assert_eq!((report.events, report.streams_now), (3, 1));
    let late = report.lateness_ms.expect("there are events");
    assert!((late.max - 21.0).abs() < 0.1, "{late:?}");
    assert!((late.p50 - 3.0).abs() < 0.1, "{late:?}");
    drop(sent);
    assert_eq!(street.report().streams_now, 0);
}

#[test]
fn a_stream_writes_its_line_once_its_last_event_has_left() {
    let rows = rows(|street, sent| {
        street.hand_over(&sent, 80, false);
        street.line.left(|| street.at(81));
        street.hand_over(&sent, 200, true);
        street.line.left(|| street.at(202));
        street.hand_over(&sent, 220, true);
        sent.complete();
        drop(sent);
        assert_eq!(street.streams_now(), 1, "the last event is still here");
        street.line.left(|| street.at(227));
        assert_eq!(street.streams_now(), 0);
    });
    assert_eq!(rows, ["r,0,200000,202000,227000,2,25000,7000,whole,25000"]);
}

#[test]
fn what_never_left_is_not_called_whole() {
    let broken = rows(|street, sent| {
        street.hand_over(&sent, 200, true);
        sent.complete();
        drop(sent);
        drop(street);
    });
    assert_eq!(broken, ["r,0,200000,,,0,,0,cut,"]);
    let left = rows(|street, sent| {
        street.hand_over(&sent, 200, true);
        street.line.left(|| street.at(200));
        drop(sent);
    });
    assert_eq!(left, ["r,0,200000,200000,200000,1,,0,cut,"]);
}

impl Street {
    fn streams_now(&self) -> u64 {
        self.report().streams_now
    }
}

#[tokio::test]
async fn events_leave_when_the_socket_took_all_that_was_offered() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let street = street();
    let (near, mut far) = tokio::io::duplex(4);
    let line = Arc::new(Line::new(Arc::clone(&street.lateness)));
    let mut near = Stamped::new(near, Arc::clone(&line));
    let sent = Sent::begin(Arc::clone(&street.streams), None, TruthLine::default());
    line.hand_over(Mark {
        due: street.start.steady,
        output: true,
        stream: Arc::new(sent),
    });
    let taken = near.write(b"123456").await.expect("it writes");
    assert_eq!((taken, street.report().events), (4, 0), "half an event");
    far.read_exact(&mut [0; 4]).await.expect("it reads");
    near.write_all(b"56").await.expect("it writes");
    assert_eq!(street.report().events, 1);
    let before = line.last_read().steady;
    far.write_all(b"x").await.expect("it writes");
    near.read_exact(&mut [0; 1]).await.expect("it reads");
    assert!(line.last_read().steady > before);
}
