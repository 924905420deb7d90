//! The threads of a mock server: each has connections of its own, and one of them takes new ones.
//!
//! Shell: sockets, threads and protocols. It must never read a request or decide about an answer. A
//! connection stays on its thread, so that no stream waits for another thread to wake it.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::mock::lateness::Lateness;
use crate::mock::sending::hang;
use crate::mock::server::{Street, handle};
use crate::mock::stamped::{Line, Stamped};

/// How long open answers may finish when the server stops.
const GRACE: Duration = Duration::from_millis(500);
/// Connections that may wait to be taken, where the system allows as many.
const BACKLOG: u32 = 65_535;
/// How long to wait when no connection can be taken (there are no more file descriptors).
const FULL: Duration = Duration::from_millis(20);

/// Opens the door.
pub(in crate::mock) fn listen(bind: SocketAddr) -> io::Result<TcpListener> {
    let socket = match bind {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As tokio's own listener does: a port can be taken again right after a server has stopped.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(bind)?;
    socket.listen(BACKLOG)
}

/// Starts the threads. They end when the server stops; what is returned then has no sender left.
pub(in crate::mock) async fn start(
    listener: TcpListener,
    street: &Arc<Street>,
    stopped: &watch::Receiver<bool>,
    threads: NonZeroUsize,
) -> io::Result<mpsc::Receiver<()>> {
    let (running, ended) = mpsc::channel(1);
    let mut others = Vec::new();
    for (number, lateness) in (0..threads.get()).zip(&street.lateness).skip(1) {
        let (hand, handed) = mpsc::unbounded_channel();
        let shift = Shift::new(street, lateness, stopped);
        let work = async move |shift| take_handed(handed, shift).await;
        spawn(number, shift, running.clone(), work).await?;
        others.push(hand);
    }
    let Some(lateness) = street.lateness.first() else {
        return Err(io::Error::other("a server has at least one thread"));
    };
    let listener = listener.into_std()?;
    let shift = Shift::new(street, lateness, stopped);
    let work = async move |shift| take_new(listener, others, shift).await;
    spawn(0, shift, running, work).await?;
    Ok(ended)
}

/// What a thread works with.
struct Shift {
    street: Arc<Street>,
    lateness: Arc<Lateness>,
    stopped: watch::Receiver<bool>,
    open: GracefulShutdown,
}

impl Shift {
    fn new(
        street: &Arc<Street>,
        lateness: &Arc<Lateness>,
        stopped: &watch::Receiver<bool>,
    ) -> Shift {
        Shift {
            street: Arc::clone(street),
            lateness: Arc::clone(lateness),
            stopped: stopped.clone(),
            open: GracefulShutdown::new(),
        }
    }

    /// Serves a connection in a task of its own.
    fn serve(&self, socket: TcpStream) {
        // Paced events must not wait for each other in the kernel.
        let _ = socket.set_nodelay(true);
        let line = Arc::new(Line::new(Arc::clone(&self.lateness)));
        let io = TokioIo::new(Stamped::new(socket, Arc::clone(&line)));
        let street = Arc::clone(&self.street);
        let service = service_fn(move |request: Request<Incoming>| {
            handle(Arc::clone(&street), Arc::clone(&line), request)
        });
        let mut server = auto::Builder::new(TokioExecutor::new());
        server.http1().timer(TokioTimer::new());
        server.http2().timer(TokioTimer::new());
        let connection = server.serve_connection(io, service).into_owned();
        let connection = self.open.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is no news.
            let _ = connection.await;
        });
    }
}

/// Runs `work` on a thread with a runtime of its own; returns once that runs.
async fn spawn<F, W>(
    number: usize,
    shift: Shift,
    running: mpsc::Sender<()>,
    work: F,
) -> io::Result<()>
where
    F: FnOnce(Shift) -> W + Send + 'static,
    W: Future<Output = Shift>,
{
    let (ready, is_ready) = oneshot::channel();
    thread::Builder::new()
        .name(format!("mock-{number}"))
        .spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let (runtime, said) = match runtime {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let _ = ready.send(said);
            if let Some(runtime) = runtime {
                runtime.block_on(async {
                    let shift = work(shift).await;
                    let _ = timeout(GRACE, shift.open.shutdown()).await;
                });
            }
            drop(running);
        })?;
    is_ready.await.map_err(io::Error::other)?
}

/// Takes new connections until the server stops, and deals them out in turn.
async fn take_new(
    listener: std::net::TcpListener,
    others: Vec<mpsc::UnboundedSender<std::net::TcpStream>>,
    shift: Shift,
) -> Shift {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return shift;
    };
    let mut stop = pin!(hang(shift.stopped.clone()));
    let mut turn = 0;
    loop {
        let taken = tokio::select! {
            biased;
            () = &mut stop => return shift,
            taken = listener.accept() => taken,
        };
        match taken {
            Ok((socket, _)) => {
                let place = turn % (others.len() + 1);
                turn += 1;
                match place.checked_sub(1).and_then(|place| others.get(place)) {
                    None => shift.serve(socket),
                    Some(other) => {
                        if let Ok(socket) = socket.into_std() {
                            let _ = other.send(socket);
                        }
                    }
                }
            }
            // The client has gone already.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(_) => sleep(FULL).await,
        }
    }
}

/// Serves the connections that another thread took.
async fn take_handed(
    mut handed: mpsc::UnboundedReceiver<std::net::TcpStream>,
    shift: Shift,
) -> Shift {
    let mut stop = pin!(hang(shift.stopped.clone()));
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return shift,
            socket = handed.recv() => match socket.map(TcpStream::from_std) {
                Some(Ok(socket)) => shift.serve(socket),
                Some(Err(_)) => {}
                None => return shift,
            },
        }
    }
}
